"""Lets the tests of this folder import each other's lists, and share tiny models."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from rows import Load, loader


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads tiny models with random weights: see `rows.loader`."""
    return loader(tmp_path_factory.mktemp("models"))

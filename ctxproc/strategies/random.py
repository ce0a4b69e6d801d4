"""A window of chunks drawn by chance: what a selection must beat (a baseline)."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import Job
from ctxproc.strategies._one_window import OneWindow
from ctxproc.strategies.base import ANSWER


@dataclass(frozen=True)
class Random(OneWindow):
    """Chunks drawn by chance until one prompt is full, in document order; one call.

    A baseline for selections. Each chunk draws a number from the seed, its document's content and its place there, so the
    same sources give the same sample in every process.

    Attributes:
        seed: of the draw.
    """

    seed: int = 0

    name: ClassVar[str] = "random"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over chunks drawn by chance"}

    def rank(self, job: Job) -> Sequence[float]:
        """Uniform in [0, 1)."""
        places = (f"{self.seed} {chunk.document.sha256} {chunk.start}" for chunk in job.chunks)
        return [random.Random(place).random() for place in places]

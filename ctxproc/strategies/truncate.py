"""The first window and nothing else: what a program does that cuts its input (a baseline)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import Job
from ctxproc.strategies._one_window import OneWindow
from ctxproc.strategies.base import ANSWER


@dataclass(frozen=True)
class Truncate(OneWindow):
    """The first chunks that fit one prompt; one call.

    A baseline for texts that say first what matters, such as news. It cannot see anything behind the first window. Whole
    chunks are taken, so the window is filled to within one chunk.
    """

    name: ClassVar[str] = "truncate"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over the first chunks"}

    def rank(self, job: Job) -> Sequence[float]:
        """All alike: document order decides."""
        return [0.0] * len(job.chunks)

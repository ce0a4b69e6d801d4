"""The last window and nothing else: what a chat does that forgets its beginning (a baseline)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import Job
from ctxproc.strategies._one_window import OneWindow
from ctxproc.strategies.base import ANSWER


@dataclass(frozen=True)
class Tail(OneWindow):
    """The last chunks that fit one prompt, in document order; one call.

    A baseline for logs and chats, where what came last holds. It cannot see anything before the last window. Whole chunks
    are taken, so the window is filled to within one chunk.
    """

    name: ClassVar[str] = "tail"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over the last chunks"}

    def rank(self, job: Job) -> Sequence[float]:
        """The later the higher."""
        return [float(i) for i in range(len(job.chunks))]

"""Baselines that read one window of chunks, taken without regard to the question."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ctxproc.job import Job
from ctxproc.strategies.base import Draft
from ctxproc.strategies.stuff import Stuff


@dataclass(frozen=True)
class OneWindow(Stuff):
    """`Stuff` over all chunks, taken in an order of its own."""

    reads: ClassVar[Literal["selected", "all"]] = "all"

    @abstractmethod
    def rank(self, job: Job) -> Sequence[float]:
        """A number for each chunk; those with the highest are read, equals in document order."""

    def affordable(self, job: Job) -> Job:
        """As every strategy, but limits spare the chunks that this one ranks first."""
        return super().affordable(replace(job, relevance=self.rank(job)))

    def read(self, job: Job) -> Draft:
        """As `Stuff`, with its own ranks for relevance."""
        return super().read(replace(job, relevance=self.rank(job)))

"""Strategies that hand a selection of the chunks to another strategy."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

from ctxproc.catalogue import Spec
from ctxproc.job import Found, Job
from ctxproc.llm.base import LLM, Sampling
from ctxproc.strategies.base import Draft, Plan, Strategy
from ctxproc.strategies.stuff import fitting
from ctxproc.task import Task


@dataclass(frozen=True)
class Selecting(Strategy):
    """Selects chunks among all, then lets another strategy read them.

    Sources that fit the capacity are handed on whole, without a call of the selection's own.

    Attributes:
        capacity: tokens that are handed on, joints between chunks included; None is the context that fits every prompt of
            the strategy that reads.
        then: the strategy that reads what was selected, by name or spec.
    """

    capacity: int | None = field(default=None, kw_only=True)
    then: Spec = field(default="stuff", kw_only=True)

    reads: ClassVar[Literal["selected", "all"]] = "all"

    def __post_init__(self) -> None:
        if self.capacity is not None and self.capacity < 1:
            raise ValueError(f"needs a capacity of at least 1 token, not {self.capacity}")

    @cached_property
    def inner(self) -> Strategy:
        """The strategy that reads what was selected."""
        from ctxproc.strategies import make

        return make(self.then)

    @property
    def title(self) -> str:
        """Both names."""
        return f"{self.name}+{self.inner.title}"

    @abstractmethod
    def choose(self, job: Job, capacity: int) -> Sequence[int]:
        """The places of the chunks to read, the best first; those beyond the capacity are not read."""

    @abstractmethod
    def plan_choice(self, job: Job, capacity: int) -> Plan:
        """An upper bound of what `choose` spends."""

    def select(self, job: Job) -> list[Found]:
        """The chunks to read, the best first, scored by their rank as a search scores them."""
        capacity = self.capacity_of(job)
        if len(fitting(job, range(len(job.chunks)), capacity)) == len(job.chunks):
            return ranked(job, by_similarity(job))
        order = list(self.choose(job, capacity))
        taken = set(fitting(job, order, capacity))
        return ranked(job, [i for i in order if i in taken])

    def capacity_of(self, job: Job) -> int:
        """Tokens that are handed on."""
        return self.capacity if self.capacity is not None else self.inner.room_of(job)

    def plan(self, job: Job) -> Plan:
        """The selection's plan, and the inner strategy's over as many of the largest chunks as the capacity may hold."""
        capacity, n = self.capacity_of(job), len(job.chunks)
        if len(fitting(job, range(n), capacity)) == n:
            return self.inner.plan(job)
        by_size = sorted(range(n), key=lambda i: job.chunks[i].tokens)
        most = len(fitting(job, by_size, capacity))
        return self.plan_choice(job, capacity) + self.inner.plan(job.of(by_size[n - most :]))

    def read(self, job: Job) -> Draft:
        """What the inner strategy makes of the selection."""
        if not job.chunks:
            return Draft()
        found = self.select(job)
        job.keep(self.name, found)
        return self.inner.read(job.over(found))

    def check(self, job: Job) -> None:
        """As the inner strategy."""
        self.inner.check(job)

    def room(self, llm: LLM, question: str, sampling: Sampling, task: Task | None = None) -> int:
        """The least of the inner strategy's, that of the selection's own steps, and the capacity."""
        room = self.inner.room(llm, question, sampling, task)
        if self.steps:
            room = min(room, super().room(llm, question, sampling, task))
        return room if self.capacity is None else min(room, self.capacity)


def ranked(job: Job, order: Sequence[int]) -> list[Found]:
    """Chunks in this order, scored as reciprocal rank fusion scores one ranking: 61 / (60 + rank)."""
    return [Found(job.chunks[i], 61 / (60 + rank)) for rank, i in enumerate(order, 1)]


def by_similarity(job: Job) -> list[int]:
    """The places of all chunks, the most similar to the question first; equals in document order."""
    scores = job.similar(job.question, job.chunks)
    return sorted(range(len(scores)), key=lambda i: -scores[i])

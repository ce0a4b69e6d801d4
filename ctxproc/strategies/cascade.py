"""A cheap strategy first, a dearer one only where it is needed (FrugalGPT: Chen et al. 2023, section 3, "LLM cascade").

FrugalGPT goes from a cheap model to a dear one by a scorer that it trains; here one model is read with in several ways, and
what decides is what every answer has: whether its quote stands in the sources, and its confidence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

from ctxproc.answer import ground_all
from ctxproc.catalogue import Spec
from ctxproc.errors import ConfigError
from ctxproc.job import Job
from ctxproc.llm.base import LLM, Sampling
from ctxproc.llm.meter import Limits, Meter
from ctxproc.strategies.base import Draft, Plan, Strategy, why_not
from ctxproc.task import Task
from ctxproc.trace import Noted


@dataclass(frozen=True)
class Cascade(Strategy):
    """Tries strategies in turn until one is sure.

    The next is tried where one abstains by the rules of the job (nothing found, a confidence below the least, no quote where
    one is required) or its confidence is below ``sure``; an answer without a confidence is taken. At the end the most
    confident answer stands, the earliest of equals. Good where most questions are easy. All tries share one budget, so that
    a dear one may find nothing left. Where any of them reads everything, those that read a selection get one of ``top``
    chunks.

    Attributes:
        tries: strategies by name or spec, the cheapest first.
        sure: the confidence that ends the cascade, from 0 to 1; 0 goes on after abstentions only.
        top: chunks that a search selects for those that read a selection, if another reads all.
    """

    tries: Sequence[Spec] = ("stuff", "map_rerank")
    sure: float = 0.5
    top: int = 8

    name: ClassVar[str] = "cascade"
    steps: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        if isinstance(self.tries, (str, Mapping)) or not self.tries:
            raise ConfigError("cascade: tries must be a list of one strategy or more")
        if not 0 <= self.sure <= 1 or self.top < 1:
            raise ConfigError("cascade: sure must be from 0 to 1, and top 1 or more")
        object.__setattr__(self, "steps", {step: why for one in self.inner for step, why in one.steps.items()})
        if any(one.reads == "all" for one in self.inner):
            object.__setattr__(self, "reads", "all")

    @cached_property
    def inner(self) -> tuple[Strategy, ...]:
        """The strategies."""
        from ctxproc.strategies import make

        return tuple(map(make, self.tries))

    @property
    def title(self) -> str:
        """Its own name and theirs."""
        return f"{self.name}({', '.join(one.title for one in self.inner)})"

    def room(self, llm: LLM, question: str, sampling: Sampling, task: Task | None = None) -> int:
        """The least of all."""
        return min(one.room(llm, question, sampling, task) for one in self.inner)

    def check(self, job: Job) -> None:
        """As each of them, so that none is found out to be impossible after the others were paid for."""
        for one in self.inner:
            one.check(job)

    def plan(self, job: Job) -> Plan:
        """As if every one were tried, over the largest chunks where it gets a selection."""
        largest = sorted(range(len(job.chunks)), key=lambda i: -job.chunks[i].tokens)[: self.top]
        plan = Plan()
        for one in self.inner:
            plan += one.plan(job.of(largest) if self.selects(one, job) else job)
        return plan

    def selects(self, one: Strategy, job: Job) -> bool:
        """Whether a search picks the chunks of one of them here."""
        return self.reads == "all" and one.reads == "selected" and not job.task.whole

    def affordable(self, job: Job) -> Job:
        """The whole job: each try takes what the limits leave it."""
        return job

    def read(self, job: Job) -> Draft:
        """The first draft that is sure, else the most confident that is an answer, else an abstention."""
        drafts: list[Draft] = []
        for number, one in enumerate(self.inner):
            last = number + 1 == len(self.inner)
            own = job.over(job.retrieve(job.question, self.top)) if self.selects(one, job) else job
            own = replace(own, voice=job.voice if last and not drafts else None, limits=left(job))
            draft = one.read(one.affordable(own))
            reason = doubt(job, draft)
            if not reason:
                drafts.append(draft)
                if draft.confidence is None or draft.confidence >= self.sure:
                    return draft
                reason = f"confidence {draft.confidence:.2f} is below {self.sure}"
            if not last:
                job.trace.emit(Noted(f"{one.title} is not sure ({reason}): {self.inner[number + 1].title} is tried"))
        return max(drafts, key=lambda draft: draft.confidence or 0.0) if drafts else draft


def doubt(job: Job, draft: Draft) -> str:
    """Why a draft is no answer by the rules of the job; "" where it is one."""
    return why_not(job, draft, any(item.status != "unverified" for item in ground_all(draft.quotes)))


def left(job: Job) -> Limits:
    """What the limits of the run leave after what was spent."""
    if not isinstance(job.llm, Meter):
        return job.limits
    spent, (calls, tokens) = job.llm.usage(0.0), (job.limits.calls, job.limits.tokens)
    return Limits(
        None if calls is None else max(0, calls - spent.calls),
        None if tokens is None else max(0, tokens - spent.prompt_tokens - spent.new_tokens),
    )

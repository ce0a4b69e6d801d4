"""What a strategy is: a way to do a task over more chunks than one prompt holds.

A strategy is a frozen dataclass: its fields are its parameters, its docstring is its reference. It implements `read`
(chunks in, draft out) and `plan` (an upper bound of what `read` spends); counting, limits, streaming and evidence are
done here, so no strategy can forget them. A new strategy is one file in this folder.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from ctxproc.answer import Answer, Quote, ground_all
from ctxproc.chunk import Chunk
from ctxproc.errors import PromptTooLongError
from ctxproc.job import Job
from ctxproc.llm.base import LLM, Sampling
from ctxproc.llm.meter import CALLS, TOKENS, Limits, Meter, metered
from ctxproc.prompt import template
from ctxproc.task import Answering, Reply, Task
from ctxproc.trace import Noted

ANSWER = "answer"
NOTES = "notes"
"""Templates that do the task: over chunks as they stand, and over notes that were taken from them."""


@dataclass(frozen=True, slots=True)
class Plan:
    """An upper bound: model calls, tokens of all prompts together, tokens generated."""

    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.new_tokens + other.new_tokens,
        )

    def __mul__(self, times: int) -> Plan:
        return Plan(self.calls * times, self.prompt_tokens * times, self.new_tokens * times)

    def beyond(self, limits: Limits) -> set[str]:
        """The limits that this would pass, by the names of their settings."""
        spent = ((CALLS, self.calls, limits.calls), (TOKENS, self.prompt_tokens + self.new_tokens, limits.tokens))
        return {name for name, amount, limit in spent if limit is not None and amount > limit}


@dataclass(frozen=True, slots=True)
class Draft:
    """A strategy's result before its quotes are looked for; an empty text means that nothing was found."""

    text: str = ""
    quotes: tuple[Quote, ...] = ()
    confidence: float | None = None


def drafted(job: Job, reply: Reply, chunks: Sequence[Chunk], score: float | None = None) -> Draft:
    """A reply as a draft, its evidence to be looked for in these chunks, in their order.

    ``score`` is the evidence's; default: the reply's confidence, 1 where it has none.
    """
    if score is None:
        score = 1.0 if reply.confidence is None else reply.confidence
    return Draft(reply.answer, job.task.quotes(job.question, reply, chunks, score), reply.confidence)


@dataclass(frozen=True)
class Strategy(ABC):
    """A way through a long context.

    Attributes:
        name: as its module is called.
        steps: the templates it uses, and what each is for.
        reads: "selected" chunks, those that a search found for the question, or "all", because it selects itself or
            works through everything.
    """

    name: ClassVar[str]
    steps: ClassVar[Mapping[str, str]]
    reads: ClassVar[Literal["selected", "all"]] = "selected"

    @property
    def title(self) -> str:
        """What an answer calls it: its name, or for a strategy over others the names joined by "+"."""
        return self.name

    @abstractmethod
    def plan(self, job: Job) -> Plan:
        """An upper bound of what reading these chunks costs. Needs the tokenizer only.

        Larger chunks never cost less, so a plan over the largest chunks bounds every selection of as many.
        """

    @abstractmethod
    def read(self, job: Job) -> Draft:
        """The draft. Spends no more than `plan` says. An empty list of chunks gives an empty draft.

        A call that a limit forbids is not made and gives an empty reply (see `Job.generate`): a strategy goes on with
        what it has.
        """

    def check(self, job: Job) -> None:
        """Ask before the first call whether the model can do what this strategy needs.

        Raises:
            ModelError: it cannot; says what to do instead.
        """
        return

    def room(self, llm: LLM, question: str, sampling: Sampling, task: Task | None = None) -> int:
        """Tokens of context that fit every step's prompt.

        Raises:
            PromptTooLongError: not even one token fits: the question is too long for the window.
        """
        reserved = llm.reserved(sampling)
        overhead = max(self.overhead(llm, step, question, sampling, task) for step in self.steps)
        if overhead + reserved >= llm.context_window:
            raise PromptTooLongError(overhead, reserved, llm.context_window)
        return llm.context_window - overhead - reserved

    def room_of(self, job: Job) -> int:
        """`room` for a job."""
        return self.room(job.llm, job.question, job.sampling, job.task)

    def overhead(self, llm: LLM, step: str, question: str, sampling: Sampling, task: Task | None = None) -> int:
        """Tokens of a step's prompt around its context; a place for an earlier reply counts as a whole reply."""
        task = task or Answering()
        values = {**task.values, "question": question}
        form = template(step, task.name)
        open_places = form.places - values.keys()
        prompt = form.fill([""], {**dict.fromkeys(open_places, ""), **values})
        return llm.count_tokens(prompt) + sampling.max_new_tokens * len(open_places)

    def one_call(self, job: Job, step: str, context: int) -> Plan:
        """The plan of one call of a step with at most so many tokens of context."""
        overhead = self.overhead(job.llm, step, job.question, job.sampling, job.task)
        return Plan(1, overhead + context, job.llm.reserved(job.sampling))

    def affordable(self, job: Job) -> Job:
        """The job with as many of its chunks as the limits allow by plan, in document order.

        The most relevant are taken, where nothing was searched the first; the run counts as stopped by the limits that leave
        chunks out. Where these do not even allow for one, all are left, and the run is stopped where it must be.
        """
        if not job.chunks or job.limits == Limits() or not self.plan(job).beyond(job.limits):
            return job

        def beyond(number: int) -> set[str]:
            return self.plan(job.of(job.by_relevance[:number])).beyond(job.limits)

        number = bisect_right(range(1, len(job.chunks)), False, key=lambda n: bool(beyond(n)))
        if not number:
            return job
        which = "best ranked" if job.relevance else "first"
        job.trace.emit(Noted(f"the limits allow for {number} of {len(job.chunks)} chunks: the {which} are read"))
        if isinstance(job.llm, Meter):
            job.llm.reached |= beyond(number + 1)
        return job.of(job.by_relevance[:number])

    def __call__(self, job: Job) -> Answer:
        """The answer, with evidence looked for in the chunks and with what was spent.

        Raises:
            ModelError: the model failed, or cannot do what is asked.
        """
        began = time.monotonic()
        job.task.check(job.llm)
        self.check(job)
        meter = metered(job.llm, job.limits, job.trace)
        draft = self.read(self.affordable(replace(job, llm=meter)))
        evidence = ground_all(draft.quotes)
        reason = why_not(job, draft, any(item.status != "unverified" for item in evidence))
        if draft.text and reason:
            job.trace.emit(Noted(f"abstained from {draft.text!r}: {reason}"))
        if job.voice and not reason:
            job.voice.finish(draft.text)
        return Answer(
            text="" if reason else draft.text,
            abstained=bool(reason),
            strategy=self.title,
            model=job.llm.name,
            run=job.trace.run,
            evidence=() if reason else evidence,
            usage=meter.usage(time.monotonic() - began),
            confidence=draft.confidence,
            stopped=meter.stopped,
        )


def why_not(job: Job, draft: Draft, supported: bool) -> str:
    """Why a draft is no answer; "" where it is one."""
    if not draft.text:
        return "nothing was found"
    if draft.confidence is not None and draft.confidence < job.min_confidence:
        return f"confidence {draft.confidence:.2f} is below {job.min_confidence}"
    return "no quote was found" if job.require_evidence and not supported else ""

"""Strategies that decode one reply from several windows: each a prompt of its own, their logits merged at every token."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from ctxproc.answer import Quote, ground
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Job
from ctxproc.llm.base import windowed
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.task import Reply
from ctxproc.trace import Noted

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

Window = list[int]
"""The places in `Job.chunks` that one window holds, ascending."""


@dataclass(frozen=True)
class Windowed(Strategy):
    """Reads all windows at once; each token of the reply is chosen by their merged logits and appended to all of them.

    Its evidence is looked for in the chunks by how much their window counted over the reply, and scored by that.

    Attributes:
        windows: at most so many, a prior not counted. More chunks than that share windows; what fits none is left out
            and named in the trace, see `packed`.
    """

    windows: int = field(default=8, kw_only=True)

    prior: ClassVar[bool] = False
    """Whether the task after an empty context is read too, as row 0."""

    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over the chunks of every window at once"}

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise ConfigError(f"{self.name} needs at least one window")

    @abstractmethod
    def merge(self, job: Job, windows: Sequence[Window]) -> Merge:
        """How the windows' logits become one."""

    def check(self, job: Job) -> None:
        """The model must show its logits."""
        windowed(job.llm, self.name)

    def plan(self, job: Job) -> Plan:
        """A call for each window and for the prior, and one reply."""
        if not job.chunks:
            return Plan()
        rows = min(len(job.chunks), self.windows)
        one, joint = self.one_call(job, ANSWER, 0), job.llm.tokenizer.count(JOINT)
        context = min(sum(chunk.tokens + joint for chunk in job.chunks), rows * self.room_of(job))
        calls = rows + self.prior
        return Plan(calls, calls * one.prompt_tokens + context, one.new_tokens)

    def read(self, job: Job) -> Draft:
        """The merged reply."""
        windows = packed(job, self.windows, self.room_of(job))
        if not windows:
            return Draft()
        left = len(job.chunks) - sum(map(len, windows))
        if left:
            job.trace.emit(Noted(f"{left} of {len(job.chunks)} chunks do not fit {self.windows} windows"))
        rows = [*([()] if self.prior else []), *windows]
        prompts = [job.prompt(ANSWER, [job.chunks[i].text for i in row]) for row in rows]
        reply, made = job.decode_windows(prompts, self.merge(job, windows))
        return credited(job, reply, windows, [step[self.prior :] for step in made.weights])


def packed(job: Job, most: int, room: int) -> list[Window]:
    """The chunks as windows of at most ``room`` tokens: each one alone where there are at most ``most``.

    More are put together with their neighbours, so that the longest window is as short as it can be. Where ``most``
    windows do not hold all, the least relevant are left out.
    """
    if len(job.chunks) <= most:
        return [[i] for i in range(len(job.chunks))]
    order, sizes = job.by_relevance, range(1, len(job.chunks) + 1)
    held = bisect_left(sizes, True, key=lambda n: len(filled(job, sorted(order[:n]), room)) > most)
    places = sorted(order[:held])
    length = bisect_left(range(room), True, key=lambda tokens: len(filled(job, places, tokens)) <= most)
    return filled(job, places, length)


def filled(job: Job, places: Sequence[int], room: int) -> list[Window]:
    """Windows filled one after the other with these chunks; a chunk larger than ``room`` tokens stands alone."""
    joint = job.llm.tokenizer.count(JOINT)
    windows: list[Window] = []
    left = -1
    for i in places:
        left -= joint + job.chunks[i].tokens
        if left < 0:
            windows.append([])
            left = room - job.chunks[i].tokens
        windows[-1].append(i)
    return windows


def relevances(job: Job, windows: Sequence[Window]) -> list[float]:
    """The relevance of each window: that of its most relevant chunk. Empty where nothing was searched."""
    return [max(job.relevance[i] for i in window) for window in windows] if job.relevance else []


def shares(job: Job, windows: Sequence[Window], temperature: float) -> tuple[float, ...] | None:
    """The softmax of relevance / ``temperature`` over the windows; None where nothing was searched."""
    found = relevances(job, windows)
    if not found:
        return None
    odds = [math.exp((relevance - max(found)) / temperature) for relevance in found]
    return tuple(odd / sum(odds) for odd in odds)


def credited(job: Job, reply: Reply, windows: Sequence[Window], weights: Sequence[Sequence[float]]) -> Draft:
    """A merged reply as a draft whose evidence is looked for in the windows' chunks.

    The windows that counted most come first, equals by relevance; the score of a quote that is looked for in several
    chunks is the credit of the window in which it is found.

    Args:
        job: with the chunks that were read.
        reply: the merged one.
        windows: what each window held.
        weights: of each token, how much each window counted.
    """
    credits = credit(weights, len(windows))
    of = {i: share for window, share in zip(windows, credits, strict=True) for i in window}
    order = sorted((i for i in job.by_relevance if i in of), key=lambda i: -of[i])
    scores = {id(job.chunks[i]): of[i] for i in order}
    draft = drafted(job, reply, [job.chunks[i] for i in order], 1.0)
    return replace(draft, quotes=tuple(scored(quote, scores) for quote in draft.quotes))


def credit(weights: Sequence[Sequence[float]], windows: int) -> list[float]:
    """The mean weight of each window over the tokens of a reply; all alike where there is no token."""
    if not weights:
        return [1 / windows] * windows
    return [sum(step) / len(weights) for step in zip(*weights, strict=True)]


def scored(quote: Quote, scores: Mapping[int, float]) -> Quote:
    """A quote with the score of the chunk it stands in, of its first chunk where it stands in none."""
    if len(quote.chunks) < 2:
        return quote
    places = [(chunk, ground(Quote(quote.text, (chunk,), 0.0))) for chunk in quote.chunks]
    for status in ("verified", "repaired"):
        for chunk, found in places:
            if found and found.status == status:
                return Quote(quote.text, (chunk,), scores[id(chunk)])
    return replace(quote, score=scores[id(quote.chunks[0])])

"""Rounds of recall that collect the few chunks which answer a question together (CogLTX's MemRecall).

Source: Ding, Zhou, Yang and Tang 2020, "CogLTX: Applying BERT to Long Texts", section 2.3 and algorithm 1, and its code,
``memreplay.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.catalogue import Spec, split
from ctxproc.errors import UnknownNameError
from ctxproc.job import Job
from ctxproc.strategies._judges import JUDGES, QUESTION, Judge, judge
from ctxproc.strategies._selecting import Selecting, ranked
from ctxproc.strategies.base import ANSWER, Plan
from ctxproc.strategies.stuff import fitting


@dataclass(frozen=True)
class MemRecall(Selecting):
    """Recalls chunks in rounds: those kept so far join the question that the next round asks.

    So a chunk is found that shares nothing with the question but much with a chunk which does: the second passage of a
    question that needs two. A round scores all chunks (``coarse``), fills the capacity with the best, in document order,
    until the next does not fit, judges what is in the buffer anew (rehearsal, ``fine``), keeps a few and forgets the rest
    (decay). The last round's whole buffer is read by ``then``. It cannot find a chunk that nothing leads to, and a wrong
    first chunk leads astray. For questions that one passage answers, a search costs less and finds as much.

    Repaired against the source: neither the job nor its chunks are altered; no judge is trained on the task at hand: they
    are a sentence encoder, the built-in judge or the model as it is; the source's last number of "3,5" never cut
    anything and is left out here.

    Attributes:
        increments: how many chunks more each round but the last keeps; the source's "3,5" is ``(3,)``.
        coarse: scores all chunks: "embedding", "cross_encoder" (the built-in judge, or a model of that kind), or at a call
            or two per chunk "reader", "likelihood".
        fine: judges what is in the buffer, any of them or "intervention"; None lets the coarse scores stand.

    What judges do, and their parameters, is told by their classes in ``_judges.py``; ``{cross_encoder: {share: 0.5}}``.
    """

    increments: Sequence[int] = (1,)
    coarse: Spec = "embedding"
    fine: Spec | None = None

    name: ClassVar[str] = "memrecall"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "draft an answer from the buffer, or how sure a reader is of a chunk",
        QUESTION: "how likely the question is after a chunk",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "increments", tuple(self.increments))
        if not all(isinstance(more, int) and more > 0 for more in self.increments):
            raise ValueError(f"needs increments of at least 1 chunk, not {self.increments}")
        for spec in (self.coarse, self.fine):
            if spec is not None and split("judge", spec)[0] not in JUDGES:
                raise UnknownNameError("judge", split("judge", spec)[0], sorted(JUDGES))
        if JUDGES[split("judge", self.coarse)[0]].fine_only:
            raise ValueError(f"judge {split('judge', self.coarse)[0]} can only be the fine one")

    def check(self, job: Job) -> None:
        """As the judges and the inner strategy."""
        super().check(job)
        for one in self._judges(job):
            if one:
                one.check()

    def plan_choice(self, job: Job, capacity: int) -> Plan:
        """As if every round judged all chunks, and as many as the capacity may hold a second time."""
        coarse, fine = self._judges(job)
        rounds, n = len(self.increments), len(job.chunks)
        by_size = sorted(range(n), key=lambda i: job.chunks[i].tokens)
        plan = coarse.plan(n) * (rounds + 1)
        return plan + fine.plan(len(fitting(job, by_size, capacity))) * rounds if fine else plan

    def choose(self, job: Job, capacity: int) -> list[int]:
        """The last round's buffer, the chunks kept before it first, then by coarse score."""
        coarse, fine = self._judges(job)
        kept: list[int] = []
        for number, more in enumerate((*self.increments, 0), 1):
            rest = [i for i in range(len(job.chunks)) if i not in kept]
            order = kept + best_first(rest, coarse.scores(kept, rest))
            taken = set(fitting(job, order, capacity))
            buffer = [i for i in order if i in taken]
            job.keep(f"memrecall: buffer of round {number}", ranked(job, buffer))
            if not more or len(buffer) <= len(kept) + more:
                break
            if fine:
                buffer = best_first(buffer, fine.scores(kept, buffer))
            kept = buffer[: len(kept) + more]
            job.keep(f"memrecall: kept after round {number}", ranked(job, kept))
        return buffer

    def _judges(self, job: Job) -> tuple[Judge, Judge | None]:
        room = self.room_of(job)
        return judge(self.coarse, job, room), judge(self.fine, job, room) if self.fine is not None else None


def best_first(places: Sequence[int], scores: Sequence[float]) -> list[int]:
    """Places by their scores, the highest first; equals as they stand, what was not judged (not a number) last."""
    known = [-math.inf if math.isnan(score) else score for score in scores]
    return [places[k] for k in sorted(range(len(places)), key=lambda k: -known[k])]

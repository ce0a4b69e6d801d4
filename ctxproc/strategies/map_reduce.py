"""Every chunk gives a note; the notes are merged, in rounds if need be, into one answer (LangChain's "map_reduce").

Repaired here: LangChain measures its rounds by another prompt than the one it sends, checks neither the map step nor a
document that is left alone, and goes round for ever where the model's notes do not shrink. Here every prompt fits by
construction and every round at least halves the notes (`_notes.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import Job
from ctxproc.strategies._notes import COLLAPSE, MAP, Budget, plan_reduced, reduced
from ctxproc.strategies.base import NOTES, Draft, Plan, Strategy


@dataclass(frozen=True)
class MapReduce(Strategy):
    """One call per chunk for a note, then as few calls as the notes need to become one answer.

    Good for questions whose answer is spread over a document, and for summaries. Chunks without anything on the question
    leave no note; with no note at all it abstains without a further call. A note keeps the model's quote, so the answer's
    evidence is looked for in the chunks and not in the notes. What a note leaves out is lost: a detail that matters only
    together with another chunk may not be noted. `tree` needs fewer calls where several chunks fit one prompt.
    """

    name: ClassVar[str] = "map_reduce"
    steps: ClassVar[Mapping[str, str]] = {
        MAP: "note what one chunk says on the question",
        COLLAPSE: "merge some notes into one, while all do not fit one prompt",
        NOTES: "do the task over the notes",
    }

    def plan(self, job: Job) -> Plan:
        """As if every chunk left a note of full length."""
        if not job.chunks:
            return Plan()
        n, budget = len(job.chunks), Budget.of(self, job)
        notes = self.one_call(job, MAP, 0) * n + Plan(prompt_tokens=sum(chunk.tokens for chunk in job.chunks))
        return notes + plan_reduced(self, job, n, budget)

    def read(self, job: Job) -> Draft:
        """Map, collapse until one prompt holds the notes, reduce."""
        if not job.chunks:
            return Draft()
        budget = Budget.of(self, job)
        replies = job.generate([job.prompt(MAP, [chunk.text]) for chunk in job.chunks], first=job.by_relevance)
        relevance = job.relevance or [0.0] * len(job.chunks)
        read = zip(replies, job.chunks, relevance, strict=True)
        notes = [budget.note(reply, (chunk,), score) for reply, chunk, score in read if job.holds(reply)]
        return reduced(job, notes, budget)

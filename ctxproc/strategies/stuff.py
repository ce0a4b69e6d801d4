"""One prompt with as many chunks as it holds (LangChain's "stuff", which does not check the length; this does)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.answer import Quote
from ctxproc.chunk import Chunk
from ctxproc.strategies.base import JOINT, Draft, Job, Plan, Strategy
from ctxproc.trace import Noted

STEP = "stuff.answer"


@dataclass(frozen=True)
class Stuff(Strategy):
    """All chunks in one prompt, in document order; one call.

    Chunks are taken by relevance until the next one does not fit; those left out are named in the trace. Good for short
    documents and for models with long windows. It cannot read more than one window.
    """

    name: ClassVar[str] = "stuff"
    steps: ClassVar[Mapping[str, str]] = {STEP: "answer from all chunks that fit"}

    def plan(self, job: Job) -> Plan:
        """One call; no more tokens than all chunks and no more than the window."""
        if not job.chunks:
            return Plan()
        joint = job.llm.tokenizer.count(JOINT)
        wanted = sum(chunk.tokens + joint for chunk in job.chunks)
        room = self.room(job.llm, job.question, job.sampling)
        overhead = self.overhead(job.llm, STEP, job.question, job.sampling)
        return Plan(1, overhead + min(wanted, room), job.llm.reserved(job.sampling))

    def read(self, job: Job) -> Draft:
        """The reply to that prompt."""
        chunks = self.fitting(job)
        if not chunks:
            return Draft()
        if len(chunks) < len(job.chunks):
            job.trace.emit(Noted(f"{len(job.chunks) - len(chunks)} of {len(job.chunks)} chunks do not fit the window"))
        [reply] = job.generate([job.prompt(STEP, [chunk.text for chunk in chunks])])
        return Draft(reply.answer, (Quote(reply.quote, tuple(chunks), reply.confidence or 0.0),), reply.confidence)

    def fitting(self, job: Job) -> list[Chunk]:
        """The most relevant chunks that fit together, in document order."""
        joint = job.llm.tokenizer.count(JOINT)
        left = self.room(job.llm, job.question, job.sampling)
        taken: set[int] = set()
        for i in job.by_relevance:
            cost = job.chunks[i].tokens + (joint if taken else 0)
            if cost > left:
                break
            taken.add(i)
            left -= cost
        return [job.chunks[i] for i in sorted(taken)]

"""One prompt with as many chunks as it holds (LangChain's "stuff", which does not check the length; this does)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import JOINT, Job
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.trace import Noted


@dataclass(frozen=True)
class Stuff(Strategy):
    """All chunks in one prompt, in document order; one call.

    Chunks are taken by relevance until the next one does not fit; those left out are named in the trace. Good for short
    documents and for models with long windows. It cannot read more than one window.
    """

    name: ClassVar[str] = "stuff"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over all chunks that fit"}

    def plan(self, job: Job) -> Plan:
        """One call; no more tokens than all chunks and no more than the window."""
        if not job.chunks:
            return Plan()
        joint = job.llm.tokenizer.count(JOINT)
        wanted = sum(chunk.tokens + joint for chunk in job.chunks)
        return self.one_call(job, ANSWER, min(wanted, self.room_of(job)))

    def read(self, job: Job) -> Draft:
        """The reply to that prompt."""
        places = fitting(job, job.by_relevance, self.room_of(job))
        if not places:
            return Draft()
        if len(places) < len(job.chunks):
            job.trace.emit(Noted(f"{len(job.chunks) - len(places)} of {len(job.chunks)} chunks do not fit the window"))
        chunks = [job.chunks[i] for i in places]
        return drafted(job, job.finish(job.prompt(ANSWER, [chunk.text for chunk in chunks])), chunks)


def fitting(job: Job, order: Sequence[int], room: int) -> list[int]:
    """Places of chunks, taken in this order until the next does not fit so many tokens; in document order."""
    joint = job.llm.tokenizer.count(JOINT)
    taken: list[int] = []
    for i in order:
        room -= job.chunks[i].tokens + (joint if taken else 0)
        if room < 0:
            break
        taken.append(i)
    return sorted(taken)

"""Everything at once, or nothing: what a model with a long enough window would do (a baseline)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ctxproc.job import JOINT, Job
from ctxproc.strategies.base import ANSWER, Draft
from ctxproc.strategies.stuff import Stuff
from ctxproc.trace import Noted


@dataclass(frozen=True)
class Full(Stuff):
    """All chunks in one prompt, in document order; one call. Where they do not fit, it abstains without a call.

    The reference for every way of reading less, on texts short enough for the model. It leaves nothing out: the trace
    says by how many tokens the chunks exceed the window, and where a limit forbids the one call, nothing is read.
    """

    name: ClassVar[str] = "full"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over everything"}
    reads: ClassVar[Literal["selected", "all"]] = "all"

    def affordable(self, job: Job) -> Job:
        """The whole job."""
        return job

    def read(self, job: Job) -> Draft:
        """The reply to that prompt."""
        joints = job.llm.tokenizer.count(JOINT) * (len(job.chunks) - 1)
        excess = sum(chunk.tokens for chunk in job.chunks) + joints - self.room_of(job)
        if job.chunks and excess > 0:
            job.trace.emit(Noted(f"the {len(job.chunks)} chunks exceed the model's window by {excess} tokens"))
            return Draft()
        return super().read(job)

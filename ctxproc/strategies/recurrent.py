"""A bounded memory that is rewritten while reading (Zhou et al. 2023, "RecurrentGPT", section 3, its reading side).

The source writes a story; this reads a document. Its short-term memory, rewritten at every step, is the memory here; its
long-term memory, of which each step reads the few items most similar to what is wanted, is the quotations here, one of each
step. Repaired: replies of another form are asked for again so many times and no more, similarity is computed once and not
anew at every step, and what a step adds can be read at the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from typing import ClassVar, Literal

from ctxproc.answer import Quote, ground
from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Found, Job, clip
from ctxproc.strategies._notes import Budget, Note, concluded, grouped, most_groups
from ctxproc.strategies.base import NOTES, Draft, Plan, Strategy
from ctxproc.task import Reply

READ = "recurrent.read"
WARMTH = 0.7
"""The least temperature at which a reply is asked for again; at 0 it would be the same."""


@dataclass(frozen=True)
class Recurrent(Strategy):
    """Reads everything in order with a memory of fixed size, and answers from the memory and the best quotations.

    Good for documents of any length where nothing is to be searched for: every prompt has a bounded length, and what is
    kept beside the memory is one quotation per step. It takes one call after the other, and what neither the memory nor a
    quotation holds is lost. The memory is as long as a reply may be (``generation.max_new_tokens``). A model that quotes and
    does not write, such as the built-in reader, keeps no memory, only its surest quotations.

    Attributes:
        related: earlier quotations that each step reads, those of the chunks most relevant to the question; 0 for none.
        retries: how often a reply of another form is asked for again; then the memory stays as it was. The form is
            kept by a memory with a quotation that stands in the text (anywhere, where evidence is not required), by "not
            found", and by any text of a summary.
        per_step: chunks that one prompt holds at most; None for as many as fit.
    """

    related: int = 2
    retries: int = 1
    per_step: int | None = 1

    name: ClassVar[str] = "recurrent"
    steps: ClassVar[Mapping[str, str]] = {
        READ: "rewrite the memory by the next chunk",
        NOTES: "do the task over the memory and the best quotations",
    }
    reads: ClassVar[Literal["selected", "all"]] = "all"

    def __post_init__(self) -> None:
        if min(self.related, self.retries) < 0 or (self.per_step is not None and self.per_step < 1):
            raise ConfigError("recurrent: related and retries must be 0 or more, per_step 1 or more")

    def plan(self, job: Job) -> Plan:
        """As if every step were asked again as often as may be."""
        if not job.chunks:
            return Plan()
        budget, sizes = Budget.of(self, job), [chunk.tokens for chunk in job.chunks]
        steps = most_groups(sizes, budget.room, budget.joint, self.per_step)
        context = Plan(prompt_tokens=sum(sizes) + budget.joint * len(sizes))
        reading = (self.one_call(job, READ, 0) * steps + context) * (1 + self.retries)
        return reading + self.one_call(job, NOTES, min(budget.room, budget.tokens(1 + steps)))

    def read(self, job: Job) -> Draft:
        """The task, done over what was remembered."""
        memory = self.remember(job)
        if not memory.notes:
            return Draft()
        budget = Budget.of(self, job)
        text = budget.cut(memory.text)
        kept = memory.fitting(budget, budget.cost(text))
        job.keep(self.name, [Found(chunk, note.rank) for note in kept for chunk in note.chunks])
        return concluded(job, [part for part in (text, *(note.text for note in kept)) if part], memory.notes)

    def remember(self, job: Job) -> Memory:
        """The memory after the last chunk, or after the last that the limits allow for."""
        memory = Memory()
        if not job.chunks:
            return memory
        budget = Budget.of(self, job)
        relevance = job.relevance or job.similar(job.question, job.chunks)
        steps = grouped([chunk.tokens for chunk in job.chunks], budget.room, budget.joint, self.per_step)
        tell = job.trace.progress("read")
        for done, step in enumerate(steps):
            tell(done, len(steps))
            chunks = [job.chunks[i] for i in step]
            reply = self.rewritten(job, chunks, memory)
            if not reply.made:
                break
            if job.holds(reply):
                note = budget.note(reply, chunks, max(relevance[i] for i in step))
                memory.notes.append(replace(note, text=budget.cut(reply.quote)))
                memory.text = reply.answer if job.llm.writes else ""
        tell(len(steps), len(steps))
        return memory

    def rewritten(self, job: Job, chunks: Sequence[Chunk], memory: Memory) -> Reply:
        """The reply to one step; an empty one where none has the form."""
        longest = job.sampling.max_new_tokens
        related = JOINT.join(note.text for note in memory.best(self.related))
        prompt = job.prompt(
            READ,
            [chunk.text for chunk in chunks],
            memory=clip(memory.text or "Nothing yet.", longest, job.llm),
            related=clip(related or "None yet.", longest, job.llm),
        )
        for attempt in range(1 + self.retries):
            [reply] = anew(job, attempt).generate([prompt])
            if not reply.made or formed(job, reply, chunks):
                return reply
        return Reply("", "")


@dataclass(slots=True)
class Memory:
    """What was read so far.

    Attributes:
        text: the memory as the model wrote it last; "" for a model that does not write.
        notes: of each step that had something to say, in document order: its quotation, and the memory after it as reply.
    """

    text: str = ""
    notes: list[Note] = field(default_factory=list)

    def best(self, number: int) -> list[Note]:
        """The notes of highest rank that have a quotation, at most so many, in document order; the first of equals."""
        quoted = (i for i, note in enumerate(self.notes) if note.text)
        return [self.notes[i] for i in sorted(nlargest(number, quoted, key=lambda i: self.notes[i].rank))]

    def fitting(self, budget: Budget, spent: int) -> list[Note]:
        """As many of the best notes as fit the last prompt, of which so many tokens are spent, in document order."""
        left = budget.room + budget.joint - spent
        number = 0
        for note in sorted((note for note in self.notes if note.text), key=lambda note: -note.rank):
            left -= budget.cost(note.text)
            if left < 0:
                break
            number += 1
        return self.best(number)


def anew(job: Job, attempt: int) -> Job:
    """The job with replies drawn anew; as it is for the first attempt, number 0."""
    if not attempt:
        return job
    warmth, seed = max(job.sampling.temperature, WARMTH), job.sampling.seed + attempt
    return replace(job, sampling=replace(job.sampling, temperature=warmth, seed=seed))


def formed(job: Job, reply: Reply, chunks: Sequence[Chunk]) -> bool:
    """Whether a reply has the form that was asked for."""
    if job.task.whole or not reply.answer or not job.require_evidence:
        return bool(reply.answer) or not job.task.whole
    found = ground(Quote(reply.quote, tuple(chunks), 1.0))
    return found is not None and found.status != "unverified"

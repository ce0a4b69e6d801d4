"""One answer carried through the chunks, corrected or completed at each (LangChain's and LlamaIndex's "refine").

Repaired here: with LangChain and LlamaIndex the last reply is the answer, whatever it says. Here an answer gives way only to
a reply that has one, whose quote stands in what was read, and that the model is no less sure of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ctxproc.answer import Quote, ground_all
from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Job, clip, same
from ctxproc.strategies._notes import grouped, most_groups
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.task import UNMADE, Reply

IMPROVE = "refine.improve"


@dataclass(frozen=True)
class Refine(Strategy):
    """A step per chunk: the first that has an answer gives it, each later one may correct or complete it.

    Good for answers that gather through a document and for what a later passage corrects; the answer so far stays in
    every prompt, so two chunks can be joined. Steps wait for each other: it is slower than strategies that ask all chunks at
    once. A model that does not read the answer so far, such as the built-in reader, gives its surest answer.

    Attributes:
        order: of the chunks: as they stand in the document, or the most relevant first. Later steps have the last word.
        per_step: chunks that one prompt holds at most; None for as many as fit (LlamaIndex's "compact").
    """

    order: Literal["document", "relevance"] = "document"
    per_step: int | None = 1

    name: ClassVar[str] = "refine"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "do the task over a chunk, while there is no answer",
        IMPROVE: "correct or complete the answer so far by a chunk",
    }

    def __post_init__(self) -> None:
        if self.order not in ("document", "relevance"):
            raise ConfigError(f"refine: order is document or relevance, not {self.order!r}")
        if self.per_step is not None and self.per_step < 1:
            raise ConfigError("refine: per_step must be 1 or more")

    def plan(self, job: Job) -> Plan:
        """A call for every step, each as long as the longer of the two prompts."""
        if not job.chunks:
            return Plan()
        sizes, joint = [chunk.tokens for chunk in job.chunks], job.llm.tokenizer.count(JOINT)
        calls = most_groups(sizes, self.room_of(job), joint, self.per_step)
        longest = max((self.one_call(job, step, 0) for step in self.steps), key=lambda plan: plan.prompt_tokens)
        return longest * calls + Plan(prompt_tokens=sum(sizes) + joint * len(sizes))

    def read(self, job: Job) -> Draft:
        """The answer that stands after the last step."""
        order = job.by_relevance if self.order == "relevance" else range(len(job.chunks))
        chunks = [job.chunks[i] for i in order]
        room, joint = (self.room_of(job), job.llm.tokenizer.count(JOINT)) if chunks else (0, 0)
        steps = grouped([chunk.tokens for chunk in chunks], room, joint, self.per_step)
        standing = Standing()
        tell = job.trace.progress("read")
        for done, step in enumerate(steps):
            tell(done, len(steps))
            read = [chunks[i] for i in step]
            reply = ask(job, read, standing, last=done == len(steps) - 1)
            if not reply.made:
                break
            if job.holds(reply):
                standing = improved(job, standing, reply, read)
        tell(len(steps), len(steps))
        if job.task.whole:
            return drafted(job, standing.reply, standing.chunks)
        return Draft(standing.reply.answer, standing.quotes, standing.reply.confidence)


@dataclass(frozen=True, slots=True)
class Standing:
    """The answer so far.

    Attributes:
        reply: that gave it.
        chunks: that it may rest on.
        quotes: its own, and those of steps that agreed; of a summary they are looked for at the end.
        supported: one of them stands in these chunks.
    """

    reply: Reply = UNMADE
    chunks: tuple[Chunk, ...] = ()
    quotes: tuple[Quote, ...] = ()
    supported: bool = False


def ask(job: Job, chunks: Sequence[Chunk], standing: Standing, last: bool) -> Reply:
    """The reply to one step; passed on as it comes where it must be the answer, because there is no other."""
    texts = [chunk.text for chunk in chunks]
    if standing.reply.answer:
        answer = clip(standing.reply.answer, job.sampling.max_new_tokens, job.llm)
        return job.generate([job.prompt(IMPROVE, texts, answer=answer)])[0]
    prompt = job.prompt(ANSWER, texts)
    return job.finish(prompt) if last else job.generate([prompt])[0]


def improved(job: Job, standing: Standing, reply: Reply, chunks: Sequence[Chunk]) -> Standing:
    """What stands after a reply that has an answer: the same with more evidence, the new one, or the old one."""
    old = standing.reply
    if job.task.whole:
        return Standing(reply, (*standing.chunks, *chunks))
    behind = (*chunks, *(standing.chunks if standing.supported else ()))
    quotes = drafted(job, reply, behind).quotes
    supported = any(item.status != "unverified" for item in ground_all(quotes))
    surer = None in (old.confidence, reply.confidence) or (reply.confidence or 0) >= (old.confidence or 0)
    if same(old.answer, reply.answer):
        kept = reply if surer else old
        return Standing(kept, behind, (*standing.quotes, *quotes), supported or standing.supported)
    if old.answer and not (surer and (supported or not standing.supported)):
        return standing
    return Standing(reply, behind, quotes, supported)

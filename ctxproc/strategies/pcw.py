"""Parallel context windows: the chunks stand side by side and the task sees all of them (Ratner et al. 2023)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Job, same
from ctxproc.llm.base import Indent, windowed
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.task import Reply


@dataclass(frozen=True)
class Pcw(Strategy):
    """Chunks are read as if each were the only one, at the same positions; the task attends to all of them at once.

    Good for examples of many classes and for facts that stand in one of a few chunks; each window is as long as the
    model's, and none is read again for another question. The model was not trained for it: chunks are seen without
    their order, chains of thought over several suffer, and so does everything with many windows, for which there are
    several reads. Needs a transformers model whose attention the engine reads.

    Several reads: the most relevant chunks make the first, and so on. Each gives an answer; the one that most reads
    give wins, the more relevant read's of equals. A read that finds nothing has no vote, and no further call is made.
    Summaries stand one after the other.

    Repaired against the source: the prompt has one begin-of-text, for any tokenizer, as chunks are read behind a shared
    prefix and bring none of their own.

    Attributes:
        indent: "left" lets all windows begin at one position, "right" lets all end where the longest ends.
        windows: chunks of one read, side by side; the source has at most 3.

    Source: Ratner et al. 2023, "Parallel Context Windows for Large Language Models", section 2 (left indentation;
    the right one is in https://github.com/AI21Labs/Parallel-Context-Windows).
    """

    indent: Indent = "left"
    windows: int = 3

    name: ClassVar[str] = "pcw"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "do the task over chunks side by side"}

    def __post_init__(self) -> None:
        if self.indent not in ("left", "right") or self.windows < 1:
            raise ConfigError("pcw needs indent left or right, and at least one window")

    def check(self, job: Job) -> None:
        """The model must show its logits."""
        windowed(job.llm, self.name)

    def plan(self, job: Job) -> Plan:
        """A call for each read."""
        reads, joint = -(-len(job.chunks) // self.windows), job.llm.tokenizer.count(JOINT)
        context = sum(chunk.tokens + joint for chunk in job.chunks)
        return self.one_call(job, ANSWER, 0) * reads + Plan(prompt_tokens=context)

    def read(self, job: Job) -> Draft:
        """What the reads agree on."""
        order = job.by_relevance
        reads = [sorted(order[at : at + self.windows]) for at in range(0, len(order), self.windows)]
        tell = job.trace.progress("read")
        found: list[tuple[Reply, list[Chunk]]] = []
        for number, places in enumerate(reads):
            chunks = [job.chunks[i] for i in places]
            prompt = job.prompt(ANSWER, [chunk.text for chunk in chunks])
            found.append((job.decode_parallel(prompt, self.indent, final=len(reads) == 1), chunks))
            tell(number + 1, len(reads))
        return merged(job, [pair for pair in found if job.holds(pair[0])])


def merged(job: Job, found: Sequence[tuple[Reply, Sequence[Chunk]]]) -> Draft:
    """Several replies as one draft: the answer given most often, the first of equals; summaries one after the other.

    Its evidence is looked for in the chunks of every read that gave it.
    """
    if not found:
        return Draft()
    drafts = [drafted(job, reply, chunks) for reply, chunks in found]
    if job.task.whole:
        return Draft("\n".join(draft.text for draft in drafts), tuple(q for draft in drafts for q in draft.quotes))
    agreeing = [[other for other in drafts if same(other.text, draft.text)] for draft in drafts]
    won = max(agreeing, key=len)
    return Draft(won[0].text, tuple(q for draft in won for q in draft.quotes), won[0].confidence)

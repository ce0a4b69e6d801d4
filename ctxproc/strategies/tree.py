"""Notes on stretches of a document, then notes on notes, level by level up to one answer (LlamaIndex's "tree_summarize").

Wu et al. 2021, "Recursively Summarizing Books with Human Feedback", section 2, is the same for summaries of books.
Repaired here: every prompt fits and every level is at most half as wide as the one below it (`_notes.py`); the evidence
of the answer is looked for in the chunks, at the leaves, and not in the notes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.errors import ConfigError
from ctxproc.job import Job
from ctxproc.strategies._notes import COLLAPSE, MAP, Budget, grouped, most_groups, plan_reduced, reduced
from ctxproc.strategies.base import ANSWER, NOTES, Draft, Plan, Strategy, drafted


@dataclass(frozen=True)
class Tree(Strategy):
    """A tree over the chunks in document order: its leaves are notes on chunks, its root is the answer.

    Good for summaries of long documents and for questions whose answer is spread over one; where several chunks fit one
    prompt it needs fewer calls than `map_reduce`, which reads every chunk by itself. Chunks that all fit one prompt are
    read with one call. For a single fact `map_rerank` is surer: a note that leaves the fact out loses it.

    Attributes:
        fan_in: at most so many chunks in a leaf and so many notes in a node, 2 or more; None for as many as fit. A
            small one gives a deep tree, whose nodes each have little to merge.
    """

    fan_in: int | None = None

    name: ClassVar[str] = "tree"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "do the task over all chunks, where they fit one prompt",
        MAP: "note what the chunks of one leaf say on the question",
        COLLAPSE: "merge neighbouring notes into one",
        NOTES: "do the task over the notes of the highest level",
    }

    def __post_init__(self) -> None:
        if self.fan_in is not None and self.fan_in < 2:
            raise ConfigError("tree: fan_in must be 2 or more, since a node with one branch merges nothing")

    def plan(self, job: Job) -> Plan:
        """As if every leaf left a note of full length."""
        if not job.chunks:
            return Plan()
        budget = Budget.of(self, job, self.fan_in)
        sizes = [chunk.tokens for chunk in job.chunks]
        tokens = sum(sizes) + budget.joint * len(sizes)
        leaves = most_groups(sizes, budget.room, budget.joint, self.fan_in)
        whole = self.one_call(job, ANSWER, tokens)
        if leaves == 1:
            return whole
        return (
            self.one_call(job, MAP, 0) * leaves + Plan(prompt_tokens=tokens) + plan_reduced(self, job, leaves, budget)
        )

    def read(self, job: Job) -> Draft:
        """Leaves, levels, root."""
        if not job.chunks:
            return Draft()
        budget = Budget.of(self, job, self.fan_in)
        leaves = grouped([chunk.tokens for chunk in job.chunks], budget.room, budget.joint, self.fan_in)
        if len(leaves) == 1:
            return drafted(job, job.finish(job.prompt(ANSWER, texts(job, leaves[0]))), job.chunks)
        scores = [max(job.relevance[i] for i in leaf) if job.relevance else 0.0 for leaf in leaves]
        first = sorted(range(len(leaves)), key=lambda i: -scores[i])
        replies = job.generate([job.prompt(MAP, texts(job, leaf)) for leaf in leaves], first=first)
        notes = [
            budget.note(reply, [job.chunks[i] for i in leaf], score)
            for reply, leaf, score in zip(replies, leaves, scores, strict=True)
            if job.holds(reply)
        ]
        return reduced(job, notes, budget)


def texts(job: Job, places: Sequence[int]) -> list[str]:
    """The texts of the chunks at these places."""
    return [job.chunks[i].text for i in places]

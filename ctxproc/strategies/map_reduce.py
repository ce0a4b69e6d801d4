"""Every chunk gives a note; the notes are merged, in rounds if need be, into one answer (LangChain's "map_reduce").

What is repaired here: every prompt fits by construction, since a note is cut to a budget of which any two fit one
prompt; so each round of collapsing at least halves the notes and the number of rounds is bounded by their logarithm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.answer import Quote
from ctxproc.chunk import Chunk
from ctxproc.errors import PromptTooLongError
from ctxproc.llm.base import LLM
from ctxproc.strategies.base import JOINT, Draft, Job, Plan, Reply, Strategy, clip, same

MAP = "map_reduce.map"
COLLAPSE = "map_reduce.collapse"
REDUCE = "map_reduce.reduce"


@dataclass(frozen=True)
class MapReduce(Strategy):
    """One call per chunk for a note, then as few calls as the notes need to become one answer.

    Good for questions whose answer is spread over a document. Chunks without anything on the question leave no note; with
    no note at all it abstains without a further call. A note keeps the model's quote, so the answer's evidence is looked
    for in the chunks and not in the notes.
    """

    name: ClassVar[str] = "map_reduce"
    steps: ClassVar[Mapping[str, str]] = {
        MAP: "note what one chunk says on the question",
        COLLAPSE: "merge some notes into one, while all do not fit one prompt",
        REDUCE: "answer from the notes",
    }

    def plan(self, job: Job) -> Plan:
        """As if every chunk left a note of full length."""
        if not job.chunks:
            return Plan()
        llm, reserved, n = job.llm, job.llm.reserved(job.sampling), len(job.chunks)
        budget = Budget.of(self, job)
        chunks = sum(chunk.tokens for chunk in job.chunks)
        plan = Plan(n, n * llm.count_tokens(job.prompt(MAP, [""])) + chunks, n * reserved)
        while not budget.holds(n):
            groups = -(-n // budget.per_prompt)
            overhead = groups * llm.count_tokens(job.prompt(COLLAPSE, [""]))
            plan += Plan(groups, overhead + budget.tokens(n), groups * reserved)
            n = groups
        return plan + Plan(1, llm.count_tokens(job.prompt(REDUCE, [""])) + budget.tokens(n), reserved)

    def read(self, job: Job) -> Draft:
        """Map, collapse until one prompt holds the notes, reduce."""
        replies = job.generate([job.prompt(MAP, [chunk.text]) for chunk in job.chunks])
        found = [(chunk, reply) for chunk, reply in zip(job.chunks, replies, strict=True) if job.holds(reply)]
        quotes = [(reply, Quote(reply.quote, (chunk,), reply.confidence or 0.0)) for chunk, reply in found]
        if len(found) < 2:
            return Draft(found[0][1].answer, (quotes[0][1],), found[0][1].confidence) if found else Draft()
        budget = Budget.of(self, job)
        notes = [budget.note(reply, (chunk,)) for chunk, reply in found]
        while not budget.fits(notes):
            notes = collapse(job, notes, budget)
        if not notes:
            return Draft()
        [reply] = job.generate([job.prompt(REDUCE, [note.text for note in notes])])
        chunks = tuple(chunk for note in notes for chunk in note.chunks)
        agreeing = (quote for other, quote in quotes if same(other.answer, reply.answer))
        return Draft(reply.answer, (Quote(reply.quote, chunks, reply.confidence or 1.0), *agreeing), reply.confidence)


@dataclass(frozen=True, slots=True)
class Note:
    """What some chunks say on the question."""

    text: str
    chunks: tuple[Chunk, ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a note may be, so that at least two fit every prompt.

    Attributes:
        llm: counts the tokens.
        room: tokens of context in one prompt.
        length: tokens of the longest note.
        joint: tokens between two notes.
    """

    llm: LLM
    room: int
    length: int
    joint: int

    @classmethod
    def of(cls, strategy: MapReduce, job: Job) -> Budget:
        """The budget of a job.

        Raises:
            PromptTooLongError: not even two notes of one token fit a prompt.
        """
        room = strategy.room(job.llm, job.question, job.sampling)
        joint = job.llm.tokenizer.count(JOINT)
        length = min(job.sampling.max_new_tokens, (room - joint) // 2)
        if length < 1:
            window = job.llm.context_window
            raise PromptTooLongError(window - room + 2 + joint, 0, window)
        return cls(job.llm, room, length, joint)

    @property
    def per_prompt(self) -> int:
        """Notes of full length that fit one prompt; at least 2."""
        return (self.room + self.joint) // (self.length + self.joint)

    def tokens(self, notes: int) -> int:
        """Tokens of so many notes of full length."""
        return notes * (self.length + self.joint)

    def holds(self, notes: int) -> bool:
        """Whether one prompt holds so many notes of full length."""
        return notes <= self.per_prompt

    def fits(self, notes: Sequence[Note]) -> bool:
        """Whether one prompt holds these notes."""
        return sum(self.cost(note) for note in notes) - self.joint <= self.room

    def cost(self, note: Note) -> int:
        """Tokens of a note and the joint after it."""
        return self.llm.tokenizer.count(note.text) + self.joint

    def note(self, reply: Reply, chunks: tuple[Chunk, ...]) -> Note:
        """A reply as a note: its quote, led by its answer where the quote does not hold it."""
        text = reply.quote if reply.answer in reply.quote else f"{reply.answer}\n{reply.quote}"
        return Note(clip(text, self.length, self.llm), chunks)


def collapse(job: Job, notes: Sequence[Note], budget: Budget) -> list[Note]:
    """One round: neighbouring notes that fit one prompt become one note; a note left alone stays as it is."""
    groups: list[list[Note]] = [[]]
    left = budget.room + budget.joint
    for note in notes:
        if budget.cost(note) > left:
            groups.append([])
            left = budget.room + budget.joint
        groups[-1].append(note)
        left -= budget.cost(note)
    merging = [group for group in groups if len(group) > 1]
    replies = iter(job.generate([job.prompt(COLLAPSE, [note.text for note in group]) for group in merging]))
    merged: list[Note] = []
    for group in groups:
        if len(group) == 1:
            merged += group
        elif (reply := next(replies)).answer:
            merged.append(budget.note(reply, tuple(chunk for note in group for chunk in note.chunks)))
    return merged

"""Notes on parts of a text: how long they may be, how they are merged until one prompt holds them, what is made of them.

A note is cut to a length of which any two fit one prompt, so each round of merging at least halves the notes: the number
of rounds is bounded by their logarithm, whatever the model replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ctxproc.answer import Quote
from ctxproc.chunk import Chunk
from ctxproc.errors import PromptTooLongError
from ctxproc.job import JOINT, Job, clip, same
from ctxproc.llm.base import LLM, Generation
from ctxproc.strategies.base import NOTES, Draft, Plan, Strategy, drafted
from ctxproc.task import UNMADE, Answering, Reply

MAP = "map_reduce.map"
COLLAPSE = "map_reduce.collapse"


@dataclass(frozen=True, slots=True)
class Note:
    """What some chunks say on the question.

    Attributes:
        text: as later prompts hold it.
        chunks: where it was taken from.
        reply: that it is made of.
        rank: the reply's confidence, or where it has none the relevance of its chunks; comparable within one run.
    """

    text: str
    chunks: tuple[Chunk, ...]
    reply: Reply
    rank: float


@dataclass(frozen=True, slots=True)
class Budget:
    """How long a note may be, so that at least two fit every prompt.

    Attributes:
        llm: counts the tokens.
        room: tokens of context in one prompt.
        length: tokens of the longest note.
        joint: tokens between two notes.
        fan_in: notes in one prompt at most; None for as many as fit.
    """

    llm: LLM
    room: int
    length: int
    joint: int
    fan_in: int | None = None

    @classmethod
    def of(cls, strategy: Strategy, job: Job, fan_in: int | None = None) -> Budget:
        """The budget of a job.

        Raises:
            PromptTooLongError: not even two notes of one token fit a prompt.
        """
        room = strategy.room_of(job)
        joint = job.llm.tokenizer.count(JOINT)
        length = min(job.sampling.max_new_tokens, (room - joint) // 2)
        if length < 1:
            window = job.llm.context_window
            raise PromptTooLongError(window - room + 2 + joint, 0, window)
        return cls(job.llm, room, length, joint, fan_in)

    @property
    def per_prompt(self) -> int:
        """Notes of full length that one prompt holds; at least 2."""
        held = (self.room + self.joint) // (self.length + self.joint)
        return min(held, self.fan_in or held)

    def tokens(self, notes: int) -> int:
        """Tokens of so many notes of full length."""
        return notes * (self.length + self.joint)

    def grouped(self, texts: Sequence[str]) -> list[list[int]]:
        """Places of neighbouring texts that one prompt holds."""
        return grouped([self.llm.tokenizer.count(text) for text in texts], self.room, self.joint, self.fan_in)

    def cost(self, text: str) -> int:
        """Tokens of a text and of the joint behind it; 0 of none."""
        return self.llm.tokenizer.count(text) + self.joint if text else 0

    def cut(self, text: str) -> str:
        """The longest beginning of a text that is no longer than a note."""
        return clip(text, self.length, self.llm)

    def text(self, reply: Reply) -> str:
        """A reply as a note: its quote, led by its answer where the quote does not hold it."""
        told = reply.quote if reply.answer in reply.quote else f"{reply.answer}\n{reply.quote}"
        return self.cut(told.strip())

    def note(self, reply: Reply, chunks: Sequence[Chunk], relevance: float) -> Note:
        """A reply to some chunks as a note."""
        rank = relevance if reply.confidence is None else reply.confidence
        return Note(self.text(reply), tuple(chunks), reply, rank)


def grouped(tokens: Sequence[int], room: int, joint: int, most: int | None = None) -> list[list[int]]:
    """Places of neighbours that fit so many tokens together, in order; each group is as long as it can be.

    Args:
        tokens: of each item; none is above ``room``.
        room: tokens of a group.
        joint: tokens between two items.
        most: items of a group.
    """
    groups: list[list[int]] = []
    left = 0
    for place, size in enumerate(tokens):
        if not groups or size + joint > left or len(groups[-1]) == most:
            groups.append([])
            left = room + joint
        groups[-1].append(place)
        left -= size + joint
    return groups


def most_groups(tokens: Sequence[int], room: int, joint: int, most: int | None = None) -> int:
    """A bound of the groups that `grouped` makes of these items in any order, and of any fewer or smaller ones.

    Two neighbours of which the first is not full by number hold more than ``room`` together.
    """
    most = most or max(1, len(tokens))
    largest = sorted(tokens, reverse=True)[:most]
    if sum(largest) + joint * (len(largest) - 1) <= room:
        return -(-len(tokens) // most)
    total = sum(tokens) + joint * len(tokens)
    return min(len(tokens), len(tokens) // most + 2 * total // room + 1)


def plan_reduced(strategy: Strategy, job: Job, notes: int, budget: Budget) -> Plan:
    """An upper bound of what `reduced` spends: as if there were so many notes of full length."""
    plan = Plan()
    while notes > budget.per_prompt:
        groups = -(-notes // budget.per_prompt)
        plan += strategy.one_call(job, COLLAPSE, 0) * groups + Plan(prompt_tokens=budget.tokens(notes))
        notes = groups
    return plan + strategy.one_call(job, NOTES, budget.tokens(notes))


def reduced(job: Job, notes: Sequence[Note], budget: Budget) -> Draft:
    """The task, done over notes that are merged until one prompt holds them; a single note that answers is the answer.

    A round that leaves as many notes as there were is the last: of these, as many as one prompt holds are read, from the
    first on.
    """
    if not notes:
        return Draft()
    if len(notes) == 1 and isinstance(job.task, Answering):
        return drafted(job, notes[0].reply, notes[0].chunks)
    texts = [note.text for note in notes]
    while len(groups := budget.grouped(texts)) > 1:
        after, whole = merged(job, texts, budget)
        if not whole:
            return unfinished(job, after, notes)
        if len(after) == len(texts):
            texts = [texts[i] for i in groups[0]]
            break
        texts = after
    return concluded(job, texts, notes)


def merged(job: Job, texts: Sequence[str], budget: Budget) -> tuple[list[str], bool]:
    """One round: neighbouring notes that one prompt holds become one note.

    Notes in which the model finds nothing are put one after the other and cut to the length of one, so that a merge never
    loses all that was found. What a limit forbids to merge stays as it is.

    Returns:
        The notes after the round, and whether the limits allowed for all of it.
    """
    groups = [[texts[i] for i in group] for group in budget.grouped(texts)]
    replies = job.generate([job.prompt(COLLAPSE, group) for group in groups if len(group) > 1])
    left = iter(replies)
    after: list[str] = []
    for group in groups:
        reply = next(left) if len(group) > 1 else UNMADE
        after += [budget.text(reply) or budget.cut("\n".join(group))] if reply.made else group
    return after, all(reply.made for reply in replies)


def concluded(job: Job, texts: Sequence[str], notes: Sequence[Note]) -> Draft:
    """The task, done with one call over texts that were made of notes; evidence from the chunks of these.

    A note that says the same as the answer adds its quote.
    """
    reply = job.finish(job.prompt(NOTES, texts))
    if not reply.made:
        return unfinished(job, texts, notes)
    draft = drafted(job, reply, [chunk for note in notes for chunk in note.chunks])
    agreeing = (
        Quote(note.reply.quote, note.chunks, 1.0 if note.reply.confidence is None else note.reply.confidence)
        for note in notes
        if same(note.reply.answer, reply.answer)
    )
    return replace(draft, quotes=(*draft.quotes, *agreeing))


def unfinished(job: Job, texts: Sequence[str], notes: Sequence[Note]) -> Draft:
    """The best that notes say by themselves, where no call is left: of a summary all, and else the note of highest rank."""
    best = max(notes, key=lambda note: note.rank)
    if job.task.whole:
        best = Note("", tuple(chunk for note in notes for chunk in note.chunks), Reply(JOINT.join(texts), ""), 0)
    answer = job.task.parse(Generation(best.reply.answer, 0, 0)).answer
    return drafted(job, replace(best.reply, answer=answer), best.chunks)

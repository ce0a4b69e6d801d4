"""Facts that hold for a time: a new one supersedes the old one, which is kept with the interval in which it held.

A fact is a passage of kind "fact" on the memory shelf: ``<subject, relation, object>``, such as "alice", "lives in",
"Lyon", with the time from which it holds, who said it, and the turn and the characters of it that say so. Rows are the
truth. When each of them held is computed from all of them by `ctxproc.memory.facts_validity` and never stored, so that
nothing can contradict the rows, and forgetting a row restores what would hold without it.

Reads with any field left open, exact first and then by embedding, are those of RET-LLM (Modarressi et al. 2023, "RET-LLM:
Towards a General Read-Write Memory for Large Language Models", section 3.1); that an overwritten triple keeps its history
is ours. `ctxproc.memory.facts_ask` answers questions, `ctxproc.memory.facts_shelf` follows a shelf and corrects facts.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Self

from ctxproc.memory.base import Matrix, Note, Passage, Value

if TYPE_CHECKING:
    from ctxproc.memory.extract.base import Triple
    from ctxproc.memory.facts_ask import FactAnswer

Embed = Callable[[Sequence[str]], Matrix]
"""Texts to unit vectors, shape (texts, dimensions), such as `ctxproc.memory.embed.Embedder.embed`."""

NEAR = 0.6
"""Cosine from which on a relation is taken for another one: by the built-in embedder, "resides in" and "lives in" have 0.72,
"lives in" and "works at" 0.33; but "likes" and "dislikes" 0.56, "has sister" and "has brother" 0.81."""
NEAR_NAME = 0.85
"""The same of a subject or object: "Lyon, France" and "Lyon" have 0.91, "Ana" and "Mia" 0.61."""


@dataclass(frozen=True, slots=True)
class Fact:
    """A row, and when it held.

    Attributes:
        id: of the passage.
        subject, relation, object: as they were said; the object is empty only where ``ends`` is.
        since: from when it holds.
        until: when it ended; None if nothing has ended it. Equal to ``since``: it never held, as it ends another fact,
            says what held already, was replaced in the same moment or was taken back.
        said: when it was said.
        speaker: who said it.
        turn: id of the passage in which it was said; 0 if in none.
        start, end: the characters of that passage that say it.
        text: a sentence that states it.
        single: one value at a time: it supersedes every other object of this subject and relation.
        ends: it says that this no longer holds, or where the object is empty, that nothing of this relation does.
        cancels: id of the fact that it takes back as never true; 0 for most.
        by: what found it in the turn.
    """

    id: int
    subject: str
    relation: str
    object: str
    since: datetime
    until: datetime | None
    said: datetime
    speaker: str = ""
    turn: int = 0
    start: int = 0
    end: int = 0
    text: str = ""
    single: bool = True
    ends: bool = False
    cancels: int = 0
    by: str = ""

    @property
    def held(self) -> bool:
        """Whether it ever held, or will."""
        return self.until is None or self.since < self.until

    def holds(self, time: datetime) -> bool:
        """Whether it holds at a time."""
        return self.since <= time and (self.until is None or time < self.until)


@lru_cache(maxsize=1 << 16)
def key(text: str) -> str:
    """What two spellings of a name have in common: NFKC, case-folded, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


Groups = dict[str, dict[str, list[Fact]]]


class Facts:
    """The facts of one owner, and when each held. Nothing here changes; see `of`.

    Args:
        groups: all rows by the key of the subject, then of the relation, each group with its validity computed.
        unreadable: how many passages of kind "fact" are none.
    """

    def __init__(self, groups: Groups, unreadable: int = 0) -> None:
        self._groups = groups
        self.unreadable = unreadable
        self._near: dict[Embed, dict[str, Matrix]] = {}

    @classmethod
    def of(cls, passages: Iterable[Passage]) -> Self:
        """The facts among some passages; their order does not matter. What is of another kind is left out.

        A passage of kind "fact" whose metadata do not make a fact, since another program wrote it, is left out and
        counted as ``unreadable``.
        """
        read = [fact_of(passage) for passage in passages if passage.note.kind == "fact"]
        rows = [fact for fact in read if fact is not None]
        return cls(_grouped(rows), len(read) - len(rows))

    def changed(self, gone: Iterable[Passage], added: Iterable[Passage]) -> Self:
        """The facts without some passages and with others; computed anew is only what these are about."""
        before, after = (Facts.of(passages) for passages in (gone, added))
        groups = {**self._groups}
        for subject in {*before._groups, *after._groups}:
            old, less, more = (one._groups.get(subject, {}) for one in (self, before, after))
            ids = {fact.id for group in less.values() for fact in group}
            rows = [fact for name in {*less, *more} for fact in old.get(name, ()) if fact.id not in ids]
            rows += [fact for group in more.values() for fact in group]
            kept = {name: group for name, group in old.items() if name not in less and name not in more}
            groups[subject] = kept | _grouped(rows).get(subject, {})
        return type(self)(groups, self.unreadable - before.unreadable + after.unreadable)

    @property
    def all(self) -> list[Fact]:
        """Every row, by id: also what ended, what ends another, and what never held."""
        return sorted(self._candidates(None, None), key=lambda fact: fact.id)

    @cached_property
    def subjects(self) -> list[str]:
        """Everyone of whom anything ever held, as first written, in alphabetical order."""
        names: dict[str, str] = {}
        for fact in self.all:
            if fact.held:
                names.setdefault(key(fact.subject), fact.subject)
        return sorted(names.values())

    def relations(self, subject: str) -> list[str]:
        """The relations of which anything ever held of a subject, as keys, in alphabetical order."""
        groups = self._groups.get(key(subject), {})
        return sorted(name for name, group in groups.items() if any(fact.held for fact in group))

    def known(self, time: datetime) -> Self:
        """The facts as far as they had been said by a time, as if it were now."""
        return type(self)(_grouped([fact for fact in self.all if fact.said <= time]), self.unreadable)

    def read(
        self,
        subject: str | None = None,
        relation: str | None = None,
        object: str | None = None,
        *,
        as_of: datetime | None = None,
        history: bool = False,
        embed: Embed | None = None,
    ) -> list[Fact]:
        """The facts with these fields; a field that is None is open. By since, then id.

        A field matches exactly, but for case, width and white space. One that is found nowhere in its place matches, where
        ``embed`` is given, whatever is most similar to it there, from `NEAR` or `NEAR_NAME` on: look at the fields of what
        is found. Two relations of the form "has NOUN" are never taken for each other.

        Args:
            subject: whose facts.
            relation: which relation.
            object: with which value.
            as_of: what held at that time, by all that is known now; default: what nothing has ended, also where it begins
                later.
            history: all that ever held, also what has ended.
            embed: makes vectors of the fields; each text once.
        """
        fields = (subject, relation, object)
        sought = [None if field is None else self._place(place, field, embed) for place, field in enumerate(fields)]
        found = []
        for fact in self._candidates(sought[0], sought[1]):
            wanted = history or (fact.until is None if as_of is None else fact.holds(as_of))
            if fact.held and wanted and sought[2] in (None, key(fact.object)):
                found.append(fact)
        return sorted(found, key=lambda fact: (fact.since, fact.id))

    def rows(self, subject: str, relation: str) -> list[Fact]:
        """Every row of a subject and a relation, also what ended, what ends another, and what never held; as `replayed`."""
        return list(self._candidates(key(subject), key(relation)))

    def history(self, subject: str, relation: str) -> list[Fact]:
        """Everything that ever held of a subject and a relation, in order."""
        return self.read(subject, relation, history=True)

    def ask(
        self,
        question: str,
        embed: Embed | None,
        *,
        now: datetime,
        me: str,
        as_of: datetime | None = None,
    ) -> list[FactAnswer]:
        """What the facts say to a question; see `ctxproc.memory.facts_ask.ask`."""
        from ctxproc.memory.facts_ask import ask

        return ask(self, question, embed, now=now, me=me, as_of=as_of)

    def _candidates(self, subject: str | None, relation: str | None) -> Iterator[Fact]:
        """The rows with these keys; None is any."""
        for groups in self._groups.values() if subject is None else [self._groups.get(subject, {})]:
            for group in groups.values() if relation is None else [groups.get(relation, [])]:
                yield from group

    def _place(self, place: int, text: str, embed: Embed | None) -> str:
        """The key that a field is looked up by: its own, or the most similar one that there is in its place."""
        wanted = key(text)
        if embed is None:
            return wanted
        held = (fact for fact in self._candidates(None, None) if fact.held)
        there = {key((fact.subject, fact.relation, fact.object)[place]) for fact in held}
        if wanted in there:
            return wanted
        names = [
            name for name in sorted(there) if place != 1 or not wanted.startswith("has ") or not name.startswith("has ")
        ]
        if not names:
            return wanted
        vectors = self._near.setdefault(embed, {})
        lacking = [name for name in dict.fromkeys([wanted, *names]) if name not in vectors]
        vectors |= dict(zip(lacking, embed(lacking), strict=True)) if lacking else {}
        scores = [float(vectors[wanted] @ vectors[name]) for name in names]
        best = max(range(len(names)), key=scores.__getitem__)
        return names[best] if scores[best] >= (NEAR if place == 1 else NEAR_NAME) else wanted


def _grouped(rows: Iterable[Fact]) -> Groups:
    """Rows by subject and relation, with their validity."""
    from ctxproc.memory.facts_validity import replayed

    groups: Groups = {}
    for fact in rows:
        groups.setdefault(key(fact.subject), {}).setdefault(key(fact.relation), []).append(fact)
    return {subject: {name: replayed(group) for name, group in of.items()} for subject, of in groups.items()}


def fact_of(passage: Passage) -> Fact | None:
    """The fact that a passage of kind "fact" holds, with nothing known of its end; None if its metadata are malformed."""
    note, told = passage.note, passage.note.metadata
    names = [told.get(name) for name in ("subject", "relation", "object")]
    ends = told.get("ends") is True
    if not all(isinstance(name, str) for name in names):
        return None
    subject, relation, object = (str(name) for name in names)
    if not (key(subject) and key(relation) and (key(object) or ends)):
        return None
    return Fact(
        id=passage.id,
        subject=subject,
        relation=relation,
        object=object,
        since=note.time,
        until=None,
        said=_time(told.get("said"), note.time),
        speaker=note.speaker,
        turn=_number(told.get("turn")),
        start=_number(told.get("start")),
        end=_number(told.get("end")),
        text=note.text,
        single=told.get("single", True) is not False,
        ends=ends,
        cancels=_number(told.get("cancels")),
        by=str(told.get("by", "")),
    )


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _time(value: Value | None, otherwise: datetime) -> datetime:
    """A time that is written in ISO's form with its zone."""
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) else otherwise
    except ValueError:
        return otherwise
    return time if time.utcoffset() is not None else otherwise


def sentence(subject: str, relation: str, object: str, ends: bool = False) -> str:
    """States a triple, such as "alice lives in Lyon." or "alice no longer lives in Lyon."."""
    if not object:
        return f"Nothing holds any more of what {subject} {relation}."
    return f"{subject} {'no longer ' if ends else ''}{relation} {object}."


def fact_note(triple: Triple, turn: Passage, by: str = "") -> Note:
    """The row of a triple that was found in a turn; ``by`` names what found it.

    Whether the turn may make facts at all is decided by the extractor, see `ctxproc.memory.extract.base.own_words`.
    """
    return Note(
        text=sentence(triple.subject, triple.relation, triple.object, triple.ends),
        kind="fact",
        time=triple.since or turn.note.time,
        speaker=turn.note.speaker,
        source=f"memory/{turn.id}",
        metadata={
            "subject": triple.subject,
            "relation": triple.relation,
            "object": triple.object,
            "turn": turn.id,
            "start": triple.start,
            "end": triple.end,
            "single": triple.single,
            "ends": triple.ends,
            "said": turn.note.time.isoformat(),
            "by": by,
        },
    )


def row_note(fact: Fact, **changes: Value) -> Note:
    """A row with the fields of a fact but for some; its sentence is made anew."""
    told: dict[str, Value] = {name: getattr(fact, name) for name in _TOLD} | {"said": fact.said.isoformat()} | changes
    changed = replace(fact, **{name: told[name] for name in ("subject", "relation", "object", "ends")})  # type: ignore[arg-type]
    text = sentence(changed.subject, changed.relation, changed.object, changed.ends)
    source = f"memory/{fact.turn}" if fact.turn else ""
    return Note(text, "fact", fact.since, fact.speaker, source, told)


_TOLD = ("subject", "relation", "object", "turn", "start", "end", "single", "ends", "by")

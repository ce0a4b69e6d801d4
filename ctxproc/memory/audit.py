"""What is wrong with a memory: said twice, contradicting, out of date, without a source, junk; and what to do about it.

It is an examination of form, by rules: a fact that a user never meant and that reads like one he meant passes, and what is
called junk may be true. Nothing is altered unless `fix` is called, which takes out only what another passage says too, what
no turn of the user supports, and what can be made anew.

The junk rate is the share of facts that are found to be duplicates, unsupported or junk, of all facts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ctxproc.memory.audit_junk import junk
from ctxproc.memory.audit_near import near
from ctxproc.memory.audit_stated import contradictions, outdated
from ctxproc.memory.bank_cascade import read_again
from ctxproc.memory.bank_junk import LONG, mentioned, spoken
from ctxproc.memory.bank_learn import superfluous
from ctxproc.memory.bank_ledger import turn_key
from ctxproc.memory.base import Passage
from ctxproc.memory.base import now as clock
from ctxproc.memory.erase import Receipt
from ctxproc.memory.extract.base import own_words
from ctxproc.memory.facts import Fact, Facts, fact_of
from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory

Kind = Literal["duplicate", "near duplicate", "contradiction", "stale", "unsupported", "junk"]
KINDS: tuple[Kind, ...] = ("duplicate", "near duplicate", "contradiction", "stale", "unsupported", "junk")
JUNK: tuple[Kind, ...] = ("duplicate", "unsupported", "junk")
"""What counts for the junk rate."""

STALE = 180.0
"""Days after its end at which a fact that was never recalled is stale."""

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong.

    Attributes:
        kind: what.
        passages: which, ascending.
        why: in words.
        forget: what to forget so that it is right; empty where the owner has to choose.
        safe: whether `fix` does it: nothing is lost that is not said elsewhere, unsupported, or made anew.
    """

    kind: Kind
    passages: tuple[int, ...]
    why: str
    forget: tuple[int, ...] = ()
    safe: bool = False

    def to_json(self) -> dict[str, object]:
        """As ``ctxproc memory audit --json`` prints it."""
        passages, forget = list(self.passages), list(self.forget)
        return {"kind": self.kind, "passages": passages, "why": self.why, "forget": forget, "safe": self.safe}


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found.

    Attributes:
        findings: by kind, as in `KINDS`, then by passage.
        passages, facts: how many there are.
        bad: numbers of the facts that count as junk.
    """

    findings: tuple[Finding, ...] = ()
    passages: int = 0
    facts: int = 0
    bad: frozenset[int] = field(default_factory=frozenset)

    @property
    def junk_rate(self) -> float:
        """The share of facts that are duplicates, unsupported or junk; 0 where there are none."""
        return len(self.bad) / self.facts if self.facts else 0.0

    def to_json(self) -> dict[str, object]:
        """As ``ctxproc memory audit --json`` prints it."""
        return {
            "passages": self.passages,
            "facts": self.facts,
            "junk_rate": self.junk_rate,
            "findings": [finding.to_json() for finding in self.findings],
        }


def audit(memory: Memory, now: datetime | None = None) -> Audit:
    """Examine what an owner's memory holds; all of it is read. ``now``: the time; default: the clock's."""
    shelf = {one.id: one for one in memory.store.passages(memory.owner, "memory")}
    facts = Facts.of(shelf.values())
    unreadable = [one.id for one in shelf.values() if one.note.kind == "fact" and fact_of(one) is None]
    found = [
        *_duplicates(shelf, facts),
        *_near(shelf, facts),
        *_contradictions(shelf, facts, now or clock()),
        *_stale(shelf, facts, now or clock()),
        *(Finding("unsupported", (one,), "it does not say what of whom", (one,), True) for one in unreadable),
        *_unsupported(shelf, facts),
    ]
    taken = {one for finding in found if finding.kind == "unsupported" for one in finding.passages}
    sourced = [fact for fact in facts.all if fact.id not in taken]
    found += [Finding("junk", (fact.id,), why, (fact.id,), True) for fact, why in junk(sourced, shelf)]
    found.sort(key=lambda finding: (KINDS.index(finding.kind), finding.passages))
    numbers = {one for one in shelf if shelf[one].note.kind == "fact"}
    bad = frozenset(one for finding in found if finding.kind in JUNK for one in finding.forget if one in numbers)
    return Audit(tuple(found), len(shelf), len(numbers), bad)


def fix(memory: Memory, found: Audit) -> Receipt:
    """Do what is safe of what an audit offers. What was made of it, such as the portrait, is made by the next consolidation.

    Duplicates are only taken out, since another passage still says them; the rest is forgotten without a trace.
    """
    there = {item.id for item in memory.items()}
    safe = [finding for finding in found.findings if finding.safe]
    double = {one for finding in safe if finding.kind == "duplicate" for one in finding.forget}
    rest = {one for finding in safe if finding.kind != "duplicate" for one in finding.forget} - double
    _read_again(memory, rest & there)
    memory.store.forget(memory.owner, sorted(double & there))
    return memory.forget(sorted(rest & there)) if rest & there else Receipt()


def _read_again(memory: Memory, doomed: Collection[int]) -> None:
    """See that turns which restate facts that are to be forgotten are read again: they may be meant where those are not."""
    facts = memory.store.passages(memory.owner, "memory", sorted(doomed))
    turns = {fact.turn for fact in map(fact_of, facts) if fact is not None and fact.turn}
    read_again(memory.store, memory.owner, [*memory.store.passages(memory.owner, "memory", sorted(turns)), *facts])


def _duplicates(shelf: Mapping[int, Passage], facts: Facts) -> Iterator[Finding]:
    """The same turn, the same note, a fact that restates one that holds."""
    same: dict[object, list[int]] = {}
    for one in shelf.values():
        if one.note.kind == "turn":
            same.setdefault(turn_key(one.note), []).append(one.id)
        elif one.note.kind == "note":
            same.setdefault((one.note.text, one.note.time, one.note.speaker, one.note.source), []).append(one.id)
    made: dict[int, list[int]] = {}
    for fact in facts.all:
        made.setdefault(fact.turn, []).append(fact.id)
    double: set[int] = set()
    for first, *others in (ids for ids in same.values() if len(ids) > 1):
        gone = sorted({*others, *(fact for turn in others for fact in made.get(turn, ()))})
        double.update(gone)
        why = f"{first} is the same, of the same time, by the same speaker"
        yield Finding("duplicate", (first, *others), why, tuple(gone), True)
    for fact in superfluous(facts):
        if fact.id not in double:
            yield Finding("duplicate", (fact.id,), "it restates a fact that held already", (fact.id,), True)


def _near(shelf: Mapping[int, Passage], facts: Facts) -> Iterator[Finding]:
    """Notes, and long turns of one speaker, and facts that hold, which say nearly the same and not the same."""
    holding = {fact.id: fact.text for fact in facts.read()}
    kinds: dict[tuple[str, str], dict[int, str]] = {("fact", ""): holding}
    for one in shelf.values():
        long = one.note.kind == "note" or (one.note.kind == "turn" and len(words(one.text)) >= LONG)
        if long:
            kinds.setdefault((one.note.kind, one.note.speaker), {})[one.id] = one.text
    for (kind, _), texts in kinds.items():
        for group in near(texts):
            if len({texts[one] for one in group}) > 1:
                yield Finding("near duplicate", tuple(group), f"{len(group)} {kind}s say nearly the same")


def _contradictions(shelf: Mapping[int, Passage], facts: Facts, now: datetime) -> Iterator[Finding]:
    """Facts that exclude each other, and a portrait or an overall summary that says what holds no more."""
    for one, other in contradictions(facts):
        why = f"{one.object} and {other.object} from the same time on; the later row holds"
        yield Finding("contradiction", (one.id, other.id), why)
    for passage, fact in outdated(shelf.values(), facts, now):
        why = f'its words "{fact.object}" were true until {fact.until:%Y-%m-%d}; without it, it is made anew'
        yield Finding("contradiction", (passage.id, fact.id), why, (passage.id,), True)


def _stale(shelf: Mapping[int, Passage], facts: Facts, now: datetime) -> Iterator[Finding]:
    """Facts that ended long ago and were never recalled. To forget them is to forget what was before."""
    for fact in facts.read(history=True):
        long = fact.until is not None and (now - fact.until).total_seconds() > STALE * DAY
        if long and not shelf[fact.id].recalls:
            why = f"it ended on {fact.until:%Y-%m-%d} and was never recalled"
            yield Finding("stale", (fact.id,), why, (fact.id,))


def _unsupported(shelf: Mapping[int, Passage], facts: Facts) -> Iterator[Finding]:
    """Facts that no turn of the user states."""
    for fact in facts.all:
        why = _lacking(fact, shelf.get(fact.turn))
        if why:
            yield Finding("unsupported", (fact.id,), why, (fact.id,), True)


def _lacking(fact: Fact, turn: Passage | None) -> str:
    """Why a turn does not support a fact; "" if it does, or if the owner put the fact right himself."""
    if turn is None or turn.note.kind != "turn":
        return f"its turn, {fact.turn}, is gone" if fact.turn else "no turn states it"
    role = turn.note.metadata.get("role")
    if role != "user":
        return f"turn {turn.id} is of {'nobody known' if role is None else f'role {role}'}, not of the user"
    if fact.by == "correction":
        return ""
    if not mentioned(fact.object, [spoken(turn.text[fact.start : fact.end])]):
        return f'turn {turn.id} does not say "{fact.object}" there'
    if not any(start < fact.end and fact.start < end for start, end in own_words(turn)):
        return f"turn {turn.id} does not state it in the user's own words"
    return ""

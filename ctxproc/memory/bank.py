"""`Bank`: the memory of a chat. What is said is kept turn by turn; what follows from it is made later, and anew.

After MemoryBank (Zhong et al. 2024, "MemoryBank: Enhancing Large Language Models with Long-Term Memory", section 3): turns,
a summary of each day, an overall summary, a portrait of the user, and forgetting by the curve of Ebbinghaus
(`ctxproc.memory.bank_fading`). Besides, the facts that turns state (`ctxproc.memory.facts`).

Turns are the truth. Facts, summaries and the portrait are made of the user's own words in them and of nothing else, by
`Bank.consolidate`: documents, replies, tool output and what was recalled are never read for it. Each step is one
transaction that can be made again, so that it may be interrupted or killed anywhere and goes on when it is called next.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Literal

from ctxproc.errors import UsageError
from ctxproc.memory import bank_fading
from ctxproc.memory.bank_cascade import AGAIN, read_again
from ctxproc.memory.bank_days import is_over
from ctxproc.memory.bank_fading import Rule
from ctxproc.memory.bank_junk import HEARD, REPEATS, spoken
from ctxproc.memory.bank_learn import late, learned, superfluous
from ctxproc.memory.bank_ledger import Ledger, read
from ctxproc.memory.bank_summary import Summariser
from ctxproc.memory.base import Kind, Note, Passage, Value
from ctxproc.memory.base import now as clock
from ctxproc.memory.erase import Receipt
from ctxproc.memory.extract.base import own_words, speaker_of
from ctxproc.text import sentences, words

if TYPE_CHECKING:
    from ctxproc.llm.base import LLM
    from ctxproc.memory.extract.base import Extractor
    from ctxproc.memory.memory import Memory

Role = Literal["user", "assistant", "tool"]
Stop = Callable[[], bool]
Step = tuple[str, int]
"""What a step of `Bank.consolidate` did, as a field of `Consolidated`, and how often."""

LEARNED = "bank.learned"
"""The owner's setting with the number of a turn: it and all before it have been read for facts."""

READ = "bank.read"
"""The same of the slow extractor."""

SETTLED = "bank.settled"
"""The owner's setting with the number of a fact: turns that restated what it, or one before it, ends were looked for."""

TOGETHER = 32
"""Turns whose facts are written in one transaction."""

SHORTEST = 3
"""Words of a sentence that a summary may hold."""


@dataclass(frozen=True, slots=True)
class Consolidated:
    """What `Bank.consolidate` did.

    Attributes:
        learned: facts that were made.
        merged: turns and facts that said again what another says, or that turned out to be a program's.
        days: summaries of days that were made.
        overall, portrait: whether they were made anew.
        finished: whether nothing is left to do.
    """

    learned: int = 0
    merged: int = 0
    days: int = 0
    overall: int = 0
    portrait: int = 0
    finished: bool = True


class Bank:
    """The chat memory of the owner of a `Memory`. Safe in several threads and processes.

    The first call of a process reads the whole shelf, later ones what has changed since.

    Args:
        memory: where everything is kept.
        llm: writes summaries and the portrait; None, or a model that does not write: the most central sentences of the
            user are the summary, and the facts that hold are the portrait.
        extractor: finds facts; None: none are learned.
        slow: finds more facts, by `consolidate` alone, in turns that ``extractor`` has read.
        seed: of the lots of fading, and of the model's sampler.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        llm: LLM | None = None,
        extractor: Extractor | None = None,
        slow: Extractor | None = None,
        seed: int = 0,
    ) -> None:
        self.memory = memory
        self.extractor = extractor
        self.slow = slow
        self.seed = seed
        self._summariser = Summariser(llm, seed)
        self._store, self._owner = memory.store, memory.owner
        self._known = Ledger(memory.store, memory.owner)
        self._consolidating = threading.Lock()

    def turn(
        self,
        text: str,
        role: Role = "user",
        speaker: str = "",
        session: str = "",
        time: datetime | None = None,
        metadata: Mapping[str, Value] | None = None,
    ) -> int:
        """Keep what was said; its number, or that of the turn that says the same at the same time by the same speaker.

        Args:
            text: as it was said.
            role: of who said it; only of a user's words facts and summaries are made.
            speaker: a name; default: the owner's for the user, the role for others.
            session: of the chat.
            time: when; default: now.
            metadata: further names.

        Raises:
            UsageError, LimitError: as `ctxproc.Memory.remember`; there is no such role.
        """
        if role not in ("user", "assistant", "tool"):
            raise UsageError(f"a turn is of a user, the assistant or a tool, not of {role!r}")
        name = speaker or (self._owner.user if role == "user" else role)
        told = {**(metadata or {}), "role": role, "session": session}
        note = Note(text, "turn", time or clock(), name, f"chat/{session}", told)
        there = self._ledger().same(note) if time else 0
        return there or self.memory.remember_all([note])[0]

    def learn(self, turn: int) -> list[int]:
        """Make the facts that a turn states; the numbers of all its facts. They are made once.

        Empty for a turn that is not the user's, and for one whose facts were known already.

        Raises:
            UsageError: there is no such passage.
        """
        self.memory.get(turn)
        ledger, upto = self._ledger(), self._upto
        made = ledger.facts_of([turn])
        if made or turn <= upto or self.extractor is None:
            return made
        next_ = ledger.users(upto)[:1] == [turn]
        found = self.memory.remember_all(self._facts([self.extractor], [turn], restate=not next_)[0])
        if next_:
            self._store.set(self._owner, LEARNED, str(turn))
        return found

    def consolidate(self, now: datetime | None = None, stop: Stop | None = None) -> Consolidated:
        """Make what is not made yet: facts of turns, summaries of days that are over, the overall one and the portrait.

        Called again it does nothing where nothing was said since. A day of which something is told later, or forgotten,
        is summarised anew. Take it out of the way of the answer: it may ask a model.

        Args:
            now: the time; default: the clock's.
            stop: asked before each step; where it says True, the rest is left to the next call.

        Raises:
            RunError: the model or the store failed; what was done before is kept.
        """
        now, stop = now or clock(), stop or (lambda: False)
        done = Consolidated()
        with self._consolidating:
            for steps in (self._join(), self._learn_all(stop), self._days(now), self._wholes(now)):
                while not stop():
                    step = next(steps, None)
                    if step is None:
                        break
                    done = replace(done, **{step[0]: getattr(done, step[0]) + step[1]})
                else:
                    return replace(done, finished=False)
        return done

    def faded(self, passage: Passage, now: datetime) -> bool:
        """Whether a turn has faded from recall; see `ctxproc.memory.bank_fading`."""
        return bank_fading.faded(passage, now, self.seed)

    def erase(self, rule: Rule, now: datetime | None = None, *, dry_run: bool = False) -> Receipt:
        """Forget the turns that a rule takes, and what was made of them, without a trace; see `ctxproc.Memory.forget`."""
        now = now or clock()
        turns = self._read(self._ledger().of_kind("turn"))
        doomed = [one.id for one in turns if rule.takes(one, now, self.seed)]
        return self.memory.forget(doomed, dry_run=dry_run) if doomed else Receipt(dry_run=dry_run)

    # steps of consolidate: each does one transaction, tells what it did, and can be left out or made again

    def _join(self) -> Iterator[Step]:
        """Take out turns that are the same as an earlier one, with their facts, which that one teaches."""
        ledger = self._ledger()
        double = ledger.duplicates()
        if double:
            yield self._forget([*double, *ledger.facts_of(double)])

    def _learn_all(self, stop: Stop) -> Iterator[Step]:
        """Facts of the turns that have not been read for them, by the quick extractor, then by the slow one."""
        if self.extractor is None:
            yield from self._merge()
            return
        quick, slow = [self.extractor], [self.slow] if self.slow else []
        for extractors, upto in ((quick, LEARNED), (slow, READ)):
            read_upto = int(self._store.setting(self._owner, upto) or 0)
            for turns in _batches(self._ledger().users(read_upto)) if extractors else ():
                notes, last = self._facts(extractors, turns, stop, restate=True)
                made = self.memory.remember_all(notes)
                self._store.set(self._owner, upto, str(last))
                yield "learned", len(made)
        while True:
            again = self._again
            for turns in _batches(again):
                notes, last = self._facts([*quick, *slow], turns, stop, restate=True)
                made = self.memory.remember_all(notes)
                left = set(self._again).difference(one for one in again if one <= last)  # others may have added some
                self._store.set(self._owner, AGAIN, json.dumps(sorted(left)))
                yield "learned", len(made)
            yield from self._merge()
            self._told_late(again)
            if not self._again:
                return

    def _told_late(self, before: Sequence[int]) -> None:
        """Note the turns that are to be read again, since a fact ends what they restated.

        Args:
            before: turns that were read again just now; they are not once more.
        """
        ledger = self._ledger()
        facts = ledger.facts()
        after = int(self._store.setting(self._owner, SETTLED) or 0)
        last = max((fact.id for fact in facts.all), default=0)
        concerned = late(facts, after, ledger.times(self._upto)) if last > after else None
        read_ = self._read(ledger.users(0)) if concerned else []
        again = [turn.id for turn in read_ if concerned and concerned(turn) and turn.id not in before]
        if again:
            self._store.set(self._owner, AGAIN, json.dumps(sorted({*self._again, *again})))
        if last > after:
            self._store.set(self._owner, SETTLED, str(last))

    def _merge(self) -> Iterator[Step]:
        """Take out facts that say again what another says, and those of messages that programs write again and again."""
        ledger = self._ledger()
        restating = [fact.id for fact in superfluous(ledger.facts())]
        if restating:
            yield self._forget(restating)
        ledger = self._ledger()
        machines = [turn for turn in ledger.of_facts() if ledger.alike(turn) >= REPEATS]
        if machines:
            facts = ledger.facts_of(machines)
            read_again(self._store, self._owner, self._read([*machines, *facts]))
            yield self._forget(facts)

    def _days(self, now: datetime) -> Iterator[Step]:
        """A summary of each day that is over and has changed since it was summarised."""
        held, days = self._ledger().summaries(), self._ledger().days()
        for day in sorted({*held, *days}):
            turns, made_of = days.get(day, []), self._known.made_of(days.get(day, []))
            old = self._read(held.get(day, []))
            if turns and old and old[-1].note.metadata.get("made_of") == made_of:
                outdated = old[:-1]
            else:
                said = self._read(turns)
                if not all(is_over(one.note, now) for one in said):
                    continue
                lines = [line for turn in said for line in own_lines(turn)]
                made = self._summariser.make("memory.day", lines, {"day": day})
                if made.text:
                    told = {"of": "day", "day": day, "made_of": made_of, "by": made.by}
                    self._remember(made.text, "summary", max(one.note.time for one in said), told)
                    yield "days", 1
                outdated = old
            if outdated:
                self._store.forget(self._owner, [one.id for one in outdated])
                yield "days", 0

    def _wholes(self, now: datetime) -> Iterator[Step]:
        """The overall summary, of the summaries of days and what holds, and the portrait."""
        ledger = self._ledger()
        days = self._read([ids[-1] for _, ids in sorted(ledger.summaries().items())])
        facts = sorted(ledger.facts().read(as_of=now), key=lambda fact: (fact.since, fact.id))
        lines = [f"{one.note.metadata['day']}: {line}" for one in days for line in _lines(one.text)]
        known = [fact.text for fact in facts]
        writes = self._summariser.writes
        numbers = [*(one.id for one in days), *(fact.id for fact in facts)]
        made_of = ledger.made_of(numbers)
        yield from self._whole("overall", made_of, lines, known if writes and lines else [], now)
        yield from self._whole("portrait", made_of, lines if writes else [], known, now)

    def _whole(
        self, name: str, made_of: str, lines: Sequence[str], known: Sequence[str], now: datetime
    ) -> Iterator[Step]:
        """One of the two."""
        kind: Kind = "portrait" if name == "portrait" else "summary"
        old = [one for one in self._read(self._known.of_kind(kind)) if one.note.metadata.get("of") == name]
        if old and old[-1].note.metadata.get("made_of") == made_of:
            outdated = old[:-1]
        else:
            made = self._summariser.make(f"memory.{name}", lines, {"user": self._owner.user}, known)
            if made.text:
                self._remember(made.text, kind, now, {"of": name, "made_of": made_of, "by": made.by})
                yield name, 1
            outdated = old
        if outdated:
            self._store.forget(self._owner, [one.id for one in outdated])
            yield name, 0

    # parts

    def _ledger(self) -> Ledger:
        """The ledger as of now."""
        self._known.follow()
        return self._known

    @property
    def _again(self) -> list[int]:
        """Turns that are to be read again."""
        found: list[int] = json.loads(self._store.setting(self._owner, AGAIN) or "[]")
        return found

    @property
    def _upto(self) -> int:
        return int(self._store.setting(self._owner, LEARNED) or 0)

    def _read(self, ids: Sequence[int]) -> list[Passage]:
        return list(read(self._store, self._owner, ids))

    def _remember(self, text: str, kind: Kind, time: datetime, told: Mapping[str, Value]) -> None:
        self.memory.remember(text, kind=kind, time=time, source="memory", metadata=told)

    def _forget(self, ids: Sequence[int]) -> Step:
        """Take out what another passage says as well; for what nobody shall find any more there is `Memory.forget`."""
        self._store.forget(self._owner, ids)
        return "merged", len(ids)

    def _facts(
        self, extractors: Sequence[Extractor], turns: Sequence[int], stop: Stop | None = None, *, restate: bool = False
    ) -> tuple[list[Note], int]:
        """The facts that some of the user's turns add, and the last turn that was read: all of them, but for ``stop``.

        ``restate``: see `learned`; what is superfluous in the end is merged.
        """
        ledger = self._ledger()
        facts = ledger.facts()
        notes: list[Note] = []
        last = turns[-1]
        for turn in self._read(turns):
            if ledger.alike(turn.id) < REPEATS:
                heard = partial(self._heard, turn.id)
                for extractor in extractors:
                    notes += learned(turn, extractor, facts, heard, restate=restate)
            if stop is not None and stop():
                return notes, turn.id
        return notes, last

    def _heard(self, before: int) -> list[str]:
        """What others than the user said in the last turns before one."""
        return [spoken(one.text) for one in self._read(self._known.others(before, HEARD))]


def own_lines(turn: Passage) -> list[str]:
    """What a user said in his own words, a sentence a line, each after his name; what is shorter than `SHORTEST` is left."""
    said = (" ".join(turn.text[start:end].split()) for start, end in own_words(turn))
    return [f"{speaker_of(turn)}: {line}" for line in said if len(words(line)) >= SHORTEST]


def _lines(text: str) -> list[str]:
    """The sentences of a summary, a line each."""
    return [" ".join(line[start:end].split()) for line in text.splitlines() for start, end in sentences(line)]


def _batches(turns: Sequence[int]) -> Iterator[Sequence[int]]:
    yield from (turns[start : start + TOGETHER] for start in range(0, len(turns), TOGETHER))

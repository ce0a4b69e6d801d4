"""Kills the writers of a store and counts what goes wrong. The store is never opened in this process itself."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from peers.crash_child import BEGUN, DONE, OPENED, Child, Send
from peers.crash_subject import Operation, State, Subject, operations

ROUNDS = 25
"""Kills of one store before a new one is begun."""
MOST = 100
"""Operations in which a step must come, or it comes no more."""
CALLS = (-1, -1, 0, 0, 1, 2, 5, 10)
"""Some of so many calls a writer may finish before the moment of its end is drawn; -1: it need not even open the store."""
LONGEST = 0.05
"""Seconds until that moment at most."""
EXAMPLES = 10
FAULTS = ("lost", "half", "undone", "empty", "unreadable", "inconsistent")

Say = Callable[[str], object]


@dataclass
class Found:
    """What was seen after a writer ended."""

    held: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    error: str = ""


@dataclass
class Tally:
    """What became of a store's writes.

    Attributes:
        kills: writers killed.
        inside: of them, while a call that writes was under way.
        acknowledged: calls that had returned.
        lost: acknowledged texts that are missing, or are not the last acknowledged version.
        half: calls under way of which a part, but not all, was there, or texts that nobody wrote.
        undone: removals that were acknowledged, and yet the text was there again.
        empty: stores that held something, and then nothing.
        unreadable: stores that could not be opened or read.
        inconsistent: kills after which the store found itself damaged, or an index or a vector differed from the texts.
        examples: of what went wrong, a few.
    """

    kills: int = 0
    inside: int = 0
    acknowledged: int = 0
    lost: int = 0
    half: int = 0
    undone: int = 0
    empty: int = 0
    unreadable: int = 0
    inconsistent: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether nothing went wrong."""
        return not any(getattr(self, fault) for fault in FAULTS)

    def add(self, name: str, before: State, under_way: Operation | None, found: Found) -> bool:
        """Compares what was found with what had been acknowledged, and with the call that was under way.

        Returns:
            Whether all is well.
        """
        after = under_way.applied(before) if under_way else before
        self.kills += 1
        self.inside += under_way is not None
        notes = [found.error] if found.error else list(found.wrong)
        self.unreadable += bool(found.error)
        self.inconsistent += bool(found.wrong)
        if not found.error and found.held not in (before, after):
            lost = sum(found.held.get(key) not in (before[key], after[key]) for key in before if key in after)
            undone = sum(key not in before and key not in after for key in found.held)
            self.lost, self.undone = self.lost + lost, self.undone + undone
            self.half += not lost and not undone
            self.empty += not found.held and bool(before)
            notes.append(f"{len(found.held)} texts in place of {len(before)} or {len(after)}, {lost} lost")
        if notes and len(self.examples) < EXAMPLES:
            self.examples.append(f"{name}: {'; '.join(notes[:3])}"[:300])
        return not notes

    def __str__(self) -> str:
        faults = [f"{getattr(self, fault)} {fault}" for fault in FAULTS if getattr(self, fault)]
        return f"{self.kills} kills, {self.inside} within a call; {', '.join(faults) or 'nothing wrong'}"


def kills(kind: type[Subject], folder: Path, count: int, seed: int, say: Say) -> Tally:
    """Kills writers at random moments: while they make the store, open it, or write; some beside a reader, killed too."""
    tally, dice, state, home = Tally(), random.Random(seed), {}, folder
    for number in range(count):
        if number % ROUNDS == 0:
            shutil.rmtree(home, ignore_errors=True)
            home, state = folder / str(number), {}
            home.mkdir(parents=True)
        beside = bool(kind.beside) and number % 2 == 1
        task = Task(kind, home, state, f"{seed}.{number}", kind.beside if beside else kind.kinds)
        reader = Child(task.read) if beside else None
        if reader:
            reader.heard(0)
        writer = Child(task.write)
        said = writer.heard(dice.choice(CALLS))
        time.sleep(dice.uniform(0, LONGEST))
        writer.kill()
        if reader:
            reader.kill()
            reader.rest()
        state = task.settle(said + writer.rest()[0], tally)
        if number % 50 == 49:
            say(f"{tally}, {tally.acknowledged} calls acknowledged")
    shutil.rmtree(home, ignore_errors=True)
    return tally


def steps(kind: type[Subject], folder: Path, turns: int, say: Say) -> dict[str, Tally]:
    """Kills writers at each named step of a write: the first time that it comes, the second, and so on."""
    tallies: dict[str, Tally] = {}
    for step in kind.steps:
        home, state, tally = folder / step.replace(" ", "-"), {}, Tally()
        home.mkdir(parents=True)
        for turn in range(1, turns + 1):
            task = Task(kind, home, state, f"{step}.{turn}", kind.kinds, step, turn)
            said, killed = Child(task.write).rest()
            if not killed:
                break
            state = task.settle(said, tally)
        tallies[step] = tally
        shutil.rmtree(home)
        say(f"{step}: {tally}")
    return tallies


@dataclass
class Task:
    """What one writer does to a store.

    Attributes:
        state: what the store holds.
        seed, kinds: of the operations.
        step, turn: where it kills itself; without, somebody else has to.
    """

    kind: type[Subject]
    home: Path
    state: State
    seed: str
    kinds: tuple[str, ...]
    step: str = ""
    turn: int = 0

    def write(self, send: Send) -> None:
        """Opens the store and carries out operations until it is killed, saying so before and after each of them."""
        if self.step:
            self.kind.stop_at(self.step, self.turn)
        subject = self.kind(self.home)
        send(OPENED)
        for number, (operation, _) in enumerate(operations(self.state, self.seed, self.kinds)):
            send(BEGUN)
            subject.do(operation)
            send(DONE)
            if self.step and number == MOST:
                return

    def read(self, send: Send) -> None:
        """Reads without an end until it is killed; says so first."""
        subject = self.kind(self.home)
        subject.linger()
        send(OPENED)
        signal.pause()

    def settle(self, said: bytes, tally: Tally) -> State:
        """Adds to the tally what the killed writer left behind; the state that the next one begins with.

        Where anything is wrong, that is an empty store.
        """
        script, state = operations(self.state, self.seed, self.kinds), self.state
        for _ in range(said.count(DONE)):
            state = next(script)[1]
        under_way = next(script)[0] if said.endswith(BEGUN) else None
        found = inspected(self.kind, self.home)
        tally.acknowledged += said.count(DONE)
        if tally.add(self.seed, state, under_way, found):
            return found.held
        shutil.rmtree(self.home)
        self.home.mkdir()
        return {}


def inspected(kind: type[Subject], home: Path) -> Found:
    """What a fresh process finds in a store."""

    def look(send: Send) -> None:
        try:
            subject = kind(home)
            found = Found(dict(subject.held()), subject.wrong())
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            found = Found(error=f"{type(error).__name__}: {error}")
        send(json.dumps(asdict(found)).encode())

    try:
        return Found(**json.loads(Child(look).rest()[0]))
    except ChildProcessError as error:
        return Found(error=str(error))

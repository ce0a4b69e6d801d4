"""Kills the writers of a store, lets many write at once, puts a small owner beside a large one; counts what goes wrong.

Linux and macOS: processes are forks of this one, so that a library is loaded once. The store is never opened in this
process itself.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from peers.crash_subject import OWNERS, Operation, State, Subject, operations, vector, vectors

ROUNDS = 25
"""Kills of one store before a new one is begun."""
MOST = 300
"""Operations in which a step must come, or it comes no more."""
LONGEST = 0.15
"""Seconds that a writer lives at most."""
OPENED, BEGUN, DONE = b"o", b"b", b"d"
"""What a writer says when the store is open, and before and after each call."""
EXAMPLES = 10
FAULTS = ("lost", "half", "undone", "empty", "unreadable", "inconsistent")

Send = Callable[[bytes], object]
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


class Child:
    """A fork of this process.

    Args:
        work: what it does; it is given a function that sends bytes to this process, and exits with 1 where it raises.
    """

    def __init__(self, work: Callable[[Send], object]) -> None:
        self._reader, pipe = os.pipe()
        sys.stdout.flush()
        self._id = os.fork()
        if not self._id:
            self._work(work, pipe)
        os.close(pipe)

    def first(self) -> bytes:
        """Its first byte; none if it ended before."""
        return os.read(self._reader, 1)

    def kill(self) -> None:
        """SIGKILL: nothing that it does now is finished."""
        os.kill(self._id, signal.SIGKILL)

    def rest(self) -> tuple[bytes, bool]:
        """All that it sends until it ends, and whether it was killed.

        Raises:
            RuntimeError: it failed.
        """
        with os.fdopen(self._reader, "rb") as file:
            said = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])
        if code not in (0, -signal.SIGKILL):
            raise RuntimeError(f"a process failed with {code}; see above")
        return said, code != 0

    @staticmethod
    def _work(work: Callable[[Send], object], pipe: int) -> None:
        code = 1
        try:
            with os.fdopen(pipe, "wb", buffering=0) as file:
                work(file.write)
            code = 0
        except Exception:  # noqa: BLE001 (printed; the process ends)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)


def kills(kind: type[Subject], folder: Path, count: int, seed: int, say: Say) -> Tally:
    """Kills writers at random moments: while they make the store, open it, or write."""
    tally, dice, state, home = Tally(), random.Random(seed), {}, folder
    for number in range(count):
        if number % ROUNDS == 0:
            shutil.rmtree(home, ignore_errors=True)
            home, state = folder / str(number), {}
            home.mkdir(parents=True)
        task = Task(kind, home, state, f"{seed}.{number}")
        writer = Child(task.write)
        said = writer.first() if dice.random() < 0.8 else b""
        time.sleep(dice.uniform(0, LONGEST))
        writer.kill()
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
            task = Task(kind, home, state, f"{step}.{turn}", step, turn)
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
        seed: of the operations.
        step, turn: where it kills itself; without, somebody else has to.
    """

    kind: type[Subject]
    home: Path
    state: State
    seed: str
    step: str = ""
    turn: int = 0

    def write(self, send: Send) -> None:
        """Opens the store and carries out operations until it is killed, saying so before and after each of them."""
        if self.step:
            self.kind.stop_at(self.step, self.turn)
        subject = self.kind(self.home)
        send(OPENED)
        for number, (operation, _) in enumerate(operations(self.state, self.seed, self.kind.kinds)):
            send(BEGUN)
            subject.do(operation)
            send(DONE)
            if self.step and number == MOST:
                return

    def settle(self, said: bytes, tally: Tally) -> State:
        """Adds to the tally what the killed writer left behind; the state that the next one begins with.

        Where anything is wrong, that is an empty store.
        """
        script, state = operations(self.state, self.seed, self.kind.kinds), self.state
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

    return Found(**json.loads(Child(look).rest()[0]))


def together(kind: type[Subject], home: Path, writers: int, writes: int, readers: int) -> dict[str, Any]:
    """So many processes add notes to one store, one in each call, while others count them.

    Every second reader opens the store anew for each count.

    Returns:
        ``acknowledged``: calls that returned; ``lost``: of their texts, how many are missing at the end; ``errors``:
        what was raised, and how often; ``counts``: how often readers counted; ``shrank``: counts below one before;
        ``wrong``: what `Subject.wrong` says at the end; ``seconds``.
    """
    home.mkdir(parents=True)
    Child(lambda send: kind(home)).rest()
    over, began = home.parent / "over", time.perf_counter()
    adding = [Child(partial(add_notes, kind, home, number, writes)) for number in range(writers)]
    counting = [Child(partial(count_notes, kind, home, over, anew=bool(number % 2))) for number in range(readers)]
    added = [json.loads(child.rest()[0]) for child in adding]
    seconds = time.perf_counter() - began
    over.touch()
    counted = [json.loads(child.rest()[0]) for child in counting]
    found = inspected(kind, home)
    done = {key: text for one in added for key, text in one["done"].items()}
    return {
        "calls": writers * writes,
        "acknowledged": len(done),
        "lost": sum(found.held.get(key) != text for key, text in done.items()),
        "errors": dict(sum((Counter(one["errors"]) for one in (*added, *counted)), Counter())),
        "counts": sum(one["counts"] for one in counted),
        "shrank": sum(one["shrank"] for one in counted),
        "wrong": [found.error] if found.error else found.wrong,
        "seconds": seconds,
    }


def add_notes(kind: type[Subject], home: Path, number: int, writes: int, send: Send) -> None:
    """Adds notes and tells which calls returned, and what the others raised."""
    subject, done, errors = kind(home), {}, Counter()
    for i in range(writes):
        owner = OWNERS[number % len(OWNERS)]
        key = f"{owner}/note {number}.{i}"
        try:
            subject.do(Operation("add", owner, {key: f"{key} is kept"}))
        except Exception as error:  # noqa: BLE001 (it is the outcome)
            errors[line(error)] += 1
        else:
            done[key] = f"{key} is kept"
    send(json.dumps({"done": done, "errors": errors}).encode())


def count_notes(kind: type[Subject], home: Path, over: Path, send: Send, anew: bool) -> None:
    """Counts the notes until a file is there."""
    subject, told = kind(home), {"counts": 0, "shrank": 0, "errors": Counter()}
    most = dict.fromkeys(OWNERS, 0)
    while not over.exists():
        for owner in OWNERS:
            try:
                subject = kind(home) if anew else subject
                count = subject.count(owner)
            except Exception as error:  # noqa: BLE001 (it is the outcome)
                told["errors"][line(error)] += 1
                continue
            told["counts"] += 1
            told["shrank"] += count < most[owner]
            most[owner] = max(count, most[owner])
    send(json.dumps(told).encode())


def line(error: Exception) -> str:
    """An error on one line, without what differs from one time to the next."""
    return re.sub(r"\d+", "N", f"{type(error).__name__}: {' '.join(str(error).split())}")[:120]


def tenants(kind: type[Subject], home: Path, large: int, small: int, k: int, queries: int) -> dict[str, Any]:
    """One owner has many notes, another few, who asks for the nearest ``k`` of theirs to random vectors.

    Returns:
        ``results``: how many came, on average; ``recall``: of those that brute force finds, the mean share;
        ``foreign``: results that are not the owner's.
    """
    home.mkdir(parents=True)
    many, few = (
        {f"{o}/note {i}": f"{o} keeps {i}" for i in range(n)} for o, n in zip(OWNERS, (large, small), strict=True)
    )
    keys, matrix = list(few), vectors(list(few.values()))
    asked = [vector(f"query {number}") for number in range(queries)]

    def ask(send: Send) -> None:
        subject = kind(home)
        for texts in (many, few):
            for i in range(0, len(texts), 1000):
                put = dict(list(texts.items())[i : i + 1000])
                subject.do(Operation("add", next(iter(put)).split("/")[0], put))
        send(json.dumps([subject.nearest(OWNERS[1], query, k) for query in asked]).encode())

    results = json.loads(Child(ask).rest()[0])
    truth = [{keys[row] for row in np.argsort(-(matrix @ query), kind="stable")[:k]} for query in asked]
    return {
        "large": large,
        "small": small,
        "k": k,
        "results": mean(len(found) for found in results),
        "recall": mean(len(right & set(found)) / len(right) for right, found in zip(truth, results, strict=True)),
        "foreign": sum(key not in few for found in results for key in found),
    }


def serve(kind: type[Subject]) -> None:
    """Does what the line on stdin asks for, tells of it on stderr, and writes the result, a line, on stdout."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    asked, folder, say = (
        json.loads(sys.stdin.readline()),
        Path(sys.argv[1]),
        partial(print, file=sys.stderr, flush=True),
    )
    found: dict[str, Any] = {"facts": dict(kind.facts)}
    if "kills" in asked:
        found["kills"] = asdict(kills(kind, folder / "kills", **asked["kills"], say=say))
    if "steps" in asked:
        found["steps"] = {n: asdict(t) for n, t in steps(kind, folder / "steps", **asked["steps"], say=say).items()}
    if "together" in asked:
        found["together"] = together(kind, folder / "together", **asked["together"])
        say(f"together: {found['together']}")
    if "tenants" in asked:
        found["tenants"] = tenants(kind, folder / "tenants", **asked["tenants"])
        say(f"tenants: {found['tenants']}")
    replies.write(json.dumps(found) + "\n")

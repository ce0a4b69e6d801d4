"""A store that is killed while it writes: what it is told, and what it must hold afterwards.

What a store is told follows from a seed, so that whoever killed the writer knows, from the number of calls that returned,
what must be there. Needs no package but numpy, so that every peer's own Python can import it.
"""

from __future__ import annotations

import os
import random
import signal
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

State = Mapping[str, str]
"""What a store holds: texts by key. A key is its owner, a slash, "note" or "file", and more."""

OWNERS = ("ann", "bob")
DIMENSIONS = 64
WORDS = "lamp tower harbour keeper stair fog oil glass storm boat rope signal night wick brass tide log bell".split()


@dataclass(frozen=True)
class Operation:
    """One call that writes.

    Attributes:
        kind: "add", "edit", "forget" (notes), "file", "drop" (documents), or one that changes nothing, such as "purge".
        owner: whose texts it is about.
        put: keys and their new texts.
        gone: keys that are removed.
    """

    kind: str
    owner: str
    put: State = field(default_factory=dict)
    gone: tuple[str, ...] = ()

    def applied(self, state: State) -> State:
        """What is held after it."""
        return {key: text for key, text in state.items() if key not in self.gone} | dict(self.put)


class Subject(ABC):
    """A store in a folder; opened anew in every process.

    Attributes:
        kinds: of operations that it is told, the frequent ones more than once.
        beside: the same while another process is reading; empty where that makes no difference.
        steps: names of the steps of its writes at which it can be killed.
        facts: versions and settings, for the report.
    """

    kinds: tuple[str, ...] = ("add",)
    beside: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    facts: Mapping[str, str] = MappingProxyType({})

    @abstractmethod
    def __init__(self, folder: Path) -> None:
        """Opens the store, or makes it where there is none."""

    @abstractmethod
    def do(self, operation: Operation) -> None:
        """Carries it out: when this returns, it is done for good."""

    @abstractmethod
    def held(self) -> State:
        """Everything that it holds."""

    def linger(self) -> None:  # noqa: B027 (nothing by default)
        """Begins to read and does not come to the end."""

    @abstractmethod
    def count(self, owner: str) -> int:
        """How many notes an owner has."""

    @abstractmethod
    def wrong(self) -> list[str]:
        """What is damaged, and where indexes and vectors differ from the texts; one line each."""

    @abstractmethod
    def nearest(self, owner: str, query: NDArray[np.float32], k: int) -> list[str]:
        """Keys of the owner's notes whose vectors are nearest, by the cosine, the nearest first."""

    @classmethod
    def stop_at(cls, step: str, turn: int) -> None:
        """From now on, kill this process when a step is reached for the ``turn``-th time."""
        raise NotImplementedError


def dies(work: Callable[..., object], turn: int, after: bool) -> Callable[..., object]:
    """The function ``work``, which kills this process right before or after its ``turn``-th call."""
    calls = count(1)

    def call(*given: object, **named: object) -> object:
        now = next(calls) == turn
        if now and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = work(*given, **named)
        if now:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return call


def operations(state: State, seed: str, kinds: Sequence[str]) -> Iterator[tuple[Operation, State]]:
    """Endless operations, the same for the same arguments, and the state after each."""
    dice, number = random.Random(seed), 0
    while True:
        operation = draw(state, dice, dice.choice(kinds), f"{seed}.{number}")
        state, number = operation.applied(state), number + 1
        yield operation, state


def draw(state: State, dice: random.Random, kind: str, name: str) -> Operation:
    """An operation of this kind, or an "add" where there is nothing that it could be done to."""
    owner = dice.choice(OWNERS)
    notes = sorted(key for key in state if key.startswith(f"{owner}/note"))
    files = sorted(key for key in state if key.startswith(f"{owner}/file"))
    if kind == "edit" and notes:
        key = dice.choice(notes)
        return Operation(kind, owner, {key: written(key, name, dice)})
    if kind == "forget" and notes:
        return Operation(kind, owner, gone=tuple(dice.sample(notes, min(len(notes), dice.choice([1, 2, 20])))))
    if kind == "file":
        key = f"{owner}/file {dice.randrange(3)}"
        return Operation(kind, owner, {key: written(key, name, dice, 2000)})
    if kind == "drop" and files:
        return Operation(kind, owner, gone=(dice.choice(files),))
    if kind in ("add", "edit", "forget", "drop"):
        keys = [f"{owner}/note {name}.{i}" for i in range(dice.choice([1, 1, 1, 5, 50]))]
        return Operation("add", owner, {key: written(key, name, dice) for key in keys})
    return Operation(kind, owner)


def written(key: str, name: str, dice: random.Random, most: int = 200) -> str:
    """A text of 5 to so many words that no other operation writes."""
    return f"{key} by {name}: {' '.join(dice.choices(WORDS, k=dice.randint(5, most)))}."


def vector(text: str) -> NDArray[np.float32]:
    """The vector of a text, of length 1, shape (DIMENSIONS,)."""
    drawn = np.random.default_rng(zlib.crc32(text.encode())).standard_normal(DIMENSIONS)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of texts, shape (texts, DIMENSIONS)."""
    return np.stack([vector(text) for text in texts]) if texts else np.zeros((0, DIMENSIONS), np.float32)

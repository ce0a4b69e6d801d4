"""The sets of icl.py, and how windows are filled with shots of them."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

Shot = tuple[str, str]
"""A text and its label."""

TREC = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "person",
    "LOC": "location",
    "NUM": "number",
}


@dataclass(frozen=True)
class Set:
    """A data set: shots are drawn from ``train``, items from ``test``; both are (text, label)."""

    name: str
    train: Sequence[Shot]
    test: Sequence[Shot]

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, sorted."""
        return tuple(sorted({label for _, label in self.train}))


def read(folder: Path, name: str) -> Set:
    """A set from its files; labels in words."""
    if name == "trec":
        halves = [trec(folder / "trec_qc" / f"{half}.txt") for half in ("train", "test")]
    elif name == "banking77":
        halves = [banking(folder / name / f"{half}.csv") for half in ("train", "test")]
    else:
        found = json.loads((folder / name / "data_full.json").read_text(encoding="utf-8"))
        halves = [[(text, words(label)) for text, label in found[half]] for half in ("train", "test")]
    return Set(name, *halves)


def trec(path: Path) -> list[Shot]:
    """Questions with their coarse class."""
    lines = (line.partition(" ") for line in path.read_text(encoding="latin-1").splitlines() if line)
    return [(text, TREC[label.partition(":")[0]]) for label, _, text in lines]


def banking(path: Path) -> list[Shot]:
    """Customers' questions with their intent."""
    with path.open(encoding="utf-8", newline="") as file:
        return [(" ".join(row["text"].split()), words(row["category"])) for row in csv.DictReader(file)]


def words(label: str) -> str:
    """A label without underscores."""
    return label.replace("_", " ")


def balanced(shots: Sequence[Shot], rng: random.Random) -> Iterator[Shot]:
    """Shots without end in rounds of one for each class, the classes of a round in random order; none twice in a class."""
    by_class: dict[str, list[Shot]] = {}
    for shot in shots:
        by_class.setdefault(shot[1], []).append(shot)
    for group in by_class.values():
        rng.shuffle(group)
    turn = 0
    while True:
        for label in rng.sample(sorted(by_class), len(by_class)):
            yield by_class[label][turn % len(by_class[label])]
        turn += 1


def windows_of(
    shots: Iterator[Shot], count: int, room: int, most: int, size: Callable[[Shot], int]
) -> list[list[Shot]]:
    """Windows filled one after the other with at most ``most`` shots and ``room`` tokens; longer shots are left out."""
    windows: list[list[Shot]] = [[]]
    left = room
    while True:
        shot = next(shots)
        if size(shot) > room:
            continue
        if size(shot) > left or len(windows[-1]) == most:
            if len(windows) == count:
                return windows
            windows.append([])
            left = room
        windows[-1].append(shot)
        left -= size(shot)

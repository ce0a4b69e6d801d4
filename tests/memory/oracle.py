"""A store in dictionaries, in the most obvious way: what `SqliteStore` is compared with, value by value."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from ctxproc import Chunk, Document
from ctxproc.memory.base import Ids, Matrix, Model, Note, Owner, Passage, Shelf, Store

MODEL = Model("small", "f1", 4)


@contextmanager
def fast_folder() -> Iterator[Path]:
    """A folder in memory where the system has one, since every write of a store is synced."""
    ram = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=ram if ram.is_dir() else None) as folder:
        yield Path(folder)


def chunks_of(document: Document, size: int) -> list[Chunk]:
    """Slices of so many characters."""
    starts = range(0, len(document.text), size)
    return [Chunk(document, at, min(at + size, len(document.text)), 1, i) for i, at in enumerate(starts)]


@dataclass
class Place:
    """What one owner has."""

    passages: dict[Shelf, dict[int, Passage]] = field(default_factory=lambda: {"library": {}, "memory": {}})
    vectors: dict[int, Matrix] = field(default_factory=dict)
    documents: dict[str, tuple[int, Document, int]] = field(default_factory=dict)
    log: list[tuple[str, int, str | None, str | None]] = field(default_factory=list)
    settings: dict[str, str] = field(default_factory=dict)
    embedded: bool = False

    def passage(self, number: int) -> Passage | None:
        """On whichever shelf."""
        return self.passages["library"].get(number) or self.passages["memory"].get(number)

    def add(self, numbers: list[int], notes: list[Note]) -> None:
        for number, note in zip(numbers, notes, strict=True):
            self.passages["memory"][number] = Passage(number, note)
            self.log.append(("add", number, None, note.text))

    def edit(self, number: int, text: str) -> None:
        old = self.passages["memory"][number]
        self.passages["memory"][number] = replace(old, note=replace(old.note, text=text))
        self.vectors.pop(number, None)
        self.log.append(("edit", number, old.text, text))

    def forget(self, numbers: list[int]) -> None:
        for number in sorted(set(numbers) & set(self.passages["memory"])):
            del self.passages["memory"][number]
            self.vectors.pop(number, None)
            lines = [(action, n, *((None, None) if n == number else texts)) for action, n, *texts in self.log]
            self.log = [*lines, ("forget", number, None, None)]  # type: ignore[list-item]

    def recall(self, numbers: list[int], time: datetime) -> None:
        for shelf in self.passages.values():
            for number in set(numbers) & set(shelf):
                shelf[number] = replace(shelf[number], recalls=shelf[number].recalls + 1, recalled=time)

    def file(self, number: int, document: Document, chunks: list[Chunk], size: int, added: datetime) -> None:
        self.drop([document.source])
        self.documents[document.source] = (number, document, size)
        for i, chunk in enumerate(chunks):
            note = Note(chunk.text, "chunk", added, "", document.source)
            at = (chunk.start, chunk.end, chunk.tokens, chunk.index)
            self.passages["library"][number + 1 + i] = Passage(number + 1 + i, note, 0, None, number, *at)

    def drop(self, sources: list[str]) -> None:
        for source in sources:
            number, *_ = self.documents.pop(source, (0,))
            for chunk in [p.id for p in self.passages["library"].values() if number and p.document == number]:
                del self.passages["library"][chunk]
                self.vectors.pop(chunk, None)

    def embed(self, numbers: list[int], vectors: Matrix) -> None:
        self.embedded = True
        self.vectors |= {n: v for n, v in zip(numbers, vectors, strict=True) if self.passage(n)}

    def strip(self) -> None:
        self.vectors, self.embedded = {}, False


def assert_same(store: Store, owner: Owner, place: Place) -> None:
    """Every reading call gives what the oracle has."""
    for shelf, passages in place.passages.items():
        assert store.passages(owner, shelf) == [passages[i] for i in sorted(passages)]
        asked = [*reversed(sorted(passages)), 10**9, -1, *passages]
        assert store.passages(owner, shelf, asked) == [passages[i] for i in asked if i in passages]
        assert store.state(owner, shelf).count == len(passages)
    every = {**place.passages["library"], **place.passages["memory"]}
    bare = [(i, every[i].text) for i in sorted(every) if i not in place.vectors]
    assert store.unembedded(owner, 10**6) == bare and store.unembedded(owner, 2) == bare[:2]
    lines = [(i, *line) for i, line in enumerate(place.log, 1)][::-1]
    assert [(c.id, c.action, c.passage, c.before, c.after) for c in store.changes(owner)] == lines[:1000]
    assert [c.id for c in store.changes(owner, limit=2)] == [line[0] for line in lines[:2]]
    for number in {line[2] for line in lines}:
        told = [(c.id, c.action, c.passage, c.before, c.after) for c in store.changes(owner, number)]
        assert told == [line for line in lines if line[2] == number]
    filed = [(f.source, f.id, f.sha256, f.size) for f in store.filed(owner)]
    assert filed == [(s, n, d.sha256, size) for s, (n, d, size) in sorted(place.documents.items())]
    for number, document, _ in place.documents.values():
        found = store.document(owner, number)
        assert found == document and found.text == document.text and found.page_starts == document.page_starts
        ends = range(len(found.text) + 1)
        assert [found.byte_range(0, end) for end in ends] == [document.byte_range(0, end) for end in ends]
    assert store.model(owner) == (MODEL if place.embedded else None)
    assert {name: store.setting(owner, name) for name in place.settings} == place.settings


class Follower:
    """An index of one shelf that only ever sees what changed; it must come to hold what the shelf holds."""

    def __init__(self, owner: Owner, shelf: Shelf) -> None:
        self.owner, self.shelf = owner, shelf
        self.texts: dict[int, str] = {}
        self.vectors: dict[int, bytes] = {}
        self.passages: dict[int, Passage] = {}
        self.facts: dict[int, Passage] = {}
        self.seen = [0, 0, 0]

    def follow(self, store: Store, place: Place) -> None:
        for at, (call, mine) in enumerate(
            [(store.changed_texts, self.texts), (store.changed_vectors, self.vectors)]  # type: ignore[list-item]
        ):
            changed = call(self.owner, self.shelf, self.seen[at])
            self.seen[at] = changed.generation
            assert (np.diff(changed.removed) > 0).all()
            for number in changed.removed.tolist():
                del mine[number]  # what an index does not have is not to be removed
            last = -1
            for ids, what in changed.added:
                _apply(mine, ids, what)
                assert last < ids[0] if len(ids) else True
                last = int(ids[-1]) if len(ids) else last
            assert len(mine) == changed.count
        self._follow_passages(store)
        shelf = place.passages[self.shelf]
        assert self.passages == {number: replace(one, recalls=0, recalled=None) for number, one in shelf.items()}
        assert self.facts == {number: one for number, one in self.passages.items() if one.note.kind == "fact"}
        assert self.texts == {number: passage.text for number, passage in shelf.items()}
        assert self.vectors == {number: place.vectors[number].tobytes() for number in shelf if number in place.vectors}

    def _follow_passages(self, store: Store) -> None:
        """Of all kinds, and of facts alone; recalls are no changes, and left out."""
        changed = store.changed_passages(self.owner, self.shelf, self.seen[2])
        facts = store.changed_passages(self.owner, self.shelf, self.seen[2], ("fact",))
        assert facts.removed.tolist() == changed.removed.tolist() and facts.count == changed.count
        for mine, added in ((self.passages, changed.added), (self.facts, facts.added)):
            for number in changed.removed.tolist():
                mine.pop(number, None)
            new = [replace(one, recalls=0, recalled=None) for some in added for one in some]
            assert [one.id for one in new] == sorted({one.id for one in new} - set(mine))
            mine.update((one.id, one) for one in new)
        assert len(self.passages) == changed.count and facts.generation == changed.generation
        self.seen[2] = changed.generation


def _apply(mine: dict[int, object], ids: Ids, what: object) -> None:
    for number, one in zip(ids.tolist(), what, strict=True):  # type: ignore[call-overload]
        assert number not in mine, "what is altered is to be removed first"
        mine[number] = one.tobytes() if isinstance(one, np.ndarray) else one

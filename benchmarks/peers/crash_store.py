"""ctxproc's store with its caches, under `peers.crash_kills`: every call that writes, cache files, and the compaction."""

from __future__ import annotations

import os
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory import cache
from ctxproc.memory.base import Model, Note, Owner, Passage, Shelf
from ctxproc.memory.cache import Caches
from ctxproc.memory.lexical import agrees
from ctxproc.memory.sqlite import connections
from ctxproc.memory.store import SqliteStore
from peers.crash_serve import serve
from peers.crash_subject import DIMENSIONS, OWNERS, Operation, State, Subject, dies, vector, vectors

MODEL = Model("drawn", "drawn 1", DIMENSIONS)
SHELVES: tuple[Shelf, Shelf] = ("memory", "library")
CHUNK = 100  # tokens


class Stores(Subject):
    """One file for both owners, and a folder of caches beside it."""

    kinds = tuple("add add add edit edit forget file file drop index index purge".split())
    beside = tuple(kind for kind in kinds if kind != "purge")  # it would wait for the reader
    steps = (
        *("made", "begun", "written", "committed", "checkpointed", "vacuumed"),
        *(f"{when} {call}" for call in ("fsync", "replace", "link", "unlink") for when in ("before", "after")),
    )
    facts = MappingProxyType({"ctxproc": version("ctxproc")})

    def __init__(self, folder: Path) -> None:
        write_caches_always()
        self.store = SqliteStore(folder / "store.ctxproc")
        self.caches = Caches(self.store, folder / "cache")
        for name in OWNERS:
            if self.store.model(Owner(name)) is None:
                self.store.embed(Owner(name), MODEL, [], vectors([]))

    def do(self, operation: Operation) -> None:
        """One call; "index" brings the owner's caches up to date, and "purge" rewrites the file."""
        owner, put = Owner(operation.owner), operation.put
        if operation.kind == "add":
            notes = [Note(text, metadata={"key": key}) for key, text in put.items()]
            self.store.add(owner, notes, vectors(list(put.values())))
        elif operation.kind == "edit":
            ids = self._ids(owner)
            for key, text in put.items():
                self.store.edit(owner, ids[key], text, vectors([text]))
        elif operation.kind == "forget":
            ids = self._ids(owner)
            self.store.forget(owner, [ids[key] for key in operation.gone])
        elif operation.kind == "file":
            for key, text in put.items():
                document = Document.from_text(text, key)
                chunks = chunked(document)
                self.store.file(owner, document, chunks, vectors([chunk.text for chunk in chunks]))
        elif operation.kind == "drop":
            self.store.drop(owner, operation.gone)
        elif operation.kind == "index":
            for shelf in SHELVES:
                self.caches.vectors(owner, shelf)
                self.caches.texts(owner, shelf)
        else:
            self.store.purge()

    def held(self) -> State:
        """Notes and documents of everyone."""
        found: dict[str, str] = {}
        for owner in self.store.owners():
            found |= {key_of(passage): passage.text for passage in self.store.passages(owner, "memory")}
            found |= {one.source: self.store.document(owner, one.id).text for one in self.store.filed(owner)}
        return found

    def linger(self) -> None:
        """Keeps a transaction open on every shelf that holds anything."""
        changed = [self.store.changed_texts(owner, shelf) for owner in self.store.owners() for shelf in SHELVES]
        for one in changed:
            next(one.added, None)
        self.lingering = changed

    def count(self, owner: str) -> int:
        """As the store says without reading them."""
        return self.store.state(Owner(owner), "memory").count

    def wrong(self) -> list[str]:
        """What the store's own check finds; chunks that are not their document's; both indexes against the texts."""
        found = self.store.check()
        for owner in map(Owner, OWNERS):
            chunks = [
                (chunk.text, chunk.start, chunk.end)
                for one in self.store.filed(owner)
                for chunk in chunked(self.store.document(owner, one.id))
            ]
            stored = [(passage.text, passage.start, passage.end) for passage in self.store.passages(owner, "library")]
            if sorted(chunks) != sorted(stored):
                found.append(f"the chunks of {owner.user} are not those of the documents")
            for shelf in SHELVES:
                found += self._wrong_caches(owner, shelf)
        return found

    def _wrong_caches(self, owner: Owner, shelf: Shelf) -> list[str]:
        """Where the indexes of a shelf differ from its texts."""
        passages = self.store.passages(owner, shelf)
        ids, texts = [one.id for one in passages], [one.text for one in passages]
        found = []
        index = self.caches.vectors(owner, shelf)
        if index.ids.tolist() != ids or (ids and not np.array_equal(index.vectors(np.array(ids)), vectors(texts))):
            found.append(f"the vectors of {owner.user}'s {shelf} are not those of the texts")
        words = self.caches.texts(owner, shelf)
        if words.ids.tolist() != ids:
            found.append(f"the word index of {owner.user}'s {shelf} is not of its texts")
        elif not agrees(words, texts, texts[:: 1 + len(texts) // 3]):
            found.append(f"the word index of {owner.user}'s {shelf} scores otherwise than rank-bm25")
        for i, text in list(zip(ids, texts, strict=True))[:: 1 + len(ids) // 5]:
            if index.search(vector(text), 1)[0].tolist() != [i]:
                found.append(f"passage {i} of {owner.user}'s {shelf} does not find itself")
        return found

    def nearest(self, owner: str, query: NDArray[np.float32], k: int) -> list[str]:
        """By the index."""
        ids = self.caches.vectors(Owner(owner), "memory").search(query, k)[0]
        return [key_of(passage) for passage in self.store.passages(Owner(owner), "memory", ids.tolist())]

    def _ids(self, owner: Owner) -> dict[str, int]:
        return {key_of(passage): passage.id for passage in self.store.passages(owner, "memory")}

    @classmethod
    def stop_at(cls, step: str, turn: int) -> None:
        """At one of the store's named steps, or before or after a call of the system by the caches or the store."""
        when, _, call = step.partition(" ")
        if call:
            setattr(os, call, dies(getattr(os, call), turn, when == "after"))
            return
        counted = dies(lambda: None, turn, after=False)
        connections.step = lambda name: counted() if name == step else None  # type: ignore[assignment]


def write_caches_always() -> None:
    """From now on, this process writes a cache file whenever anything has changed."""
    cache.FEW, cache.SHARE = 0, 10**9


def chunked(document: Document) -> list[Chunk]:
    """The chunks of a document."""
    return split(document, WordTokenizer(), CHUNK)


def key_of(passage: Passage) -> str:
    """Under which key a note was written."""
    return str(passage.note.metadata["key"])


if __name__ == "__main__":
    serve(Stores)

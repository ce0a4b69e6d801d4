"""The store in one SQLite file. Nothing else is the truth: every index is made of it and can be made again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any, Self

import numpy as np

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import LimitError, StoreError, UsageError
from ctxproc.memory.base import (
    Action,
    Filing,
    Matrix,
    Model,
    Note,
    Owner,
    Shelf,
    now,
)
from ctxproc.memory.sqlite import documents, log, rows, shelves
from ctxproc.memory.sqlite import vectors as vectors_
from ctxproc.memory.sqlite.connections import Connections, shown
from ctxproc.memory.sqlite.integrity import DamagedError, added
from ctxproc.memory.sqlite.reader import Reader
from ctxproc.memory.sqlite.shelves import SHELVES, Tally


class SqliteStore(Reader):
    """A store in a file, which is made if it is not there, with mode 0600.

    Safe in several threads and processes at once; one process at a time writes, the others wait. Readers wait for
    nobody. A store that was open when the process forked may be used in both.

    Args:
        path: of the file.
        limit: passages of one owner, both shelves together.
        timeout: seconds to wait for other writers.
        half: a new file keeps vectors in half precision: half the space, three digits.

    Raises:
        StoreError: it cannot be opened: a folder, another kind of file, damaged, made by a newer ctxproc.
    """

    def __init__(self, path: str | Path, *, limit: int = 10_000_000, timeout: float = 60, half: bool = False) -> None:
        self.path = Path(path)
        self.limit = limit
        self._file = Connections(self.path, timeout, half=half)
        self._states = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def add(
        self, owner: Owner, notes: Sequence[Note], vectors: Matrix | None = None, model: Model | None = None
    ) -> list[int]:
        """Put notes on the memory shelf; their ids. ``vectors``, shape (notes, dimensions), are by ``model``.

        Raises:
            UsageError: a note cannot be kept as it is, or the vectors are not the model's.
            LimitError: the owner would have more passages than the store allows.
        """
        for note in notes:
            if note.kind == "chunk":
                raise UsageError("chunks belong to documents: file a document")
        if not notes:
            return []
        with self._file.writing() as c:
            if model is not None:
                self._agree(c, owner, model)
            with _altered(c, owner, "memory") as of:
                first = self._room(c, owner, len(notes))
                new = [rows.note_row(first + i, of.id, of.generation, note) for i, note in enumerate(notes)]
                ids = [row[0] for row in new]
                self._insert(c, owner, of, new, vectors)
                log.write(c, of, "add", ((i, None) for i in ids))
            return ids

    def edit(
        self,
        owner: Owner,
        passage: int,
        text: str,
        vector: Matrix | None = None,
        action: Action = "edit",
        model: Model | None = None,
    ) -> None:
        """Give a note another text, and the vector of it, shape (1, dimensions), by ``model``; without, it has none."""
        if not text:
            raise UsageError("there is nothing to remember in an empty text; forget the note instead")
        rows.storable(text, "the text")
        with self._file.writing() as c, _altered(c, owner, "memory") as of:
            if model is not None:
                self._agree(c, owner, model)
            found = rows.passage_rows(c, of.id, [passage])
            if not found:
                raise UsageError(f"{owner.user} has no note {passage}")
            old = found[0]
            new = rows.sealed((*old[:2], of.generation, old[3], text, *old[5:16], old[16] + 1))
            rows.bury(c, of, rows.TEXT, [(passage, old[2], None)])
            vectors_.remove(c, of, [passage])
            c.execute(
                "UPDATE passages SET version = ?, text = ?, lines = ?, sum = ? WHERE id = ?",
                (new[2], text, *new[16:], passage),
            )
            of.total = added([new[-1]], of.total, [old[-1]])
            c.execute("DELETE FROM bare WHERE id = ?", (passage,))
            self._embed(c, owner, of, [passage], vector)
            log.write(c, of, action, [(passage, old[4])])

    def recall(self, owner: Owner, passages: Sequence[int], time: datetime) -> None:
        """Note that these were recalled, on either shelf. Changes no generation and no log.

        A lost power supply may undo it, and nothing else.
        """
        with self._file.writing(lasting=False) as c:
            for shelf in SHELVES:
                of = shelves.tally(c, owner, shelf)
                if of is None:
                    continue
                old = rows.passage_rows(c, of.id, [int(i) for i in passages])
                new = [rows.sealed((*row[:9], row[9] + 1, time.isoformat(), *row[11:17])) for row in old]
                c.executemany(
                    "UPDATE passages SET recalls = ?, recalled = ?, sum = ? WHERE id = ?",
                    [(row[9], row[10], row[17], row[0]) for row in new],
                )
                of.total = added((row[-1] for row in new), of.total, (row[-1] for row in old))
                of.write(c)

    def forget(self, owner: Owner, passages: Sequence[int]) -> None:
        """Remove notes, and their texts from the log: no table holds them afterwards. See also `purge`."""
        with self._file.writing() as c:
            of = shelves.tally(c, owner, "memory")
            mine = rows.passage_rows(c, of.id, [int(i) for i in passages]) if of else []
            if not mine:
                return
            with _altered(c, owner, "memory") as of:
                ids = [row[0] for row in mine]
                log.erase(c, ids)
                log.write(c, of, "forget", ((i, None) for i in ids))
                vectors_.remove_passages(c, of, ids)

    def purge(self) -> None:
        """Rewrite the store's files so that what was removed stands in no byte of them."""
        self._file.rewrite()

    def file(
        self,
        owner: Owner,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Matrix | None = None,
        size: int = 0,
        modified: int = 0,
    ) -> int:
        """Put a document and its chunks into the library in place of that of the same source; the document's id.

        Raises:
            UsageError: the vectors are not the model's.
            LimitError: the owner would have more passages than the store allows.
        """
        return self.file_all(owner, [Filing(document, chunks, vectors, size, modified)])[0]

    def file_all(self, owner: Owner, filings: Sequence[Filing]) -> list[int]:
        """Put documents into the library as `file` does, all of them or none; their ids.

        Raises:
            UsageError: vectors are not the model's.
            LimitError: the owner would have more passages than the store allows.
        """
        for one in filings:
            if one.vectors is not None and len(one.vectors) != len(one.chunks):
                raise UsageError(f"{len(one.vectors)} vectors were given for {len(one.chunks)} chunks")
        if not filings:
            return []
        with self._file.writing() as c:
            with _altered(c, owner, "library") as of:
                ids = [self._put(c, owner, of, one) for one in filings]
            return ids

    def drop(self, owner: Owner, sources: Sequence[str]) -> None:
        """Remove documents and their chunks from the library. Sources that are not there are left out."""
        with self._file.writing() as c:
            of = shelves.tally(c, owner, "library")
            found = [documents.find(c, of, source) for source in dict.fromkeys(sources)] if of else []
            if any(found):
                with _altered(c, owner, "library") as of:
                    for row in filter(None, found):
                        documents.remove(c, of, row)

    def set(self, owner: Owner, name: str, value: str) -> None:
        """Keep a value."""
        self._keep(owner, "settings", rows.storable(name, "a name"), rows.storable(value, "a value"))

    def record(self, owner: Owner, cache: str, generation: int, sha256: str) -> None:
        """Keep what a cache file must be. ``cache`` names it, such as "memory.vectors"."""
        self._keep(owner, "manifests", cache, [generation, sha256])

    def embed(
        self, owner: Owner, model: Model, ids: Sequence[int], vectors: Matrix, texts: Sequence[str] | None = None
    ) -> None:
        """Give passages their vectors, shape (ids, dimensions), in place of those they have.

        With no ids it says which model the owner's vectors are by; `add`, `edit` and `file` take vectors after that.
        Ids that are not the owner's are left out, and of ``texts`` those that a passage does not say any more.
        """
        if len(ids) != len(vectors):
            raise UsageError(f"{len(vectors)} vectors were given for {len(ids)} passages")
        with self._file.writing() as c:
            self._agree(c, owner, model)
            places = {int(i): place for place, i in enumerate(ids)}
            for shelf in SHELVES:
                held = rows.passage_rows(c, shelves.shelf_of(owner, shelf), list(places))
                mine = [row[0] for row in held if texts is None or row[4] == texts[places[row[0]]]]
                if mine:
                    with _altered(c, owner, shelf) as of:
                        vectors_.remove(c, of, mine)
                        c.executemany("DELETE FROM bare WHERE id = ?", [(i,) for i in mine])
                        self._embed(c, owner, of, mine, vectors[[places[i] for i in mine]])

    def strip(self, owner: Owner) -> None:
        """Remove all vectors and the model, so that another one may embed."""
        with self._file.writing() as c:
            if shelves.read_model(c, owner) is None:
                return
            shelves.write_about(c, owner, {**shelves.read_about(c, owner), "model": None})
            for shelf in SHELVES:
                with _altered(c, owner, shelf) as of:
                    for ids in rows.batches(rows.ids_since(c, "vectors", of.id, 0)):
                        vectors_.remove(c, of, ids)
                        c.executemany("INSERT INTO bare VALUES (?, ?)", [(of.id, i) for i in ids])

    # parts of writing

    def _put(self, c: sqlite3.Connection, owner: Owner, of: Tally, filing: Filing) -> int:
        """Put one document and its chunks on a shelf; the document's id."""
        document, chunks, vectors = filing.document, filing.chunks, filing.vectors
        old = documents.find(c, of, document.source)
        if old:
            documents.remove(c, of, old)
        of.write(c)  # what there is room for is counted in the file
        number, time = self._room(c, owner, len(chunks), 1), now()
        documents.insert(c, of, number, document, len(chunks), filing.size, filing.modified, time)
        for start in range(0, len(chunks), rows.BATCH):
            some = slice(start, start + rows.BATCH)
            new = documents.chunk_rows(number + 1 + start, of, number, chunks[some], time)
            self._insert(c, owner, of, new, None if vectors is None else vectors[some])
        return number

    def _agree(self, c: sqlite3.Connection, owner: Owner, model: Model) -> None:
        """See that the owner's vectors are by this model, or say so if there are none.

        Raises:
            StoreError: they are by another one.
        """
        known = shelves.read_model(c, owner)
        if known is not None and known.fingerprint != model.fingerprint:
            raise StoreError(
                f"the vectors of {owner.user} in {shown(self.path)} are by {known.name}, not by {model.name}: "
                f"run: ctxproc memory reembed --memory {quote(shown(self.path))} --user {quote(owner.user)}"
            )
        if known is None:
            _settle(c, owner)
            shelves.write_about(c, owner, {**shelves.read_about(c, owner), "model": asdict(model)})

    def _room(self, c: sqlite3.Connection, owner: Owner, passages: int, documents: int = 0) -> int:
        """The first of so many new numbers.

        Raises:
            LimitError: the owner would have too many passages.
        """
        tallies = [shelves.tally(c, owner, shelf) for shelf in SHELVES]
        there = sum(of.count for of in tallies if of)
        if there + passages > self.limit:
            raise LimitError(
                f"{owner.user} has {there} passages in {shown(self.path)}; {passages} more would exceed {self.limit} "
                "(limits.memories)"
            )
        meta = shelves.read_meta(c)
        first = meta.last + 1
        meta.last += passages + documents
        meta.write(c)
        return first

    def _insert(
        self, c: sqlite3.Connection, owner: Owner, of: Tally, new: Sequence[rows.PassageRow], vectors: Matrix | None
    ) -> None:
        """Put new passages on a shelf, with their vectors."""
        rows.insert_passages(c, new)
        of.count += len(new)
        of.total = added((row[-1] for row in new), of.total)
        self._embed(c, owner, of, [row[0] for row in new], vectors)

    def _embed(
        self, c: sqlite3.Connection, owner: Owner, of: Tally, ids: Sequence[int], vectors: Matrix | None
    ) -> None:
        """Give passages without a vector one, or note that they have none."""
        if vectors is None:
            c.executemany("INSERT INTO bare VALUES (?, ?)", [(of.id, i) for i in ids])
            return
        model = shelves.read_model(c, owner)
        if model is None:
            raise UsageError("vectors need a model: say which with `embed`")
        if vectors.shape != (len(ids), model.dimensions) or not np.isfinite(vectors).all():
            raise UsageError(f"{len(ids)} vectors of {model.dimensions} finite numbers were expected")
        vectors_.insert(c, of, ids, vectors, shelves.read_meta(c).half)

    def _keep(self, owner: Owner, where: str, name: str, value: Any) -> None:  # noqa: ANN401  (JSON)
        """Keep a value in what is told of an owner."""
        with self._file.writing() as c:
            _settle(c, owner)
            about = shelves.read_about(c, owner)
            about[where][name] = value
            shelves.write_about(c, owner, about)


def _settle(c: sqlite3.Connection, owner: Owner) -> None:
    """Give an owner who was never seen two empty shelves."""
    if shelves.find_owner(c, owner) is not None:
        return
    shelves.write_about(c, owner, shelves.read_about(c, owner))
    for shelf in SHELVES:
        Tally(shelves.shelf_of(owner, shelf), shelves.owner_number(owner)).write(c)
    meta = shelves.read_meta(c)
    meta.owners += 1
    meta.write(c)


@contextmanager
def _altered(c: sqlite3.Connection, owner: Owner, shelf: Shelf) -> Iterator[Tally]:
    """The tally of a shelf in its next generation, which is written at the end."""
    _settle(c, owner)
    of = shelves.tally(c, owner, shelf)
    if of is None:
        raise DamagedError("an owner has lost a shelf")
    of.generation += 1
    yield of
    of.write(c)

"""The calls of a store that change nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence

from ctxproc.document import Document
from ctxproc.errors import UsageError
from ctxproc.memory.base import (
    Change,
    Changed,
    ChangedPassages,
    Filed,
    Kind,
    Model,
    Owner,
    Passage,
    Shelf,
    State,
    Store,
)
from ctxproc.memory.sqlite import documents, log, rows, shelves
from ctxproc.memory.sqlite.check import check
from ctxproc.memory.sqlite.connections import Connections
from ctxproc.memory.sqlite.delta import changed, changed_passages
from ctxproc.memory.sqlite.integrity import DamagedError, added
from ctxproc.memory.sqlite.shelves import SHELVES

MOST = 1 << 62
"""No number, count or generation is higher."""

KEPT = 4096
"""Shelves of which the state is kept until something is written."""


class Reader(Store):
    """Reads a file; `ctxproc.memory.store.SqliteStore` writes it, too."""

    _file: Connections
    _states: dict[tuple[Owner, Shelf], tuple[tuple[int, int] | None, State]]

    def close(self) -> None:
        """Let go of the file. Any number of times."""
        self._file.close()

    def owners(self) -> list[Owner]:
        """Everyone who has a passage or a document here, by names."""
        with self._file.reading() as c:
            return [owner for owner in shelves.read_owners(c) if any(_has(c, owner, shelf) for shelf in SHELVES)]

    def state(self, owner: Owner, shelf: Shelf) -> State:
        """Generation and size of a shelf; (0, 0) of an owner who has nothing. Quickest while nothing is written."""
        version = self._file.version()  # before reading: what is written in between is seen the next time
        seen, state = self._states.get((owner, shelf), (None, State(0, 0)))
        if seen != version:
            with self._file.reading() as c:
                of = shelves.tally(c, owner, shelf)
                state = State(of.generation, of.count) if of else State(0, 0)
            if len(self._states) >= KEPT:
                self._states.clear()
            self._states[owner, shelf] = version, state
        return state

    def passages(self, owner: Owner, shelf: Shelf, ids: Sequence[int] | None = None) -> list[Passage]:
        """These passages in the order asked for; default: all, ascending by id. What is not the owner's is left out."""
        with self._file.reading() as c:
            if ids is not None:
                wanted = [int(i) for i in ids]
                found = rows.passage_rows(c, shelves.shelf_of(owner, shelf), wanted)
                known = {row[0]: rows.to_passage(row) for row in found}
                return [known[i] for i in wanted if i in known]
            of = shelves.tally(c, owner, shelf)
            if of is None:
                return []
            every = rows.ids_since(c, "passages", of.id, 0)
            found = [row for batch in rows.batches(every) for row in rows.passage_rows(c, of.id, batch)]
            if len(found) != of.count or added(row[-1] for row in found) != of.total:
                raise DamagedError("passages are missing")
            return [rows.to_passage(row) for row in found]

    def changes(self, owner: Owner, passage: int | None = None, limit: int = 1000) -> list[Change]:
        """The latest lines of the log, the last one first; of one passage, or of all."""
        with self._file.reading() as c:
            of = shelves.tally(c, owner, "memory")
            if of is None or (passage is not None and not 0 < passage < MOST):
                return []
            return log.read(c, of, passage, limit)

    def filed(self, owner: Owner) -> list[Filed]:
        """The documents of the library, by source."""
        with self._file.reading() as c:
            of = shelves.tally(c, owner, "library")
            return [documents.to_filed(row) for row in documents.read_rows(c, of)] if of else []

    def document(self, owner: Owner, document: int) -> Document:
        """A document as it was filed, byte map and pages included."""
        with self._file.reading() as c:
            of = shelves.tally(c, owner, "library")
            found = documents.read(c, of.id, int(document)) if of and 0 < document < MOST else None
            if found is None:
                raise UsageError(f"{owner.user} has no document {document}")
            return found

    def setting(self, owner: Owner, name: str) -> str:
        """What was kept under this name by `set`; empty if nothing was."""
        with self._file.reading() as c:
            return str(shelves.read_about(c, owner)["settings"].get(name, ""))

    def model(self, owner: Owner) -> Model | None:
        """The model of the owner's vectors; None before there are any."""
        with self._file.reading() as c:
            return shelves.read_model(c, owner)

    def manifest(self, owner: Owner, cache: str) -> tuple[int, str] | None:
        """Generation and sha256 of a cache file, as `record` kept them; None if there is none."""
        with self._file.reading() as c:
            kept = shelves.read_about(c, owner)["manifests"].get(cache)
            return (int(kept[0]), str(kept[1])) if kept else None

    def unembedded(self, owner: Owner, limit: int = 256) -> list[tuple[int, str]]:
        """Passages of both shelves that have no vector: id and text, ascending."""
        with self._file.reading() as c:
            found: list[tuple[int, str]] = []
            for shelf in SHELVES:
                of = shelves.tally(c, owner, shelf)
                if of is None:
                    continue
                query = "SELECT id FROM bare WHERE shelf = ? ORDER BY id LIMIT ?"
                ids = [i for (i,) in c.execute(query, (of.id, min(limit, MOST)))]
                mine = rows.passage_rows(c, of.id, ids)
                held = "SELECT count(*) FROM vectors WHERE id IN (SELECT value FROM json_each(?))"
                if not (
                    len(ids) == len(mine) == min(limit, MOST, of.count - of.vectors)
                    and c.execute(held, (json.dumps(ids),)).fetchone() == (0,)
                ):
                    raise DamagedError("the list of passages without a vector is not complete")
                found += [(row[0], row[4]) for row in mine]
            return sorted(found)[:limit]

    def changed_texts(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        """What an index of the texts lacks that has seen generation ``since``."""
        return changed(self._file, owner, shelf, min(since, MOST), "passages")

    def changed_passages(
        self, owner: Owner, shelf: Shelf, since: int = 0, kinds: Collection[Kind] | None = None
    ) -> ChangedPassages:
        """What one lacks who has seen generation ``since``, in one reading; of ``added``, only these kinds."""
        return changed_passages(self._file, owner, shelf, min(since, MOST), kinds)

    def changed_vectors(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        """What an index of the vectors lacks that has seen generation ``since``."""
        return changed(self._file, owner, shelf, min(since, MOST), "vectors")

    def check(self) -> list[str]:
        """Everything that is wrong with the store, one line each; empty where it is sound. Reads all of it."""
        return check(self._file)

    def last(self) -> int:
        """The highest number ever given to a passage or a document."""
        with self._file.reading() as c:
            return shelves.read_meta(c).last

    def known_owners(self) -> list[Owner]:
        """As many owners as can be found in a damaged store, those who have nothing too."""
        with self._file.reading() as c:
            return shelves.known_owners(c)


def _has(c: sqlite3.Connection, owner: Owner, shelf: Shelf) -> bool:
    """Whether anything is on a shelf."""
    of = shelves.tally(c, owner, shelf)
    return of is not None and of.count + of.documents > 0

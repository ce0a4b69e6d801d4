"""What changed on a shelf: streams of texts, passages and vectors for indexes, each one consistent view of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from typing import Literal, TypeVar

import numpy as np

from ctxproc.memory.base import Changed, ChangedPassages, Ids, Kind, Matrix, Owner, Passage, Shelf
from ctxproc.memory.sqlite import rows, shelves, vectors
from ctxproc.memory.sqlite.connections import Connections
from ctxproc.memory.sqlite.integrity import DamagedError, added
from ctxproc.memory.sqlite.shelves import Tally

What = TypeVar("What")
Batches = Callable[[sqlite3.Connection, Owner, Tally, Ids], Iterator[tuple[Ids, What, int]]]
"""Of these ids: ids, what is asked for, and the sum of the checksums of each batch."""

Table = Literal["passages", "vectors"]
Head = tuple[int, int, Ids]


def changed(file: Connections, owner: Owner, shelf: Shelf, since: int, table: Table) -> Changed:
    """What is new, altered or gone in a table since a generation.

    From 0 on everything is read and must add up to what the shelf holds. Between two generations only what is there is
    checked: an index compares its size with the count.
    """
    batches: Batches[Sequence[str] | Matrix] = _texts if table == "passages" else _vectors
    head, stream = _begun(file, owner, shelf, since, table, batches)
    return Changed(*head, stream)


def changed_passages(
    file: Connections, owner: Owner, shelf: Shelf, since: int, kinds: Collection[Kind] | None
) -> ChangedPassages:
    """The same of whole passages of some kinds; all others are read and checked too."""
    head, stream = _begun(file, owner, shelf, since, "passages", partial(_passages, kinds=kinds))
    return ChangedPassages(*head, (some for _, some in stream))


def _begun(
    file: Connections, owner: Owner, shelf: Shelf, since: int, table: Table, batches: Batches[What]
) -> tuple[Head, Iterator[tuple[Ids, What]]]:
    """Generation, count and what was removed; and the batches, of one view with them."""
    head: list[Head] = []
    stream = _stream(file, owner, shelf, since, table, batches, head)
    next(stream)  # begun, so that it gives its connection back as soon as nobody holds it
    return head[0], (batch for batch in stream if batch is not None)


def _stream(
    file: Connections,
    owner: Owner,
    shelf: Shelf,
    since: int,
    table: Table,
    batches: Batches[What],
    head: list[Head],
) -> Iterator[tuple[Ids, What] | None]:
    """First nothing, when the head is known; then the batches."""
    none = np.zeros(0, dtype=np.int64)
    with file.reading() as c:
        of = shelves.tally(c, owner, shelf)
        if of is None:
            head.append((0, 0, none))
            yield None
            return
        count, total = (of.count, of.total) if table == "passages" else (of.vectors, of.vectors_total)
        removed = rows.ended(c, of.id, rows.TEXT if table == "passages" else rows.VECTOR, since) if since else none
        head.append((of.generation, count, removed))
        yield None
        ids = rows.ids_since(c, table, of.id, since)
        sums = 0
        for ids_, what, some in batches(c, owner, of, ids):
            sums = added([some], sums)
            yield ids_, what
        if since == 0 and (len(ids), sums) != (count, total):
            raise DamagedError(f"{table} are missing")


def _passages(
    c: sqlite3.Connection, owner: Owner, of: Tally, ids: Ids, kinds: Collection[Kind] | None
) -> Iterator[tuple[Ids, list[Passage], int]]:
    """Ids, passages of these kinds and the sum of the checksums of all, of each batch."""
    for batch, found, sums in _found(c, of, ids):
        yield batch, [rows.to_passage(row) for row in found if kinds is None or row[3] in kinds], sums


def _texts(c: sqlite3.Connection, owner: Owner, of: Tally, ids: Ids) -> Iterator[tuple[Ids, Sequence[str], int]]:
    """Ids, texts and the sum of the checksums of each batch."""
    for batch, found, sums in _found(c, of, ids):
        yield batch, [row[4] for row in found], sums


def _found(c: sqlite3.Connection, of: Tally, ids: Ids) -> Iterator[tuple[Ids, list[rows.PassageRow], int]]:
    """Ids, rows and the sum of the checksums of each batch."""
    for batch in rows.batches(ids):
        found = rows.passage_rows(c, of.id, batch)
        if len(found) != len(batch):
            raise DamagedError("the index of passages does not agree with them")
        yield np.array(batch, dtype=np.int64), found, added(row[-1] for row in found)


def _vectors(c: sqlite3.Connection, owner: Owner, of: Tally, ids: Ids) -> Iterator[tuple[Ids, Matrix, int]]:
    """Ids, vectors and the sum of the checksums of each batch."""
    model, half = shelves.read_model(c, owner), shelves.read_meta(c).half
    for batch in rows.batches(ids):
        if model is None:
            raise DamagedError("there are vectors and no model")
        found = vectors.read(c, of.id, batch, model.dimensions, half)
        if len(found.ids) != len(batch):
            raise DamagedError("the index of vectors does not agree with them")
        yield found.ids, found.vectors, int(found.sums.sum())

"""What changed on a shelf: streams of texts and vectors for indexes, each one consistent view of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from ctxproc.memory.base import Changed, Ids, Matrix, Owner, Shelf
from ctxproc.memory.sqlite import rows, shelves, vectors
from ctxproc.memory.sqlite.connections import Connections
from ctxproc.memory.sqlite.integrity import DamagedError, added
from ctxproc.memory.sqlite.shelves import Tally

Batch = tuple[Ids, Sequence[str] | Matrix]
Table = Literal["passages", "vectors"]


def changed(file: Connections, owner: Owner, shelf: Shelf, since: int, table: Table) -> Changed:
    """What is new, altered or gone in a table since a generation.

    From 0 on everything is read and must add up to what the shelf holds. Between two generations only what is there is
    checked: an index compares its size with the count.
    """
    head: list[Changed] = []
    stream = _stream(file, owner, shelf, since, table, head)
    next(stream)  # begun, so that it gives its connection back as soon as nobody holds it
    return Changed(head[0].generation, head[0].count, head[0].removed, stream)


def _stream(
    file: Connections, owner: Owner, shelf: Shelf, since: int, table: Table, head: list[Changed]
) -> Iterator[Batch]:
    """First nothing, when the head is known; then the batches."""
    none = np.zeros(0, dtype=np.int64)
    with file.reading() as c:
        of = shelves.tally(c, owner, shelf)
        if of is None:
            head.append(Changed(0, 0, none, iter(())))
            yield none, []
            return
        count, total = (of.count, of.total) if table == "passages" else (of.vectors, of.vectors_total)
        removed = rows.ended(c, of.id, rows.TEXT if table == "passages" else rows.VECTOR, since) if since else none
        head.append(Changed(of.generation, count, removed, iter(())))
        yield none, []
        ids = rows.ids_since(c, table, of.id, since)
        sums = 0
        for ids_, what, some in (_texts if table == "passages" else _vectors)(c, owner, of, ids):
            sums = added([some], sums)
            yield ids_, what
        if since == 0 and (len(ids), sums) != (count, total):
            raise DamagedError(f"{table} are missing")


def _texts(c: sqlite3.Connection, owner: Owner, of: Tally, ids: Ids) -> Iterator[tuple[Ids, Sequence[str], int]]:
    """Ids, texts and the sum of the checksums of each batch."""
    for batch in rows.batches(ids):
        found = rows.passage_rows(c, of.id, batch)
        if len(found) != len(batch):
            raise DamagedError("the index of passages does not agree with them")
        yield np.array(batch, dtype=np.int64), [row[4] for row in found], added(row[-1] for row in found)


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

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
Table = Literal["passages", "vectors"]
Head = tuple[int, int, Ids]
Reading = Callable[[sqlite3.Connection, Owner, Tally, Ids], Iterator[tuple[Ids, What, int]]]
"""Gives ids, what is asked for, and the sum of the checksums, of each batch."""


def changed(file: Connections, owner: Owner, shelf: Shelf, since: int, table: Table) -> Changed:
    """What is new, altered or gone in a table since a generation.

    From 0 on everything is read and must add up to what the shelf holds. Between two generations only what is there is
    checked: an index compares its size with the count.
    """
    head: list[Head] = []
    stream: Iterator[tuple[Ids, Sequence[str] | Matrix]]
    if table == "passages":
        stream = _stream(file, owner, shelf, since, table, head, _texts)
    else:
        stream = _stream(file, owner, shelf, since, table, head, _vectors)
    next(stream, None)  # begun, so that it gives its connection back as soon as nobody holds it
    return Changed(*head[0], stream)


def changed_passages(
    file: Connections, owner: Owner, shelf: Shelf, since: int, kinds: Collection[Kind] | None
) -> ChangedPassages:
    """The same of whole passages, of some kinds; those of others are checked, too."""
    head: list[Head] = []
    stream = _stream(file, owner, shelf, since, "passages", head, partial(_passages, kinds=kinds))
    next(stream, None)
    return ChangedPassages(*head[0], (some for _, some in stream))


def _stream(
    file: Connections,
    owner: Owner,
    shelf: Shelf,
    since: int,
    table: Table,
    head: list[Head],
    reading: Reading[What],
) -> Iterator[tuple[Ids, What]]:
    """The batches; when the head is known, the first of them, which is of nothing, so that the reading has begun."""
    none = np.zeros(0, dtype=np.int64)
    with file.reading() as c:
        of = shelves.tally(c, owner, shelf)
        if of is None:
            head.append((0, 0, none))
            return
        count, total = (of.count, of.total) if table == "passages" else (of.vectors, of.vectors_total)
        removed = rows.ended(c, of.id, rows.TEXT if table == "passages" else rows.VECTOR, since) if since else none
        head.append((of.generation, count, removed))
        yield from ((ids, what) for ids, what, _ in [next(reading(c, owner, of, none))])
        ids = rows.ids_since(c, table, of.id, since)
        sums = 0
        for ids_, what, some in reading(c, owner, of, ids):
            sums = added([some], sums)
            yield ids_, what
        if since == 0 and (len(ids), sums) != (count, total):
            raise DamagedError(f"{table} are missing")

"""Rows of vectors. All that is read is checked, many at a time.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from xxhash import xxh3_64_intdigest

from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.sqlite.integrity import FACTOR, DamagedError, added
from ctxproc.memory.sqlite.rows import TEXT, VECTOR, bury, passage_rows
from ctxproc.memory.sqlite.shelves import Tally


@dataclass
class Vectors:
    """Rows of the table `vectors`, checked.

    Attributes:
        ids, versions, sums: shape (rows,).
        vectors: shape (rows, dimensions).
    """

    ids: Ids
    versions: Ids
    sums: Ids
    vectors: Matrix = field(repr=False)


def number_type(half: int) -> type[np.float16 | np.float32]:
    """How numbers of a vector are kept."""
    return np.float16 if half else np.float32


def read(connection: sqlite3.Connection, shelf: int, ids: Sequence[int], dimensions: int, half: int) -> Vectors:
    """Those of the vectors of a shelf that are there, ascending by id.

    Raises:
        DamagedError: one is not what was written.
    """
    rows = connection.execute(
        "SELECT id, shelf, version, sum, vector FROM vectors WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(ids),),
    ).fetchall()
    if not rows:
        none = np.zeros(0, dtype=np.int64)
        return Vectors(none, none, none, np.zeros((0, dimensions), dtype=np.float32))
    kind = np.dtype(number_type(half)).newbyteorder("<")
    *numbers, bodies = zip(*rows, strict=True)
    if set(map(type, bodies)) != {bytes} or set(map(len, bodies)) != {dimensions * kind.itemsize}:
        raise DamagedError("a vector is not as long as the others")
    try:
        found, shelves, versions, sums = (np.array(column, dtype=np.int64) for column in numbers)
    except (TypeError, ValueError, OverflowError):
        raise DamagedError("a vector has lost its number") from None
    if (shelves != shelf).any() or (sums_of(bodies, found, shelf, versions) != sums).any():
        raise DamagedError("a vector is not what was written")
    vectors = np.frombuffer(bytearray().join(bodies), dtype=kind).reshape(len(rows), dimensions)
    return Vectors(found, versions, sums, vectors.astype(np.float32, copy=False))


def sums_of(bodies: Sequence[bytes], ids: Ids, shelf: int, versions: Ids) -> Ids:
    """The checksum of each vector, as `seal_bytes` makes it of (body, id, shelf, version)."""
    sums = np.array([xxh3_64_intdigest(body) for body in bodies], dtype=np.uint64)
    factor = np.uint64(FACTOR)
    for column in (ids.astype(np.uint64), np.uint64(shelf), versions.astype(np.uint64)):
        sums = sums * factor + column
    return sums.view(np.int64)


def insert(connection: sqlite3.Connection, of: Tally, ids: Sequence[int], vectors: Matrix, half: int) -> None:
    """Give passages that have none their vectors, in the generation that the tally has now; the tally knows of them."""
    kept = np.ascontiguousarray(vectors, dtype=np.dtype(number_type(half)).newbyteorder("<"))
    bodies = [row.tobytes() for row in kept]
    numbers = np.array(ids, dtype=np.int64)
    sums = sums_of(bodies, numbers, of.id, np.full(len(ids), of.generation)).tolist()
    connection.executemany(
        "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
        [(i, of.id, of.generation, body, s) for i, body, s in zip(ids, bodies, sums, strict=True)],
    )
    of.vectors += len(ids)
    of.vectors_total = added(sums, of.vectors_total)


def remove(connection: sqlite3.Connection, of: Tally, ids: Sequence[int]) -> None:
    """Take away the vectors of passages, as of the generation that the tally has now."""
    wanted = json.dumps(list(ids))
    rows = connection.execute(
        "SELECT id, version, sum FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
    ).fetchall()
    bury(connection, of, VECTOR, [(number, born, None) for number, born, _ in rows])
    connection.execute("DELETE FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
    of.vectors -= len(rows)
    of.vectors_total = added((), of.vectors_total, [row[2] for row in rows])


def remove_passages(connection: sqlite3.Connection, of: Tally, ids: Sequence[int]) -> None:
    """Take away passages of a shelf and their vectors, as of the generation that the tally has now.

    Of a note the log is to have one line more, which says so.
    """
    rows = passage_rows(connection, of.id, ids)
    remove(connection, of, ids)
    bury(connection, of, TEXT, [(row[0], row[2], row[16] + (row[3] != "chunk")) for row in rows])
    keys = [(row[0],) for row in rows]
    connection.executemany("DELETE FROM bare WHERE id = ?", keys)
    connection.executemany("DELETE FROM passages WHERE id = ?", keys)
    of.count -= len(rows)
    of.total = added((), of.total, [row[-1] for row in rows])

"""Rows of a store: owners and shelves, passages, vectors, and what was there before. All that is read is checked.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field, fields
from datetime import datetime
from typing import Any

import numpy as np

from ctxproc.errors import LimitError, UsageError
from ctxproc.memory.base import Ids, Kind, Matrix, Model, Note, Owner, Passage, Shelf
from ctxproc.memory.sqlite.integrity import Column, DamagedError, added, check_row, seal

BATCH = 4096
"""Rows that are in memory at once when a shelf is read."""

LONGEST = 1 << 24
"""Characters of a note with all that is told of it, of a chunk, of a setting."""

SHELVES: tuple[Shelf, Shelf] = ("library", "memory")

TEXT, VECTOR, DOCUMENT = 0, 1, 2
"""What something `former` was."""

PASSAGE = (
    "id, shelf, version, kind, text, time, speaker, source, metadata, recalls, recalled, document,"
    ' "start", "end", tokens, place, lines, sum'
)

PassageRow = tuple[
    int, int, int, Kind, str, str, str, str, str, int, str | None, int | None, int, int, int, int, int, int
]


# owners and shelves


def owner_number(owner: Owner) -> int:
    """62 bits made of the names, so that an owner is found even where the index of the names is damaged."""
    names = "".join(f"{len(name)}:{name}" for name in (owner.user, owner.agent, owner.session))
    return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=8).digest(), "big") >> 2


def shelf_of(owner: Owner, shelf: Shelf) -> int:
    """The number of an owner's shelf: everything on it is keyed by it."""
    return 2 * owner_number(owner) + (shelf == "memory")


def find_owner(connection: sqlite3.Connection, owner: Owner) -> dict[str, Any] | None:
    """What is kept of an owner; None for one who was never seen.

    The owner is looked up in two trees, by number and by names, so that damage to one is not taken for nobody.
    """
    names = (owner.user, owner.agent, owner.session)
    number = owner_number(owner)
    columns = "id, user, agent, session, about, sum"
    row = connection.execute(f"SELECT {columns} FROM owners WHERE id = ?", (number,)).fetchone()
    named = connection.execute("SELECT id FROM owners WHERE user = ? AND agent = ? AND session = ?", names).fetchone()
    if row is None and named is None:
        return None
    if row is None or named != (number,):
        raise DamagedError("the index of owners does not agree with them")
    check_row("owners", row)
    if row[1:4] != names:
        raise DamagedError("the index of owners does not agree with them")
    about: dict[str, Any] = json.loads(row[4])
    return about


def read_owners(connection: sqlite3.Connection) -> list[Owner]:
    """Everyone who was ever seen, by names.

    Raises:
        DamagedError: one is damaged, or missing.
    """
    found = connection.execute("SELECT id, user, agent, session, about, sum FROM owners").fetchall()
    for row in found:
        check_row("owners", row)
    if len(found) != read_meta(connection).owners:
        raise DamagedError("owners are missing")
    return [Owner(*row[1:4]) for row in sorted(found, key=lambda row: row[1:4])]


def read_about(connection: sqlite3.Connection, owner: Owner) -> dict[str, Any]:
    """What is kept of an owner: model, settings, manifests."""
    return find_owner(connection, owner) or {"model": None, "settings": {}, "manifests": {}}


def read_model(connection: sqlite3.Connection, owner: Owner) -> Model | None:
    """The model of an owner's vectors."""
    kept = read_about(connection, owner)["model"]
    return Model(**kept) if kept else None


def write_about(connection: sqlite3.Connection, owner: Owner, about: dict[str, Any]) -> None:
    """Keep something else of an owner, or put a new one there."""
    kept = json.dumps(about, ensure_ascii=False)
    row = (owner_number(owner), owner.user, owner.agent, owner.session, kept)
    connection.execute(
        "INSERT INTO owners VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET about = excluded.about, sum = excluded.sum",
        (*row, seal("owners", *row)),
    )


@dataclass
class Tally:
    """What a shelf must hold: counts, and sums of checksums. As the table `shelves` has it."""

    id: int
    owner: int
    generation: int = 0
    count: int = 0
    total: int = 0
    vectors: int = 0
    vectors_total: int = 0
    documents: int = 0
    documents_total: int = 0
    lines: int = 0

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it there."""
        row = astuple(self)
        columns = [column.name for column in fields(self)] + ["sum"]
        new = ", ".join(f"{name} = excluded.{name}" for name in columns[2:])
        marks = ", ".join("?" * len(columns))
        connection.execute(
            f"INSERT INTO shelves VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {new}", (*row, seal("shelves", *row))
        )


def tally(connection: sqlite3.Connection, owner: Owner, shelf: Shelf) -> Tally | None:
    """The tally of an owner's shelf; None of an owner who was never seen."""
    number = shelf_of(owner, shelf)
    row = connection.execute("SELECT * FROM shelves WHERE id = ?", (number,)).fetchone()
    if row is None:
        if find_owner(connection, owner) is not None:
            raise DamagedError("an owner has lost a shelf")
        return None
    check_row("shelves", row)
    if find_owner(connection, owner) is None:
        raise DamagedError("a shelf has lost its owner")
    return Tally(*row[:-1])


@dataclass
class Meta:
    """The one row of the table `meta`."""

    id: int
    last: int
    half: int
    owners: int

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it there."""
        row = astuple(self)
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?, ?, ?)", (*row, seal("meta", *row)))


def read_meta(connection: sqlite3.Connection) -> Meta:
    """What is said of the whole file."""
    row = connection.execute("SELECT * FROM meta WHERE id = 1").fetchone()
    if row is None:
        raise DamagedError("the table meta is empty")
    check_row("meta", row)
    return Meta(*row[:-1])


# passages


def storable(text: str, what: str) -> str:
    """The text, if it can be kept.

    Raises:
        UsageError: it holds a lone surrogate.
        LimitError: it is too long.
    """
    if len(text) > LONGEST:
        raise LimitError(f"{what} has {len(text)} characters; a memory keeps at most {LONGEST} in one piece")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{what} holds a lone surrogate (character {error.start}); replace it first") from None
    return text


def note_row(number: int, shelf: int, version: int, note: Note) -> PassageRow:
    """The row of a new note.

    Raises:
        UsageError: it cannot be kept as it is.
        LimitError: it is too long.
    """
    if not note.text:
        raise UsageError("there is nothing to remember in an empty text")
    if note.time.tzinfo is None:
        raise UsageError("the time of a note needs its zone")
    for value in note.metadata.values():
        if not isinstance(value, str | int | float | bool) or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f"metadata holds texts, finite numbers and truth values, not {value!r}")
    told = (note.kind, note.text, note.time.isoformat(), note.speaker, note.source)
    metadata = json.dumps(dict(note.metadata), ensure_ascii=False) if note.metadata else "{}"
    if sum(map(len, told)) + len(metadata) > LONGEST:
        raise LimitError(f"a note has more than the {LONGEST} characters that a memory keeps in one piece")
    try:
        return sealed((number, shelf, version, *told, metadata, 0, None, None, 0, 0, 0, 0, 1))
    except UnicodeEncodeError:
        raise UsageError("a note holds a lone surrogate; replace it first") from None


def sealed(columns: tuple[Column, ...]) -> PassageRow:
    """A row of passages, with its checksum."""
    return (*columns, seal("passages", *columns))  # type: ignore[return-value]


def to_passage(row: PassageRow) -> Passage:
    """The passage that a checked row tells of."""
    number, _, _, kind, text, time, speaker, source, metadata, recalls, recalled, document, *place, _, _ = row
    kept = json.loads(metadata) if metadata != "{}" else {}
    note = Note(text, kind, datetime.fromisoformat(time), speaker, source, kept)
    last = datetime.fromisoformat(recalled) if recalled else None
    return Passage(number, note, recalls, last, document or 0, *place)


def insert_passages(connection: sqlite3.Connection, rows: Sequence[PassageRow]) -> None:
    """Put new passages there."""
    connection.executemany(f"INSERT INTO passages VALUES ({', '.join('?' * 18)})", rows)


def passage_rows(connection: sqlite3.Connection, shelf: int, ids: Sequence[int]) -> list[PassageRow]:
    """The rows of those of the ids that are on a shelf, ascending.

    Raises:
        DamagedError: one is damaged, or is not there and was never removed.
    """
    wanted = json.dumps(sorted(set(ids)))
    rows: list[PassageRow] = connection.execute(
        f"SELECT {PASSAGE} FROM passages WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (wanted,)
    ).fetchall()
    for row in rows:
        check_row("passages", row)
    missing = set(ids).difference(row[0] for row in rows)
    if missing:
        prove_gone(connection, missing)
    return [row for row in rows if row[1] == shelf]


def prove_gone(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    """See that numbers that are not in their table belong to what was removed, to another table, or to nothing yet.

    Raises:
        DamagedError: one of them must have vanished.
    """
    last = read_meta(connection).last
    for number in ids:
        if not 0 < number <= last:
            continue
        for query in (
            "SELECT id FROM former WHERE id = ? AND lines IS NOT NULL",
            "SELECT id FROM passages WHERE id = ?",
            "SELECT id FROM documents WHERE id = ?",
        ):
            if connection.execute(query, (number,)).fetchone() == (number,):
                break
        else:
            raise DamagedError(f"number {number} has vanished")


def ids_since(connection: sqlite3.Connection, table: str, shelf: int, since: int) -> Ids:
    """The ids of passages or vectors that became what they are after a generation; ascending."""
    rows = connection.execute(f"SELECT id FROM {table} WHERE shelf = ? AND version > ?", (shelf, since))
    found: list[Ids] = [np.zeros(0, dtype=np.int64)]
    while batch := rows.fetchmany(BATCH):
        found.append(np.array(batch, dtype=np.int64)[:, 0])
    return np.sort(np.concatenate(found))


def batches(ids: Ids) -> Iterator[list[int]]:
    """The ids in batches."""
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH].tolist()


# vectors


@dataclass
class VectorRows:
    """Rows of the table `vectors`, checked.

    Attributes:
        ids, versions, sums: shape (rows,).
        vectors: shape (rows, dimensions).
    """

    ids: Ids
    versions: Ids
    sums: Ids
    vectors: Matrix = field(repr=False)


def vector_type(half: int) -> type[np.float16 | np.float32]:
    """How numbers of a vector are kept."""
    return np.float16 if half else np.float32


def vector_rows(
    connection: sqlite3.Connection, shelf: int, ids: Sequence[int], dimensions: int, half: int
) -> VectorRows:
    """Those of the vectors of a shelf that are there, ascending by id.

    Raises:
        DamagedError: one is not what was written.
    """
    rows = connection.execute(
        "SELECT id, shelf, version, sum, vector FROM vectors WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        (json.dumps(ids),),
    ).fetchall()
    kind = np.dtype(vector_type(half)).newbyteorder("<")
    bodies = [row[4] for row in rows]
    if any(type(body) is not bytes or len(body) != dimensions * kind.itemsize for body in bodies):
        raise DamagedError("a vector is not as long as the others")
    try:
        numbers = np.array([row[:4] for row in rows], dtype=np.int64).reshape(len(rows), 4)
    except (TypeError, ValueError, OverflowError):
        raise DamagedError("a vector has lost its number") from None
    ids_, shelves, versions, sums = numbers.T
    if (shelves != shelf).any() or (vector_sums(bodies, ids_, shelf, versions) != sums).any():
        raise DamagedError("a vector is not what was written")
    vectors = np.frombuffer(b"".join(bodies), dtype=kind).reshape(len(rows), dimensions)
    return VectorRows(ids_, versions, sums, vectors.astype(np.float32))


def vector_sums(bodies: Sequence[bytes], ids: Ids, shelf: int, versions: Ids) -> Ids:
    """The checksum of each vector, as `seal_bytes` makes it of (body, id, shelf, version)."""
    from xxhash import xxh3_64_intdigest

    sums = np.array([xxh3_64_intdigest(body) for body in bodies], dtype=np.uint64)
    factor = np.uint64(0x9E3779B97F4A7C15)
    for column in (ids.astype(np.uint64), np.uint64(shelf), versions.astype(np.uint64)):
        sums = sums * factor + column
    return sums.view(np.int64)


def insert_vectors(connection: sqlite3.Connection, of: Tally, ids: Sequence[int], vectors: Matrix, half: int) -> None:
    """Give passages that have none their vectors, in the generation that the tally has now; the tally knows of them."""
    kept = np.ascontiguousarray(vectors, dtype=np.dtype(vector_type(half)).newbyteorder("<"))
    bodies = [row.tobytes() for row in kept]
    numbers = np.array(ids, dtype=np.int64)
    sums = vector_sums(bodies, numbers, of.id, np.full(len(ids), of.generation)).tolist()
    connection.executemany(
        "INSERT INTO vectors VALUES (?, ?, ?, ?, ?)",
        [(i, of.id, of.generation, body, s) for i, body, s in zip(ids, bodies, sums, strict=True)],
    )
    of.vectors += len(ids)
    of.vectors_total = added(sums, of.vectors_total)


def remove_vectors(connection: sqlite3.Connection, of: Tally, ids: Sequence[int]) -> None:
    """Take away the vectors of passages, as of the generation that the tally has now."""
    wanted = json.dumps(list(ids))
    rows = connection.execute(
        "SELECT id, version, sum FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (wanted,)
    ).fetchall()
    bury(connection, of, VECTOR, [(number, born, None) for number, born, _ in rows])
    connection.execute("DELETE FROM vectors WHERE id IN (SELECT value FROM json_each(?))", (wanted,))
    of.vectors -= len(rows)
    of.vectors_total = added((), of.vectors_total, [row[2] for row in rows])


# what was there before


def bury(connection: sqlite3.Connection, of: Tally, what: int, those: Iterable[tuple[int, int, int | None]]) -> None:
    """Note that (id, born, lines) ended in the generation that the tally has now."""
    rows = [(number, what, born, of.generation, of.id, lines) for number, born, lines in those]
    connection.executemany(
        "INSERT INTO former VALUES (?, ?, ?, ?, ?, ?, ?)", [(*row, seal("former", *row)) for row in rows]
    )


def ended(connection: sqlite3.Connection, shelf: int, what: int, since: int) -> Ids:
    """The ids of what was there in a generation and is no more, or is something else; ascending."""
    rows = connection.execute(
        "SELECT * FROM former WHERE shelf = ? AND what = ? AND died > ? AND born <= ?", (shelf, what, since, since)
    )
    found: list[Ids] = [np.zeros(0, dtype=np.int64)]
    while batch := rows.fetchmany(BATCH):
        for row in batch:
            check_row("former", row)
        found.append(np.array([row[0] for row in batch], dtype=np.int64))
    return np.unique(np.concatenate(found))


def remove_passages(connection: sqlite3.Connection, of: Tally, ids: Sequence[int]) -> None:
    """Take away passages of a shelf and their vectors, as of the generation that the tally has now.

    Of a note the log is to have one line more, which says so.
    """
    rows = passage_rows(connection, of.id, ids)
    remove_vectors(connection, of, ids)
    bury(connection, of, TEXT, [(row[0], row[2], row[16] + (row[3] != "chunk")) for row in rows])
    keys = [(row[0],) for row in rows]
    connection.executemany("DELETE FROM bare WHERE id = ?", keys)
    connection.executemany("DELETE FROM passages WHERE id = ?", keys)
    of.count -= len(rows)
    of.total = added((), of.total, [row[-1] for row in rows])

"""Rows of passages, and of what was there before. All that is read is checked.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

import numpy as np

from ctxproc.errors import LimitError, UsageError
from ctxproc.memory.base import Ids, Kind, Note, Passage
from ctxproc.memory.sqlite.integrity import Column, DamagedError, check_row, seal
from ctxproc.memory.sqlite.shelves import Tally, read_meta

BATCH = 4096
"""Rows that are in memory at once when a shelf is read."""

LONGEST = 1 << 24
"""Characters of a note with all that is told of it, of a chunk, of a setting."""

TEXT, VECTOR, DOCUMENT = 0, 1, 2
"""What something `former` was."""

PASSAGE = (
    "id, shelf, version, kind, text, time, speaker, source, metadata, recalls, recalled, document,"
    ' "start", "end", tokens, place, lines, sum'
)

PassageRow = tuple[
    int, int, int, Kind, str, str, str, str, str, int, str | None, int | None, int, int, int, int, int, int
]


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

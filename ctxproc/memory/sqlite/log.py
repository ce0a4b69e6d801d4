"""The log of a shelf: one line for each change of a note.

A line holds what the note said before; what it said afterwards is what its next line has before, or the note itself.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from ctxproc.memory.base import Action, Change, now
from ctxproc.memory.sqlite.integrity import DamagedError, check_row, seal
from ctxproc.memory.sqlite.rows import passage_rows
from ctxproc.memory.sqlite.shelves import Tally

LogRow = tuple[int, int, str, Action, int, str | None, int]


def write(connection: sqlite3.Connection, of: Tally, action: Action, those: Iterable[tuple[int, str | None]]) -> None:
    """Add a line for each (passage, text before); the tally knows of them."""
    time = now().isoformat()
    rows = [(of.id, line, time, action, *told) for line, told in enumerate(those, of.lines + 1)]
    connection.executemany("INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)", [(*row, seal("log", *row)) for row in rows])
    of.lines += len(rows)


def erase(connection: sqlite3.Connection, passages: Sequence[int]) -> None:
    """Remove all texts of passages from the lines that tell of them."""
    for passage in passages:
        for row in connection.execute("SELECT * FROM log WHERE passage = ?", (passage,)).fetchall():
            check_row("log", row)
            new = (*row[:5], None)
            connection.execute(
                "UPDATE log SET before = NULL, sum = ? WHERE shelf = ? AND line = ?", (seal("log", *new), *row[:2])
            )


def read(connection: sqlite3.Connection, of: Tally, passage: int | None, limit: int) -> list[Change]:
    """The latest lines, the last one first.

    Raises:
        DamagedError: one is damaged, or missing.
    """
    if passage is None:
        end = min(of.lines, max(0, of.lines - limit))
        rows = connection.execute(
            "SELECT * FROM log WHERE shelf = ? AND line > ? ORDER BY line DESC", (of.id, end)
        ).fetchall()
        if [row[1] for row in rows] != list(range(of.lines, end, -1)):
            raise DamagedError("lines of a log are missing")
    else:
        rows = connection.execute(
            "SELECT * FROM log WHERE passage = ? AND shelf = ? ORDER BY line DESC", (passage, of.id)
        ).fetchall()
        if len(rows) != _lines(connection, of, passage):
            raise DamagedError(f"lines of the log that tell of number {passage} are missing")
    for row in rows:
        check_row("log", row)
    return _changes(connection, of, rows[:limit])


def check(connection: sqlite3.Connection, of: Tally) -> None:
    """See that all lines of a shelf are there and are what was written.

    Raises:
        DamagedError: they are not.
    """
    count = 0
    for row in connection.execute("SELECT * FROM log WHERE shelf = ? ORDER BY line", (of.id,)):
        check_row("log", row)
        count += 1
        if row[1] != count:
            break
    if count != of.lines:
        raise DamagedError("lines of a log are missing")


def _lines(connection: sqlite3.Connection, of: Tally, passage: int) -> int:
    """How many lines tell of a passage."""
    rows = passage_rows(connection, of.id, [passage])
    if rows:
        return rows[0][16]
    row = connection.execute(
        "SELECT * FROM former WHERE id = ? AND shelf = ? AND lines IS NOT NULL", (passage, of.id)
    ).fetchone()
    if row is None:
        return 0
    check_row("former", row)
    return int(row[5])


def _changes(connection: sqlite3.Connection, of: Tally, rows: Sequence[LogRow]) -> list[Change]:
    """The changes that lines tell of; the last line of each passage comes first."""
    after: dict[int, str | None] = {row[4]: None for row in rows}
    after |= {row[0]: row[4] for row in passage_rows(connection, of.id, list(after))}
    found = []
    for _, line, time, action, passage, before, _ in rows:
        found.append(Change(line, datetime.fromisoformat(time), action, passage, before, after[passage]))
        after[passage] = before
    return found

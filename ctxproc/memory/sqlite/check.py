"""A look at everything in a store: what SQLite has to say, every checksum, every count."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial

from ctxproc.memory.base import Owner, Shelf
from ctxproc.memory.sqlite import documents, log, rows, shelves, vectors
from ctxproc.memory.sqlite.connections import Connections
from ctxproc.memory.sqlite.integrity import DamagedError, added, check_row
from ctxproc.memory.sqlite.shelves import SHELVES, Tally

WORST = 100
"""Lines that are told of what SQLite finds."""


def check(file: Connections) -> list[str]:
    """Everything that is wrong, one line each."""
    wrong: list[str] = []
    with file.reading() as c:
        _attempt(wrong, lambda: wrong.extend(_structure(c)))
        _attempt(wrong, lambda: _numbers(c))
        everyone: list[Owner] = []
        _attempt(wrong, lambda: everyone.extend(shelves.read_owners(c)))
        for owner in everyone or shelves.known_owners(c):
            for shelf in SHELVES:
                _attempt(wrong, partial(_shelf, wrong, c, owner, shelf))
    return wrong


def _shelf(wrong: list[str], c: sqlite3.Connection, owner: Owner, shelf: Shelf) -> None:
    """Look at all that is on a shelf."""
    of = shelves.tally(c, owner, shelf)
    if of is not None:
        for look in (_passages, _vectors, _bare, _former, _documents, _log):
            _attempt(wrong, partial(look, c, owner, of))


def _attempt(wrong: list[str], action: Callable[[], object]) -> None:
    """Look at something; what is wrong with it becomes a line."""
    try:
        action()
    except (DamagedError, UnicodeDecodeError, sqlite3.Error) as error:
        wrong.append(" ".join(str(error).split()))


def _structure(c: sqlite3.Connection) -> list[str]:
    """What SQLite finds wrong with its trees, indexes and references."""
    said = [str(line) for (line,) in c.execute(f"PRAGMA integrity_check({WORST})") if line != "ok"]
    orphans = c.execute("PRAGMA foreign_key_check").fetchmany(WORST)
    return said + [f"row {row} of {table} refers to a row of {to} that is not there" for table, row, to, _ in orphans]


def _numbers(c: sqlite3.Connection) -> None:
    """Every number that was given is that of a passage or a document, or of one that is gone."""
    there = [
        c.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
        for table in ("passages", "documents", "former WHERE lines IS NOT NULL")
    ]
    if sum(there) != shelves.read_meta(c).last:
        raise DamagedError("what was removed is not known any more")


def _passages(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Every passage of a shelf is what was written, and none is missing."""
    count = total = 0
    for batch in rows.batches(rows.ids_since(c, "passages", of.id, 0)):
        found = rows.passage_rows(c, of.id, batch)
        count, total = count + len(found), added((row[-1] for row in found), total)
    if (count, total) != (of.count, of.total):
        raise DamagedError(f"passages of {owner.user} are missing")


def _vectors(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Every vector of a shelf is what was written, and none is missing."""
    model, half = shelves.read_model(c, owner), shelves.read_meta(c).half
    count = total = 0
    for batch in rows.batches(rows.ids_since(c, "vectors", of.id, 0)):
        found = vectors.read(c, of.id, batch, model.dimensions if model else 0, half)
        count, total = count + len(found.ids), added([int(found.sums.sum())], total)
    if (count, total) != (of.vectors, of.vectors_total):
        raise DamagedError(f"vectors of {owner.user} are missing")


def _bare(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Exactly the passages without a vector are listed as such."""
    query = "SELECT count(*) FROM bare WHERE shelf = ? AND id NOT IN (SELECT id FROM vectors)"
    if c.execute(query, (of.id,)).fetchone() != (of.count - of.vectors,):
        raise DamagedError(f"the list of passages of {owner.user} without a vector is wrong")


def _former(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Every row that tells of something gone is what was written."""
    for row in c.execute("SELECT * FROM former WHERE shelf = ?", (of.id,)):
        check_row("former", row)


def _documents(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Every document can be read."""
    for row in documents.read_rows(c, of):
        documents.read(c, of.id, row[0])


def _log(c: sqlite3.Connection, owner: Owner, of: Tally) -> None:
    """Every line of the log can be read."""
    log.check(c, of)

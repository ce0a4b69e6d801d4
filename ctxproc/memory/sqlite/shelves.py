"""Whose it is, and how much of it there is: owners, the tallies of their shelves, and what is said of the whole file.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import suppress
from dataclasses import astuple, dataclass, fields
from typing import Any

from ctxproc.errors import UsageError
from ctxproc.memory.base import Model, Owner, Shelf
from ctxproc.memory.sqlite.integrity import DamagedError, check_row, seal

SHELVES: tuple[Shelf, Shelf] = ("library", "memory")


def owner_number(owner: Owner) -> int:
    """62 bits made of the names, so that an owner is found even where the index of the names is damaged."""
    names = "".join(f"{len(name)}:{name}" for name in (owner.user, owner.agent, owner.session))
    return int.from_bytes(hashlib.blake2b(names.encode(), digest_size=8).digest(), "big") >> 2


def shelf_of(owner: Owner, shelf: Shelf) -> int:
    """The number of an owner's shelf: everything on it is keyed by it."""
    return 2 * owner_number(owner) + (shelf == "memory")


def find_owner(connection: sqlite3.Connection, owner: Owner) -> dict[str, Any] | None:
    """What is kept of an owner; None for one who was never seen.

    The owner is looked up in three trees, by number, by names, and by a shelf, so that damage to one is not taken for
    nobody.
    """
    names = (owner.user, owner.agent, owner.session)
    number = owner_number(owner)
    columns = "id, user, agent, session, about, sum"
    row = connection.execute(f"SELECT {columns} FROM owners WHERE id = ?", (number,)).fetchone()
    named = connection.execute("SELECT id FROM owners WHERE user = ? AND agent = ? AND session = ?", names).fetchone()
    shelf = connection.execute("SELECT owner FROM shelves WHERE id = ?", (shelf_of(owner, "library"),)).fetchone()
    if row is None and named is None and shelf is None:
        return None
    if row is None or named != (number,) or shelf != (number,):
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


def known_owners(connection: sqlite3.Connection) -> list[Owner]:
    """As many owners as can be found where some are damaged or missing, by names; to save what can be saved."""
    found: set[Owner] = set()
    for query in (
        "SELECT id, user, agent, session FROM owners NOT INDEXED",
        "SELECT id, user, agent, session FROM owners INDEXED BY sqlite_autoindex_owners_1",
    ):
        with suppress(sqlite3.Error, UnicodeDecodeError):
            for number, *names in connection.execute(query):
                with suppress(UsageError, AttributeError, TypeError):
                    owner = Owner(*names)
                    if owner_number(owner) == number:
                        found.add(owner)
    return sorted(found, key=lambda owner: (owner.user, owner.agent, owner.session))


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
    row = connection.execute("SELECT * FROM shelves WHERE id = ?", (shelf_of(owner, shelf),)).fetchone()
    if (row is None) != (find_owner(connection, owner) is None):
        raise DamagedError("an owner has lost a shelf, or a shelf its owner")
    if row is None:
        return None
    check_row("shelves", row)
    return Tally(*row[:-1])


@dataclass
class Meta:
    """The one row of the table `meta`."""

    id: int
    last: int
    half: int
    owners: int
    writes: int

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it there."""
        row = astuple(self)
        connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?, ?, ?, ?, ?)", (*row, seal("meta", *row)))


def read_meta(connection: sqlite3.Connection) -> Meta:
    """What is said of the whole file."""
    row = connection.execute("SELECT * FROM meta WHERE id = 1").fetchone()
    if row is None:
        raise DamagedError("the table meta is empty")
    check_row("meta", row)
    return Meta(*row[:-1])


def count_write(connection: sqlite3.Connection) -> int:
    """Count one more call that has written; how many there are with it."""
    meta = read_meta(connection)
    meta.writes += 1
    meta.write(connection)
    return meta.writes

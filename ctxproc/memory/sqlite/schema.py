"""The tables of a store's file, how a new one is made, and which files are refused.

Every table but `meta` is keyed by a shelf, whose number comes from its owner's names (`rows.shelf_of`). Every row ends
with a checksum of its other columns. Nothing but these tables and indexes may be in the file: one with a trigger, a view
or a table more is refused before anything of it is read.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from ctxproc.memory.sqlite.integrity import seal

APPLICATION = 0x63747870
"""Says in the file's header whose it is: "ctxp"."""

PAGE = 8192
"""Bytes; five vectors of 384 numbers fill one."""

TABLES = """
CREATE TABLE meta (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last INTEGER NOT NULL,      -- the highest number given to a passage or document
    half INTEGER NOT NULL,      -- whether vectors are kept in half precision
    owners INTEGER NOT NULL,    -- how many
    writes INTEGER NOT NULL,    -- how many calls have written
    sum INTEGER NOT NULL
);
CREATE TABLE owners (
    id INTEGER PRIMARY KEY,     -- made of the names
    user TEXT NOT NULL,
    agent TEXT NOT NULL,
    session TEXT NOT NULL,
    about TEXT NOT NULL,        -- JSON: model, settings, manifests
    sum INTEGER NOT NULL,
    UNIQUE (user, agent, session)
);
CREATE TABLE shelves (
    id INTEGER PRIMARY KEY,
    owner INTEGER NOT NULL REFERENCES owners (id),
    generation INTEGER NOT NULL,
    count INTEGER NOT NULL,             -- passages
    total INTEGER NOT NULL,             -- sum of their checksums, modulo 2^64
    vectors INTEGER NOT NULL,
    vectors_total INTEGER NOT NULL,
    documents INTEGER NOT NULL,
    documents_total INTEGER NOT NULL,
    lines INTEGER NOT NULL,             -- of the log
    sum INTEGER NOT NULL
);
CREATE TABLE documents (
    id INTEGER PRIMARY KEY,
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    source TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    format TEXT NOT NULL,
    encoding TEXT,              -- of the byte map; NULL without one
    size INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    added TEXT NOT NULL,
    chunks INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (shelf, source)
);
CREATE TABLE parts (            -- of a document: its text, byte map and pages
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL REFERENCES documents (id),
    kind TEXT NOT NULL,
    place INTEGER NOT NULL,
    body BLOB NOT NULL,
    sum INTEGER NOT NULL,
    UNIQUE (document, kind, place)
);
CREATE TABLE passages (
    id INTEGER PRIMARY KEY,
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    version INTEGER NOT NULL,   -- generation of the shelf in which the text became what it is
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    time TEXT NOT NULL,
    speaker TEXT NOT NULL,
    source TEXT NOT NULL,
    metadata TEXT NOT NULL,     -- JSON
    recalls INTEGER NOT NULL,
    recalled TEXT,
    document INTEGER REFERENCES documents (id),
    "start" INTEGER NOT NULL,
    "end" INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    place INTEGER NOT NULL,
    lines INTEGER NOT NULL,     -- of the log that tell of it
    sum INTEGER NOT NULL
);
CREATE INDEX passages_by_version ON passages (shelf, version);
CREATE INDEX passages_by_document ON passages (document) WHERE document IS NOT NULL;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY REFERENCES passages (id),
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    version INTEGER NOT NULL,
    vector BLOB NOT NULL,
    sum INTEGER NOT NULL
);
CREATE INDEX vectors_by_version ON vectors (shelf, version);
CREATE TABLE bare (             -- passages without a vector
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    id INTEGER NOT NULL REFERENCES passages (id),
    PRIMARY KEY (shelf, id)
) WITHOUT ROWID;
CREATE INDEX bare_by_id ON bare (id);
CREATE TABLE former (           -- what was replaced or removed
    id INTEGER NOT NULL,
    what INTEGER NOT NULL,      -- 0 a text, 1 a vector, 2 a document
    born INTEGER NOT NULL,      -- generations of the shelf: from when
    died INTEGER NOT NULL,      -- to when it was there
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    lines INTEGER,              -- of the log that tell of a passage that is gone; NULL where it lives on
    sum INTEGER NOT NULL,
    PRIMARY KEY (id, what, died)
) WITHOUT ROWID;
CREATE INDEX former_by_death ON former (shelf, what, died);
CREATE TABLE log (
    shelf INTEGER NOT NULL REFERENCES shelves (id),
    line INTEGER NOT NULL,      -- from 1, without a gap
    time TEXT NOT NULL,
    action TEXT NOT NULL,
    passage INTEGER NOT NULL,
    before TEXT,                -- what comes after is what the next line of the passage has before, or its text
    sum INTEGER NOT NULL,
    PRIMARY KEY (shelf, line)
) WITHOUT ROWID;
CREATE INDEX log_by_passage ON log (passage);
"""

MIGRATIONS: tuple[Sequence[str], ...] = ()
"""Statements that make version i + 2 of version i + 1, for a file that an older ctxproc made."""


def version() -> int:
    """The version of a file that is made now."""
    return len(MIGRATIONS) + 1


FOREIGN = "holds tables, views or triggers that are not ctxproc's, or lacks one: it is damaged, or of another program"


class ForeignFileError(Exception):
    """A file that is no store of ours, or of a version we do not know; its text follows the name of the file."""


@cache
def expected() -> frozenset[tuple[str, str, str, str | None]]:
    """What stands in the schema of a store: type, name, table and statement of all there is."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        return _schema(connection)


def _schema(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str, str | None]]:
    return frozenset(connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"))


def inspect(connection: sqlite3.Connection) -> int:
    """The version of the file; its tables are only compared where it is that of today.

    Raises:
        ForeignFileError: it is none of ours.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION:
        raise ForeignFileError("is no memory of ctxproc, or is damaged")
    if found > version():
        raise ForeignFileError(f"was made by a newer ctxproc (version {found}, this one knows {version()}): upgrade")
    if found == version() and _schema(connection) != expected():
        raise ForeignFileError(FOREIGN)
    if found < 1:
        raise ForeignFileError("has no version")
    return int(found)


def migrate(connection: sqlite3.Connection, found: int) -> None:
    """Bring a file from a version to today's, within the transaction that is open."""
    for statements in MIGRATIONS[found - 1 :]:
        for statement in statements:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {version()}")
    if _schema(connection) != expected():
        raise ForeignFileError(FOREIGN)


def create(path: Path, *, half: bool) -> None:
    """Make a new store of mode 0600, and the folders that lack on the way to it, of mode 0700.

    It is made under another name and then linked, so that nobody ever sees half of one. Where a file of that name has
    come to be in the meantime, that one is left as it is.
    """
    for folder in reversed([folder for folder in path.parents if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
    part = path.with_name(f".{secrets.token_hex(8)}.new")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(part, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA page_size = {PAGE}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(f"BEGIN; {TABLES}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {version()}")
            row = (1, 0, int(half), 0, 0)
            connection.execute("INSERT INTO meta VALUES (?, ?, ?, ?, ?, ?)", (*row, seal("meta", *row)))
            connection.execute("COMMIT")
        _link(part, path)
    finally:
        for end in ("", "-wal", "-shm"):
            Path(f"{part}{end}").unlink(missing_ok=True)
    sync_folder(path.parent)


def _link(part: Path, path: Path) -> None:
    """Give a file its name, if nothing has it."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without links
        if not path.exists():
            part.rename(path)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a lost power supply, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

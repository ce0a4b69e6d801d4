"""Connections to a store's file: one for each that reads or writes at the same time, and what their errors mean.

Everything is committed to the write-ahead log, synced, and then brought into the file itself before a call returns,
so that the file alone holds all that was acknowledged unless somebody is reading just then; the log, of which SQLite
leaves out what is damaged without a word, has nothing to lose.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ctxproc.errors import StoreError
from ctxproc.memory.sqlite import schema
from ctxproc.memory.sqlite.integrity import DamagedError

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
FULL = frozenset({sqlite3.SQLITE_FULL})
REFUSED = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
FAILED = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})

PATIENCE, LARGE, MORE_PATIENCE = 0.01, 1 << 24, 1.0
"""Seconds that a writer waits for readers before it leaves what it wrote in the write-ahead log; and when the log has
grown to so many bytes."""


def step(name: str) -> None:
    """A step of writing has come. It does nothing: the tests kill the process here."""


def shown(path: Path) -> str:
    """A path on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def repair(path: Path) -> str:
    """The command that looks at a file and repairs what can be repaired."""
    return f"ctxproc memory doctor --memory {shlex.quote(shown(path))}"


class Connections:
    """Opens the file for whoever reads or writes, and keeps what is idle for the next.

    Args:
        path: of a store; made if there is none.
        timeout: seconds to wait for others.
        half: as in `SqliteStore`.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, path: Path, timeout: float, *, half: bool) -> None:
        self.path = Path(os.path.abspath(path))
        self.timeout = timeout
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._before_fork: list[list[sqlite3.Connection]] = []
        with self.errors():
            if not self.path.exists():
                schema.create(self.path, half=half)
                step("made")
            self._identity = self._look()
            self._give(self._open())

    def close(self) -> None:
        """Close what is idle now, and what is in use when it is given back."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        if self._pid == os.getpid():
            for connection in idle:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees the file as it is now, and goes on seeing it so until the end."""
        with self.errors():
            connection = self._take()
            try:
                self._persist(lambda: self._begin_reading(connection))
                yield connection
            finally:
                self._end(connection)

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection on which everything is written, and lasts, at the end; nothing if the end is not reached."""
        with self.errors():
            connection = self._take()
            try:
                self._persist(lambda: connection.execute("BEGIN IMMEDIATE"))
                step("begun")
                yield connection
                step("written")
                connection.execute("COMMIT")
                step("committed")
                self._checkpoint(connection, self._patience())
                step("checkpointed")
            finally:
                self._end(connection)

    def rewrite(self) -> None:
        """Write the file anew, without what was removed, and empty the log."""
        with self.errors():
            connection = self._take()
            try:
                self._persist(lambda: connection.execute("VACUUM"))
                step("vacuumed")
                if not self._checkpoint(connection, self.timeout):
                    raise StoreError(
                        f"{shown(self.path)} is being read by others: its log cannot be emptied; try again"
                    )
            finally:
                self._end(connection)

    def _checkpoint(self, connection: sqlite3.Connection, wait: float) -> bool:
        """Bring the write-ahead log into the file and empty it; whether all of it could be.

        What cannot be done now because others read, or the disk is full, the next writer does: all is safe in the log.
        """
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        finally:
            connection.execute(f"PRAGMA busy_timeout = {int(self.timeout * 1000)}")
        return not busy

    def _patience(self) -> float:
        try:
            return MORE_PATIENCE if os.stat(f"{self.path}-wal").st_size > LARGE else PATIENCE
        except OSError:
            return PATIENCE

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Whatever goes wrong with the file becomes one line that names it and what to do.

        Raises:
            StoreError: instead of what SQLite, the file system, or a checksum has to say.
        """
        name = shown(self.path)
        try:
            yield
        except (DamagedError, UnicodeDecodeError) as error:  # the latter from sqlite3, for a message or a name in bytes
            raise StoreError(f"{name} is damaged ({error}); run: {repair(self.path)}") from error
        except schema.ForeignFileError as error:
            raise StoreError(f"{name} {error}") from error
        except sqlite3.Error as error:
            raise StoreError(self._line(name, error)) from error
        except MemoryError as error:
            raise StoreError(f"{name} needs more memory than there is, or is damaged: {repair(self.path)}") from error
        except OSError as error:
            raise StoreError(f"{name} cannot be used: {error.strerror or error}") from error

    def _line(self, name: str, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        said = " ".join(str(error).split())
        if code in BUSY:
            return f"{name} was in use by others for more than {self.timeout:g} s; try again"
        if code in FULL:
            return f"{name} cannot be written: the disk is full; nothing was changed"
        if code in REFUSED:
            return f"{name} cannot be used ({said}): check that the file and its folder can be written"
        if code in FAILED:
            return f"{name} cannot be read or written ({said}): check the disk, then run: {repair(self.path)}"
        return f"{name} is damaged ({said}); run: {repair(self.path)}"

    def _look(self) -> tuple[int, int]:
        """Which file bears the name.

        Raises:
            DamagedError, schema.ForeignFileError: it can be no store.
        """
        about = self.path.stat()
        if self.path.is_dir():
            raise schema.ForeignFileError("is a folder: name a file")
        if not about.st_size:
            raise DamagedError("it is empty, which no memory ever is")
        return about.st_dev, about.st_ino

    def _take(self) -> sqlite3.Connection:
        if self._pid != os.getpid():  # those of the parent process must not be used, nor closed
            self._before_fork.append(self._idle)
            self._idle, self._lock, self._pid = [], threading.Lock(), os.getpid()
        if self._closed:
            raise schema.ForeignFileError("was closed")
        if self._look() != self._identity:
            raise schema.ForeignFileError("was replaced by another file while it was open: open it again")
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._open()

    def _give(self, connection: sqlite3.Connection) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.close()

    def _end(self, connection: sqlite3.Connection) -> None:
        """Let go of a transaction that was not committed, and of the connection."""
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            connection.close()
        else:
            self._give(connection)

    def _open(self) -> sqlite3.Connection:
        """A new connection to a file that was seen to be a store of today's version."""
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw", self.timeout, uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._persist(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for pragma in (
            "trusted_schema = OFF",
            "cell_size_check = ON",
            "foreign_keys = ON",
            "synchronous = FULL",
            "secure_delete = ON",
            "wal_autocheckpoint = 0",
            "cache_size = -16384",
        ):
            connection.execute(f"PRAGMA {pragma}")
        if schema.inspect(connection) != schema.version():
            connection.execute("BEGIN IMMEDIATE")
            try:
                schema.migrate(connection, schema.inspect(connection))
                step("migrated")
                connection.execute("COMMIT")
            except BaseException:
                connection.execute("ROLLBACK")
                raise
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise schema.ForeignFileError("lies on a file system that cannot keep a write-ahead log: use another one")

    @staticmethod
    def _begin_reading(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT last FROM meta").fetchone()
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _persist(self, action: Callable[[], object]) -> None:
        """Do something that others may be in the way of, again and again until the time is over."""
        end = time.monotonic() + self.timeout
        while True:
            try:
                action()
                return
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF not in BUSY or time.monotonic() > end:
                    raise
            time.sleep(0.005)

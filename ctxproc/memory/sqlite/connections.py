"""Connections to a store's file: one for each that reads or writes at the same time, and what their errors mean.

Everything is committed to the write-ahead log, synced, and then brought into the file itself before a call returns, so
that the file alone holds all that was acknowledged and damage to the log costs nothing. Where others read or wait to
write just then, the log is left to the next writer, and marked (`ctxproc.memory.sqlite.mark`).

What need not last, such as how often a note was recalled, is committed without waiting for the disk: a killed process
does not lose it, a lost power supply may, and nothing else is harmed by that.
"""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ctxproc.errors import StoreError
from ctxproc.memory.sqlite import mark, schema
from ctxproc.memory.sqlite.integrity import DamagedError
from ctxproc.memory.sqlite.shelves import count_write, read_meta
from ctxproc.memory.sqlite.turns import waiting, wanted

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL})
FULL = frozenset({sqlite3.SQLITE_FULL})
REFUSED = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH})
FAILED = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM})

PATIENCE, LARGE, MORE_PATIENCE = 0.01, 1 << 24, 1.0
"""Seconds that a writer waits for readers before it leaves what it wrote in the write-ahead log; and when the log has
grown to so many bytes. Where that was in vain, the next time is when it has doubled."""

AGAIN, WAY = 0.01, 0.01
"""Seconds, at most, between two tries to get in; for which a writer stays out when another one waits."""


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
        self.path = Path(os.path.realpath(path))
        self.timeout = timeout
        self._idle: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._closed = False
        self._large = LARGE
        self._pid = os.getpid()
        self._before_fork: list[list[sqlite3.Connection]] = []
        self._watcher: list[sqlite3.Connection] = []
        self._watchers = 0
        with self.errors():
            if "\0" in str(self.path):
                raise schema.ForeignFileError("is no path")
            if not self.path.exists():
                schema.create(self.path, half=half)
                step("made")
            self._identity = self._look()
            self._give(self._open())

    def close(self) -> None:
        """Close what is idle now, and what is in use when it is given back."""
        with self._lock:
            idle, self._idle, self._closed = [*self._idle, *self._watcher], [], True
            self._watcher = []
        if self._pid == os.getpid():
            for connection in idle:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def version(self) -> tuple[int, int]:
        """Another pair whenever anything was written to the file since, by whomever. Much quicker than reading."""
        with self.errors():
            self._check()
            with self._lock:
                if not self._watcher:
                    self._watcher.append(self._open())
                    self._watchers += 1
                found: list[tuple[int]] = []
                watcher = self._watcher[0]
                self._persist(lambda: found.extend(watcher.execute("PRAGMA data_version").fetchall()))
                return self._watchers, found[0][0]

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
    def writing(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection on which everything is written at the end; nothing if the end is not reached.

        ``lasting``: also where the power supply is lost afterwards.
        """
        with self.errors():
            connection = self._take()
            try:
                connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
                self._persist(lambda: connection.execute("BEGIN IMMEDIATE"))
                step("begun")
                before = connection.total_changes
                yield connection
                if connection.total_changes != before:
                    self._commit(connection, lasting)
            finally:
                self._end(connection)

    def rewrite(self) -> None:
        """Write the file anew, without what was removed, and empty the log."""
        with self.errors():
            connection = self._take()
            try:
                connection.execute("PRAGMA synchronous = FULL")
                self._persist(lambda: connection.execute("VACUUM"))
                step("vacuumed")
                if not self._checkpoint(connection, self.timeout):
                    raise StoreError(
                        f"{shown(self.path)} is being read by others: its log cannot be emptied; try again"
                    )
            finally:
                self._end(connection)

    def _commit(self, connection: sqlite3.Connection, lasting: bool) -> None:
        """Make what was written last, and bring it from the log into the file, or mark the log as one that matters."""
        writes = count_write(connection)
        step("written")
        connection.execute("COMMIT")
        step("committed")
        if lasting or self._log_size() > self._large:
            if self._empty_log(connection):
                mark.erase(self.path)
            elif lasting:
                mark.write(self.path, writes)
        step("checkpointed")

    def _empty_log(self, connection: sqlite3.Connection) -> bool:
        """Empty the log if that can be done soon, or give way to a writer who waits and will do it; whether it is empty.

        All is safe in the log, too: what cannot be done now, because others read or the disk is full, is left.
        """
        large = self._log_size() > self._large
        if not large and wanted(self.path.parent):
            time.sleep(WAY)
            return False
        done = self._checkpoint(connection, MORE_PATIENCE if large else PATIENCE)
        self._large = LARGE if done else self._large * (2 if large else 1)
        return done

    def _log_size(self) -> int:
        try:
            return os.stat(f"{self.path}-wal").st_size
        except OSError:
            return 0

    def _checkpoint(self, connection: sqlite3.Connection, wait: float) -> bool:
        """Bring the write-ahead log into the file and empty it; whether all of it could be."""
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
            busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        finally:
            connection.execute("PRAGMA busy_timeout = 0")
        return not busy

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
            said = " ".join(str(error).split())
            raise StoreError(f"{name} is damaged ({said}); run: {repair(self.path)}") from error
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
        if code == sqlite3.SQLITE_NOTADB:
            return f"{name} is no memory of ctxproc ({said}); if it was one and is damaged, run: {repair(self.path)}"
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

    def _check(self) -> None:
        """See that the file is still the one that was opened, by this process.

        Raises:
            DamagedError, schema.ForeignFileError: it is not, or was closed.
        """
        if self._pid != os.getpid():  # connections of the parent process must not be used, nor closed
            self._before_fork += [self._idle, self._watcher]
            self._idle, self._watcher, self._lock, self._pid = [], [], threading.Lock(), os.getpid()
        if self._closed:
            raise schema.ForeignFileError("was closed")
        if self._look() != self._identity:
            raise schema.ForeignFileError("was replaced by another file while it was open: open it again")

    def _take(self) -> sqlite3.Connection:
        self._check()
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
            f"{self.path.as_uri()}?mode=rw", 0, uri=True, isolation_level=None, check_same_thread=False
        )
        try:
            self._persist(lambda: self._prepare(connection))
        except BaseException:
            connection.close()
            raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        writes = mark.read(self.path)  # before the file, which may only have more
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
        if writes and read_meta(connection).writes < writes:
            raise schema.ForeignFileError(
                f"lacks writes that were made: its log {shown(self.path)}-wal is damaged or missing, or the file is an old "
                f"copy; to use it as it is, delete {shown(mark.place(self.path))}"
            )
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise schema.ForeignFileError("lies on a file system that cannot keep a write-ahead log: use another one")

    @staticmethod
    def _begin_reading(connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _persist(self, action: Callable[[], object]) -> None:
        """Do something that others may be in the way of, again and again until the time is over."""
        if self._done(action):
            return
        end = time.monotonic() + self.timeout
        with waiting(self.path.parent):
            while not self._done(action, last=time.monotonic() > end):
                time.sleep(random.uniform(0, AGAIN))

    @staticmethod
    def _done(action: Callable[[], object], *, last: bool = False) -> bool:
        """Do something; whether nobody was in the way. Someone who is still there the last time is an error."""
        try:
            action()
        except sqlite3.OperationalError as error:
            if last or getattr(error, "sqlite_errorcode", 0) & 0xFF not in BUSY:
                raise
            return False
        return True

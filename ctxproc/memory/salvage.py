"""Saving what can be read of a damaged memory file in a new one beside it. The damaged file is never altered."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctxproc.chunk import Chunk
from ctxproc.errors import CtxprocError, StoreError
from ctxproc.memory.base import Owner, Passage, Shelf
from ctxproc.memory.library import CHUNKING
from ctxproc.memory.store import SqliteStore

EMPTY = 1_000_000
"""So many numbers in a row without a passage end the search in a store that cannot say its last number."""

AT_ONCE = 4096
"""Passages that are read together."""

HEADER = 100
"""Bytes that an SQLite file begins with; they name the size of its pages and their number."""


def salvage(path: Path, owners: Sequence[Owner] = ()) -> tuple[Path, int]:
    """Save notes and documents of a damaged store; the new file, and how many passages are known to be lost.

    Notes and documents get new numbers. The log, vectors and how often a note was recalled are not saved.

    Args:
        path: of the damaged file.
        owners: whose passages are looked for too, since the store may not be able to tell who has some.

    Raises:
        StoreError: nothing of the file can be read.
    """
    number, free = 1, path.with_name(f"{path.name}.salvaged")
    while free.exists():
        number += 1
        free = path.with_name(f"{path.name}.salvaged.{number}")
    with _readable(path) as store:
        everyone = list(dict.fromkeys([*store.known_owners(), *owners]))
        lost = 0
        with contextlib.closing(SqliteStore(free)) as new:
            for owner in everyone:
                notes, gone = _passages(store, owner, "memory")
                new.add(owner, [passage.note for passage in notes])
                chunks, missing = _passages(store, owner, "library")
                lost += gone + missing + _documents(store, new, owner, chunks)
    return free, lost


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[SqliteStore]:
    """A store of the file as it is, or else of a copy that was filled up with zeros to the size that it names.

    Raises:
        StoreError: neither can be opened.
    """
    copy = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        try:
            store = SqliteStore(path)
        except StoreError:
            _fill(path, copy)
            try:
                store = SqliteStore(copy)
            except StoreError as error:
                raise StoreError(f"nothing of {path} can be read: put back a backup, or import an export") from error
        with contextlib.closing(store):
            yield store
    except OSError as error:
        raise StoreError(f"{path} cannot be copied ({error.strerror}): make room beside it") from error
    finally:
        for rest in ("", "-wal", "-shm"):
            Path(f"{copy}{rest}").unlink(missing_ok=True)


def _fill(path: Path, copy: Path) -> None:
    """Copy a file that was cut off, and make it as long as its header says."""
    with path.open("rb") as damaged:
        header = damaged.read(HEADER)
        page = int.from_bytes(header[16:18], "big")
        size = (65536 if page == 1 else page) * int.from_bytes(header[28:32], "big")
        damaged.seek(0)
        with os.fdopen(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            while block := damaged.read(1 << 24):
                file.write(block)
            file.truncate(max(size, file.tell()) if size < 1 << 40 else file.tell())


def _passages(store: SqliteStore, owner: Owner, shelf: Shelf) -> tuple[list[Passage], int]:
    """The passages of a shelf that can be read, and how many it is said to have besides."""
    last = None
    with contextlib.suppress(StoreError):
        last = store.last()
    found: list[Passage] = []
    start = seen = 1
    while start - seen < EMPTY if last is None else start <= last:
        some = _read(store, owner, shelf, range(start, start + AT_ONCE))
        start += AT_ONCE
        seen = start if some else seen
        found += some
    with contextlib.suppress(StoreError):
        return found, max(0, store.state(owner, shelf).count - len(found))
    return found, 0


def _read(store: SqliteStore, owner: Owner, shelf: Shelf, ids: Sequence[int]) -> list[Passage]:
    """The passages of these numbers but for those that cannot be read."""
    try:
        return store.passages(owner, shelf, ids)
    except StoreError:
        middle = len(ids) // 2
        if not middle:
            return []
        return _read(store, owner, shelf, ids[:middle]) + _read(store, owner, shelf, ids[middle:])


def _documents(store: SqliteStore, new: SqliteStore, owner: Owner, chunks: Sequence[Passage]) -> int:
    """Save the documents, those of these chunks at least, to be split anew; how many chunks were lost with theirs."""
    of: dict[int, list[Passage]] = {}
    with contextlib.suppress(StoreError):
        of = {one.id: [] for one in store.filed(owner)}
    for passage in chunks:
        of.setdefault(passage.document, []).append(passage)
    lost = 0
    for number, passages in of.items():
        try:
            document = store.document(owner, number)
        except CtxprocError:
            lost += len(passages)
            continue
        new.file(owner, document, [Chunk(document, one.start, one.end, one.tokens, one.index) for one in passages])
    if of:
        new.set(owner, CHUNKING, "salvaged")
    return lost

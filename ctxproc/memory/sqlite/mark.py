"""How many writes must be found in a file whose write-ahead log could not be emptied.

SQLite leaves out a part of its log that is damaged, and all that follows, without a word: it looks like a write that a
power cut stopped half-way. So where a log stays full after a write, a small file beside it says how many writes there
have been, and who opens the file later compares. It is only looked at where it is whole.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from ctxproc.memory.sqlite.integrity import seal_bytes

if sys.platform != "win32":
    import fcntl

SIZE = 16


def place(path: Path) -> Path:
    """Where it lies."""
    return path.with_name(f"{path.name}-mark")


def read(path: Path) -> int:
    """The writes that must be found in a file; 0 where nothing is told."""
    try:
        return _number(place(path).read_bytes()[:SIZE])
    except OSError:
        return 0


def write(path: Path, writes: int) -> None:
    """Say, and make it last, that there have been so many writes. Where that cannot be written, nothing is said."""
    with contextlib.suppress(OSError), _alone(path) as file:
        if _number(os.pread(file, SIZE, 0)) < writes:
            os.pwrite(file, _bytes(writes), 0)
            os.fsync(file)


def erase(path: Path) -> None:
    """Say nothing any more, if the log is empty."""
    if not place(path).exists():
        return
    with contextlib.suppress(OSError), _alone(path) as file:
        if not os.stat(f"{path}-wal").st_size:
            os.pwrite(file, _bytes(0), 0)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[int]:
    """The open file, locked for as long as it takes to look and write."""
    file = os.open(place(path), os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
    finally:
        os.close(file)


def _bytes(writes: int) -> bytes:
    number = writes.to_bytes(8, "big")
    return number + (seal_bytes(number) % (1 << 64)).to_bytes(8, "big")


def _number(raw: bytes) -> int:
    writes = int.from_bytes(raw[:8], "big")
    return writes if raw == _bytes(writes) else 0

"""Files of caches: named by hashes, hashed in blocks, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ctxproc.memory.base import Owner

if sys.platform != "win32":
    import fcntl

BLOCK = 1 << 26
READ = 1 << 22


def file_prefix(owner: Owner) -> str:
    """How the names of an owner's files begin: nothing of what a user wrote is part of them."""
    return hashlib.sha256("\0".join([owner.user, owner.agent, owner.session]).encode()).hexdigest()[:32] + "."


def digest(path: Path) -> str:
    """Of a file: SHA-256 of the SHA-256s of its blocks of 64 MiB, which are hashed side by side.

    Raises:
        OSError: it cannot be read.
    """
    blocks = range(0, path.stat().st_size, BLOCK)
    with ThreadPoolExecutor(max(1, min(8, os.cpu_count() or 1, len(blocks)))) as threads:
        found = list(threads.map(lambda start: _digest(path, start), blocks))
    return hashlib.sha256(b"".join(found)).hexdigest()


def _digest(path: Path, start: int) -> bytes:
    """Of one block."""
    made = hashlib.sha256()
    buffer = memoryview(bytearray(READ))
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        left = BLOCK
        while left and (count := file.readinto(buffer[: min(left, READ)])):
            made.update(buffer[:count])
            left -= count
    return made.digest()


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Make the folder, mode 0700, if it is not there, and keep other processes and threads from its files meanwhile.

    On a system without such locks, files of two writers may cross; their readers then build anew.

    Raises:
        OSError: the folder cannot be made or written.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def write_file(file: Path, write: Callable[[Path], None]) -> str:
    """Put a file in place of that of its name, whole or not at all; its digest. Only within `alone`.

    What a killed writer left is removed first.

    Raises:
        OSError: it cannot be written.
    """
    remove_parts(file.parent)
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=".", suffix=".part")
    part = Path(name)
    try:
        write(part)
        os.fsync(handle)
        made = digest(part)
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)
    return made


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left. Only within `alone`."""
    for part in folder.glob(".*.part"):
        part.unlink(missing_ok=True)

"""The disk tier of the key-value store: one safetensors file per entry, safe with several processes on one folder.

A file is named by its key and is, byte for byte, what `header` gives for key, shape, number format and checksum,
followed by the numbers. Nothing in it is parsed or believed: a reader makes the header that should be there and compares.
Files are written under another name and renamed, so a reader sees a whole file or none; what a crash of the machine tore
is caught by the checksum. No lock is needed but the one that tells a living writer's file from a dead one's.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    import torch

ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")
PART = re.compile(r"\.[0-9a-f]{16}\.part")
FORMATS = {"torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}

ALIGNMENT = 64  # bytes, of the numbers in the file and so in memory
MAPPED_FROM = 1 << 18  # bytes; smaller entries are copied, since a process may have only so many maps
RESERVE = 8  # 1/8 of the budget stays free for what other processes write before the next look
SLACK = 64  # 1/64 of the budget may be written between two looks at the folder


ATTEMPTS = 3
"""To map a file that another process may be putting in place of another just now."""


class DamagedEntryError(Exception):
    """A file is not what was written under its key."""


class DiskTier:
    """Entries in a folder, the least recently used ones removed first.

    With up to eight writing processes the folder never holds more than the budget once a `write` has returned; seven
    eighths of it are kept in the long run.

    Args:
        folder: made when first written, with mode 0700; files have mode 0600.
        budget: bytes.
        report: told once, in one line, that the folder cannot be written; from then on it is only read.
    """

    def __init__(self, folder: Path, budget: int, report: Callable[[str], None]) -> None:
        self.folder = folder
        self.budget = budget
        self._limit = budget - budget // RESERVE
        self._unseen = budget + 1  # bytes written since the last look at the folder
        self._report = report
        self._writable = True

    def path(self, key: str) -> Path:
        """Where an entry lies."""
        return self.folder / f"{key}.safetensors"

    def read(self, key: str, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
        """The entry, checked, and mapped from the file (private: writing to it changes no file).

        Safe in several threads at once.

        Raises:
            FileNotFoundError: there is none.
            DamagedEntryError: the file is damaged, foreign, or of another key, shape or number format.
            OSError: it cannot be read for another reason.
        """
        path = self.path(key)
        start = len(header(key, shape, dtype, ""))
        size = math.prod(shape) * dtype.itemsize
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size != start + size:
            raise DamagedEntryError(f"{path} is no file of {start + size} bytes")
        raw = _mapped(path, start + size)
        numbers = raw[start:]
        if raw[:start].numpy().tobytes() != header(key, shape, dtype, checksum(numbers)):
            raise DamagedEntryError(f"{path} is not what was written")
        entry = numbers.view(dtype).view(tuple(shape))
        return entry if size >= MAPPED_FROM else entry.clone()

    def touch(self, key: str) -> None:
        """Make an entry the most recently used one."""
        with contextlib.suppress(OSError):
            _mark(self.path(key))

    def remove(self, key: str) -> None:
        """Remove an entry, if it is there and can be removed."""
        with contextlib.suppress(OSError):
            self.path(key).unlink()

    def write(self, key: str, entry: torch.Tensor) -> None:
        """Write an entry (contiguous, on the CPU), replacing one of the same key, and keep to the budget.

        An entry that the budget cannot hold is not written. Where writing fails, it is reported and never tried again.
        """
        size = len(header(key, entry.shape, entry.dtype, "")) + entry.nbytes
        if not self._writable or size > self._limit:
            return
        start = header(key, entry.shape, entry.dtype, checksum(entry))
        try:
            self._write(self.path(key), start, entry)
            self._unseen += size
            if self._unseen > self.budget // SLACK:
                self._make_room()
        except FileNotFoundError:
            pass  # another process cleared the folder meanwhile: the entry is gone as if it had been evicted
        except OSError as error:
            self._writable = False
            self._report(f"{self.folder} cannot be written ({error.strerror}): keys and values stay in memory only")

    def _write(self, path: Path, start: bytes, entry: torch.Tensor) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = self.folder / f".{secrets.token_hex(8)}.part"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            try:
                _lock(file.fileno(), wait=True)
                file.write(start)
                file.write(_bytes(entry))
                file.flush()
                _mark(part)
                os.replace(part, path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def _make_room(self) -> None:
        """Look at the folder, remove what dead writers left, and the oldest entries down to the limit."""
        entries: list[tuple[int, str, int]] = []
        with os.scandir(self.folder) as found:
            for item in found:
                if PART.fullmatch(item.name):
                    _remove_abandoned(Path(item.path))
                elif ENTRY.fullmatch(item.name):
                    with contextlib.suppress(FileNotFoundError):
                        about = item.stat(follow_symlinks=False)
                        entries.append((about.st_mtime_ns, item.path, about.st_size))
        total = sum(size for _, _, size in entries)
        for _, path, size in sorted(entries):
            if total <= self._limit:
                break
            Path(path).unlink(missing_ok=True)
            total -= size
        self._unseen = 0


def header(key: str, shape: Sequence[int], dtype: torch.dtype, digest: str) -> bytes:
    """What stands before the numbers: the length of a JSON object and the object, as safetensors has it.

    Its length does not depend on the digest, which may be "".
    """
    about = {
        "__metadata__": {"xxh3_128": digest.zfill(32)},
        key: {
            "dtype": FORMATS[str(dtype)],
            "shape": list(shape),
            "data_offsets": [0, math.prod(shape) * dtype.itemsize],
        },
    }
    text = json.dumps(about, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def checksum(entry: torch.Tensor) -> str:
    """XXH3-128 of a contiguous tensor's bytes, 32 hex digits: finds accidents, not forgeries."""
    import xxhash

    return xxhash.xxh3_128_hexdigest(_bytes(entry))


def _bytes(entry: torch.Tensor) -> Any:  # noqa: ANN401  (a buffer)
    """The bytes of a contiguous tensor, not copied."""
    import torch

    return entry.reshape(-1).view(torch.uint8).numpy()


def _mapped(path: Path, size: int) -> torch.Tensor:
    """The first ``size`` bytes of a file, mapped privately; no file stays open.

    Raises:
        FileNotFoundError, DamagedEntryError: it vanished or was cut just now.
        OSError: it cannot be mapped for another reason.
    """
    import torch

    for more in reversed(range(ATTEMPTS)):
        try:
            storage: Any = torch.UntypedStorage.from_file(str(path), False, size)
            return torch.empty(0, dtype=torch.uint8).set_(storage)
        except RuntimeError as error:
            if path.lstat().st_size < size:
                raise DamagedEntryError(f"{path} is no file of {size} bytes") from error
            if not more:
                raise OSError(" ".join(str(error).split())) from error
    raise AssertionError  # the last attempt returned or raised


def _mark(path: Path) -> None:
    """Set the time of last use to now."""
    now = time.time_ns()
    os.utime(path, ns=(now, now))


def _lock(handle: int, *, wait: bool) -> bool:
    """Lock a file as long as it is open; whether it worked. A system without such locks has never any."""
    if sys.platform == "win32":
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        return False
    return True


def _remove_abandoned(part: Path) -> None:
    """Remove a file that no living process is writing."""
    with contextlib.suppress(OSError), part.open("rb") as file:
        if _lock(file.fileno(), wait=False):
            part.unlink()

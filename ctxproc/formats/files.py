"""Finding and reading the bytes of sources: files, folders, standard input. Only regular files are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from ctxproc.formats.base import Kind, Limits, UnreadableError

BLOCK = 1 << 24
"""Bytes that are asked for at a time."""

Report = Callable[[Path, Kind, str], None]
"""Told of each path that is passed over: the path, the kind, one line."""


def walk(folder: Path, report: Report) -> Iterator[Path]:
    """The files below ``folder``: by name, those of a folder before those of the folders in it.

    Hidden files and folders (a name that begins with a dot), links to folders, and links that lead out of ``folder``
    are reported and passed over; nothing below them is counted.
    """
    root = folder.resolve()

    def unreadable(error: OSError) -> None:
        report(Path(error.filename), "broken", f"cannot be listed ({error.strerror})")

    for parent, folders, files in os.walk(folder, onerror=unreadable):
        folders.sort()
        for name in tuple(folders):
            path = Path(parent, name)
            if name.startswith("."):
                report(path, "hidden", "is a hidden folder")
                folders.remove(name)
            elif path.is_symlink():
                report(path, "special", "is a link to a folder")
                folders.remove(name)
        for name in sorted(files):
            path = Path(parent, name)
            if name.startswith("."):
                report(path, "hidden", "is a hidden file")
            elif path.is_symlink() and not path.resolve().is_relative_to(root):
                report(path, "special", "is a link that leads out of the folder")
            else:
                yield path


def read_file(path: Path, limits: Limits) -> bytes:
    """The bytes of a regular file. Never waits for a pipe or a device: those are refused.

    Raises:
        UnreadableError: missing, not a file, not permitted, empty, or above ``limits.source_bytes``.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise UnreadableError("broken", "does not exist; check the path") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableError("broken", f"cannot be opened ({reason}); check the path and its permissions") from None
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise UnreadableError("special", "is neither a file nor a folder; copy what it gives into a file first")
        try:
            return read_stream(stream, limits, os.fstat(handle).st_size)
        except OSError as error:
            raise UnreadableError("broken", f"cannot be read ({error.strerror}); check the disk") from None


def read_stream(stream: BinaryIO, limits: Limits, size: int = 0) -> bytes:
    """All bytes of a stream, which is said to hold ``size``.

    Raises:
        UnreadableError: it holds none, or more than ``limits.source_bytes``.
    """
    most = limits.source_bytes
    blocks: list[bytes] = []
    while size <= most and (block := stream.read(min(BLOCK, most + 1 - sum(map(len, blocks))))):
        blocks.append(block)
    raw = b"".join(blocks)
    if max(size, len(raw)) > most:
        limit = f"the limit source_bytes ({most} bytes)"
        raise UnreadableError("broken", f"is larger than {limit}; raise it or split the file")
    if not raw:
        raise UnreadableError("empty", "is empty; name a source with text")
    return raw

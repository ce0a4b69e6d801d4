"""Writers that wait say so, so that one who writes again and again gives way.

SQLite's locks know no queue: whoever asks at the right moment gets in, which is as a rule the one who was in just now. A
lock on the folder of the file, shared by all who wait, tells the others. It keeps nobody out; where a system has no such
locks, nobody seems to wait.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

if sys.platform != "win32":
    import fcntl

TRIES = 5
"""To say that one waits, which fails while another one looks."""


@contextlib.contextmanager
def waiting(folder: Path) -> Iterator[None]:
    """While it lasts, `wanted` is true for others."""
    with _opened(folder) as handle:
        for _ in range(TRIES):
            if _lock(handle, shared=True):
                break
            time.sleep(0.001)
        yield


def wanted(folder: Path) -> bool:
    """Whether anybody waits to write a file in this folder."""
    with _opened(folder) as handle:
        return not _lock(handle, shared=False)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int | None]:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        yield None
        return
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(handle: int | None, *, shared: bool) -> bool:
    """Lock a folder until it is closed, if nobody is in the way; whether nobody was."""
    if handle is None or sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True

"""A process that can be killed: a fork of this one, so that a library is loaded once (Linux and macOS)."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

OPENED, BEGUN, DONE = b"o", b"b", b"d"
"""What a writer says when the store is open, and before and after each call."""

Send = Callable[[bytes], object]


class Child:
    """A fork of this process.

    Args:
        work: what it does; it is given a function that sends bytes to this process, and exits with 1 where it raises.
    """

    def __init__(self, work: Callable[[Send], object]) -> None:
        self._reader, pipe = os.pipe()
        sys.stdout.flush()
        self._id = os.fork()
        if not self._id:
            self._work(work, pipe)
        os.close(pipe)

    def heard(self, calls: int) -> bytes:
        """What it says until it has opened the store and finished so many calls, or ended."""
        said = b""
        while (OPENED not in said or said.count(DONE) < calls) and calls >= 0 and (more := os.read(self._reader, 1)):
            said += more
        return said

    def kill(self) -> None:
        """SIGKILL: nothing that it does now is finished."""
        os.kill(self._id, signal.SIGKILL)

    def rest(self) -> tuple[bytes, bool]:
        """All that it sends until it ends, and whether it was killed.

        Raises:
            ChildProcessError: it failed.
        """
        with os.fdopen(self._reader, "rb") as file:
            said = file.read()
        code = os.waitstatus_to_exitcode(os.waitpid(self._id, 0)[1])
        if code not in (0, -signal.SIGKILL):
            raise ChildProcessError(f"a process failed with {code}; see above")
        return said, code != 0

    @staticmethod
    def _work(work: Callable[[Send], object], pipe: int) -> None:
        code = 1
        try:
            with os.fdopen(pipe, "wb", buffering=0) as file:
                work(file.write)
            code = 0
        except Exception:  # noqa: BLE001 (printed; the process ends)
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)

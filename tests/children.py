"""Programs of tests, and their forks, which do a piece of work and may be killed."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import ctxproc


def forked(work: Callable[[], None]) -> int:
    """The id of a child process that does the work; its exit code says whether it went well."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    finally:
        if code:
            traceback.print_exc()
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    """How a child ended: its exit code, or minus the signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_as_program(file: str, what: str, folder: Path) -> None:
    """Run a test file as a program, on the package that is tested here; fails where it fails."""
    there = os.pathsep.join(
        [str(Path(ctxproc.__file__).parents[1]), str(Path(__file__).parent), os.environ["PYTHONPATH"]]
    )
    result = subprocess.run(
        [sys.executable, file, what, str(folder)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": there},
    )
    assert result.returncode == 0, result.stderr[-3000:]

"""A module of the benchmarks in a process of another interpreter."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1]


def environment(**more: str) -> dict[str, str]:
    """This process's, where the modules of the benchmarks and this checkout's program are found, and no hub is asked."""
    path = os.pathsep.join(filter(None, [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", **more}


def started(module: str, python: str, log: Path, **more: str) -> subprocess.Popen[str]:
    """The process, its input and output being pipes of text.

    Args:
        module: found beside the benchmarks, or on PYTHONPATH.
        python: the interpreter; a relative path is one from here.
        log: file for what it says on stderr.
        more: variables of its environment.

    Raises:
        OSError: there is no such interpreter.
    """
    with log.open("w", encoding="utf-8") as errors:
        return subprocess.Popen(
            [python, "-m", module],
            env=environment(**more),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            encoding="utf-8",
        )

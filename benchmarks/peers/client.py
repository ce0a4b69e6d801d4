"""The benchmark's side of a worker: starts it, sends it requests, ends it."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from peers.process import started
from peers.protocol import Setup
from peers.workload import Document


class WorkerError(RuntimeError):
    """A worker ended; the message is the end of what it said on stderr."""


class Worker:
    """One peer in a process of its own.

    Args:
        module: a module of this folder.
        python: the interpreter that has what the peer needs.
        log: file for its stderr.

    Raises:
        WorkerError: it did not start, or a request ended it.
    """

    def __init__(self, module: str, setup: Setup, python: str, log: Path) -> None:
        self._log = log
        try:
            self._process = started(f"peers.{module}", python, log, OMP_NUM_THREADS=str(setup.threads))
        except OSError as error:
            raise WorkerError(str(error)) from error
        self.started = self._exchange(asdict(setup))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def call(self, name: str, *values: Any, logits: bool = False) -> dict[str, Any]:  # noqa: ANN401 (JSON)
        """One request: the reply with its result, its seconds and its memory; ``absent`` where the peer cannot."""
        given = [asdict(value) if isinstance(value, Document) else value for value in values]
        return self._exchange({"do": name, "value": given, "logits": logits})

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self.close()
            raise WorkerError(self._log.read_text(encoding="utf-8", errors="replace").strip()[-600:] or "no message")
        reply: dict[str, Any] = json.loads(line)
        return reply


def drop_from_page_cache(files: list[str]) -> int:
    """Makes the next read of these files a read of the disk (Linux alone); returns their bytes."""
    total = 0
    for name in files:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(descriptor).st_size
        finally:
            os.close(descriptor)
    return total

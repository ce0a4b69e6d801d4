"""The answers of a comparison as they come: a file of JSON lines that is only ever appended to.

A process that is killed leaves at most one line unfinished, the last; it is cut off when the file is next opened, and its
question is asked again.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from ctxproc.errors import UsageError

if sys.platform != "win32":
    import fcntl

if TYPE_CHECKING:
    from ctxproc.compare_questions import Question
    from ctxproc.compare_ways import Way

NAME = "answers.jsonl"


@dataclass(frozen=True, slots=True)
class Row:
    """An answer that was given.

    Attributes:
        key: names it (see `compare_ways.key_of`).
        answer: as ``ctxproc ask --json`` prints it, without the run's name and what was measured.
        measured: ``seconds`` to the last token and ``first`` to the first (None where it said nothing), the most
            ``memory`` in bytes and ``gpu_memory`` (None where not known), and ``reused_tokens`` of the prompts.
    """

    key: str
    answer: Mapping[str, Any]
    measured: Mapping[str, float | None]


class Ledger:
    """The answers that are there already, by key, and the file that takes new ones. Use it as a context.

    Args:
        path: of the file; made if it is not there. None keeps answers in memory alone.

    Raises:
        UsageError: the file cannot be used, is in use by another comparison, or holds a line that is no answer.
    """

    def __init__(self, path: Path | None) -> None:
        self.rows: dict[str, Row] = {}
        self.path = path
        self._file: BinaryIO | None = None
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("a+b")
            self._lock(self._file.fileno())
            self._read(self._file)
        except OSError as error:
            self.close()
            raise UsageError(f"cannot write {path}: {error.strerror}; name another folder") from error
        except UsageError:
            self.close()
            raise

    def _lock(self, handle: int) -> None:
        """Keep others out as long as the file is open, where the system has such locks."""
        if sys.platform == "win32":
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(
                f"another comparison is writing {self.path}: wait for it, or name another folder"
            ) from error

    def _read(self, file: BinaryIO) -> None:
        """Take in what is there, and cut off a last line that was not finished."""
        file.seek(0)
        raw = file.read()
        whole = raw.rfind(b"\n") + 1
        for number, line in enumerate(raw[:whole].split(b"\n"), 1):
            if line:
                self._keep(line, number)
        if whole < len(raw):
            file.truncate(whole)

    def _keep(self, line: bytes, number: int) -> None:
        try:
            value = json.loads(line.decode("utf-8", "surrogatepass"))
            row = Row(str(value["key"]), dict(value["answer"]), dict(value["measured"]))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{self.path}, line {number} is no answer of a comparison: take it out, or name another folder"
            ) from error
        self.rows.setdefault(row.key, row)

    def add(self, row: Row, way: Way, question: Question) -> None:
        """Keep an answer; when this returns, a killed process does not lose it.

        Raises:
            UsageError: the file cannot be written.
        """
        from ctxproc.compare_ways import named

        self.rows[row.key] = row
        if self._file is None:
            return
        line = {
            "key": row.key,
            "strategy": named(way.strategy),
            "criteria": way.criteria,
            "model": way.model,
            "id": question.id,
            "question": question.text,
            "answer": row.answer,
            "measured": row.measured,
        }
        try:
            self._file.write(json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            self._file.flush()
        except OSError as error:
            raise UsageError(f"cannot write {self.path}: {error.strerror}; what was asked before is kept") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

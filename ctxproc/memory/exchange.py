"""Notes as JSON lines: what ``export`` writes and ``import`` reads. Strings are data: no key and no value means anything.

The first line names the format and its version, every other line is one note:

    {"ctxproc": "memory", "version": 1}
    {"number": 7, "text": "...", "kind": "note", "time": "2026-05-01T12:00:00+00:00", "speaker": "", "source": "",
     "metadata": {}}

A number only says which note another one in the same file means (`ctxproc.memory.exchange_links`); in a memory that takes
the file in, notes have numbers of their own. Documents, the log, vectors and how often a note was recalled are not exported.
"""

from __future__ import annotations

import json
import math
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn, TextIO, get_args

from ctxproc.errors import UsageError
from ctxproc.memory.base import Kind, Note, Passage

VERSION = 1
HEADER = {"ctxproc": "memory", "version": VERSION}
LONGEST_LINE = 1 << 24
"""Characters of a line that is read."""

LONGEST_TEXT = 1_000_000
"""Characters of a note."""

MOST_NAMES = 256
"""Names in the metadata of a note."""

DOCUMENT = "document"
"""What a line has that is no note but of a document."""

KINDS = frozenset(get_args(Kind)) - {"chunk"}
FIELDS = {"number": int, "text": str, "kind": str, "time": str, "speaker": str, "source": str, "metadata": dict}


def checked(note: Note) -> Note:
    """The note itself.

    Raises:
        UsageError: it is empty, too long, of no kind, of a time without a zone or beyond the calendar, or cannot be stored.
    """
    if not note.text.strip():
        raise UsageError("there is nothing to remember: the text is empty")
    if len(note.text) > LONGEST_TEXT:
        raise UsageError(
            f"a note has at most {LONGEST_TEXT:,} characters, not {len(note.text):,}: add it as a document"
        )
    if note.kind not in KINDS:
        raise UsageError(f"no kind of note is called {note.kind!r}; there are: {', '.join(sorted(KINDS))}")
    if not isinstance(note.time, datetime) or note.time.utcoffset() is None:
        raise UsageError("the time of a note needs its zone, such as 2026-05-01T12:00:00+00:00")
    try:
        note.time.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"the time {note.time.isoformat()} is outside of the years 1 to 9999 in UTC") from None
    if len(note.metadata) > MOST_NAMES:
        raise UsageError(f"the metadata of a note has at most {MOST_NAMES} names, not {len(note.metadata)}")
    values = [note.text, note.speaker, note.source, *note.metadata, *note.metadata.values()]
    for value in values:
        if not isinstance(value, (str, int, float, bool)) or (isinstance(value, float) and not math.isfinite(value)):
            raise UsageError(f"metadata are names with single values (text, number, true, false), not {value!r:.60}")
        if isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value):
            raise UsageError("the text holds a lone surrogate, which cannot be stored; replace it first")
        if isinstance(value, int) and abs(value) >= 1 << 63:
            raise UsageError(f"the number {value!r:.30} in the metadata has more than 63 bits; store it as text")
    if not all(isinstance(name, str) for name in note.metadata):
        raise UsageError("the names of metadata are text")
    return note


def to_line(note: Note, number: int = 0) -> str:
    """A note as one line, its end included; without a number where it is 0."""
    values = {
        **({"number": number} if number else {}),
        "text": note.text,
        "kind": note.kind,
        "time": note.time.isoformat(),
        "speaker": note.speaker,
        "source": note.source,
        "metadata": dict(note.metadata),
    }
    return json.dumps(values, ensure_ascii=False) + "\n"


def write(path: Path, notes: Iterable[Note | Passage], more: Iterable[str] = ()) -> int:
    """Write a file of notes, readable by its owner only, whole or not at all; how many. Those of passages have numbers.

    ``more`` are lines that follow the notes.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    number = 0
    try:
        if path.exists():
            raise UsageError(f"{shown(path)} is there already: name another file")
        with fresh(path) as file:
            file.write(json.dumps(HEADER) + "\n")
            for note in notes:
                file.write(to_line(note.note, note.id) if isinstance(note, Passage) else to_line(note))
                number += 1
            file.writelines(more)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {shown(path)}: {reason}; name another file") from error
    return number


@contextmanager
def fresh(path: Path) -> Iterator[TextIO]:
    """A file that has its name only when it is whole and on the disk."""
    part = path.absolute().parent / f".{secrets.token_hex(8)}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def shown(path: Path) -> str:
    """A path on one line."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def read(path: Path) -> list[Note]:
    """The notes of a file; errors as `numbered`."""
    return [note for _, note in numbered(path)]


def numbered(path: Path) -> list[tuple[int, Note]]:
    """The notes of a file, each with its number there; 0 where it has none. Lines of documents are left out.

    Raises:
        UsageError: it cannot be read, or a line is not as `write` writes it; names the line.
    """
    return [_note(values, where) for where, values in objects(path) if DOCUMENT not in values]


def objects(path: Path) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The lines of a file after the first, each with the words that name it.

    Raises:
        UsageError: as of `numbered`.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            yield from _objects(_lines(file), shown(path))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise UsageError(
            f"cannot read {shown(path)}: {reason}; name a file that `ctxproc memory export` wrote"
        ) from error


def _lines(file: TextIO) -> Iterator[str]:
    """The lines; of one that is too long only the beginning."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line


def _objects(lines: Iterator[str], name: str) -> Iterator[tuple[str, Mapping[str, object]]]:
    """The lines after the first, which must be the header."""
    for number, line in enumerate(lines, 1):
        where = f"{name}, line {number}"
        if len(line) > LONGEST_LINE:
            raise UsageError(f"{where}: is longer than {LONGEST_LINE:,} characters")
        values = _object(line, where)
        if number > 1:
            yield where, values
        elif values.get("ctxproc") != "memory":
            raise UsageError(f"{name} is no export of a memory: its first line is not {json.dumps(HEADER)}")
        elif values.get("version") != VERSION:
            raise UsageError(f"{name} is of version {values.get('version')!r}; this program reads version {VERSION}")


def _object(line: str, where: str) -> Mapping[str, object]:
    """A line as an object."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        values = json.loads(line, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where}: is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise UsageError(f"{where}: is not an object")
    return values


def _note(values: Mapping[str, object], where: str) -> tuple[int, Note]:
    """A line's number and note; every field but the text may be left out."""
    for name, value in values.items():
        if name not in FIELDS or not isinstance(value, FIELDS[name]) or isinstance(value, bool):
            known = ", ".join(f"{field} ({kind.__name__})" for field, kind in FIELDS.items())
            raise UsageError(f"{where}: {name[:60]!r} is unknown or of another type; a note has: {known}")
    try:
        given = {name: value for name, value in values.items() if name != "number"}
        if "time" in given:
            given["time"] = datetime.fromisoformat(str(given["time"]))
        note = checked(Note(**{"text": "", **given}))  # type: ignore[arg-type]
        return int(str(values.get("number", 0))), note
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from None

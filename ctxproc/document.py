"""A source -> `Document`: its text, and the way back to bytes and pages.

`load` reads files, folders and standard input. The formats are in `ctxproc.formats`, one module each.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Self

from ctxproc.errors import SourceError
from ctxproc.formats.base import Format, Kind, Limits, UnreadableError
from ctxproc.formats.bytemap import ByteMap, build
from ctxproc.formats.files import read_file, read_stream, walk
from ctxproc.formats.sniff import extract, sniff

__all__ = ["Document", "Limits", "Skipped", "load"]

DEFAULT_LIMITS = Limits()
ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Document:
    """The text of one source. It is never altered after loading: CRLF, NUL and combining marks stay as they are.

    Two documents are equal where their source, format and source bytes are; comparing and hashing never read the text.

    Attributes:
        text: without a byte order mark, which still counts in byte offsets.
        source: the path as given, or found below a folder as given; "-" for standard input.
        sha256: of the source's bytes, in hexadecimal.
        format: "text" (Markdown and source code too), "html", "pdf", "docx" or "epub".
        byte_map: leads from characters to bytes; None for PDF, DOCX and EPUB.
        page_starts: the character at which each page begins; empty but for PDF.
    """

    text: str = field(repr=False, compare=False)
    source: str
    sha256: str
    format: Format = "text"
    byte_map: ByteMap | None = field(default=None, repr=False, compare=False)
    page_starts: tuple[int, ...] = field(default=(), repr=False, compare=False)

    @classmethod
    def from_text(cls, text: str, source: str = "text") -> Self:
        """A document of a string; its source bytes are the string in UTF-8. It may be empty.

        Raises:
            SourceError: the string holds a lone surrogate, which no encoding can carry.
        """
        try:
            raw = text.encode()
        except UnicodeEncodeError as error:
            raise SourceError(f"{source}: character {error.start} is a lone surrogate; replace it first") from None
        return cls(text, source, hashlib.sha256(raw).hexdigest(), "text", build(text, raw, "utf-8"))

    def byte_range(self, start: int, end: int) -> tuple[int, int] | None:
        """The source bytes of ``text[start:end]``, as (first, past the last); None where the format has no such map.

        For plain text these bytes decode to exactly that slice. For HTML they span from the first to the last source
        character, markup between included.

        Raises:
            IndexError: not ``0 <= start <= end <= len(text)``.
        """
        if not 0 <= start <= end <= len(self.text):
            raise IndexError(f"no characters {start}:{end} in a text of {len(self.text)}")
        return None if self.byte_map is None else self.byte_map.byte_range(self.text, start, end)

    def page(self, offset: int) -> int | None:
        """The page, from 1, on which character ``offset`` stands; None where the format has no pages.

        Raises:
            IndexError: not ``0 <= offset <= len(text)``.
        """
        if not 0 <= offset <= len(self.text):
            raise IndexError(f"no character {offset} in a text of {len(self.text)}")
        return bisect_right(self.page_starts, offset) if self.page_starts else None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that `load` passed over, or loaded with a loss, without an error.

    Attributes:
        source: path of the file or folder.
        kind: for counting; "damaged" is the one kind whose source was loaded, all the same.
        reason: one line, which follows the source in a sentence.
    """

    source: str
    kind: Kind
    reason: str


def load(
    sources: Sequence[str | Path],
    *,
    limits: Limits = DEFAULT_LIMITS,
    on_skip: Callable[[Skipped], None] | None = None,
    stdin: BinaryIO | None = None,
) -> list[Document]:
    """The documents of all sources, in order; a folder's by name, recursively. The same bytes are loaded once.

    Below a folder, hidden and binary files, links that lead out of it, and files that cannot be read are passed over.

    Args:
        sources: files, folders, or "-" for standard input.
        limits: hard limits.
        on_skip: told of everything passed over, and of what is damaged in what was loaded.
        stdin: what "-" reads; default: the standard input of the process.

    Raises:
        SourceError: a source named here cannot be read, holds no text, or a limit is crossed; one line that names it.
    """
    shelf = _Shelf(limits, on_skip or (lambda skipped: None))
    for source in sources:
        if str(source) == "-":
            if stdin is None and sys.stdin is None:
                raise SourceError("standard input is closed: name a file or a folder")
            shelf.add_stream(stdin or sys.stdin.buffer)
        elif isinstance(source, str) and ADDRESS.match(source) and not os.path.exists(source):
            raise SourceError(f"{source} is an address, and nothing is fetched: download it and name the file")
        elif os.path.isdir(source):
            shelf.add_folder(Path(source))
        else:
            shelf.add_file(Path(source))
    return shelf.documents


class _Shelf:
    """The documents loaded so far."""

    def __init__(self, limits: Limits, on_skip: Callable[[Skipped], None]) -> None:
        self.limits = limits
        self.on_skip = on_skip
        self.documents: list[Document] = []
        self.seen: dict[str, str] = {}
        self.files = 0

    def add_stream(self, stream: BinaryIO) -> None:
        """Standard input, read to its end; the second time it is a duplicate."""
        if "-" in self.seen:
            self.skip("-", "duplicate", "was named before")
            return
        self.seen["-"] = "-"
        try:
            self.add_bytes("-", read_stream(stream, self.limits))
        except UnreadableError as error:
            raise SourceError(f"standard input {_line(error)}") from None

    def add_file(self, path: Path) -> None:
        """A file that the caller named: what is wrong with it is an error."""
        try:
            self.add_path(path)
        except UnreadableError as error:
            raise SourceError(f"{_shown(path)} {_line(error)}") from None

    def add_folder(self, folder: Path) -> None:
        """A folder's files: what is wrong with one is reported, and the others are loaded."""
        before = self.files
        passed: Counter[str] = Counter()

        def report(path: Path, kind: Kind, reason: str) -> None:
            passed[kind] += 1
            self.skip(_shown(path), kind, reason)

        for path in walk(folder, report):
            try:
                self.add_path(path)
            except UnreadableError as error:
                report(path, error.kind, _line(error))
        if self.files - before == passed.total() - passed["hidden"] - passed["special"]:
            counts = ", ".join(f"{number} {kind}" for kind, number in sorted(passed.items())) or "no files"
            raise SourceError(f"{_shown(folder)} holds nothing to read ({counts}); name a folder with text in it")

    def add_path(self, path: Path) -> None:
        """One file, unless it was loaded already."""
        self.files += 1
        if self.files > self.limits.files:
            limit = f"the limit files ({self.limits.files})"
            raise SourceError(f"{_shown(path)} is one source more than {limit}; raise it or name fewer sources")
        if "\0" in str(path):
            raise UnreadableError("broken", "is no path: it holds a NUL character; check the name")
        resolved = os.path.realpath(path)
        if resolved in self.seen:
            self.skip(_shown(path), "duplicate", f"is the same file as {self.seen[resolved]}")
            return
        self.add_bytes(_shown(path), read_file(path, self.limits))
        self.seen[resolved] = _shown(path)

    def add_bytes(self, source: str, raw: bytes) -> None:
        """One source's bytes, unless the same were loaded already."""
        sha256 = hashlib.sha256(raw).hexdigest()
        if sha256 in self.seen:
            self.skip(source, "duplicate", f"has the same content as {self.seen[sha256]}")
            return
        found = extract(sniff(source, raw), raw, self.limits)
        if not found.text or found.text.isspace():
            raise UnreadableError("empty", f"is empty: it holds no text ({found.format}); name a source with text")
        self.seen[sha256] = source
        self.documents.append(Document(found.text, source, sha256, found.format, found.byte_map, found.page_starts))
        for loss in found.losses:
            self.skip(source, "damaged", loss)

    def skip(self, source: str, kind: Kind, reason: str) -> None:
        """Tell the caller."""
        self.on_skip(Skipped(source, kind, reason))


def _shown(path: Path) -> str:
    """The path as text that can be printed and stored; bytes of a name that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def _line(error: Exception) -> str:
    """The error's text as one line without control characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())

"""Sources -> documents in a memory file, each once: what has not changed is not read again."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.chunk import Chunk, split
from ctxproc.document import Document, Limits, load
from ctxproc.errors import LimitError, SourceError
from ctxproc.formats.files import walk
from ctxproc.memory.base import Filed, Filing
from ctxproc.memory.library import CHUNKING, Shelves, chunking
from ctxproc.trace import Loaded, Skipped

if TYPE_CHECKING:
    from ctxproc.llm.base import Tokenizer

CHANGING = "changing"
"""How a library is split while it is being split anew."""

BATCH, SOON = 1 << 22, 1.0
"""Characters of documents, and seconds since the last were kept, after which those that have been split are kept."""

FRESH = 2_000_000_000
"""Nanoseconds: a file that was written so short a time ago may change again without its size or time telling."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What `add` did: numbers of documents, and of files that were passed over."""

    added: int = 0
    changed: int = 0
    unchanged: int = 0
    dropped: int = 0
    skipped: int = 0


def add(shelves: Shelves, sources: Sequence[str | Path], tokenizer: Tokenizer, *, prune: bool = False) -> Counts:
    """File the documents of these sources in place of those of the same name; see `ctxproc.document.load` for folders.

    A file of the size and time it had when it was filed is not opened; one of the same content is not split again. Of
    files of the same content one is filed. Documents are kept at least once a second, and each batch of vectors as soon
    as it is made: the next call takes up one that was interrupted, even killed, where it was. Where ``chunk`` or the
    tokenizer differ from how the library is split, all of it is split anew first.

    Args:
        shelves: where to.
        sources: files and folders; documents are called by their full path.
        tokenizer: of the model that will read the chunks.
        prune: also drop documents whose files are gone; below these sources, or everywhere if none is named.

    Raises:
        SourceError: a source named here cannot be read, or there are too many files.
        LimitError: the library would have too many chunks.
    """
    if not all(map(str, sources)):
        raise SourceError("a source has an empty name: name a file or a folder")
    work = _Filing(shelves, tokenizer)
    try:
        work.split_anew()
        paths = work.find([Path(os.path.abspath(source)) for source in sources])
        if prune:
            work.prune([os.path.abspath(source) for source in sources] or [os.sep], paths)
        tell = shelves.trace.progress("load")
        for done, (path, named) in enumerate(paths.values()):
            tell(done, len(paths))
            work.file(path, named)
        tell(len(paths), len(paths))
    finally:
        work.keep_all()
    if shelves.stored.embeds:
        shelves.stored.embed_missing()
    return Counts(**work.counts)


class _Filing:
    """The library while sources are filed."""

    def __init__(self, shelves: Shelves, tokenizer: Tokenizer) -> None:
        self.shelves = shelves
        self.store, self.owner = shelves.store, shelves.owner
        self.tokenizer = tokenizer
        settings = shelves.settings
        self.limits = Limits(**{item.name: getattr(settings.limits, item.name) for item in fields(Limits)})
        self.counts = {item.name: 0 for item in fields(Counts)}
        self.filed = {one.source: one for one in self.store.filed(self.owner)}
        self.contents = {one.sha256: one.source for one in self.filed.values()}
        self.pending: list[Filing] = []
        self.kept = time.monotonic()

    def split_anew(self) -> None:
        """Split all documents as the settings say, if they are split otherwise."""
        chunk = self.shelves.settings.chunk
        wanted = chunking(self.tokenizer, chunk.tokens, chunk.overlap)
        if self.store.setting(self.owner, CHUNKING) == wanted:
            return
        self.store.set(self.owner, CHUNKING, CHANGING)
        tell = self.shelves.trace.progress("split")
        for done, one in enumerate(self.filed.values()):
            tell(done, len(self.filed))
            document = self.store.document(self.owner, one.id)
            self.put(Filing(document, self.split(document), None, one.size, one.modified))
        self.keep_all()
        if self.filed:
            tell(len(self.filed), len(self.filed))
            self.filed = {one.source: one for one in self.store.filed(self.owner)}
        self.store.set(self.owner, CHUNKING, wanted)

    def split(self, document: Document) -> list[Chunk]:
        """A document's chunks.

        Raises:
            LimitError: the library would have too many.
        """
        chunk, most = self.shelves.settings.chunk, self.shelves.settings.limits.chunks
        chunks = split(document, self.tokenizer, chunk.tokens, min(chunk.overlap, chunk.tokens // 2))
        there = self.store.state(self.owner, "library").count + sum(map(self.growth, self.pending))
        if there + self.growth(Filing(document, chunks)) > most:
            raise LimitError(f"with {document.source} the library has more than {most} chunks; raise limits.chunks")
        return chunks

    def growth(self, filing: Filing) -> int:
        """How many chunks the library gains by a document, which may come in place of another."""
        source = filing.document.source
        return len(filing.chunks) - (self.filed[source].chunks if source in self.filed else 0)

    def put(self, filing: Filing) -> None:
        """Put a document into the library, soon if not now."""
        self.pending.append(filing)
        if sum(len(one.document.text) for one in self.pending) >= BATCH or time.monotonic() - self.kept >= SOON:
            self.keep_all()

    def keep_all(self) -> None:
        """Put what is pending into the library now."""
        pending, self.pending = self.pending, []
        self.store.file_all(self.owner, pending)
        self.kept = time.monotonic()

    def find(self, sources: Sequence[Path]) -> dict[str, tuple[Path, bool]]:
        """The files of sources, by the name of their documents, and whether each was named itself.

        Raises:
            SourceError: there are too many, or a folder holds none.
        """
        found: dict[str, tuple[Path, bool]] = {}
        for source in sources:
            below = list(walk(source, self.skip)) if os.path.isdir(source) else [source]
            if not below:
                raise SourceError(f"{shown(source)} holds nothing to read; name a folder with text in it")
            for path in below:
                found.setdefault(shown(path), (path, path == source))
        if len(found) > self.limits.files:
            raise SourceError(f"there are {len(found):,} files, and the limit files is {self.limits.files:,}; raise it")
        return found

    def skip(self, path: Path, kind: str, reason: str) -> None:
        """Tell of a file that is passed over."""
        self.counts["skipped"] += 1
        self.shelves.trace.emit(Skipped(shown(path), kind, reason))

    def prune(self, below: Sequence[str], present: dict[str, tuple[Path, bool]]) -> None:
        """Drop the documents whose files are gone."""
        gone = [
            source
            for source in self.filed
            if source not in present
            and not os.path.lexists(source)
            and any(source == folder or source.startswith(folder.rstrip(os.sep) + os.sep) for folder in below)
        ]
        self.store.drop(self.owner, gone)
        for source in gone:
            self.contents.pop(self.filed.pop(source).sha256, None)
        self.counts["dropped"] += len(gone)

    def file(self, path: Path, named: bool) -> None:
        """File the document of one file, unless it is there already.

        Raises:
            SourceError: it cannot be read and was named itself.
        """
        before = self.filed.get(shown(path))
        size, modified = stamp(path)
        if before and modified and (before.size, before.modified) == (size, modified):
            self.counts["unchanged"] += 1
            return
        try:
            document = self.read(path)
        except SourceError as error:
            if named:
                raise
            self.skip(path, "broken", str(error).removeprefix(shown(path)).strip())
            return
        if before and before.sha256 == document.sha256:
            self.counts["unchanged"] += 1
        elif document.sha256 in self.contents and os.path.lexists(self.contents[document.sha256]):
            self.skip(path, "duplicate", f"has the same content as {self.contents[document.sha256]}")
            self.store.drop(self.owner, [document.source])
        else:
            self.keep(document, size, modified, before)

    def read(self, path: Path) -> Document:
        """The document of a file.

        Raises:
            SourceError: it cannot be read.
        """
        [document] = load([path], limits=self.limits, on_skip=lambda one: self.skip(path, one.kind, one.reason))
        return document

    def keep(self, document: Document, size: int, modified: int, before: Filed | None) -> None:
        """Put a document into the library."""
        self.shelves.trace.emit(Loaded(document.source, document.sha256, document.format, len(document.text)))
        self.put(Filing(document, self.split(document), None, size, modified))
        self.contents[document.sha256] = document.source
        if before:
            self.contents.pop(before.sha256, None)
        self.counts["changed" if before else "added"] += 1


def shown(path: Path) -> str:
    """A path as the name of a document, as in `ctxproc.document`: bytes that are no UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")


def stamp(path: Path) -> tuple[int, int]:
    """Bytes of a file and when it was written, in nanoseconds; 0 as the time of one that was written just now."""
    with contextlib.suppress(OSError, ValueError):
        found = os.stat(path)
        return found.st_size, found.st_mtime_ns if time.time_ns() - found.st_mtime_ns > FRESH else 0
    return 0, 0

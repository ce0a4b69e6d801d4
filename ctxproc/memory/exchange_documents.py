"""Documents of a library as JSON lines, after the notes of an export (`ctxproc.memory.exchange`).

    {"document": "/home/ann/book.txt", "sha256": "...", "format": "text", "chunking": "...", "chunks": [[0, 812, 200], ...]}
    {"document": "/home/ann/book.txt", "text": "..."}

The first line of a document has its chunks: first character, the one after the last, tokens. Its text follows, in as many
lines as it needs. Pages are not exported, and the way back to bytes only where the source was UTF-8 text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import CtxprocError, UsageError
from ctxproc.memory import exchange
from ctxproc.memory.base import Filing, Owner, Store
from ctxproc.memory.library import CHUNKING

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory

AT_ONCE = 1 << 20
"""Characters of a line's text."""

FORMATS = ("text", "html", "pdf", "docx", "epub")
OTHERWISE = "imported"
"""How a library is split in which documents that were split in several ways stand: it is split anew when one is added."""


def lines(store: Store, owner: Owner) -> Iterator[str]:
    """The documents of an owner, one after the other, as lines with their ends."""
    chunking = store.setting(owner, CHUNKING)
    bounds: dict[int, list[tuple[int, int, int]]] = {}
    for some in store.changed_passages(owner, "library").added:
        for one in some:
            bounds.setdefault(one.document, []).append((one.start, one.end, one.tokens))
    for filed in store.filed(owner):
        document = store.document(owner, filed.id)
        head = {"document": document.source, "sha256": document.sha256, "format": document.format, "chunking": chunking}
        yield _line({**head, "chunks": sorted(bounds.get(filed.id, []))})
        for start in range(0, len(document.text), AT_ONCE):
            yield _line({"document": document.source, "text": document.text[start : start + AT_ONCE]})


def _line(values: Mapping[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False) + "\n"


def take_in(memory: Memory, path: Path) -> int:
    """File the documents of an export; how many. One that is there already, of the same source and content, is left out.

    Raises:
        UsageError: a line is malformed; names it. The documents before it were filed.
    """
    store, owner, count = memory.store, memory.owner, 0
    there = {one.source: one.sha256 for one in store.filed(owner)}
    for filing, chunking in _filings(path):
        if there.get(filing.document.source) == filing.document.sha256:
            continue
        held = store.setting(owner, CHUNKING) if there else chunking
        store.file_all(owner, [filing])
        store.set(owner, CHUNKING, chunking if held == chunking else OTHERWISE)
        there[filing.document.source] = filing.document.sha256
        count += 1
    return count


def _filings(path: Path) -> Iterator[tuple[Filing, str]]:
    """The documents of a file, and how each was split."""
    head: dict[str, Any] = {}
    texts: list[str] = []
    with path.open(encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, 1):
            values = json.loads(line) if '"document"' in line[:20] else {}
            where = f"{exchange.shown(path)}, line {number}"
            if "chunks" in values:
                if head:
                    yield _filing(head, "".join(texts))
                head, texts = {**values, "where": where}, []
            elif "text" in values:
                if values["document"] != head.get("document") or not isinstance(values["text"], str):
                    raise UsageError(f"{where}: text that belongs to no document before it")
                texts.append(values["text"])
    if head:
        yield _filing(head, "".join(texts))


def _filing(head: Mapping[str, Any], text: str) -> tuple[Filing, str]:
    """A document of its first line and its text."""
    where = head["where"]
    names = [head.get(name) for name in ("document", "sha256", "format", "chunking")]
    if not all(isinstance(name, str) for name in names) or names[2] not in FORMATS or not names[0]:
        raise UsageError(f"{where}: a document has a source, sha256, format and chunking")
    source, sha256, form, chunking = map(str, names)
    try:
        plain = Document.from_text(text, source)
        document = plain if (plain.sha256, form) == (sha256, "text") else Document(text, source, sha256, form)  # type: ignore[arg-type]
        bounds = [(int(start), int(end), int(tokens)) for start, end, tokens in head["chunks"]]
    except (CtxprocError, TypeError, ValueError) as error:
        raise UsageError(f"{where}: {error}") from None
    if any(not 0 <= start < end <= len(text) or tokens < 0 for start, end, tokens in bounds):
        raise UsageError(f"{where}: a chunk is no part of the text")
    chunks = [Chunk(document, start, end, tokens, index) for index, (start, end, tokens) in enumerate(bounds)]
    return Filing(document, chunks), chunking

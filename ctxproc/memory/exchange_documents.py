"""Documents of a library as JSON lines, after the notes of an export (`ctxproc.memory.exchange`).

    {"document": "/home/ann/book.txt", "sha256": "...", "format": "text", "chunking": "...", "chunks": [[0, 812, 200], ...]}
    {"document": "/home/ann/book.txt", "text": "..."}

The first line of a document has its chunks: first character, the one after the last, tokens. Its text follows, in as many
lines as it needs. Pages are not exported, and the way back to bytes only where the source was UTF-8 text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import CtxprocError, UsageError
from ctxproc.formats.base import Format
from ctxproc.memory import exchange
from ctxproc.memory.base import Filing, Owner, Store
from ctxproc.memory.library import CHUNKING

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory

AT_ONCE = 1 << 20
"""Characters of a line's text."""

DIGEST = re.compile("[0-9a-f]{64}")
FORMATS: dict[str, Format] = {name: name for name in get_args(Format)}
MOST_TOKENS = 1 << 31
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
    head: Mapping[str, object] | None = None
    begun, texts = "", list[str]()
    for where, values in exchange.objects(path):
        if "chunks" in values and exchange.DOCUMENT in values:
            if head is not None:
                yield _filing(head, "".join(texts), begun)
            head, begun, texts = values, where, []
        elif exchange.DOCUMENT in values:
            text = values.get("text")
            if head is None or values[exchange.DOCUMENT] != head[exchange.DOCUMENT] or not isinstance(text, str):
                raise UsageError(f"{where}: belongs to no document before it, or has no text")
            texts.append(text)
    if head is not None:
        yield _filing(head, "".join(texts), begun)


def _filing(head: Mapping[str, object], text: str, where: str) -> tuple[Filing, str]:
    """A document of its first line and its text."""
    source, sha256, form, chunking = (str(head.get(name, "")) for name in ("document", "sha256", "format", "chunking"))
    if not source.strip() or not DIGEST.fullmatch(sha256) or form not in FORMATS or not _storable(source + chunking):
        raise UsageError(f"{where}: a document has a source, sha256, format and chunking")
    try:
        plain = Document.from_text(text, source)
    except CtxprocError as error:
        raise UsageError(f"{where}: {error}") from None
    document = plain if (plain.sha256, form) == (sha256, "text") else Document(text, source, sha256, FORMATS[form])
    chunks = []
    for index, (start, end, tokens) in enumerate(_bounds(head["chunks"], where)):
        if not 0 <= start < end <= len(text) or not 0 <= tokens <= MOST_TOKENS:
            raise UsageError(f"{where}: a chunk is no part of the text")
        chunks.append(Chunk(document, start, end, tokens, index))
    return Filing(document, chunks), chunking


def _bounds(value: object, where: str) -> list[list[int]]:
    """What a line says of chunks, if it is three whole numbers for each."""
    rows: list[list[int]] = value if isinstance(value, list) else [[]]
    for row in rows:
        if not isinstance(row, list) or len(row) != 3 or any(type(number) is not int for number in row):
            raise UsageError(f"{where}: a chunk is its first character, the one after the last, and its tokens")
    return rows


def _storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)

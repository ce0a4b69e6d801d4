"""Documents as a store keeps them: a row that tells of one, and its text, byte map and pages in parts.

Every function takes a connection on which a transaction is open.
"""

from __future__ import annotations

import sqlite3
import zlib
from array import array
from collections.abc import Iterator, Sequence
from datetime import datetime

import numpy as np
from xxhash import xxh3_64_intdigest

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.formats.bytemap import ByteMap
from ctxproc.memory.base import Filed
from ctxproc.memory.sqlite import rows, vectors
from ctxproc.memory.sqlite.integrity import DamagedError, added, check_row, seal, seal_bytes
from ctxproc.memory.sqlite.rows import PassageRow
from ctxproc.memory.sqlite.shelves import Tally

PART = 1 << 20
"""Characters of text, or bytes of a map, in a part."""

DocumentRow = tuple[int, int, str, str, str, str | None, int, int, str, int, int, int]


def insert(
    connection: sqlite3.Connection,
    of: Tally,
    number: int,
    document: Document,
    chunks: int,
    size: int,
    modified: int,
    time: datetime,
) -> None:
    """Put a document there under a number that is free; the tally knows of it."""
    parts = list(_parts(document))
    encoding = document.byte_map.encoding if document.byte_map else None
    columns = (number, of.id, rows.storable(document.source, "the name of a source"), document.sha256, document.format)
    row = (*columns, encoding, size, modified, time.isoformat(), chunks, len(parts))
    total = seal("documents", *row)
    connection.execute(f"INSERT INTO documents VALUES ({', '.join('?' * 12)})", (*row, total))
    connection.executemany(
        "INSERT INTO parts (document, kind, place, body, sum) VALUES (?, ?, ?, ?, ?)",
        ((number, kind, place, body, _part_sum(number, kind, place, body)) for kind, place, body in parts),
    )
    of.documents += 1
    of.documents_total = added([total], of.documents_total)


def _parts(document: Document) -> Iterator[tuple[str, int, bytes]]:
    """Kind, place and packed bytes of all that a document is made of."""
    text = document.text
    for place, start in enumerate(range(0, len(text), PART)):
        part = rows.storable(text[start : start + PART], "the text of a document")
        yield "text", place, zlib.compress(part.encode(), 1)
    numbers = {"pages": array("q", document.page_starts)}
    if document.byte_map:
        numbers |= {kind: getattr(document.byte_map, kind) for kind in ("chars", "starts", "ends")}
    for kind, column in numbers.items():
        raw = np.asarray(column, dtype="<i8").tobytes()
        for place, start in enumerate(range(0, len(raw), PART)):
            yield kind, place, zlib.compress(raw[start : start + PART], 1)


def _part_sum(document: int, kind: str, place: int, body: bytes) -> int:
    return seal_bytes(body, document, xxh3_64_intdigest(kind.encode()), place)


def chunk_rows(first: int, of: Tally, document: int, chunks: Sequence[Chunk], time: datetime) -> list[PassageRow]:
    """The rows of the chunks of a document, numbered from ``first``."""
    found = []
    for number, chunk in enumerate(chunks, first):
        text = rows.storable(chunk.text, "a chunk")
        told = ("chunk", text, time.isoformat(), "", chunk.document.source, "{}", 0, None)
        place = (document, chunk.start, chunk.end, chunk.tokens, chunk.index)
        found.append(rows.sealed((number, of.id, of.generation, *told, *place, 0)))
    return found


def read_rows(connection: sqlite3.Connection, of: Tally) -> list[DocumentRow]:
    """The rows of all documents of a library, by source.

    Raises:
        DamagedError: one is damaged, or missing.
    """
    found: list[DocumentRow] = connection.execute(
        "SELECT * FROM documents WHERE shelf = ? ORDER BY source", (of.id,)
    ).fetchall()
    for row in found:
        check_row("documents", row)
    if len(found) != of.documents or added(row[-1] for row in found) != of.documents_total:
        raise DamagedError("documents are missing from a library")
    return found


def find(connection: sqlite3.Connection, of: Tally, source: str) -> DocumentRow | None:
    """The row of the document of a source."""
    row: DocumentRow | None = connection.execute(
        "SELECT * FROM documents WHERE shelf = ? AND source = ?", (of.id, source)
    ).fetchone()
    if row is not None:
        check_row("documents", row)
    return row


def to_filed(row: DocumentRow) -> Filed:
    """What a checked row tells."""
    number, _, source, sha256, _, _, size, modified, time, chunks, _, _ = row
    return Filed(number, source, sha256, size, modified, chunks, datetime.fromisoformat(time))


def read(connection: sqlite3.Connection, shelf: int, number: int) -> Document | None:
    """A document as it was filed; None if it is not on this shelf.

    Raises:
        DamagedError: it is not what was written.
    """
    row = connection.execute("SELECT * FROM documents WHERE id = ?", (number,)).fetchone()
    if row is None:
        rows.prove_gone(connection, [number])
        return None
    check_row("documents", row)
    if row[1] != shelf:
        return None
    bodies: dict[str, list[bytes]] = {"text": [], "pages": [], "chars": [], "starts": [], "ends": []}
    parts = connection.execute(
        "SELECT kind, place, body, sum FROM parts WHERE document = ? ORDER BY kind, place", (number,)
    ).fetchall()
    for kind, place, body, total in parts:
        if kind not in bodies or type(body) is not bytes or _part_sum(number, kind, place, body) != total:
            raise DamagedError(f"document {number} is not what was written")
        bodies[kind].append(zlib.decompress(body))
    if len(parts) != row[10]:
        raise DamagedError(f"parts of document {number} are missing")
    text = "".join(part.decode() for part in bodies.pop("text"))
    columns = {kind: array("q", np.frombuffer(b"".join(raw), "<i8").tolist()) for kind, raw in bodies.items()}
    byte_map = ByteMap(row[5], columns["chars"], columns["starts"], columns["ends"]) if row[5] is not None else None
    return Document(text, row[2], row[3], row[4], byte_map, tuple(columns["pages"]))


def remove(connection: sqlite3.Connection, of: Tally, row: DocumentRow) -> None:
    """Take away a document and its chunks, as of the generation that the tally has now."""
    number = row[0]
    ids = [i for (i,) in connection.execute("SELECT id FROM passages WHERE document = ?", (number,))]
    if len(ids) != row[9]:
        raise DamagedError(f"chunks of document {number} are missing")
    for some in rows.batches(np.array(ids, dtype=np.int64)):
        vectors.remove_passages(connection, of, some)
    connection.execute("DELETE FROM parts WHERE document = ?", (number,))
    connection.execute("DELETE FROM documents WHERE id = ?", (number,))
    rows.bury(connection, of, rows.DOCUMENT, [(number, of.generation, 0)])
    of.documents -= 1
    of.documents_total = added((), of.documents_total, [row[-1]])

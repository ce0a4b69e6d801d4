"""The file of an index of words: a header, and the arrays of its postings as they stand in memory, low bytes first.

magic, 16 bytes | chunks, words, postings, bytes of a count, bytes of the words | 8 bytes of 0
ids, 8 bytes each | starts, 8 | lengths, 4 | places, 4 | counts, 1, 2 or 4 | the words in UTF-8, a line each
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ctxproc.memory.postings import Postings

_HEADER = struct.Struct("<16s5q8x")
_MAGIC = b"ctxproc bm25 1\n"


def write(path: Path, names: Iterable[str], part: Postings) -> None:
    """Write words and postings, the i-th word being number i, and none without postings. Neither synced nor atomic."""
    text = "\n".join(names).encode()
    with path.open("wb") as file:
        sizes = len(part.ids), len(part.terms), len(part.places), part.counts.itemsize, len(text)
        file.write(_HEADER.pack(_MAGIC, *sizes))
        for values in (part.ids, part.starts, part.lengths, part.places, part.counts):
            file.write(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
        file.write(text)


def read(path: Path) -> tuple[dict[str, int], Postings]:
    """The number of each word and the postings, as `write` wrote them.

    Nothing in the file is executed, and no place in it is trusted. What it cannot tell is whether numbers in their
    range are the right ones: see `ctxproc.memory.cache`.

    Raises:
        ValueError: it is no such file, or not whole, or its numbers contradict each other.
    """
    data = np.fromfile(path, np.uint8)
    magic, *sizes = _HEADER.unpack(data[: _HEADER.size].tobytes().ljust(_HEADER.size))
    chunks, terms, postings, width, letters = sizes
    if magic.rstrip(b"\0") != _MAGIC or width not in (1, 2, 4) or min(sizes) < 0:
        raise ValueError(f"{path} is no index of words")
    if len(data) != _HEADER.size + 12 * chunks + 8 * (terms + 1) + (4 + width) * postings + letters:
        raise ValueError(f"{path} is not whole")
    arrays, at = [], _HEADER.size
    types = ("<i8", chunks), ("<i8", terms + 1), ("<i4", chunks), ("<i4", postings), (f"<u{width}", postings)
    for kind, size in types:
        stop = at + np.dtype(kind).itemsize * size
        arrays.append(data[at:stop].view(kind))
        at = stop
    ids, starts, lengths, places, counts = arrays
    names = data[at:].tobytes().decode().split("\n") if letters else []  # a UnicodeDecodeError is a ValueError
    numbers = dict(zip(names, range(len(names)), strict=True))
    part = Postings(ids, lengths, np.arange(terms, dtype=np.int32), starts, places, counts)
    if len(names) != terms or len(numbers) != terms or not _sound(part):
        raise ValueError(f"{path} is damaged")
    return numbers, part


def _sound(part: Postings) -> bool:
    """Whether the numbers fit together."""
    return bool(
        part.starts[0] == 0
        and part.starts[-1] == len(part.places)
        and (part.alive > 0).all()
        and (np.diff(part.ids) > 0).all()
        and part.places.min(initial=0) >= 0
        and part.places.max(initial=-1) < len(part.ids)
        and part.counts.min(initial=1) > 0
        and part.lengths.min(initial=0) >= 0
        and part.counts.sum(dtype=np.int64) == part.lengths.sum(dtype=np.int64)
    )

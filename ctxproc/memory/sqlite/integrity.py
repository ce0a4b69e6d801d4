"""Checksums: of a row, and of all rows of a shelf.

They find accidents, not forgeries: who can write the file can write the checksums. A row's checksum covers the name of its
table and all its columns, so that a row read in another's place, or with another's column, is noticed. The rows of a
shelf are counted and their checksums added up modulo 2^64, so that one that is missing is noticed, in whatever order
they are read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from xxhash import xxh3_64_intdigest

Column = str | int | float | None

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_WRAP = 1 << 64
FACTOR = 0x9E3779B97F4A7C15
"""Odd: multiplying by it loses nothing."""


class DamagedError(Exception):
    """Something in the file is not what was written; its text says what."""


def signed(number: int) -> int:
    """A number modulo 2^64, as SQLite holds it."""
    number %= _WRAP
    return number - _WRAP if number >> 63 else number


def seal(*columns: Column) -> int:
    """The checksum of a row: of the name of its table and its columns.

    Raises:
        UnicodeEncodeError: a text holds a lone surrogate.
    """
    return signed(xxh3_64_intdigest(_encode(columns).encode()))


def seal_bytes(body: bytes, *columns: int) -> int:
    """The checksum of a row whose other columns are numbers: 64 bits of all."""
    number = xxh3_64_intdigest(body)
    for column in columns:
        number = (number * FACTOR + column) % _WRAP
    return signed(number)


def check_row(table: str, row: Sequence[Column]) -> None:
    """See that a row is what was written: its last column is the checksum of the others.

    Raises:
        DamagedError: it is not.
    """
    try:
        sound = seal(table, *row[:-1]) == row[-1]
    except (TypeError, UnicodeEncodeError):  # a column came back as bytes, or as no text
        sound = False
    if not sound:
        raise DamagedError(f"row {row[0]} of {table} is not what was written")


def added(sums: Iterable[int], to: int = 0, less: Iterable[int] = ()) -> int:
    """The sum of checksums modulo 2^64."""
    return signed(to + sum(sums) - sum(less))

"""The way from characters of a text back to the bytes of its source.

The map is a list of *runs*. A run of one character carries the byte range it came from, whatever that is: an entity
such as ``&amp;``, a broken byte sequence shown as U+FFFD, or an empty range for a line break that stands in no source.
A longer run is as wide in the source as its own encoding, so positions inside it are found by encoding at most
`RUN` characters. Memory is 24 bytes per run, not per character.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

RUN = 4096
"""Characters of the longest run: what one look-up may have to encode."""


@dataclass(frozen=True, slots=True, eq=False)
class ByteMap:
    """Runs in order of their characters; it does not hold the text, which every look-up is given.

    Attributes:
        encoding: Python's name of the codec that the source was decoded with.
        chars: the character at which each run begins, strictly ascending; the first is 0.
        starts, ends: the bytes at which each run begins and ends; both never descend.
    """

    encoding: str
    chars: array[int] = field(default_factory=lambda: array("q"), repr=False)
    starts: array[int] = field(default_factory=lambda: array("q"), repr=False)
    ends: array[int] = field(default_factory=lambda: array("q"), repr=False)

    def add(self, char: int, start: int, end: int) -> None:
        """Append a run that begins at ``char`` and came from bytes ``start`` to ``end``. Only for those who build."""
        self.chars.append(char)
        self.starts.append(start)
        self.ends.append(end)

    def byte_range(self, text: str, start: int, end: int) -> tuple[int, int]:
        """From the first byte of character ``start`` to past the last byte of character ``end - 1``.

        An empty range of characters gives the empty range of bytes where character ``start`` begins.
        """
        first = self.start_of(text, start)
        return first, (self.end_of(text, end) if end > start else first)

    def start_of(self, text: str, char: int) -> int:
        """The byte at which character ``char`` begins; for ``len(text)`` the byte at which the last one ends."""
        if char == len(text):
            return self.ends[-1] if self.ends else 0
        run = bisect_right(self.chars, char) - 1
        begin = self.chars[run]
        return self.starts[run] + self.width(text[begin:char])

    def end_of(self, text: str, char: int) -> int:
        """The byte past the end of character ``char - 1``."""
        run = bisect_right(self.chars, char - 1) - 1
        begin = self.chars[run]
        past = self.chars[run + 1] if run + 1 < len(self.chars) else len(text)
        return self.ends[run] if char == past else self.starts[run] + self.width(text[begin:char])

    def width(self, text: str) -> int:
        """Bytes of ``text`` in the encoding of the source."""
        return len(text.encode(self.encoding)) if text else 0


def build(text: str, raw: bytes, encoding: str, start: int = 0) -> ByteMap:
    """The map of ``text`` decoded from ``raw[start:]``, where undecodable sequences, if any, became U+FFFD."""
    found = ByteMap(encoding)
    position = start
    for char in range(0, len(text), RUN):
        position = _cover(found, text, char, min(char + RUN, len(text)), raw, position)
    return found


def _cover(found: ByteMap, text: str, first: int, last: int, raw: bytes, position: int) -> int:
    """Add runs for characters ``first`` to ``last``, halving where the encoding does not give the bytes back."""
    try:
        encoded = text[first:last].encode(found.encoding)
    except UnicodeEncodeError:
        encoded = None
    if encoded is not None and raw.startswith(encoded, position):
        end = position + len(encoded)
        found.add(first, position, end)
        return end
    if last - first == 1:
        end = position + _unit(raw[position : position + 4], found.encoding, text[first])
        found.add(first, position, end)
        return end
    middle = (first + last) // 2
    position = _cover(found, text, first, middle, raw, position)
    return _cover(found, text, middle, last, raw, position)


def _unit(raw: bytes, encoding: str, char: str) -> int:
    """How many of the bytes that ``raw`` begins with make the character ``char`` (U+FFFD for a broken sequence).

    0 where one byte sequence makes two characters and ``char`` is the second.
    """
    for width in range(1, len(raw) + 1):
        try:
            decoded = raw[:width].decode(encoding)
        except UnicodeDecodeError as error:
            broken = error.end
            continue
        return width if decoded.startswith(char) else 0
    return broken

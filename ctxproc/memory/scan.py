"""Looking for words in the bytes of files, in any case and encoding: the proof that what was forgotten is gone.

A file is read as bytes, whatever its format: nothing in it is parsed. What is compressed, encrypted, or cut in two by a
format of its own is not found; long texts are therefore looked for piece by piece.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import groupby
from pathlib import Path

BLOCK = 1 << 24
"""Bytes that are looked at together."""

PIECE = 48
"""Characters of a piece of a text."""

SURROUNDINGS = 24
"""Characters before and after a word that are looked for with it."""

SHORTEST = 6
"""Characters of what is looked for by itself: fewer stand by chance in the numbers of a vector."""

MOST = 64
"""Pieces that are looked for in one scan; of more, every n-th is taken."""


@dataclass(frozen=True, slots=True)
class Scan:
    """What a scan saw.

    Attributes:
        files, size: how many were read, and their bytes.
        pieces: how many different texts were looked for.
        found: files that hold one of them, with how many places.
        unread: files that could not be read.
    """

    files: int = 0
    size: int = 0
    pieces: int = 0
    found: tuple[tuple[str, int], ...] = ()
    unread: tuple[str, ...] = ()


def pieces(texts: Iterable[str], word: str = "") -> list[str]:
    """What to look for so that no trace of these texts is missed: each whole if it is short, otherwise in pieces.

    Args:
        texts: what is to be gone.
        word: what they have in common, if anything; it is looked for with its surroundings, and by itself where it is not
            so short that it stands anywhere.
    """
    found: dict[str, None] = {}
    for text in texts:
        found.update(dict.fromkeys(text[start : start + PIECE] for start in range(0, len(text), PIECE)))
        for start, end in places(word, text):
            found[text[max(0, start - SURROUNDINGS) : end + SURROUNDINGS]] = None
    wanted = [piece for piece in found if len(piece.strip()) >= SHORTEST]
    wanted = wanted[:: max(1, -(-len(wanted) // MOST))]
    return [word, *wanted] if len(word.strip()) >= SHORTEST else wanted


def places(word: str, text: str) -> Iterator[tuple[int, int]]:
    """Where a word stands in a text, in any case: (start, end)."""
    if word:
        yield from (match.span() for match in _any_case(word).finditer(text))


@lru_cache(maxsize=256)
def _any_case(word: str) -> re.Pattern[str]:
    """Finds a word in any case."""
    return re.compile("".join(f"(?:{'|'.join(map(re.escape, _forms(character)))})" for character in word))


def scan(files: Iterable[Path], wanted: Sequence[str]) -> Scan:
    """Look for these texts in these files; those that vanish meanwhile are left out."""
    sought = [one for text in wanted for one in _sought(text)]
    read = size = 0
    found: list[tuple[str, int]] = []
    unread: list[str] = []
    for path in files:
        try:
            seen, number = _count(path, sought)
        except FileNotFoundError:
            continue
        except OSError:
            unread.append(str(path))
            continue
        read, size = read + 1, size + seen
        if number:
            found.append((str(path), number))
    return Scan(read, size, len(wanted), tuple(found), tuple(unread))


def _count(path: Path, sought: Sequence[_Sought]) -> tuple[int, int]:
    """Bytes of a file, and at how many places something stands; blocks overlap by the longest that is sought."""
    overlap = max((one.longest for one in sought), default=0)
    size = 0
    found: set[int] = set()
    kept = b""
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            data = kept + block
            lowered = data.lower()
            for one in sought:
                if one.core in lowered:
                    found.update(size - len(kept) + match.start() for match in one.pattern.finditer(data))
            size += len(block)
            kept = data[-overlap:] if overlap else b""
    return size, len(found)


@dataclass(frozen=True)
class _Sought:
    """A text in one encoding: per character, the bytes of each of its cases."""

    characters: tuple[tuple[bytes, ...], ...]

    @cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """Finds it in any case."""
        return re.compile(b"".join(b"(?:" + b"|".join(map(re.escape, forms)) + b")" for forms in self.characters))

    @cached_property
    def core(self) -> bytes:
        """Bytes that lower-cased data must hold where it stands: of the longest run in which case changes ASCII alone."""
        lowered = [{form.lower() for form in forms} for forms in self.characters]
        runs = [b"".join(*zip(*run, strict=True)) for alike, run in groupby(lowered, lambda s: len(s) == 1) if alike]
        return max(runs, key=len, default=b"")

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest match."""
        return sum(max(map(len, forms)) for forms in self.characters)


def _sought(text: str) -> set[_Sought]:
    """A text as UTF-8, as UTF-16 of both byte orders, and as JSON writes it."""
    forms = [_forms(character) for character in text]
    codings = [lambda form, name=name: form.encode(name) for name in ("utf-8", "utf-16-le", "utf-16-be")]
    codings += [
        lambda form, short=short: json.dumps(form, ensure_ascii=short)[1:-1].encode() for short in (True, False)
    ]
    return {_Sought(tuple(tuple(dict.fromkeys(map(code, some))) for some in forms)) for code in codings}


def _forms(character: str) -> list[str]:
    """A character in every case that it has, itself first; some are several characters."""
    forms = [character, character.lower(), character.upper(), character.title(), character.casefold()]
    forms += [other for form in tuple(forms) for other in (form.lower(), form.upper())]
    return list(dict.fromkeys(forms))

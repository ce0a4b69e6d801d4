"""Answers of several spans: the members of a list that a question asks for, from the likely spans of one passage.

A span reader gives every span of a passage a probability: of "She saw Paris, Vienna and Rome" it gives some to "Paris",
some to "Paris, Vienna", some to the whole list, and of a list that is spread over sentences some to each member. So
each likely span is cut at commas and "and"; what the pieces gather together tells the members. Nothing is trained for it.
It joins what one passage says, and only where the question's words ask for more than one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Likely", "asks_for_several", "joined", "members"]

SHARE = 0.1
"""Of the likeliest member's probability that every other one must have."""

REACH = 400
"""Characters between the likeliest member and another one, at most."""

LOOKED = 300
"""Characters at a question's beginning and at its end that tell whether it asks for several; a longer search is slow."""

_PLURAL = r"(?!this\b|does\b|is\b|was\b|has\b|happens\b)[\w'-]*[^\Wsiu]s\b"
_NUMBER = r"(?:two|three|four|five|six|seven|eight|nine|ten|\d|all|both|several)"
_ASKS = re.compile(
    r"^(?:please )?(?:"
    rf"(?:who|what) (?:all )?(?:are|were) (?:the |some |all )?(?:of the )?(?:{_NUMBER} )?(?:[\w'-]+ )*?{_PLURAL}"
    rf"|(?:[a-z]+ )?(?:which|what|whose) (?:[\w'-]+ ){{0,2}}?{_PLURAL} (?:of [\w'-]+ )?"
    r"(?:are|were|did|do|have|had|can|could|will|would)\b"
    rf"|(?:[a-z]+ )?which (?:[\w'-]+ )?{_PLURAL} (?!is\b|was\b|does\b|has\b)\w"
    rf"|(?:[a-z]+ )?(?:which|what|whose) {_NUMBER} (?:[\w'-]+ )*?{_PLURAL}"
    rf"|(?:name|list|enumerate) (?:the |some |all )*(?:{_NUMBER} )?(?:[\w'-]+ ){{0,2}}?{_PLURAL})",
    re.IGNORECASE,
)
_CALLED = re.compile(r"\b(?:called|known as|named)\W*$", re.IGNORECASE)
_CUT = re.compile(r"\s*(?:[,;]\s*(?:and|or|as well as)\b|[,;]|\b(?:and|or|as well as)\b|&)\s*", re.IGNORECASE)
_OPENING = re.compile(r"(?:(?:by|of|in|at|to|from|with|for|on|also|then)\s+)+", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?][\"'”’)]*\s")
_WORDS = re.compile(r"\w+")


class Likely(NamedTuple):
    """A span of a text, and how likely it is the answer."""

    start: int
    end: int
    probability: float


def asks_for_several(question: str) -> bool:
    """Whether the words of an English question ask for more than one: "which cities did", "who were", "name the".

    Of a question of more than twice `LOOKED` characters, what lies between its beginning and its end is not looked at.
    """
    return bool(_ASKS.match(question[:LOOKED])) and not _CALLED.search(question[-LOOKED:])


def members(spans: Sequence[Likely], question: str, text: str) -> list[tuple[int, int]]:
    """The members of the list that the likely spans name, in the order of the text; one or none where it is no list.

    Args:
        spans: of the text, in any order.
        question: what only repeats its words is no member.
        text: which the spans are of.
    """
    masses: dict[tuple[int, int], float] = {}
    for span in spans:
        for piece in _pieces(span, text):
            masses[piece] = masses.get(piece, 0.0) + span.probability
    asked = _words(question)
    order = sorted(masses, key=lambda piece: -masses[piece])
    kept: list[tuple[int, int]] = []
    said: list[set[str]] = []
    for begin, end in order:
        if masses[begin, end] < SHARE * masses[order[0]] or abs(begin - order[0][0]) > REACH:
            continue
        shorter = (last for first, last in order if first == begin and last < end)
        end = next((last for last in shorter if masses[begin, last] > 0.5 * masses[begin, end]), end)
        words = _words(text[begin:end])
        if words <= asked or any(begin < b and a < end for a, b in kept):
            continue
        if not any(words <= other or other <= words for other in said):
            kept.append((begin, end))
            said.append(words)
    return sorted(kept)


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORDS.findall(text)} - {"the", "a", "an"}


def _pieces(span: Likely, text: str) -> Iterator[tuple[int, int]]:
    """The parts of a span between commas and "and", without an opening preposition; none of a span over two sentences."""
    if _SENTENCE.search(text, span.start, span.end):
        return
    begin = span.start
    for cut in [*_CUT.finditer(text, span.start, span.end), None]:
        end = cut.start() if cut else span.end
        opening = _OPENING.match(text, begin, end)
        first = opening.end() if opening else begin
        if first < end and text.count("(", first, end) == text.count(")", first, end):
            yield first, end
        begin = cut.end() if cut else end


def joined(spans: Sequence[tuple[int, int]], text: str) -> str:
    """The members as the text has them where it names them in a row, else joined by commas."""
    gaps = (text[a[1] : b[0]] for a, b in itertools.pairwise(spans))
    if all(_CUT.fullmatch(gap) for gap in gaps):
        return text[spans[0][0] : spans[-1][1]]
    return ", ".join(text[a:b] for a, b in spans)

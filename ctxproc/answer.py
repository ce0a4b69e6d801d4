"""What a run gives back: an answer, the passages it rests on, and what it cost.

A quote is never taken on trust: `ground` looks for it in the chunks it is said to come from and states how it was
found. It compares characters and does not judge whether a passage supports the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ctxproc.chunk import Chunk

Status = Literal["verified", "repaired", "unverified"]

LOOKALIKES = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    }
)

CUT = 3
"""A quote of so many words may begin or end within a word."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A passage of a source, as named by the answer.

    Attributes:
        source: path or name of the document.
        sha256: of the source's bytes.
        start, end: characters of the document's text. Where unverified, those of the chunk that was read.
        byte_start, byte_end: bytes of the source file; None where the format has none (PDF, DOCX, EPUB).
        page: counted from 1; None where the format has none.
        quote: the document's own text ``[start:end]``; where unverified, the model's words.
        score: confidence or relevance, comparable within one answer.
        status: ``verified`` (found to the letter), ``repaired`` (found but for white space, quotation marks and
            case) or ``unverified`` (not found).
    """

    source: str
    sha256: str
    start: int
    end: int
    byte_start: int | None
    byte_end: int | None
    page: int | None
    quote: str
    score: float
    status: Status


@dataclass(frozen=True, slots=True)
class Usage:
    """What a run cost: model calls, tokens of prompts (and how many of them were reused), tokens made, seconds.

    ``grade`` is how keys and values were reused, as `Generation.grade`; several are joined by commas.
    """

    calls: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    new_tokens: int = 0
    seconds: float = 0.0
    grade: str = "full"


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a run. ``str(answer)`` is its text, empty where it abstained.

    Attributes:
        text: the answer.
        abstained: nothing in the sources supports an answer; then ``text`` is empty.
        strategy, model: what gave it.
        run: id under which ``ctxproc explain`` shows how it came about.
        evidence: the best first.
        usage: what it cost.
        confidence: calibrated probability that the answer is right; None where the model gives none.
        stopped: the limits that ended the run before it was done, or kept chunks from being read; "" where none did.
    """

    text: str
    abstained: bool
    strategy: str
    model: str
    run: str
    evidence: tuple[Evidence, ...] = ()
    usage: Usage = field(default_factory=Usage)
    confidence: float | None = None
    stopped: str = ""

    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, object]:
        """The object that ``ctxproc ask --json`` prints."""
        return {
            "answer": self.text,
            "abstained": self.abstained,
            "confidence": self.confidence,
            "strategy": self.strategy,
            "model": self.model,
            "run": self.run,
            "stopped": self.stopped,
            "evidence": [asdict(item) for item in self.evidence],
            "usage": asdict(self.usage),
        }


@dataclass(frozen=True, slots=True)
class Quote:
    """Words said to stand in one of these chunks, with a score; not yet looked for."""

    text: str
    chunks: tuple[Chunk, ...]
    score: float


def ground(quote: Quote) -> Evidence | None:
    """Evidence for a quote, looked for in its own chunks only, in their order; None for an empty quote.

    A quote found to the letter anywhere wins over one that needs repair. One stitched together from several places,
    or that stands only in other chunks, stays unverified. So does a word or number that stands only inside of others,
    as 5 does in 1995 and no does in know.
    """
    words = quote.text.strip()
    if not words or not quote.chunks:
        return None
    for chunk in quote.chunks:
        at = find_whole(words, chunk.text)
        if at >= 0:
            return evidence(chunk, at, at + len(words), quote.score, "verified")
    for chunk in quote.chunks:
        found = find_normalised(words, chunk.text)
        if found:
            return evidence(chunk, *found, quote.score, "repaired")
    whole = quote.chunks[0]
    return evidence(whole, 0, whole.end - whole.start, quote.score, "unverified", words)


def evidence(chunk: Chunk, start: int, end: int, score: float, status: Status, words: str | None = None) -> Evidence:
    """Evidence for ``chunk.text[start:end]``, with its place in the source; ``words`` replace the document's text."""
    document = chunk.document
    start, end = chunk.start + start, chunk.start + end
    byte_start, byte_end = document.byte_range(start, end) or (None, None)
    return Evidence(
        source=document.source,
        sha256=document.sha256,
        start=start,
        end=end,
        byte_start=byte_start,
        byte_end=byte_end,
        page=document.page(start),
        quote=document.text[start:end] if words is None else words,
        score=score,
        status=status,
    )


def find_normalised(words: str, text: str) -> tuple[int, int] | None:
    """Where ``words`` stand in ``text`` but for white space, quotation marks and case; the first place, or None."""
    needle, _ = normalise(words)
    haystack, origin = _haystack(text)
    at = find_whole(needle, haystack) if needle else -1
    if at < 0:
        return None
    return origin[at], origin[at + len(needle) - 1] + 1


def find_whole(needle: str, text: str) -> int:
    """Where ``needle`` stands in ``text`` without cutting a word or a number at its ends; the first place, or -1.

    A needle of `CUT` words or more may be cut off, as a reply is by its limit. Only scripts with upper and lower case
    tell where a word ends; others may be cut.
    """
    at = first = text.find(needle)
    while at >= 0:
        if not _cuts(text, at) and not _cuts(text, at + len(needle)):
            return at
        at = text.find(needle, at + 1)
    return first if len(needle.split()) >= CUT else -1


def _cuts(text: str, at: int) -> bool:
    """Whether a cut before this character divides a word of a cased script, or a number such as 1,995 or 2.5."""
    if not 0 < at < len(text):
        return False
    left, right = text[at - 1], text[at]
    if all(c.isdecimal() or c.lower() != c.upper() for c in (left, right)):
        return True
    beside = text[max(0, at - 2) : at] if right.isdecimal() else text[at : at + 2] if left.isdecimal() else ""
    sign, digit = (beside[-1:], beside[:1]) if right.isdecimal() else (beside[:1], beside[-1:])
    return len(beside) == 2 and sign in ".," and digit.isdecimal()


@lru_cache(maxsize=512)
def _haystack(text: str) -> tuple[str, list[int]]:
    """`normalise`, kept, since several quotes are looked for in one chunk."""
    return normalise(text)


def normalise(text: str) -> tuple[str, list[int]]:
    """``text`` with white space folded, quotation marks straight and case folded, and each character's origin."""
    characters: list[str] = []
    origin: list[int] = []
    for i, character in enumerate(text):
        if character.isspace():
            if characters and characters[-1] != " ":
                characters.append(" ")
                origin.append(i)
            continue
        for folded in character.translate(LOOKALIKES).casefold():
            characters.append(folded)
            origin.append(i)
    if characters and characters[-1] == " ":
        characters.pop()
        origin.pop()
    return "".join(characters), origin


def ground_all(quotes: Iterable[Quote]) -> tuple[Evidence, ...]:
    """Evidence for each quote, best status first, then highest score; one per place."""
    order: Sequence[Status] = ("verified", "repaired", "unverified")
    found = [item for item in map(ground, quotes) if item]
    found.sort(key=lambda item: (order.index(item.status), -item.score, item.source, item.start))
    places: dict[tuple[str, str, int, int, str], Evidence] = {}
    for item in found:
        places.setdefault((item.source, item.sha256, item.start, item.end, item.quote), item)
    return tuple(places.values())

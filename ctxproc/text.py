"""Rules of running text for the chunker, the evidence and the lexical search: breaks, sentences, graphemes, words.

The rules are for prose in Latin script and in Chinese and Japanese, with fair behaviour elsewhere: a script without
known marks has its lines and blank lines. They know no grammar and load no data. Nothing here alters a text.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import pairwise

HEADING, BLANK, NEWLINE, SENTENCE, CLAUSE, AFTER_HEADING, WRAP = 0.0, 0.25, 0.5, 1.0, 2.0, 2.25, 2.5
"""What a break costs: before a heading, at a blank line, at the end of a line that ends something, of a sentence, of a
clause, between a heading and its text, at the end of a line that was only wrapped."""

_CLOSERS = "\"'”’»›)\\]}」』）】》〉〕］｝"
_LINES = "\\n\\r\\v\\f\\x85\\u2028\\u2029"
_SPOT = re.compile(rf"(?P<mark>[.!?…。！？｡؟۔।॥;:,，、；：—–]+)[{_CLOSERS}]*(?P<space>\s*)|[{_LINES}]\s*")
_LINE = re.compile(rf"[{_LINES}]")
_BLANK = re.compile(r"\n[^\n]*\n|\r[^\n]*\r|[\f\u2029]")
_HEADING = re.compile(
    r"#{1,6}\s|第[0-9〇零一二三四五六七八九十百千两]{1,9}[回章卷节節部篇集](?=\s)"
    r"|(?:chapter|book|part|section|act|scene|canto|volume)\s+(?:[ivxlc]+|\d+|one|two|three|four|five)\b",
    re.IGNORECASE,
)
_LIST = re.compile(r"[-*+•‣◦–]\s|\(?(?:\d{1,3}|[a-z])[.)]\s|[|>]")
_NEVER_LAST = frozenset(
    "mr mrs ms dr prof st mt rev hon gen col capt lt sgt sen rep gov pres messrs mme mlle vs cf fig figs eq no nos vol pp"
    " ed eds approx ca viz".split()
)
_SELDOM_LAST = frozenset(
    "jr sr inc ltd co corp dept univ assn bros etc al esq ph.d jan feb mar apr aug sept oct nov dec".split()
)
_INITIALS = re.compile(r"(?:\w\.)*\w$")
_STARTER = re.compile(
    r"[\"'“‘(]?(?:The|This|That|These|Those|There|Then|They|It|Its|He|She|His|Her|We|You|I|In|On|At|As|An|A|After|But|And|"
    r"For|From|If|When|While|What|Who|Why|How|However|Many|Most|No|Not|One|Our|Some|Since|So|To|With)\b"
)
_SHORT_LINE, _LONG_LINE = 50, 100


def breaks(text: str) -> tuple[list[int], list[float]]:
    """Where the text may be cut, ascending, and what each cut costs.

    A cut lies between two characters, after the white space that follows a mark, so that what follows begins with a
    visible character; 0 and ``len(text)`` are never among them.
    """
    positions: list[int] = []
    costs: list[float] = []
    line_start, in_heading = 0, _HEADING.match(text) is not None
    first = len(text) - len(text.lstrip())
    for spot in _SPOT.finditer(text):
        position = spot.end()
        if not first < position < len(text):
            continue
        mark = spot["mark"]
        space = spot["space"] if mark else spot[0]
        if not _LINE.search(space):
            cost = _mark_cost(text, spot, mark)
        else:
            heading = _HEADING.match(text, position) is not None
            cost = _line_cost(text, spot, mark, spot.start() - line_start, in_heading, heading)
            line_start, in_heading = position, heading
        if cost is not None:
            positions.append(position)
            costs.append(cost)
    return positions, costs


def _line_cost(
    text: str, spot: re.Match[str], mark: str | None, length: int, in_heading: bool, heading: bool
) -> float | None:
    """The cost of a break at the end of a line of ``length`` characters."""
    if heading:
        return HEADING
    if in_heading:
        return AFTER_HEADING
    if _BLANK.search(spot["space"] if mark else spot[0]):
        return BLANK
    inside = mark is not None and _mark_cost(text, spot, mark)
    if inside == SENTENCE or _LIST.match(text, spot.end()):
        return NEWLINE
    if not _SHORT_LINE <= length <= _LONG_LINE and not text[spot.end()].islower():
        return NEWLINE
    return inside or WRAP


def _mark_cost(text: str, spot: re.Match[str], mark: str) -> float | None:
    """The cost of a break after a mark; None where the mark ends nothing (3.14, Mr., e.g.)."""
    if mark[-1] in "。！？｡؟۔।॥":
        return SENTENCE
    if mark[-1] in "，、；：—–":
        return CLAUSE
    spaced = bool(spot["space"])
    if mark[-1] in ",;:":
        return CLAUSE if spaced else None
    if not spaced:
        return CLAUSE if mark[-1] == "…" else None
    following = text[spot.end()]
    if following.islower():
        return CLAUSE if mark != "." else None
    return SENTENCE if mark != "." or _full_stop(text, spot.start("mark"), spot.end()) else None


def _full_stop(text: str, stop: int, following: int) -> bool:
    """Whether the dot at ``stop`` ends a sentence: it does not after an abbreviation, an initial, a list number."""
    before = text[max(0, stop - 24) : stop]
    word = before.split()[-1].lstrip("([\"'“‘") if before and not before[-1].isspace() else ""
    if word.lower() in _NEVER_LAST:
        return False
    if word.lower() in _SELDOM_LAST or (_INITIALS.match(word) and not word.isdigit() and word != "I"):
        return _STARTER.match(text, following) is not None
    if word.isdigit() and len(word) <= 3:
        line = before[: -len(word)].rstrip(" \t(")
        return bool(line) and not _LINE.match(line[-1])
    return True


def sentence_around(text: str, start: int, end: int, limit: int = 400) -> tuple[int, int]:
    """The slice of the sentence or sentences that hold ``text[start:end]``, without white space at its ends.

    A heading, a line of a list and a blank line end a sentence. Where the sentences are longer than ``limit``
    characters, they are cut around the span, at a clause if there is one, else between words; the span is never cut.
    A span of white space alone is given back as it is.
    """
    span = text[start:end]
    if span.isspace():
        return start, end
    start, end = _trim(text, start, end)
    low, high = max(0, start - limit - 200), min(len(text), end + limit + 200)
    positions, costs = breaks(text[low:high])
    cuts = [(low + position, cost) for position, cost in zip(positions, costs, strict=True)]
    borders = [position for position, cost in cuts if cost <= SENTENCE or cost == AFTER_HEADING]
    left = max((position for position in borders if position <= start), default=low)
    right = min((position for position in borders if position >= end), default=high)
    spare = limit - (end - start)
    if right - left > limit:
        before = max(0, min(start - left, max(spare // 2, spare - (right - end))))
        after = max(0, min(right - end, spare - before))
        clauses = [position for position, cost in cuts if cost == CLAUSE]
        left = left if start - left <= before else _nearest(text, clauses, start - before, start, 1)
        right = right if right - end <= after else _nearest(text, clauses, end + after, end, -1)
    return _trim(text, left, right)


def sentences(text: str) -> list[tuple[int, int]]:
    """The slices of the sentences, headings and lines of a list, in order, without white space at their ends."""
    positions, costs = breaks(text)
    ends = [p for p, cost in zip(positions, costs, strict=True) if cost <= SENTENCE or cost == AFTER_HEADING]
    slices = [_trim(text, start, end) for start, end in pairwise([0, *ends, len(text)])]
    return [(start, end) for start, end in slices if start < end]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The slice without the white space at its ends."""
    inside = text[start:end]
    start += len(inside) - len(inside.lstrip())
    return start, start + len(inside.strip())


def _nearest(text: str, clauses: list[int], far: int, near: int, step: int) -> int:
    """A place to cut between ``far`` and ``near`` (the span's edge), as far out as a clause or a word allows."""
    low, high = min(far, near), max(far, near)
    middle = (far + near) // 2
    outer = [position for position in clauses if min(far, middle) <= position <= max(far, middle)]
    if outer:
        return min(outer) if step > 0 else max(outer)
    for position in range(far, near, step):
        if low < position < high and text[position - 1].isspace() != text[position].isspace():
            return position
    for position in range(far, near, step):
        if _ideographic(text[position - 1 : position]) and is_grapheme_border(text, position):
            return position
    return near


def is_grapheme_border(text: str, i: int) -> bool:
    """Whether a cut before ``text[i]`` leaves every user-perceived character whole.

    Covers CRLF, combining marks, joiners, variation selectors, skin tones, flags, Hangul medials and finals: the common
    part of Unicode's UAX 29, not all of it.
    """
    if i <= 0 or i >= len(text):
        return True
    before, after = text[i - 1], text[i]
    if after < "\u0300" and before < "\u0300":
        return not (before == "\r" and after == "\n")
    if before == "\u200d" or after in "\u200c\u200d" or "\u1160" <= after <= "\u11ff":
        return False
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":
        return False
    if unicodedata.category(after).startswith("M"):
        return False
    if _is_flag_letter(before) and _is_flag_letter(after):
        first = i - 1
        while first > max(0, i - 256) and _is_flag_letter(text[first - 1]):
            first -= 1
        return (i - first) % 2 == 0
    return True


def _is_flag_letter(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


_CJK = (
    "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3031-\u3035\u3040-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)


@cache
def _ideograph() -> re.Pattern[str]:
    return re.compile(f"[{_CJK}]")


def _ideographic(character: str) -> bool:
    return bool(_ideograph().match(character))


@cache
def _word() -> re.Pattern[str]:
    """A word, letters and digits with their marks, or a run of Chinese, Japanese or Korean letters."""
    points = [*range(0x300, 0x10000), *range(0x10000, 0x1F000)]
    marks = (chr(p) for p in points if unicodedata.category(chr(p)).startswith("M") and not _ideographic(chr(p)))
    unmarked = "[\0-\u02ff\u2000-\u206f]"  # not needed, but the set of marks is slow to search
    return re.compile(rf"(?:[^\W_{_CJK}]+|(?!{unmarked})[{''.join(map(re.escape, marks))}]+)+|[{_CJK}]+")


_ASCII = {code: chr(code).lower() if chr(code).isalnum() else " " for code in range(128)}


def words(text: str, query: bool = False) -> list[str]:
    """What lexical search matches: case-folded NFKC words, in order; Chinese, Japanese and Korean as character pairs.

    Of a run of those scripts a text gives every character and every pair of neighbours; a query gives the pairs alone,
    or the character where the run has only one, so that single characters can be asked for.
    """
    if text.isascii():
        return text.translate(_ASCII).split()
    runs: list[str] = _word().findall(unicodedata.normalize("NFKC", text).casefold())
    if not any(map(_ideograph().match, runs)):
        return runs
    found: list[str] = []
    for run in runs:
        if not _ideographic(run):
            found.append(run)
            continue
        if not query or len(run) == 1:
            found.extend(run)
        found.extend(map("".join, pairwise(run)))
    return found

"""HTML -> the text that a reader sees, with a map of every character to its source.

What is kept: text between tags, entities resolved. What is dropped: tags, comments, and the whole of `DROPPED`.
White space as browsers do it: runs of it become one space, none at the ends of a line; inside ``pre`` and
``textarea`` it stays. An element of `PARAGRAPHS` stands between blank lines, one of `LINES` on its own line, a table
cell after a tab. Scripts are not run, links not followed, style sheets (hidden text) not read.

The scanner is written here because the map needs the exact position of every piece, and because it takes linear time
on every input: each search that finds nothing is made once.
"""

from __future__ import annotations

import html
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5

from ctxproc.formats.base import Extracted, Limits, UnreadableError
from ctxproc.formats.bytemap import ByteMap
from ctxproc.formats.encoding import decode, looks_binary

DROPPED = frozenset("script style title template noscript iframe noembed noframes svg object".split())
RAW = frozenset("script style title iframe noembed noframes".split())
"""Of `DROPPED`: those that, never closed, last to the end of the file."""
PARAGRAPHS = frozenset(
    "address article aside blockquote body details dialog dl fieldset figcaption figure footer form h1 h2 h3 h4 h5 h6 "
    "header hgroup hr main menu nav ol p pre section table ul".split()
)
LINES = frozenset("br caption center dd div dt legend li option optgroup summary tbody tfoot thead tr".split())
CELLS = frozenset(("td", "th"))
VERBATIM = frozenset(("pre", "textarea"))
GAPS = ("", " ", "\t", "\n", "\n\n")
"""White space between words, from the weakest; of several that are asked for, the strongest stands."""

OPENING = re.compile(r"<(?:(!--)|([!?])|(/?)([A-Za-z][^\t\n\f\r />]*+))")
TAG_STOP = re.compile(r">|=[\t\n\f\r ]*+([\"'])")
REFERENCE = re.compile(r"&(?:#[0-9]{1,20};?|#[xX][0-9A-Fa-f]{1,20};?|[A-Za-z][A-Za-z0-9]{0,31};?)")
SPACES = re.compile(r"[\t\n\f\r ]{2,}|[\t\n\f\r]")
BLANK = "\t\n\f\r "
FLAT = str.maketrans("\t\n\f\r", "    ")
DECLARED = re.compile(rb"(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE)
LONGEST_ENTITY = max(map(len, html5))


@dataclass(slots=True)
class Runs:
    """Text under way, and where its runs lie in the source, counted in source characters.

    A run of one character came from ``starts[i]:ends[i]``, any other character by character.
    """

    pieces: list[str] = field(default_factory=list)
    length: int = 0
    chars: array[int] = field(default_factory=lambda: array("q"))
    starts: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))

    def add(self, text: str, start: int, end: int, *, whole: bool = False) -> None:
        """Append ``text`` that stands at ``start:end``; ``whole``: each of its characters came from all of that."""
        for piece in text if whole else (text,):
            self.pieces.append(piece)
            self.chars.append(self.length)
            self.starts.append(start)
            self.ends.append(end)
            self.length += len(piece)


def extract(raw: bytes, limits: Limits) -> Extracted:
    """The visible text of an HTML file and an exact map to its bytes.

    Raises:
        UnreadableError: it is binary.
    """
    declared = DECLARED.search(raw, 0, 1024)
    source, source_map, losses = decode(raw, declared[1].decode("ascii") if declared else None)
    if looks_binary(source):
        raise UnreadableError("binary", "is binary, not HTML; check the file")
    runs = read(source)
    text = "".join(runs.pieces)
    return Extracted(text, "html", to_bytes(runs, source, source_map), losses=losses)


def visible_text(source: str, *, xml: bool = False) -> str:
    """The text alone. ``xml``: ``<script/>`` is a whole element, as in the XHTML of an EPUB."""
    return "".join(read(source, xml=xml).pieces)


def read(source: str, *, xml: bool = False) -> Runs:
    """The visible text of ``source`` as runs of source characters."""
    page = _Page(source)
    for start, end, name, closing in scan(source, xml=xml):
        if name is None:
            page.text(start, end)
        else:
            page.tag(name, closing)
    return page.runs


def scan(source: str, *, xml: bool = False) -> Iterator[tuple[int, int, str | None, bool]]:
    """Pieces in order: text as (start, end, None, False), tags as (start, end, name, closing); no comments."""
    position = text_start = 0
    last_stop = source.rfind(">")
    lost: set[str] = set()
    while (opening := OPENING.search(source, position)) and opening.start() < last_stop:
        comment, declaration, slash, name = opening.groups()
        if comment:
            end = source.find("-->", opening.end() - 2)
            end = end + 3 if end >= 0 else len(source)
        elif declaration:
            end = source.find(">", opening.end()) + 1
        else:
            end = _tag_end(source, opening.end())
        yield text_start, opening.start(), None, False
        if name:
            name = name.lower()
            alone = xml and source[end - 2] == "/"
            yield opening.start(), end, name, bool(slash)
            if name in DROPPED and not slash and not alone and name not in lost:
                end = _element_end(source, end, name, lost)
        position = text_start = end
    yield text_start, len(source), None, False


def _tag_end(source: str, position: int) -> int:
    """Past the ``>`` of the tag whose name ends at ``position``; quoted values may hold others."""
    while stop := TAG_STOP.search(source, position):
        if stop[0] == ">":
            return stop.end()
        close = source.find(stop[1], stop.end())
        position = close + 1 if close >= 0 else stop.end()
    return len(source)


def _element_end(source: str, position: int, name: str, lost: set[str]) -> int:
    """Past the first end tag of ``name``; where there is none, ``position``, or the end of a `RAW` element's file."""
    close = re.compile(rf"</{name}(?=[\t\n\f\r />])", re.IGNORECASE).search(source, position)
    if close:
        return _tag_end(source, close.end())
    lost.add(name)
    return len(source) if name in RAW else position


class _Page:
    """Turns pieces into lines. ``gap`` is the white space owed before the next word; its source is ``space``."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.runs = Runs()
        self.gap = ""
        self.space = (0, 0)
        self.verbatim = 0
        self.fresh = False

    def tag(self, name: str, closing: bool) -> None:
        """White space that the tag asks for."""
        if name in PARAGRAPHS:
            self.owe("\n\n")
        elif name == "br":
            self.owe("\n\n" if "\n" in self.gap else "\n")
        elif name in LINES:
            self.owe("\n")
        elif name in CELLS and not closing:
            self.owe("\t")
        if name in VERBATIM:
            self.verbatim = max(0, self.verbatim + (-1 if closing else 1))
            self.fresh = not closing

    def owe(self, gap: str) -> None:
        """Ask for at least this much before the next word."""
        if GAPS.index(gap) > GAPS.index(self.gap):
            self.gap = gap

    def text(self, start: int, end: int) -> None:
        """A stretch between tags: verbatim pieces and entities."""
        if self.fresh and start < end:
            self.fresh = False
            start += 2 if self.source.startswith("\r\n", start, end) else self.source.startswith("\n", start, end)
        put = self.keep if self.verbatim else self.words
        position = start
        for reference in REFERENCE.finditer(self.source, start, end) if self.source.find("&", start, end) >= 0 else ():
            value, width = _resolve(reference[0])
            if width:
                put(position, reference.start())
                position = reference.start() + width
                if value:
                    self.flush(reference.start())
                    self.runs.add(value, reference.start(), position, whole=True)
        put(position, end)

    def keep(self, start: int, end: int) -> None:
        """Text of ``pre``: as it stands."""
        if start < end:
            self.flush(start)
            self.runs.add(self.source[start:end], start, end)

    def words(self, start: int, end: int) -> None:
        """Other text: white space at the ends is owed, inside it becomes one space."""
        piece = self.source[start:end]
        body = piece.lstrip(BLANK)
        if len(body) < len(piece):
            self.owe_space(start, end - len(body))
        if not body:
            return
        start, tail = end - len(body), len(body.rstrip(BLANK))
        self.flush(start)
        position = 0
        for spaces in SPACES.finditer(body, 0, tail):
            if spaces.end() - spaces.start() > 1:
                self.line(body, position, spaces.start(), start)
                self.runs.add(" ", start + spaces.start(), start + spaces.end())
                position = spaces.end()
        self.line(body, position, tail, start)
        if tail < len(body):
            self.owe_space(start + tail, end)

    def line(self, body: str, first: int, last: int, start: int) -> None:
        """``body[first:last]``, a line break in it shown as a space."""
        self.runs.add(body[first:last].translate(FLAT), start + first, start + last)

    def owe_space(self, start: int, end: int) -> None:
        """One space before the next word, unless a break is owed."""
        if not self.gap:
            self.gap, self.space = " ", (start, end)

    def flush(self, position: int) -> None:
        """Put what is owed before the word at ``position``; nothing before the first word."""
        if self.gap and self.runs.length:
            start, end = self.space if self.gap == " " else (position, position)
            self.runs.add(self.gap, start, end, whole=True)
        self.gap = ""


def _resolve(reference: str) -> tuple[str, int]:
    """What a character reference stands for, and how much of ``reference`` belongs to it; 0 where it is plain text."""
    if reference[1] == "#":
        return html.unescape(reference), len(reference)
    for width in range(min(len(reference), LONGEST_ENTITY + 1), 1, -1):
        if value := html5.get(reference[1:width]):
            return value, width
    return "", 0


def to_bytes(runs: Runs, source: str, source_map: ByteMap) -> ByteMap:
    """Runs of source characters -> runs of source bytes. One pass: positions only ascend."""
    result = ByteMap(source_map.encoding)
    cursor = _Cursor(source, source_map)
    for i, char in enumerate(runs.chars):
        start, end = runs.starts[i], runs.ends[i]
        past = runs.chars[i + 1] if i + 1 < len(runs.chars) else runs.length
        if past - char == 1:
            first = cursor.start_of(start)
            result.add(char, first, cursor.end_of(end) if end > start else first)
            continue
        while start < end:
            cut = min(end, cursor.run_end(start))
            result.add(char, cursor.start_of(start), cursor.end_of(cut))
            char, start = char + cut - start, cut
    return result


class _Cursor:
    """Looks up ascending positions of ``text`` in its map, encoding each character about once."""

    def __init__(self, text: str, found: ByteMap) -> None:
        self.text, self.map = text, found
        self.char, self.byte, self.stop = 0, 0, 0

    def start_of(self, char: int) -> int:
        """The byte at which character ``char`` begins."""
        if not self.char <= char < self.stop:
            self.byte, self.char = self.map.start_of(self.text, char), char
            self.stop = self.run_end(char)
        self.byte += self.map.width(self.text[self.char : char])
        self.char = char
        return self.byte

    def end_of(self, char: int) -> int:
        """The byte past the end of character ``char - 1``; the characters before it in its run have been looked up."""
        if self.char < char < self.stop:
            return self.start_of(char)
        return self.map.end_of(self.text, char)

    def run_end(self, char: int) -> int:
        """Past the last character of the run that holds ``char``."""
        run = bisect_right(self.map.chars, char)
        return self.map.chars[run] if run < len(self.map.chars) else len(self.text)

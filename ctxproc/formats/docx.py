"""DOCX -> text: paragraphs, headings, lists and tables of the body, in order, then footnotes and endnotes.

A paragraph ends in a line break and a blank line stands between two; the rows of a table are lines, its cells are set
apart by tabs. Deleted text of tracked changes, comments, headers, footers and list numbers are left out. There is no
way back to bytes (the text lies in compressed XML) nor to pages (Word computes them).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ctxproc.formats.archive import Archive
from ctxproc.formats.base import Extracted, Limits, UnreadableError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

BODY = "word/document.xml"
NOTES = ("word/footnotes.xml", "word/endnotes.xml")
CHARACTERS = {"tab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "\u2011", "softHyphen": "\u00ad"}
SKIPPED = frozenset(("del", "moveFrom", "Fallback", "pPr", "rPr", "instrText"))


def extract(raw: bytes, limits: Limits) -> Extracted:
    """The text of a DOCX.

    Raises:
        UnreadableError: broken, hostile or over a limit.
    """
    archive = Archive(raw, limits)
    body = archive.xml(BODY)
    parts = [body, *(archive.xml(name) for name in NOTES if name in archive.parts)]
    try:
        text = "\n\n".join(block for part in parts for block in _blocks(part))
    except RecursionError:
        raise UnreadableError("broken", "is refused: its parts are nested too deep; do not trust this file") from None
    return Extracted(text, "docx")


def _name(element: Element) -> str:
    """The tag without its namespace (strict and transitional documents differ in it)."""
    return str(element.tag).rpartition("}")[2]


def _blocks(element: Element) -> Iterator[str]:
    """Paragraphs and tables below ``element``, empty ones left out."""
    for child in element:
        name = _name(child)
        if name in SKIPPED:
            continue
        block = "".join(_inline(child)) if name == "p" else _table(child) if name == "tbl" else None
        if block is None:
            yield from _blocks(child)
        elif block.strip():
            yield block


def _table(table: Element) -> str:
    """Rows as lines, cells between tabs; the paragraphs of a cell are joined by spaces."""
    rows = (child for child in _through(table, "tr"))
    return "\n".join("\t".join(" ".join(_blocks(cell)) for cell in _through(row, "tc")) for row in rows)


def _through(element: Element, name: str) -> Iterator[Element]:
    """Children called ``name``, also those inside content controls and tracked insertions, but not deeper tables."""
    for child in element:
        if _name(child) == name:
            yield child
        elif _name(child) in {"sdt", "sdtContent", "ins", "customXml", "smartTag"}:
            yield from _through(child, name)


def _inline(element: Element) -> Iterator[str]:
    """The text of a paragraph, text boxes in it included."""
    for child in element:
        name = _name(child)
        if name == "t":
            yield child.text or ""
        elif name in CHARACTERS:
            yield CHARACTERS[name]
        elif name == "txbxContent":
            yield "\n" + "\n".join(_blocks(child)) + "\n"
        elif name not in SKIPPED:
            yield from _inline(child)

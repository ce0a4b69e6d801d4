"""Which format a source has, and the extractor of each.

The name decides for HTML, PDF, DOCX and EPUB; then the first bytes. What nothing else claims is text, or binary.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from ctxproc.formats import docx, epub, html, pdf, text
from ctxproc.formats.base import Extracted, Format, Limits

EXTRACTORS: dict[Format, Callable[[bytes, Limits], Extracted]] = {
    "text": text.extract,
    "html": html.extract,
    "pdf": pdf.extract,
    "docx": docx.extract,
    "epub": epub.extract,
}
SUFFIXES: dict[str, Format] = {
    ".html": "html", ".htm": "html", ".xhtml": "html", ".pdf": "pdf", ".docx": "docx", ".epub": "epub",
}  # fmt: skip
ALWAYS_TEXT = frozenset(
    ".txt .text .md .markdown .rst .adoc .org .tex .py .js .ts .css .xml .svg .json .jsonl .yaml .yml .toml .csv .tsv "
    ".php .vue .jsx .tsx .j2 .jinja .tmpl .erb .log".split()
)
"""Never taken for HTML, whatever they begin with."""
HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf|\xff\xfe|\xfe\xff)?\s*(?:<\?xml[^>]*>\s*|<!--(?:[^-]|-(?!->))*+-->\s*)*+"
    rb"<(?:!doctype\s+html|html|head|body)[\s>]",
    re.IGNORECASE,
)


def sniff(name: str, raw: bytes) -> Format:
    """The format of the bytes ``raw`` of a source called ``name`` ("-" for standard input)."""
    suffix = PurePath(name).suffix.lower()
    if raw.startswith(b"%PDF-"):
        return "pdf"
    if raw.startswith(b"PK\x03\x04"):
        if b"mimetypeapplication/epub+zip" in raw[:256] or suffix == ".epub":
            return "epub"
        return "docx" if b"word/document.xml" in raw or suffix == ".docx" else "text"
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    if suffix not in ALWAYS_TEXT and HTML_START.match(raw[:16384].replace(b"\0", b"")):
        return "html"
    return "text"

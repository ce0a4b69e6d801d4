"""Which format a source has, and its extractor, imported when it is first needed.

The name decides for HTML, PDF, DOCX and EPUB; then the first bytes. What nothing else claims is text, or binary.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import PurePath

from ctxproc.formats.base import Extracted, Format, Limits

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


def extract(format: Format, raw: bytes, limits: Limits) -> Extracted:
    """The text of ``raw``, by the module that is called like its format.

    Raises:
        UnreadableError: there is no text to be had of it.
    """
    extracted: Extracted = import_module(f"ctxproc.formats.{format}").extract(raw, limits)
    return extracted

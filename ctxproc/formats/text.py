"""Plain text, Markdown, source code: the decoded bytes, nothing added, nothing taken away."""

from __future__ import annotations

from ctxproc.formats.base import Extracted, Limits, UnreadableError
from ctxproc.formats.encoding import SAMPLE, decode, looks_binary


def extract(raw: bytes, limits: Limits) -> Extracted:
    """The text of ``raw`` and an exact map to its bytes.

    Raises:
        UnreadableError: it is no text ("binary").
    """
    if looks_binary(decode(raw[:SAMPLE])[0]):
        raise UnreadableError("binary", "is binary: no text, HTML, PDF, DOCX or EPUB; convert it to one of them first")
    text, byte_map, losses = decode(raw)
    return Extracted(text, "text", byte_map, losses=losses)

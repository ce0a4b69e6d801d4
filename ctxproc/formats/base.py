"""What every format gives, the limits that all of them keep, and the one way in which they fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ctxproc.errors import SourceError
from ctxproc.formats.bytemap import ByteMap

Format = Literal["text", "html", "pdf", "docx", "epub"]
Kind = Literal["hidden", "binary", "empty", "special", "duplicate", "broken", "damaged"]
MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Hard limits of loading; crossing one is a `SourceError` that names it.

    Attributes:
        source_bytes: size of one source as it lies on disk.
        files: sources loaded in one call, files of folders included.
        text_bytes: UTF-8 bytes of the text of one PDF; unpacked bytes of all parts read of one DOCX or EPUB.
        pdf_seconds: processor time for one PDF; twice as much by the clock on the wall.
        pdf_bytes: address space of the process that reads one PDF, the PDF itself included.
        archive_entries: files in one DOCX or EPUB.
        archive_ratio: unpacked bytes per packed byte, for a part of an archive above 1 MiB.
    """

    source_bytes: int = 256 * MIB
    files: int = 10_000
    text_bytes: int = 256 * MIB
    pdf_seconds: int = 300
    pdf_bytes: int = 2048 * MIB
    archive_entries: int = 20_000
    archive_ratio: int = 200


@dataclass(frozen=True, slots=True)
class Extracted:
    """The text of one source and the way back.

    Attributes:
        text: as it will stand in the document.
        format: of the source.
        byte_map: None where the format has no byte per character (PDF, DOCX, EPUB).
        page_starts: the character at which each page begins; empty where the format has no pages.
        losses: what could not be read of it, one line each; empty as a rule.
    """

    text: str
    format: Format
    byte_map: ByteMap | None = None
    page_starts: tuple[int, ...] = ()
    losses: tuple[str, ...] = ()


class UnreadableError(SourceError):
    """A source that gives no text. Its text is a reason that follows the name of the source: ``is encrypted; ...``.

    Attributes:
        kind: for counting what a folder skipped.
    """

    def __init__(self, kind: Kind, reason: str) -> None:
        """Keep the reason as the text."""
        super().__init__(reason)
        self.kind: Kind = kind

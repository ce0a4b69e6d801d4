"""Zip files that hold documents (DOCX, EPUB), and the XML in them, read as if an attacker had made them.

Nothing is written to disk: parts are read into memory by name, so a name can lead nowhere outside. Archives with
absolute or climbing names, links, encrypted parts, too many parts, or parts that unpack too far are refused.
XML with a document type that declares entities is refused before it is expanded; nothing external is ever fetched.
"""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from xml.etree.ElementTree import Element

from ctxproc.formats.base import MIB, Limits, UnreadableError

BROKEN = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error,
    EOFError, OSError, RuntimeError, ValueError, LookupError,
)  # fmt: skip
"""What zipfile lets out for broken, encrypted and unknown parts (NotImplementedError is a RuntimeError)."""


class Archive:
    """The parts of one zip file. All that is read from it together is at most ``limits.text_bytes``."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        """Read the list of parts.

        Raises:
            UnreadableError: broken, hostile, or over a limit.
        """
        self.limits = limits
        self.left = limits.text_bytes
        try:
            self.zip = zipfile.ZipFile(io.BytesIO(raw))
        except BROKEN as error:
            raise UnreadableError("broken", f"is a broken archive ({error}); save it again in its program") from None
        self.parts = {part.filename: part for part in self.zip.infolist()}
        if len(self.zip.infolist()) > limits.archive_entries:
            raise _refused(f"holds more than {limits.archive_entries} parts (limit archive_entries)")
        for part in self.parts.values():
            _check_name(part)

    def read(self, name: str) -> bytes:
        """The bytes of one part, unpacked no further than the limits allow, whatever the archive claims.

        Raises:
            UnreadableError: there is no such part, it is broken, or it crosses a limit.
        """
        part = self.parts.get(name)
        if part is None:
            raise UnreadableError("broken", f"has no part {name!r}; save it again in its program")
        most = min(self.left, max(MIB, part.compress_size * self.limits.archive_ratio))
        try:
            with self.zip.open(part) as stream:
                content = stream.read(most + 1)
        except BROKEN as error:
            raise UnreadableError("broken", f"has a broken part {name!r} ({error}); save it again") from None
        if len(content) > most:
            limit = "text_bytes" if most == self.left else "archive_ratio"
            raise _refused(f"unpacks part {name!r} beyond the limit {limit}")
        self.left -= len(content)
        return content

    def xml(self, name: str) -> Element:
        """The root of an XML part.

        Raises:
            UnreadableError: as `read`; or it is no XML, or declares entities.
        """
        from defusedxml import DefusedXmlException
        from defusedxml.ElementTree import ParseError, fromstring

        try:
            root: Element = fromstring(self.read(name), forbid_dtd=False, forbid_entities=True, forbid_external=True)
        except DefusedXmlException:
            raise _refused(f"declares entities in part {name!r}") from None
        except (ParseError, LookupError, ValueError) as error:
            raise UnreadableError("broken", f"has a broken part {name!r} ({error}); save it again") from None
        return root


def _check_name(part: zipfile.ZipInfo) -> None:
    """Refuse names that lead outside, and symbolic links."""
    name = part.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or ":" in name.split("/")[0]:
        raise _refused(f"holds a part with a hostile name {part.filename[:60]!r}")
    if stat.S_ISLNK(part.external_attr >> 16):
        raise _refused(f"holds a symbolic link {part.filename[:60]!r}")


def _refused(what: str) -> UnreadableError:
    return UnreadableError("broken", f"is refused: it {what}; do not trust this file")

"""EPUB -> the text of its chapters in reading order, a blank line between two. See html.py for what is kept of each.

There is no way back to bytes (chapters are compressed), nor to pages (a reader's screen makes them). Books with
protected (encrypted) chapters are refused.
"""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from ctxproc.formats.archive import Archive
from ctxproc.formats.base import Extracted, Limits, UnreadableError
from ctxproc.formats.encoding import decode
from ctxproc.formats.html import DECLARED, visible_text

CONTAINER = "META-INF/container.xml"
RIGHTS = "META-INF/rights.xml"
PAGE_TYPES = frozenset(("application/xhtml+xml", "text/html", "application/x-dtbook+xml"))


def extract(raw: bytes, limits: Limits) -> Extracted:
    """The text of an EPUB.

    Raises:
        UnreadableError: broken, hostile, protected or over a limit.
    """
    archive = Archive(raw, limits)
    if RIGHTS in archive.parts:
        raise UnreadableError("broken", "is protected by digital rights management; use a copy without it")
    chapters, losses = [], []
    for name in _spine(archive):
        if name not in archive.parts:
            losses.append(f"chapter {name!r} is missing from the archive")
            continue
        content = archive.read(name)
        declared = DECLARED.search(content, 0, 1024)
        source, _, broken = decode(content, declared[1].decode("ascii") if declared else None)
        losses += [f"chapter {name!r}: {line}" for line in broken]
        chapters.append(visible_text(source, xml=True))
    return Extracted("\n\n".join(chapter for chapter in chapters if chapter), "epub", losses=tuple(losses))


def _spine(archive: Archive) -> list[str]:
    """Names of the parts that hold the chapters, in reading order; each once."""
    rootfile = archive.xml(CONTAINER).find(".//{*}rootfile")
    package = unquote(rootfile.get("full-path", "")) if rootfile is not None else ""
    root = archive.xml(package)
    folder = posixpath.dirname(package)
    manifest = {
        item.get("id"): posixpath.normpath(posixpath.join(folder, unquote(item.get("href", "").partition("#")[0])))
        for item in root.iterfind("{*}manifest/{*}item")
        if item.get("media-type") in PAGE_TYPES
    }
    order = (manifest.get(reference.get("idref")) for reference in root.iterfind("{*}spine/{*}itemref"))
    return [name for name in dict.fromkeys(order) if name is not None]

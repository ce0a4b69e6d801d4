"""The program that reads one PDF, run on its own so that no file can take the parent down.

Standard input: the PDF. Standard output: one JSON object, ``{"pages": [str], "losses": [str]}`` or
``{"error": "encrypted" | "cipher" | "large"}``. Arguments: processor seconds, address space in bytes, UTF-8 bytes of
text. It imports nothing of ctxproc; on an error that it does not know it dies with Python's traceback, of which the
parent reads the last line.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import sys

PAGE_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, RecursionError)
"""What pypdf lets out where one page is broken; the other pages are read all the same."""


def confine(seconds: int, address_space: int) -> None:
    """Limit this process; where the platform has no such limit, the parent's clock still ends it."""
    try:
        import resource
    except ImportError:
        return
    limits = ((resource.RLIMIT_AS, address_space), (resource.RLIMIT_CPU, seconds), (resource.RLIMIT_CORE, 0))
    for limit, value in limits:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(limit, (value, value))


def read(raw: bytes, text_bytes: int) -> dict[str, object]:
    """The text of each page, or why there is none."""
    from pypdf import PdfReader
    from pypdf.errors import DependencyError, PyPdfError

    reader = PdfReader(io.BytesIO(raw))
    try:
        if reader.is_encrypted and not reader.decrypt(""):
            return {"error": "encrypted"}
    except DependencyError:
        return {"error": "cipher"}
    pages: list[str] = []
    losses: list[str] = []
    left = text_bytes
    for number, page in enumerate(reader.pages, 1):
        try:
            text = page.extract_text()
        except (PyPdfError, *PAGE_ERRORS) as error:
            losses.append(f"page {number} could not be read ({type(error).__name__})")
            text = ""
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        left -= len(text.encode())
        if left < 0:
            return {"error": "large"}
        pages.append(text)
    return {"pages": pages, "losses": losses}


def main() -> None:
    """Read standard input under the limits of the command line."""
    seconds, address_space, text_bytes = map(int, sys.argv[1:])
    confine(seconds, address_space)
    logging.getLogger("pypdf").setLevel(logging.CRITICAL + 1)
    sys.stdout.write(json.dumps(read(sys.stdin.buffer.read(), text_bytes)))


if __name__ == "__main__":
    main()

"""PDF -> text by page, read by pypdf in a child process (pdf_child.py).

The child cannot take more memory, processor time or clock time than the limits allow. There is no way back to bytes;
there is one to pages.

Not done: recognising characters in images, decrypting with a password.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

from ctxproc.formats.base import Extracted, Limits, UnreadableError

CHILD = Path(__file__).with_name("pdf_child.py")
BETWEEN_PAGES = "\n"
REASONS = {
    "encrypted": "is encrypted; save a copy without the password first (for example with qpdf --decrypt)",
    "cipher": "is encrypted in a way that needs more than pypdf; save a copy without encryption first (qpdf --decrypt)",
    "large": "holds more text than the limit text_bytes allows; raise the limit or split the file",
}


def extract(raw: bytes, limits: Limits) -> Extracted:
    """The text of all pages, one line break between two, and the character at which each page begins.

    Raises:
        UnreadableError: encrypted, broken, without text, or over a limit ("broken", "empty").
    """
    answer = _run_child(raw, limits)
    if "error" in answer:
        raise UnreadableError("broken", REASONS[str(answer["error"])])
    pages: list[str] = answer["pages"]
    if not any(page.strip() for page in pages):
        if answer["losses"]:
            raise _broken(answer["losses"][0])
        raise UnreadableError("empty", "is a PDF without text, perhaps of images; run text recognition (OCR) first")
    lengths = accumulate((len(page) + len(BETWEEN_PAGES) for page in pages[:-1]), initial=0)
    return Extracted(BETWEEN_PAGES.join(pages), "pdf", page_starts=tuple(lengths), losses=tuple(answer["losses"]))


def _run_child(raw: bytes, limits: Limits) -> dict[str, list[str]]:
    """What the child says. It is run by its path, and no folder of the caller's is searched for modules (-P)."""
    numbers = (limits.pdf_seconds, limits.pdf_bytes, limits.text_bytes)
    command = [sys.executable, "-P", str(CHILD), *map(str, numbers)]
    try:
        child = subprocess.run(command, input=raw, capture_output=True, timeout=2 * limits.pdf_seconds, check=False)
    except subprocess.TimeoutExpired:
        raise UnreadableError("broken", _too_slow(limits)) from None
    if child.returncode == 0:
        answer: dict[str, list[str]] = json.loads(child.stdout)
        return answer
    if -child.returncode in (signal.SIGXCPU, signal.SIGKILL):
        raise UnreadableError("broken", _too_slow(limits))
    last = (child.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1][:200]
    if last.startswith("MemoryError"):
        limit = f"{limits.pdf_bytes >> 20} MiB of memory (limit pdf_bytes)"
        raise UnreadableError("broken", f"is a PDF that needs more than {limit}; raise the limit if you trust the file")
    raise _broken(last)


def _broken(why: str) -> UnreadableError:
    return UnreadableError("broken", f"is a broken PDF ({why}); open and save it in a PDF program first")


def _too_slow(limits: Limits) -> str:
    seconds = f"{limits.pdf_seconds} s of processor time (limit pdf_seconds)"
    return f"is a PDF that takes more than {seconds}; raise the limit if you trust the file"

"""Text files that a user hands over beside the sources: settings, questions."""

from __future__ import annotations

from pathlib import Path

from ctxproc.errors import UsageError


def read_text(path: Path, what: str, most: int, fault: type[UsageError] = UsageError) -> str:
    """A file's UTF-8 text without a byte order mark; of what is too large no more than the limit is read.

    Args:
        path: the file.
        what: as the message calls it, such as "questions".
        most: bytes that it may have.
        fault: what is raised.

    Raises:
        UsageError: it cannot be opened, is larger, or is no UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(most + 1)
    except OSError as error:
        raise fault(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(raw) > most:
        raise fault(f"cannot read the {what} {path}: it has more than {most} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise fault(f"cannot read the {what} {path}: it is not UTF-8 text") from error

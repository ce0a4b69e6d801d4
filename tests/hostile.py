"""What is tried wherever a path, a number or a name is taken."""

from __future__ import annotations

PATHS = ("", ".", "/", "/dev/null/x", "a\0b", "x" * 300)
NUMBERS = (0, -1, 1 << 63, True, 1.0, "1", "../../etc/passwd", "1 OR 1=1", "\0", None, b"1")
NAMES = (
    "../../out",
    "/etc/x",
    "a/b",
    "..",
    "'; DROP TABLE passages; --",
    "C:\\x",
    "\x1b[2J",
    "{x.__class__}",
    "%s%n",
    "\u202eevil",
    "Ω" * 500,
)

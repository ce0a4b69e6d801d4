"""Text from documents and models, made safe to print."""

from __future__ import annotations

import re
from collections.abc import Iterable

import click

ESCAPES = re.compile(
    r"""
    \x1b \[ [0-?]* [ -/]* [@-~]                     # CSI: colours, cursor
  | \x1b [\]PX^_] .*? (?: \x07 | \x1b\\ | \x9c | $)  # OSC, DCS, SOS, PM, APC: titles, links, clipboard
  | \x1b [ -/]* [0-~]                               # the other escapes
  | [\x00-\x08\x0b-\x1f\x7f-\x9f]                   # control characters but tab and newline
  | [\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]  # marks that change the direction of what follows
    """,
    re.VERBOSE | re.DOTALL,
)


def plain(text: str) -> str:
    """``text`` without terminal escapes, control characters and direction overrides."""
    return ESCAPES.sub("", text)


def print_lines(lines: Iterable[str]) -> None:
    """Print a list at once: a reader that stops after its first line, as ``head -1`` does, breaks no pipe."""
    click.echo("\n".join(lines))

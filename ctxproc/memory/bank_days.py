"""Days: what was said on one date belongs together. The date is that of the clock of who said it."""

from __future__ import annotations

from datetime import date, datetime

from ctxproc.memory.base import Note


def day_of(note: Note) -> str:
    """The day on which something was said, as its own zone has it: "2026-05-01"."""
    return note.time.date().isoformat()


def is_over(note: Note, now: datetime) -> bool:
    """Whether that day is over, where it was said."""
    return note.time.date() < today(note, now)


def today(note: Note, now: datetime) -> date:
    """The date at a time in the zone of a note."""
    return now.astimezone(note.time.tzinfo).date()

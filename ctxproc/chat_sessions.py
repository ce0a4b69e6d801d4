"""The sessions of a user's chats, as their turns tell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ctxproc.memory.memory import Memory


@dataclass(frozen=True, slots=True)
class Session:
    """A session.

    Attributes:
        name: of it.
        title: of the conversation, where it was taken in from another program; otherwise what was said first.
        first, last: times of its first and last turn.
        turns: how many.
    """

    name: str
    title: str
    first: datetime
    last: datetime
    turns: int


def sessions(memory: Memory) -> list[Session]:
    """All sessions of the memory's owner, by the time of their last turn. Reads every turn."""
    found: dict[str, Session] = {}
    for item in memory.items():
        name = item.metadata.get("session")
        if item.kind != "turn" or not isinstance(name, str):
            continue
        old = found.get(name)
        title = old.title if old else str(item.metadata.get("title") or item.text)
        first, last = (old.first, old.last) if old else (item.time, item.time)
        found[name] = Session(name, title, min(first, item.time), max(last, item.time), old.turns + 1 if old else 1)
    return sorted(found.values(), key=lambda one: (one.last, one.name))

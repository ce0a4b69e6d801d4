"""Chats for tests of the bank: an extractor of three patterns, and a clock that stands where a test puts it."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import ClassVar

from memories import memory_of

from ctxproc import Memory
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Passage
from ctxproc.memory.extract.base import Extractor, Triple, own_words, speaker_of

START = datetime(2026, 5, 1, 9, tzinfo=UTC)
PATTERNS = (
    (re.compile(r"\b(?P<who>I|[A-Z]\w+) (?:live|lives) in (?P<what>[A-Z]\w+)"), "lives in", True, False),
    (re.compile(r"\b(?P<who>I|[A-Z]\w+) no longer (?:live|lives) in (?P<what>[A-Z]\w+)"), "lives in", True, True),
    (re.compile(r"\b(?P<who>I|[A-Z]\w+) (?:like|likes) (?P<what>\w+)"), "likes", False, False),
)


class PlainExtractor(Extractor):
    """Finds what `PATTERNS` find in a user's own words; ``read`` are the turns it was asked about."""

    name: ClassVar[str] = "plain"

    def __init__(self) -> None:
        self.read: list[int] = []

    def extract(self, turn: Passage) -> list[Triple]:
        self.read.append(turn.id)
        return [triple for start, end in own_words(turn) for triple in self._within(turn, start, end)]

    def _within(self, turn: Passage, start: int, end: int) -> list[Triple]:
        found = []
        for pattern, relation, single, ends in PATTERNS:
            for match in pattern.finditer(turn.text, start, end):
                who = speaker_of(turn) if match["who"] == "I" else match["who"]
                found.append(Triple(who, relation, match["what"], *match.span(), single, ends))
        return sorted(found, key=lambda triple: triple.start)


def bank_of(path: Path, **values: object) -> Bank:
    """A bank in a memory of alice's that does not embed."""
    path.mkdir(exist_ok=True)
    values.setdefault("extractor", PlainExtractor())
    return Bank(memory_of(path), **values)  # type: ignore[arg-type]


def at(days: float, hour: float = 0) -> datetime:
    """A time so many days after the start."""
    return START + timedelta(days=days, hours=hour)


def kept(memory: Memory, *kinds: str) -> list[tuple[str, str]]:
    """Kind and text of what is on the shelf, but for turns, or of some kinds."""
    wanted = kinds or ("fact", "summary", "portrait")
    return sorted((item.kind, item.text) for item in memory.items() if item.kind in wanted)

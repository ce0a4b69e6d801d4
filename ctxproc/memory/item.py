"""A passage as it is shown to whoever asked for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

from ctxproc.memory.base import Kind, Passage, Value


@dataclass(frozen=True, slots=True)
class Item:
    """A note, or a chunk of a document. ``str(item)`` is its text.

    Attributes:
        id: its number.
        text, time, speaker, source, kind, metadata: as in `ctxproc.memory.base.Note`.
        score: relevance to what was asked, 1 where every criterion puts it first; 0 where nothing was asked.
        shares: what each criterion gave to the score, by its name.
        start, end: characters of its document; 0 for a note.
        recalls, recalled: how often it was recalled before, and when last.
    """

    id: int
    text: str
    time: datetime
    speaker: str = ""
    source: str = ""
    score: float = 0.0
    kind: Kind = "note"
    metadata: Mapping[str, Value] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=dict)
    start: int = 0
    end: int = 0
    recalls: int = 0
    recalled: datetime | None = None

    def __str__(self) -> str:
        return self.text

    @classmethod
    def of(cls, passage: Passage, score: float = 0.0, shares: Mapping[str, float] | None = None) -> Self:
        """A passage, and how relevant it is."""
        note = passage.note
        return cls(
            id=passage.id,
            text=note.text,
            time=note.time,
            speaker=note.speaker,
            source=note.source,
            score=score,
            kind=note.kind,
            metadata=note.metadata,
            shares=shares or {},
            start=passage.start,
            end=passage.end,
            recalls=passage.recalls,
            recalled=passage.recalled,
        )

    def to_json(self) -> dict[str, object]:
        """As ``ctxproc memory`` prints it with ``--json``."""
        return {
            "id": self.id,
            "kind": self.kind,
            "text": self.text,
            "time": self.time.isoformat(),
            "speaker": self.speaker,
            "source": self.source,
            "start": self.start,
            "end": self.end,
            "metadata": dict(self.metadata),
            "score": self.score,
            "shares": dict(self.shares),
            "recalls": self.recalls,
        }

"""The long chats of LoCoMo, their questions, and the turns that hold the evidence. For `locomo.py`."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

CATEGORIES = {1: "multi-hop", 2: "temporal", 3: "open-domain", 4: "single-hop", 5: "unanswerable"}
_TURN = re.compile(r"D:?(\d+):(\d+)")


@dataclass(frozen=True)
class Turn:
    """What was said: ``caption`` describes a photo that came with it, if one did."""

    text: str
    caption: str
    speaker: str
    session: int
    time: datetime

    @property
    def whole(self) -> str:
        """The text, and the caption in brackets."""
        return f"{self.text} [photo: {self.caption}]" if self.caption else self.text


@dataclass(frozen=True)
class Question:
    """A question about a chat.

    Attributes:
        line: its number among the questions of all chats, from 1.
        answer: of category 5, which the chat does not answer, empty.
        evidence: places of the turns that hold it; names of turns that there are not are left out.
    """

    line: int
    text: str
    answer: str
    category: int
    evidence: frozenset[int]


@dataclass(frozen=True)
class Chat:
    """Two people over months: everything that was said, in order, and what is asked about it."""

    name: str
    turns: list[Turn]
    questions: list[Question]

    @property
    def end(self) -> datetime:
        """When the last turn was said; the questions are asked then."""
        return max(turn.time for turn in self.turns)


def chats(data: Path) -> list[Chat]:
    """Those at hand."""
    found: list[Chat] = []
    asked = 0
    for row in json.loads((data / "eval" / "locomo" / "locomo_dev5.json").read_text(encoding="utf-8")):
        turns, places = _turns(row["conversation"])
        questions = [_question(one, places, asked + i) for i, one in enumerate(row["qa"], 1)]
        asked += len(questions)
        found.append(Chat(row["sample_id"], turns, questions))
    return found


def _turns(told: dict[str, Any]) -> tuple[list[Turn], dict[str, int]]:
    """The turns, and the place of each by its name, such as D3:12."""
    turns: list[Turn] = []
    places: dict[str, int] = {}
    for number in sorted(int(key[8:]) for key in told if re.fullmatch(r"session_\d+", key)):
        time = datetime.strptime(told[f"session_{number}_date_time"], "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for one in told[f"session_{number}"]:
            places[one["dia_id"]] = len(turns)
            turns.append(Turn(one["text"], one.get("blip_caption", ""), one["speaker"], number, time))
    return turns, places


def _question(row: dict[str, Any], places: dict[str, int], line: int) -> Question:
    named = [f"D{session}:{turn}" for text in row["evidence"] for session, turn in _TURN.findall(text)]
    evidence = frozenset(places[name] for name in named if name in places)
    answer = "" if row["category"] == 5 else str(row["answer"])
    return Question(line, row["question"], answer, row["category"], evidence)

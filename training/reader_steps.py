"""Questions without marked answers, to be answered by the reader itself: the steps of StrategyQA.

Its 2,061 yes/no questions were split by people into simple questions ("How many kids did Julius Caesar have?") and came
with facts ("Julius Caesar had three children."). `candidates` pairs each such question with the facts of its record;
`training.reader_sift` lets the shipped reader answer them in two readings and keeps what both agree on. The kept
question is then trained on among facts of other records.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from training.reader_cloze import Example
from training.reader_text import Held, normal

__all__ = ["Step", "candidates", "crowded"]

YES_NO = frozenset("is are was were do does did can could has have had will would should may might am".split())


@dataclass(frozen=True)
class Step:
    """A simple question and the facts of its record, one of which may answer it."""

    question: str
    facts: tuple[str, ...]
    record: int

    def readings(self) -> tuple[str, str]:
        """The facts in their order and in reverse."""
        return " ".join(self.facts), " ".join(reversed(self.facts))


def candidates(data: Path, held: Held) -> Iterator[Step]:
    """Steps that ask for something (not yes/no) and do not refer to an earlier step."""
    records = json.loads((data / "eval/strategyqa/train.json").read_text(encoding="utf-8"))
    for number, record in enumerate(records):
        facts = tuple(f"{fact.strip().rstrip('.')}." for fact in record["facts"] if fact.strip())
        for question in record["decomposition"]:
            first = normal(question).split(" ")[0]
            if facts and "#" not in question and first not in YES_NO and not held.question(question):
                yield Step(question.strip(), facts, number)


def crowded(step: Step, answer: str, others: list[str], group: str, rng: random.Random) -> Example | None:
    """The step over its own facts and some others in random order; None where the answer cannot be found again."""
    facts = [*step.facts, *others]
    rng.shuffle(facts)
    context = " ".join(facts)
    found = [spot.span() for spot in re.finditer(rf"(?<!\w){re.escape(answer)}(?!\w)", context)]
    return Example(step.question, context, found, "step", group) if found else None

"""What fades from recall: a pure function of a turn, the time and a seed, so that nothing is written while it fades.

MemoryBank keeps a turn with probability R = exp(-t / S): t days since it was last recalled, or since it was said, and
S = 1 + recalls. Its code draws anew each day, from no seed, and computes exp(-t S / 5), by which stronger memories fade
faster. Here each turn draws one lot u, uniform between 0 and 1, by which it stays for as long as R >= u: at any time the
probability that it has not faded is R exactly, what has faded stays so until it is recalled, and a recall, which makes
t 0, brings it back.

Source: Zhong et al. 2024, "MemoryBank: Enhancing Large Language Models with Long-Term Memory", section 3.3.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime

from ctxproc.errors import UsageError
from ctxproc.memory.base import Passage
from ctxproc.memory.criteria.forgetting import retention
from ctxproc.memory.criteria.recency import days


def kept(passage: Passage, now: datetime) -> float:
    """R, the probability that a turn has not faded."""
    return retention(age(passage, now), strength(passage))


def age(passage: Passage, now: datetime) -> float:
    """Days since it was last recalled, or since its time where that is later or it never was; 0 before that."""
    since = passage.note.time if passage.recalled is None else max(passage.recalled, passage.note.time)
    return days(since, now)


def strength(passage: Passage) -> float:
    """S, in days."""
    return 1.0 + passage.recalls


def lot(seed: int, number: int) -> float:
    """A uniform number above 0 and at most 1, for a seed and the number of a passage."""
    drawn = hashlib.blake2b(f"{seed} {number}".encode(), digest_size=8).digest()
    return (int.from_bytes(drawn, "big") + 1) / (1 << 64)


def faded(passage: Passage, now: datetime, seed: int = 0) -> bool:
    """Whether it has faded from recall. Only turns do: notes, facts, summaries and the portrait stay."""
    return passage.note.kind == "turn" and kept(passage, now) < lot(seed, passage.id)


def days_faded(passage: Passage, now: datetime, seed: int = 0) -> float:
    """For how many days a turn has been faded, as if nobody had recalled it meanwhile; 0 where it has not."""
    if not faded(passage, now, seed):
        return 0.0
    return max(0.0, age(passage, now) + strength(passage) * math.log(lot(seed, passage.id)))


@dataclass(frozen=True)
class Rule:
    """Which turns are to be erased: those of which everything named here is true.

    Attributes:
        older_than: days since a turn was said; None for any.
        faded_for: days that it has been faded; None whether it has or not, 0 for all that have.

    Raises:
        UsageError: it names nothing, or days below 0.
    """

    older_than: float | None = None
    faded_for: float | None = None

    def __post_init__(self) -> None:
        named = [value for value in (self.older_than, self.faded_for) if value is not None]
        if not named:
            raise UsageError("a rule of erasing names what is erased: older_than or faded_for, in days")
        if not all(value >= 0 for value in named):
            raise UsageError("a rule of erasing counts days, none below 0")

    def takes(self, passage: Passage, now: datetime, seed: int = 0) -> bool:
        """Whether a passage is to be erased: a turn, and what the rule says is true of it."""
        if passage.note.kind != "turn":
            return False
        old = self.older_than is None or days(passage.note.time, now) > self.older_than
        if self.faded_for is None or not old:
            return old
        return faded(passage, now, seed) and days_faded(passage, now, seed) >= self.faded_for

"""What is recalled is kept, what is not fades."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.criteria.base import Hit, Scorer, weighed
from ctxproc.memory.criteria.recency import days

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Forgetting(Scorer):
    """Multiplies each score by its retention R = exp(-t / S), the forgetting curve of MemoryBank.

    t is the time since it was last recalled, or since what it tells where it never was; the strength S is
    ``1 + recalls`` in units of ``half_life_days / ln 2`` days: a memory that was never recalled is halved after
    ``half_life_days``, one that was recalled once after twice as long. The default is the paper's own S, in days.

    The paper's formula, not that of its code, exp(-t S / 5), by which stronger memories fade faster. The paper draws by
    lot what is forgotten; here nothing is removed, it only ranks lower. What has no time is left as it is.

    Attributes:
        half_life_days: days after which a memory that was never recalled is halved; above 0.

    Source: Zhong et al. 2024, "MemoryBank: Enhancing Large Language Models with Long-Term Memory", section 3.3.
    """

    half_life_days: float = math.log(2)

    name: ClassVar[str] = "forgetting"

    def __post_init__(self) -> None:
        if not self.half_life_days > 0:
            raise ValueError(f"half_life_days is above 0, not {self.half_life_days}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        now = corpus.clock()
        known = corpus.about([hit.index for hit in hits])
        ages = [days(about.recalled or about.time, now) for about in known]
        strengths = [(1 + about.recalls) * self.half_life_days / math.log(2) for about in known]
        return weighed(hits, self.name, [retention(t, s) for t, s in zip(ages, strengths, strict=True)])


def retention(days: float, strength: float) -> float:
    """R = exp(-t / S), MemoryBank's forgetting curve: 1 at once, less with time, less quickly the stronger it is.

    Args:
        days: t, since it was last recalled, or since what it tells; not below 0.
        strength: S, in days; above 0.
    """
    return math.exp(-days / strength)

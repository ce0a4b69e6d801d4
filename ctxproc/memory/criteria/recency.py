"""The newer, the better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.criteria.base import Hit, Scorer, weighed

if TYPE_CHECKING:
    from datetime import datetime

    from ctxproc.memory.corpus import Corpus

DAY = 86_400.0


@dataclass(frozen=True)
class Recency(Scorer):
    """Multiplies each score by 2 ** (-age / half_life_days): by the time of what a chunk tells, whatever was recalled.

    What has no time, as the chunks of documents, is left as it is; what lies in the future counts as new.

    Attributes:
        half_life_days: days after which a score is halved; above 0. The source decays by 0.995 an hour: 5.76 days.

    Source: Park et al. 2023, "Generative Agents: Interactive Simulacra of Human Behavior", section 4.1.
    """

    half_life_days: float = 30.0

    name: ClassVar[str] = "recency"

    def __post_init__(self) -> None:
        if not self.half_life_days > 0:
            raise ValueError(f"half_life_days is above 0, not {self.half_life_days}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        now = corpus.clock()
        told = [about.time for about in corpus.about([hit.index for hit in hits])]
        return weighed(hits, self.name, [0.5 ** (days(time, now) / self.half_life_days) for time in told])


def days(since: datetime | None, now: datetime) -> float:
    """Days between two times; 0 where the first is not known or later."""
    return 0.0 if since is None else max(0.0, (now - since).total_seconds() / DAY)

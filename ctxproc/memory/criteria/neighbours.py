"""What stands beside a chunk in its document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.memory.criteria.base import Hit, Scorer, shared

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Neighbours(Scorer):
    """Adds to each candidate its continuation, the chunks that follow it in its document (RETRO), directly behind it.

    An added chunk has its candidate's score, which is its share too; one that was a better candidate itself stays as it
    is. They count towards ``top_k``: with one after each, half as many candidates are left.

    Attributes:
        after: chunks that follow, at least 0; RETRO's is 1.
        before: chunks that precede, at least 0.

    Source: Borgeaud et al. 2022, "Improving Language Models by Retrieving from Trillions of Tokens", section 2.3.
    """

    after: int = 1
    before: int = 0

    name: ClassVar[str] = "neighbours"

    def __post_init__(self) -> None:
        if self.after < 0 or self.before < 0:
            raise ValueError(f"after and before are at least 0, not {self.after} and {self.before}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        own = {hit.index: hit for hit in hits}
        found: dict[int, Hit] = {}
        for hit in hits:
            found.setdefault(hit.index, hit)
            for step in (*range(1, self.after + 1), *range(-1, -self.before - 1, -1)):
                place = hit.index + step
                if place not in found and beside(corpus, hit.index, place):
                    found[place] = shared(own.get(place, Hit(place, 0.0)), self.name, hit.score, hit.score)
        return list(found.values())


def beside(corpus: Corpus, one: int, other: int) -> bool:
    """Whether two places are of one document, as far apart there as here."""
    if not 0 <= other < len(corpus.chunks):
        return False
    first, second = corpus.chunks[one], corpus.chunks[other]
    return second.index - first.index == other - one and second.document.sha256 == first.document.sha256

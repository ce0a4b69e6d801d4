"""The same thing once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.measures import pairs
from ctxproc.memory.criteria.base import Hit, Scorer
from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Dedupe(Scorer):
    """Leaves out candidates that resemble a better one: copies, and texts that differ in a few words.

    The resemblance of two texts is the share of their pairs of neighbouring words that both have (Jaccard); of texts with
    fewer than two words, whether the words are the same. Case and punctuation do not count. Scores are not changed.

    Attributes:
        threshold: the least resemblance of what is left out, above 0 and at most 1; 1 leaves out only the same words.

    Source: Broder 1997, "On the Resemblance and Containment of Documents", section 2, with shingles of two words.
    """

    threshold: float = 0.9

    name: ClassVar[str] = "dedupe"

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ValueError(f"threshold is above 0 and at most 1, not {self.threshold}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        kept: list[tuple[Hit, frozenset[object]]] = []
        for hit in hits:
            own = shingles(corpus.chunks[hit.index].text)
            if all(resemblance(own, other) < self.threshold for _, other in kept):
                kept.append((hit, own))
        return [hit for hit, _ in kept]


def shingles(text: str) -> frozenset[object]:
    """The pairs of neighbouring words of a text; its words where there is no pair."""
    return frozenset(pairs(text)) or frozenset(words(text))


def resemblance(one: frozenset[object], other: frozenset[object]) -> float:
    """The share of what both have in what either has; 1 where both have nothing."""
    return len(one & other) / len(one | other) if one | other else 1.0

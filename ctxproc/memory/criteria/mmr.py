"""Maximal marginal relevance: what is relevant and not yet said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ctxproc.memory.criteria.base import Hit, Scorer, shared
from ctxproc.memory.fuse import calibrated

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class MMR(Scorer):
    """Takes, one after another, the candidate of most ``balance * relevance + (1 - balance) * novelty``, its new score.

    Relevance is the score so far, the worst candidate's moved to 0 and the best one's to 1; novelty is 1 minus the largest
    cosine to a chunk that was taken before, which is at least 0. Against the source's formula, this adds 1 - balance, so
    that scores are from 0 to 1 and descend.

    Attributes:
        balance: the source's lambda: from 0, only novelty, to 1, only relevance.

    Source: Carbonell and Goldstein 1998, "The Use of MMR, Diversity-Based Reranking for Reordering Documents and Producing
    Summaries", section 2.
    """

    balance: float = 0.7

    name: ClassVar[str] = "mmr"

    def __post_init__(self) -> None:
        if not 0 <= self.balance <= 1:
            raise ValueError(f"balance is from 0 to 1, not {self.balance}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says; equals as they stood. Time grows with the square of the candidates."""
        if not hits:
            return []
        relevance = np.array(calibrated([hit.score for hit in hits]))
        vectors = corpus.vectors_of([hit.index for hit in hits])
        nearest = np.zeros(len(hits))
        left = np.ones(len(hits), dtype=bool)
        found = []
        while left.any():
            marginal = self.balance * relevance + (1 - self.balance) * (1 - nearest)
            best = int(np.argmax(np.where(left, marginal, -np.inf)))
            found.append(shared(hits[best], self.name, float(1 - nearest[best]), float(marginal[best])))
            left[best] = False
            nearest = np.maximum(nearest, vectors @ vectors[best])
        return found

"""Several rankings -> one."""

from __future__ import annotations

from collections.abc import Sequence

from ctxproc.memory.criteria.base import Hit


def reciprocal_rank(rankings: Sequence[Sequence[Hit]], k: int = 60) -> list[Hit]:
    """Reciprocal rank fusion: a chunk scores the mean over rankings of (k + 1) / (k + rank), ranks from 1.

    The factor k + 1 and the mean are ours: a chunk that every ranking puts first scores 1, whatever is fused. Scores of
    the rankings are not read. A chunk that a ranking lacks gets nothing from it. The best come first, equals in chunk
    order. ``k`` softens the lead of the first places.

    Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods", section 2 (k = 60).
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, hit in enumerate(ranking, 1):
            scores[hit.index] = scores.get(hit.index, 0.0) + (k + 1) / (k + rank) / len(rankings)
    return [Hit(index, score) for index, score in sorted(scores.items(), key=lambda item: (-item[1], item[0]))]

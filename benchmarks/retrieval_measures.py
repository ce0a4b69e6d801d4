"""The measures of retrieval.py: of a ranking, of spans in chunks, and of the difference between two ways."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from retrieval_sets import Query, Span

from ctxproc.chunk import Chunk
from ctxproc.document import Document

K = 10
DRAWS = 2000


def ndcg(gains: Sequence[float], ideal: int, k: int = K) -> float:
    """The nDCG at k of a ranking with gains 0 or 1, of which there are ``ideal``."""
    best = sum(1 / math.log2(i + 2) for i in range(min(ideal, k)))
    return sum(gain / math.log2(i + 2) for i, gain in enumerate(gains[:k])) / best if best else 0.0


def ranking(gains: Sequence[float], ideal: int) -> dict[str, float]:
    """The measures of a ranking with gains 0 or 1, of which there are ``ideal``."""
    first = next((i for i, gain in enumerate(gains[:K]) if gain), None)
    return {
        "ndcg@10": ndcg(gains, ideal),
        "recall@10": sum(gains[:K]) / ideal if ideal else 0.0,
        "mrr@10": 0.0 if first is None else 1 / (first + 1),
    }


def length(spans: Iterable[Span]) -> int:
    """Characters that any of the spans holds."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def overlaps(chunk: Chunk, query: Query, documents: Sequence[Document]) -> list[Span]:
    """What a chunk holds of the spans of a query."""
    if chunk.document is not documents[query.document]:
        return []
    cuts = ((max(chunk.start, a), min(chunk.end, b)) for a, b in query.spans)
    return [(a, b) for a, b in cuts if a < b]


def spans_found(chunks: Sequence[Chunk], query: Query, documents: Sequence[Document]) -> dict[str, float]:
    """Recall, precision and intersection over union of characters, overlaps counted once but for what was read."""
    found = length(one for chunk in chunks for one in overlaps(chunk, query, documents))
    wanted, read = length(query.spans), sum(chunk.end - chunk.start for chunk in chunks)
    return {"recall": found / wanted, "precision": found / max(1, read), "iou": found / max(1, read + wanted - found)}


def within(chunks: Sequence[Chunk], budget: int) -> list[Chunk]:
    """The first chunks, up to the one that would exceed so many tokens."""
    taken: list[Chunk] = []
    for chunk in chunks:
        budget -= chunk.tokens
        if budget < 0:
            break
        taken.append(chunk)
    return taken


def weighted_mean(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mean of one value for each set."""
    return sum(weights[name] * value for name, value in values.items()) / sum(weights[name] for name in values)


def difference(
    pairs: Mapping[str, Sequence[float]], weights: Mapping[str, float], seed: int = 0, draws: int = DRAWS
) -> dict[str, float]:
    """The mean over sets of the mean over queries, with its 95 % interval, in percent.

    The interval is that of a bootstrap in which queries are drawn anew within each set, as many as it has.

    Args:
        pairs: for each set, the difference of two ways on each query.
        weights: of each set.
        seed: of the draws; the same for every pair of ways.
        draws: how many.
    """
    rng = np.random.default_rng(seed)
    total = sum(weights[name] for name in pairs)
    drawn = np.zeros(draws)
    for name, values in pairs.items():
        places = rng.integers(len(values), size=(draws, len(values)))
        drawn += weights[name] / total * np.asarray(values)[places].mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    middle = weighted_mean({name: float(np.mean(values)) for name, values in pairs.items()}, weights)
    return {"mean": round(100 * middle, 2), "low": round(100 * float(low), 2), "high": round(100 * float(high), 2)}

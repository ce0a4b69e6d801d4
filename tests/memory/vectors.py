"""Vectors for tests, and the obvious search among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Matrix

METRICS = ("cosine", "inner_product", "l2")


def brute(
    ids: Ids, vectors: Matrix, query: NDArray[np.float32], k: int, metric: str, among: Ids | None = None
) -> tuple[list[int], list[float]]:
    """Ids and scores of the ``k`` best, row by row in float64, rounded to float32; equals by id."""
    scored = []
    for number, vector in zip(ids.tolist(), vectors.astype(np.float64), strict=True):
        asked = query.astype(np.float64)
        if metric == "l2":
            score = -np.sum((vector - asked) ** 2)
        else:
            score = np.sum(vector * asked)
            if metric == "cosine":
                size = np.sqrt(np.sum(vector**2)) * np.sqrt(np.sum(asked**2))
                score = score / size if size > 0 else 0.0
        if among is None or number in set(among.tolist()):
            scored.append((-float(np.float32(score)), number))
    scored.sort()
    return [number for _, number in scored[: max(0, k)]], [-score for score, _ in scored[: max(0, k)]]


def unit_vectors(count: int, dimensions: int = 16, seed: int = 0, clusters: int = 50) -> Matrix:
    """Of length 1, in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dimensions))
    found = centres[rng.integers(0, clusters, count)] + 0.5 * rng.standard_normal((count, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

"""Vectors for tests, and the obvious search among them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Matrix

METRICS = ("cosine", "inner_product", "l2")


def brute(
    ids: Ids, vectors: Matrix, query: NDArray[np.float32], k: int, metric: str, among: Ids | None = None
) -> tuple[list[int], list[float]]:
    """Ids and scores of the ``k`` best, in float64, rounded to float32; equals by id."""
    rows, asked = vectors.astype(np.float64), query.astype(np.float64)
    scores = -np.sum((rows - asked) ** 2, axis=1) if metric == "l2" else np.sum(rows * asked, axis=1)
    if metric == "cosine":
        sizes, size = np.sqrt(np.sum(rows**2, axis=1)), np.sqrt(np.sum(asked**2))
        zero = np.minimum(sizes, size) < 1e-30
        scores = np.where(zero, 0, scores / np.where(zero, 1, sizes * size))
    wanted = np.ones(len(ids), dtype=bool) if among is None else np.isin(ids, among)
    scored = sorted(zip((-scores[wanted].astype(np.float32)).tolist(), ids[wanted].tolist(), strict=True))
    return [number for _, number in scored[: max(0, k)]], [-score for score, _ in scored[: max(0, k)]]


def unit_vectors(count: int, dimensions: int = 16, seed: int = 0, clusters: int = 50) -> Matrix:
    """Of length 1, in clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dimensions))
    found = centres[rng.integers(0, clusters, count)] + 0.5 * rng.standard_normal((count, dimensions))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)

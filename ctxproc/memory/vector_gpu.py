"""Structures on a GPU, by FAISS's GPU indexes. The vectors are copied there; the file of an index holds nothing of it."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.vector_kinds import BLOCK, Structure, deepened, library, lists_for
from ctxproc.memory.vector_part import Floats, Part

DEEPEST = 2048
"""So many rows FAISS finds for a query on a GPU, at most."""


def available() -> bool:
    """Whether this FAISS is made for GPUs and sees one."""
    faiss = library()
    return hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > 0


def over(kind: str, part: Part) -> Structure | None:
    """The structure over rows of length 1; None where the GPU has no memory for it, or it would find too few.

    ``flat`` is FAISS's GpuIndexFlatIP, ``ivf`` its GpuIndexIVFFlat. ``hnsw`` is the GPU's own kind of graph,
    GpuIndexCagra, where the wheel has it; else flat, which on a GPU is quick for as many vectors as fit.
    """
    faiss = library()
    try:
        if kind == "ivf":
            structure: Structure = _Lists(part.vectors)
        elif kind == "hnsw" and hasattr(faiss, "GpuIndexCagra"):
            structure = _Graph(part.vectors)
        else:
            return _Flat(part)
        return structure if deepened(structure, part.vectors) else None
    except RuntimeError:  # what FAISS makes of a full GPU
        return None


class _OnGpu(Structure):
    """A FAISS index on the first GPU, which one thread may use at a time."""

    def __init__(self, index: object) -> None:
        self._index: Any = index
        self._lock = threading.Lock()

    def _search(self, query: Floats, k: int) -> tuple[Floats, Ids]:
        """Scores and rows, the best first."""
        k = min(k, DEEPEST, self._index.ntotal)
        with self._lock:
            scores, rows = self._index.search(query[None], k, params=self._depth(k))
        found = rows[0] >= 0
        return scores[0][found], rows[0][found]

    def _depth(self, k: int) -> object:
        """FAISS's parameters of a search; None where it has none."""
        return None

    def near(self, vectors: Matrix, query: Floats, k: int) -> Ids:
        """What FAISS finds."""
        return self._search(query, k)[1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Nothing: it is made anew from the vectors."""
        return {}


class _Flat(_OnGpu):
    """All vectors, read by the GPU. What it finds is exact: the same as without it, ties included."""

    kind = "flat"

    def __init__(self, part: Part) -> None:
        faiss = library()
        index = faiss.GpuIndexFlatIP(faiss.StandardGpuResources(), part.vectors.shape[1])
        for start in range(0, len(part.vectors), BLOCK):
            index.add(part.vectors[start : start + BLOCK])
        super().__init__(index)
        spread = float(np.abs(part.lengths - 1).max(initial=0.0))
        self._slack = 4 * spread + (part.vectors.shape[1] + 8) * 2.0**-22

    def near(self, vectors: Matrix, query: Floats, k: int) -> Ids:
        """The ``k`` best and all that lengths or rounding could bring among them; none where they are too many."""
        scores, rows = self._search(query, 2 * k)
        if len(rows) == len(vectors) or (len(rows) > k and scores[-1] < scores[k - 1] - self._slack):
            return rows
        return np.empty(0, dtype=np.int64)


class _Lists(_OnGpu):
    """Lists by the nearest centroid; ``depth`` lists are read for a query."""

    kind = "ivf"

    def __init__(self, vectors: Matrix) -> None:
        faiss = library()
        lists = lists_for(len(vectors))
        resources, inner = faiss.StandardGpuResources(), faiss.METRIC_INNER_PRODUCT
        index = faiss.GpuIndexIVFFlat(resources, vectors.shape[1], lists, inner, faiss.GpuIndexIVFFlatConfig())
        sample = np.random.default_rng(0).choice(len(vectors), min(len(vectors), 40 * lists), replace=False)
        index.train(vectors[np.sort(sample)])
        for start in range(0, len(vectors), BLOCK):
            index.add(vectors[start : start + BLOCK])
        super().__init__(index)
        self.depths = [p for p in (2, 4, 8, 16, 32, 64, 128, 256) if p < lists / 2]

    def _depth(self, k: int) -> object:
        faiss = library()
        return faiss.SearchParametersIVF(nprobe=self.depth)


class _Graph(_OnGpu):
    """NVIDIA's graph for GPUs; ``depth`` candidates are kept during a search (itopk).

    Source: Ootomo et al. 2023, "CAGRA: Highly Parallel Graph Construction and Approximate Nearest Neighbor Search for
    GPUs".
    """

    kind = "hnsw"

    def __init__(self, vectors: Matrix) -> None:
        faiss = library()
        index = faiss.GpuIndexCagra(faiss.StandardGpuResources(), vectors.shape[1], faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        super().__init__(index)
        self.depths = [64, 128, 256, 512]

    def _depth(self, k: int) -> object:
        faiss = library()
        return faiss.SearchParametersCagra(itopk_size=max(self.depth, 32 * -(-k // 32)))

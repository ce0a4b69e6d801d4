"""Structures over many vectors that find most of the nearest without reading all.

They hold vectors of length 1, among which cosine, inner product and distance rank alike. How many of the ten nearest
they find is measured when they are made, against all vectors, and they search as deep as `RECALL` needs.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.vector_part import Floats, dots, highest

Kind = Literal["flat", "hnsw", "ivf"]

RECALL = 0.95
"""Of the ten nearest, the share that a structure must find."""

QUERIES = 128
"""By how many recall is measured."""

BLOCK = 65536
"""Rows that FAISS is given at a time."""


class Structure(ABC):
    """Over the frozen vectors of an index, which it knows by their rows; of removed ones it does not know that they are.

    Threads may search at the same time.

    Attributes:
        kind: which.
        recall: recall@10, as measured.
        depth: how much is read for a query; of what, the kind says.
        depths: those to be tried, ascending.
    """

    kind: Kind
    recall: float = 1.0
    depth: int = 0
    depths: Sequence[int] = ()

    @abstractmethod
    def near(self, vectors: Matrix, query: Floats, k: int) -> Ids:
        """Rows near a query of length 1: the ``k`` nearest of those it comes upon, and perhaps more after them."""

    @abstractmethod
    def arrays(self) -> dict[str, NDArray[Any]]:
        """What a file must keep of it."""


def library() -> ModuleType:
    """FAISS. Its own type stubs lack much of what it has, so it is no module to a type checker."""
    return importlib.import_module("faiss")


class HNSW(Structure):
    """A graph whose vertices are the vectors; ``depth`` is the number of candidates a search keeps (efSearch).

    Quickest to search, slowest to make: about half a millisecond of one core for each vector.

    Source: Malkov and Yashunin 2016, "Efficient and robust approximate nearest neighbor search using Hierarchical
    Navigable Small World graphs"; FAISS's IndexHNSWFlat, M = 16, efConstruction = 40.
    """

    kind = "hnsw"
    depths = (32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)

    def __init__(self, index: object) -> None:
        self._index: Any = index

    @classmethod
    def make(cls, vectors: Matrix) -> HNSW:
        """The graph of these vectors. FAISS keeps a copy of them: see `held`."""
        faiss = library()
        index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
        for start in range(0, len(vectors), BLOCK):
            index.add(vectors[start : start + BLOCK])
        return cls(index)

    @classmethod
    def load(cls, vectors: Matrix, arrays: Mapping[str, NDArray[Any]]) -> HNSW:
        """The graph that `arrays` gave, over the same vectors.

        Raises:
            ValueError: it is none. Bytes from elsewhere than `arrays` must not come here: FAISS does not defend itself.
        """
        faiss = library()
        storage = faiss.IndexFlat(vectors.shape[1], faiss.METRIC_INNER_PRODUCT)
        storage.add(vectors)
        try:
            index = faiss.deserialize_index(arrays["graph"], faiss.IO_FLAG_SKIP_STORAGE)
        except RuntimeError as error:
            raise ValueError("not a graph") from error
        if not isinstance(index, faiss.IndexHNSWFlat) or index.ntotal != len(vectors):
            raise ValueError("not the graph of these vectors")
        index.storage = storage
        index.referenced_objects = [storage]
        return cls(index)

    @property
    def held(self) -> Matrix:
        """FAISS's copy of the vectors, so that no other need be kept."""
        return np.asarray(_Held(self))

    def near(self, vectors: Matrix, query: Floats, k: int) -> Ids:
        """By a walk through the graph."""
        rows: Ids = self._index.search(query[None], k, params=_candidates(max(self.depth, 2 * k)))[1][0]
        return rows if rows[-1] >= 0 else rows[rows >= 0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The graph without the vectors."""
        faiss = library()
        return {"graph": faiss.serialize_index(self._index, faiss.IO_FLAG_SKIP_STORAGE)}


@lru_cache
def _candidates(count: int) -> object:
    """FAISS's parameters of a search that keeps so many."""
    return library().SearchParametersHNSW(efSearch=count)


class _Held:
    """The vectors inside a FAISS index, which lives as long as an array of them."""

    def __init__(self, graph: HNSW) -> None:
        self.graph = graph
        storage = library().downcast_index(graph._index.storage)
        self.__array_interface__ = {
            "version": 3,
            "shape": (storage.ntotal, storage.d),
            "typestr": "<f4",
            "data": (int(storage.get_xb()), True),
        }


class IVF(Structure):
    """Vectors in lists by the nearest of some centroids; ``depth`` is the number of lists a search reads (nprobe).

    FAISS finds the centroids, by k-means on a sample. The rows of the frozen part lie in the order of the lists, so that
    there is no second copy of them and a file of them can be mapped; a list is searched as any rows are.

    Source: Jegou, Douze and Schmid 2011, "Product Quantization for Nearest Neighbor Search", section IV; as FAISS's
    IndexIVFFlat, spherical k-means.
    """

    kind = "ivf"

    def __init__(self, centroids: Matrix, starts: Ids) -> None:
        self._centroids = centroids
        self._starts = starts
        depths = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
        self.depths = [depth for depth in depths if depth <= len(centroids) / 3]

    @classmethod
    def make(cls, vectors: Matrix) -> tuple[IVF, Ids]:
        """Lists of these vectors, which are put in the order of the lists, in place; also returns that order."""
        faiss = library()
        lists = lists_for(len(vectors))
        sample = np.random.default_rng(0).choice(len(vectors), min(len(vectors), 40 * lists), replace=False)
        kmeans = faiss.Kmeans(vectors.shape[1], lists, niter=6, spherical=True, seed=1, min_points_per_centroid=1)
        kmeans.train(vectors[np.sort(sample)])
        blocks = [vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK)]
        nearest = np.concatenate([kmeans.index.search(block, 1)[1][:, 0] for block in blocks])
        order = np.argsort(nearest, kind="stable")
        for start in range(0, vectors.shape[1], 16):  # some columns at a time: little memory beside the vectors
            vectors[:, start : start + 16] = vectors[order, start : start + 16]
        starts = np.searchsorted(nearest[order], np.arange(len(kmeans.centroids) + 1))
        return cls(kmeans.centroids, starts.astype(np.int64)), order

    @classmethod
    def load(cls, vectors: Matrix, arrays: Mapping[str, NDArray[Any]]) -> IVF:
        """The lists that `arrays` gave, over the same vectors.

        Raises:
            ValueError: they are none.
        """
        centroids, starts = arrays["centroids"], arrays["starts"]
        if centroids.dtype != np.float32 or centroids.shape != (len(starts) - 1, vectors.shape[1]):
            raise ValueError("not the centroids of these vectors")
        if starts.dtype != np.int64 or starts[0] != 0 or starts[-1] != len(vectors) or (np.diff(starts) < 0).any():
            raise ValueError("not the lists of these vectors")
        return cls(centroids, starts)

    def near(self, vectors: Matrix, query: Floats, k: int) -> Ids:
        """From the lists whose centroids are nearest; more than ``depth`` of them where they hold too few rows."""
        similar = self._centroids @ query
        lists = np.argpartition(-similar, min(self.depth, len(similar) - 1))[: self.depth]
        if (self._starts[lists + 1] - self._starts[lists]).sum() < 2 * k:
            order = np.argsort(-similar)
            sizes = np.cumsum(self._starts[order + 1] - self._starts[order])
            lists = order[: np.searchsorted(sizes, 2 * k) + 1]
        starts, ends = self._starts[lists], self._starts[lists + 1]
        borders = np.concatenate([[0], np.cumsum(ends - starts)])
        scores = np.empty(borders[-1], dtype=np.float32)
        for start, end, at in zip(starts.tolist(), ends.tolist(), borders.tolist(), strict=False):
            dots(vectors[start:end], query, scores[at : at + end - start])
        best = np.arange(len(scores)) if len(scores) <= k else np.flatnonzero(scores >= highest(scores, k))
        inside = np.searchsorted(borders, best, side="right") - 1
        rows: Ids = best - borders[inside] + starts[inside]
        return rows

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Centroids, and where each list begins."""
        return {"centroids": self._centroids, "starts": self._starts}


def lists_for(count: int) -> int:
    """How many lists for so many vectors: the power of two next to twice the root, so 512 for 100,000."""
    return min(count, 1 << round(math.log2(2 * count**0.5)))


def deepened(structure: Structure, vectors: Matrix) -> bool:
    """Set the least depth at which recall@10 is at least `RECALL`, and tell whether there is one.

    The queries are stored vectors, each with half of another one added: near what is stored, but not on it, as a
    question is. Vectors as near as the tenth count as found, whichever of them were.
    """
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, len(vectors), (2, QUERIES))
    queries = vectors[one] + vectors[other] / 2
    queries /= np.maximum(np.linalg.norm(queries, axis=1, keepdims=True), 1e-6)
    k = min(10, len(vectors))
    tenth = _tenth(vectors, queries, k)
    for depth in structure.depths:
        structure.depth, found = depth, 0
        for query, least in zip(queries, tenth, strict=True):
            scores = vectors[structure.near(vectors, query, k)] @ query
            found += min(k, int(np.count_nonzero(scores >= least - 1e-6)))
        structure.recall = found / (k * QUERIES)
        if structure.recall >= RECALL:
            return True
    return False


def _tenth(vectors: Matrix, queries: Matrix, k: int) -> Floats:
    """The ``k``-th highest inner product of each query, from all vectors."""
    best = np.empty((len(queries), 0), dtype=np.float32)
    for start in range(0, len(vectors), BLOCK):
        both = np.concatenate([best, queries @ vectors[start : start + BLOCK].T], axis=1)
        best = -np.partition(-both, k - 1, axis=1)[:, :k]
    least: Floats = best.min(axis=1)
    return least

"""Vectors in rows, and exact search over them: the part of a vector index that NumPy does.

A search has two steps. Inner products in float32 say roughly how each row scores; all rows that rounding could hide
among the best are then scored again in float64, one by one. So the result is that of brute force, ties included,
whatever order products are summed in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctxproc.errors import UsageError
from ctxproc.memory.base import Ids, Matrix

Metric = Literal["cosine", "inner_product", "l2"]
METRICS = ("cosine", "inner_product", "l2")
Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

ZERO = 1e-30
"""A vector shorter than this counts as zero: its cosine to anything is 0."""

LONGEST = 1e15
"""Length of a vector at most, so that squares of distances are finite in float32."""

TOO_LONG = f"a vector is not finite or longer than {LONGEST:g}"

BLOCK = 8192
"""Rows that are copied at a time."""


class Asked(NamedTuple):
    """A query, and what every step of a search needs of it.

    Attributes:
        vector: shape (dimensions,), float32.
        wide: the same in float64.
        length: Euclidean.
        direction: the vector of length 1; zeros for a zero one.
    """

    vector: Floats
    wide: NDArray[np.float64]
    length: float
    direction: Floats

    @classmethod
    def of(cls, query: ArrayLike, dimensions: int) -> Asked:
        """A query of so many dimensions.

        Raises:
            UsageError: it has others or is not finite.
        """
        vector = np.asarray(query)
        if vector.dtype != np.float32 or vector.shape != (dimensions,):
            vector = checked([0], vector[None], dimensions)[1][0]
        wide = vector.astype(np.float64)
        length = math.sqrt(wide @ wide)
        if not length <= LONGEST:
            raise UsageError(TOO_LONG)
        return cls(vector, wide, length, (wide / length if length >= ZERO else wide * 0).astype(np.float32))


@dataclass(frozen=True, eq=False)
class Part:
    """Rows that do not change; what changes them gives another part, so that readers need no lock.

    Attributes:
        ids: shape (rows,), in any order; an id stands in one living row at most.
        vectors: shape (rows, dimensions), float32; may be mapped from a file.
        lengths: shape (rows,), Euclidean.
        alive: shape (rows,); the others were removed.
    """

    ids: Ids
    vectors: Matrix
    lengths: Floats
    alive: Mask

    @cached_property
    def count(self) -> int:
        """How many rows live."""
        return int(np.count_nonzero(self.alive))

    @cached_property
    def longest(self) -> float:
        """The greatest length."""
        return float(self.lengths.max(initial=0.0))

    @cached_property
    def inverse(self) -> Floats:
        """One over each length; 0 for zero vectors."""
        found: Floats = np.zeros(len(self.lengths), dtype=np.float32)
        np.divide(1, self.lengths, out=found, where=self.lengths >= ZERO)
        return found

    @cached_property
    def _order(self) -> tuple[Ids, Ids]:
        """Ids ascending, and the row of each; of the rows that lived when it was first asked for."""
        rows = np.flatnonzero(self.alive)
        ids = self.ids[rows]
        if np.all(ids[1:] > ids[:-1]):
            return ids, rows
        order = np.argsort(ids, kind="stable")
        return ids[order], rows[order]

    def rows(self, ids: Ids) -> Ids:
        """The row of each id, -1 where no living row has it."""
        known, rows = self._order
        if not len(known):
            return np.full(len(ids), -1, dtype=np.int64)
        at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
        found = rows[at]
        return np.where((known[at] == ids) & self.alive[found], found, -1)

    def living(self, ids: Ids) -> Ids:
        """The rows of those of the ids that are here."""
        rows = self.rows(ids)
        return rows[rows >= 0]

    def without(self, rows: Ids) -> Part:
        """The part where these rows do not live."""
        if not len(rows):
            return self
        alive = self.alive.copy()
        alive[rows] = False
        part = Part(self.ids, self.vectors, self.lengths, alive)
        for kept in ("_order", "longest", "inverse"):
            if kept in self.__dict__:
                part.__dict__[kept] = self.__dict__[kept]
        return part

    def best(self, query: Asked, k: int, metric: Metric, among: Ids | None = None) -> Ids:
        """Rows that hold the ``k`` best by the metric: these, their equals, and what rounding cannot tell from them.

        Args:
            query: what is sought.
            k: at least 1.
            metric: see `exact`.
            among: rows that may be found, all living; default: all living.
        """
        if among is None or 8 * len(among) > len(self.ids):  # reading all in order is quicker than gathering an eighth
            scores = self._rough(slice(None), query, metric)
            rows = self._living if among is None else among
            if rows is not None:
                scores = scores[rows]
        else:
            rows = among
            blocks = [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]
            scores = np.concatenate([np.empty(0, np.float32), *(self._rough(some, query, metric) for some in blocks)])
        best = np.arange(len(scores))
        if len(scores) > k:
            best = np.flatnonzero(scores >= highest(scores, k) - self._slack(query, metric))
        return best if rows is None else rows[best]

    @cached_property
    def _living(self) -> Ids | None:
        """The living rows; None where all live."""
        return None if self.count == len(self.ids) else np.flatnonzero(self.alive)

    def _rough(self, rows: Ids | slice, query: Asked, metric: Metric) -> Floats:
        """The score of each of these rows within half of `_slack`; of l2, without the query's own square."""
        products = dots(self.vectors[rows], query.direction if metric == "cosine" else query.vector)
        if metric == "cosine":
            products *= self.inverse[rows]
        elif metric == "l2":
            products *= 2
            products -= np.square(self.lengths[rows])
        return products

    def _slack(self, query: Asked, metric: Metric) -> float:
        """Twice the greatest error of `_rough`: a sum of n products errs by n * 2**-24 of the product of the lengths."""
        scale = 1.0
        if metric == "inner_product":
            scale = query.length * self.longest
        elif metric == "l2":
            scale = 2 * (query.length + self.longest) ** 2
        return scale * (len(query.vector) + 8) * 2.0**-23 + 2.0**-120


class Room:
    """Rows that grow at their end. Parts of it share its memory and stay as they are.

    Args:
        dimensions: of a vector.
        rows: how many there is room for at once; more are made as they come.
    """

    def __init__(self, dimensions: int, rows: int = 0) -> None:
        self.count = 0
        self.ids = np.empty(rows, dtype=np.int64)
        self.vectors = np.empty((rows, dimensions), dtype=np.float32)
        self.lengths = np.empty(rows, dtype=np.float32)

    def append(self, ids: Ids, vectors: Matrix, lengths: Floats) -> None:
        """Put rows at the end."""
        end = self.count + len(ids)
        if end > len(self.ids):
            self._grow(max(end, 2 * len(self.ids), 64))
        self.ids[self.count : end] = ids
        self.vectors[self.count : end] = vectors
        self.lengths[self.count : end] = lengths
        self.count = end

    def part(self, alive: Mask | None = None) -> Part:
        """The rows there are now; ``alive``: which of them live, default all."""
        n = self.count
        return Part(
            self.ids[:n], self.vectors[:n], self.lengths[:n], np.ones(n, dtype=np.bool_) if alive is None else alive
        )

    def _grow(self, rows: int) -> None:
        """Make room for so many rows, in other memory."""
        for name in ("ids", "vectors", "lengths"):
            old = getattr(self, name)
            new = np.empty((rows, *old.shape[1:]), dtype=old.dtype)
            new[: self.count] = old[: self.count]
            setattr(self, name, new)


def dots(vectors: Matrix, query: Floats, out: Floats | None = None) -> Floats:
    """The inner product of each row with the query, put into ``out`` if that is given.

    Row by row: twice as quick as the matrix product, whose BLAS kernels do not keep up with memory, and as quick as
    FAISS's flat index. NumPy has it from 2.0 on.
    """
    products: Floats = getattr(np, "vecdot", np.matmul)(vectors, query, out=out)
    return products


def lengths(vectors: Matrix) -> Floats:
    """Euclidean, of each row."""
    sizes: Floats = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)).astype(np.float32)
    return sizes


def exact(vectors: Matrix, query: Asked, metric: Metric) -> Floats:
    """The score of each row, higher is better; computed in float64, so that equal rows have equal scores.

    Args:
        vectors: shape (rows, dimensions).
        query: what is sought.
        metric: ``cosine``, 0 where a vector is zero; ``inner_product``; ``l2``, minus the squared distance.
    """
    if len(vectors) > BLOCK:
        blocks = (vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK))
        return np.concatenate([exact(block, query, metric) for block in blocks])
    rows = vectors.astype(np.float64)
    found = -np.square(rows - query.wide).sum(axis=1) if metric == "l2" else rows @ query.wide
    if metric == "cosine":
        sizes = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        if query.length < ZERO or (sizes < ZERO).any():
            sizes[sizes < ZERO] = np.inf
            found *= query.length >= ZERO
        found /= sizes * max(query.length, ZERO)
    scores: Floats = found.astype(np.float32)
    return scores


def highest(scores: Floats, k: int) -> float:
    """The ``k``-th highest score.

    Of the highest of each group of 64, the ``k``-th is not above it, and few are: quicker than a partition of all.
    """
    rows = len(scores) // 64
    if rows > 4 * k:
        highs = scores[: 64 * rows].reshape(64, rows).max(axis=0)
        scores = scores[scores >= np.partition(highs, rows - k)[rows - k]]
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def numbers_of(ids: ArrayLike) -> Ids:
    """Ids as an array.

    Raises:
        UsageError: they are no list of whole numbers.
    """
    numbers = np.asarray(ids)
    if numbers.size == 0:
        return np.empty(0, dtype=np.int64)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise UsageError("ids are a list of whole numbers")
    return numbers.astype(np.int64, copy=False)


def checked(ids: ArrayLike, vectors: ArrayLike, dimensions: int) -> tuple[Ids, Matrix, Floats]:
    """Ids, vectors as rows of float32, and their lengths.

    Raises:
        UsageError: they do not fit each other or the index, or are not finite.
    """
    numbers = numbers_of(ids)
    try:
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(vectors, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise UsageError(f"vectors are rows of numbers: {error}") from error
    if not len(numbers) and not rows.size:
        return numbers, rows, np.empty(0, dtype=np.float32)
    if rows.ndim != 2 or len(rows) != len(numbers) or rows.shape[1] != (dimensions or rows.shape[1]) or not rows.size:
        shape = f"({len(numbers)}, {dimensions or 'dimensions'})"
        raise UsageError(f"vectors of shape {shape} are needed here, not {rows.shape}")
    sizes = lengths(rows)
    if not (sizes <= LONGEST).all():
        raise UsageError(TOO_LONG)
    if len(np.unique(numbers)) != len(numbers) or numbers.min() < 0:
        raise UsageError("ids are distinct and at least 0")
    return numbers, rows, sizes

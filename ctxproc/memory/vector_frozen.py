"""The frozen part of a vector index: which structure lies over it, and how it is made and kept in a file."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ctxproc.errors import UsageError
from ctxproc.memory import vector_gpu
from ctxproc.memory.base import Ids
from ctxproc.memory.vector_kinds import HNSW, IVF, Kind, Structure, deepened
from ctxproc.memory.vector_part import ZERO, Asked, Metric, Part, Room

KINDS = ("auto", "flat", "hnsw", "ivf")

MANY = 50_000
"""More vectors than these get a structure: reading all of these, at 384 dimensions, takes 3 ms of a core here."""

TOO_MANY = 200_000
"""More than these get lists and no graph, which would take minutes to make."""

UNIT = 1e-3
"""A vector is of length 1 within this."""

STRAY = 0.2
"""The share of vectors of other lengths above which there is no structure."""


@dataclass(frozen=True, eq=False)
class Frozen:
    """Rows, and what finds the near ones among them; without a structure, all are read."""

    part: Part
    structure: Structure | None = None

    @property
    def kind(self) -> Kind:
        """Of the structure."""
        return self.structure.kind if self.structure else "flat"

    def best(self, query: Asked, k: int, metric: Metric, among: Ids | None) -> Ids:
        """As `Part.best`; through the structure, if all may be found and not too much near the query was removed.

        Of twice as many rows as are asked for, half may have been removed. Where more were, all that is left is read: a
        structure whose nearest rows are gone would give others than the next ones.
        """
        part = self.part
        ask = (k + 10) * (1 if part.count == len(part.ids) else 2)
        if self.structure and among is None and 20 * k < part.count and _direction_tells(query, metric):
            rows = self.structure.near(part.vectors, query.direction, ask)
            if part.count == len(part.ids) and len(rows) >= k:
                return rows
            alive = part.alive[rows]
            if np.count_nonzero(alive[:ask]) >= k:
                return rows[alive]
        return part.best(query, k, metric, among)


def _direction_tells(query: Asked, metric: Metric) -> bool:
    """Whether the query's direction alone says what is near; of a short one, distances hang on the vectors' lengths."""
    return query.length > (0.5 if metric == "l2" else ZERO)


def check(kind: str, device: str) -> None:
    """Refuse what cannot be.

    Raises:
        UsageError: there is no such kind or device, or the library for it is not here.
    """
    if kind not in KINDS:
        raise UsageError(f"no vector index is called {kind!r}; there are: {', '.join(KINDS)}")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"no device of a vector index is called {device!r}; there are: auto, cpu, cuda")
    if kind in ("hnsw", "ivf") and not _faiss():
        raise UsageError(f"a vector index of the kind {kind} needs FAISS: pip install 'ctxproc[cpu]'")
    if device == "cuda" and not on_gpu():
        raise UsageError("FAISS has no GPU here: pip install 'ctxproc[gpu]' where there is one, or use the device cpu")


def freeze(room: Room, kind: str, device: str) -> tuple[Frozen, Room]:
    """Freeze rows, whose memory is taken over; also returns those that must stay beside a structure.

    A structure holds vectors of length 1. Others, zeros among them, stay beside it; where they are many, there is none.
    """
    part, beside = room.part(), Room(room.vectors.shape[1])
    gpu = device != "cpu" and on_gpu()
    if kind == "auto":
        kind = "flat" if gpu or room.count <= MANY or not _faiss() else "hnsw" if room.count <= TOO_MANY else "ivf"
    suited = np.abs(part.lengths - 1) < UNIT
    if (kind == "flat" and not gpu) or not suited.any() or suited.mean() < 1 - STRAY:
        return Frozen(part), beside
    if not suited.all():
        beside.append(part.ids[~suited], part.vectors[~suited], part.lengths[~suited])
        part = Part(part.ids[suited], part.vectors[suited], part.lengths[suited], part.alive[suited])
    if gpu:
        return Frozen(part, vector_gpu.over(kind, part)), beside
    return _over(part, kind), beside


def _over(part: Part, kind: str) -> Frozen:
    """Put the structure over rows of length 1; none, where it would find too few."""
    if kind == "hnsw":
        graph = HNSW.make(part.vectors)
        part = Part(part.ids, graph.held, part.lengths, part.alive)
        return Frozen(part, graph if deepened(graph, part.vectors) else None)
    lists, order = IVF.make(part.vectors)
    part = Part(part.ids[order], part.vectors, part.lengths[order], part.alive)
    return Frozen(part, lists if deepened(lists, part.vectors) else None)


def load(kind: str, part: Part, arrays: Mapping[str, NDArray[Any]], device: str) -> Frozen:
    """A frozen part from what a file kept; of a structure on a GPU, nothing.

    Without the structure, or without FAISS for a graph, all is read.

    Raises:
        ValueError: the arrays are not of a structure over these rows.
    """
    if device != "cpu" and on_gpu() and len(part.ids):
        suited = bool((np.abs(part.lengths - 1) < UNIT).all())
        return Frozen(part, vector_gpu.over(kind, part) if suited else None)
    if kind == "hnsw" and "graph" in arrays and _faiss():
        graph = HNSW.load(part.vectors, arrays)
        return Frozen(Part(part.ids, graph.held, part.lengths, part.alive), graph)
    return Frozen(part, IVF.load(part.vectors, arrays) if kind == "ivf" and "starts" in arrays else None)


def on_gpu() -> bool:
    """Whether FAISS can use a GPU here."""
    return _faiss() and vector_gpu.available()


def _faiss() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None

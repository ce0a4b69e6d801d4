"""Vectors and the search among them: a cache of what a store holds, to be made again at any time.

An index has a frozen part and a tail. What is added goes into the tail, which is searched exactly; what is removed is
marked. When more than a fifth has changed, all of it is frozen anew. A frozen part of many vectors has a structure over
it (`ctxproc.memory.vector_kinds`) that finds most of the best rows without reading all; a small one needs none.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ctxproc.errors import UsageError
from ctxproc.memory import arrays, vector_frozen
from ctxproc.memory.base import Ids, Matrix
from ctxproc.memory.vector_frozen import Frozen
from ctxproc.memory.vector_kinds import Kind
from ctxproc.memory.vector_part import BLOCK, METRICS, Asked, Floats, Metric, Part, Room, checked, exact, numbers_of

CHANGED = 0.2
"""The share that may change before the index is frozen anew."""

_FIELDS = ("ids", "vectors", "lengths", "alive")

FEW = 1000
"""So many changes are searched beside any frozen part."""


@dataclass(frozen=True, eq=False)
class _State:
    """What a search reads: replaced whole, never altered. ``beside``: rows of the tail that no structure can hold."""

    frozen: Frozen
    tail: Part
    beside: int = 0

    @property
    def count(self) -> int:
        """How many vectors there are."""
        return self.frozen.part.count + self.tail.count

    @property
    def parts(self) -> tuple[Part, Part]:
        """All rows."""
        return self.frozen.part, self.tail


class VectorIndex:
    """Finds the vectors nearest to a query. Readers in other threads need no lock and see whole changes only.

    Args:
        dimensions: of a vector; 0 takes those of the first that is added.
        kind: ``flat``, ``hnsw``, ``ivf``, or ``auto``, which chooses by the number of vectors.
        device: ``cpu``, ``cuda``, or ``auto``, a GPU where FAISS has one.

    Attributes:
        dimensions: as given, or of the first vector.
        asked: the kind as given.

    Raises:
        UsageError: there is no such kind or device, or FAISS is needed for it and is not here.
    """

    def __init__(self, dimensions: int = 0, kind: str = "auto", device: str = "auto") -> None:
        vector_frozen.check(kind, device)
        self.asked, self._device = kind, device
        self._lock = threading.RLock()
        self._begin(Room(dimensions))

    @classmethod
    def build(
        cls,
        batches: Iterable[tuple[Ids, Matrix]],
        count: int,
        dimensions: int,
        kind: str = "auto",
        device: str = "auto",
    ) -> VectorIndex:
        """An index of many vectors, with the memory of one copy of them.

        Args:
            batches: ids and vectors, as `add` takes them; no id comes twice.
            count: how many vectors will come; more or fewer cost memory, no more.
            dimensions: of a vector.
            kind: as in `VectorIndex`.
            device: as in `VectorIndex`.

        Raises:
            UsageError: as of `VectorIndex` and `add`.
        """
        index = cls(dimensions, kind, device)
        room = Room(dimensions, count)
        for ids, vectors in batches:
            room.append(*checked(ids, vectors, dimensions))
        if len(np.unique(room.ids[: room.count])) < room.count:
            raise UsageError("an id came twice")
        index._freeze(room) if room.count > FEW else index._begin(room)
        return index

    def _begin(self, tail: Room) -> None:
        """Start with these rows, none of them frozen."""
        self._room, self.dimensions = tail, tail.vectors.shape[1]
        self._state = _State(Frozen(Room(self.dimensions).part()), tail.part())

    @property
    def kind(self) -> Kind:
        """Of the frozen part."""
        return self._state.frozen.kind

    @property
    def recall(self) -> float:
        """Recall@10 within the frozen part, as measured when it was made; 1.0 where all is read."""
        structure = self._state.frozen.structure
        return structure.recall if structure else 1.0

    @property
    def depth(self) -> int:
        """How much of its structure a search reads: candidates of a graph, lists; 0 where all is read."""
        structure = self._state.frozen.structure
        return structure.depth if structure else 0

    def __len__(self) -> int:
        return self._state.count

    @property
    def ids(self) -> Ids:
        """All ids, ascending."""
        return np.sort(np.concatenate([part.ids[part.alive] for part in self._state.parts]))

    def add(self, ids: ArrayLike, vectors: ArrayLike) -> None:
        """Put vectors in; an id that is there already gets the new one.

        Args:
            ids: distinct whole numbers, at least 0.
            vectors: shape (ids, dimensions); finite, none longer than 1e15.

        Raises:
            UsageError: an argument is not so. Nothing was added.
        """
        numbers, rows, sizes = checked(ids, vectors, self.dimensions)
        if not len(numbers):
            return
        with self._lock:
            if not self.dimensions:
                self._begin(Room(rows.shape[1]))
            self._take_out(numbers)
            state = self._state
            self._room.append(numbers, rows, sizes)
            alive = np.concatenate([state.tail.alive, np.ones(len(numbers), dtype=np.bool_)])
            self._state = replace(state, tail=self._room.part(alive))
            self._settle()

    def remove(self, ids: ArrayLike) -> None:
        """Take vectors out. Ids that are not there are left out."""
        with self._lock:
            self._take_out(numbers_of(ids))
            self._settle()

    def search(
        self, query: ArrayLike, k: int, metric: Metric = "cosine", among: ArrayLike | None = None
    ) -> tuple[Ids, Floats]:
        """Ids and scores of at most ``k`` vectors, the best first, equals by id. Scores are `exact`'s.

        Which vectors are found is exact for a flat index, in the tail, and with ``among``; else right to `recall`.

        Args:
            query: shape (dimensions,).
            k: how many at most; none below 1.
            metric: ``cosine``, ``inner_product`` or ``l2``, of which the score is minus the squared distance.
            among: ids that may be found, ascending; those that are not there are left out.

        Raises:
            UsageError: the query has other dimensions or is not finite; there is no such metric.
        """
        if metric not in METRICS:
            raise UsageError(f"no metric is called {metric!r}; there are: {', '.join(METRICS)}")
        state = self._state
        wanted = None if among is None else numbers_of(among)
        if k < 1 or not state.count:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float32)
        asked = Asked.of(query, self.dimensions)
        found = []
        for part, best in ((state.frozen.part, state.frozen.best), (state.tail, state.tail.best)):
            if not part.count:
                continue
            rows = best(asked, k, metric, None if wanted is None else part.living(wanted))
            found.append((part.ids[rows], exact(part.vectors[rows], asked, metric)))
        numbers, scores = (
            found[0] if len(found) == 1 else (np.concatenate(column) for column in zip(*found, strict=True))
        )
        order = np.lexsort((numbers, -scores))[:k]
        return numbers[order], scores[order]

    def vectors(self, ids: ArrayLike) -> Matrix:
        """The vector of each id, shape (ids, dimensions), a copy.

        Raises:
            UsageError: an id is not there.
        """
        numbers, state = numbers_of(ids), self._state
        found = np.empty((len(numbers), self.dimensions), dtype=np.float32)
        missing = np.ones(len(numbers), dtype=np.bool_)
        for part in state.parts:
            rows = part.rows(numbers)
            found[rows >= 0] = part.vectors[rows[rows >= 0]]
            missing &= rows < 0
        if missing.any():
            raise UsageError(f"the index has no vector of the id {numbers[missing][0]}")
        return found

    def write(self, path: Path) -> None:
        """Write the index into one file. Neither synced nor renamed: `ctxproc.memory.cache` does that."""
        with self._lock:
            state = self._state
        structure = state.frozen.structure
        about: dict[str, str | int | float] = {
            "kind": self.kind,
            "asked": self.asked,
            "recall": self.recall,
            "depth": self.depth,
            "beside": state.beside,
        }
        kept = {f"structure.{name}": array for name, array in (structure.arrays() if structure else {}).items()}
        for name, part in zip(("frozen", "tail"), state.parts, strict=True):
            kept |= {f"{name}.{field}": getattr(part, field) for field in _FIELDS}
        arrays.write(path, about, kept)

    @classmethod
    def read(cls, path: Path, device: str = "auto") -> VectorIndex:
        """The index that `write` wrote; its vectors are mapped from the file, which must not be altered afterwards.

        Only for files that are known to be exactly what was written: see `ctxproc.memory.cache`.

        Raises:
            ValueError: the file is not an index's.
            OSError: it cannot be read.
        """
        about, kept = arrays.read(path)
        try:
            parts = [Part(*(kept[f"{name}.{field}"] for field in _FIELDS)) for name in ("frozen", "tail")]
            rest = {name.removeprefix("structure."): array for name, array in kept.items()}
            index = cls(parts[0].vectors.shape[1], about["asked"], device)
            frozen = vector_frozen.load(about["kind"], parts[0], rest, device)
            if frozen.structure and about["depth"]:
                frozen.structure.depth, frozen.structure.recall = about["depth"], about["recall"]
            index._room = Room(index.dimensions, len(parts[1].ids))
            index._room.append(parts[1].ids, parts[1].vectors, parts[1].lengths)
            index._state = _State(frozen, index._room.part(parts[1].alive), about["beside"])
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError("not a vector index") from error
        return index

    def _take_out(self, ids: Ids) -> None:
        """Mark these as removed."""
        state = self._state
        frozen, tail = (part.without(part.living(ids)) for part in state.parts)
        self._state = replace(state, frozen=replace(state.frozen, part=frozen), tail=tail)

    def _settle(self) -> None:
        """Freeze all anew where enough has changed. The old rows are kept until that is done."""
        state = self._state
        changed = len(state.tail.ids) - state.beside + len(state.frozen.part.ids) - state.frozen.part.count
        if changed <= max(FEW, CHANGED * state.count):
            return
        room = Room(self.dimensions, state.count)
        for part in state.parts:
            rows = np.flatnonzero(part.alive)
            for start in range(0, len(rows), BLOCK):
                some = rows[start : start + BLOCK]
                room.append(part.ids[some], part.vectors[some], part.lengths[some])
        self._freeze(room)

    def _freeze(self, room: Room) -> None:
        """Let these rows be all there is."""
        frozen, self._room = vector_frozen.freeze(room, self.asked, self._device)
        self._state = _State(frozen, self._room.part(), self._room.count)

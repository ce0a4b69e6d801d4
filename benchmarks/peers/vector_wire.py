"""Stores of vectors side by side: what each of them can be told. `peers.protocol.serve` and `peers.client` carry it.

The folder of the setup holds ``vectors.npy``, float32 of length 1, shape (rows, dimensions), and ``queries.npy``; the id
of a vector is its row. Similarity is the cosine. Needs no package but numpy, so that every peer's own Python can import it.
"""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from peers.protocol import Setup

Vectors = NDArray[np.float32]


class VectorPeer(ABC):
    """A store of vectors in ``setup.scratch``.

    What `add` wrote is durable when it returns, as far as the library offers that; `facts` says where it does not.

    Attributes:
        one_at_a_time: the library fails when one thread searches and another adds; then they take turns.
    """

    one_at_a_time = False

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._turn = threading.Lock() if self.one_at_a_time else nullcontext()
        self.queries: Vectors = np.load(Path(setup.folder) / "queries.npy", allow_pickle=False)
        self.dimensions = self.queries.shape[1]

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """Versions and settings, for the report."""

    @abstractmethod
    def open(self) -> None:
        """Opens what lies in the scratch folder, or makes it; the next `find` is answered from all of it."""

    @abstractmethod
    def add(self, start: int, stop: int) -> None:
        """Adds these rows."""

    def build(self) -> None:  # noqa: B027 (nothing by default)
        """What the library advises after many rows were added, such as an index."""

    @abstractmethod
    def find(self, query: Vectors, k: int) -> list[int]:
        """Ids of the nearest rows, the nearest first; ``query`` has shape (dimensions,)."""

    def search(self, start: int, stop: int, k: int) -> dict[str, list[Any]]:
        """These queries one by one: ids and milliseconds of each."""
        ids, spent = [], []
        for query in self.queries[start:stop]:
            began = time.perf_counter()
            with self._turn:
                ids.append(self.find(query, k))
            spent.append(1000 * (time.perf_counter() - began))
        return {"ids": ids, "ms": spent}

    def beside(self, start: int, stop: int, k: int, first: int, batch: int) -> dict[str, Any]:
        """As `search`, while a thread adds rows from ``first`` on, so many at a time; also how many it added in how long."""
        done, began = threading.Event(), time.perf_counter()
        with ThreadPoolExecutor(1) as pool:
            writer = pool.submit(self._add_until, done, first, batch)
            try:
                found = self.search(start, stop, k)
            finally:
                done.set()
            added = writer.result()
        return {**found, "added": added, "seconds": time.perf_counter() - began}

    def _add_until(self, done: threading.Event, first: int, batch: int) -> int:
        """Adds rows batch by batch until it is told to stop or there are none left; how many."""
        added, total = 0, self.rows_at_hand()
        while not done.is_set() and first + added + batch <= total:
            with self._turn:
                self.add(first + added, first + added + batch)
            added += batch
        return added

    def size(self) -> int:
        """Bytes of the files in the scratch folder."""
        return sum(
            os.path.getsize(Path(folder) / name) for folder, _, names in os.walk(self.setup.scratch) for name in names
        )

    def rows_at_hand(self) -> int:
        """How many rows there are to add."""
        return int(np.load(self._file, mmap_mode="r", allow_pickle=False).shape[0])

    def rows(self, start: int, stop: int) -> Vectors:
        """These rows, read anew: a mapped file would count as the library's memory."""
        with self._file.open("rb") as file:
            np.lib.format.read_magic(file)
            _, _, dtype = np.lib.format.read_array_header_1_0(file)
            file.seek(start * self.dimensions * dtype.itemsize, os.SEEK_CUR)
            read = np.fromfile(file, dtype, (stop - start) * self.dimensions)
        return np.ascontiguousarray(read.reshape(-1, self.dimensions), np.float32)

    @property
    def _file(self) -> Path:
        return Path(self.setup.folder) / "vectors.npy"

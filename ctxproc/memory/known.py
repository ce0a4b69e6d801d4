"""What filters ask about many chunks, by column: read once, then tested value by value.

What is told of a passage besides its text never changes as long as it is there, and no id is given twice. So what was
read of an id holds for good, and only ids that have come since are read.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids, Value
from ctxproc.memory.filters import Condition, Filter, value_of

if TYPE_CHECKING:
    from ctxproc.memory.corpus import About

AT_ONCE = 4096
"""Chunks that are read together."""

EPOCH, TICK = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
NEVER = np.iinfo(np.int64).min
"""The time of what has none."""


class Known:
    """What is known of the chunks of a shelf: the time of each, and its value of every name that a filter has asked for.

    Twelve bytes for a chunk and its time, and four for each name, besides the values that differ. Safe in several threads.
    """

    def __init__(self) -> None:
        self._ids: Ids = np.zeros(0, dtype=np.int64)
        self._times: Ids = np.zeros(0, dtype=np.int64)
        self._columns: dict[str, _Column] = {}
        self._lock = threading.Lock()

    def passing(self, where: Filter, ids: Ids, about: Callable[[Sequence[int]], Sequence[About]]) -> NDArray[np.bool_]:
        """Whether each of the chunks passes a filter: as `Filter.passes` says of each, shape (chunks,).

        Args:
            where: tests.
            ids: of the chunks, ascending.
            about: tells of chunks by their places in ``ids``; asked only for those that are not known yet.
        """
        with self._lock:
            names = {test.name for test in where.tests}
            if not names <= self._columns.keys():
                self._ids, self._times = self._ids[:0], self._times[:0]
                self._columns = {name: _Column() for name in names | self._columns.keys()}
            self._learn(ids, about)
            passing = np.ones(len(ids), dtype=np.bool_)
            if where.since is not None:
                passing &= (self._times >= _ticks(where.since)) & (self._times != NEVER)
            if where.before is not None:
                passing &= (self._times < _ticks(where.before)) & (self._times != NEVER)
            for test in where.tests:
                passing &= self._columns[test.name].passing(test)
            return passing

    def _learn(self, ids: Ids, about: Callable[[Sequence[int]], Sequence[About]]) -> None:
        """Know exactly these chunks."""
        if np.array_equal(self._ids, ids):
            return
        kept = np.isin(self._ids, ids, assume_unique=True)
        lacking = np.flatnonzero(~np.isin(ids, self._ids, assume_unique=True))
        order = np.argsort(np.concatenate([self._ids[kept], ids[lacking]]))
        times = [self._times[kept]]
        codes = {name: [column.codes[kept]] for name, column in self._columns.items()}
        for start in range(0, len(lacking), AT_ONCE):
            told = about(lacking[start : start + AT_ONCE].tolist())
            times.append(np.array([_ticks(one.time) for one in told], dtype=np.int64))
            for name, column in self._columns.items():
                codes[name].append(column.numbers([value_of(one, name) for one in told]))
        self._ids, self._times = ids, np.concatenate(times)[order]
        for name, column in self._columns.items():
            column.codes = np.concatenate(codes[name])[order]


class _Column:
    """The value of each chunk for one name, as its number among those that differ; 0 is none."""

    def __init__(self) -> None:
        self.codes = np.zeros(0, dtype=np.int32)
        self._numbers: dict[tuple[type, Value | None], int] = {(type(None), None): 0}

    def numbers(self, values: Sequence[Value | None]) -> NDArray[np.int32]:
        """The number of each value; a new one gets the next. 1, 1.0 and true are three."""
        known = self._numbers
        return np.array([known.setdefault((type(one), one), len(known)) for one in values], dtype=np.int32)

    def passing(self, test: Condition) -> NDArray[np.bool_]:
        """Whether each chunk passes a test, which is made once of each value."""
        holds = (test.holds(value) for _, value in self._numbers)
        return np.fromiter(holds, dtype=np.bool_, count=len(self._numbers))[self.codes]


def _ticks(time: datetime | None) -> int:
    """Microseconds since 1970."""
    return NEVER if time is None else (time - EPOCH) // TICK

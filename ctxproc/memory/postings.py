"""An inverted index over numbered words: which chunks hold a word, and how often. `ctxproc.memory.lexical` is made of them.

Words are numbers here and no formula is known. All is numpy: no Python object per chunk, word or posting.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids

Numbers = NDArray[np.int32]
BLOCK = 1 << 20
"""Postings that are worked on at once, about: bounds what is needed beside the index."""


@dataclass(eq=False)
class Postings:
    """The words of some chunks, sealed: chunks can be removed, none can be added. A place is a chunk's place in ``ids``.

    Attributes:
        ids: of the chunks, ascending.
        lengths: words of each chunk, repeated ones counted; shape (chunks,).
        terms: numbers of the words that occur, ascending.
        starts: where each word's postings begin, and where the last one's end; shape (words + 1,), none empty.
        places: chunks with the word, ascending within the word; shape (postings,).
        counts: how often it stands there, at least 1; unsigned, of as few bytes as hold the greatest.
        live: whether each chunk still counts; a removed one keeps its postings until `merged`.
        alive: chunks with each word that still count.
    """

    ids: Ids
    lengths: Numbers
    terms: Numbers
    starts: Ids
    places: Numbers
    counts: NDArray[np.unsignedinteger]
    live: NDArray[np.bool_] = field(init=False)
    alive: Ids = field(init=False)

    def __post_init__(self) -> None:
        self.live = np.ones(len(self.ids), np.bool_)
        self.alive = np.diff(self.starts)

    def places_of(self, ids: Ids) -> Ids:
        """Places of those of these chunks that are here, removed ones included; ``ids`` ascending."""
        at = np.searchsorted(self.ids, ids)
        inside = at < len(self.ids)
        inside[inside] = self.ids[at[inside]] == ids[inside]
        return at[inside]

    def runs(self, terms: Sequence[int]) -> list[int]:
        """Where each of these words stands in ``terms``; -1 where it occurs in no chunk."""
        at = np.searchsorted(self.terms, terms)
        inside = at < len(self.terms)
        inside[inside] = self.terms[at[inside]] == np.asarray(terms)[inside]
        found: list[int] = np.where(inside, at, -1).tolist()
        return found

    def remove(self, ids: Ids) -> tuple[int, int]:
        """Take these chunks out, ascending; how many of them were here, and how many words they had."""
        at = self.places_of(ids)
        at = at[self.live[at]]
        if not len(at):
            return 0, 0
        self.live[at] = False
        gone = np.zeros(len(self.ids), np.bool_)
        gone[at] = True
        for start in range(0, len(self.places), BLOCK):
            hits = start + np.flatnonzero(gone[self.places[start : start + BLOCK]])
            runs, lost = np.unique(np.searchsorted(self.starts, hits, side="right") - 1, return_counts=True)
            self.alive[runs] -= lost
        return len(at), int(self.lengths[at].sum())

    def without_removed(self) -> Postings:
        """The same without the chunks that were removed, and the words that only they had."""
        if self.live.all():
            return self
        places = (np.cumsum(self.live) - 1).astype(np.int32)
        kept, used = self.live[self.places], self.alive > 0
        return Postings(
            self.ids[self.live],
            self.lengths[self.live],
            self.terms[used],
            _starts(self.alive[used]),
            places[self.places[kept]],
            self.counts[kept],
        )


def counted(ids: Ids, sizes: Iterable[int], terms: Numbers) -> Postings:
    """Count the words of chunks.

    Args:
        ids: of the chunks, ascending.
        sizes: how many words each has.
        terms: the numbers of all their words, chunk after chunk.
    """
    lengths = np.fromiter(sizes, np.int32, len(ids))
    keys = terms.astype(np.int64) << 32 | np.repeat(np.arange(len(ids)), lengths)
    keys.sort()
    first = np.flatnonzero(np.diff(keys, prepend=-1))
    counts = np.diff(first, append=len(keys))
    keys = keys[first]
    numbers = (keys >> 32).astype(np.int32)
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    small = np.min_scalar_type(int(counts.max(initial=0)))
    places = (keys & 0xFFFFFFFF).astype(np.int32)
    return Postings(ids, lengths, numbers[starts], np.append(starts, len(keys)), places, counts.astype(small))


def merged(parts: Sequence[Postings], renumbered: Numbers | None = None) -> Postings:
    """One index of several that share no chunk, without removed chunks; at least one part.

    However the chunks were spread over the parts and in whatever order they came, the outcome is the same to the byte.

    Args:
        parts: not altered.
        renumbered: the new number of each word, where the words are to be numbered anew.
    """
    parts = [part.without_removed() for part in parts]
    ids = np.concatenate([part.ids for part in parts])
    order = np.argsort(ids, kind="stable")
    place = np.empty(len(order), np.int32)
    place[order] = np.arange(len(order), dtype=np.int32)
    numbers = [part.terms if renumbered is None else renumbered[part.terms] for part in parts]
    terms = np.sort(np.concatenate(numbers))
    terms = terms[np.diff(terms, prepend=-1) > 0]
    runs = [np.searchsorted(terms, some) for some in numbers]
    sizes = np.zeros(len(terms), np.int64)
    for part, run in zip(parts, runs, strict=True):
        sizes[run] += part.alive
    starts = _starts(sizes)
    places = np.empty(starts[-1], np.int32)
    counts = np.empty(starts[-1], np.result_type(*[part.counts for part in parts]))
    free, before = starts[:-1].copy(), 0
    for part, run in zip(parts, runs, strict=True):
        _copy(part, free[run], place[before : before + len(part.ids)], places, counts)
        free[run] += part.alive
        before += len(part.ids)
    if (np.diff(order) < 0).any():
        _sort(starts, places, counts)
    counts = counts.astype(np.min_scalar_type(int(counts.max(initial=0))), copy=False)
    return Postings(ids[order], np.concatenate([part.lengths for part in parts])[order], terms, starts, places, counts)


def _starts(sizes: Ids) -> Ids:
    """Where runs of these sizes begin, and where the last one ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])


def _blocks(starts: Ids) -> Iterable[tuple[int, int]]:
    """Ranges of runs that hold about `BLOCK` postings each; one run is never divided."""
    cuts = np.searchsorted(starts, np.arange(0, starts[-1], BLOCK))
    return pairwise(np.unique(np.append(cuts, len(starts) - 1)).tolist())


def _copy(part: Postings, free: Ids, place: Numbers, places: Numbers, counts: NDArray[np.unsignedinteger]) -> None:
    """Copy the postings of a part, each run to where ``free`` says, ``place`` being the new place of each chunk."""
    for low, high in _blocks(part.starts):
        start, stop = part.starts[low], part.starts[high]
        to = np.repeat(free[low:high] - part.starts[low:high], part.alive[low:high]) + np.arange(start, stop)
        places[to] = place[part.places[start:stop]]
        counts[to] = part.counts[start:stop]


def _sort(starts: Ids, places: Numbers, counts: NDArray[np.unsignedinteger]) -> None:
    """Bring the places of each word into ascending order, and the counts with them."""
    for low, high in _blocks(starts):
        start, stop = starts[low], starts[high]
        runs = np.repeat(np.arange(high - low), np.diff(starts[low : high + 1]))
        order = np.argsort(runs << 32 | places[start:stop])
        places[start:stop] = places[start:stop][order]
        counts[start:stop] = counts[start:stop][order]

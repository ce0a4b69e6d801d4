"""BM25 over words, kept up to date while chunks come and go: an inverted index that can be deleted and built anew.

The newest chunks are in small parts, older ones in greater: a search reads them all, and they are merged as they grow,
so that adding one chunk to a million is quick. Words are those of `ctxproc.text.words`: case-folded runs of letters and
digits of any script; Chinese, Japanese and Korean by pairs of characters. No stemming, no stop words.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids
from ctxproc.memory.lexical_file import read, write
from ctxproc.memory.postings import BLOCK, Postings, counted, merged
from ctxproc.text import words

if TYPE_CHECKING:
    from rank_bm25 import BM25Okapi

Scores = NDArray[np.float64]
PARTS = 24
"""How many parts there may be before the small ones are merged."""
CACHED = 1 << 15
"""Postings that are scored at once: as many as a processor's cache holds."""
ROW = 64
"""Scores of which the highest is looked for at once."""
NOTHING = 1e-12
"""A mean weight below this is zero, but for rounding."""


@dataclass(frozen=True, slots=True)
class Parameters:
    """Of the formula, see `ctxproc.memory.criteria.bm25.BM25`.

    Raises:
        ValueError: a value is out of its range.
    """

    k1: float = 1.5
    b: float = 0.75
    epsilon: float = 0.25

    def __post_init__(self) -> None:
        if not (math.inf > self.k1 >= 0 and 0 <= self.b <= 1 and math.inf > self.epsilon > 0):
            raise ValueError(f"needs k1 >= 0, 0 <= b <= 1, epsilon > 0, not {self.k1}, {self.b}, {self.epsilon}")


USUAL = Parameters()


class _Vocabulary(dict[str, int]):
    """The number of each word; a new word gets the next number."""

    def __missing__(self, word: str) -> int:
        self[word] = number = len(self)
        return number


class LexicalIndex:
    """Which chunks hold which words, and the BM25 score of chunks for a query.

    After any adding and removing, scores equal those of an index that was built of what is left. Several threads may search
    at once; adding, removing and writing must be alone.
    """

    def __init__(self) -> None:
        self._vocabulary = _Vocabulary()
        self._parts: list[Postings] = []
        self._chunks = 0
        self._words = 0
        self._mean: float | None = None

    def __len__(self) -> int:
        """How many chunks it holds."""
        return self._chunks

    @property
    def ids(self) -> Ids:
        """Of all chunks, ascending."""
        return np.sort(np.concatenate([np.empty(0, np.int64), *(part.ids[part.live] for part in self._parts)]))

    def add(self, ids: Sequence[int] | Ids, texts: Sequence[str]) -> None:
        """Add chunks, in any order. What it needs beside the index does not grow with their number.

        Raises:
            ValueError: an id is here already, or stands twice, or there are not as many ids as texts.
        """
        given = np.asarray(ids, np.int64)
        order = np.argsort(given)
        given = given[order]
        held = any(part.live[part.places_of(given)].any() for part in self._parts)
        if len(given) != len(texts) or held or not np.diff(given).all():
            raise ValueError("each chunk needs an id of its own")
        found, ends, parts = array("i"), [0], []
        for number, at in enumerate(order.tolist(), 1):
            found.extend(map(self._vocabulary.__getitem__, words(texts[at])))
            ends.append(len(found))
            if len(found) >= BLOCK or number == len(given):
                some = given[number - len(ends) + 1 : number]
                parts.append(counted(some, np.diff(ends), np.frombuffer(found, np.int32)))
                found, ends = array("i"), [0]
        self._parts += parts
        self._chunks += len(given)
        self._words += sum(int(part.lengths.sum()) for part in parts)
        self._mean = None
        if len(self._parts) > PARTS:
            self._merge()

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Take chunks out. Ids that are not here are left out. What they said is still in memory, until `write`."""
        given = np.sort(np.asarray(ids, np.int64))
        for part in self._parts:
            chunks, length = part.remove(given)
            self._chunks -= chunks
            self._words -= length
        self._mean = None

    def search(
        self, query: str, k: int, parameters: Parameters = USUAL, among: Ids | None = None
    ) -> tuple[Ids, Scores]:
        """The ``k`` chunks of highest score among those that share a word with the query.

        Args:
            query: a word that stands twice counts twice.
            k: how many at most.
            parameters: of the formula.
            among: ids that may be found, ascending; default: all. Scores are the same: words are weighed by all chunks.

        Returns:
            Ids and scores, the highest first, equals by id.
        """
        weights = self._weights(query, parameters.epsilon)
        if not weights or k < 1:
            return np.empty(0, np.int64), np.empty(0)
        ids, scores = [], []
        for part in self._parts:
            values = self._scores(part, weights, parameters)
            if among is None:
                places = _highest(values, k)
            else:
                places = part.places_of(among)
                places = places[_highest(values[places], k)]
            ids.append(part.ids[places])
            scores.append(values[places])
        found, values = np.concatenate(ids), np.concatenate(scores)
        order = np.lexsort((found, -values))[:k]
        return found[order], values[order]

    def scores(self, query: str, parameters: Parameters = USUAL) -> Scores:
        """The score of every chunk, in the order of ``ids``: above 0 exactly where a word is shared."""
        weights = self._weights(query, parameters.epsilon)
        ids, values = [np.empty(0, np.int64)], [np.empty(0)]
        for part in self._parts:
            ids.append(part.ids[part.live])
            values.append(self._scores(part, weights, parameters)[part.live])
        return np.concatenate(values)[np.argsort(np.concatenate(ids))]

    def write(self, path: Path) -> None:
        """Write all to one file, merged, in place of what is there; neither synced nor atomic.

        It holds no word that only removed chunks had. Two indexes of the same chunks write the same bytes.
        """
        self._compact()
        write(path, self._vocabulary, self._parts[0])

    @classmethod
    def read(cls, path: Path) -> LexicalIndex:
        """The index that `write` wrote. Nothing in the file is executed; whether it is the right one, the reader must know.

        Raises:
            ValueError: it is no such file, or not whole.
        """
        index = cls()
        numbers, part = read(path)
        index._vocabulary = _Vocabulary(numbers)
        index._parts, index._chunks, index._words = [part], len(part.ids), int(part.lengths.sum(dtype=np.int64))
        return index

    def _merge(self) -> None:
        """Merge the last parts, so that each has more than twice the postings of all after it together."""
        sizes = np.array([len(part.places) for part in self._parts])
        after = sizes.sum() - np.cumsum(sizes)
        first = int(np.argmax(sizes <= 2 * after))
        self._parts[first:] = [merged(self._parts[first:])]

    def _compact(self) -> None:
        """Leave one part, and of the words those that occur, numbered in alphabetical order."""
        occurs = (self._frequencies() > 0).tolist()
        names = sorted(word for word, number in self._vocabulary.items() if occurs[number])
        renumbered = np.zeros(len(self._vocabulary), np.int32)
        kept = np.fromiter(map(self._vocabulary.__getitem__, names), np.int64, len(names))
        renumbered[kept] = np.arange(len(names))
        self._parts = [merged(self._parts or [counted(np.empty(0, np.int64), [], np.empty(0, np.int32))], renumbered)]
        self._vocabulary = _Vocabulary(zip(names, range(len(names)), strict=True))

    def _frequencies(self) -> Ids:
        """How many chunks hold each word."""
        frequencies = np.zeros(len(self._vocabulary), np.int64)
        for part in self._parts:
            frequencies[part.terms] += part.alive
        return frequencies

    def _weights(self, query: str, epsilon: float) -> dict[int, float]:
        """The weight of each word of the query that occurs, times how often it stands there."""
        asked = Counter(self._vocabulary[word] for word in words(query, query=True) if word in self._vocabulary)
        terms = list(asked)
        frequencies = dict.fromkeys(terms, 0)
        for part in self._parts:
            for term, run in zip(terms, part.runs(terms), strict=True):
                frequencies[term] += int(part.alive[run]) if run >= 0 else 0
        return {term: asked[term] * self._weight(n, epsilon) for term, n in frequencies.items() if n}

    def _weight(self, n: int, epsilon: float) -> float:
        """The weight of a word that ``n`` chunks hold; above 0."""
        weight = math.log(self._chunks - n + 0.5) - math.log(n + 0.5)
        if weight < 0:
            weight = epsilon * self._mean_weight()
        return weight if weight > 0 else _repaired(self._chunks, n, epsilon)

    def _mean_weight(self) -> float:
        """The mean over all words that occur, 0 if it is negative; kept until chunks come or go."""
        if self._mean is None:
            words_of = np.bincount(self._frequencies())  # how many words are in n chunks
            n = 1 + np.flatnonzero(words_of[1:])
            weights = np.log(self._chunks - n + 0.5) - np.log(n + 0.5)
            mean = math.fsum(words_of[n] * weights) / int(words_of[n].sum())
            self._mean = mean if mean > NOTHING else 0.0
        return self._mean

    def _scores(self, part: Postings, weights: dict[int, float], parameters: Parameters) -> Scores:
        """The score of every chunk of a part, 0 for removed ones."""
        scores = np.zeros(len(part.ids))
        flat = parameters.k1 * (1 - parameters.b)
        slope = parameters.k1 * parameters.b * self._chunks / max(1, self._words)
        for run, weight in zip(part.runs(list(weights)), weights.values(), strict=True):
            for start in range(part.starts[run], part.starts[run + 1], CACHED) if run >= 0 else ():
                stop = min(start + CACHED, part.starts[run + 1])
                places, counts = part.places[start:stop].astype(np.int64), part.counts[start:stop]
                gained = counts / (counts + (flat + slope * part.lengths[places]))
                scores[places] += (weight * (parameters.k1 + 1)) * gained
        scores[~part.live] = 0
        return scores


def agrees(index: LexicalIndex, texts: Sequence[str], queries: Sequence[str]) -> bool:
    """Whether the index gives every chunk the score that rank-bm25 gives it, to 1e-6, repaired where that has no weight.

    Args:
        index: to be tested.
        texts: of all its chunks, in the order of ``ids``.
        queries: in words.
    """
    if len(texts) != len(index):
        return False
    okapi = _okapi([words(text) for text in texts])
    for query in queries:
        known = [word for word in words(query, query=True) if okapi is not None and word in okapi.idf]
        expected = okapi.get_scores(known) if okapi is not None and known else np.zeros(len(texts))
        if not np.allclose(index.scores(query), expected, rtol=0, atol=1e-6):
            return False
    return True


def _okapi(texts: Sequence[Sequence[str]]) -> BM25Okapi | None:
    """rank-bm25's index, with a positive weight for every word; None where there is no word."""
    from rank_bm25 import BM25Okapi

    if not any(texts):
        return None
    okapi = BM25Okapi(texts)
    for word, n in Counter(word for found in okapi.doc_freqs for word in found).items():
        if 2 * n == len(texts) or (2 * n > len(texts) and okapi.average_idf <= NOTHING):
            okapi.idf[word] = _repaired(len(texts), n, okapi.epsilon)
    return okapi


def _repaired(chunks: int, n: int, epsilon: float) -> float:
    """The weight of a word in ``n`` chunks to which rank-bm25 gives none: Lucene's form, as small as its floor."""
    return epsilon * math.log(1 + (chunks - n + 0.5) / (n + 0.5))


def _highest(values: Scores, k: int) -> Ids:
    """Places of the ``k`` highest values above 0, of equals the first; in no order. ``k`` is at least 1.

    The k-th of the highest values of rows is no higher than the k-th of all: what is below it need not be sorted.
    """
    rows = values[: len(values) // ROW * ROW].reshape(-1, ROW).max(axis=1)
    least = np.partition(rows, -k)[-k] if k <= len(rows) else 0.0
    places = np.flatnonzero(values >= least if least > 0 else values > 0)
    if k < len(places):
        there = values[places]
        least = np.partition(there, -k)[-k]
        above = places[there > least]
        places = np.concatenate([above, places[there == least][: k - len(above)]])
    return places

"""Passages ranked by personalised PageRank over the concepts that they share, kept up to date while passages come and go.

The graph has three kinds of nodes. A concept (`ctxproc.memory.extract.concepts`) is linked to each sentence in which it
stands, a sentence to its passage. So two concepts of one sentence are two steps apart, whatever its length, and a passage
has a rank of its own. A random walker starts at the concepts of the question and returns there with probability
1 - damping at each step: how often he is at a passage is its score.

Source: Gutiérrez et al. 2024, "HippoRAG", section 2.3 (personalised PageRank from the question's concepts, rare ones first)
and 2025, "From RAG to Memory", section 3.2 (passages as nodes). Unlike there, concepts come from rules, not from a model,
sentences are nodes in place of triples, a concept's weight is the logarithm of its rarity, and there are no synonyms by
embedding.
"""

from __future__ import annotations

import math
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ctxproc.errors import LimitError
from ctxproc.memory.base import Ids
from ctxproc.memory.extract.concepts import Finder, by_rules

Floats = NDArray[np.float64]

DAMPING = 0.5
"""HippoRAG's."""

NODES = 1_000_000
"""Concepts that a graph may have, unless the settings say otherwise (``limits.nodes``)."""

CLOSE = 1e-8
"""The walk has settled when a step moves less than this share of the mass."""

DIGITS = 10
"""Of a score: what lies beyond them depends on the order in which passages came."""

NOTHING = 0
"""Number of no concept, in place of those of a removed passage, which is linked to it alone: no walk comes there."""


class ConceptIndex:
    """Which sentences hold which concepts, and the score of passages for a question.

    After any adding and removing, scores equal those of an index that was built of what is left. Safe in several threads.

    Args:
        limit: concepts that it may hold.
        finder: finds them in passages and queries.
    """

    def __init__(self, limit: int = NODES, finder: Finder = by_rules) -> None:
        self.limit = limit
        self._finder = finder
        self._lock = threading.RLock()
        self._clear()

    def _clear(self) -> None:
        self._vocabulary: dict[str, int] = {}
        self._passages_with = array("i", [0])  # by number of a concept, of which NOTHING is the first
        self._concepts = 0
        self._places: dict[int, int | None] = {}  # by id; None: it has no concept
        self._ids = array("q")  # by place, as the next
        self._first_sentence = array("i")
        self._first_mention = array("i")  # by sentence
        self._mentions = array("i")  # numbers of concepts
        self._dead = 0
        self._walk: Walk | None = None

    def __len__(self) -> int:
        """How many passages it holds."""
        return len(self._places)

    @property
    def concepts(self) -> int:
        """How many concepts it holds."""
        return self._concepts

    @property
    def ids(self) -> Ids:
        """Of all passages, ascending."""
        with self._lock:
            return np.array(sorted(self._places), dtype=np.int64)

    def add(self, ids: Sequence[int] | Ids, texts: Sequence[str]) -> None:
        """Add passages, in any order.

        Raises:
            ValueError: an id is here already, or there are not as many ids as texts.
            LimitError: there would be more concepts than the limit; those before are kept.
        """
        for key, said in zip(ids, self._finder(texts), strict=True):
            self.add_one(int(key), [[one.stem for one in found] for _, found in said])

    def add_one(self, key: int, said: Iterable[Sequence[str]]) -> None:
        """Add a passage by the stems of the concepts of each of its sentences. Errors as in `add`."""
        found = [list(dict.fromkeys(stems)) for stems in said if stems]
        with self._lock:
            if key in self._places:
                raise ValueError("each passage needs an id of its own")
            distinct = set().union(*found)
            new = sum(not self._frequency(stem) for stem in distinct)
            if self._concepts + new > self.limit:
                raise LimitError(
                    f"the concept graph would have more than {self.limit} concepts; raise limits.nodes, or search without it"
                )
            self._walk = None
            self._places[key] = len(self._ids) if found else None
            if not found:
                return
            self._ids.append(key)
            self._first_sentence.append(len(self._first_mention))
            for stems in found:
                self._first_mention.append(len(self._mentions))
                self._mentions.extend(map(self._number, stems))
            for stem in distinct:
                self._passages_with[self._vocabulary[stem]] += 1
            self._concepts += new

    def _number(self, stem: str) -> int:
        """Of a concept, which may be new."""
        number = self._vocabulary.setdefault(stem, len(self._vocabulary) + 1)
        if number == len(self._passages_with):
            self._passages_with.append(0)
        return number

    def _frequency(self, stem: str) -> int:
        """How many passages hold a concept."""
        return self._passages_with[self._vocabulary.get(stem, NOTHING)]

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """Take passages out. Ids that are not here are left out."""
        with self._lock:
            for key in ids:
                place = self._places.pop(int(key), None)
                if place is not None:
                    self._empty(place)
            if 2 * self._dead > len(self._ids):
                self._compact()

    def _empty(self, place: int) -> None:
        """Put nothing where the concepts of a passage are."""
        span = range(*(self._mention(self._sentence(one)) for one in (place, place + 1)))
        for number in {self._mentions[i] for i in span}:
            self._passages_with[number] -= 1
            self._concepts -= not self._passages_with[number]
        for i in span:
            self._mentions[i] = NOTHING
        self._dead += 1
        self._walk = None

    def _sentence(self, place: int) -> int:
        """The first sentence of a passage; of the one after the last, the number of sentences."""
        return self._first_sentence[place] if place < len(self._ids) else len(self._first_mention)

    def _mention(self, sentence: int) -> int:
        """The first mention of a sentence; of the one after the last, the number of mentions."""
        return self._first_mention[sentence] if sentence < len(self._first_mention) else len(self._mentions)

    def _compact(self) -> None:
        """Leave nothing of what was removed."""
        names = ["", *self._vocabulary]
        kept = sorted(self._places.items())
        said = {
            key: [
                [names[number] for number in self._mentions[self._mention(s) : self._mention(s + 1)]]
                for s in range(self._sentence(place), self._sentence(place + 1))
            ]
            for key, place in kept
            if place is not None
        }
        self._clear()
        for key, _ in kept:
            self.add_one(key, said.get(key, []))

    def search(self, query: str, k: int, damping: float = DAMPING, among: Ids | None = None) -> tuple[Ids, Floats]:
        """The ``k`` passages of highest score among those that the walker reaches.

        Args:
            query: in words; without a concept of the graph, nothing is found.
            k: how many at most.
            damping: the probability of a further step, from 0 to below 1.
            among: ids that may be found, ascending; default: all. Scores are the same.

        Returns:
            Ids and scores, the highest first, equals by id.
        """
        asked = {one.stem for _, found in self._finder([query])[0] for one in found} if k > 0 else set()
        with self._lock:
            start = self._start(asked)
            if not start:
                return np.empty(0, np.int64), np.empty(0)
            if self._walk is None:
                mentions, sentences_, passages = map(_copy, (self._mentions, self._first_mention, self._first_sentence))
                self._walk = Walk.of(mentions, sentences_, passages, len(self._passages_with))
            walk, ids = self._walk, np.array(self._ids, dtype=np.int64)
        scores = np.round(walk.ranks(start, damping), DIGITS)
        found = scores > 0
        if among is not None:
            found &= np.isin(ids, among)
        places = np.flatnonzero(found)
        if k < len(places):
            least = np.partition(scores[places], -k)[-k]
            places = places[scores[places] >= least]
        order = np.lexsort((ids[places], -scores[places]))[:k]
        return ids[places[order]], scores[places[order]]

    def _start(self, asked: set[str]) -> dict[int, float]:
        """Where the walker starts: these concepts that are here, by number, each by its inverse document frequency."""
        known = sorted((self._vocabulary[stem], n) for stem in asked if (n := self._frequency(stem)))
        return {number: math.log(1 + len(self) / n) for number, n in known}


def _copy(values: array[int]) -> Ids:
    return np.array(values, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Walk:
    """The graph as arrays: every link joins a sentence with an end, which is a concept or a passage.

    Attributes:
        passages: how many; they are the last of the ends.
        ends: the end of each link, sentence by sentence; shape (links,).
        sentences: the sentence of each link, ascending; shape (links,).
        end_share: what leaves an end over each of its links, 1 / links; shape (ends,).
        sentence_share: the same of the sentences; shape (sentences,).
    """

    passages: int
    ends: Ids
    sentences: Ids
    end_share: Floats
    sentence_share: Floats

    @classmethod
    def of(cls, mentions: Ids, first_mention: Ids, first_sentence: Ids, concepts: int) -> Walk:
        """The graph in which each sentence is linked to its mentions, as numbers below ``concepts``, and to its passage.

        Args:
            mentions: of all sentences in order; shape (mentions,).
            first_mention: of each sentence, shape (sentences,).
            first_sentence: of each passage, shape (passages,).
            concepts: numbers in use, `NOTHING` included.
        """
        count, passages = len(first_mention), len(first_sentence)
        lengths = np.diff(first_mention, append=len(mentions))
        own = concepts + np.repeat(np.arange(passages), np.diff(first_sentence, append=count))
        ends = np.insert(mentions, first_mention, own)
        sentences = np.repeat(np.arange(count), lengths + 1)
        links = np.bincount(ends, minlength=concepts + passages).astype(np.float64)
        share = np.divide(1.0, links, out=np.zeros(len(links)), where=links > 0)
        return cls(passages, ends, sentences, share, 1.0 / (lengths + 1))

    def ranks(self, start: dict[int, float], damping: float) -> Floats:
        """The PageRank of each passage, shape (passages,).

        Of the plain iteration two steps, to the sentences and back, are one linear map of the ends, whose eigenvalues are
        from 0 to damping squared, since the walk is reversible. So its fixed point is found by Chebyshev's iteration, in
        a fourth of the steps (Golub and Varga 1961, "Chebyshev semi-iterative methods").

        Args:
            start: of concepts that are here, the share of returns to each; need not add up to 1.
            damping: as in `ConceptIndex.search`.
        """
        home = np.zeros(len(self.end_share))
        home[list(start)] = list(start.values())
        home *= (1 - damping) / home.sum()
        middle, half = 1 - damping**2 / 2, damping**2 / 2
        at, error = np.zeros(len(home)), home
        step, along, factor = 1 / middle, np.zeros(len(home)), 0.0
        while np.abs(error).sum() > CLOSE:
            along = error + factor * along
            at = at + step * along
            error = home + damping**2 * self._there_and_back(at) - at
            factor = (half * step) ** 2 / (4 if factor else 2)
            step = 1 / (middle - factor / step)
        return at[-self.passages :]

    def _there_and_back(self, at: Floats) -> Floats:
        """What is where two steps after it was at these ends."""
        reached = np.bincount(self.sentences, (at * self.end_share).take(self.ends)) * self.sentence_share
        left = np.bincount(self.ends, reached.take(self.sentences), minlength=len(at))
        return np.asarray(left, dtype=np.float64)

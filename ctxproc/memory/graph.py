"""What was said, as a graph of concepts in time: RecallM's memory.

The concepts of a sentence that follow each other are linked. Each call of `ConceptGraph.update` is one step of time; a
concept and a link remember the steps in which they stood, so that a question is answered from what was said about its
concepts, and about their neighbours within a window of steps before, the most recent last.

Source: Kynoch, Latapie and van der Sluis 2023, "RecallM: An Adaptable Memory Mechanism with Temporal Understanding for Large
Language Models". Different here: a concept without a neighbour is stored; nothing is kept but what was said, so that a
passage that is removed leaves nothing behind; and what was said about a concept is shortened when it is read.
"""

from __future__ import annotations

import threading
from bisect import bisect_right, insort
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import networkx as nx

from ctxproc.memory.base import Passage
from ctxproc.memory.extract.concepts import Concept, Finder, by_rules
from ctxproc.memory.graph_index import NODES, ConceptIndex
from ctxproc.text import words

MADE = frozenset({"fact", "summary", "portrait"})
"""Kinds that are made of turns: they would count what was said twice."""

WINDOW = 15
"""Steps before the last mention of a question's concept from which its neighbours are taken."""

MOST = 10
"""Concepts of a context."""

KEPT = 3
"""A sentence with more concepts than this is represented by as many around its first name."""

LONGEST = 80
"""Words of what is told of one concept."""

READ = 1000
"""Words, the newest, of which a reviser makes that."""

Revise = Callable[[str, Sequence[str]], str]
"""A concept and what was said of it, in order, to fewer than `LONGEST` words that are true in order; a model's work."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is told of one concept.

    Attributes:
        concept: as it was last written.
        stem: what equal concepts share.
        essential: the question names it.
        value: of all links, 3 times the step in which it last stood plus in how many steps it stood.
        t: the step in which it was last mentioned.
        text: what was said of it: each sentence is true when read in order.
        passages: ids of where that was said, in order.
    """

    concept: str
    stem: str
    essential: bool
    value: int
    t: int
    text: str
    passages: tuple[int, ...]


class _Said(NamedTuple):
    """A sentence, and its concepts that stand for it, in order: their stems, and as they are written."""

    text: str
    stems: tuple[str, ...]
    surfaces: tuple[str, ...]


class _Mention(NamedTuple):
    """Where a concept stands: the sentence of a passage that came with a step."""

    step: int
    passage: int
    sentence: int


class ConceptGraph:
    """Concepts, their links, and when each stood. Safe in several threads.

    After any updating and removing it equals one that was built of the passages that are left, where each came by itself.

    Args:
        limit: concepts that it may hold.
        revise: shortens what was said of a concept where it is longer than `LONGEST` words; by default the newest
            sentences are kept. Called when a context is read, once for each state of a concept.
        finder: finds the concepts of passages and questions.

    Attributes:
        links: the graph. A node is a stem; its "said" are `_Mention`s in order. "steps" of an edge are those in which the
            two followed each other, ascending, once for each passage.
        index: ranks the passages, see `ConceptIndex`; it has all concepts of each sentence.
    """

    def __init__(self, *, limit: int = NODES, revise: Revise | None = None, finder: Finder = by_rules) -> None:
        self.links: nx.Graph[str] = nx.Graph()
        self.index = ConceptIndex(limit, finder)
        self._finder = finder
        self._revise = revise
        self._revised: dict[str, str] = {}
        self._passages: dict[int, tuple[int, list[_Said]]] = {}  # with their steps
        self._steps: list[int] = []  # a step is named by the highest id that came with it
        self._came: dict[int, list[int]] = {}  # the passages of each step
        self._lock = threading.RLock()

    @property
    def t(self) -> int:
        """The step of the last update; 0 before the first."""
        return len(self._steps)

    def __contains__(self, passage: int) -> bool:
        return passage in self._passages

    def update(self, passages: Iterable[Passage]) -> None:
        """Put in passages that were said together: one step of time. Those of a kind in `MADE` are left out.

        Raises:
            ValueError: a passage is here already.
            LimitError: there would be more concepts than the limit; passages before are kept.
        """
        new = [passage for passage in passages if passage.note.kind not in MADE]
        if not new:
            return
        with self._lock:
            step = max(passage.id for passage in new)
            for passage, found in zip(new, self._finder([one.text for one in new]), strict=True):
                self.index.add_one(passage.id, [[one.stem for one in some] for _, some in found])
                self._put(step, passage.id, [_said(text, some) for text, some in found if some])

    def remove(self, passages: Iterable[int]) -> None:
        """Take passages out, and the steps in which nothing else came. Ids that are not here are left out."""
        with self._lock:
            gone = [passage for passage in map(int, passages) if passage in self._passages]
            self.index.remove(gone)
            for passage in gone:
                self._drop(passage)

    def _put(self, step: int, passage: int, said: list[_Said]) -> None:
        self._passages[passage] = step, said
        if step not in self._came:
            insort(self._steps, step)
        self._came.setdefault(step, []).append(passage)
        for number, sentence in enumerate(said):
            for stem in dict.fromkeys(sentence.stems):
                self.links.add_node(stem)
                insort(self.links.nodes[stem].setdefault("said", []), _Mention(step, passage, number))
                self._revised.pop(stem, None)
        for one, other in pairs(said):
            self.links.add_edge(one, other)
            insort(self.links.edges[one, other].setdefault("steps", []), step)

    def _drop(self, passage: int) -> None:
        step, said = self._passages.pop(passage)
        self._came[step].remove(passage)
        if not self._came[step]:
            del self._came[step]
            self._steps.remove(step)
        for one, other in pairs(said):
            steps = self.links.edges[one, other]["steps"]
            steps.remove(step)
            if not steps:
                self.links.remove_edge(one, other)
        for stem in {stem for sentence in said for stem in sentence.stems}:
            mentions = [mention for mention in self.links.nodes[stem]["said"] if mention.passage != passage]
            self.links.nodes[stem]["said"] = mentions
            self._revised.pop(stem, None)
            if not mentions:
                self.links.remove_node(stem)

    def time(self, step: int) -> int:
        """The number of a step that is here, from 1."""
        return bisect_right(self._steps, step)

    def last(self, stem: str) -> int:
        """The step, from 1, in which a concept of the graph was last mentioned."""
        return self.time(self.links.nodes[stem]["said"][-1].step)

    def surface(self, stem: str) -> str:
        """A concept of the graph as it was last written."""
        said = self._said(self.links.nodes[stem]["said"][-1])
        return dict(zip(said.stems, said.surfaces, strict=True))[stem]

    def _said(self, mention: _Mention) -> _Said:
        return self._passages[mention.passage][1][mention.sentence]

    def _sentence(self, mention: _Mention) -> str:
        return self._said(mention).text

    def context(self, question: str, most: int = MOST) -> list[Told]:
        """What is told of the question's concepts and of their neighbours; the question's own last, before them the best.

        A neighbour is two links away at most, and was last mentioned in the same step as the question's concept was, or in
        the `WINDOW` steps before. Without a concept of the question in the graph, nothing is told.

        Args:
            question: in words.
            most: concepts at most; those of the question are always told.
        """
        stems = dict.fromkeys(one.stem for _, found in self._finder([question])[0] for one in found)
        with self._lock:
            asked = [stem for stem in stems if stem in self.links]
            near = {stem for one in asked for stem in self._near(one)}.difference(asked)
            order = sorted((self._value(stem), stem) for stem in near)
            essential = sorted((self._value(stem), stem) for stem in asked)
            chosen = order[max(0, len(order) - max(0, most - len(asked))) :]
            return [self._told(*one, False) for one in chosen] + [self._told(*one, True) for one in essential]

    def _near(self, start: str) -> set[str]:
        """The concepts two links from one at most whose last mention is in its window."""
        t, beside = self.last(start), set(self.links[start])
        window = self._steps[max(0, t - 1 - WINDOW) : t]
        said = (self._passages[passage][1] for step in window for passage in self._came[step])
        there = {stem for some in said for sentence in some for stem in sentence.stems} - {start}
        return {
            stem
            for stem in there
            if self.last(stem) <= t and (stem in beside or any(other in beside for other in self.links[stem]))
        }

    def _value(self, stem: str) -> int:
        """Of a concept, as `Told` says."""
        edges = (self.links.edges[stem, other]["steps"] for other in self.links[stem])
        return sum(3 * self.time(steps[-1]) + len(set(steps)) for steps in edges)

    def _told(self, value: int, stem: str, essential: bool) -> Told:
        mentions, newest = self._newest(stem, LONGEST)
        text = " ".join(map(self._sentence, newest))
        if len(newest) < len(mentions) and self._revise is not None:
            _, newest = self._newest(stem, READ)
            if stem not in self._revised:
                self._revised[stem] = self._revise(self.surface(stem), [self._sentence(one) for one in newest])
            text = self._revised[stem]
        passages = tuple(dict.fromkeys(mention.passage for mention in newest))
        return Told(self.surface(stem), stem, essential, value, self.last(stem), text, passages)

    def _newest(self, stem: str, most: int) -> tuple[list[_Mention], list[_Mention]]:
        """All mentions of a concept, and of them the newest with so many words at most; the very last in any case."""
        mentions: list[_Mention] = self.links.nodes[stem]["said"]
        left, first = most, len(mentions)
        while first and (left := left - len(words(self._sentence(mentions[first - 1]), query=True))) >= 0:
            first -= 1
        return mentions, mentions[min(first, len(mentions) - 1) :]

    def rank(self, question: str, k: int) -> list[tuple[int, float]]:
        """The ``k`` passages of highest personalised PageRank from the question's concepts: ids and scores, best first."""
        ids, scores = self.index.search(question, k)
        return list(zip(ids.tolist(), scores.tolist(), strict=True))

    def hybrid(self, question: str, recalled: Sequence[int], most: int = MOST) -> list[int]:
        """The union with another memory, such as one of vectors: what that recalled, then what the context rests on."""
        told = (passage for one in self.context(question, most) for passage in one.passages)
        return list(dict.fromkeys([*recalled, *told]))

    def snapshot(self) -> nx.Graph[str]:
        """The graph as plain values: of a node "concept", "t" and "mentions", of an edge "t" and "strength"."""
        with self._lock:
            drawn: nx.Graph[str] = nx.Graph()
            for stem in sorted(self.links):
                mentions = len(self.links.nodes[stem]["said"])
                drawn.add_node(stem, concept=self.surface(stem), t=self.last(stem), mentions=mentions)
            for one, other in sorted(map(sorted, self.links.edges)):
                steps = self.links.edges[one, other]["steps"]
                drawn.add_edge(one, other, t=self.time(steps[-1]), strength=len(set(steps)))
            return drawn


def _said(text: str, found: Sequence[Concept]) -> _Said:
    some = kept(found)
    return _Said(text, tuple(one.stem for one in some), tuple(one.surface for one in some))


def kept(found: Sequence[Concept]) -> Sequence[Concept]:
    """The concepts that stand for a sentence: all, or of more than `KEPT` the first name and those beside it.

    Where there is no name, the middle one is taken for it.
    """
    if len(found) <= KEPT:
        return found
    place = next((place for place, one in enumerate(found) if one.proper), len(found) // 2)
    return found[max(0, place - 1) : place + 2]


def pairs(said: Iterable[_Said]) -> list[tuple[str, str]]:
    """The concepts that follow each other in a sentence, each pair once, in alphabetical order."""
    found = {
        (min(one, other), max(one, other))
        for sentence in said
        for one, other in zip(sentence.stems, sentence.stems[1:], strict=False)
        if one != other
    }
    return sorted(found)

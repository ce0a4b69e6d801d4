"""Chunks that are searched: what the searchers need of them is made once, when first asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.memory.base import Ids, Kind, Matrix, Passage, Value, now
from ctxproc.memory.criteria import Hit, Reader, Scorer, Searcher, catalogue
from ctxproc.memory.criteria.base import top
from ctxproc.memory.filters import EVERYTHING, Filter
from ctxproc.memory.fuse import Fusion, fusion
from ctxproc.memory.known import Known

if TYPE_CHECKING:
    from ctxproc.catalogue import Spec
    from ctxproc.memory.embed import Embedder
    from ctxproc.memory.extract.tagger import By
    from ctxproc.memory.graph_index import ConceptIndex
    from ctxproc.memory.lexical import LexicalIndex
    from ctxproc.memory.vector import VectorIndex

S = TypeVar("S")
Metric = Literal["cosine", "inner_product", "l2"]
FuseSpec = str | Mapping[str, Mapping[str, float]]

DEPTH = 100
"""How many candidates each searcher gives to a fusion, and the fusion to the scorers, at least."""

AT_ONCE = 1024
"""Chunks that are read together for a graph."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a chunk besides its text.

    Attributes:
        source: of its document, or where a note comes from.
        kind: "chunk" for one of a document.
        speaker: who said it; empty if not known.
        time: of what it tells; None where that is not known, as for documents.
        metadata: of a note.
        recalls: how often it was recalled.
        recalled: when last.
    """

    source: str
    kind: Kind = "chunk"
    speaker: str = ""
    time: datetime | None = None
    metadata: Mapping[str, Value] = field(default_factory=dict)
    recalls: int = 0
    recalled: datetime | None = None

    @classmethod
    def of(cls, passage: Passage) -> Self:
        """What a store knows of a passage; when a document's chunk was filed is not the time of what it tells."""
        note = passage.note
        told = None if note.kind == "chunk" else note.time
        return cls(note.source, note.kind, note.speaker, told, note.metadata, passage.recalls, passage.recalled)


class Corpus:
    """The chunks of one or many documents, or of a memory, in a fixed order. Hits name chunks by their place in ``chunks``.

    Args:
        chunks: not altered; may be a lazy sequence.
        embedder: for criteria that embed; loaded when the first of them searches.
        cache: folder of embeddings; None keeps them in memory alone.
        progress: told (chunks embedded, chunks).
        ids: of each chunk in the indexes, ascending; default: its place.
        vectors: opens an index of the embeddings; default: they are made here and searched one by one.
        lexical: opens an index of the words; default: one is made here.
        concepts: opens an index of the concepts that are found in a way; default: one is made here.
        device: where models other than the embedder run.
        passages: what a store keeps of these ids, those that are gone left out; default: nothing is known but the source.
        known: what filters have learnt of these ids before; it learns more.
        clock: tells the time, for criteria to which the age of a chunk matters.
    """

    def __init__(
        self,
        chunks: Sequence[Chunk],
        embedder: Embedder,
        *,
        cache: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
        ids: Ids | None = None,
        vectors: Callable[[], VectorIndex] | None = None,
        lexical: Callable[[], LexicalIndex] | None = None,
        concepts: Callable[[By], ConceptIndex] | None = None,
        device: str = "auto",
        passages: Callable[[Sequence[int]], Sequence[Passage]] | None = None,
        known: Known | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self.chunks = chunks
        self.embedder = embedder
        self.ids = np.arange(len(chunks), dtype=np.int64) if ids is None else ids
        self.clock = clock
        self.reader: Reader | None = None
        self._cache = cache
        self._progress = progress
        self._vectors = vectors
        self._lexical = lexical
        self._concepts = concepts
        self._device = device
        self._passages = passages
        self._known = known or Known()
        self._kept: dict[Hashable, Any] = {}

    def read_by(self, reader: Reader | None) -> Corpus:
        """This corpus with a language model for the scorers that ask one; what is made of either serves both."""
        other = copy.copy(self)
        other.reader = reader
        return other

    def once(self, key: Hashable, make: Callable[[], S]) -> S:
        """What ``make`` gave when it was first called with this key."""
        if key not in self._kept:
            self._kept[key] = make()
        made: S = self._kept[key]
        return made

    @property
    def embeddings(self) -> Matrix:
        """One unit vector per chunk, shape (chunks, dimensions); from the cache where it holds them."""
        from ctxproc.memory.embed import embed_cached

        def make() -> Matrix:
            return embed_cached(self.embedder, [chunk.text for chunk in self.chunks], self._cache, self._progress)

        return self.once("embeddings", make)

    @property
    def lexical(self) -> LexicalIndex:
        """The index of the chunks' words."""
        from ctxproc.memory.lexical import LexicalIndex

        def make() -> LexicalIndex:
            index = LexicalIndex()
            index.add(self.ids, [chunk.text for chunk in self.chunks])
            return index

        return self._lexical() if self._lexical else self.once("lexical", make)

    def concepts(self, by: By = "rules") -> ConceptIndex:
        """The graph of the chunks' concepts, found in this way.

        Raises:
            LimitError: there are more concepts than it may hold.
            ModelError: the tagger cannot be loaded.
        """
        from ctxproc.memory.extract.tagger import finder
        from ctxproc.memory.graph_index import ConceptIndex

        def make() -> ConceptIndex:
            index = ConceptIndex(finder=finder(by, self._device))
            for start in range(0, len(self.chunks), AT_ONCE):
                some = slice(start, start + AT_ONCE)
                index.add(self.ids[some], [chunk.text for chunk in self.chunks[some]])
            return index

        return self._concepts(by) if self._concepts else self.once(("concepts", by), make)

    def vectors_of(self, places: Sequence[int]) -> Matrix:
        """The embeddings of these chunks, shape (places, dimensions)."""
        if self._vectors:
            return self._vectors().vectors(self.ids[list(places)])
        return self.embeddings[list(places)]

    def nearest(self, query: str, k: int, metric: Metric, among: Ids | None = None) -> list[Hit]:
        """The ``k`` chunks nearest to a query by their embeddings, best first, equals in chunk order.

        Scores are cosines, inner products, or minus the Euclidean distance.
        """
        if k < 1 or not len(self.chunks):
            return []
        vector = self.embedder.embed([query], query=True)[0]
        if self._vectors:
            ids, scores = self._vectors().search(vector, k, metric, among=self.ids_of(among))
            return self.found(ids, -np.sqrt(np.maximum(-scores, 0)) if metric == "l2" else scores)
        if metric == "l2":
            return top(-np.linalg.norm(self.embeddings - vector, axis=1), k, among)
        return top(self.embeddings @ vector, k, among)  # unit vectors: the cosine is the inner product

    def ids_of(self, places: Ids | None) -> Ids | None:
        """The ids at these places; None is all."""
        return None if places is None else self.ids[places]

    def found(self, ids: Ids, scores: NDArray[np.floating]) -> list[Hit]:
        """What an index found, as hits; ids that are not of this corpus, such as later ones, are left out."""
        places = np.searchsorted(self.ids, ids)
        return [
            Hit(int(place), float(score))
            for place, key, score in zip(places, ids, scores, strict=True)
            if place < len(self.ids) and self.ids[place] == key
        ]

    def about(self, places: Sequence[int]) -> list[About]:
        """What is known of these chunks."""
        if self._passages is None:
            return [About(self.chunks[place].document.source) for place in places]
        wanted = [int(self.ids[place]) for place in places]
        known = {passage.id: passage for passage in self._passages(wanted)}
        return [About.of(known[key]) if key in known else About("") for key in wanted]

    def places(self, where: Filter) -> Ids:
        """The places of the chunks that pass a filter, ascending."""
        return np.flatnonzero(self._known.passing(where, self.ids, self.about))

    def within(self, where: Filter) -> Sequence[Chunk]:
        """The chunks that pass a filter, in their order."""
        return [self.chunks[place] for place in self.places(where)] if where else self.chunks

    def similar(self, query: str, chunks: Sequence[Chunk]) -> list[float]:
        """The cosine of each of these chunks, all of this corpus, to a query, by their embeddings."""
        if not chunks:
            return []
        places = self.once("places", self._places)
        vectors = self.vectors_of([places[id(chunk)] for chunk in chunks])
        similarities: list[float] = (vectors @ self.embedder.embed([query], query=True)[0]).tolist()
        return similarities

    def _places(self) -> Mapping[int, int]:
        """The place of each chunk by its id(); a lazy sequence knows those of the chunks that it has given."""
        known: Mapping[int, int] | None = getattr(self.chunks, "places", None)
        return {id(chunk): i for i, chunk in enumerate(self.chunks)} if known is None else known

    def select(
        self,
        query: str,
        k: int,
        search: Sequence[Spec | Searcher] = ("cosine", "bm25"),
        fuse: FuseSpec | Fusion = "weighted",
        rescore: Sequence[Spec | Scorer] = (),
        where: Filter = EVERYTHING,
        depth: int = DEPTH,
    ) -> list[Hit]:
        """At most ``k`` chunks, the most relevant first. May be fewer, where no searcher finds more.

        Scores are from 0 to 1: those of the fusion, 1 where every searcher ranks the chunk first. Scorers change their
        order and proportions; then the best one gets the best score of the fusion again, and the others in proportion, so
        that what strategies make of a relevance holds for any scorers.

        Args:
            query: in words.
            k: how many.
            search: searchers, or their names or specs.
            fuse: ``weighted``, ``{weighted: {NAME: WEIGHT}}``, ``rrf``, or a fusion.
            rescore: scorers, or their names or specs, applied in this order to the fused candidates.
            where: what may be found at all.
            depth: how many candidates each searcher gives and the scorers get; never below ``k``.

        Raises:
            UnknownNameError, ConfigError: a spec names no such criterion or a wrong parameter; there is no such fusion.
            ModelError: a scorer needs a model, and there is none.
        """
        searchers, scorers = searching(search), scoring(rescore)
        fused = fuse if isinstance(fuse, Fusion) else fusion(fuse, [one.name for one in searchers])
        depth = max(k, depth)
        among = self.places(where) if where else None
        hits = found = fused({one.name: one.search(self, query, depth, among) for one in searchers})[:depth]
        for scorer in scorers:
            hits = scorer.score(self, query, hits)[:depth]
        return (scaled(hits, found[0].score) if scorers and found else hits)[: max(0, k)]


def scaled(hits: Sequence[Hit], best: float) -> list[Hit]:
    """The hits with scores in proportion, the highest being ``best``; as they are where none is above 0."""
    highest = max((hit.score for hit in hits), default=0.0)
    return [replace(hit, score=hit.score / highest * best) for hit in hits] if highest > 0 else list(hits)


def searching(specs: Sequence[Spec | Searcher]) -> list[Searcher]:
    """The searchers that specs name.

    Raises:
        UnknownNameError: there is none of a name.
        ConfigError: a parameter is wrong, a scorer is named, or a searcher twice.
    """
    made = [spec if isinstance(spec, Searcher) else catalogue.make(spec) for spec in specs]
    for one in made:
        if not isinstance(one, Searcher):
            raise ConfigError(f"criterion {one.name} re-ranks and cannot search; use it under retrieval.rescore")
        if sum(other.name == one.name for other in made) > 1:
            raise ConfigError(f"retrieval.search names {one.name} twice; once is enough")
    return [one for one in made if isinstance(one, Searcher)]


def scoring(specs: Sequence[Spec | Scorer]) -> list[Scorer]:
    """The scorers that specs name.

    Raises:
        UnknownNameError: there is none of a name.
        ConfigError: a parameter is wrong, or a searcher is named.
        ModelError: one lacks a model.
    """
    made = [spec if isinstance(spec, Scorer) else catalogue.make(spec) for spec in specs]
    for one in made:
        if not isinstance(one, Scorer):
            raise ConfigError(f"criterion {one.name} searches and cannot re-rank; use it under retrieval.search")
        one.check()
    return [one for one in made if isinstance(one, Scorer)]

"""One set of retrieval.py in chunks, and the ways to select from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from retrieval_measures import overlaps, ranking, spans_found, within
from retrieval_sets import Cutting, Query, Set

from ctxproc.catalogue import Spec
from ctxproc.chunk import Chunk
from ctxproc.config import Settings
from ctxproc.document import Document
from ctxproc.job import Job
from ctxproc.llm.base import LLM, Tokenizer
from ctxproc.llm.meter import Limits, metered
from ctxproc.memory.corpus import DEPTH, Corpus, FuseSpec, scoring, searching
from ctxproc.memory.criteria import Hit, Searcher
from ctxproc.memory.embed import Embedder
from ctxproc.memory.fuse import fusion
from ctxproc.reading import JobReader
from ctxproc.trace import Trace

SPAN_CHUNKS = 5
BUDGET = 1000
SPAN_RECALL = f"span recall, {BUDGET} tokens"


@dataclass(frozen=True)
class Way:
    """How to select; unless said otherwise as the shipped settings do."""

    search: Sequence[Spec] = tuple(Settings().retrieval.search)
    fuse: FuseSpec = Settings().retrieval.fuse
    rescore: Sequence[Spec] = ()


class Remembering(Embedder):
    """Embeds each query once."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """As ever."""
        if not query:
            return super().embed(texts)
        for text in texts:
            if text not in self._known:
                self._known[text] = super().embed([text], query=True)[0]
        return np.stack([self._known[text] for text in texts])


class Bench:
    """One set in chunks, ready to be searched; each searcher searches once for each query, however many ways fuse it.

    Args:
        made: texts and queries.
        cutting: into chunks.
        tokenizer: counts them.
        embedder: of chunks and queries.
        cache: folder of embeddings.
        llm: a model for the criteria that ask one.
        depth: candidates of each search, and of the fusion for the scorers.
    """

    def __init__(
        self,
        made: Set,
        cutting: Cutting,
        tokenizer: Tokenizer,
        embedder: Embedder,
        cache: Path | None = None,
        llm: LLM | None = None,
        depth: int = DEPTH,
    ) -> None:
        texts, self.queries = made
        self.documents = [Document.from_text(text, source=f"document {i}") for i, text in enumerate(texts)]
        self.places = {id(document): i for i, document in enumerate(self.documents)}
        self.chunks = [chunk for document in self.documents for chunk in cutting(document, tokenizer)]
        self.corpus = Corpus(self.chunks, embedder, cache=cache)
        self._llm, self._depth = llm, depth
        self._found: dict[tuple[Searcher, str], list[Hit]] = {}
        self._relevant: dict[Query, frozenset[int]] = {}

    def select(self, query: str, way: Way) -> list[Hit]:
        """The candidates in the order that `Corpus.select` gives them."""
        searchers = searching(way.search)
        for one in searchers:
            if (one, query) not in self._found:
                self._found[one, query] = one.search(self.corpus, query, self._depth)
        merge = fusion(way.fuse, [one.name for one in searchers])
        hits = merge({one.name: self._found[one, query] for one in searchers})[: self._depth]
        corpus = self.corpus
        if self._llm:
            corpus = corpus.read_by(JobReader(Job(query, self.chunks, metered(self._llm, Limits(), Trace()))))
        for scorer in scoring(way.rescore):
            hits = scorer.score(corpus, query, hits)[: self._depth]
        return hits

    def measure(self, query: Query, way: Way) -> dict[str, float]:
        """What one way finds for one query."""
        found = [hit.index for hit in self.select(query.text, way)]
        if query.spans:
            relevant = self.holding(query)
            return ranking([float(i in relevant) for i in found], len(relevant)) | self._spans(query, found)
        passages = list(dict.fromkeys(self.places[id(self.chunks[i].document)] for i in found))
        return ranking([float(place in query.relevant) for place in passages], len(query.relevant))

    def holding(self, query: Query) -> frozenset[int]:
        """The places of the chunks that hold a part of the query's spans."""
        if query not in self._relevant:
            held = (i for i, chunk in enumerate(self.chunks) if overlaps(chunk, query, self.documents))
            self._relevant[query] = frozenset(held)
        return self._relevant[query]

    def _spans(self, query: Query, found: Sequence[int]) -> dict[str, float]:
        chunks: list[Chunk] = [self.chunks[i] for i in found]
        five = spans_found(chunks[:SPAN_CHUNKS], query, self.documents)
        whole = spans_found(within(chunks, BUDGET), query, self.documents)
        measures = {f"span {name}, {SPAN_CHUNKS} chunks": value for name, value in five.items()}
        return measures | {SPAN_RECALL: whole["recall"]}

    def about(self, queries: Sequence[Query]) -> dict[str, int]:
        """How much was searched: ``cut`` counts the passages that are more than one chunk."""
        cut = sum(chunk.index == 1 for chunk in self.chunks)
        return {"queries": len(queries), "passages": len(self.documents), "cut": cut, "chunks": len(self.chunks)}

"""What an owner keeps in a store, embedded and ready to be searched.

Vectors are made when a criterion first asks for them: whatever has none is embedded then, batch by batch, each batch
kept as soon as it is there. So adding needs no model, and what an interrupted run left undone is done by the next.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import StoreError, UsageError
from ctxproc.memory.base import Ids, Model, Owner, Passage, Shelf
from ctxproc.memory.item import Item
from ctxproc.trace import Listener, Trace

if TYPE_CHECKING:
    from ctxproc.config import Settings
    from ctxproc.memory.cache import Caches
    from ctxproc.memory.corpus import Corpus
    from ctxproc.memory.embed import Embedder
    from ctxproc.memory.extract.tagger import By
    from ctxproc.memory.filters import Filter
    from ctxproc.memory.graph_index import ConceptIndex
    from ctxproc.memory.graph_shelf import IndexShelf
    from ctxproc.memory.lexical import LexicalIndex
    from ctxproc.memory.store import SqliteStore
    from ctxproc.memory.vector import VectorIndex

AT_ONCE = 1024
"""Passages that are read together where all are."""


class Stored:
    """An owner's shelves in a memory file. Safe in several threads.

    Args:
        path: of the file; made if it is not there.
        owner: whose.
        settings: ``retrieval``, ``limits`` and ``device`` are used.
        embedder: makes the vectors, instead of the one that the settings name; loaded when first needed.
        listeners: told of progress.

    Raises:
        UsageError: the path is none.
        StoreError: the file cannot be used.
        ConfigError, UnknownNameError: the settings name a criterion that does not exist, or a wrong filter.
    """

    def __init__(
        self,
        path: str | Path,
        owner: Owner,
        settings: Settings,
        embedder: Embedder | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        from ctxproc.memory.corpus import scoring, searching
        from ctxproc.memory.embed import Embedder
        from ctxproc.memory.fuse import fusion
        from ctxproc.memory.known import Known
        from ctxproc.memory.store import SqliteStore

        self.owner = owner
        self.settings = settings
        retrieval = settings.retrieval
        self._searchers = searching(retrieval.search or ["bm25"])
        self._scorers = scoring(retrieval.rescore)
        self._fusion = fusion(retrieval.fuse, [one.name for one in self._searchers])
        self.filter()
        self.embedder = embedder or Embedder(retrieval.embedder, device=settings.device)
        self.trace = Trace(listeners=list(listeners))
        self._progress = self.trace.progress("embed")
        self._corpora: dict[Shelf, tuple[int, Corpus]] = {}
        self._concepts: dict[tuple[Shelf, By], IndexShelf] = {}
        self._known = {shelf: Known() for shelf in SHELVES}
        self._lock = threading.RLock()
        if "\0" in str(path):
            raise UsageError(f"{str(path)!a} is no path: it holds a NUL character")
        self.store = SqliteStore(path, limit=settings.limits.memories)

    @property
    def embeds(self) -> bool:
        """Whether a search by the settings needs vectors."""
        return any(searcher.embeds for searcher in self._searchers)

    def filter(
        self,
        where: Mapping[str, object] | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
    ) -> Filter:
        """What may be found: what the settings say, and this in place of what they say of the same names.

        Raises:
            ConfigError, UnknownNameError: it is malformed.
        """
        from ctxproc.memory.filters import filtered

        set_so = self.settings.retrieval
        return filtered({**set_so.where, **(where or {})}, since or set_so.since, until or set_so.until)

    def search(self, shelf: Shelf, query: str, k: int | None = None, where: Filter | None = None) -> list[Item]:
        """The most relevant passages of a shelf, the most relevant first, by the criteria of the settings.

        Args:
            shelf: which.
            query: in words.
            k: how many at most; default: ``retrieval.top_k``.
            where: what may be found; default: as the settings say.

        Raises:
            UsageError: the query is empty.
            StoreError: the vectors are of another model than the settings name.
        """
        if not query.strip():
            raise UsageError("the query is empty: say what to look for")
        retrieval = self.settings.retrieval
        k = retrieval.top_k if k is None else k
        if k < 1 or not self.store.state(self.owner, shelf).count:
            return []
        wanted = self.filter() if where is None else where
        corpus = self.corpus(shelf)
        hits = corpus.select(query, k, self._searchers, self._fusion, self._scorers, wanted, retrieval.depth)
        ids = [int(corpus.ids[hit.index]) for hit in hits]
        found = {passage.id: passage for passage in self.store.passages(self.owner, shelf, ids)}
        pairs = ((hit, found[one]) for hit, one in zip(hits, ids, strict=True) if one in found)
        return [Item.of(passage, hit.score, hit.shares) for hit, passage in pairs]

    @cached_property
    def caches(self) -> Caches:
        """The indexes of the store; their files are beside it."""
        from ctxproc.memory.cache import Caches

        return Caches(self.store, cache_beside(self.store.path))

    @cached_property
    def _model(self) -> Model:
        return Model(self.embedder.name, self.embedder.identity, self.embedder.dimensions)

    def model(self) -> Model:
        """The embedding model, which is that of the owner's vectors.

        Raises:
            StoreError: the vectors are of another one.
            ModelError: it cannot be loaded.
        """
        held = self.store.model(self.owner)
        if held is not None and held.fingerprint != self._model.fingerprint:
            name = self._model.name if held.name != self._model.name else f"another version of {held.name}"
            raise StoreError(
                f"{self.store.path} is embedded by {held.name}, and the settings name {name}: set "
                f"retrieval.embedder={held.name}, or embed it anew with `{self.command('reembed')}`"
            )
        return self._model

    def command(self, name: str) -> str:
        """The command of ``ctxproc memory`` that does something to these shelves."""
        words = ["ctxproc", "memory", name, "--memory", str(self.store.path), "--user", self.owner.user]
        for option, value in (("--agent", self.owner.agent), ("--session", self.owner.session)):
            words += [option, value] if value else []
        return shlex.join(words)

    def embed(self, ids: Sequence[int], texts: Sequence[str]) -> None:
        """Give passages their vectors; one that was edited meanwhile, and so says something else, gets none of this text.

        Raises:
            StoreError: the owner's vectors are of another model.
        """
        model = self.model()
        self.store.embed(self.owner, model, ids, self.embedder.embed(texts), texts)

    def embed_missing(self) -> None:
        """Give a vector to every passage that has none; interrupted, all but the last batch is kept.

        Raises:
            StoreError: the owner's vectors are of another model.
        """
        left = self.store.unembedded(self.owner)
        total = self._missing() if left else 0
        done = 0
        while left:
            self._progress(done, max(total, done + len(left)))
            self.embed([passage for passage, _ in left], [text for _, text in left])
            done += len(left)
            left = self.store.unembedded(self.owner)
        if done:
            self._progress(done, done)

    def reembed(self) -> None:
        """Move to the embedding model: remove the vectors of another one, if any, and embed what has none.

        Interrupted, it goes on where it was when it is called again.
        """
        held = self.store.model(self.owner)
        if held is not None and held.fingerprint != self._model.fingerprint:
            self.store.strip(self.owner)
        self.embed_missing()

    def _missing(self) -> int:
        """How many passages have no vector."""
        missing = 0
        for shelf in SHELVES:
            state = self.store.state(self.owner, shelf)
            changed = self.store.changed_vectors(self.owner, shelf, state.generation)
            for _ in changed.added:
                pass
            missing += max(0, state.count - changed.count)
        return missing

    def vectors(self, shelf: Shelf) -> VectorIndex:
        """The index of a shelf's vectors, of all its passages."""
        self.model()
        self.embed_missing()
        return self.caches.vectors(self.owner, shelf)

    def lexical(self, shelf: Shelf) -> LexicalIndex:
        """The index of a shelf's words."""
        return self.caches.texts(self.owner, shelf)

    def concepts(self, shelf: Shelf, by: By = "rules") -> ConceptIndex:
        """The graph of a shelf's concepts, found in this way; it is kept in this process alone.

        Raises:
            LimitError: there are more than ``limits.nodes``.
            ModelError: the tagger cannot be loaded.
        """
        from ctxproc.memory.extract.tagger import finder
        from ctxproc.memory.graph_shelf import IndexShelf

        with self._lock:
            if (shelf, by) not in self._concepts:
                limit, found = self.settings.limits.nodes, finder(by, self.settings.device)
                self._concepts[shelf, by] = IndexShelf(self.store, self.owner, shelf, limit=limit, finder=found)
            return self._concepts[shelf, by].index()

    def corpus(self, shelf: Shelf) -> Corpus:
        """A shelf as it is now, to be searched; the same object as long as nothing has changed."""
        from ctxproc.memory.corpus import Corpus

        with self._lock:
            if self.embeds:
                self.vectors(shelf)
            generation = self.store.state(self.owner, shelf).generation
            seen, corpus = self._corpora.get(shelf, (None, None))
            if corpus is None or seen != generation:
                ids = np.array((self.vectors(shelf) if self.embeds else self.lexical(shelf)).ids)
                corpus = Corpus(
                    StoredChunks(self.store, self.owner, shelf, ids),
                    self.embedder,
                    ids=ids,
                    vectors=lambda: self.vectors(shelf),
                    lexical=lambda: self.lexical(shelf),
                    concepts=lambda by: self.concepts(shelf, by),
                    passages=lambda some: self.store.passages(self.owner, shelf, some),
                    known=self._known[shelf],
                )
                self._corpora[shelf] = generation, corpus
            return corpus


SHELVES: tuple[Shelf, ...] = ("library", "memory")


def cache_beside(store: Path) -> Path:
    """The folder with the caches of a store."""
    return store.with_name(store.name + ".cache")


class StoredChunks(Sequence[Chunk]):
    """The passages of a shelf as chunks, read when they are asked for and then kept.

    A note is the only chunk of a document of its own, called ``memory/ID``. What has been removed meanwhile is an empty
    chunk.

    Args:
        store: where they are.
        owner: whose.
        shelf: which.
        ids: of the passages, ascending; shape (chunks,).

    Attributes:
        places: of the chunks that were read so far, by their ``id()``.
    """

    def __init__(self, store: SqliteStore, owner: Owner, shelf: Shelf, ids: Ids) -> None:
        self._store = store
        self._owner = owner
        self._shelf = shelf
        self._ids = ids
        self._chunks: dict[int, Chunk] = {}
        self.places: dict[int, int] = {}
        self._documents: dict[int, Document] = {}

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, place: int) -> Chunk: ...
    @overload
    def __getitem__(self, place: slice) -> list[Chunk]: ...
    def __getitem__(self, place: int | slice) -> Chunk | list[Chunk]:
        """A chunk, or several."""
        if isinstance(place, slice):
            return self._read(range(len(self))[place])
        return self._read([range(len(self))[place]])[0]

    def __iter__(self) -> Iterator[Chunk]:
        for start in range(0, len(self), AT_ONCE):
            yield from self[start : start + AT_ONCE]

    def _read(self, places: Sequence[int]) -> list[Chunk]:
        lacking = [place for place in places if place not in self._chunks]
        if lacking:
            ids = self._ids[np.asarray(lacking, dtype=np.int64)].tolist()
            found = {passage.id: passage for passage in self._store.passages(self._owner, self._shelf, ids)}
            for place, passage in zip(lacking, ids, strict=True):
                chunk = self._chunk(found.get(passage))
                self.places[id(self._chunks.setdefault(place, chunk))] = place
        return [self._chunks[place] for place in places]

    def _chunk(self, passage: Passage | None) -> Chunk:
        if passage is None:
            return Chunk(Document("", "removed", ""), 0, 0, 0, 0)
        if self._shelf == "memory":
            text = passage.text
            return Chunk(Document.from_text(text, f"memory/{passage.id}"), 0, len(text), 0, 0)
        if passage.document not in self._documents:
            self._documents[passage.document] = self._store.document(self._owner, passage.document)
        document = self._documents[passage.document]
        return Chunk(document, passage.start, passage.end, passage.tokens, passage.index)

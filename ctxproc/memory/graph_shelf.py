"""The concept graph of a shelf, kept up to date while the shelf changes.

It is made of rows and never written to a file: a hundred thousand short turns are read in seconds.
"""

from __future__ import annotations

import threading

from ctxproc.memory.base import Owner, Shelf, Store
from ctxproc.memory.extract.concepts import Finder, by_rules
from ctxproc.memory.graph import ConceptGraph, Revise
from ctxproc.memory.graph_index import NODES, ConceptIndex


class GraphShelf:
    """The concept graph of what was said on an owner's shelf, each passage a step of time, in the order of their ids.

    Which passages were remembered by one call is not kept, so each is an update of its own. Only what has changed since the
    last call is read. Safe in several threads.

    Args:
        store: where the passages are.
        owner: whose.
        shelf: which.
        limit: concepts of the graph (``limits.nodes``).
        revise: see `ConceptGraph`.
        finder: finds the concepts.
    """

    def __init__(
        self,
        store: Store,
        owner: Owner,
        shelf: Shelf = "memory",
        *,
        limit: int = NODES,
        revise: Revise | None = None,
        finder: Finder = by_rules,
    ) -> None:
        self._store, self._owner, self._shelf = store, owner, shelf
        self._graph = ConceptGraph(limit=limit, revise=revise, finder=finder)
        self._generation = 0
        self._lock = threading.Lock()

    def graph(self) -> ConceptGraph:
        """The graph as the shelf is now: the same object at every call, altered by later ones.

        Raises:
            LimitError: what was said has more concepts than the limit.
        """
        with self._lock:
            if self._store.state(self._owner, self._shelf).generation != self._generation:
                self._follow()
            return self._graph

    def _follow(self) -> None:
        changed = self._store.changed_passages(self._owner, self._shelf, self._generation)
        self._graph.remove(changed.removed.tolist())
        for some in changed.added:
            self._graph.remove([passage.id for passage in some])  # of a call that was cut short by an error
            for passage in some:
                self._graph.update([passage])
        self._generation = changed.generation


class IndexShelf:
    """The index of the concepts of all passages on a shelf, for the criterion `graph`. Otherwise as `GraphShelf`."""

    def __init__(
        self, store: Store, owner: Owner, shelf: Shelf, *, limit: int = NODES, finder: Finder = by_rules
    ) -> None:
        self._store, self._owner, self._shelf = store, owner, shelf
        self._index = ConceptIndex(limit, finder)
        self._generation = 0
        self._lock = threading.Lock()

    def index(self) -> ConceptIndex:
        """The index as the shelf is now: the same object at every call, altered by later ones.

        Raises:
            LimitError: the passages have more concepts than the limit.
        """
        with self._lock:
            if self._store.state(self._owner, self._shelf).generation != self._generation:
                changed = self._store.changed_texts(self._owner, self._shelf, self._generation)
                self._index.remove(changed.removed)
                for ids, texts in changed.added:
                    self._index.remove(ids)  # of a call that was cut short by an error
                    self._index.add(ids, [str(text) for text in texts])
                self._generation = changed.generation
            return self._index

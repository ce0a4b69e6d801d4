"""What a chat recalls for a turn: passages of the memory, and of the documents beside it, within a budget of tokens."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ctxproc.memory.item import Item

if TYPE_CHECKING:
    from ctxproc.config import Settings
    from ctxproc.llm.base import LLM
    from ctxproc.memory.memory import Memory
    from ctxproc.memory.recollect_fill import Count, Faded
    from ctxproc.sources import Source, Sources

Part = Literal["portrait", "document", "relevant", "fact", "recent"]

SHARE = 3
"""Documents have at most one part in so many of the budget."""


@dataclass(frozen=True, slots=True)
class Recalled:
    """A passage that was recalled for a turn.

    Attributes:
        item: the passage; of a document that is not in the memory its number is 0.
        why: by which criterion, in words.
        part: of the prompt in which it stands.
    """

    item: Item
    why: str
    part: Part


class Documents:
    """The documents that a chat knows: sources of its own, or else the memory's library. They never become facts.

    Args:
        memory: whose library is searched where there are no sources.
        sources: files, folders or documents; read at once, split and embedded when they are first searched.
        settings: ``chunk``, ``retrieval``, ``limits`` and ``cache`` are used.

    Raises:
        SourceError: a source cannot be read.
    """

    def __init__(self, memory: Memory, sources: Iterable[Source], settings: Settings) -> None:
        from ctxproc.sources import Sources

        named = list(sources)
        self._memory = memory
        self._settings = settings
        self._sources: Sources | None = Sources(named, settings, memory.stored.trace.listeners) if named else None
        self._lock = threading.Lock()

    def search(self, query: str, k: int, llm: LLM) -> list[Item]:
        """The chunks that are most relevant to a query, the most relevant first; ``llm`` counts tokens of chunks."""
        if k < 1:
            return []
        if self._sources is not None:
            return self._search(self._sources, query, k, llm)
        memory = self._memory
        held = memory.store.state(memory.owner, "library").count
        return memory.library.search(query, k) if held else []

    def _search(self, sources: Sources, query: str, k: int, llm: LLM) -> list[Item]:
        from ctxproc.memory.base import now
        from ctxproc.memory.corpus import searching
        from ctxproc.memory.filters import EVERYTHING
        from ctxproc.memory.fuse import fusion

        retrieval = self._settings.retrieval
        searchers = searching(retrieval.search or ["bm25"])
        fused = fusion(retrieval.fuse, [one.name for one in searchers])
        with self._lock:
            corpus = sources.corpus(llm, self._settings.chunk.tokens)
            hits = corpus.select(query, k, searchers, fused, [], EVERYTHING, retrieval.depth)
        found = []
        for hit in hits:
            chunk = corpus.chunks[hit.index]
            where = {"start": chunk.start, "end": chunk.end, "source": chunk.document.source}
            found.append(Item(0, chunk.text, now(), score=hit.score, kind="chunk", shares=hit.shares, **where))  # type: ignore[arg-type]
        return found


class Recaller:
    """Recalls for the turns of one chat.

    Args:
        memory: of whom.
        documents: of the same.
        settings: of the chat.
    """

    def __init__(self, memory: Memory, documents: Documents, settings: Settings) -> None:
        self._memory = memory
        self._documents = documents
        self._settings = settings

    def recall(
        self,
        message: str,
        llm: LLM,
        *,
        now: datetime,
        session: str,
        budget: int,
        count: Count,
        as_of: datetime | None = None,
        skip: int = 0,
        faded: Faded | None = None,
        me: str = "",
    ) -> list[Recalled]:
        """The passages in the order of the prompt: portrait, documents and what is relevant, facts, recent turns.

        Args:
            message: what was said now.
            llm: counts the tokens of chunks.
            now: when.
            session: of the chat, whose last turns are recalled as they are.
            budget: tokens of all together, as ``count`` counts a passage's text.
            count: the tokens that a text takes in the prompt.
            as_of: recall what was known then.
            skip: the passage that is never recalled: the message itself.
            faded: says of a turn whether it has faded from recall.
            me: the name under which the user speaks; default: the owner's.
        """
        from ctxproc.memory.recollect import recollect

        chunks, left = self._chunks(message, llm, budget, count)
        made = recollect(
            self._memory,
            message,
            now=now,
            session=session,
            budget=left,
            count=count,
            as_of=as_of,
            skip=skip,
            faded=faded,
            me=me,
        )
        found = [Recalled(one.item, one.why, one.part) for one in made.items if one.item.id != skip]
        first = [one for one in found if one.part == "portrait"]
        return [*first, *chunks, *(one for one in found if one.part != "portrait")]

    def _chunks(self, message: str, llm: LLM, budget: int, count: Count) -> tuple[list[Recalled], int]:
        """Chunks of documents, the least relevant first, and what they leave of the budget."""
        chunks: list[Recalled] = []
        left = budget // SHARE
        for item in self._documents.search(message, self._settings.chat.documents, llm):
            cost = count(item.text) + count(item.source)
            if cost <= left:
                chunks.append(Recalled(item, " and ".join(item.shares) or "search", "document"))
                left -= cost
        return chunks[::-1], budget - (budget // SHARE - left)

"""What questions are asked over: files or a memory -> documents -> chunks, ready to be searched."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ctxproc.errors import LimitError, UsageError
from ctxproc.trace import Listener, Loaded, Noted, Skipped, Split, Trace

if TYPE_CHECKING:
    from ctxproc.chunk import Chunk
    from ctxproc.config import Settings
    from ctxproc.document import Document
    from ctxproc.llm.base import LLM
    from ctxproc.memory.corpus import Corpus
    from ctxproc.memory.memory import Memory

    Source = str | Path | Document


class Sources:
    """Documents that are opened once, and their chunks, which are made once per budget.

    Args:
        sources: files, folders, ``-`` for standard input, or documents; none with a ``memory``.
        settings: ``chunk``, ``retrieval``, ``limits``, ``cache`` and ``device`` are used.
        listeners: told of what is loaded, split and embedded.
        stdin: what ``-`` reads; default: the process's standard input.
        memory: its documents are opened instead, when they are first needed.

    Raises:
        UsageError: there are sources and a memory, or neither.
        SourceError: a source cannot be read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        settings: Settings,
        listeners: list[Listener],
        stdin: BinaryIO | None = None,
        memory: Memory | None = None,
    ) -> None:
        self.settings = settings
        self.listeners = listeners
        self.filed = memory.library if memory is not None else None
        if self.filed and sources:
            raise UsageError("answers come from sources or from a memory: add the sources to it first")
        self._loaded = [] if self.filed else self._load(sources, stdin)
        self._corpora: dict[int, Corpus] = {}

    def _load(self, sources: Sequence[Source], stdin: BinaryIO | None) -> list[Document]:
        from ctxproc.document import Document, Limits, load

        if not sources:
            raise UsageError("no source: name a file or a folder, or - for standard input")
        limits = Limits(**{item.name: getattr(self.settings.limits, item.name) for item in fields(Limits)})
        trace = Trace(listeners=self.listeners)
        documents = load(
            [source for source in sources if not isinstance(source, Document)],
            limits=limits,
            on_skip=lambda item: trace.emit(Skipped(item.source, item.kind, item.reason)),
            stdin=stdin,
        )
        documents += [source for source in sources if isinstance(source, Document)]
        for document in documents:
            trace.emit(Loaded(document.source, document.sha256, document.format, len(document.text)))
        return documents

    @property
    def documents(self) -> Sequence[Document]:
        """All of them, in order."""
        return self.filed.documents if self.filed else self._loaded

    @property
    def names(self) -> tuple[tuple[str, str], ...]:
        """The source and sha256 of each document."""
        if self.filed:
            return tuple((document.source, document.sha256) for document in self.filed.filed)
        return tuple((document.source, document.sha256) for document in self._loaded)

    def corpus(self, llm: LLM, budget: int) -> Corpus:
        """The documents in chunks of at most ``budget`` of the model's tokens; those of a memory as they were filed, if so.

        Raises:
            LimitError: there are too many chunks.
        """
        from ctxproc.config import cache_folder
        from ctxproc.memory.corpus import Corpus
        from ctxproc.memory.embed import Embedder

        if self.filed and self.filed.is_split_by(llm.tokenizer, budget, self.settings.chunk.overlap):
            return self.filed.corpus()
        if budget not in self._corpora:
            settings, trace = self.settings, Trace(listeners=self.listeners)
            if self.filed:
                trace.emit(Noted(f"the memory is split otherwise than into {budget} tokens of {llm.name}: split anew"))
            chunks = self._split(llm, budget, trace)
            embedder = Embedder(settings.retrieval.embedder, device=settings.device)
            cache = cache_folder(settings) / "embeddings" if settings.cache.embeddings else None
            progress = trace.progress("embed")
            self._corpora[budget] = Corpus(chunks, embedder, cache=cache, progress=progress, device=settings.device)
        return self._corpora[budget]

    def _split(self, llm: LLM, budget: int, trace: Trace) -> list[Chunk]:
        """The chunks of all documents, in order."""
        from ctxproc.chunk import split

        chunks: list[Chunk] = []
        tell, most = trace.progress("split"), self.settings.limits.chunks
        for done, document in enumerate(self.documents):
            tell(done, len(self.documents))
            chunks += split(document, llm.tokenizer, budget, min(self.settings.chunk.overlap, budget // 2))
            if len(chunks) > most:
                raise LimitError(f"the sources have more than {most} chunks; raise limits.chunks or chunk.tokens")
        trace.emit(Split(len(chunks), sum(chunk.tokens for chunk in chunks)))
        return chunks

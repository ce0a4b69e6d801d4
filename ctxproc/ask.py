"""The main job in one page: sources -> documents -> chunks -> select -> process -> answer with evidence."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ctxproc.answer import Answer
from ctxproc.errors import LimitError, UsageError
from ctxproc.trace import Answered, Listener, Loaded, Selected, Skipped, Split, Started, Trace

if TYPE_CHECKING:
    from ctxproc.chunk import Chunk
    from ctxproc.config import Settings
    from ctxproc.document import Document
    from ctxproc.llm.base import LLM, Sampling, Warmed
    from ctxproc.memory.corpus import Corpus
    from ctxproc.strategies.base import Job, Plan, Strategy

    Source = str | Path | Document


class Library:
    """Sources opened once, for any number of questions: documents, chunks and selection state are kept.

    Args:
        sources: files, folders, ``-`` for standard input, or documents.
        settings: from `ctxproc.config.resolve`; default: all defaults.
        llm: a model object instead of the one that the settings name.
        listeners: told each event (see trace.py), progress included.
        stdin: what ``-`` reads; default: the process's standard input.

    Raises:
        SourceError: a source cannot be read.
        ModelError: there is no such model.
        UnknownNameError, ConfigError: the settings name a strategy or criterion that does not exist.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        settings: Settings | None = None,
        *,
        llm: LLM | None = None,
        listeners: Sequence[Listener] = (),
        stdin: BinaryIO | None = None,
    ) -> None:
        from ctxproc.config import Settings
        from ctxproc.llm.load import load_llm
        from ctxproc.memory.criteria import catalogue as criteria

        self.settings = settings or Settings()
        self.listeners = list(listeners)
        self.strategy(self.settings.strategy)
        for spec in self.settings.retrieval.search:
            criteria.make(spec)
        self.llm = llm or load_llm(self.settings)
        self.documents = self._load(list(sources), stdin)
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

    @staticmethod
    def strategy(spec: str | Mapping[str, Mapping[str, Any]]) -> Strategy:
        """The strategy that a spec names."""
        from ctxproc.strategies import catalogue

        return catalogue.make(spec)

    @cached_property
    def sampling(self) -> Sampling:
        """How the model generates."""
        from ctxproc.llm.base import Sampling

        values = self.settings.generation.model_dump()
        return Sampling(**{**values, "stop": tuple(values["stop"])})

    def corpus(self, budget: int) -> Corpus:
        """The documents in chunks of at most ``budget`` tokens, ready to be searched; made once per budget."""
        from ctxproc.chunk import split
        from ctxproc.config import cache_folder
        from ctxproc.memory.corpus import Corpus
        from ctxproc.memory.embed import Embedder

        if budget not in self._corpora:
            settings, trace = self.settings, Trace(listeners=self.listeners)
            chunks: list[Chunk] = []
            tell = trace.progress("split")
            for done, document in enumerate(self.documents):
                tell(done, len(self.documents))
                chunks += split(document, self.llm.tokenizer, budget, min(settings.chunk.overlap, budget // 2))
                if len(chunks) > settings.limits.chunks:
                    raise LimitError(
                        f"the sources have more than {settings.limits.chunks} chunks; raise limits.chunks or chunk.tokens"
                    )
            trace.emit(Split(len(chunks), sum(chunk.tokens for chunk in chunks)))
            embedder = Embedder(settings.retrieval.embedder, device=settings.device)
            cache = cache_folder(settings) / "embeddings" if settings.cache.embeddings else None
            self._corpora[budget] = Corpus(chunks, embedder, cache=cache, progress=trace.progress("embed"))
        return self._corpora[budget]

    def budget(self, question: str, strategy: Strategy) -> int:
        """Tokens of a chunk: as set, or as many as the strategy's prompts hold with this question."""
        room = strategy.room(self.llm, question, self.sampling)
        wanted = self.settings.chunk.tokens
        return wanted if room >= wanted else max(1, 1 << (room.bit_length() - 1))

    def plan(self, question: str) -> Plan:
        """An upper bound of what `ask` would spend: the largest chunks are taken for the selected ones."""
        strategy = self.strategy(self.settings.strategy)
        checked(question)
        chunks = self.corpus(self.budget(question, strategy)).chunks
        retrieval = self.settings.retrieval
        if retrieval.search and len(chunks) > retrieval.top_k:
            chunks = sorted(chunks, key=lambda chunk: -chunk.tokens)[: retrieval.top_k]
        return strategy.plan(self.job(question, chunks, [], Trace()))

    def job(self, question: str, chunks: Sequence[Chunk], relevance: Sequence[float], trace: Trace) -> Job:
        """What the strategy is handed."""
        from ctxproc.llm.meter import Limits as RunLimits
        from ctxproc.strategies.base import Job

        return Job(
            question=question,
            chunks=chunks,
            llm=self.llm,
            relevance=relevance,
            sampling=self.sampling,
            min_confidence=self.settings.answer.min_confidence,
            require_evidence=self.settings.answer.require_evidence,
            limits=RunLimits(self.settings.limits.calls, self.settings.limits.run_tokens),
            trace=trace,
        )

    def warm(self) -> Warmed:
        """Have the model read every chunk now, as the strategy's first prompts begin, so that questions need not.

        Raises:
            ModelError: the model keeps nothing between calls, or cannot be loaded.
        """
        from ctxproc.llm.base import Warmed
        from ctxproc.llm.meter import AT_ONCE
        from ctxproc.prompt import template

        strategy = self.strategy(self.settings.strategy)
        chunks = self.corpus(self.budget("?", strategy)).chunks
        first = template(next(iter(strategy.steps)))
        places = dict.fromkeys(first.places, "")
        tell = Trace(listeners=self.listeners).progress("warm")
        total = Warmed()
        for start in range(0, len(chunks), AT_ONCE):
            tell(start, len(chunks))
            total += self.llm.warm([first.fill([chunk.text], places) for chunk in chunks[start : start + AT_ONCE]])
        tell(len(chunks), len(chunks))
        return total

    def ask(self, question: str, *, trace_file: Path | None = None) -> Answer:
        """The answer to one question, with evidence.

        Args:
            question: in words; not empty.
            trace_file: also write the trace there.

        Raises:
            UsageError: the question is empty.
            PromptTooLongError: the question is too long for the model's window.
            LimitError: a limit was reached.
            ModelError: the model cannot be loaded or used.
        """
        from ctxproc import trace as tracing

        began = time.monotonic()
        checked(question)
        strategy = self.strategy(self.settings.strategy)
        trace = Trace(listeners=list(self.listeners))
        with ExitStack() as files:
            for path in (trace_file, self._kept(trace.run)):
                if path:
                    trace.listeners.append(files.enter_context(tracing.written(path)))
            trace.emit(Started(trace.run, question, strategy.name, self.llm.name, self.settings.model_dump()))
            job = self._select(question, strategy, trace)
            answer = strategy(job)
            answer = replace(answer, usage=replace(answer.usage, seconds=time.monotonic() - began))
            trace.emit(Answered(answer.to_json()))
        return answer

    def _select(self, question: str, strategy: Strategy, trace: Trace) -> Job:
        corpus = self.corpus(self.budget(question, strategy))
        retrieval = self.settings.retrieval
        relevance: dict[int, float] = {}
        picked: Sequence[int] = range(len(corpus.chunks))
        if retrieval.search:
            hits = corpus.select(question, retrieval.top_k, search=retrieval.search, fuse=retrieval.fuse)
            relevance = {hit.index: hit.score for hit in hits}
            picked = picked if len(picked) <= retrieval.top_k else sorted(relevance)
        chunks = [corpus.chunks[i] for i in picked]
        scores = [relevance.get(i, 0.0) for i in picked]
        places = tuple((c.document.source, c.start, c.end, score) for c, score in zip(chunks, scores, strict=True))
        trace.emit(Selected(places, len(corpus.chunks)))
        return self.job(question, chunks, scores if retrieval.search else (), trace)

    def _kept(self, run: str) -> Path | None:
        """Where this run's trace is kept; older ones beyond the limit are removed."""
        limit = self.settings.cache.runs
        if not limit:
            return None
        folder = runs_folder(self.settings)
        for old in sorted(folder.glob("*.jsonl"))[: -limit + 1 or None] if folder.is_dir() else ():
            old.unlink(missing_ok=True)
        return folder / f"{run}.jsonl"


def ask(
    question: str,
    sources: Iterable[Source] | Source,
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    llm: LLM | None = None,
    listeners: Sequence[Listener] = (),
    **settings: Any,  # noqa: ANN401 (any setting by its name)
) -> Answer:
    """Answer one question over sources; `Library` is the form for several questions.

    Args:
        question: in words.
        sources: a file, folder or document, or several.
        preset: fast, balanced or thorough.
        config: a YAML or TOML file.
        llm: a model object instead of a setting's name.
        listeners: told each event of the run.
        settings: single settings, sections as mappings: ``strategy="stuff", retrieval={"top_k": 4}``.

    Raises:
        CtxprocError: as `Library` and `Library.ask` say.
    """
    from ctxproc.config import resolve
    from ctxproc.document import Document

    chosen, _ = resolve(preset=preset, file=Path(config) if config else None, flags=settings)
    one = isinstance(sources, (str, Path, Document))
    library = Library([sources] if one else sources, chosen, llm=llm, listeners=listeners)  # type: ignore[list-item,arg-type]
    return library.ask(question)


def checked(question: str) -> None:
    """Refuse an empty question."""
    if not question.strip():
        raise UsageError("the question is empty: ask something")


def runs_folder(settings: Settings) -> Path:
    """Where traces of past runs are kept."""
    from ctxproc.config import cache_folder

    return cache_folder(settings) / "runs"

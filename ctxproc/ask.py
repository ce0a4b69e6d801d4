"""The main job in one page: sources -> documents -> chunks -> select -> process -> answer with evidence."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ctxproc.answer import Answer
from ctxproc.errors import UsageError
from ctxproc.trace import Answered, Listener, Noted, Selected, Started, Streamed, Trace

if TYPE_CHECKING:
    from ctxproc.chunk import Chunk
    from ctxproc.config import Settings
    from ctxproc.document import Document
    from ctxproc.job import Found, Job
    from ctxproc.llm.base import LLM, Sampling, Warmed
    from ctxproc.memory.corpus import Corpus
    from ctxproc.memory.criteria import Hit
    from ctxproc.memory.memory import Memory
    from ctxproc.sources import Source
    from ctxproc.strategies.base import Plan, Strategy
    from ctxproc.stream import Stream
    from ctxproc.task import Task


class Library:
    """Sources opened once, for any number of questions: documents, chunks and selection state are kept.

    Args:
        sources: files, folders, ``-`` for standard input, or documents; none with a ``memory``.
        settings: from `ctxproc.config.resolve`; default: all defaults.
        llm: a model object instead of the one that the settings name.
        listeners: told each event (see trace.py), progress included.
        stdin: what ``-`` reads; default: the process's standard input.
        memory: answers over the documents that were filed there, of its owner, instead of ``sources``.

    Raises:
        SourceError: a source cannot be read.
        ModelError: there is no such model.
        UnknownNameError, ConfigError: the settings name a strategy or criterion that does not exist.
    """

    def __init__(
        self,
        sources: Iterable[Source] = (),
        settings: Settings | None = None,
        *,
        llm: LLM | None = None,
        listeners: Sequence[Listener] = (),
        stdin: BinaryIO | None = None,
        memory: Memory | None = None,
    ) -> None:
        from ctxproc.config import Settings
        from ctxproc.llm.load import load_llm
        from ctxproc.memory.corpus import scoring, searching
        from ctxproc.memory.filters import filtered
        from ctxproc.memory.fuse import fusion
        from ctxproc.sources import Sources

        self.settings = settings or Settings()
        self.listeners = list(listeners)
        self.strategy(self.settings.strategy)
        retrieval = self.settings.retrieval
        self.searchers, self.scorers = searching(retrieval.search), scoring(retrieval.rescore)
        self.fusion = fusion(retrieval.fuse, [searcher.name for searcher in self.searchers])
        self.where = filtered(retrieval.where, retrieval.since, retrieval.until)
        self.llm = llm or load_llm(self.settings)
        self._sources = Sources(list(sources), self.settings, self.listeners, stdin, memory)

    @property
    def documents(self) -> Sequence[Document]:
        """The documents; those of a memory are read when first asked for."""
        return self._sources.documents

    @property
    def sources(self) -> tuple[tuple[str, str], ...]:
        """The source and sha256 of each document."""
        return self._sources.names

    @staticmethod
    def strategy(spec: str | Mapping[str, Mapping[str, Any]]) -> Strategy:
        """The strategy that a spec names; names joined by "+" are a selection and what reads it."""
        from ctxproc.strategies import make

        return make(spec)

    @cached_property
    def sampling(self) -> Sampling:
        """How the model generates."""
        from ctxproc.llm.base import Sampling

        values = self.settings.generation.model_dump()
        return Sampling(**{**values, "stop": tuple(values["stop"])})

    def corpus(self, budget: int) -> Corpus:
        """The documents in chunks of at most ``budget`` tokens, ready to be searched; made once per budget."""
        return self._sources.corpus(self.llm, budget)

    def budget(self, question: str, strategy: Strategy, task: Task | None = None) -> int:
        """Tokens of a chunk: as set, or as many as the strategy's prompts hold with this question."""
        room = strategy.room(self.llm, question, self.sampling, task)
        wanted = self.settings.chunk.tokens
        return wanted if room >= wanted else max(1, 1 << (room.bit_length() - 1))

    def plan(
        self,
        question: str,
        *,
        choices: Sequence[str] | None = None,
        schema: Mapping[str, Any] | str | None = None,
        summarise: bool = False,
    ) -> Plan:
        """An upper bound of what `ask` would spend: the largest chunks are taken for the selected ones."""
        from ctxproc.reading import planned
        from ctxproc.strategies.base import Plan
        from ctxproc.task import task_of

        strategy, task = self.strategy(self.settings.strategy), task_of(choices, schema, summarise)
        checked(question)
        corpus = self.corpus(self.budget(question, strategy, task))
        chunks = corpus.within(self.where)
        spent, top_k = Plan(), self.settings.retrieval.top_k
        if self._searched(strategy, task):
            job = self.job(question, chunks, [], Trace(), task, corpus)
            spent = planned(job, max(top_k, self.settings.retrieval.depth)) * sum(one.reads for one in self.scorers)
            chunks = sorted(chunks, key=lambda chunk: -chunk.tokens)[:top_k] if len(chunks) > top_k else chunks
        return spent + strategy.plan(self.job(question, chunks, [], Trace(), task, corpus))

    def _searched(self, strategy: Strategy, task: Task) -> bool:
        """Whether the strategy gets what a search finds, and not everything."""
        return bool(self.searchers) and strategy.reads == "selected" and not task.whole

    def job(
        self,
        question: str,
        chunks: Sequence[Chunk],
        relevance: Sequence[float],
        trace: Trace,
        task: Task,
        corpus: Corpus,
    ) -> Job:
        """What the strategy is handed."""
        from ctxproc.job import Found, Job
        from ctxproc.llm.meter import Limits as RunLimits

        def retrieve(query: str, k: int) -> list[Found]:
            return [Found(corpus.chunks[hit.index], hit.score) for hit in self._search(corpus, query, k)]

        return Job(
            question=question,
            chunks=chunks,
            llm=self.llm,
            task=task,
            relevance=relevance,
            retriever=retrieve if self.searchers else None,
            similarity=corpus.similar if any(one.embeds for one in self.searchers) else None,
            sampling=self.sampling,
            min_confidence=self.settings.answer.min_confidence,
            require_evidence=self.settings.answer.require_evidence,
            limits=RunLimits(self.settings.limits.calls, self.settings.limits.run_tokens),
            trace=trace,
        )

    def _search(self, corpus: Corpus, query: str, k: int) -> list[Hit]:
        # scorers that ask the model do so for the question only, not for what a strategy searches itself
        scorers = [one for one in self.scorers if corpus.reader or not one.reads]
        depth = self.settings.retrieval.depth
        return corpus.select(query, k, self.searchers, self.fusion, scorers, self.where, depth)

    def warm(self) -> Warmed:
        """Have the model read every chunk now, as all prompts over chunks begin, so that questions need not.

        Raises:
            ModelError: the model keeps nothing between calls, or cannot be loaded.
        """
        from ctxproc.llm.base import Warmed
        from ctxproc.llm.meter import AT_ONCE
        from ctxproc.prompt import template

        chunks = self.corpus(self.budget("?", self.strategy(self.settings.strategy))).chunks
        first = template("answer")
        places = dict.fromkeys(first.places, "")
        tell = Trace(listeners=self.listeners).progress("warm")
        total = Warmed()
        for start in range(0, len(chunks), AT_ONCE):
            tell(start, len(chunks))
            total += self.llm.warm([first.fill([chunk.text], places) for chunk in chunks[start : start + AT_ONCE]])
        tell(len(chunks), len(chunks))
        return total

    def ask(
        self,
        question: str,
        *,
        choices: Sequence[str] | None = None,
        schema: Mapping[str, Any] | str | None = None,
        summarise: bool = False,
        trace_file: Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> Answer:
        """The answer to one question, with evidence.

        Args:
            question: in words; not empty.
            choices: the answer is one of these.
            schema: the answer is JSON that this JSON Schema accepts, as text or mapping.
            summarise: the answer is a summary of all sources, as the question asks for.
            trace_file: also write the trace there.
            tell: called with the answer's text as it comes, a piece at a time, and with "" at every other step; what it
                raises ends the run. Joined, the pieces are the answer, or the beginning of one from which the run
                abstained in the end.

        Raises:
            UsageError: the question is empty, or no text.
            ConfigError: several of choices, schema and summarise are given, or one is malformed.
            PromptTooLongError: the question is too long for the model's window.
            LimitError: the sources have too many chunks.
            ModelError: the model cannot be loaded or used, or cannot do what is asked.
        """
        from ctxproc import trace as tracing
        from ctxproc.job import Voice
        from ctxproc.task import task_of

        began = time.monotonic()
        checked(question)
        strategy, task = self.strategy(self.settings.strategy), task_of(choices, schema, summarise)
        trace = Trace(listeners=list(self.listeners))
        if tell:
            trace.listeners.append(lambda event: tell(event.text if isinstance(event, Streamed) else ""))
        with ExitStack() as files:
            if trace_file:
                trace.listeners.append(files.enter_context(tracing.written(trace_file)))
            lost = ""
            try:
                kept = self._kept(trace.run)
                trace.listeners += [files.enter_context(tracing.written(kept))] if kept else []
            except (UsageError, OSError):  # nothing that was asked for is lost
                lost = "no trace is kept, since the cache folder cannot be written to: `ctxproc doctor` shows it"
            settings = self.settings.model_dump()
            title = strategy.title
            trace.emit(Started(trace.run, question, title, self.llm.name, settings, task.described, self.sources))
            if lost:
                trace.emit(Noted(lost))
            job = self._select(question, strategy, trace, task)
            answer = strategy(replace(job, voice=Voice(trace) if tell else None))
            answer = replace(answer, usage=replace(answer.usage, seconds=time.monotonic() - began))
            trace.emit(Answered(answer.to_json()))
        return answer

    def stream(self, question: str, **asked: Any) -> Stream:  # noqa: ANN401 (as `ask`)
        """The answer's text as it comes, then the answer: see `Stream`. One run at a time.

        Args:
            question: as in `ask`.
            asked: ``choices``, ``schema``, ``summarise`` and ``trace_file``, as in `ask`.
        """
        from ctxproc.stream import Stream

        return Stream(lambda tell: self.ask(question, tell=tell, **asked))

    def _select(self, question: str, strategy: Strategy, trace: Trace, task: Task) -> Job:
        from ctxproc.llm.meter import metered
        from ctxproc.reading import JobReader

        corpus = self.corpus(self.budget(question, strategy, task))
        chunks = corpus.within(self.where)
        scores: list[float] = []
        llm = self.llm
        if self._searched(strategy, task):
            job = self.job(question, chunks, [], trace, task, corpus)
            llm = metered(llm, job.limits, trace) if any(one.reads for one in self.scorers) else llm
            readable = corpus.read_by(JobReader(replace(job, llm=llm)))
            hits = sorted(self._search(readable, question, self.settings.retrieval.top_k), key=lambda hit: hit.index)
            found = {id(corpus.chunks[hit.index]): hit.score for hit in hits}
            if len(chunks) > self.settings.retrieval.top_k:
                chunks = [corpus.chunks[hit.index] for hit in hits]
            scores = [found.get(id(chunk), 0.0) for chunk in chunks]
        relevance = scores or [0.0] * len(chunks)
        places = tuple((c.document.source, c.start, c.end, score) for c, score in zip(chunks, relevance, strict=True))
        trace.emit(Selected(places if scores else (), len(corpus.chunks)))
        return replace(self.job(question, chunks, scores, trace, task, corpus), llm=llm)

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
    sources: Iterable[Source] | Source = (),
    *,
    preset: str | None = None,
    config: str | Path | None = None,
    llm: LLM | None = None,
    listeners: Sequence[Listener] = (),
    choices: Sequence[str] | None = None,
    schema: Mapping[str, Any] | str | None = None,
    summarise: bool = False,
    tell: Callable[[str], None] | None = None,
    memory: Memory | None = None,
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
        choices: as in `Library.ask`.
        schema: as in `Library.ask`.
        summarise: as in `Library.ask`.
        tell: as in `Library.ask`.
        memory: as in `Library`.
        settings: single settings, sections as mappings: ``strategy="stuff", retrieval={"top_k": 4}``.

    Raises:
        CtxprocError: as `Library` and `Library.ask` say.
    """
    from ctxproc.config import resolve
    from ctxproc.document import Document

    chosen, _ = resolve(preset=preset, file=Path(config) if config else None, flags=settings)
    one = isinstance(sources, (str, Path, Document))
    library = Library([sources] if one else sources, chosen, llm=llm, listeners=listeners, memory=memory)  # type: ignore[list-item,arg-type]
    return library.ask(question, choices=choices, schema=schema, summarise=summarise, tell=tell)


def checked(question: str) -> None:
    """Refuse a question that is empty, or holds bytes that are no text (in a command, surrogates stand for those)."""
    if not question.strip():
        raise UsageError("the question is empty: ask something")
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the question holds bytes that are not UTF-8: ask in plain text") from error


def runs_folder(settings: Settings) -> Path:
    """Where traces of past runs are kept."""
    from ctxproc.config import cache_folder

    return cache_folder(settings) / "runs"

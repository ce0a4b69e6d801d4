"""Every way over every question: the run of a comparison, which can be killed at any moment and goes on where it was.

Sources are read once; models are loaded one after the other, each for all its ways. Before the first question of a way is
timed, the model is loaded and the chunks are embedded. A transformers model keeps what it computed of a chunk for every
later question and way (the share of reused tokens tells): ``reuse.grade=full`` makes ways independent of their order.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ctxproc.compare_ask import asked, warm
from ctxproc.compare_ledger import NAME, Ledger
from ctxproc.compare_questions import Question, gold_places, read_questions
from ctxproc.compare_results import Comparison, Ran
from ctxproc.compare_ways import ALL, Search, Way, key_of, model_print, ways_of
from ctxproc.errors import CtxprocError, ModelError, UsageError
from ctxproc.strategies.base import Plan
from ctxproc.trace import Event, Listener, Noted, Progress, Trace

if TYPE_CHECKING:
    from ctxproc.ask import Library
    from ctxproc.catalogue import Spec
    from ctxproc.compare_scores import Scored
    from ctxproc.config import Settings
    from ctxproc.llm.base import LLM
    from ctxproc.sources import Source

WAY_TOKENS = 20_000_000
"""What one way may take for all questions, by plan, unless told otherwise."""

WRITTEN = 16
"""Tokens read that one token written counts as: reading is done for many at once, writing for one after the other."""

IN_A_ROW = 3
"""Questions that fail one after the other, after which a way is given up."""


class Comparing:
    """Questions over sources, opened, and the ways to compare.

    Args:
        questions: a file of JSON lines (see compare_questions.py), or questions.
        sources: files, folders, ``-`` for standard input, or documents.
        strategies: names or specs; "all" is every strategy.
        criteria: several sets of searchers; default: the one of the settings.
        models: as the setting ``model``; default: the one of the settings.
        settings: of all ways; default: all defaults.
        llm: a model object instead of ``models``.
        way_tokens: a way that would take more than this by plan is asked fewer questions, spread evenly over the file; a
            token written counts as `WRITTEN` read; None is no limit.
        listeners: told of what is loaded and of the progress.
        stdin: what ``-`` reads.

    Raises:
        UsageError: a source or the questions cannot be read, or there is no such strategy, criterion or setting.
    """

    def __init__(
        self,
        questions: str | Path | Sequence[Question],
        sources: Iterable[Source],
        strategies: Sequence[Spec] = (ALL,),
        criteria: Sequence[Search] = (),
        models: Sequence[str] = (),
        *,
        settings: Settings | None = None,
        llm: LLM | None = None,
        way_tokens: int | None = WAY_TOKENS,
        listeners: Sequence[Listener] = (),
        stdin: BinaryIO | None = None,
    ) -> None:
        from ctxproc.config import Settings
        from ctxproc.sources import Sources

        if llm and models:
            raise UsageError("models are named or a model object is handed over, not both")
        chosen = settings or Settings()
        if llm:
            chosen = chosen.model_copy(update={"model": llm.name})
        self.settings = chosen.model_copy(update={"cache": chosen.cache.model_copy(update={"runs": 0})})
        self.ways = ways_of(self.settings, strategies, criteria, models)
        for way in self.ways:
            way.settings(self.settings)
        self.questions = read_questions(Path(questions)) if isinstance(questions, (str, Path)) else list(questions)
        self.listeners = listeners
        self.documents = Sources(list(sources), self.settings, [self._tell], stdin).documents
        self.gold = [gold_places(question, self.documents) for question in self.questions]
        self._llm = llm
        self._most = way_tokens
        self._prints: dict[str, str] = {}

    def plan(self, out: Path | None = None) -> list[Ran]:
        """What each way would be asked and cost at most; ``rows`` holds the answers that the folder has already.

        No weights are loaded and nothing is written.
        """
        with Ledger(self._ledger(out) if out and self._ledger(out).exists() else None) as ledger:
            return [ran for _, ran in self._scheduled(ledger)]

    def run(self, out: Path | None = None) -> Comparison:
        """Ask what the folder holds no answer to yet, and give all answers.

        Args:
            out: where answers are kept as they come; None keeps none, and an interrupted run begins anew.

        Raises:
            UsageError: the folder cannot be used.
        """
        done: list[Ran] = []
        total = len(self.ways) * len(self.questions)
        with Ledger(self._ledger(out) if out else None) as ledger:
            for library, ran in self._scheduled(ledger):
                self._tell(Progress("compare", len(done) * len(self.questions), total))
                if library and not ran.reason:
                    self._ask_all(library, ran, ledger, len(done) * len(self.questions), total)
                done.append(ran)
                library = None  # so that its model is gone when the next one is loaded
        self._tell(Progress("compare", total, total))
        return Comparison(self.questions, self.gold, self.documents, done, self.settings)

    @staticmethod
    def _ledger(out: Path) -> Path:
        return out / NAME

    def _tell(self, event: Event) -> None:
        """Pass an event on; what is noted within a run is not, since there are many."""
        if not isinstance(event, Noted):
            for listener in self.listeners:
                listener(event)

    def _scheduled(self, ledger: Ledger) -> Iterator[tuple[Library | None, Ran]]:
        """Each way with the sources opened for it, None where they cannot be; one model is in memory at a time."""
        library: Library | None = None
        before: Way | None = None
        reason = ""
        for way in self.ways:
            if before is None or way.model != before.model:
                library = None
                gc.collect()
                library, reason = self._opened(way, None)
            elif way.search != before.search and library:
                library, reason = self._opened(way, library.llm)
            before = way
            if library is None:
                yield None, Ran(way, reason=reason)
                continue
            library.settings = way.settings(self.settings)
            ran = self._schedule(library, way)
            keys = self._keys(library, way)
            ran.rows = {place: ledger.rows[keys[place]] for place in ran.places if keys[place] in ledger.rows}
            yield library, ran

    def _opened(self, way: Way, llm: LLM | None) -> tuple[Library | None, str]:
        """The sources opened for a way, or why they cannot be."""
        from ctxproc.ask import Library

        try:
            settings = way.settings(self.settings)
            return Library(self.documents, settings, llm=llm or self._llm, listeners=[self._tell]), ""
        except ModelError as error:
            return None, str(error)

    def _keys(self, library: Library, way: Way) -> list[str]:
        """The key of each question's answer."""
        if way.model not in self._prints:
            self._prints[way.model] = self._llm.name if self._llm else model_print(way.model)
        told = self._prints[way.model]
        return [key_of(way, library.settings, told, library.sources, question) for question in self.questions]

    def _schedule(self, library: Library, way: Way) -> Ran:
        """Which questions a way is asked, and what that costs at most."""
        from ctxproc.task import task_of

        ran = Ran(way)
        plans: dict[int, Plan] = {}
        for place, question in enumerate(self.questions):
            try:
                strategy, task = library.strategy(way.strategy), task_of(**question.asked)
                corpus = library.corpus(library.budget(question.text, strategy, task))
                job = library.job(question.text, corpus.chunks[:1], [], Trace(), task, corpus)
                strategy.check(job)
                task.check(job.llm)
                plans[place] = library.plan(question.text, **question.asked)
            except CtxprocError as error:
                ran.errors[place] = str(error)
        if not plans:
            ran.reason, ran.errors = ran.errors[0], {}
            return ran
        ran.places, ran.reason = self._affordable(plans)
        ran.plan = sum((plans[place] for place in ran.places), Plan())
        return ran

    def _affordable(self, plans: Mapping[int, Plan]) -> tuple[list[int], str]:
        """The questions that a way is asked: all, or as many as the limit allows for, spread evenly."""
        places = sorted(plans)
        dearest = max((plan.prompt_tokens + WRITTEN * plan.new_tokens for plan in plans.values()), default=0)
        if self._most is None or dearest * len(places) <= self._most:
            return places, ""
        number = self._most // dearest
        if not number:
            return [], f"one question alone may take {dearest:,} tokens, and a way may take {self._most:,}"
        return [places[i * len(places) // number] for i in range(number)], ""

    def _ask_all(self, library: Library, ran: Ran, ledger: Ledger, done: int, total: int) -> None:
        """Ask what has no answer yet."""
        missing = [place for place in ran.places if place not in ran.rows]
        if not missing:
            return
        keys, failed = self._keys(library, ran.way), 0
        try:
            warm(library, [self.questions[place] for place in missing])
        except ModelError as error:
            ran.reason = str(error)
            return
        for place in missing:
            self._tell(Progress("compare", done + place, total))
            try:
                row = asked(library, self.questions[place], keys[place])
            except CtxprocError as error:
                ran.errors[place], failed = str(error), failed + 1
                if failed == IN_A_ROW:
                    ran.reason = str(error)
                    return
                continue
            failed, ran.rows[place] = 0, row
            ledger.add(row, ran.way, self.questions[place])


def compare(
    questions: str | Path | Sequence[Question],
    sources: Iterable[Source] | Source,
    strategies: Sequence[Spec] = (ALL,),
    *,
    criteria: Sequence[Search] = (),
    models: Sequence[str] = (),
    out: str | Path | None = None,
    settings: Settings | None = None,
    llm: LLM | None = None,
    way_tokens: int | None = WAY_TOKENS,
    listeners: Sequence[Listener] = (),
) -> list[Scored]:
    """Ask every question by every way, and measure the ways; the first is what the others are set against.

    Args:
        questions: a file of JSON lines, or questions.
        sources: a file, folder or document, or several.
        strategies: names or specs; "all" is every strategy.
        criteria: several sets of searchers, such as ``[("bm25", "cosine"), ("bm25",)]``.
        models: as the setting ``model``, several.
        out: a folder for the answers, the tables and the page; a second start goes on with it. None writes nothing.
        settings: of all ways.
        llm: a model object instead of ``models``.
        way_tokens: see `Comparing`.
        listeners: told of the progress.

    Raises:
        CtxprocError: as `Comparing` and `Comparing.run` say.
    """
    from ctxproc.compare_scores import scored
    from ctxproc.compare_tables import write_all
    from ctxproc.document import Document

    each = [sources] if isinstance(sources, (str, Path, Document)) else sources
    comparing = Comparing(
        questions,
        each,
        strategies,
        criteria,
        models,
        settings=settings,
        llm=llm,
        way_tokens=way_tokens,
        listeners=listeners,
    )
    folder = Path(out) if out is not None else None
    comparison = comparing.run(folder)
    scores = scored(comparison)
    if folder:
        write_all(comparison, scores, folder)
    return scores

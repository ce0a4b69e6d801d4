"""A chat that remembers: what is said is kept, and every reply is made of what is recalled for it.

    chat = ctxproc.Chat(memory=ctxproc.Memory("me.ctxproc", user="alice"))
    for piece in chat.stream("Where do I live?"):
        print(piece, end="")

A turn: the user's words are kept, facts are taken from them by rules, passages are recalled within a budget of tokens, the
model replies, the reply is kept. A model that does not write, such as the built-in reader, quotes what is recalled.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ctxproc.chat_recall import Documents, Recalled, Recaller
from ctxproc.chat_stream import Reply, ReplyStream, Said
from ctxproc.errors import CtxprocError, UsageError
from ctxproc.memory import exchange
from ctxproc.memory.base import Note, now
from ctxproc.memory.exchange_links import quoting
from ctxproc.memory.facts import key

if TYPE_CHECKING:
    from ctxproc.chat_sessions import Session
    from ctxproc.config import Settings
    from ctxproc.llm.base import LLM, Sampling
    from ctxproc.memory.bank import Bank, Consolidated
    from ctxproc.memory.erase import Receipt
    from ctxproc.memory.facts import Fact, Facts
    from ctxproc.memory.facts_shelf import FactShelf
    from ctxproc.memory.item import Item
    from ctxproc.memory.memory import Memory
    from ctxproc.prompt import Prompt
    from ctxproc.sources import Source
    from ctxproc.stream import Tell


class Chat:
    """A chat of one user, in any number of sessions. Several chats and threads may share a memory file and a model.

    Nothing is loaded before the first message. A turn costs a bounded number of tokens however much is remembered. When a
    reply is interrupted, or the model fails, the user's turn is kept and nothing of the reply is.

    Args:
        memory: of the user; nobody else's is read or written.
        llm: any model; default: the one that the settings name. Shared with other chats, each waits for its turn.
        settings: ``chat``, ``generation``, ``retrieval`` and ``chunk`` are used; default: the memory's.
        session: a name; turns of the same session follow each other. Default: a new one.
        speaker: the user's name in what is kept; default: the memory's user.
        sources: files, folders or documents to talk about, in place of those in the memory.
        clock: tells the time.

    Raises:
        UsageError: the name of the session or speaker is too long or cannot be stored.
        SourceError: a source cannot be read.
    """

    def __init__(
        self,
        memory: Memory,
        llm: LLM | None = None,
        settings: Settings | None = None,
        *,
        session: str | None = None,
        speaker: str | None = None,
        sources: Iterable[Source] = (),
        clock: Callable[[], datetime] = now,
    ) -> None:
        from ctxproc.memory.base import Owner

        self.memory = memory
        self.settings = settings or memory.settings
        self.session = session or f"{clock():%Y-%m-%d %H:%M} {secrets.token_hex(3)}"
        self.speaker = speaker or memory.owner.user
        Owner(self.speaker, session=self.session)  # refuses names that cannot be stored
        self.clock = clock
        self._given = llm
        self._loading = threading.Lock()
        self._documents = Documents(memory, sources, self.settings)
        self._recaller = Recaller(memory, self._documents, self.settings)
        self._stop = threading.Event()
        self._working: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stop consolidating in the background, if that is under way. The memory stays open."""
        self._stop.set()
        if self._working is not None:
            self._working.join()

    @property
    def llm(self) -> LLM:
        """The model; loaded when first asked for."""
        with self._loading:
            return self._llm

    @cached_property
    def _llm(self) -> LLM:
        from ctxproc.chat_writer import Shared
        from ctxproc.llm.load import load_llm

        return Shared(self._given or load_llm(self.settings))

    @cached_property
    def _bank(self) -> Bank:
        """Keeps turns and learns from them by rules; asks no model."""
        from ctxproc.memory.bank import Bank
        from ctxproc.memory.extract.rules import RuleExtractor

        return Bank(self.memory, extractor=RuleExtractor())

    @cached_property
    def _shelf(self) -> FactShelf:
        from ctxproc.memory.facts_shelf import FactShelf

        return FactShelf(self.memory.store, self.memory.owner)

    @cached_property
    def _sampling(self) -> Sampling:
        from ctxproc.llm.base import Sampling

        values = self.settings.generation.model_dump()
        return Sampling(**{**values, "stop": (*values["stop"], f"\n{self.speaker}:")})

    # turns

    def reply(self, text: str, *, as_of: str | date | None = None) -> Reply:
        """What the chat replies to a message.

        Args:
            text: the message; not empty.
            as_of: a day or a moment: reply by what was known and held then. The message is kept as said now.

        Raises:
            UsageError: the message is empty or cannot be stored; nothing was kept.
            PromptTooLongError: the message is too long for the model's window.
            ModelError: the model cannot be loaded or used. As in all errors that follow, the message is kept.
        """
        return self._turn(text, moment(as_of), lambda _piece: None)

    def stream(self, text: str, *, as_of: str | date | None = None) -> ReplyStream:
        """The reply as it comes; arguments and errors as `reply`. Nothing is done before it is iterated over."""
        until = moment(as_of)
        return ReplyStream(lambda tell: self._turn(text, until, tell))

    async def areply(self, text: str, *, as_of: str | date | None = None) -> Reply:
        """As `reply`, beside an event loop; cancelled, the message is kept and nothing of the reply."""
        return await self.stream(text, as_of=as_of).wait()

    def astream(self, text: str, *, as_of: str | date | None = None) -> ReplyStream:
        """As `stream`, for ``async for``."""
        return self.stream(text, as_of=as_of)

    def _turn(self, text: str, as_of: datetime | None, tell: Tell) -> Reply:
        """One turn; what ``tell`` raises ends it."""
        began, at = time.monotonic(), self.clock()
        as_of = None if as_of is None or as_of >= at else as_of
        exchange.checked(Note(text, "turn", at, self.speaker))
        turn = self._bank.turn(text, "user", self.speaker, self.session, at)
        facts = self._bank.learn(turn)
        tell("")
        if self.llm.writes:
            said, recalled = self._written(text, turn, at, as_of, tell)
        else:
            said, recalled = self._quoted(text, turn, facts, at, as_of)
            tell(said.text)
        tell("")
        made_of = quoting([turn, *said.quotes])
        kept = self._bank.turn(said.text, "assistant", "", self.session, max(at, self.clock()), made_of)
        usage = replace(said.usage, seconds=time.monotonic() - began)
        return Reply(said.text, said.abstained, tuple(recalled), tuple(facts), usage, turn, kept)

    def _recall(self, text: str, turn: int, at: datetime, as_of: datetime | None, budget: int) -> list[Recalled]:
        from ctxproc.chat_writer import counting

        count = counting(self.llm, self.speaker)
        return self._recaller.recall(
            text,
            self.llm,
            now=at,
            session=self.session,
            budget=budget,
            count=count,
            as_of=as_of,
            skip=turn,
            faded=self._bank.faded,
            me=self.speaker,
        )

    def _written(
        self, text: str, turn: int, at: datetime, as_of: datetime | None, tell: Tell
    ) -> tuple[Said, list[Recalled]]:
        """The reply of a model that writes."""
        from ctxproc.chat_writer import INSTRUCTIONS, prompt_of, reply

        chosen = self.settings.chat

        def recall(budget: int) -> list[Recalled]:
            return self._recall(text, turn, at, as_of, budget)

        def make(recalled: Sequence[Recalled]) -> Prompt:
            return prompt_of(chosen.instructions or INSTRUCTIONS, recalled, self.speaker, text, as_of or at)

        return reply(self.llm, self._sampling, chosen.budget, recall, make, tell)

    def _quoted(
        self, text: str, turn: int, learned: Iterable[int], at: datetime, as_of: datetime | None
    ) -> tuple[Said, list[Recalled]]:
        """The reply of a model that does not write."""
        from ctxproc.chat_reader import about_me, acknowledged, asks, by_facts, by_reading, of_whom, polite

        if (said := polite(text)) is not None:
            return said, []
        if of_whom(text):
            return about_me(text, [one for one in self.facts(as_of=as_of) if key(one.subject) == key(self.speaker)]), []
        if not asks(text):
            return acknowledged(text, [self.memory.get(one) for one in learned]), []
        recalled = self._recall(text, turn, at, as_of, self.settings.chat.budget)
        stored = self.memory.stored
        facts = self._shelf.facts() if as_of is None else self._shelf.facts().known(as_of)
        answers = facts.ask(text, stored.embedder.embed if stored.embeds else None, now=as_of or at, me=self.speaker)
        if answers:
            said_in = self.memory.store.passages(self.memory.owner, "memory", [answers[0].fact.turn])
            return by_facts(text, answers, said_in[0] if said_in else None, self.speaker), recalled
        return by_reading(text, recalled, self.llm, self.speaker, self.settings.chat.min_confidence), recalled

    # the memory

    def remember(self, text: str) -> int:
        """Keep a note of the user's, beside what is said; its number."""
        return self.memory.remember(text, speaker=self.speaker, time=self.clock())

    def recall(self, query: str, k: int | None = None, *, as_of: str | date | None = None) -> list[Item]:
        """The passages of the memory that are most relevant to a query; with ``as_of`` those that were known then."""
        at = moment(as_of)
        found = self.memory.recall(query, k, until=at)
        if at is None:
            return found
        known = {fact.id for fact in self._shelf.facts().known(at).all}  # a fact may hold from before it was said
        return [item for item in found if item.kind != "fact" or item.id in known]

    def facts(self, *, as_of: str | date | None = None) -> list[Fact]:
        """What holds: by all that is known now, or at a time by what was known then."""
        at = moment(as_of)
        facts: Facts = self._shelf.facts() if at is None else self._shelf.facts().known(at)
        return facts.read(as_of=at or self.clock())

    def forget(self, what: str | int, *, dry_run: bool = False) -> Receipt:
        """Forget all that contains a text, or one passage by its number, and what was made of it; see `Memory.forget`."""
        return self.memory.forget(what, dry_run=dry_run)

    def correct(self, what: int | str, right: str) -> int:
        """Say what is right in place of a fact that was never so; the number of the fact that holds instead.

        Args:
            what: the fact's number, or the wrong value as the one fact that holds has it.
            right: the value that is right.

        Raises:
            UsageError: there is no such fact, or several; names them.
        """
        from ctxproc.memory.facts_shelf import correct

        if not isinstance(what, str):
            return correct(self.memory, what, right)
        found = [fact for fact in self.facts() if key(fact.object) == key(what)]
        if len(found) != 1:
            which = "; ".join(f"{fact.id} ({fact.text})" for fact in found)
            raise UsageError(
                f"several facts say {what!r}, name one by its number: {which}"
                if found
                else f"no fact that holds says {what!r}"
            )
        return correct(self.memory, found[0].id, right)

    def sessions(self) -> list[Session]:
        """All sessions of the user, the one that was last used last."""
        from ctxproc.chat_sessions import sessions

        return sessions(self.memory)

    def consolidate(self, *, background: bool = False) -> Consolidated | None:
        """Make the facts, summaries and the portrait that are not made yet; see `Bank.consolidate`. Never part of a reply.

        It may be interrupted anywhere and goes on when it is called next.

        Args:
            background: do it in a thread, which `close` stops; None is returned, and an error of it shows when it is
                done in the foreground.
        """
        if not background:
            return self._consolidate(None)
        if self._working is None or not self._working.is_alive():
            self._stop.clear()
            self._working = threading.Thread(target=self._quietly, name="ctxproc-consolidate", daemon=True)
            self._working.start()
        return None

    def _quietly(self) -> None:
        try:
            self._consolidate(self._stop.is_set)
        except CtxprocError:  # what was done is kept, and the step that failed fails again when it is waited for
            return

    def _consolidate(self, stop: Callable[[], bool] | None) -> Consolidated:
        from ctxproc.memory.bank import Bank
        from ctxproc.memory.extract.reader import ReaderExtractor
        from ctxproc.memory.extract.rules import RuleExtractor

        reads = self.settings.chat.read_facts and self.llm.gives_confidence and not self.llm.writes
        # a bank of its own: turns do not wait for it
        bank = Bank(
            self.memory,
            llm=self.llm if self.llm.writes else None,
            extractor=RuleExtractor(),
            slow=ReaderExtractor(self.llm) if reads else None,
        )
        return bank.consolidate(self.clock(), stop)


def moment(as_of: str | date | None) -> datetime | None:
    """The last moment of a day, or the moment itself.

    Raises:
        ConfigError: it cannot be read.
    """
    from ctxproc.memory.filters import filtered

    before = filtered(until=as_of).before
    return None if before is None else before - timedelta(microseconds=1)

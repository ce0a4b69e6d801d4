"""Ways to recall turns of a chat for a question: the memory's, the baselines beside it, and mem0's. For `locomo.py`."""

from __future__ import annotations

import json
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from locomo_chats import Chat, Question
from numpy.typing import NDArray
from peers.client import Worker, WorkerError
from peers.protocol import Setup

from ctxproc import Memory
from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.memory.base import Note
from ctxproc.memory.corpus import Corpus
from ctxproc.memory.embed import Embedder, embed_cached
from ctxproc.memory.recollect import Count, recollect

FAR = 100
"""How deep a ranking is read where a budget of tokens is filled from it."""


class Known(Embedder):
    """The built-in embedder, which keeps the vectors of the turns in a folder, and all others in memory."""

    def __init__(self, cache: Path | None) -> None:
        super().__init__()
        self._cache = cache
        self._rows: dict[tuple[str, bool], NDArray[np.float32]] = {}

    def learn(self, texts: Sequence[str]) -> None:
        """Make the vectors of the turns of a chat."""
        rows = embed_cached(self, texts, self._cache)
        self._rows.update(((text, False), row) for text, row in zip(texts, rows, strict=True))

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """As ever."""
        lacking = [text for text in dict.fromkeys(texts) if (text, query) not in self._rows]
        for text, row in zip(lacking, super().embed(lacking, query), strict=True) if lacking else ():
            self._rows[text, query] = row
        return np.stack([self._rows[text, query] for text in texts])


class Way(ABC):
    """Recalls turns of one chat."""

    @abstractmethod
    def ranked(self, question: Question, k: int) -> list[tuple[int, float]]:
        """At most ``k`` places of turns, the most relevant first, and their scores."""

    def within(self, question: Question, budget: int, costs: Sequence[int]) -> list[tuple[int, float]]:
        """As many turns as fit; ``costs`` are the tokens of each. Those that do not fit are skipped."""
        found = []
        for place, score in self.ranked(question, FAR):
            if costs[place] <= budget:
                budget -= costs[place]
                found.append((place, score))
        return found


class Search(Way):
    """By the criteria of a search over the plain texts, or over those with the captions of photos."""

    def __init__(self, chat: Chat, embedder: Embedder, search: tuple[str, ...], captions: bool) -> None:
        texts = [turn.whole if captions else turn.text for turn in chat.turns]
        documents = [Document.from_text(text, f"turn {i}") for i, text in enumerate(texts)]
        self._corpus = Corpus([Chunk(one, 0, len(one.text), 0, 0) for one in documents], embedder)
        self._search = search

    def ranked(self, question: Question, k: int) -> list[tuple[int, float]]:
        """As the corpus selects them."""
        return [(hit.index, hit.score) for hit in self._corpus.select(question.text, k, self._search)]


class Last(Way):
    """The end of the chat: what a truncated history holds."""

    def __init__(self, chat: Chat) -> None:
        self._count = len(chat.turns)

    def ranked(self, question: Question, k: int) -> list[tuple[int, float]]:
        """The last turns, the last one first."""
        return [(place, 1.0) for place in range(self._count - 1, max(-1, self._count - 1 - k), -1)]

    def within(self, question: Question, budget: int, costs: Sequence[int]) -> list[tuple[int, float]]:
        """Back to the first that does not fit."""
        found = []
        for place in range(self._count - 1, -1, -1):
            budget -= costs[place]
            if budget < 0:
                break
            found.append((place, 1.0))
        return found


class Recollect(Way):
    """`ctxproc.memory.recollect`, as it is, in a new session; both speakers are users, and no facts are made."""

    def __init__(self, chat: Chat, embedder: Embedder, captions: bool) -> None:
        self._chat = chat
        self._folder = tempfile.TemporaryDirectory()
        self._memory = Memory(Path(self._folder.name, "chat.ctxproc"), "owner", embedder=embedder)
        ids = self._memory.remember_all(
            Note(
                turn.whole if captions else turn.text,
                "turn",
                turn.time,
                turn.speaker,
                f"chat/{turn.session}",
                {"role": "user", "session": str(turn.session)},
            )
            for turn in chat.turns
        )
        self._places = {number: place for place, number in enumerate(ids)}
        self.milliseconds: list[float] = []

    def _recall(self, question: Question, budget: int, count: Count) -> list[tuple[int, float]]:
        began = time.perf_counter()
        found = recollect(
            self._memory, question.text, now=self._chat.end, session="questions", budget=budget, count=count
        )
        self.milliseconds.append(1000 * (time.perf_counter() - began))
        return [(self._places[one.item.id], one.item.score) for one in reversed(found.items)]

    def ranked(self, question: Question, k: int) -> list[tuple[int, float]]:
        """With a budget of ``k`` tokens, of which every turn has one."""
        return self._recall(question, k, lambda text: 1)

    def within(self, question: Question, budget: int, costs: Sequence[int]) -> list[tuple[int, float]]:
        """With the budget."""
        tokens = {turn.whole: cost for turn, cost in zip(self._chat.turns, costs, strict=True)}
        tokens |= {turn.text: cost for turn, cost in zip(self._chat.turns, costs, strict=True)}
        return self._recall(question, budget, tokens.__getitem__)


class Mem0(Way):
    """mem0 in a process of its own, with the vectors of the same embedder."""

    def __init__(self, chat: Chat, embedder: Embedder, python: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        folder = Path(self._folder.name)
        texts = [turn.text for turn in chat.turns]
        asked = [question.text for question in chat.questions]
        every = list(dict.fromkeys([*texts, *asked]))
        (folder / "texts.json").write_text(json.dumps(every), encoding="utf-8")
        np.save(folder / "vectors.npy", embedder.embed(every))
        setup = Setup(str(folder), str(folder / "scratch"))
        try:
            self._worker = Worker("locomo_mem0", setup, python, folder / "log")
        except WorkerError:
            self._folder.cleanup()
            raise
        self.facts: dict[str, Any] = self._worker.started["value"]
        self._worker.call("add", [[turn.speaker, turn.text] for turn in chat.turns])

    def ranked(self, question: Question, k: int) -> list[tuple[int, float]]:
        """In mem0's order; it gives no scores that mean anything here."""
        found = self._worker.call("search", question.text, k)["value"]["places"]
        return [(place, 1.0) for place in found]


def ways(
    chat: Chat, embedder: Known, mem0: str, only: Iterable[str]
) -> tuple[dict[str, Way], dict[str, dict[str, str]]]:
    """The ways of these names, all if none is named, ready for the questions of a chat; and why a peer is absent."""
    embedder.learn([turn.text for turn in chat.turns])
    embedder.learn([turn.whole for turn in chat.turns])
    makers = {
        "recollect": lambda: Recollect(chat, embedder, captions=True),
        "recollect, no captions": lambda: Recollect(chat, embedder, captions=False),
        "bm25": lambda: Search(chat, embedder, ("bm25",), captions=False),
        "cosine": lambda: Search(chat, embedder, ("cosine",), captions=False),
        "bm25 and cosine": lambda: Search(chat, embedder, ("bm25", "cosine"), captions=False),
        "bm25, captions": lambda: Search(chat, embedder, ("bm25",), captions=True),
        "cosine, captions": lambda: Search(chat, embedder, ("cosine",), captions=True),
        "last turns": lambda: Last(chat),
    }
    if mem0:
        makers["mem0"] = lambda: Mem0(chat, embedder, mem0)
    chosen = list(only) or list(makers)
    made: dict[str, Way] = {}
    absent: dict[str, dict[str, str]] = {}
    for name in (name for name in makers if name in chosen):
        try:
            made[name] = makers[name]()
        except WorkerError as error:
            absent[name] = {"absent": str(error).splitlines()[-1], "install": "pip install mem0ai==2.2.1"}
    return made, absent

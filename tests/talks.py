"""Chats for tests: a clock that can be set, a memory without embeddings, a model that finds words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from ctxproc import Chat, Generation, Memory, Prompt, ScriptedLLM
from ctxproc.config import resolve
from ctxproc.llm.base import LLM, Sampling

BEGAN = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)


class Clock:
    """Goes on by a minute whenever it is read."""

    def __init__(self, time: datetime = BEGAN) -> None:
        self.time = time

    def __call__(self) -> datetime:
        self.time += timedelta(minutes=1)
        return self.time


class Quoter(ScriptedLLM):
    """Does not write: finds the first of some words in the context, and is sure of it."""

    writes = False

    def __init__(self, *words: str) -> None:
        super().__init__(self._find, gives_confidence=True)
        self.words = words

    def reserved(self, sampling: Sampling) -> int:
        return 0

    def _find(self, prompt: Prompt) -> Generation:
        text = prompt.part("context")
        found = next((word for word in self.words if word in text), "")
        return Generation(found, 0, 0, confidence=0.9 if found else 0.01, quote=text if found else "")


def memory_in(folder: Path, user: str = "alice", *sets: str) -> Memory:
    """The memory of a user in the one file of a folder."""
    settings, _ = resolve(sets=["retrieval.search=[bm25]", *sets])
    return Memory(folder / "me.ctxproc", user, settings=settings)


def chat_in(
    folder: Path, llm: LLM | None = None, user: str = "alice", sets: Sequence[str] = (), **values: object
) -> Chat:
    """A chat of that user."""
    values.setdefault("clock", Clock())
    return Chat(memory_in(folder, user, *sets), llm or ScriptedLLM(["Well."]), **values)  # type: ignore[arg-type]


def kept(memory: Memory) -> list[tuple[str, str]]:
    """Role and text of every turn."""
    return [(str(item.metadata["role"]), item.text) for item in memory.items() if item.kind == "turn"]

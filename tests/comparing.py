"""What the tests of comparisons share: a book, questions about it, a scripted reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ctxproc import Document, ScriptedLLM
from ctxproc.compare_run import Comparing
from ctxproc.config import Settings, resolve
from ctxproc.llm.base import Generation
from ctxproc.prompt import Prompt

FILLER = "The ferry left late again and the clerk wrote the hour in his book. Salt had come into the granary.\n\n"
KEEPER = "The lamp at the point is kept by Maren Oduya, who rows there each evening."
STAIRS = "The tower has 197 stairs, and every one of them is worn."
BOOK = FILLER * 40 + KEEPER + "\n\n" + FILLER * 20 + STAIRS + "\n\n" + FILLER * 20
KNOWN = {"lamp": ("Maren Oduya", KEEPER), "stairs": ("197", STAIRS)}

QUESTIONS: Sequence[dict[str, Any]] = (
    {"question": "Who keeps the lamp at the point?", "answers": ["Maren Oduya"], "evidence": [{"quote": KEEPER}]},
    {"question": "How many stairs has the tower?", "answers": ["198"], "spans": [{"quote": STAIRS}]},
    {"question": "What is the price of tin?", "answers": []},
    {"question": "Is the lamp lit?"},
)


def reading(prompt: Prompt) -> Generation:
    """Knows two things, and quotes where it read them; sure where it knows."""
    asked, read = prompt.field("question"), prompt.part("context")
    for word, (answer, quote) in KNOWN.items():
        if word in asked and quote in read:
            return Generation(answer, 50, 3, confidence=0.75, quote=quote)
    return Generation("", 50, 0, confidence=0.25, quote="")


def reader() -> ScriptedLLM:
    """A model that gives confidences, whose window holds the book's beginning and no answer."""
    return ScriptedLLM(reading, gives_confidence=True, context_window=700)


def words_only(*sets: str) -> Settings:
    """Settings that search by words, so that no embedder is needed, with chunks of a few sentences."""
    return resolve(sets=["retrieval.search=[bm25]", "retrieval.top_k=2", "chunk.tokens=60", *sets])[0]


def written(path: Path, lines: Sequence[dict[str, Any]] = QUESTIONS) -> Path:
    """A file of questions."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def comparing(folder: Path, strategies: Sequence[str] = ("map_rerank", "truncate"), **values: Any) -> Comparing:  # noqa: ANN401
    """Questions over the book, on the scripted reader."""
    questions = values.pop("questions", None) or written(folder / "questions.jsonl")
    values = {"settings": words_only(), "llm": reader(), **values}
    return Comparing(questions, [Document.from_text(BOOK, "book.txt")], strategies, **values)

"""What the chains are asked: documents, questions, the reader's facts and manner, and the window they have for it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctxproc.chunk import split
from ctxproc.document import Document
from ctxproc.llm.base import Tokenizer
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.text import sentence_around
from peers.chains_reader import SCORES, Fact, Manner, echo, rambling, talkative

EXAMPLES = Path(__file__).parents[2] / "examples"
CHUNK = 200  # tokens of a document that is a chunk
WINDOW, REPLY = 2048, 128

FACT = Fact("What is the watchword of the seventh gate?", "The watchword of the seventh gate is heron 42.", "heron 42")
DECOY = Fact(FACT.question, "The watchword of the seventh gate was once crane 17.", "crane 17", "98")
MARK = "Here begins the long chapter."


@dataclass(frozen=True)
class Question:
    """A question over documents and the answers it accepts; none where the documents hold none."""

    text: str
    answers: tuple[str, ...]
    documents: tuple[str, ...]


@dataclass(frozen=True)
class Case:
    """Questions and the model they are put to.

    Attributes:
        facts: what the reader finds.
        manner: how it replies.
        window: tokens of a prompt and its reply.
        reply: tokens of a reply at most.
        told: the other libraries are told window and reply; otherwise they go by their defaults.
        strategies: that it is about; empty: all.
    """

    name: str
    questions: tuple[Question, ...]
    facts: tuple[Fact, ...] = (FACT,)
    manner: Manner | None = None
    window: int = WINDOW
    reply: int = REPLY
    told: bool = True
    strategies: tuple[str, ...] = ()


def book(tokenizer: Tokenizer, search: Callable[[Sequence[str]], Callable[[str], Sequence[str]]] | None = None) -> Case:
    """The shipped questions over the shipped book in chunks: over all of them, or those that are found for a question.

    A question whose passage is cut by a chunk's border is left out.

    Args:
        tokenizer: of the model.
        search: from the chunks to a function that picks some of them for a question.
    """
    text = (EXAMPLES / "lighthouse.md").read_text(encoding="utf-8")
    chunks = [chunk.text for chunk in split(Document.from_text(text), tokenizer, CHUNK)]
    choose = search(chunks) if search else lambda _: chunks
    questions, facts = [], []
    for line in (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        answers = tuple(row["answers"])
        if answers:
            span = row["spans"][0]
            at = text.index(answers[0], span["start"], span["end"])
            start, end = sentence_around(text, at, at + len(answers[0]))
            if not any(text[start:end] in chunk for chunk in chunks):
                continue
            facts.append(Fact(row["question"], text[start:end], answers[0]))
        questions.append(Question(row["question"], answers, tuple(choose(row["question"]))))
    return Case("book", tuple(questions), tuple(facts))


def planted(tokenizer: Tokenizer, documents: int) -> Case:
    """Ten facts of the same kind, each put into one of many stretches of the book, which say nothing on them."""
    draw = random.Random(1)
    towns = [
        "Aldmoor",
        "Brinstow",
        "Carrick",
        "Dunvale",
        "Eskham",
        "Farleigh",
        "Glaston",
        "Holmby",
        "Ivering",
        "Jarrow",
    ]
    numbers = draw.sample(range(100, 1000), len(towns))
    facts = [
        Fact(
            f"How many bells hang in the tower of {town}?", f"In the tower of {town} hang {number} bells.", str(number)
        )
        for town, number in zip(towns, numbers, strict=True)
    ]
    texts = [stretch(tokenizer, CHUNK - 20, i) for i in range(documents)]
    for fact in facts:
        place = draw.randrange(documents)
        texts[place] = plant(texts[place], fact.passage, draw.random())
    asked = tuple(Question(fact.question, (fact.answer,), tuple(texts)) for fact in facts)
    return Case("planted", asked, tuple(facts))


def hostile() -> Iterator[Case]:
    """What people reported of LangChain's chains, and what was measured on them. Tokens are words.

    Where a document is too long or empty, the fact is still in a place that a program can read; an echo says nothing, so
    to abstain is right.
    """
    words = WordTokenizer()
    short = [stretch(words, 150, i) for i in range(5)]
    long = plant(stretch(words, WINDOW + 500, 7), FACT.passage, 0.9)
    for place, where in ((0, "first"), (2, "middle"), (4, "last")):
        yield one(f"oversize document {where}", [*short[:place], long, *short[place + 1 :]])
    told = [plant(short[0], FACT.passage), *short[1:4]]
    for place, where in ((0, "first"), (2, "middle"), (4, "last")):
        marked = [*told[:place], f"{MARK} {short[4]}", *told[place:]]
        yield one(f"long reply {where}", marked, rambling(MARK, 700), reply=700)
    halves = [stretch(words, 1200, 3), plant(stretch(words, 1200, 4), FACT.passage, 0.9)]
    yield one("two documents, together too long", halves)
    full = [stretch(words, WINDOW - 60, i) for i in range(3)]
    yield one("a document as long as the window", [*full[:2], plant(full[2], FACT.passage, 0.9)])
    many = [stretch(words, 150, i) for i in range(40)]
    hidden = [*many[:20], plant(many[20], FACT.passage), *many[21:]]
    yield one("window untold", hidden, window=1024, told=False)
    yield one("small window", hidden, window=512)
    yield one("replies that never shrink", hidden, talkative(350), reply=350)
    yield one("echo", many, echo, answers=(), reply=350)
    yield one("an empty document", [short[0], "", " \n", plant(short[1], FACT.passage)])
    yield one("an empty document alone", [""], answers=())
    yield one("no document", [], answers=())
    for name, manner in SCORES.items():
        facts = (Fact(FACT.question, FACT.passage, FACT.answer, "98.5"), DECOY) if name == "half points" else (FACT,)
        texts = [plant(short[0], DECOY.passage), short[1], plant(short[2], FACT.passage), short[3]]
        yield one(f"score: {name}", texts, manner, facts=facts, strategies=("map_rerank",))


def one(
    name: str,
    documents: Sequence[str],
    manner: Manner | None = None,
    answers: tuple[str, ...] = (FACT.answer,),
    **more: object,
) -> Case:
    """A case of one question."""
    return Case(name, (Question(FACT.question, answers, tuple(documents)),), manner=manner, **more)  # type: ignore[arg-type]


def stretch(tokenizer: Tokenizer, tokens: int, number: int) -> str:
    """So many tokens of the shipped book; another number, another place."""
    text = (EXAMPLES / "lighthouse.md").read_text(encoding="utf-8")
    starts = tokenizer.starts(text)
    first = number * 577 % (len(starts) - tokens)
    return text[starts[first] : starts[first + tokens]].strip()


def plant(text: str, sentence: str, share: float = 0.5) -> str:
    """``text`` with a sentence put between two of its words, after so large a share of them."""
    words = text.split(" ")
    at = int(share * len(words))
    return " ".join([*words[:at], f"\n\n{sentence}\n\n", *words[at:]])

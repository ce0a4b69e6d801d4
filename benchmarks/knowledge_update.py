"""Whether a memory knows what holds now, what held before, and since when, after facts have changed in a chat.

    python benchmarks/knowledge_update.py [--histories 200] [--dev | --third] [--extractor reader] [--seed 0] [--json FILE]

Each history is a chat of several months in which one fact of the user, or of somebody he talks about, changes 1 to 10
times, in changing words, beside three facts that stay, one or two other people (of the same first name, where it is not
about the user), small talk that names other values, and replies. Then it is asked what holds now, what held before one of
the values, and when one began. One history in five is in Chinese. Compared are

    true triples    `Facts.ask` over the triples that the chat was made of: the questions alone
    rules           the same over what `RuleExtractor` finds in the turns
    reader          the same with what `ReaderExtractor` adds to it (``--extractor reader``)
    top 1, top 5    the turns most similar to the question by the built-in embedder: whether the value stands in one of them
                    ("when": whether one of them was said on that day)
    latest of 5     the latest of these five

What "top 5" counts as right still has to be told from four other turns. The rules were written on the ways of saying
and asking in knowledge_update_dev.py (``--dev``); what is reported uses those of knowledge_update_test.py. Prints one
JSON object.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import knowledge_update_dev
import knowledge_update_test
import knowledge_update_third
import numpy as np
from common import normalise, percent, publish
from knowledge_update_chats import USER, History, history
from numpy.typing import NDArray

from ctxproc.memory.base import Matrix, Passage
from ctxproc.memory.embed import Embedder
from ctxproc.memory.extract.base import Extractor, Triple
from ctxproc.memory.facts import Embed, Facts, fact_note, key

KINDS = ("now", "before", "when")
FIRST_FACT = 1_000_000
Scores = dict[str, dict[str, list[float]]]


class Remembering:
    """An embedder that embeds each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, NDArray[np.float32]] = {}

    def __call__(self, texts: Sequence[str]) -> Matrix:
        """Vectors of texts, shape (texts, dimensions)."""
        lacking = sorted({text for text in texts if text not in self._vectors})
        if lacking:
            self._vectors |= dict(zip(lacking, self._embedder.embed(lacking), strict=True))
        return np.stack([self._vectors[text] for text in texts])


def facts_of(chat: History, triples: Callable[[Passage], list[Triple]]) -> Facts:
    """The facts that an extractor makes of a chat."""
    notes = [fact_note(triple, turn) for turn in chat.turns for triple in triples(turn)]
    return Facts.of(Passage(FIRST_FACT + place, note) for place, note in enumerate(notes))


def true_triples(chat: History) -> Callable[[Passage], list[Triple]]:
    """What a chat was made of."""
    return lambda turn: [chat.truth[turn.id]] if turn.id in chat.truth else []


def answered(facts: Facts, chat: History, kind: str, embed: Embed) -> str:
    """The answer to a question, empty where there is none; several are all of them."""
    found = facts.ask(chat.questions[kind][0], embed, now=chat.asked, me=USER)
    return " | ".join(sorted({answer.value for answer in found}))


def recalled(chat: History, kind: str, embed: Embed) -> dict[str, float]:
    """Whether the turns that are most similar to the question hold the answer."""
    question, gold = chat.questions[kind]
    scores = embed([turn.text for turn in chat.turns]) @ embed([question])[0]
    best = [chat.turns[place] for place in np.argsort(-scores, kind="stable")[:5]]

    def holds(turn: Passage) -> bool:
        return turn.note.time.date().isoformat() == gold if kind == "when" else normalise(gold) in normalise(turn.text)

    latest = max(best, key=lambda turn: turn.note.time)
    return {"top 1": float(holds(best[0])), "top 5": float(any(map(holds, best))), "latest of 5": float(holds(latest))}


def extracting(by: str) -> Callable[[Passage], list[Triple]]:
    """What finds facts in a turn: the rules, or these and the reader where they find nothing.

    A text in which nothing was found is not read again.
    """
    from ctxproc.llm.builtin import BuiltinReader
    from ctxproc.memory.extract.reader import ReaderExtractor
    from ctxproc.memory.extract.rules import RuleExtractor

    extractors: list[Extractor] = [RuleExtractor()] + ([ReaderExtractor(BuiltinReader())] if by == "reader" else [])
    empty: set[tuple[str, str]] = set()

    def extract(turn: Passage) -> list[Triple]:
        said = turn.text, str(turn.note.metadata["role"])
        found = [] if said in empty else [triple for one in extractors for triple in one.extract(turn)]
        if not found:
            empty.add(said)
        return found

    return extract


def found_of(chat: History, triples: Callable[[Passage], list[Triple]]) -> tuple[list[float], list[float]]:
    """For each true triple whether it was found, and for each found one whether it is true or says what just ended."""
    recall, precision = [], []
    for turn in chat.turns:
        true = chat.truth.get(turn.id)
        named = {name(one) for one in triples(turn) if not one.ends}
        if true is not None:
            recall.append(float(name(true) in named))
        precision += [float(true is not None and one == name(true)) for one in named]
    return recall, precision


def name(triple: Triple) -> tuple[str, str, str]:
    """What is compared of a triple; articles are not."""
    return key(triple.subject), key(triple.relation), normalise(triple.object)


@click.command()
@click.option("--histories", default=200, show_default=True)
@click.option("--dev", is_flag=True, help="the ways of saying and asking on which the rules were written")
@click.option("--third", is_flag=True, help="those of an author who had read no rule")
@click.option("--extractor", "by", type=click.Choice(("rules", "reader")), default="rules", show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--wrong", is_flag=True, help="also list what is answered wrongly")
@click.option("--json", "out", type=click.Path(path_type=Path), help="write the result there too")
def main(histories: int, dev: bool, third: bool, by: str, seed: int, wrong: bool, out: Path | None) -> None:
    """Run the benchmark."""
    ways = knowledge_update_third if third else knowledge_update_dev if dev else knowledge_update_test
    embed, extract = Remembering(Embedder()), extracting(by)
    chats = [history(number, seed, ways) for number in range(histories)]
    scores: Scores = {kind: {} for kind in KINDS}
    recall: list[float] = []
    precision: list[float] = []
    mistakes: list[str] = []
    for chat in chats:
        missed, junk = found_of(chat, extract)
        recall += missed
        precision += junk
        ways_of = {"true triples": facts_of(chat, true_triples(chat)), by: facts_of(chat, extract)}
        for kind in KINDS:
            question, gold = chat.questions[kind]
            for way, facts in ways_of.items():
                answer = answered(facts, chat, kind, embed)
                right = normalise(answer) == normalise(gold)
                scores[kind].setdefault(way, []).append(float(right))
                if not right:
                    mistakes.append(f"{way}, {kind}: {question} -> {answer!r}, not {gold!r}")
            for way, value in recalled(chat, kind, embed).items():
                scores[kind].setdefault(way, []).append(value)
    result: dict[str, Any] = {
        "histories": histories,
        "seed": seed,
        "ways": ways.__name__.removeprefix("knowledge_update_"),
        "turns": sum(len(chat.turns) for chat in chats),
        "accuracy": {kind: {way: percent(values) for way, values in by.items()} for kind, by in scores.items()},
        "by language": {
            language: {
                kind: {way: percent(part) for way, values in by.items() if (part := of(values, chats, language))}
                for kind, by in scores.items()
            }
            for language in ("English", "Chinese")
        },
        "extraction": {"recall": percent(recall), "precision": percent(precision or [0.0])},
    }
    if wrong:
        click.echo("\n".join(mistakes), err=True)
    whole = publish("knowledge_update", result, n=histories, seed=seed)
    if out:
        out.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")


def of(values: Sequence[float], chats: Sequence[History], language: str) -> list[float]:
    """Those of the chats in one language."""
    return [value for value, chat in zip(values, chats, strict=True) if chat.chinese == (language == "Chinese")]


if __name__ == "__main__":
    main()

"""Recall for questions about long chats (LoCoMo): which turns are recalled, and what is answered from them.

    python benchmarks/locomo.py --data ../shared/data --cache FOLDER [--mem0 PYTHON]

Five chats of two people over months, 2,760 turns, 999 questions with the turns that hold the evidence. Recall@k is the
share of a question's evidence among the first k turns, over the questions of the categories 1 to 4; those of category 5
have no answer in the chat (they name the wrong speaker). Every way is given the same questions: `recollect` as it is in a
chat, BM25 alone and cosine alone over the plain texts of the turns, both fused, both with the captions of photos in the
text (as `recollect` has them), and the last turns. mem0 is given the same embedder, and no language model.

Then each way fills a budget of tokens, and the built-in reader answers from it, a line for each turn with speaker and date:
F1 after SQuAD (an abstention counts 0), and of category 5 how often it abstains, at the confidence that a chat asks for.
Choices were made on the questions of even number, the odd ones are the test half. Prints one JSON object.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, median
from typing import Any

import click
from common import f1, percent, publish
from locomo_chats import CATEGORIES, Chat, Question, chats
from locomo_ways import Known, Recollect, Way, ways

from ctxproc.chunk import split
from ctxproc.config import Settings
from ctxproc.document import Document
from ctxproc.job import Found, Job
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.memory.dates import dated
from ctxproc.strategies import make

AT = (5, 10, 20)
BASELINES = ("bm25", "cosine")
BUDGETED = ("recollect", "bm25", "cosine", "last turns")
LONGEST = 200

Row = dict[str, float]


class Reading:
    """Answers questions from recalled turns.

    Args:
        resolved: whether "yesterday" is given its date.
    """

    def __init__(self, resolved: bool) -> None:
        self.llm = BuiltinReader()
        self._resolved = resolved
        self._settings = Settings()

    def line(self, chat: Chat, place: int) -> str:
        """A turn as the reader sees it."""
        turn = chat.turns[place]
        text = dated(turn.whole, turn.time) if self._resolved else turn.whole
        return f"{turn.speaker}, {turn.time.day} {turn.time:%B %Y}: {text}"

    def answer(self, chat: Chat, question: Question, found: Sequence[tuple[int, float]]) -> tuple[str, bool]:
        """The answer, and whether it is none."""
        best = max((score for _, score in found), default=1.0) or 1.0
        some = [
            Found(chunk, score / best)
            for place, score in sorted(found)
            for chunk in split(Document.from_text(self.line(chat, place), f"turn {place}"), self.llm.tokenizer, LONGEST)
        ]
        job = Job(
            question.text,
            [one.chunk for one in some],
            self.llm,
            min_confidence=self._settings.chat.min_confidence,
        )
        draft = make("map_rerank")(job.over(some))
        return draft.text, draft.abstained


def recalls(way: Way, question: Question) -> Row:
    """Recall at each depth."""
    found = [place for place, _ in way.ranked(question, max(AT))]
    return {f"recall@{k}": len(question.evidence & set(found[:k])) / len(question.evidence) for k in AT}


def budgeted(
    way: Way, chat: Chat, question: Question, budget: int, costs: Sequence[int], reader: Reading | None
) -> Row:
    """What a budget holds, and what is answered from it."""
    found = way.within(question, budget, costs)
    row = {"tokens": float(sum(costs[place] for place, _ in found)), "turns": float(len(found))}
    if question.category != 5 and question.evidence:
        row["evidence"] = len(question.evidence & {place for place, _ in found}) / len(question.evidence)
    if reader is not None:
        text, abstained = reader.answer(chat, question, found)
        row["abstained"] = float(abstained)
        if question.category != 5:
            row["f1"] = 0.0 if abstained else f1(text, [question.answer])
    return row


def by_category(rows: Sequence[tuple[Question, Row]], measures: Sequence[str]) -> dict[str, Any]:
    """The measures over the questions with an answer, then over each category."""
    found: dict[str, Any] = {}
    for name, wanted in {"all": (1, 2, 3, 4), **{CATEGORIES[n]: (n,) for n in CATEGORIES}}.items():
        some = [row for question, row in rows if question.category in wanted]
        means = {m: percent([row[m] for row in some if m in row]) for m in measures if any(m in row for row in some)}
        found[name] = {"questions": len(some), **means}
    return found


def gains(rows: dict[str, list[tuple[Question, Row]]]) -> dict[str, Any]:
    """Recall@10 of `recollect` over the better baseline, question by question."""
    measure = "recall@10"
    some = {name: [row[measure] for question, row in rows[name] if question.category != 5] for name in rows}
    there = [name for name in BASELINES if name in some]
    if not there or "recollect" not in some:
        return {}
    best = max(there, key=lambda name: mean(some[name]))
    return {"over": best, measure: percent([a - b for a, b in zip(some["recollect"], some[best], strict=True)])}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option(
    "--half", type=click.Choice(["odd", "even"]), default="odd", show_default=True, help="odd is the test half"
)
@click.option("--only", multiple=True, help="these ways")
@click.option("--budget", default=1000, show_default=True, help="tokens; 0 leaves this part out")
@click.option("--read/--no-read", default=True, show_default=True, help="answer from what was recalled")
@click.option(
    "--resolved/--unresolved", default=True, show_default=True, help="give 'yesterday' its date for the reader"
)
@click.option("--sample", default=10**6, help="questions of each chat that fill a budget, drawn at random")
@click.option("--mem0", default="", help="the Python that has mem0ai")
@click.option("--cache", type=click.Path(path_type=Path), help="folder of embeddings")
@click.option("--out", type=click.Path(path_type=Path), help="also write every question, one JSON object a line")
def main(
    data: Path,
    half: str,
    only: tuple[str, ...],
    budget: int,
    read: bool,
    resolved: bool,
    sample: int,
    mem0: str,
    cache: Path | None,
    out: Path | None,
) -> None:
    """Recall, answer, and print the figures."""
    embedder, reader = Known(cache), Reading(resolved)
    ranked: dict[str, list[tuple[Question, Row]]] = {}
    filled: dict[str, list[tuple[Question, Row]]] = {}
    spent: list[float] = []
    facts: dict[str, Any] = {}
    for chat in chats(data):
        made, absent = ways(chat, embedder, mem0, only)
        facts |= absent
        costs = [reader.llm.tokenizer.count(reader.line(chat, place)) for place in range(len(chat.turns))]
        asked = [one for one in chat.questions if one.line % 2 == (half == "odd")]
        drawn = random.Random(0).sample(asked, min(sample, len(asked)))
        for name, way in made.items():
            some = [one for one in asked if one.evidence]
            ranked.setdefault(name, []).extend((one, recalls(way, one)) for one in some)
            facts |= {name: way.facts} if hasattr(way, "facts") else {}
            if budget and name in BUDGETED:
                by = reader if read else None
                filled.setdefault(name, []).extend((one, budgeted(way, chat, one, budget, costs, by)) for one in drawn)
            if name == "recollect" and isinstance(way, Recollect):
                spent += way.milliseconds[1:]
            click.echo(f"{chat.name} {name}", err=True)
    result = {
        "half": half,
        "recall": {name: by_category(rows, [f"recall@{k}" for k in AT]) for name, rows in ranked.items()},
        "gain": gains(ranked),
        f"budget of {budget} tokens": {
            name: {
                "tokens": round(mean(row["tokens"] for _, row in rows)),
                "turns": round(mean(row["turns"] for _, row in rows), 1),
                **by_category(rows, ("evidence", "f1", "abstained")),
            }
            for name, rows in filled.items()
        },
        "milliseconds of recollect, p50": round(median(spent), 1) if spent else None,
        **facts,
    }
    if out:
        every = [(name, *pair) for part in (ranked, filled) for name, rows in part.items() for pair in rows]
        lines = [{"way": name, "line": one.line, "category": one.category, **row} for name, one, row in every]
        out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    publish("locomo", result)


if __name__ == "__main__":
    main()

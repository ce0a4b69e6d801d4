"""How much of a list the built-in reader names where a question asks for several.

    python benchmarks/reader_lists.py --data ../shared/data

Questions are made from Re-DocRED's documents at odd places: an entity with at least two objects of one relation, asked for
in the plural ("Which languages does ... speak?"). Precision, recall and F1 are of the members of the list, compared by
their words without articles: a member is found if it or a mention of it is named, with at most two words too many.
``single`` is the likeliest span alone. Objects that the document only implies are not in it, so recall cannot be 100.
The reader's first two stages read these documents, with questions in the singular; the choice of members is not trained,
its one threshold was chosen on the even places.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from builtin_spread import training
from common import percent, publish

from ctxproc.llm.reader import SpanReader

SEED = 1
WORDS = 260  # of a document that are read
PLURAL = {
    "P161": "Which actors star in {}?",
    "P40": "Who are the children of {}?",
    "P47": "Which places share a border with {}?",
    "P150": "Which places are parts of {}?",
    "P527": "Who are the members of {}?",
    "P800": "What are the notable works of {}?",
    "P1412": "Which languages does {} speak?",
    "P166": "Which awards did {} receive?",
    "P54": "Which teams did {} play for?",
    "P69": "Which schools did {} attend?",
    "P50": "Who are the authors of {}?",
    "P175": "Which performers recorded {}?",
    "P172": "Which ethnic groups does {} belong to?",
    "P3373": "Who are the siblings of {}?",
    "P162": "Who are the producers of {}?",
    "P108": "Which employers did {} work for?",
    "P463": "Which groups did {} belong to?",
    "P710": "Who are the participants of {}?",
    "P1344": "Which events did {} take part in?",
    "P607": "Which wars did {} fight in?",
    "P27": "Which countries are the home of {}?",
}
"""Questions by the relation of Wikidata."""


@dataclass(frozen=True)
class Listing:
    """A question, the passage, and the mentions of each member."""

    question: str
    passage: str
    members: tuple[frozenset[str], ...]


def listings(data: Path, odd: bool = True) -> list[Listing]:
    """All questions of the documents at odd, or even, places."""
    texts = training("reader_text")
    found = []
    for document in texts.redocred(data)[int(odd) :: 2]:
        entities = [frozenset(mention["name"] for mention in mentions) for mentions in document["vertexSet"]]
        objects: dict[tuple[int, str], set[int]] = defaultdict(set)
        for label in document["labels"]:
            if label["r"] in PLURAL:
                objects[label["h"], label["r"]].add(label["t"])
        passage, _ = texts.detokenise([word for sentence in document["sents"] for word in sentence])
        for (subject, relation), some in objects.items():
            if len(some) > 1:
                name = document["vertexSet"][subject][0]["name"]
                question = PLURAL[relation].format(name)
                found.append(Listing(question, passage, tuple(entities[k] for k in sorted(some))))
    return found


def words(text: str) -> set[str]:
    """In lower case, without articles."""
    return set(re.findall(r"\w+", text.lower())) - {"the", "a", "an"}


def scores(named: list[str], members: tuple[frozenset[str], ...]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the members that are named."""
    said = [words(text) for text in named if words(text)]
    wanted = [[words(mention) for mention in member] for member in members]

    def same(one: set[str], mention: set[str]) -> bool:
        return one <= mention or (mention <= one and len(one) <= len(mention) + 2)

    right = sum(any(same(one, mention) for member in wanted for mention in member) for one in said)
    found = sum(any(same(one, mention) for one in said for mention in member) for member in wanted)
    precision, recall = right / max(1, len(said)), found / len(wanted)
    return precision, recall, 2 * precision * recall / (precision + recall) if right and found else 0.0


def measure(reader: SpanReader, items: list[Listing]) -> dict[str, Any]:
    """Figures of the list and of the likeliest span alone."""
    passages = [" ".join(item.passage.split()[:WORDS]) for item in items]
    readings = reader.read([item.question for item in items], passages, always=True)
    rows: dict[str, list[tuple[float, float, float]]] = {"list": [], "single": []}
    for item, passage, reading in zip(items, passages, readings, strict=True):
        single = (reading.start, reading.end)
        for name, spans in (("list", reading.members or (single,)), ("single", (single,))):
            rows[name].append(scores([passage[a:b] for a, b in spans], item.members))
    kinds = ("precision", "recall", "f1")
    return {
        f"{name}, {kind}": percent([row[k] for row in some])
        for name, some in rows.items()
        for k, kind in enumerate(kinds)
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--most", default=200, show_default=True, help="a sample of so many questions")
def main(data: Path, most: int) -> None:
    """Measure, and print the figures as JSON."""
    items = listings(data)
    items = random.Random(SEED).sample(items, min(most, len(items)))
    publish("reader_lists", measure(SpanReader.load(), items), n=len(items), seed=SEED)


if __name__ == "__main__":
    main()

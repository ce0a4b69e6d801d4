"""How well concepts and relations are found in documents without a model: Re-DocRED and LitBank.

    python benchmarks/graph_extraction.py --data ../shared/data [--half odd] [--json FILE]

Concepts (nodes of a graph), against the annotated mentions of each sentence, as sets of normalised strings:

    concepts    `ctxproc.memory.extract.concepts.concepts`, the nodes of RecallM's graph: single nouns, names, numbers
    names       neighbouring names of these joined, and numbers
    capitals    a baseline: runs of words with a capital, and numbers
    words       a baseline: every word that is not closed-class
    tagger      the mentions of the built-in tagger, which reads whole documents; only with ``--half even``, since the
                odd documents are those that it was trained on

``exact``: the whole strings are equal. ``head``: their last words are; of an annotated phrase the last word before a
preposition or a comma. Re-DocRED marks names, dates and numbers; LitBank marks people, places, vehicles and
organisations, also where they are common nouns ("the old house"), and no other noun.

Relations, of each Re-DocRED document, pairs of annotated things:

    relations   `ctxproc.memory.extract.relations.relations`: typed; right where the pair has one of the types that `TYPES`
                names for it, in this direction
    untyped     the same, right where the pair has any annotated relation in any direction
    neighbours  names next to each other in a sentence, as RecallM links them: right as "untyped"
    tagger      the relations of the built-in tagger, typed and untyped, as above

A predicted name stands for an annotated thing if it is, normalised, one of its mentions. Precision, recall and F1 are those
of the counts of all documents together, in percent, with 95 % intervals by a bootstrap over documents. The rules were
written looking at even documents (counted from 1), so that the odd ones are reported of them, and that the even ones flatter
them where they are compared with the tagger. `RuleExtractor` and `LlmExtractor` give facts
about the user of a chat and nothing of documents, so they have no row.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
from common import machine, normalise

from ctxproc.llm.hardware import choose_device, choose_dtype
from ctxproc.llm.shelf import built_in
from ctxproc.llm.tagger import Tagged, Tagger
from ctxproc.memory.extract.concepts import concepts
from ctxproc.memory.extract.relations import relations
from ctxproc.memory.extract.words_en import CLOSED
from ctxproc.text import sentences

Counts = tuple[int, int, int]
"""Right, predicted, annotated."""
DRAWS = 1000
TYPES = {
    "was born on": "P569",
    "died on": "P570",
    "was born in": "P19",
    "died in": "P20",
    "has nationality": "P27 P17 P495",
    "was released in": "P577 P571",
    "was founded in": "P571",
    "was founded by": "P112 P170",
    "was made by": "P175 P50 P57 P86 P162 P170 P178 P58",
    "has the actor": "P161",
    "is located in": "P131 P17 P276 P159 P361 P30 P706",
    "is the capital of": "P1376",
    "is a member of": "P463 P102",
    "is part of": "P361 P463",
    "studied at": "P69",
    "works at": "P108 P54 P241 P463",
    "is married to": "P26",
}
"""What a relation of ours may be among Wikidata's properties."""


@dataclass(frozen=True)
class Annotated:
    """A document: its sentences, the mentions in each, and relations between things, each a set of names."""

    sentences: list[str]
    mentions: list[list[str]]
    things: list[set[str]]
    labels: set[tuple[int, str, int]]


def plain(tokens: Sequence[str]) -> str:
    """Tokens as a text is written: no space before a comma, inside brackets, before 's."""
    text = " ".join(tokens)
    text = re.sub(r" ([,.;:!?)\]%]|'s\b|n't\b)", r"\1", text)
    return re.sub(r"([(\[$]) ", r"\1", text)


def redocred(data: Path) -> list[Annotated]:
    """The documents of the development file, in order."""
    rows = json.loads((data / "eval" / "redocred" / "dev_revised.json").read_text(encoding="utf-8"))
    found = []
    for row in rows:
        mentions: list[list[str]] = [[] for _ in row["sents"]]
        for thing in row["vertexSet"]:
            for mention in thing:
                mentions[mention["sent_id"]].append(mention["name"])
        things = [{normalise(mention["name"]) for mention in thing} for thing in row["vertexSet"]]
        labels = {(label["h"], label["r"], label["t"]) for label in row["labels"]}
        found.append(Annotated([plain(sentence) for sentence in row["sents"]], mentions, things, labels))
    return found


def litbank(data: Path) -> list[Annotated]:
    """The annotated parts of the books, by file name."""
    found = []
    for file in sorted((data / "eval" / "litbank_annot" / "entities").rglob("*.ann")):
        text = file.with_suffix(".txt").read_text(encoding="utf-8")
        spans = [
            tuple(map(int, line.split("\t")[1].split()[1:3])) for line in file.read_text(encoding="utf-8").splitlines()
        ]
        slices = sentences(text)
        mentions = [[text[a:b] for a, b in spans if low <= a < high] for low, high in slices]
        found.append(Annotated([text[a:b] for a, b in slices], mentions, [], set()))
    return found


def joined_names(sentence: str) -> list[str]:
    """Neighbouring names of `concepts` as one, and numbers."""
    found: list[str] = []
    place = -1
    for concept in concepts(sentence):
        start = sentence.find(concept.surface, max(place, 0))
        if concept.proper and found and place >= 0 and sentence[place:start] in (" ", "-", " of ", " the ", " of the "):
            found[-1] += sentence[place:start] + concept.surface
            place = start + len(concept.surface)
        elif concept.proper or concept.surface[0].isdigit():
            found.append(concept.surface)
            place = start + len(concept.surface) if concept.proper else -1
        else:
            place = -1
    return found


def capitals(sentence: str) -> list[str]:
    """Runs of words with a capital, and numbers."""
    return re.findall(r"[A-Z][\w'-]*(?: [A-Z][\w'-]*)*|\d[\d.,]*", sentence)


def plain_words(sentence: str) -> list[str]:
    """Every word that is not closed-class."""
    return [word for word in re.findall(r"\w[\w'-]*", sentence) if word.lower() not in CLOSED]


EXTRACTORS: dict[str, Callable[[str], list[str]]] = {
    "concepts": lambda sentence: [concept.surface for concept in concepts(sentence)],
    "names": joined_names,
    "capitals": capitals,
    "words": plain_words,
}


def head(phrase: str) -> str:
    """The last word of a phrase before a preposition, a relative or a comma."""
    first = re.split(r"\s(?:of|in|on|at|from|with|to|for|who|whom|which|that|whose|and|,)\s", f"{phrase} ")[0]
    return (normalise(first).split() or [""])[-1]


def counts(predicted: set[Any], gold: set[Any]) -> Counts:
    """How many are right, predicted, annotated."""
    return len(predicted & gold), len(predicted), len(gold)


def figures(rows: Sequence[Counts]) -> tuple[float, float, float]:
    """Precision, recall and F1 of the sums; 0 where nothing is predicted, or nothing is to be found."""
    right, predicted, gold = (sum(row[i] for row in rows) for i in range(3))
    return right / max(1, predicted), right / max(1, gold), 2 * right / max(1, predicted + gold)


def pooled(rows: Sequence[Counts], seed: int = 0) -> dict[str, dict[str, float]]:
    """The figures of all rows, in percent, with intervals."""
    rng = random.Random(seed)
    draws = [figures(rng.choices(rows, k=len(rows))) for _ in range(DRAWS)]
    found = {}
    for i, (name, value) in enumerate(zip(("precision", "recall", "f1"), figures(rows), strict=True)):
        ordered = sorted(draw[i] for draw in draws)
        low, high = ordered[int(0.025 * DRAWS)], ordered[int(0.975 * DRAWS)]
        found[name] = {"value": round(100 * value, 1), "low": round(100 * low, 1), "high": round(100 * high, 1)}
    return found


def mention_counts(document: Annotated, extract: Callable[[str], list[str]], form: Callable[[str], str]) -> Counts:
    """Over the sentences of a document, each string of a sentence once."""
    predicted, gold = set[tuple[int, str]](), set[tuple[int, str]]()
    for number, (sentence, mentions) in enumerate(zip(document.sentences, document.mentions, strict=True)):
        predicted |= {(number, form(one)) for one in extract(sentence)}
        gold |= {(number, form(one)) for one in mentions}
    return counts({one for one in predicted if one[1]}, {one for one in gold if one[1]})


def things_of(document: Annotated, name: str) -> Iterator[int]:
    """The annotated things of which a name is a mention."""
    said = normalise(name)
    return (number for number, names in enumerate(document.things) if said in names)


def linked(document: Annotated, first: str, second: str) -> list[tuple[int, int]]:
    """The pairs of annotated things that two names stand for."""
    return [(h, t) for h in things_of(document, first) for t in things_of(document, second) if h != t]


def relation_counts(document: Annotated) -> dict[str, Counts]:
    """Of one document, each way of linking. A pair of names that are no annotated things is a wrong one."""
    typed, pairs, beside = set[Any](), set[Any](), set[Any]()
    known = {types for types in " ".join(TYPES.values()).split()}
    unordered = {frozenset((h, t)) for h, _, t in document.labels}
    for triple in relations(" ".join(document.sentences)):
        places = linked(document, triple.subject, triple.object) or [(triple.subject, triple.object)]
        for h, t in places:
            right = {(h, r, t) for r in TYPES[triple.relation].split()} & document.labels
            typed |= right or {(h, triple.relation, t)}
            pairs.add(frozenset((h, t)))
    for sentence in document.sentences:
        for first, second in pairwise(joined_names(sentence)):
            beside |= {frozenset(pair) for pair in linked(document, first, second) or [(first, second + " ")]}
    return {
        "relations": counts(typed, document.labels),
        "relations, of the types in TYPES": counts(typed, {label for label in document.labels if label[1] in known}),
        "untyped": counts(pairs, unordered),
        "neighbours": counts(beside, unordered),
    }


def table(rows: Sequence[dict[str, Counts]]) -> dict[str, Any]:
    """The figures of each way of finding, over documents."""
    return {name: pooled([row[name] for row in rows]) for name in rows[0]}


def concept_rows(documents: Sequence[Annotated], read: Sequence[Tagged]) -> list[dict[str, Counts]]:
    """The counts of each document by each extractor, exact and by heads; by the tagger where ``read`` has its work."""
    rows = []
    for number, document in enumerate(documents):
        extractors = EXTRACTORS | ({"tagger": mentioned(document, read[number])} if read else {})
        rows.append(
            {
                f"{name}, {how}": mention_counts(document, extract, form)
                for name, extract in extractors.items()
                for how, form in (("exact", normalise), ("head", head))
            }
        )
    return rows


def mentioned(document: Annotated, tagged: Tagged) -> Callable[[str], list[str]]:
    """What the tagger found in each sentence of a document; phrases such as "the old house" where things are not given."""
    text, found, start = " ".join(document.sentences), dict[str, list[str]](), 0
    for sentence in document.sentences:
        end = start + len(sentence)
        inside = [one for one in tagged.mentions if start <= one.start < end]
        kept = [one for one in inside if not (document.things and one.kind.startswith(("a ", "an ")))]
        found.setdefault(sentence, []).extend(text[one.start : one.end] for one in kept)
        start = end + 1
    return found.__getitem__


def tagged_relations(document: Annotated, tagged: Tagged, properties: dict[str, str]) -> dict[str, Counts]:
    """The counts of a document as in `relation_counts`; ``properties`` has Wikidata's one of each phrase."""
    text = " ".join(document.sentences)
    typed, pairs = set[Any](), set[Any]()
    for one in tagged.relations:
        first, second = (text[m.start : m.end] for m in (tagged.mentions[one.head], tagged.mentions[one.tail]))
        places = linked(document, first, second) or [(first, second)]
        right = {(h, properties[one.name], t) for h, t in places} & document.labels
        typed |= right or {(*places[0][:1], one.name, *places[0][1:])}
        pairs |= {frozenset(pair) for pair in places[:1]}
    known = {label for label in document.labels if label[1] in properties.values()}
    return {
        "tagger": counts(typed, document.labels),
        "tagger, of the types it knows": counts(typed, known),
        "tagger, untyped": counts(pairs, {frozenset((h, t)) for h, _, t in document.labels}),
    }


def tag(documents: Sequence[Annotated]) -> list[Tagged]:
    """What the built-in tagger finds."""
    device = choose_device()
    tagger = Tagger.load(device=device, dtype=choose_dtype("auto", device))
    return tagger.tag([" ".join(document.sentences) for document in documents])


def reported(documents: Sequence[Annotated], half: str) -> list[Annotated]:
    """The odd or even ones, counted from 1."""
    return list(documents[0 if half == "odd" else 1 :: 2])


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--half", type=click.Choice(["odd", "even"]), default="odd", show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="Write the figures here as well.")
def main(data: Path, half: str, out: Path | None) -> None:
    """Measure and print."""
    news, books = reported(redocred(data), half), reported(litbank(data), half)
    read = {"news": tag(news), "books": tag(books)} if half == "even" else {"news": [], "books": []}
    properties = {phrase: name for name, phrase in built_in("tagger").facts()["relations"].items()}
    related = [relation_counts(document) for document in news]
    for row, document, tagged in zip(related, news, read["news"], strict=False):
        row |= tagged_relations(document, tagged, properties)
    result = {
        **machine(),
        "half": half,
        "documents": {"redocred": len(news), "litbank": len(books)},
        "redocred concepts": table(concept_rows(news, read["news"])),
        "litbank concepts": table(concept_rows(books, read["books"])),
        "redocred relations": table(related),
    }
    text = json.dumps(result, indent=1)
    click.echo(text)
    if out is not None:
        out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

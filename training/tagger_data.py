r"""The tagger's training texts: annotated documents, by halves, and generated chats.

    python -m training.tagger_data --data ../shared/data --out build/tagger

Of Re-DocRED and of LitBank, in the order of the file and of the files' names, those with an odd number, counted from 0,
are the test half; of the others every tenth is for development (`half`). Re-DocRED marks names, times and numbers and
has relations; LitBank marks people, places, organisations and vehicles, by name or phrase; what a set does not mark is
unknown there, not absent. Which words are concepts by themselves is taken from the rules of
`ctxproc.memory.extract.concepts`, which read the text before its letters are changed.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import click

from ctxproc.llm.tagger_model import KINDS, NAMES
from ctxproc.memory.extract.concepts import concepts
from ctxproc.text import sentences
from training.evaluation_texts import evaluation_texts
from training.overlap import Overlap
from training.reader_text import detokenise
from training.tagger_chat import Slots, chats
from training.tagger_relations import PHRASES as RELATIONS

__all__ = ["Half", "Record", "half", "litbank", "load", "redocred"]

Half = Literal["train", "dev", "test"]
Span = tuple[int, int]

WORDS = 230
"""Of a piece of a book, about."""

_TYPES = {"PER": "person", "LOC": "place", "ORG": "organisation", "TIME": "time", "NUM": "number", "MISC": "other"}
_CLASSES = {
    "PER": "person",
    "FAC": "place",
    "GPE": "place",
    "LOC": "place",
    "ORG": "organisation",
    "VEH": "vehicle",
}
_BEFORE_NAME = re.compile(
    r"(?:(?:the|a|an|this|that|these|those|my|your|his|her|its|our|their|no|some|any|old|young|little|poor|dear|good) )+",
    re.IGNORECASE,
)
_AFTER_HEAD = re.compile(r"\s(?:of|in|on|at|from|with|to|for|who|whom|which|that|whose|and|,)\s|,")
BOOK_KINDS = tuple(KINDS.index(kind) for kind in ("person", "place", "organisation")) + tuple(
    range(len(NAMES), len(KINDS))
)
"""What LitBank marks wherever it stands."""


@dataclass(frozen=True)
class Record:
    """A text and what is known of it.

    Attributes:
        text: as it is read.
        source: the set it is of.
        mentions: first character, one past the last, number of the kind in `KINDS`.
        known: kinds of which all mentions are given.
        things: mentions, by their place in ``mentions``, that stand for one thing.
        relations: head and tail, by their place in ``things``, and the number of the relation.
        nouns: spans of words that are concepts by the rules.
    """

    text: str
    source: str
    mentions: list[tuple[int, int, int]]
    known: list[int] = field(default_factory=lambda: list(range(len(KINDS))))
    things: list[list[int]] = field(default_factory=list)
    relations: list[tuple[int, int, int]] = field(default_factory=list)
    nouns: list[Span] = field(default_factory=list)


def half(number: int) -> Half:
    """Of a document or book by its number from 0: odd ones test, of the even ones every tenth development."""
    if number % 2:
        return "test"
    return "dev" if number // 2 % 10 == 9 else "train"


def redocred(data: Path, wanted: Half) -> list[Record]:
    """The documents of a half, each whole, with relations among those of `RELATIONS`."""
    rows = json.loads((data / "eval/redocred/dev_revised.json").read_text(encoding="utf-8"))
    return [_document(row) for number, row in enumerate(rows) if half(number) == wanted]


def _document(row: dict[str, Any]) -> Record:
    tokens = [token for sentence in row["sents"] for token in sentence]
    firsts = [0]
    for sentence in row["sents"]:
        firsts.append(firsts[-1] + len(sentence))
    text, spans = spaced(tokens)
    mentions: list[tuple[int, int, int]] = []
    things: list[list[int]] = []
    for thing in row["vertexSet"]:
        places = set()
        for mention in thing:
            begin = firsts[mention["sent_id"]]
            first, last = begin + mention["pos"][0], begin + mention["pos"][1] - 1
            found = (spans[first][0], spans[last][1], NAMES.index(_TYPES[mention["type"]]))
            if found not in mentions:
                mentions.append(found)
            places.add(mentions.index(found))
        things.append(sorted(places))
    names = list(RELATIONS)
    relations = [(one["h"], one["t"], names.index(one["r"])) for one in row["labels"] if one["r"] in RELATIONS]
    return Record(text, "redocred", mentions, list(range(len(NAMES))), things, relations, nouns(text))


def litbank(data: Path, wanted: Half) -> list[list[Record]]:
    """The books of a half, each in pieces of whole sentences of about `WORDS` words."""
    files = sorted((data / "eval/litbank_annot/entities").rglob("*.ann"))
    return [list(_book(file)) for number, file in enumerate(files) if half(number) == wanted]


def _book(file: Path) -> Iterator[Record]:
    raw = file.with_suffix(".txt").read_text(encoding="utf-8")
    marks = [line.split("\t")[1].split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = sorted((int(start), int(end), kind) for kind, start, end in marks)
    begin, count = 0, 0
    for line in re.finditer(r"[^\n]*\n?", raw):
        count += len(line[0].split())
        if begin < line.end() and (count >= WORDS or line.end() == len(raw)):
            yield _piece(raw, begin, line.end(), found)
            begin, count = line.end(), 0


def _piece(raw: str, begin: int, end: int, found: Sequence[tuple[int, int, str]]) -> Record:
    matches = list(re.finditer(r"\S+", raw[begin:end]))
    text, spans = spaced([match[0] for match in matches])
    starts = {begin + match.start(): k for k, match in enumerate(matches)}
    ends = {begin + match.end(): k for k, match in enumerate(matches)}
    mentions = set()
    for start, stop, kind in found:
        if start in starts and stop in ends:
            low, high = spans[starts[start]][0], spans[ends[stop]][1]
            mentions.add((low, high, book_kind(text[low:high], _CLASSES[kind])))
    return Record(text, "litbank", sorted(mentions), list(BOOK_KINDS), nouns=nouns(text))


def book_kind(mention: str, kind: str) -> int:
    """The number of a kind: a name where its main word has a capital, else a phrase."""
    bare = _BEFORE_NAME.sub("", mention + " ", count=1).strip() or mention
    main = (_AFTER_HEAD.split(f"{bare} ")[0].split() or [bare])[-1]
    named = main[:1].isupper()
    if kind == "vehicle":
        return NAMES.index("other") if named else KINDS.index("a vehicle")
    article = "an" if kind == "organisation" else "a"
    return NAMES.index(kind) if named else KINDS.index(f"{article} {kind}")


def spaced(tokens: list[str]) -> tuple[str, list[Span]]:
    """Tokens as a text is written, and the characters of each."""
    text, starts = detokenise(tokens)
    ends = [*starts[1:], len(text)]
    return text, [(start, start + len(text[start:end].rstrip())) for start, end in zip(starts, ends, strict=True)]


def nouns(text: str) -> list[Span]:
    """Where the concepts of the rules stand."""
    found = []
    for start, end in sentences(text):
        place = start
        for concept in concepts(text[start:end]):
            at = text.find(concept.surface, place, end)
            if at >= 0:
                place = at + len(concept.surface)
                found.append((at, place))
    return found


def slots(records: Iterable[Record]) -> Slots:
    """The names of each kind that training texts have, those of five words at most."""
    pools: dict[str, Counter[str]] = {name: Counter() for name in NAMES}
    for record in records:
        for start, end, kind in record.mentions:
            said = record.text[start:end]
            if kind < len(NAMES) and len(said.split()) <= 5 and said.strip():
                pools[NAMES[kind]][said] += 1
    return {name: sorted(pool) for name, pool in pools.items()}


def write(path: Path, records: Iterable[Record]) -> None:
    """A line each."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(record), ensure_ascii=False) + "\n" for record in records)


def load(path: Path) -> list[Record]:
    """What `write` wrote."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        for name in ("mentions", "relations", "nouns"):
            row[name] = [tuple(one) for one in row[name]]
    return [Record(**row) for row in rows]


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--chat", default=400, show_default=True, help="Generated chats.")
def main(data: Path, out: Path, chat: int) -> None:
    """Write train.jsonl and dev.jsonl."""
    out.mkdir(parents=True, exist_ok=True)
    keep = Overlap.of(evaluation_texts(data))
    annotated = [*redocred(data, "train"), *(piece for book in litbank(data, "train") for piece in book)]
    rows = list(keep.filter(annotated, text=lambda row: row.text, source=lambda row: row.source))
    keep.write("tagger")
    pools = slots(rows)
    rng = random.Random(6)
    generated = [Record(text, "chat", found, nouns=nouns(text)) for text, found in chats(pools, chat, rng)]
    write(out / "train.jsonl", [*rows, *generated])
    write(out / "dev.jsonl", [*redocred(data, "dev"), *(piece for book in litbank(data, "dev") for piece in book)])


if __name__ == "__main__":
    main()

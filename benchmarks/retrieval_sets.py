"""The sets of retrieval.py: texts, and questions with what is relevant to them; and the ways to cut texts into chunks."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from common import open_questions
from multihop import Hops, hotpotqa, musique

from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.llm.base import Tokenizer

Span = tuple[int, int]


@dataclass(frozen=True)
class Query:
    """A query and what is relevant to it: numbers of documents, or spans of one document.

    Attributes:
        text: in words.
        line: its place in its set, counted from 1; the odd lines are the test half.
        relevant: numbers of documents.
        document: the number of the one that holds the spans.
        spans: from and up to which character.
    """

    text: str
    line: int
    relevant: frozenset[int] = frozenset()
    document: int = 0
    spans: tuple[Span, ...] = ()


Set = tuple[list[str], list[Query]]


def cranfield(data: Path) -> Set:
    """Title and text of each abstract; judgements name the query by its number, which is that of the query's line."""
    folder = data / "eval" / "cranfield"
    records = re.split(r"^\.I \d+\n", (folder / "cran.all.1400").read_text("utf-8"), flags=re.MULTILINE)[1:]
    texts = [re.split(r"^\.W\n", record, flags=re.MULTILINE)[1].strip() for record in records]
    judged: dict[int, set[int]] = {}
    for line in (folder / "qrels.tsv").read_text("utf-8").splitlines():
        query, document, grade = map(int, line.split("\t"))
        if grade >= 1:
            judged.setdefault(query, set()).add(document - 1)
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text("utf-8").splitlines()]
    kept = [row for row in rows if row["qid"] in judged]
    return texts, [Query(row["text"], i, frozenset(judged[row["qid"]])) for i, row in enumerate(kept, 1)]


def lost_in_middle(data: Path) -> Set:
    """The gold passages of all questions, each once."""
    items = open_questions(data)
    texts = list(dict.fromkeys(item.passage for item in items))
    places = {text: i for i, text in enumerate(texts)}
    return texts, [Query(item.question, item.line, frozenset({places[item.passage]})) for item in items]


def hops(read: Callable[[Path], tuple[list[str], list[Hops]]]) -> Callable[[Path], Set]:
    """A set of multihop: the passages that a question needs, among those of all questions."""

    def made(data: Path) -> Set:
        texts, items = read(data)
        places = {text: i for i, text in enumerate(texts)}
        return texts, [Query(item.question, item.line, frozenset(places[p] for p in item.passages)) for item in items]

    return made


def chunking_eval(data: Path) -> Set:
    """Documents and the spans in them that answer each question."""
    folder = data / "eval" / "chunking_eval"
    files = sorted((folder / "corpora").glob("*.md"))
    places = {file.stem: i for i, file in enumerate(files)}
    queries: list[Query] = []
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if row["corpus_id"] in places:
                spans = tuple((one["start_index"], one["end_index"]) for one in json.loads(row["references"]))
                document = places[row["corpus_id"]]
                queries.append(Query(row["question"], len(queries) + 1, document=document, spans=spans))
    return [file.read_bytes().decode() for file in files], queries


SETS: dict[str, tuple[float, Callable[[Path], Set]]] = {
    "cranfield": (1.0, cranfield),
    "chunking_eval": (1.0, chunking_eval),
    "lost_in_middle": (1.0, lost_in_middle),
    "musique": (0.5, hops(musique)),
    "hotpotqa": (0.5, hops(hotpotqa)),
}
"""Each with its weight in the mean: multihop, which has two corpora, counts as one set."""

SEPARATORS = ("\n\n", "\n", ". ", "? ", "! ", " ")


@dataclass(frozen=True)
class Cutting:
    """How texts are cut into chunks.

    Attributes:
        size: tokens of a chunk, at most.
        overlap: tokens that a chunk repeats of the one before it.
        recursive: by the recursive splitter instead of ours; it knows no overlap.
    """

    size: int
    overlap: int = 0
    recursive: bool = False

    @classmethod
    def of(cls, text: str) -> Cutting:
        """Read ``200``, ``200+50`` or ``recursive 200``."""
        kind, _, numbers = text.rpartition(" ")
        size, _, overlap = numbers.partition("+")
        return cls(int(size), int(overlap or 0), kind == "recursive")

    def __str__(self) -> str:
        """As it is read."""
        return f"{'recursive ' * self.recursive}{self.size}{f'+{self.overlap}' if self.overlap else ''}"

    def __call__(self, document: Document, tokenizer: Tokenizer) -> list[Chunk]:
        """The chunks of a document."""
        if not self.recursive:
            return split(document, tokenizer, self.size, self.overlap)
        spans = recursive(document.text, tokenizer, self.size)
        counted = ((a, b, tokenizer.count(document.text[a:b])) for a, b in spans)
        return [Chunk(document, a, b, n, i) for i, (a, b, n) in enumerate(counted)]


def recursive(text: str, tokenizer: Tokenizer, size: int) -> list[Span]:
    """A recursive splitter: by paragraphs, what is too long by lines, then by sentences and words; without overlap.

    Neighbours that came of one split are joined again as long as they fit ``size`` tokens; white space is no chunk.
    """

    def fits(start: int, end: int) -> bool:
        return tokenizer.count(text[start:end]) <= size

    def pieces(start: int, end: int, separators: Sequence[str]) -> list[Span]:
        if fits(start, end) or not separators:
            return [(start, end)]
        found: list[Span] = []
        joint = False  # whether the last one may be joined to
        ends = [start + cut.end() for cut in re.finditer(re.escape(separators[0]), text[start:end])]
        for a, b in pairwise([start, *(cut for cut in ends if cut < end), end]):
            if not fits(a, b):
                found += pieces(a, b, separators[1:])
            elif found and (not text[a:b].strip() or (joint and fits(found[-1][0], b))):
                found[-1] = (found[-1][0], b)
            else:
                found.append((a, b))
            joint = fits(a, b)
        return found

    return pieces(0, len(text), SEPARATORS)

"""What each retrieval criterion finds, and the fusions: nDCG, recall and MRR at 10, and the spans that answer questions.

    python benchmarks/retrieval.py --data ../shared/data --cache FOLDER

Four sets. cranfield: 113 queries over 1,400 abstracts (judged 1 to 4: relevant); lost_in_middle: 1,320 questions over
their passages; multihop: 50 questions of MuSiQue over 956 passages and 50 of HotpotQA over 500; these are searched by
chunks, and a passage ranks where its best chunk does. chunking_eval: 276 questions over three documents with the exact
spans that answer them; a chunk is relevant if it holds a part of one. Recall, precision and intersection over union of
spans are measured on its first 5 chunks, and recall again at a budget of tokens; a recursive splitter, written after its
description, is searched in the same way. Prints one JSON object; choices were made on the even queries of each set, the
odd ones are the test half. Times, recalls and likelihoods are not in these sets: the criteria that need them are left out.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any

import click
import numpy as np
from common import machine, open_questions, percent
from multihop import hotpotqa, musique
from numpy.typing import NDArray

from ctxproc.catalogue import Spec
from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.llm.base import Tokenizer
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.memory.corpus import Corpus, FuseSpec
from ctxproc.memory.criteria import Hit
from ctxproc.memory.embed import Embedder

K = 10
SPAN_CHUNKS = 5
HALVES = ("even", "odd")
Span = tuple[int, int]


@dataclass(frozen=True)
class Way:
    """How to select."""

    search: tuple[Spec, ...] = ("cosine", "bm25")
    fuse: FuseSpec = "rrf"
    rescore: tuple[Spec, ...] = ()


def weighted(cosine: float) -> Way:
    """Fused by weight."""
    return Way(fuse={"weighted": {"cosine": cosine, "bm25": 1 - cosine}})


DEFAULT = "cosine, bm25: rrf (default)"
WAYS: dict[str, Way] = {
    "cosine": Way(("cosine",)),
    "inner_product": Way(("inner_product",)),
    "l2": Way(("l2",)),
    "bm25": Way(("bm25",)),
    DEFAULT: Way(),
    **{f"cosine, bm25: rrf, k={k}": Way(fuse={"rrf": {"k": k}}) for k in (5, 20)},
    **{f"cosine, bm25: weighted, {share}": weighted(share) for share in (0.3, 0.5, 0.6, 0.7, 0.8)},
    "default + rouge2": Way(rescore=("rouge2",)),
    "default + mmr": Way(rescore=("mmr",)),
    "default + mmr, 0.9": Way(rescore=({"mmr": {"balance": 0.9}},)),
    "default + dedupe": Way(rescore=("dedupe",)),
    "default + neighbours": Way(rescore=("neighbours",)),
}
SHORT = ("cosine", "bm25", DEFAULT, "cosine, bm25: weighted, 0.5", "cosine, bm25: weighted, 0.7")
"""The ways that are tried with every setting of the chunker."""


@dataclass(frozen=True)
class Query:
    """A query and what is relevant to it: numbers of documents, or spans of one document."""

    text: str
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
    return texts, [Query(row["text"], frozenset(judged[row["qid"]])) for row in rows if row["qid"] in judged]


def lost_in_middle(data: Path) -> Set:
    """The gold passages of all questions, each once."""
    items = open_questions(data)
    texts = list(dict.fromkeys(item.passage for item in items))
    places = {text: i for i, text in enumerate(texts)}
    return texts, [Query(item.question, frozenset({places[item.passage]})) for item in items]


def hops(name: str) -> Callable[[Path], Set]:
    """A set of multihop."""

    def read(data: Path) -> Set:
        texts, items = (musique if name == "musique" else hotpotqa)(data)
        places = {text: i for i, text in enumerate(texts)}
        return texts, [Query(item.question, frozenset(places[p] for p in item.passages)) for item in items]

    return read


def chunking_eval(data: Path) -> Set:
    """Three documents and the spans in them that answer each question."""
    folder = data / "eval" / "chunking_eval"
    files = sorted((folder / "corpora").glob("*.md"))
    places = {file.stem: i for i, file in enumerate(files)}
    queries = []
    with (folder / "questions_df.csv").open(encoding="utf-8", newline="") as rows:
        for row in csv.DictReader(rows):
            if row["corpus_id"] in places:
                spans = tuple((one["start_index"], one["end_index"]) for one in json.loads(row["references"]))
                queries.append(Query(row["question"], document=places[row["corpus_id"]], spans=spans))
    return [file.read_bytes().decode() for file in files], queries


SETS: dict[str, Callable[[Path], Set]] = {
    "cranfield": cranfield,
    "chunking_eval": chunking_eval,
    "lost_in_middle": lost_in_middle,
    "musique": hops("musique"),
    "hotpotqa": hops("hotpotqa"),
}


def ndcg(gains: Sequence[float], ideal: int, k: int = K) -> float:
    """The nDCG at k of a ranking with gains 0 or 1, of which there are ``ideal``."""
    best = sum(1 / math.log2(i + 2) for i in range(min(ideal, k)))
    return sum(gain / math.log2(i + 2) for i, gain in enumerate(gains[:k])) / best if best else 0.0


def ranking(gains: Sequence[float], ideal: int) -> dict[str, float]:
    """The measures of a ranking with gains 0 or 1, of which there are ``ideal``."""
    first = next((i for i, gain in enumerate(gains[:K]) if gain), None)
    return {
        "ndcg@10": ndcg(gains, ideal),
        "recall@10": sum(gains[:K]) / ideal if ideal else 0.0,
        "mrr@10": 0.0 if first is None else 1 / (first + 1),
    }


SEPARATORS = ("\n\n", "\n", ". ", "? ", "! ", " ")


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


def length(spans: Iterable[Span]) -> int:
    """Characters that any of the spans holds."""
    total = reached = 0
    for start, end in sorted(spans):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def overlaps(chunk: Chunk, query: Query, documents: Sequence[Document]) -> list[Span]:
    """What a chunk holds of the spans of a query."""
    if chunk.document is not documents[query.document]:
        return []
    cuts = ((max(chunk.start, a), min(chunk.end, b)) for a, b in query.spans)
    return [(a, b) for a, b in cuts if a < b]


def spans_found(chunks: Sequence[Chunk], query: Query, documents: Sequence[Document]) -> dict[str, float]:
    """Recall, precision and intersection over union of characters, overlaps counted once but for what was read."""
    found = length(one for chunk in chunks for one in overlaps(chunk, query, documents))
    wanted, read = length(query.spans), sum(chunk.end - chunk.start for chunk in chunks)
    return {"recall": found / wanted, "precision": found / max(1, read), "iou": found / max(1, read + wanted - found)}


class Remembering(Embedder):
    """Embeds each query once."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, NDArray[np.float32]] = {}

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        """As ever."""
        if not query:
            return super().embed(texts)
        for text in texts:
            if text not in self._known:
                self._known[text] = super().embed([text], query=True)[0]
        return np.stack([self._known[text] for text in texts])


class Bench:
    """One set in chunks, ready to be searched."""

    def __init__(self, made: Set, chunks: Callable[[Document], list[Chunk]], cache: Path) -> None:
        texts, self.queries = made
        self.documents = [Document.from_text(text, source=f"document {i}") for i, text in enumerate(texts)]
        self.places = {id(document): i for i, document in enumerate(self.documents)}
        self.chunks = [chunk for document in self.documents for chunk in chunks(document)]
        self.corpus = Corpus(self.chunks, Remembering(), cache=cache)

    def measure(self, query: Query, way: Way, budget: int) -> dict[str, float]:
        """What one way finds for one query."""
        hits = self.corpus.select(query.text, 50, way.search, way.fuse, way.rescore)
        if query.spans:
            return self._spans(query, hits, budget)
        found = list(dict.fromkeys(self.places[id(self.chunks[hit.index].document)] for hit in hits))
        return ranking([float(place in query.relevant) for place in found], len(query.relevant))

    def _spans(self, query: Query, hits: Sequence[Hit], budget: int) -> dict[str, float]:
        chunks = [self.chunks[hit.index] for hit in hits]
        relevant = sum(bool(overlaps(chunk, query, self.documents)) for chunk in self.chunks)
        gains = [float(bool(overlaps(chunk, query, self.documents))) for chunk in chunks]
        taken, left = [], budget
        for chunk in chunks:
            left -= chunk.tokens
            if left < 0:
                break
            taken.append(chunk)
        five = spans_found(chunks[:SPAN_CHUNKS], query, self.documents)
        whole = spans_found(taken, query, self.documents)
        measures = {f"span {name}, {SPAN_CHUNKS} chunks": value for name, value in five.items()}
        return {**ranking(gains, relevant), **measures, f"span recall, {budget} tokens": whole["recall"]}


def figures(rows: dict[str, list[dict[str, float]]], half: str) -> dict[str, Any]:
    """Of each way, on one half: the means, and the difference to the default, query by query, with its interval."""
    kept = {name: [row for i, row in enumerate(some) if (i % 2 == 1) == (half == "odd")] for name, some in rows.items()}
    found: dict[str, Any] = {}
    for name, some in kept.items():
        found[name] = {measure: round(100 * mean(row[measure] for row in some), 1) for measure in some[0]}
        if DEFAULT in kept and name != DEFAULT:
            pairs = zip(some, kept[DEFAULT], strict=True)
            found[name]["ndcg@10 against the default"] = percent([a["ndcg@10"] - b["ndcg@10"] for a, b in pairs])
    return found


def means(found: dict[str, Any], half: str) -> dict[str, float]:
    """Each way's nDCG on one half, the mean over the sets."""
    some = [halves[half] for halves in found.values()]
    return {way: round(mean(one[way]["ndcg@10"] for one in some), 2) for way in some[0]}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="folder of embeddings, kept between runs")
@click.option("--set", "names", multiple=True, type=click.Choice(list(SETS)), help="default: all")
@click.option("--tokens", multiple=True, type=int, default=(200,), show_default=True, help="longest chunk")
@click.option("--overlap", multiple=True, type=int, default=(0,), show_default=True)
@click.option(
    "--splitter", multiple=True, type=click.Choice(["ours", "recursive"]), default=("ours",), show_default=True
)
@click.option("--only", multiple=True, help="these ways; short: those of every chunk setting")
@click.option("--most", type=int, help="queries of each set; default: all")
@click.option("--budget", default=1000, show_default=True, help="tokens of chunks for the recall of spans")
def main(
    data: Path,
    cache: Path,
    names: tuple[str, ...],
    tokens: tuple[int, ...],
    overlap: tuple[int, ...],
    splitter: tuple[str, ...],
    only: tuple[str, ...],
    budget: int,
    most: int | None,
) -> None:
    """Search, and print the figures."""
    tokenizer = BuiltinReader().tokenizer
    chosen = SHORT if only == ("short",) else only or tuple(WAYS)
    result: dict[str, Any] = {}
    for kind, size, over in ((a, b, c) for a in splitter for b in tokens for c in overlap if a == "ours" or not c):

        def chunks(document: Document, kind: str = kind, size: int = size, over: int = over) -> list[Chunk]:
            if kind == "ours":
                return split(document, tokenizer, size, over)
            spans = recursive(document.text, tokenizer, size)
            counted = ((a, b, tokenizer.count(document.text[a:b])) for a, b in spans)
            return [Chunk(document, a, b, n, i) for i, (a, b, n) in enumerate(counted)]

        found: dict[str, Any] = {}
        for name in names or SETS:
            bench = Bench(SETS[name](data), chunks, cache)
            queries = bench.queries[:most]
            rows = {way: [bench.measure(query, WAYS[way], budget) for query in queries] for way in chosen}
            found[name] = {half: figures(rows, half) for half in HALVES}
            click.echo(f"{kind} {size}+{over} {name}: {len(bench.chunks)} chunks", err=True)
        result[f"{kind}, {size} tokens, overlap {over}"] = {
            "mean ndcg@10": {half: means(found, half) for half in HALVES},
            **found,
        }
    click.echo(json.dumps({**result, **machine()}, indent=1))


if __name__ == "__main__":
    main()

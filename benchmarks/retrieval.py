"""What each retrieval criterion finds, and the fusions: nDCG, recall and MRR at 10, and the spans that answer questions.

    python benchmarks/retrieval.py --data ../shared/data --cache FOLDER

Four sets. cranfield: 113 queries over 1,400 abstracts (judged 1 to 4: relevant); lost_in_middle: 1,320 questions over
their passages; multihop: 50 questions of MuSiQue over 956 passages and 50 of HotpotQA over 500; these are searched by
chunks, and a passage ranks where its best chunk does. chunking_eval: 276 questions over three documents with the exact
spans that answer them; a chunk is relevant if it holds a part of one, so that its nDCG cannot compare two ways to cut.
Recall, precision and intersection over union of spans are measured on its first 5 chunks, and recall again at a budget of
1,000 tokens, by which ways to cut are compared; "recursive 200" is a recursive splitter, written after its description,
for this set alone.

Prints one JSON object: for each setting of the chunker each set and the mean over sets, for the odd lines of each set (the
test half) and the even ones (for choices) apart. "minus default" is the difference to the shipped settings on the same
chunks, query by query, with its 95 % interval. likelihood and utility need a language model that writes (``--model``;
texts are then cut by its tokenizer), cross_encoder one of its own (``--judge builtin``, or a folder). Times and
recalls are not in these sets: recency and forgetting are left out.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import click
from common import publish
from retrieval_bench import SPAN_RECALL, Bench, Remembering, Way
from retrieval_measures import difference, weighted_mean
from retrieval_sets import SETS, Cutting, Query

from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.local import TransformersLLM
from ctxproc.memory.corpus import DEPTH, FuseSpec

CHUNKS = ("200", "100", "400", "200+50", "recursive 200")
HALVES = ("even", "odd")
WEIGHTS = {name: weight for name, (weight, _) in SETS.items()}
Rows = dict[str, list[dict[str, float]]]
"""The measures of each query, by way."""


@dataclass(frozen=True)
class Measured:
    """What was measured on one set.

    Attributes:
        about: how much was searched.
        queries: in the order of the rows.
        rows: of every way.
    """

    about: Mapping[str, int]
    queries: Sequence[Query]
    rows: Rows

    def half(self, half: str) -> Rows:
        """The rows of the odd lines or of the even ones."""
        places = [i for i, query in enumerate(self.queries) if query.line % 2 == (half == "odd")]
        return {way: [some[i] for i in places] for way, some in self.rows.items()}


def fused(fuse: FuseSpec) -> Way:
    """Cosine and BM25, fused."""
    return Way(("cosine", "bm25"), fuse)


DEFAULT = "default"
WAYS: dict[str, Way] = {
    DEFAULT: Way(),
    **{name: Way((name,)) for name in ("cosine", "inner_product", "l2", "bm25")},
    **{f"rrf, k={k}": fused({"rrf": {"k": k}}) for k in (60, 20, 10, 5)},
    **{
        f"weighted, {share}": fused({"weighted": {"cosine": share, "bm25": 1 - share}})
        for share in (0.3, 0.5, 0.6, 0.7, 0.8)
    },
    "default + rouge2": Way(rescore=("rouge2",)),
    "default + mmr": Way(rescore=("mmr",)),
    "default + mmr, 0.9": Way(rescore=({"mmr": {"balance": 0.9}},)),
    "default + dedupe": Way(rescore=("dedupe",)),
    "default + neighbours": Way(rescore=("neighbours",)),
}
READ: dict[str, Way] = {f"default + {name}": Way(rescore=(name,)) for name in ("likelihood", "utility")}
LEFT_OUT = {
    "recency, forgetting": "the sets have no times and no recalls",
    "likelihood, utility": "they need a language model that writes: --model FOLDER",
    "cross_encoder": "it takes minutes: --judge builtin or --judge FOLDER",
}


def ways(only: Sequence[str], model: bool, judge: str) -> dict[str, Way]:
    """The ways to compare, the default first: these, or all that there are models for."""
    found = WAYS | (READ if model else {})
    if judge:
        chosen = {} if judge == "builtin" else {"model": judge}
        found["default + cross_encoder"] = Way(rescore=({"cross_encoder": chosen},))
    return {name: way for name, way in found.items() if not only or name in (DEFAULT, *only)}


def sample(queries: Sequence[Query], most: int) -> list[Query]:
    """So many of the odd lines and of the even ones, at most, in their order; drawn with a fixed seed."""
    halves = ([query for query in queries if query.line % 2 == odd] for odd in (1, 0))
    taken = {query.line for some in halves for query in random.Random(0).sample(some, min(most, len(some)))}
    return [query for query in queries if query.line in taken]


def averages(rows: Rows) -> dict[str, dict[str, float]]:
    """The means of one set, in percent, by way and measure."""
    return {way: {key: 100 * mean(row[key] for row in some) for key in some[0]} for way, some in rows.items()}


def over_sets(sets: Mapping[str, Rows]) -> dict[str, dict[str, Any]]:
    """Each way's means over the sets of what every set has, and its difference to the default."""
    each = {name: averages(rows) for name, rows in sets.items()}
    found: dict[str, dict[str, Any]] = {}
    for way in next(iter(sets.values())):
        measures = ("ndcg@10", "recall@10", "mrr@10")
        found[way] = {key: weighted_mean({name: each[name][way][key] for name in sets}, WEIGHTS) for key in measures}
        pairs = {
            name: [a["ndcg@10"] - b["ndcg@10"] for a, b in zip(rows[way], rows[DEFAULT], strict=True)]
            for name, rows in sets.items()
        }
        found[way]["ndcg@10 minus default"] = difference(pairs, WEIGHTS)
    return found


def over_chunks(sets: Mapping[str, Rows], first: Mapping[str, Rows]) -> dict[str, dict[str, float]]:
    """The default's difference to itself on other chunks: nDCG where passages are ranked, recall of spans elsewhere."""
    found: dict[str, dict[str, float]] = {}
    for measure in ("ndcg@10", SPAN_RECALL):
        pairs = {
            name: [a[measure] - b[measure] for a, b in zip(rows[DEFAULT], first[name][DEFAULT], strict=True)]
            for name, rows in sets.items()
            if (SPAN_RECALL in rows[DEFAULT][0]) == (measure == SPAN_RECALL)
        }
        if pairs:
            found[measure] = difference(pairs, WEIGHTS)
    return found


def findings(sets: Mapping[str, Measured], first: Mapping[str, Measured]) -> dict[str, Any]:
    """The figures of one setting of the chunker, and what the default makes of it against the first setting."""
    found: dict[str, Any] = {name: dict(some.about) for name, some in sets.items()}
    found["mean"], found["default minus default on the first chunks"] = {}, {}
    for half in HALVES:
        rows = {name: some.half(half) for name, some in sets.items()}
        for name in sets:
            found[name][half] = averages(rows[name])
        found["mean"][half] = over_sets(rows)
        others = {name: some.half(half) for name, some in first.items()}
        found["default minus default on the first chunks"][half] = over_chunks(rows, others)
    return found


def rounded(value: Any, digits: int = 2) -> Any:  # noqa: ANN401 (what JSON can hold)
    """The same with numbers that can be read."""
    if isinstance(value, dict):
        return {key: rounded(one, digits) for key, one in value.items()}
    return round(value, digits) if isinstance(value, float) else value


def written(chunks: str, name: str, measured: Measured) -> list[dict[str, Any]]:
    """One line for each query and way."""
    return [
        {"chunks": chunks, "set": name, "line": query.line, "way": way, **row}
        for way, some in measured.rows.items()
        for query, row in zip(measured.queries, some, strict=True)
    ]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--cache", type=click.Path(path_type=Path), required=True, help="folder of embeddings, kept between runs")
@click.option("--set", "names", multiple=True, type=click.Choice(list(SETS)), help="default: all")
@click.option("--chunks", multiple=True, default=CHUNKS, show_default=True, help="tokens, and tokens of overlap")
@click.option("--only", multiple=True, help="these ways, besides the default")
@click.option("--most", type=int, help="queries of each half of each set, a seeded sample; default: all")
@click.option("--depth", default=DEPTH, show_default=True, help="candidates")
@click.option("--model", default="", help="folder of a causal language model, for likelihood and utility")
@click.option("--judge", default="", help="builtin, or folder of a cross-encoder")
@click.option("--out", type=click.Path(path_type=Path), help="also write every query, one JSON object a line")
def main(
    data: Path,
    cache: Path,
    names: tuple[str, ...],
    chunks: tuple[str, ...],
    only: tuple[str, ...],
    most: int | None,
    depth: int,
    model: str,
    judge: str,
    out: Path | None,
) -> None:
    """Search, and print the figures."""
    llm = TransformersLLM(model) if model else None
    embedder, tokenizer = Remembering(), (llm or BuiltinReader()).tokenizer
    chosen = ways(only, bool(llm), judge)
    given = {"likelihood, utility": model, "cross_encoder": judge}
    shipped = {"search": list(chosen[DEFAULT].search), "fuse": chosen[DEFAULT].fuse}
    left_out = {name: why for name, why in LEFT_OUT.items() if not given.get(name)}
    lines: list[dict[str, Any]] = []
    result: dict[str, Any] = {DEFAULT: shipped, "depth": depth, "left out": left_out}
    first: dict[str, Measured] = {}
    for text in chunks:
        cutting, sets = Cutting.of(text), dict[str, Measured]()
        for name in names or SETS:
            if cutting.recursive and name != "chunking_eval":
                continue
            bench = Bench(SETS[name][1](data), cutting, tokenizer, embedder, cache, llm, depth)
            queries = sample(bench.queries, most) if most else bench.queries
            rows = {way: [bench.measure(query, how) for query in queries] for way, how in chosen.items()}
            sets[name] = Measured(bench.about(queries), queries, rows)
            lines += written(text, name, sets[name])
            click.echo(f"{text} {name}: {sets[name].about}", err=True)
        first = first or sets
        if sets:
            result[f"chunks {text}"] = rounded(findings(sets, first))
    if out:
        out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    publish("retrieval", result)


if __name__ == "__main__":
    main()

"""The measures of benchmarks/retrieval.py, against values worked out by hand; its ways, against the library's search."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import pytest
from models import cross_encoder
from numpy.typing import NDArray
from retrieval import WAYS, Measured, averages, findings, over_chunks, over_sets, sample, ways, written
from retrieval_bench import SPAN_RECALL, Bench, Way
from retrieval_measures import difference, length, ndcg, overlaps, ranking, spans_found, weighted_mean, within
from retrieval_sets import SETS, Cutting, Query, recursive

from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.llm.scripted import ScriptedLLM, WordTokenizer
from ctxproc.memory.embed import Embedder

NAMES = "lamp tower boat ferry clerk island storm letter harbour oil bread winter".split()


class Letters(Embedder):
    """A vector counts the letters of a text."""

    calls = 0

    def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
        self.calls += 1
        counts = np.array([[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts], np.float32)
        return counts / np.maximum(np.linalg.norm(counts, axis=1, keepdims=True), 1e-9)


def texts(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(NAMES, k=rng.randint(4, 30))) + "." for _ in range(n)]


def bench_of(passages: Sequence[str], queries: Sequence[Query], size: int = 10, **options: object) -> Bench:
    return Bench((list(passages), list(queries)), Cutting(size), WordTokenizer(), Letters(), **options)  # type: ignore[arg-type]


def test_ndcg_recall_and_mrr_by_hand() -> None:
    assert ndcg([1, 0, 1], 2) == pytest.approx((1 + 1 / 2) / (1 + 1 / math.log2(3)))
    assert ndcg([1, 1], 2) == ndcg([1] * 12, 30) == 1 and ndcg([0] * 10 + [1], 1) == ndcg([], 3) == 0
    assert ranking([0, 0, 1, 1], 4) == pytest.approx(
        {"ndcg@10": ndcg([0, 0, 1, 1], 4), "recall@10": 0.5, "mrr@10": 1 / 3}
    )
    assert ranking([0.0] * 10 + [1.0], 1) == {"ndcg@10": 0, "recall@10": 0, "mrr@10": 0}


def test_lengths_of_spans_are_counted_character_by_character() -> None:
    rng = random.Random(0)
    for _ in range(200):
        spans = [(a, a + rng.randint(0, 9)) for a in (rng.randint(0, 30) for _ in range(rng.randint(0, 6)))]
        assert length(spans) == len({i for a, b in spans for i in range(a, b)})


def test_spans_found_are_the_characters_that_chunks_and_answers_share() -> None:
    documents = [Document.from_text("x" * 100), Document.from_text("y" * 100)]
    query = Query("?", 1, document=0, spans=((10, 20), (50, 60)))
    chunks = [Chunk(documents[0], 0, 15, 1, 0), Chunk(documents[0], 40, 80, 1, 1), Chunk(documents[1], 0, 100, 1, 0)]
    assert [overlaps(chunk, query, documents) for chunk in chunks] == [[(10, 15)], [(50, 60)], []]
    found = spans_found(chunks, query, documents)
    assert found == pytest.approx({"recall": 15 / 20, "precision": 15 / 155, "iou": 15 / 160})
    assert spans_found([], query, documents) == {"recall": 0, "precision": 0, "iou": 0}


def test_a_budget_takes_the_first_chunks_until_one_would_exceed_it() -> None:
    document = Document.from_text("x" * 9)
    chunks = [Chunk(document, i, i + 1, tokens, i) for i, tokens in enumerate([3, 4, 5, 1])]
    assert [len(within(chunks, budget)) for budget in (0, 2, 3, 7, 11, 12, 13)] == [0, 0, 1, 2, 2, 3, 4]


def test_the_mean_over_sets_counts_the_two_corpora_of_multihop_as_one_set() -> None:
    weights = {name: weight for name, (weight, _) in SETS.items()}
    values = {"cranfield": 10.0, "chunking_eval": 20.0, "lost_in_middle": 30.0, "musique": 40.0, "hotpotqa": 60.0}
    assert weighted_mean(values, weights) == pytest.approx((10 + 20 + 30 + 50) / 4)
    assert weighted_mean({"musique": 40.0, "hotpotqa": 60.0}, weights) == 50


def test_the_interval_of_a_difference_is_that_of_means_drawn_within_each_set() -> None:
    rng = random.Random(1)
    pairs = {"a": [rng.gauss(0.1, 0.3) for _ in range(60)], "b": [rng.gauss(-0.05, 0.1) for _ in range(25)]}
    weights = {"a": 1.0, "b": 0.5}
    found = difference(pairs, weights)
    assert found["mean"] == pytest.approx(100 * (mean(pairs["a"]) + 0.5 * mean(pairs["b"])) / 1.5, abs=0.006)
    drawn = sorted(
        (mean(rng.choices(pairs["a"], k=60)) + 0.5 * mean(rng.choices(pairs["b"], k=25))) / 1.5 for _ in range(4000)
    )
    assert found["low"] == pytest.approx(100 * drawn[100], abs=0.5)
    assert found["high"] == pytest.approx(100 * drawn[3900], abs=0.5)
    assert difference({"a": [0.25] * 9}, weights) == {"mean": 25, "low": 25, "high": 25}


def test_every_way_ranks_as_the_library_does() -> None:
    passages = texts(60)
    bench = bench_of(passages, [])
    for name, way in WAYS.items():
        for query in ("the lamp of the tower", "a letter from the island", "zebra"):
            hits = bench.corpus.select(query, 100, way.search, way.fuse, way.rescore)
            assert [hit.index for hit in bench.select(query, way)] == [hit.index for hit in hits], name


def test_each_searcher_searches_once_for_a_query_however_many_ways_fuse_it() -> None:
    bench = bench_of(texts(20), [])
    for way in WAYS.values():
        bench.select("the lamp", way)
    embedder = bench.corpus.embedder
    assert isinstance(embedder, Letters)
    assert embedder.calls == 1 + len(("cosine", "inner_product", "l2"))  # the chunks, then the query for each searcher


def test_a_passage_ranks_where_its_best_chunk_does() -> None:
    passages = ["bread " * 30 + "lamp " * 9, "lamp lamp bread", "bread winter", "oil"]
    query = Query("lamp", 1, frozenset({0, 2, 3}))
    bench = bench_of(passages, [query])
    long = len(split(Document.from_text(passages[0]), WordTokenizer(), 10))
    assert long > 3 and bench.about([query]) == {"queries": 1, "passages": 4, "cut": 1, "chunks": long + 3}
    found = bench.measure(query, Way(("bm25",)))
    assert found == ranking([1, 0], 3)


def test_a_chunk_of_a_long_document_is_relevant_if_it_holds_a_part_of_a_span() -> None:
    text = "lamp oil. " * 10 + "The clerk wrote bread. " * 5 + "lamp boat. " * 10
    start = text.index("The clerk")
    query = Query("clerk bread boat", 1, spans=((start, start + 46),))
    bench = bench_of([text, "clerk bread boat"], [query], 8)
    wanted = [i for i, c in enumerate(bench.chunks) if c.start < start + 46 and c.end > start and c.tokens < len(text)]
    assert bench.holding(query) == {i for i in wanted if bench.chunks[i].document.text == text}
    way = Way(("bm25",))
    found = [hit.index for hit in bench.select(query.text, way)]
    measured = bench.measure(query, way)
    held = bench.holding(query)
    assert {key: measured[key] for key in ("ndcg@10", "recall@10", "mrr@10")} == ranking(
        [float(i in held) for i in found], len(held)
    )
    five = spans_found([bench.chunks[i] for i in found[:5]], query, bench.documents)
    assert {key: measured[f"span {key}, 5 chunks"] for key in five} == five
    assert measured["span recall, 1000 tokens"] == 1


def test_a_cross_encoder_is_a_row_of_the_numbers_that_the_model_gives(tmp_path: Path) -> None:
    passages, query = texts(12, 3), Query("the clerk of the island", 1, frozenset({2, 5, 7}))
    cross_encoder(tmp_path, [*passages, query.text])
    row = ways([], False, str(tmp_path))["default + cross_encoder"]
    assert "default + cross_encoder" not in ways([], False, "")
    bench = bench_of(passages, [query], 40)
    from sentence_transformers import CrossEncoder
    from torch.nn import Identity

    pairs = [(query.text, one) for one in passages]
    logits = CrossEncoder(str(tmp_path), local_files_only=True).predict(pairs, activation_fn=Identity())
    direct = [1 / (1 + math.exp(-float(logit))) for logit in logits]
    before = {hit.index: hit.score for hit in bench.select(query.text, WAYS["default"])}
    hits = bench.select(query.text, row)
    assert {hit.index: hit.shares["cross_encoder"] for hit in hits} == pytest.approx(dict(enumerate(direct)), abs=1e-5)
    order = sorted(before, key=lambda i: -before[i] * direct[i])
    assert [hit.index for hit in hits] == order != list(before)
    assert bench.measure(query, row) == ranking([float(i in query.relevant) for i in order], 3)


@pytest.mark.parametrize("name", ["likelihood", "utility"])
def test_a_criterion_that_asks_the_model_is_a_row_with_the_query_it_is_asked(name: str) -> None:
    asked = []

    def likelihood(prompt: object, words: str) -> float:
        asked.append(words)
        return -1.0 * len(words.split()) * (1 if "storm" in str(prompt) else 4)

    passages = ["lamp tower", "lamp", "lamp storm boat and bread", "tower boat"]
    row = ways([], True, "")[f"default + {name}"]
    assert f"default + {name}" not in ways([], False, "")
    bench = bench_of(passages, [], 40, llm=ScriptedLLM(likelihood=likelihood), depth=3)
    assert bench.select("lamp", WAYS["default"])[0].index != 2
    hits = bench.select("lamp", row)
    assert hits[0].index == 2 and len(hits) == 3 and asked == [" lamp"] * 4


def test_only_names_the_ways_beside_the_default() -> None:
    assert list(ways(["bm25"], False, "")) == ["default", "bm25"]
    assert list(ways([], False, "")) == list(WAYS)


def test_a_sample_is_drawn_alike_of_the_odd_lines_and_the_even_ones() -> None:
    queries = [Query(str(i), i) for i in range(1, 40)]
    drawn = sample(queries, 5)
    lines = [query.line for query in drawn]
    assert lines == sorted(set(lines)) and sum(line % 2 for line in lines) == 5 and len(lines) == 10
    assert drawn == sample(queries, 5) and lines != list(range(1, 11))
    assert sample(queries, 1000) == queries


def row(value: float, measure: str = "ndcg@10") -> dict[str, float]:
    return {"ndcg@10": 0.5, "recall@10": value / 2, "mrr@10": 1.0, measure: value}


def test_the_figures_are_means_in_percent_of_the_odd_lines_and_the_even_ones_apart() -> None:
    queries = [Query("lamp", line) for line in (1, 2, 3)]
    rows = {"default": [row(0.5), row(0.25), row(0.0)], "bm25": [row(1.0), row(0.25), row(0.25)]}
    assert averages(rows)["bm25"] == {"ndcg@10": 50, "recall@10": 25, "mrr@10": 100}
    measured = {"cranfield": Measured({"chunks": 7}, queries, rows)}
    found = findings(measured, measured)
    assert found["cranfield"]["chunks"] == 7
    assert found["cranfield"]["odd"]["bm25"]["ndcg@10"] == 62.5 and found["cranfield"]["even"]["bm25"]["ndcg@10"] == 25
    odd = found["mean"]["odd"]
    assert odd["default"]["ndcg@10"] == 25 and odd["default"]["ndcg@10 minus default"]["mean"] == 0
    assert odd["bm25"]["ndcg@10 minus default"] == {"mean": 37.5, "low": 25, "high": 50}
    half = {"default": rows["default"][:1], "bm25": rows["bm25"][:1]}
    both = over_sets({"cranfield": rows, "musique": half})["bm25"]
    assert both["ndcg@10"] == pytest.approx((50 + 0.5 * 100) / 1.5)
    assert written("200", "cranfield", measured["cranfield"])[4] == {
        **{"chunks": "200", "set": "cranfield", "line": 2, "way": "bm25"},
        **rows["bm25"][1],
    }


def test_chunks_are_compared_by_passages_where_they_are_ranked_and_by_spans_elsewhere() -> None:
    one = {"cranfield": {"default": [row(0.5)] * 4}, "chunking_eval": {"default": [row(0.25, SPAN_RECALL)] * 3}}
    two = {"cranfield": {"default": [row(0.75)] * 4}, "chunking_eval": {"default": [row(0.125, SPAN_RECALL)] * 3}}
    found = over_chunks(two, one)
    assert found == {
        "ndcg@10": {"mean": 25, "low": 25, "high": 25},
        SPAN_RECALL: {"mean": -12.5, "low": -12.5, "high": -12.5},
    }
    assert set(over_chunks({"cranfield": two["cranfield"]}, one)) == {"ndcg@10"}


def test_settings_of_the_chunker_are_read_and_cut_as_they_say() -> None:
    document = Document.from_text("One two three. Four five six seven. Eight nine.\n\nTen eleven. " * 5)
    tokenizer = WordTokenizer()
    assert Cutting.of("200") == Cutting(200) and Cutting.of("200+50") == Cutting(200, 50)
    assert Cutting.of("recursive 200") == Cutting(200, recursive=True)
    assert [str(Cutting.of(text)) for text in ("9", "9+2", "recursive 9")] == ["9", "9+2", "recursive 9"]
    cut: Callable[[str], list[tuple[int, int, int]]] = lambda text: [  # noqa: E731 (three uses)
        (chunk.start, chunk.end, chunk.tokens) for chunk in Cutting.of(text)(document, tokenizer)
    ]
    assert cut("9") == [(c.start, c.end, c.tokens) for c in split(document, tokenizer, 9)]
    assert cut("9+3") == [(c.start, c.end, c.tokens) for c in split(document, tokenizer, 9, 3)] != cut("9")
    spans = recursive(document.text, tokenizer, 9)
    assert cut("recursive 9") == [(a, b, tokenizer.count(document.text[a:b])) for a, b in spans]


def test_the_recursive_splitter_tiles_keeps_to_the_size_and_cuts_at_paragraphs_first() -> None:
    tokenizer = WordTokenizer()
    text = "One two three. Four five.\n\nSix seven eight nine ten eleven twelve.\nThirteen? Fourteen fifteen."
    assert [text[a:b] for a, b in recursive(text, tokenizer, 7)] == [
        "One two three. ",
        "Four five.\n\n",
        "Six seven eight nine ten eleven ",
        "twelve.\n",
        "Thirteen? Fourteen fifteen.",
    ]
    assert [text[a:b] for a, b in recursive(text, tokenizer, 9)] == [
        "One two three. Four five.\n\n",
        "Six seven eight nine ten eleven twelve.\n",
        "Thirteen? Fourteen fifteen.",
    ]
    assert recursive("short", tokenizer, 7) == [(0, 5)] and recursive("", tokenizer, 7) == [(0, 0)]
    for size in range(2, 30):
        spans = recursive(text, tokenizer, size)
        assert "".join(text[a:b] for a, b in spans) == text
        assert all(tokenizer.count(text[a:b].strip()) <= size for a, b in spans)

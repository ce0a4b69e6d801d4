"""The measures of benchmarks/retrieval.py, against values worked out by hand."""

from __future__ import annotations

import math
import random

import pytest
from retrieval import Query, length, ndcg, overlaps, ranking, recursive, spans_found

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.llm.scripted import WordTokenizer


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
    query = Query("?", document=0, spans=((10, 20), (50, 60)))
    chunks = [Chunk(documents[0], 0, 15, 1, 0), Chunk(documents[0], 40, 80, 1, 1), Chunk(documents[1], 0, 100, 1, 0)]
    assert [overlaps(chunk, query, documents) for chunk in chunks] == [[(10, 15)], [(50, 60)], []]
    found = spans_found(chunks, query, documents)
    assert found == pytest.approx({"recall": 15 / 20, "precision": 15 / 155, "iou": 15 / 160})
    assert spans_found([], query, documents) == {"recall": 0, "precision": 0, "iou": 0}


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

"""The block split by dynamic programming: proofs of ALGORITHMS.md, section 3, on `ctxproc.chunk`.

Blocks tile the document, none is longer than allowed, their cost is what brute force finds, an empty document has none.
The prices are those of `ctxproc.chunk`; what they mean for real texts is in `test_chunk.py`.
"""

from __future__ import annotations

import itertools
import random
import re

import numpy as np
import pytest

from ctxproc.chunk import CHUNK, SLACK, Cuts, best_path, find_cuts, split, token_starts
from ctxproc.document import Document
from ctxproc.llm.base import Tokenizer
from ctxproc.text import breaks

PIECES = ["one ", "two three ", "end. ", "so, ", "Line\n", "Para.\n\n"]


class Words(Tokenizer):
    """A token is a word or a mark, and white space none, so the tokens of a slice are a slice of the tokens."""

    def count(self, text: str) -> int:
        return len(self.starts(text))

    def starts(self, text: str) -> list[int]:
        return [match.start() for match in re.finditer(r"\w+|[^\w\s]", text)]


def cost(cuts: Cuts, path: tuple[int, ...], budget: int) -> float:
    """What a way from the first cut to the last costs, written down from the definition; infinite above the budget."""
    total = 0.0
    for i, j in itertools.pairwise((0, *path)):
        tokens = int(cuts.ends[j] - cuts.starts[i])
        if tokens > budget and j > i + 1:
            return float("inf")
        total += float(cuts.costs[j]) + CHUNK + SLACK * (1 - tokens / budget) ** 2
    return total


def brute_force(cuts: Cuts, budget: int) -> float:
    """The lowest cost of all ways."""
    inner, last = range(1, len(cuts.places) - 1), len(cuts.places) - 1
    ways = itertools.chain.from_iterable(itertools.combinations(inner, n) for n in range(len(inner) + 1))
    return min(cost(cuts, (*way, last), budget) for way in ways)


def test_proof_the_cost_is_what_brute_force_finds_for_200_random_rows_of_cuts() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        n, budget = int(rng.integers(2, 12)), int(rng.integers(1, 30))
        ends = np.cumsum(np.concatenate([[0], rng.integers(0, 14, n - 1)]))
        across = rng.integers(0, 2, n) * (np.diff(ends, prepend=0) > 0)
        costs = np.concatenate([[0.0], rng.choice([0.0, 0.25, 1.0, 2.0, 8.0], n - 2), [0.0]])
        cuts = Cuts(np.arange(n), costs, ends, ends - across)
        path = best_path(cuts, 0, n - 1, budget)
        assert cost(cuts, tuple(path), budget) == pytest.approx(brute_force(cuts, budget), abs=1e-9)


def test_proof_blocks_of_200_random_texts_tile_them_keep_the_budget_and_cost_what_brute_force_finds() -> None:
    rng, tokenizer, several = random.Random(1), Words(), 0
    for _ in range(200):
        text, budget = "".join(rng.choices(PIECES, k=rng.randint(1, 9))) + "x", rng.randint(4, 8)
        blocks = split(Document.from_text(text, "t"), tokenizer, budget)
        assert "".join(block.text for block in blocks) == text
        assert [block.start for block in blocks] == [0, *(block.end for block in blocks[:-1])]
        assert all(tokenizer.count(block.text) == block.tokens <= budget for block in blocks)
        cuts = find_cuts(text, token_starts(text, tokenizer), budget)
        ends = tuple(int(np.flatnonzero(cuts.places == block.end)[0]) for block in blocks)
        assert cost(cuts, ends, budget) == pytest.approx(brute_force(cuts, budget), abs=1e-9)
        several += len(blocks) > 2
    assert several > 50


def test_proof_where_breaks_are_further_apart_than_a_block_others_are_forced_between_words_at_a_price_of_8() -> None:
    text = "word " * 40 + "end. More."
    cuts = find_cuts(text, token_starts(text, Words()), 32)
    natural = {0, *breaks(text)[0], len(text)}
    forced = {int(place): price for place, price in zip(cuts.places, cuts.costs, strict=True) if place not in natural}
    assert set(forced.values()) == {8.0}
    assert all(text[place - 1] == " " and text[place] != " " for place in forced)
    blocks = split(Document.from_text(text, "t"), Words(), 32)
    assert max(block.tokens for block in blocks) <= 32 and "".join(block.text for block in blocks) == text
    assert blocks[0].end in forced


def test_proof_an_empty_document_has_no_blocks() -> None:
    assert split(Document.from_text("", "t"), Words(), 5) == []

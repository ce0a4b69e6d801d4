"""The span head: which spans there are, what one scores, and where an answer occurs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ctxproc.llm.span_head import IMPOSSIBLE, RANK, SpanNetwork, occurrences, spans


class Bare(SpanNetwork):
    """The head and nothing else."""

    longest = 3


@pytest.mark.parametrize("longest", [1, 3, 20])
def test_a_span_lies_in_the_context_ends_where_it_begins_or_later_and_is_not_too_long(longest: int) -> None:
    inside = torch.tensor([[False, True, True, True, True, False], [False, False, True, True, False, False]])
    allowed = spans(inside, longest)
    for row, i, j in torch.cartesian_prod(torch.arange(2), torch.arange(6), torch.arange(6)).tolist():
        assert bool(allowed[row, i, j]) == (bool(inside[row, i] and inside[row, j]) and i <= j < i + longest)


def test_the_score_of_a_span_is_the_formula_of_the_module() -> None:
    torch.manual_seed(3)
    model = Bare()
    model.add_head(8, -5.0)
    hidden, inside = torch.randn(2, 6, 8), torch.tensor([[False, *[True] * 5], [False, True, True, True, False, False]])

    def plain(states: Tensor, i: int, j: int) -> float:
        start, end = model.boundary(states[i])[0], model.boundary(states[j])[1]
        return float(
            start + end + model.left(states[i]) @ model.right(states[j]) / math.sqrt(RANK) + model.bias(states[0])
        )

    with torch.no_grad():
        assert model.bias.bias.item() == -5.0
        scores = model.span_scores(hidden, inside)
        assert scores.dtype == torch.float32
        for row, i, j in spans(inside, 3).nonzero().tolist():
            assert float(scores[row, i, j]) == pytest.approx(plain(hidden[row], i, j), abs=1e-5)
        assert (scores[~spans(inside, 3)] == IMPOSSIBLE).all()


@pytest.mark.parametrize("answer", ["aa", "a", "b a", "aab", " a", "", "abc", "b aab a"])
def test_occurrences_are_the_slices_on_token_borders_that_read_so(answer: str) -> None:
    context = "aa aab aa b aab a"
    offsets = [(0, 1), (1, 2), (3, 4), (4, 5), (5, 6), (7, 9), (10, 11), (12, 15), (16, 17)]
    every = [(i, j) for i in range(len(offsets)) for j in range(i, min(i + 3, len(offsets)))]
    wanted = [(i, j) for i, j in every if context[offsets[i][0] : offsets[j][1]] == answer]
    assert list(occurrences(offsets, context, answer, 3)) == wanted


def test_of_tokens_that_begin_at_one_place_the_first_begins_an_occurrence() -> None:
    assert list(occurrences([(0, 1), (0, 1), (1, 2)], "ab", "ab", 3)) == [(0, 2)]

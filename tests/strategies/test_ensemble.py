"""The parallel ensemble: the weighted sum of logits, on random rows and on tiny real models in float64."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import job_of
from rows import (
    GREEDY,
    INF,
    SEEDS,
    TEXTS,
    Load,
    decoded,
    distance,
    events,
    logs_by_hand,
    real,
    rows,
    slowly,
    text_of,
)

from ctxproc.errors import ConfigError
from ctxproc.llm.merging import NBCE, Mixture, ProductOfExperts
from ctxproc.strategies.base import ANSWER
from ctxproc.strategies.ensemble import Ensemble
from ctxproc.strategies.stuff import Stuff

# The merge, on random rows.


def test_product_is_the_weighted_sum_of_logits_up_to_a_constant() -> None:
    for seed in SEEDS:
        logits, weights = rows(3, seed), torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
        merged = ProductOfExperts((5, 2, 3))(logits)
        difference = merged.scores - (weights[:, None] * logits).sum(0)
        assert float(difference.max() - difference.min()) < 1e-12
        assert merged.weights == pytest.approx(weights.tolist())
        padded = torch.cat([rows(1, seed + 1000), logits])
        uniform = ProductOfExperts()(logits).scores
        assert distance(uniform, NBCE(pool="mean", beta=0, top_p=1)(padded).scores) < 1e-13
        assert distance(uniform.log_softmax(-1), Mixture()(logits).scores) > 0.01


def test_what_one_window_excludes_is_all_but_impossible_in_a_product() -> None:
    logits = torch.zeros(2, 3, dtype=torch.float64)
    logits[0, 0] = logits[1, 1] = logits[:, 2] = -INF
    scores = ProductOfExperts()(logits).scores
    assert scores.isfinite().tolist() == [True, True, False] and float(scores.max()) < -1000
    alone = ProductOfExperts((0, 1))(logits).scores
    assert alone.tolist() == [0, -INF, -INF]
    logits[:, 2] = -30
    assert int(ProductOfExperts()(logits).scores.argmax()) == 2


# The strategy.


RELEVANCE = (0.9, 0.2, 0.4, 0.7)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("by", ["uniform", "relevance"])
def test_every_token_is_that_of_the_weighted_sum_of_log_probabilities(architecture: str, by: str, load: Load) -> None:
    llm = load(architecture)
    job = real(llm, TEXTS, relevance=RELEVANCE)
    odds = [math.exp(r / 0.5) if by == "relevance" else 1.0 for r in RELEVANCE]
    weights = [odd / sum(odds) for odd in odds]

    def step(logits: torch.Tensor) -> torch.Tensor:
        logs = [logs_by_hand(row) for row in logits.tolist()]
        sums = [sum(w * x for w, x in zip(weights, column, strict=True)) for column in zip(*logs, strict=True)]
        return torch.tensor(sums, dtype=torch.float64)

    wanted = slowly(llm, [job.prompt(ANSWER, [text]) for text in TEXTS], step, GREEDY.max_new_tokens)
    event = decoded(Ensemble(by=by, temperature=0.5), job)  # type: ignore[arg-type]
    assert event.text == text_of(llm, [token for token, _ in wanted])
    assert [logprob for _, logprob in event.tokens] == pytest.approx([logprob for _, logprob in wanted], abs=1e-5)
    assert [list(step) for step in event.weights] == [pytest.approx(weights)] * len(wanted)
    assert event.entropies == ()


def test_the_weights_matter(load: Load) -> None:
    llm = load("llama")
    job = real(llm, TEXTS, relevance=RELEVANCE)
    first, second = (decoded(Ensemble(by=by, temperature=0.01), job) for by in ("uniform", "relevance"))  # type: ignore[arg-type]
    assert abs(first.tokens[0][1] - second.tokens[0][1]) > 1e-3
    alone = decoded(Ensemble(), real(llm, TEXTS[:1]))
    assert [logprob for _, logprob in second.tokens] == pytest.approx([p for _, p in alone.tokens], abs=1e-5)


def test_one_window_is_stuff_and_equal_windows_are_one(load: Load) -> None:
    llm = load("llama")
    one, many = decoded(Ensemble(), real(llm, TEXTS[1:2])), decoded(Ensemble(), real(llm, TEXTS[1:2] * 3))
    [stuffed] = events(Stuff(), real(llm, TEXTS[1:2]))
    assert one.text == many.text == stuffed.text
    assert [p for _, p in many.tokens] == pytest.approx([p for _, p in one.tokens], abs=1e-6)


def test_nothing_that_was_not_searched_has_a_weight_of_its_own() -> None:
    job = job_of(TEXTS)
    assert Ensemble(by="relevance").merge(job, [[0], [1, 2], [3]]) == ProductOfExperts()
    found = Ensemble(by="relevance", temperature=0.5).merge(job_of(TEXTS, relevance=RELEVANCE), [[0], [1, 2], [3]])
    odds = [math.exp(r / 0.5) for r in (0.9, 0.4, 0.7)]
    assert found.weights == pytest.approx([odd / sum(odds) for odd in odds])


def test_wrong_parameters_are_refused() -> None:
    for options in ({"by": "chance"}, {"temperature": 0}, {"windows": 0}):
        with pytest.raises(ConfigError, match=r"ensemble (weighs|needs)"):
            Ensemble(**options)  # type: ignore[arg-type]

"""REPLUG on random rows and on tiny real models in float64, with its proofs of ALGORITHMS.md, section 5."""

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

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError
from ctxproc.llm.merging import Mixture
from ctxproc.strategies.base import ANSWER
from ctxproc.strategies.replug import Replug
from ctxproc.strategies.stuff import Stuff

# The merge, on random rows.


def test_proof_the_mixture_sums_to_1_and_is_the_weighted_mean() -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        logs, weights = logits.log_softmax(-1), (0.1, 0.2, 0.3, 0.4)
        merged = Mixture(tuple(7 * weight for weight in weights))(logits)
        assert float(merged.scores.exp().sum()) == pytest.approx(1, abs=1e-12)
        assert merged.weights == pytest.approx(weights)
        slow = [
            math.log(sum(w * math.exp(x) for w, x in zip(weights, column, strict=True))) for column in logs.T.tolist()
        ]
        assert distance(merged.scores, torch.tensor(slow, dtype=torch.float64)) < 1e-12


def test_proof_the_uniform_mixture_is_logsumexp_less_log_n() -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        wanted = logits.log_softmax(-1).logsumexp(0) - math.log(4)
        assert distance(Mixture()(logits).scores, wanted) < 1e-13
        assert distance(Mixture((1, 1, 1, 1.5))(logits).scores, wanted) > 1e-3


def test_proof_one_hot_weights_are_that_document() -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        for k in range(4):
            one_hot = Mixture(tuple(float(row == k) for row in range(4)))(logits)
            assert distance(one_hot.scores, logits[k].log_softmax(-1)) == 0
            assert distance(one_hot.scores, logits[k - 1].log_softmax(-1)) > 0.1


def test_proof_the_mixture_is_safe_from_minus_infinity_and_keeps_what_one_window_allows() -> None:
    logits = rows(3, 0)
    logits[0, :20], logits[1, 10:], logits[2, 5:25] = -INF, -INF, -INF
    scores = Mixture()(logits).scores
    assert torch.equal(scores.isfinite(), logits.isfinite().any(0))
    assert not scores.isfinite().all()
    assert float(scores[30]) == pytest.approx(
        math.log((logits[0].softmax(-1)[30] + logits[2].softmax(-1)[30]) / 3), abs=1e-12
    )
    silent = Mixture((0.0, 1.0, 0.0))(logits).scores
    assert torch.equal(silent.isfinite(), logits[1].isfinite())


# The strategy.


RELEVANCE = (0.9, 0.2, 0.4, 0.7)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_every_token_is_that_of_the_mixture_by_the_softmax_of_relevance(architecture: str, load: Load) -> None:
    llm = load(architecture)
    job = real(llm, TEXTS, relevance=RELEVANCE)
    odds = [math.exp(r / 0.3) for r in RELEVANCE]
    weights = [odd / sum(odds) for odd in odds]

    def step(logits: torch.Tensor) -> torch.Tensor:
        logs = [logs_by_hand(row) for row in logits.tolist()]
        mean = [
            sum(w * math.exp(x) for w, x in zip(weights, column, strict=True)) for column in zip(*logs, strict=True)
        ]
        return torch.tensor(mean, dtype=torch.float64).log()

    wanted = slowly(llm, [job.prompt(ANSWER, [text]) for text in TEXTS], step, GREEDY.max_new_tokens)
    event = decoded(Replug(temperature=0.3), job)
    assert event.text == text_of(llm, [token for token, _ in wanted])
    assert [logprob for _, logprob in event.tokens] == pytest.approx([logprob for _, logprob in wanted], abs=1e-5)
    assert [list(step) for step in event.weights] == [pytest.approx(weights)] * len(wanted)


def test_a_low_temperature_hears_the_most_relevant_chunk_alone(load: Load) -> None:
    llm = load("llama")
    job = real(llm, TEXTS, relevance=RELEVANCE)
    alone, cold, warm = (
        decoded(strategy, its)
        for strategy, its in [
            (Replug(), real(llm, TEXTS[:1])),
            (Replug(temperature=0.001), job),
            (Replug(temperature=1), job),
        ]
    )
    [stuffed] = events(Stuff(), real(llm, TEXTS[:1]))
    assert cold.text == alone.text == stuffed.text
    assert [p for _, p in cold.tokens] == pytest.approx([p for _, p in alone.tokens], abs=1e-6)
    assert abs(warm.tokens[0][1] - cold.tokens[0][1]) > 1e-3


def test_windows_count_as_their_most_relevant_chunk_and_alike_where_nothing_was_searched() -> None:
    windows = [[0], [1, 2], [3]]
    odds = [math.exp(r / 0.1) for r in (0.9, 0.4, 0.7)]
    found = Replug().merge(job_of(TEXTS, relevance=RELEVANCE), windows)
    assert found.weights == pytest.approx([odd / sum(odds) for odd in odds])
    assert Replug(temperature=1e-300).merge(job_of(TEXTS, relevance=RELEVANCE), windows).weights == (1, 0, 0)
    assert Replug(temperature=math.inf).merge(job_of(TEXTS, relevance=RELEVANCE), windows).weights == (1 / 3,) * 3
    assert Replug().merge(job_of(TEXTS), windows) == Mixture()


def test_no_window_is_a_prior() -> None:
    llm = ScriptedLLM(["Maren\nQuote: A bell"])
    event = decoded(Replug(), job_of(TEXTS, llm))
    assert [[text for role, _, text in window if role == "context"] for window in event.windows] == [[t] for t in TEXTS]


def test_wrong_parameters_are_refused() -> None:
    for options in ({"temperature": 0}, {"temperature": math.nan}, {"windows": 0}):
        with pytest.raises(ConfigError, match="replug needs"):
            Replug(**options)  # type: ignore[arg-type]

"""NBCE: what the strategy adds to the merge, and the proofs of ALGORITHMS.md, section 1, 1 to 8, by number.

They run on random rows and on tiny real models in float64, with negative controls.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import Any

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
    forward,
    ids_of,
    logs_by_hand,
    nucleus_by_hand,
    real,
    rows,
    slowly,
    text_of,
)

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.merging import NBCE, Merge, Mixture, ProductOfExperts
from ctxproc.strategies.base import ANSWER
from ctxproc.strategies.nbce import Nbce
from ctxproc.strategies.stuff import Stuff

POOLS = ("min_entropy", "mean", "soft")


# The merge, on random rows.


def nbce_by_hand(logits: torch.Tensor, merge: NBCE, previous: int | None) -> tuple[list[float], int, list[float]]:
    """The published algorithm, token by token, for pool "min_entropy": scores, the chosen row, entropies."""
    logs = [logs_by_hand(row) for row in logits.tolist()]
    kept = [nucleus_by_hand(row, merge.top_p) for row in logs]
    cut = [[x if v in kept[r] else -INF for v, x in enumerate(row)] for r, row in enumerate(logs)]
    entropy = [-sum(math.exp(x) * min(max(x, -100.0), 0.0) for x in row) for row in cut]
    if previous is not None:
        entropy[previous] -= merge.eta
    k = min(range(1, len(logs)), key=lambda r: entropy[r])
    scores = [
        x if x == -INF or x0 <= -100 else (1 + merge.beta) * x - merge.beta * x0
        for x, x0 in zip(cut[k], cut[0], strict=True)
    ]
    return scores, k, entropy


@pytest.mark.parametrize(
    "merge", [NBCE(), NBCE(beta=0), NBCE(beta=2, top_p=0.5, eta=0), NBCE(top_p=1), NBCE(top_p=0.05)]
)
@pytest.mark.parametrize("scale", [0.1, 3, 12])
def test_nbce_is_the_published_algorithm_step_by_step(merge: NBCE, scale: float) -> None:
    for seed in SEEDS:
        merger, previous = merge.start(), None
        for step in range(4):
            logits = rows(5, 100 * seed + step, scale)
            logits[1:, step] = -INF
            logits[0, step + 5] = -INF
            scores, previous, entropies = nbce_by_hand(logits, merge, previous)
            got = merger(logits)
            assert distance(got, torch.tensor(scores, dtype=torch.float64)) < 1e-9
            assert merger.entropies == pytest.approx(entropies)
            assert merger.weights == [float(row == previous) for row in range(5)]


@pytest.mark.parametrize("pool", POOLS)
def test_proof_1_beta_0_and_one_window_is_its_log_softmax(pool: str) -> None:
    for seed in SEEDS:
        logits = rows(2, seed)
        plain = logits[1].log_softmax(-1)
        assert distance(NBCE(beta=0, top_p=1, pool=pool)(logits).scores, plain) == 0
        assert distance(NBCE(beta=0.25, top_p=1, pool=pool)(logits).scores, plain) > 0.1
        assert distance(NBCE(beta=0, top_p=0.9, pool=pool)(logits).scores, plain) == INF


@pytest.mark.parametrize("pool", POOLS)
def test_proof_2_identical_windows_are_one_window(pool: str) -> None:
    for seed in SEEDS:
        prior, window, other = rows(3, seed)
        one = NBCE(pool=pool)(torch.stack([prior, window])).scores
        many = NBCE(pool=pool)(torch.stack([prior, *[window] * 6])).scores
        assert distance(many, one) < (1e-14 if pool != "min_entropy" else 1e-300)
        assert distance(NBCE(pool=pool)(torch.stack([prior, other])).scores, one) > 0.1


def test_proof_3_mean_with_beta_n_minus_1_is_naive_bayes() -> None:
    for seed in SEEDS:
        for n in (1, 2, 3, 7):
            logits = rows(n + 1, seed)
            logs = logits.log_softmax(-1)
            bayes = logs[1:].sum(0) - (n - 1) * logs[0]
            merge = NBCE(pool="mean", beta=n - 1, top_p=1)
            assert distance(merge(logits).scores, bayes) < 1e-12
            assert merge(logits).weights == [0.0] + [1 / n] * n
            if n > 1:
                assert distance(NBCE(pool="mean", beta=n, top_p=1)(logits).scores, bayes) > 0.1


@pytest.mark.parametrize("pool", POOLS)
def test_proof_4_empty_windows_give_the_prior(pool: str) -> None:
    for seed in SEEDS:
        prior, other = rows(2, seed)
        logits = prior.expand(5, -1)
        assert distance(NBCE(top_p=1, pool=pool)(logits).scores, prior.log_softmax(-1)) < 1e-13
        other_prior = torch.cat([other[None], logits[1:]])
        assert distance(NBCE(top_p=1, pool=pool)(other_prior).scores, prior.log_softmax(-1)) > 0.1


@pytest.mark.parametrize("merge", [*(NBCE(pool=pool) for pool in POOLS), Mixture(), ProductOfExperts()], ids=str)
def test_proof_5_the_order_of_windows_does_not_matter(merge: Merge) -> None:
    for seed in range(3):
        logits = rows(4, seed)
        expected = merge(logits)
        for order in permutations(range(1, 4)):
            got = merge(logits[[0, *order]])
            assert distance(got.scores, expected.scores) < 1e-13
            assert got.weights == pytest.approx([expected.weights[row] for row in (0, *order)])
        if merge.prior:
            assert distance(merge(logits[[1, 0, 2, 3]]).scores, expected.scores) > 0.1


def test_proof_7_the_finite_tokens_are_the_nucleus_of_the_chosen_row() -> None:
    for seed in SEEDS:
        logits = rows(5, seed)
        merged = NBCE(top_p=0.8)(logits)
        nuclei = [nucleus_by_hand(logs_by_hand(row), 0.8) for row in logits.tolist()]
        finite = set(torch.nonzero(merged.scores.isfinite())[:, 0].tolist())
        chosen = merged.weights.index(1.0)
        assert finite == nuclei[chosen] and chosen > 0
        assert len(set(map(frozenset, nuclei))) == 5


def test_proof_8_hysteresis_keeps_the_window_and_no_eta_flips() -> None:
    calm = torch.tensor([0.0, -1, -2, -3], dtype=torch.float64)
    first, second = torch.stack([calm, calm, 0.97 * calm]), torch.stack([calm, 0.97 * calm, calm])
    for eta, chosen in [(0.1, 1), (0.0, 2)]:
        merger = NBCE(eta=eta, top_p=1).start()
        assert merger.weights == []
        merger(first)
        assert merger.weights == [0, 1, 0]
        merger(second)
        assert merger.weights.index(1.0) == chosen
        merger(first * torch.tensor([[1], [1], [5]]))
        assert merger.weights == [0, 0, 1]  # a lead of more than eta


def test_a_token_that_the_prior_all_but_excludes_is_not_boosted() -> None:
    logits = torch.tensor([[0.0, -1, -99, -101], [0.0, -1, -2, -3]], dtype=torch.float64)
    prior, window = logits.log_softmax(-1).tolist()
    scores = NBCE(top_p=1)(logits).scores.tolist()
    assert scores[:3] == pytest.approx([1.25 * x - 0.25 * x0 for x, x0 in zip(window[:3], prior[:3], strict=True)])
    assert scores[2] > 20 and scores[3] == pytest.approx(window[3])


def test_soft_lies_between_min_entropy_and_mean() -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        for temperature, pool in [(1e-5, "min_entropy"), (1e9, "mean")]:
            soft = NBCE(pool="soft", temperature=temperature, top_p=1)(logits)
            assert distance(soft.scores, NBCE(pool=pool, top_p=1)(logits).scores) < 1e-6
        merged = NBCE(pool="soft", temperature=0.7, top_p=1)(logits)
        logs = logits.log_softmax(-1)
        entropy = -(logs.exp() * logs).sum(-1)[1:]
        weights = (-entropy / 0.7).exp() / (-entropy / 0.7).exp().sum()
        assert merged.weights == pytest.approx([0, *weights.tolist()])
        pooled = sum(float(w) * row for w, row in zip(weights, logs[1:], strict=True))
        assert distance(merged.scores, 1.25 * pooled - 0.25 * logs[0]) < 1e-12
        later = NBCE(pool="soft", temperature=0.7, top_p=1)(logits, merged)
        lead = merged.weights.index(max(merged.weights))
        odds = [a / b for a, b in zip(later.weights[1:], merged.weights[1:], strict=True)]
        assert odds[lead - 1] / odds[lead % 3] == pytest.approx(math.exp(0.1 / 0.7))


@pytest.mark.parametrize("pool", ["mean", "soft"])
def test_pooled_windows_keep_what_one_nucleus_has(pool: str) -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        merge = NBCE(pool=pool, top_p=0.6, temperature=5)
        scores, logs = merge(logits).scores, logits.log_softmax(-1)
        nuclei = [nucleus_by_hand(row, 0.6) for row in logs.tolist()]
        assert set(torch.nonzero(scores.isfinite())[:, 0].tolist()) == set().union(*nuclei[1:])
        weights = merge(logits).weights
        for token in set().union(*nuclei[1:]):
            pooled = sum(w * float(row[token]) for w, row in zip(weights, logs, strict=True))
            contrast = 1.25 * pooled - 0.25 * float(logs[0, token])
            assert float(scores[token]) == pytest.approx(contrast if token in nuclei[0] else pooled)


# The strategy, on tiny real models.


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("windows", [4, 1])
def test_proof_6_windows_read_together_are_windows_read_alone(architecture: str, windows: int, load: Load) -> None:
    llm = load(architecture)
    job, strategy = real(llm, TEXTS), Nbce(eta=0.3, windows=windows)
    groups = [[text] for text in TEXTS] if windows == 4 else [TEXTS]
    prompts = [job.prompt(ANSWER, group) for group in ([], *groups)]
    entropies: list[list[float]] = []
    chosen: list[int] = []

    def step(logits: torch.Tensor) -> torch.Tensor:
        scores, row, its = nbce_by_hand(logits, NBCE(eta=0.3), chosen[-1] if chosen else None)
        chosen.append(row)
        entropies.append(its)
        return torch.tensor(scores, dtype=torch.float64)

    wanted = slowly(llm, prompts, step, GREEDY.max_new_tokens)
    event = decoded(strategy, job)
    assert event.text == text_of(llm, [token for token, _ in wanted])
    assert [logprob for _, logprob in event.tokens] == pytest.approx([logprob for _, logprob in wanted], abs=1e-5)
    assert event.weights == tuple(tuple(float(row == k) for row in range(len(prompts))) for k in chosen)
    assert [list(step) for step in event.entropies] == [pytest.approx(step, abs=1e-5) for step in entropies]
    assert len({len(ids_of(llm, prompt)) for prompt in prompts}) > 1


@pytest.mark.parametrize(("architecture", "harmless"), [("llama", True), ("gpt2", False)])
def test_proof_6_left_padding_without_position_ids_must_fail_on_gpt2(
    architecture: str, harmless: bool, load: Load
) -> None:
    llm = load(architecture)
    job = real(llm, TEXTS)
    long, short = (ids_of(llm, job.prompt(ANSWER, [text])) for text in (TEXTS[3], TEXTS[2]))
    pad = len(long) - len(short)
    assert pad > 10
    padded, mask = [0] * pad + short, torch.tensor([[0] * pad + [1] * len(short)])
    alone = forward(llm, short)[-1]
    right = forward(llm, padded, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0))[-1]
    naive = forward(llm, padded, attention_mask=mask, position_ids=torch.arange(len(padded))[None])[-1]
    assert distance(right, alone) < 1e-6
    assert (distance(naive, alone) < 1e-4) is harmless


def test_one_window_without_prior_and_nucleus_is_stuff(load: Load) -> None:
    llm = load("llama")
    plain = Nbce(beta=0, top_p=1, eta=0)
    for text in TEXTS:
        [stuffed] = events(Stuff(), real(llm, [text]))
        assert decoded(plain, real(llm, [text])).text == stuffed.text


def test_the_order_of_chunks_changes_no_token_and_permutes_the_weights(load: Load) -> None:
    llm = load("llama")
    made = decoded(Nbce(), real(llm, TEXTS))
    for order in ([3, 1, 0, 2], [1, 0, 3, 2]):
        other = decoded(Nbce(), real(llm, [TEXTS[i] for i in order]))
        assert other.tokens == made.tokens
        assert other.weights == tuple((step[0], *(step[1 + i] for i in order)) for step in made.weights)


def test_every_pool_is_the_merge_of_that_name(load: Load) -> None:
    llm = load("llama")
    for pool in POOLS:
        parameters: dict[str, Any] = {"pool": pool, "beta": 0.5, "top_p": 0.9, "eta": 0.2, "temperature": 0.3}
        job = real(llm, TEXTS)
        prompts = [job.prompt(ANSWER, group) for group in ([], *([text] for text in TEXTS))]
        made = llm.decode_windows(prompts, NBCE(**parameters), GREEDY)
        event = decoded(Nbce(**parameters), job)
        assert (event.tokens, event.weights, event.entropies) == (made.tokens, made.weights, made.entropies)
        assert event.merge == repr(NBCE(**parameters))


# The strategy, on a scripted model.


def test_the_prior_is_the_prompt_with_nothing_in_the_place_of_the_context() -> None:
    job = job_of(TEXTS)
    prior, *windows = decoded(Nbce(), job).windows
    assert [segment for segment in windows[1] if segment[0] != "context"] == list(prior)
    assert [[text for role, _, text in window if role == "context"] for window in windows] == [[t] for t in TEXTS]


def test_a_model_that_shows_no_logits_is_refused_before_any_call() -> None:
    with pytest.raises(ModelError, match="nbce needs a model that shows its logits, and builtin does not"):
        Nbce()(job_of(TEXTS, BuiltinReader()))


@pytest.mark.parametrize(
    "options", [{"beta": -1}, {"top_p": 0}, {"eta": -1}, {"pool": "max"}, {"temperature": 0}, {"windows": 0}], ids=str
)
def test_wrong_parameters_are_refused_when_it_is_made(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="needs"):
        Nbce(**options)

"""Merge functions of windows: the proofs of each method's definition, by value in float64, with negative controls."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.errors import ConfigError
from ctxproc.llm.merging import NBCE, Merge, Merged, Merger, Mixture, ProductOfExperts

torch.set_num_threads(1)

VOCABULARY = 40
INF = math.inf
SEEDS = range(30)
POOLS = ("min_entropy", "mean", "soft")


def rows(count: int, seed: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference; infinite where one excludes what the other does not."""
    return float((one - other).abs().masked_fill(one == other, 0).max())


def nucleus_by_hand(logs: list[float], top_p: float) -> set[int]:
    kept: set[int] = set()
    mass = 0.0
    for token in sorted(range(len(logs)), key=lambda v: -logs[v]):
        if top_p < 1 and mass >= top_p:
            break
        if logs[token] > -INF:
            kept.add(token)
        mass += math.exp(logs[token])
    return kept


def logs_by_hand(logits: list[float]) -> list[float]:
    top = max(logits)
    total = math.log(sum(math.exp(x - top) for x in logits)) + top
    return [x - total for x in logits]


def nbce_by_hand(logits: torch.Tensor, merge: NBCE, previous: int | None) -> tuple[list[float], int]:
    """The published algorithm, token by token, for pool "min_entropy": scores and the chosen row."""
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
    return scores, k


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
            scores, previous = nbce_by_hand(logits, merge, previous)
            got = merger(logits)
            assert distance(got, torch.tensor(scores, dtype=torch.float64)) < 1e-9
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


def test_rounding_does_not_bring_back_what_is_impossible() -> None:
    logits = torch.randn(150_000, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    logits[:, ::2] = -INF
    finite = NBCE(top_p=1 - 2**-24)(logits).scores.isfinite()
    assert finite.any() and not finite[::2].any()


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


def test_decodes_do_not_share_what_was_chosen() -> None:
    merge, logits = NBCE(eta=50), rows(4, 0)
    merge.start()(logits.flip(0).roll(1, 0))
    assert merge.start()(logits).equal(merge(logits).scores)
    with pytest.raises(FrozenInstanceError):
        merge.beta = 1.0  # type: ignore[misc]


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


def test_mixture_sums_to_1_and_is_the_weighted_mean() -> None:
    for seed in SEEDS:
        logits = rows(4, seed)
        logs, weights = logits.log_softmax(-1), (0.1, 0.2, 0.3, 0.4)
        merged = Mixture(tuple(7 * weight for weight in weights))(logits)
        assert float(merged.scores.exp().sum()) == pytest.approx(1, abs=1e-12)
        assert merged.weights == pytest.approx(weights)
        assert distance(merged.scores, (torch.tensor(weights).double()[:, None] * logs.exp()).sum(0).log()) < 1e-6
        assert distance(Mixture()(logits).scores, logs.logsumexp(0) - math.log(4)) < 1e-13
        assert distance(Mixture((1, 1, 1, 1.5))(logits).scores, logs.logsumexp(0) - math.log(4)) > 1e-3
        for k in range(4):
            one_hot = Mixture(tuple(float(row == k) for row in range(4)))(logits)
            assert distance(one_hot.scores, logs[k]) == 0


def test_mixture_keeps_what_one_window_allows() -> None:
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


MERGES: list[Merge] = [
    *(NBCE(beta=b, top_p=p, pool=pool) for b in (0, 0.25, 3) for p in (1e-9, 0.95, 1) for pool in POOLS),
    NBCE(pool="soft", temperature=1e-30),
    NBCE(pool="soft", temperature=INF),
    *(Mixture(), Mixture((0, 1, 1e-300)), ProductOfExperts(), ProductOfExperts((0, 1, 1e-300))),
]
LOGIT = st.one_of(st.just(-INF), st.floats(-1e4, 1e4), st.sampled_from([0.0, -1e30, 1e30, -99.9, -100.1]))


@settings(max_examples=60, deadline=None)
@given(
    table=st.lists(st.lists(LOGIT, min_size=4, max_size=4), min_size=6, max_size=6),
    open_=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_never_nan_and_always_a_token(table: list[list[float]], open_: list[int], dtype: torch.dtype) -> None:
    for row, token in zip(table, open_, strict=True):
        row[token] = max(row[token], 0.0)
    logits = torch.tensor(table, dtype=dtype)
    for merge in MERGES:
        merged: Merged | None = None
        for step in (logits[:3], logits[3:]):
            merged = merge(step, merged)
            assert merged.scores.dtype == dtype and merged.scores.shape == (4,)
            assert not merged.scores.isnan().any() and not (merged.scores == INF).any()
            assert merged.scores.isfinite().any()
            assert sum(merged.weights) == pytest.approx(1) and min(merged.weights) >= 0
            seen = step[1:] if merge.prior else step
            assert not merged.scores.isfinite()[(seen == -INF).all(0)].any()


@pytest.mark.parametrize(
    "options",
    [
        {"beta": -0.1},
        {"beta": INF},
        {"beta": math.nan},
        {"top_p": 0},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"eta": -1},
        {"eta": INF},
        {"pool": "max"},
        {"temperature": 0},
        {"temperature": math.nan},
    ],
    ids=str,
)
def test_wrong_parameters(options: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="NBCE needs"):
        NBCE(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [Mixture, ProductOfExperts])
def test_wrong_weights(kind: type[Mixture] | type[ProductOfExperts]) -> None:
    for weights in [(), (0.0, 0.0), (1.0, -1.0), (math.nan,), (INF, 1.0)]:
        with pytest.raises(ConfigError, match="weights"):
            kind(weights)
    with pytest.raises(ConfigError, match="2 weights for 3 windows"):
        kind((1.0, 1.0))(rows(3, 0))
    with pytest.raises(ConfigError, match="at least one window"):
        NBCE()(rows(1, 0))
    assert Merger(kind())(rows(2, 0)).shape == (VOCABULARY,)

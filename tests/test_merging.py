"""What all merges of windows keep to; the proofs of each method are in strategies/test_{nbce,ensemble,replug}.py."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.errors import ConfigError
from ctxproc.llm.merging import NBCE, Merge, Merged, Merger, Mixture, ProductOfExperts

torch.set_num_threads(1)

VOCABULARY = 40
INF = math.inf
POOLS = ("min_entropy", "mean", "soft")


def rows(count: int, seed: int, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_rounding_does_not_bring_back_what_is_impossible() -> None:
    logits = torch.randn(150_000, generator=torch.Generator().manual_seed(0)).repeat(2, 1)
    logits[:, ::2] = -INF
    finite = NBCE(top_p=1 - 2**-24)(logits).scores.isfinite()
    assert finite.any() and not finite[::2].any()


def test_decodes_do_not_share_what_was_chosen() -> None:
    merge, logits = NBCE(eta=50), rows(4, 0)
    merge.start()(logits.flip(0).roll(1, 0))
    assert merge.start()(logits).equal(merge(logits).scores)
    with pytest.raises(FrozenInstanceError):
        merge.beta = 1.0  # type: ignore[misc]


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


@pytest.mark.parametrize("pool", ["min_entropy", "mean", "soft"])
def test_entropies_are_told_as_they_are_compared(pool: Any) -> None:  # noqa: ANN401
    merge, logits = NBCE(eta=0.3, top_p=1.0, pool=pool), rows(4, 0)
    slow = [-sum(p * math.log(p) for p in row.softmax(-1).tolist()) for row in logits]
    first = merge(logits)
    assert first.entropies == pytest.approx(slow, abs=1e-5)
    leader = first.weights.index(max(first.weights[1:]), 1)
    slow[leader] -= 0.3
    assert merge(logits, first).entropies == pytest.approx(slow, abs=1e-5)
    assert Mixture()(logits).entropies == ProductOfExperts()(logits).entropies == ()

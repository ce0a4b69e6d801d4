"""Calibrations: the regressions find the rates they were drawn from, and abstaining keeps what it promises."""

from __future__ import annotations

import math

import pytest
import torch

from training.calibration import KEPT, abstention, calibrate, logistic


def test_a_regression_says_the_share_that_is_right() -> None:
    sure = [1.0] * 8 + [-1.0] * 8
    right = [1.0] * 6 + [0.0] * 2 + [1.0] * 2 + [0.0] * 6
    features = torch.tensor([[1.0, value] for value in sure], dtype=torch.float64)
    offset, slope = logistic(features, torch.tensor(right, dtype=torch.float64))
    assert abs(offset) < 1e-6
    assert 1 / (1 + math.exp(-slope)) == pytest.approx(6 / 8, abs=2e-3)  # a little decay
    again = logistic(features, torch.tensor(right, dtype=torch.float64), start=[0.5, -2.0])
    assert again == pytest.approx([offset, slope], abs=1e-4)


def test_a_reader_is_calibrated_by_the_level_of_all_spans_and_the_share_of_the_best() -> None:
    torch.manual_seed(1)
    any_span = (3 * torch.randn(4000, dtype=torch.float64)).tolist()
    share = (-torch.rand(4000, dtype=torch.float64) * 3).tolist()
    chance = [
        1 / (1 + math.exp(-(0.5 + 0.7 * level + 1.2 * part))) for level, part in zip(any_span, share, strict=True)
    ]
    best = [level + part for level, part in zip(any_span, share, strict=True)]
    answered = [k % 2 == 0 for k in range(4000)]
    found = calibrate(any_span, best, chance, answered)
    assert [found.offset, found.present, found.share] == pytest.approx([0.5, 0.7, 1.2], abs=0.02)
    assert found.confidence(any_span[0], best[0]) == pytest.approx(chance[0], abs=0.01)
    there = list(zip(any_span, chance, strict=True))[::2]
    assert found.threshold == abstention(there)


def test_abstaining_is_as_frequent_as_the_kept_share_allows() -> None:
    found = [(float(level), 1.0) for level in range(100)]
    bar = abstention(found)
    assert bar == pytest.approx(5 - 1e-3)
    assert sum(score for level, score in found if level > bar) / 100 >= KEPT
    assert abstention([(-3.0, 0.0), (2.0, 1.0)]) == pytest.approx(2 - 1e-3)
    assert abstention([(1.0, 0.0)]) == abstention([]) == -1e9

"""From scores to probabilities, on development data: logistic regressions, and from where on a reader abstains."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ctxproc.llm.reader import Calibration

__all__ = ["abstention", "calibrate", "logistic"]

DECAY = 1e-4
KEPT = 0.95  # of the F1 on passages with an answer that abstaining may not touch


def logistic(
    features: Tensor, target: Tensor, start: Sequence[float] | None = None, decay: float = DECAY
) -> list[float]:
    """The weights of a logistic regression with a little weight decay, by L-BFGS.

    Args:
        features: (N, F) in fp64.
        target: (N,) in fp64: how right each one is, from 0 to 1.
        start: First weights; 0 unless given.
        decay: How much the weights' sum of squares counts; with 0 there is no solution where a feature tells all.
    """
    first = start or [0.0] * features.shape[1]
    weights = torch.tensor(first, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        loss = binary_cross_entropy_with_logits(features @ weights, target) + decay * weights.square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    solver.step(closure)  # type: ignore[no-untyped-call]
    return [float(weight) for weight in weights.tolist()]


def calibrate(
    any_span: Sequence[float], best: Sequence[float], scores: Sequence[float], answered: Sequence[bool]
) -> Calibration:
    """A reader's calibration, from what it read when it always answers.

    Args:
        any_span: Of each passage the log-odds that it holds an answer.
        best: Of each passage the log of the summed exponentials of the spans that say the best answer.
        scores: F1 of the best answers, 0 on passages without an answer.
        answered: Whether each passage has an answer; only these decide from where on to abstain.
    """
    levels, mine = torch.tensor([any_span, best], dtype=torch.float64)
    features = torch.stack([torch.ones_like(levels), levels, mine - levels], 1)
    offset, present, share = logistic(features, torch.tensor(scores, dtype=torch.float64))
    rows = zip(any_span, scores, answered, strict=True)
    threshold = abstention([(level, score) for level, score, there in rows if there])
    return Calibration(offset, present, share, threshold)


def abstention(found: Sequence[tuple[float, float]]) -> float:
    """The highest log-odds up to which abstaining keeps `KEPT` of the F1 of passages, each given as log-odds and F1."""
    lost, total = 0.0, sum(score for _, score in found)
    for level, score in sorted(found):
        lost += score
        if lost > (1 - KEPT) * total:
            return level - 1e-3
    return -1e9

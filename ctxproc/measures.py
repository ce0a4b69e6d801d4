"""Measures that strategies and retrieval criteria share: pure functions of texts and log-likelihoods."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.llm.base import LogLikelihood


def rouge2_recall(text: str, reference: str) -> float:
    """The share of the reference's pairs of neighbouring words that the text holds, in [0, 1].

    A pair counts as often as both hold it. 0 where the reference has no pair. Words are case-folded, not stemmed.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 2, n = 2.
    """
    wanted, held = pairs(reference), pairs(text)
    return sum((wanted & held).values()) / wanted.total() if wanted else 0.0


def pairs(text: str) -> Counter[tuple[str, str]]:
    """How often each pair of neighbouring words stands in a text."""
    found = words(text, query=True)
    return Counter(pairwise(found))


def per_token(score: LogLikelihood) -> float:
    """The mean log-likelihood of a token; not a number where the limits of the run kept it from being computed."""
    return math.nan if math.isnan(score.total) else score.mean


def gain(having: float, lacking: float) -> float:
    """The difference of two log-likelihoods; 0 where both are minus infinity; not a number where one is not."""
    return 0.0 if having == lacking else having - lacking


def credit(log_p: Sequence[float], prior: Sequence[float]) -> list[float]:
    """r(z) of each document: the gradient of log p(y) by its prior score; they sum to 0.

    ``r(z) = (p(y | z) / p(y) - 1) p(z)``, where ``p(y)`` is the mixture of ``p(y | z)`` by ``p(z)``: a document gets credit
    exactly where it predicts y better than the mixture does.

    Args:
        log_p: log p(y | z) of each document, in nats; minus infinity is none, and what was not scored (not a number) too.
        prior: scores of which p(z) is the softmax, finite.

    Returns:
        All 0 where no document predicts y at all.

    Source: Guu et al. 2020, "REALM: Retrieval-Augmented Language Model Pre-Training", section 3.3 and appendix A.
    """
    most = max(prior)
    weights = [math.exp(score - most) for score in prior]
    share = [weight / sum(weights) for weight in weights]
    known = [-math.inf if math.isnan(value) else value for value in log_p]
    top = max(known)
    if top == -math.inf:
        return [0.0] * len(known)
    p = [math.exp(value - top) for value in known]
    mixture = sum(a * b for a, b in zip(p, share, strict=True))
    return [(a / mixture - 1) * b for a, b in zip(p, share, strict=True)]

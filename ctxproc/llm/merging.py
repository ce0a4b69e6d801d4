"""Merge functions of windows: the next-token scores of several rows -> one.

Rows read the same task after different windows of a context, and the same token is appended to all of them. A `Merge` is
a frozen set of parameters without state: what it must know of the step before is handed back to it, by a `Merger` of
each decode, so one merge serves any number of decodes at once.

A `Constraint` masks the rows before they are merged: afterwards a token it allows may already be excluded. Whatever
tokens a row excludes with a logit of -inf, as long as it leaves one, no score is NaN and one at least is finite.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from ctxproc.errors import ConfigError

if TYPE_CHECKING:
    import torch

FLOOR = -100.0  # log-probabilities from here down count as impossible in the prior
EXCLUDED = -1e4  # the log-probability in a weighted mean of a token that one window excludes altogether


class Merged(NamedTuple):
    """One merged step.

    Attributes:
        scores: (vocabulary,) in the dtype of the logits: log-probabilities up to a constant, -inf for impossible tokens.
        weights: how much each row counted, prior included (0): they sum to 1.
        entropies: of each row in nats, as they were compared, the prior's own first; empty where none are.
    """

    scores: torch.Tensor
    weights: list[float]
    entropies: tuple[float, ...] = ()


class Merge(ABC):
    """How to merge the rows of one step.

    Attributes:
        prior: row 0 is the task after an empty context, and the windows are the rows after it.
    """

    prior: ClassVar[bool]

    @abstractmethod
    def __call__(self, logits: torch.Tensor, last: Merged | None = None) -> Merged:
        """The merged scores of ``logits`` (rows, vocabulary), float32 or float64, no row without a finite logit.

        ``last`` is what this decode's step before gave; None at the first.

        Raises:
            ConfigError: the number of rows does not fit.
        """

    def start(self) -> Merger:
        """The merging of one decode, independent of all others."""
        return Merger(self)


class Merger:
    """A merge along the steps of one decode.

    Args:
        merge: what is done at each step.
    """

    def __init__(self, merge: Merge) -> None:
        self._merge = merge
        self._last: Merged | None = None

    @property
    def weights(self) -> list[float]:
        """`Merged.weights` of the last step; empty before the first."""
        return self._last.weights if self._last is not None else []

    @property
    def entropies(self) -> tuple[float, ...]:
        """`Merged.entropies` of the last step; empty before the first."""
        return self._last.entropies if self._last is not None else ()

    def __call__(self, logits: torch.Tensor) -> torch.Tensor:
        """The scores (vocabulary,) of the next step, as `Merge` gives them."""
        self._last = self._merge(logits, self._last)
        return self._last.scores


@dataclass(frozen=True, slots=True)
class NBCE(Merge):
    """Naive Bayes-based context extension: the surest window speaks, less what would be said without any window.

    Each row is cut to its nucleus without being renormalised; the entropy H of a window is that of its cut row. With
    l the pooled log-probabilities of the windows and l0 those of the prior, a token scores (1 + beta) l - beta l0, and
    just l where the prior's nucleus lacks it. With pool "mean", beta = n - 1 and top_p 1 this is naive Bayes over n
    windows. The source draws at temperature 0.01, all but greedily.

    Ours, as the source pools by "min_entropy" alone: in the other pools a token stays possible if the nucleus of one
    window that counts has it, and is weighed by the uncut rows; "soft" is a softmax over -H.

    Attributes:
        beta: how much of the prior is taken off; 0 or more.
        top_p: nucleus of every row, in (0, 1].
        eta: from the second step on the leading window's entropy counts as this much lower, in nats.
        pool: "min_entropy" takes the window of least entropy, the first of equals; "mean" all alike; "soft" weighs by
            entropy.
        temperature: of "soft", in nats: near 0 it is "min_entropy", at infinity "mean".

    Source: Su 2023, "Naive Bayes-based Context Extension", https://github.com/bojone/NBCE (test.py, last version:
    top-p, fallback and eta); Su et al. 2024, "Naive Bayes-based Context Extension for Large Language Models", NAACL.
    """

    beta: float = 0.25
    top_p: float = 0.95
    eta: float = 0.1
    pool: Literal["min_entropy", "mean", "soft"] = "min_entropy"
    temperature: float = 0.1

    prior: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (0 <= self.beta < math.inf and 0 < self.top_p <= 1 and 0 <= self.eta < math.inf):
            raise ConfigError("NBCE needs beta >= 0, 0 < top_p <= 1 and eta >= 0")
        if self.pool not in ("min_entropy", "mean", "soft") or not self.temperature > 0:
            raise ConfigError("NBCE needs pool min_entropy, mean or soft, and temperature > 0")

    def __call__(self, logits: torch.Tensor, last: Merged | None = None) -> Merged:
        """As `Merge`; at least one window after the prior."""
        import torch

        if len(logits) < 2:
            raise ConfigError("NBCE needs at least one window beside the prior")
        logs = logits.log_softmax(-1)
        kept = _nucleus(logs, self.top_p)
        entropies = _entropies(logs, kept)
        if last is not None:
            entropies[1 + max(range(len(logs) - 1), key=last.weights[1:].__getitem__)] -= self.eta
        weights = self._weights(entropies[1:])
        pooled = _weighted_mean(logs[1:], weights)
        contrasted = (1 + self.beta) * pooled - self.beta * logs[0]
        scores = torch.where(kept[0] & (logs[0] > FLOOR), contrasted, pooled)
        possible = (kept[1:] & (weights > 0)[:, None]).any(0)
        return Merged(scores.masked_fill(~possible, -math.inf), [0.0, *weights.tolist()], tuple(entropies.tolist()))

    def _weights(self, entropies: torch.Tensor) -> torch.Tensor:
        """The weight of each window (n,) from its entropy, as it is compared."""
        import torch

        if self.pool == "mean":
            return torch.full_like(entropies, 1 / len(entropies))
        if self.pool == "soft":
            return (-entropies / self.temperature).softmax(-1)
        return torch.zeros_like(entropies).scatter(0, entropies.argmin(keepdim=True), 1.0)


@dataclass(frozen=True, slots=True)
class Mixture(Merge):
    """The weighted mean of the windows' probabilities; no row is a prior.

    Attributes:
        weights: one per window, not negative, scaled to sum 1; None weighs all alike. For retrieved passages the source
            takes the softmax of their scores.

    Source: Shi et al. 2023, "REPLUG: Retrieval-Augmented Black-Box Language Models", section 3.2.
    """

    weights: tuple[float, ...] | None = None

    prior: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_weights(self.weights)

    def __call__(self, logits: torch.Tensor, last: Merged | None = None) -> Merged:
        """As `Merge`; the scores are log-probabilities."""
        weights = _shares(self.weights, logits)
        return Merged((logits.log_softmax(-1) + weights.log()[:, None]).logsumexp(0), weights.tolist())


@dataclass(frozen=True, slots=True)
class ProductOfExperts(Merge):
    """The weighted mean of the windows' log-probabilities: the parallel ensemble; no row is a prior.

    A token that one window excludes altogether is all but impossible, however likely the others find it.

    Attributes:
        weights: one per window, not negative, scaled to sum 1; None weighs all alike.

    Source: Yang et al. 2023, "Revisiting Parallel Context Windows: A Frustratingly Simple Alternative and
    Chain-of-Thought Deterioration" (arXiv 2305.15262): a weighted sum of the windows' logits, which differs from this
    by a constant only.
    """

    weights: tuple[float, ...] | None = None

    prior: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _check_weights(self.weights)

    def __call__(self, logits: torch.Tensor, last: Merged | None = None) -> Merged:
        """As `Merge`; the scores are not normalised."""
        logs, weights = logits.log_softmax(-1), _shares(self.weights, logits)
        possible = (logs.isfinite() & (weights > 0)[:, None]).any(0)
        return Merged(_weighted_mean(logs, weights).masked_fill(~possible, -math.inf), weights.tolist())


def _nucleus(logs: torch.Tensor, top_p: float) -> torch.Tensor:
    """Which tokens of each row stay: the likeliest, as long as those before them sum to less than ``top_p``.

    Tokens of no probability never stay, the likeliest always does.
    """
    import torch

    possible = logs > -math.inf
    if top_p == 1:
        return possible
    ordered, order = logs.exp().sort(dim=-1, descending=True, stable=True)
    within = ordered.cumsum(-1) - ordered < top_p
    return torch.zeros_like(possible).scatter(-1, order, within) & possible


def _entropies(logs: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """The entropy of each row in nats, summed over the kept tokens only."""
    return -(logs.exp() * logs).masked_fill(~kept, 0).sum(-1)


def _weighted_mean(logs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The weighted mean over rows, finite everywhere."""
    return (weights[:, None] * logs.masked_fill(logs == -math.inf, EXCLUDED)).sum(0)


def _check_weights(weights: tuple[float, ...] | None) -> None:
    if weights is None:
        return
    if not all(0 <= weight < math.inf for weight in weights) or not 0 < sum(weights) < math.inf:
        raise ConfigError("weights of windows must be finite, not negative, and not all 0")


def _shares(weights: tuple[float, ...] | None, logits: torch.Tensor) -> torch.Tensor:
    """Weights that sum to 1, one per row of ``logits``."""
    import torch

    if weights is None:
        weights = (1.0,) * len(logits)
    if len(weights) != len(logits) or not weights:
        raise ConfigError(f"there are {len(weights)} weights for {len(logits)} windows")
    total = sum(weights)
    return torch.tensor([weight / total for weight in weights], dtype=logits.dtype, device=logits.device)

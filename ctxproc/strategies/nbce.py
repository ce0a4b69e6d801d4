"""Naive Bayes-based context extension: at every token the surest window speaks (Su 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ctxproc.job import Job
from ctxproc.strategies._windows import Window, Windowed

if TYPE_CHECKING:
    from ctxproc.llm.merging import NBCE


@dataclass(frozen=True)
class Nbce(Windowed):
    """Every chunk is a window, and so is no text at all; at each token the surest window speaks, less what that prior says.

    Good for a fact that stands in one of several chunks, and for many classes with examples of each in some window. It
    cannot join two windows within one token, and does not see their order. Needs a model that shows its logits. The
    trace holds the weight and the entropy of every window at every token.

    Repaired against the source: every row has positions of its own, the prior keeps the whole prompt but for the
    context, and a token that a nucleus excludes makes no score a NaN. Ours: the pools "mean" (only a comment in the
    source) and "soft".

    Attributes:
        pool: "min_entropy" takes the window whose next token is surest, "mean" all alike, "soft" weighs them by entropy.
        beta: how much of the prior is taken off the log-probabilities; 0 leaves it out.
        top_p: nucleus to which every row is cut first, in (0, 1].
        eta: nats by which the window that led at the token before is favoured.
        temperature: of "soft", in nats: near 0 it is "min_entropy", at infinity "mean".
        windows: at most so many beside the prior; more chunks share windows with their neighbours, and what fits none is
            left out.

    Source: Su 2023, "Naive Bayes-based Context Extension", https://github.com/bojone/NBCE (test.py, last version);
    Su et al. 2024, "Naive Bayes-based Context Extension for Large Language Models", NAACL.
    """

    pool: Literal["min_entropy", "mean", "soft"] = "min_entropy"
    beta: float = 0.25
    top_p: float = 0.95
    eta: float = 0.1
    temperature: float = 0.1

    name: ClassVar[str] = "nbce"
    prior: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._merge()

    def merge(self, job: Job, windows: Sequence[Window]) -> NBCE:
        """By these parameters, whatever the windows are."""
        return self._merge()

    def _merge(self) -> NBCE:
        from ctxproc.llm.merging import NBCE

        return NBCE(self.beta, self.top_p, self.eta, self.pool, self.temperature)

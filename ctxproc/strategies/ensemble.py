"""The parallel ensemble: a weighted sum of the windows' logits at every token (Yang et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ctxproc.errors import ConfigError
from ctxproc.job import Job
from ctxproc.strategies._windows import Window, Windowed, shares

if TYPE_CHECKING:
    from ctxproc.llm.merging import ProductOfExperts


@dataclass(frozen=True)
class Ensemble(Windowed):
    """Every chunk is a window; each token is chosen by the weighted mean of their log-probabilities.

    The honest baseline of `pcw`: by its source as good on classification, and it runs with any attention. Good where most
    windows hold something on the question, as with examples of each class. A window that all but excludes a token
    forbids it to the others, so one window with the answer among many without it is outvoted: `replug` and `nbce` are
    for that. Needs a model that shows its logits.

    Attributes:
        by: "uniform" weighs all windows alike, "relevance" by the softmax of relevance / temperature.
        temperature: of that softmax, in units of relevance, which runs from 0 to 1; above 0.
        windows: at most so many; more chunks share windows with their neighbours, and what fits none is left out.

    Source: Yang et al. 2023, "Revisiting Parallel Context Windows: A Frustratingly Simple Alternative and
    Chain-of-Thought Deterioration" (arXiv 2305.15262), parallel ensemble.
    """

    by: Literal["uniform", "relevance"] = "uniform"
    temperature: float = 0.1

    name: ClassVar[str] = "ensemble"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.by not in ("uniform", "relevance") or not self.temperature > 0:
            raise ConfigError("ensemble weighs by uniform or relevance, with temperature > 0")

    def merge(self, job: Job, windows: Sequence[Window]) -> ProductOfExperts:
        """The product of the windows' distributions."""
        from ctxproc.llm.merging import ProductOfExperts

        return ProductOfExperts(shares(job, windows, self.temperature) if self.by == "relevance" else None)

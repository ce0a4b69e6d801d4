"""A mixture of the windows' next-token probabilities, weighted by retrieval (REPLUG, Shi et al. 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.errors import ConfigError
from ctxproc.job import Job
from ctxproc.strategies._windows import Window, Windowed, shares

if TYPE_CHECKING:
    from ctxproc.llm.merging import Mixture


@dataclass(frozen=True)
class Replug(Windowed):
    """Every chunk is a window; each token is chosen by the mean of their probabilities, weighted by relevance.

    Good after a search: a window that is sure carries its token however unsure the others are. It cannot join what two
    windows say within one token, and a search that ranks badly weighs badly. Needs a model that shows its logits.

    Repaired against the source, whose language-model code weighs all alike and whose question-answering code adds up
    whole answers of the same spelling: the weights of section 3.2 at every token. Training the retriever (LSR) is left
    out.

    Attributes:
        temperature: of the softmax over relevance, in units of relevance, which runs from 0 to 1 (the source's scores
            are cosines): near 0 the best window speaks alone, at infinity all count alike, as they do where nothing
            was searched.
        windows: at most so many; more chunks share windows with their neighbours, which count as the most relevant of
            them, and what fits none is left out.

    Source: Shi et al. 2023, "REPLUG: Retrieval-Augmented Black-Box Language Models" (arXiv 2301.12652), section 3.2.
    """

    temperature: float = 0.1

    name: ClassVar[str] = "replug"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temperature > 0:
            raise ConfigError("replug needs temperature > 0")

    def merge(self, job: Job, windows: Sequence[Window]) -> Mixture:
        """The mixture by the windows' relevance."""
        from ctxproc.llm.merging import Mixture

        return Mixture(shares(job, windows, self.temperature))

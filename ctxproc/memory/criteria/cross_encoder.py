"""A model that reads query and chunk together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.errors import ConfigError
from ctxproc.memory.criteria.base import Hit, Scorer, weighed

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


OWN = 0.25
"""The weight of the built-in judge: `benchmarks/retrieval.py`, even queries."""


@dataclass(frozen=True)
class CrossEncoder(Scorer):
    """Multiplies each score by what a cross-encoder says of query and chunk: a probability, raised to ``weight``.

    But for those that ask the language model the slowest of the scorers: one pass of the model for each candidate. Of what
    is longer than its window the built-in judge takes the best part; other models cut the end.

    Attributes:
        model: a folder or hub name of a sentence-transformers CrossEncoder with one output; "" is the built-in judge.
        weight: at least 0; below 1 the ranking as it was counts more. None is 0.25 for the built-in judge, which was best
            on development queries, and 1 for another model.

    Source: Nogueira and Cho 2019, "Passage Re-ranking with BERT", section 3.
    """

    model: str = ""
    weight: float | None = None

    name: ClassVar[str] = "cross_encoder"

    def __post_init__(self) -> None:
        if self.weight is not None and not self.weight >= 0:
            raise ConfigError(f"criterion cross_encoder: weight is at least 0, not {self.weight}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says.

        Raises:
            ModelError: the model cannot be loaded.
        """
        from ctxproc.llm.cross_encoder import relevances

        found = relevances(self.model, query, (), [corpus.chunks[hit.index].text for hit in hits])
        weight = self.weight if self.weight is not None else 1.0 if self.model else OWN
        return weighed(hits, self.name, [value**weight for value in found])

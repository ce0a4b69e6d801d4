"""A model that reads query and chunk together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.errors import ModelError
from ctxproc.memory.criteria.base import Hit, Scorer, weighed

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class CrossEncoder(Scorer):
    """Multiplies each score by what a cross-encoder says of query and chunk: the logistic function of its number.

    The most exact of the scorers and, but for those that ask the language model, the slowest: one pass of the model for
    each candidate. What is longer than the model's window is cut at its end.

    Attributes:
        model: a folder or hub name of a sentence-transformers CrossEncoder with one output; there is none that ships.

    Source: Nogueira and Cho 2019, "Passage Re-ranking with BERT", section 3.
    """

    model: str = ""

    name: ClassVar[str] = "cross_encoder"

    def check(self) -> None:
        """A model must be named."""
        if not self.model:
            raise ModelError("criterion cross_encoder has no model: name one, as in {cross_encoder: {model: FOLDER}}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says.

        Raises:
            ModelError: no model is named, or it cannot be loaded.
        """
        self.check()
        if not hits:
            return []
        from torch.nn import Sigmoid

        from ctxproc.llm.cross_encoder import cross_encoder

        pairs = [(query, corpus.chunks[hit.index].text) for hit in hits]
        found = cross_encoder(self.model).predict(pairs, activation_fn=Sigmoid(), show_progress_bar=False)
        return weighed(hits, self.name, [float(value) for value in found])

"""Word pairs in common with the query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.measures import rouge2_recall
from ctxproc.memory.criteria.base import Hit, Scorer, weighed

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Rouge2(Scorer):
    """Multiplies each score by (1 + ROUGE-2 recall of the query) / 2: from 1/2 to 1, 1 where every pair is in the chunk.

    The source scores text by the recall of a reference summary, which there is when a model is trained. Here the query is
    the reference, so that this rewards phrases of the query, which neither embeddings nor single words see; the half keeps
    the order of chunks that share no pair. No parameters.

    Source: Manakul and Gales 2021, "Long-Span Summarization via Local Attention and Content Selection", section 4.1.
    """

    name: ClassVar[str] = "rouge2"

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says."""
        recalls = [rouge2_recall(corpus.chunks[hit.index].text, query) for hit in hits]
        return weighed(hits, self.name, [(1 + recall) / 2 for recall in recalls])

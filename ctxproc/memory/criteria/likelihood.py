"""How much likelier a chunk makes what the language model is to say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from ctxproc.errors import ModelError
from ctxproc.measures import gain
from ctxproc.memory.criteria.base import Hit, Scorer, weighed

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus

Words = Literal["question", "draft"]


@dataclass(frozen=True)
class Likelihood(Scorer):
    """Multiplies each score by p(y | chunk) / (p(y | chunk) + p(y)): above 1/2 where the chunk makes y likelier.

    Both are the mean per token (its geometric mean), so that long words do not make one chunk take all. One call for each
    candidate, one without any, and the draft's. Where a limit forbids the call, the factor is 1/2.

    Attributes:
        words: y. "question": the question itself, for a model that writes (query likelihood); "draft": an answer drafted
            from the best candidates, which favours chunks that support it.

    Source: Ponte and Croft 1998, "A Language Modeling Approach to Information Retrieval", section 2; Sachan et al. 2022,
    "Improving Passage Retrieval with Zero-Shot Question Generation", section 2.2.
    """

    words: Words = "question"

    name: ClassVar[str] = "likelihood"
    reads: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_words(self.words)

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says; the candidates as they stand where there is no draft.

        Raises:
            ModelError: there is no model, or it gives no such likelihoods.
        """
        log_p = likelihoods(self.name, self.words, corpus, hits)
        if not log_p:
            return list(hits)
        return weighed(hits, self.name, [odds(gain(having, log_p[-1])) for having in log_p[:-1]])


def checked_words(words: str) -> None:
    """Refuse words that are neither the question nor a draft.

    Raises:
        ValueError: they are not.
    """
    if words not in ("question", "draft"):
        raise ValueError(f"words is question or draft, not {words!r}")


def likelihoods(name: str, words: Words, corpus: Corpus, hits: Sequence[Hit]) -> list[float]:
    """The mean log p per token of the words after each hit, and after no text; empty where there are no words or hits.

    Args:
        name: of the criterion that asks, for an error.
        words: "question" or "draft".
        corpus: with a language model.
        hits: from which the draft is made.

    Raises:
        ModelError: there is no model, or it gives no such likelihoods.
    """
    if corpus.reader is None:
        raise ModelError(f"criterion {name} asks the language model, and only `ctxproc ask` hands it one")
    corpus.reader.check(words == "question")
    texts = [corpus.chunks[hit.index].text for hit in hits]
    draft = corpus.reader.draft(texts) if texts and words == "draft" else ""
    if not texts or (words == "draft" and not draft):
        return []
    return corpus.reader.likelihoods([*texts, ""], draft)


def odds(log: float) -> float:
    """e^x / (1 + e^x), from 0 to 1; 1/2 where x is not a number."""
    if math.isnan(log):
        return 0.5
    return 1 / (1 + math.exp(-log)) if log >= 0 else math.exp(log) / (1 + math.exp(log))

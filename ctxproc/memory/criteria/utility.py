"""Credit for what the language model predicts better with a chunk than with what was found on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.measures import credit
from ctxproc.memory.criteria.base import Hit, Scorer, ranked, shared
from ctxproc.memory.criteria.likelihood import Words, checked_words, likelihoods

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True)
class Utility(Scorer):
    """Scores by REALM's credit r(z) = (p(y | z) / p(y) - 1) p(z), and by 0 what has none.

    p(z) is the softmax of the scores so far divided by ``temperature``, and p(y) the mixture of p(y | z) by it. One more
    candidate, the null document, is no text at all, as good as the candidates are on average: a chunk gets credit only if
    it beats that mixture. The credit is a share of the probability of y and never above 1; those without any come last, as
    they stood. The strategy of this name does the same with the similarities to the question. One call for each candidate,
    one without any, and the draft's. p(y | z) is the mean per token.

    Attributes:
        words: y, as of `likelihood`: "question" or "draft".
        temperature: of p(z), above 0; REPLUG's is 0.1.

    Source: Guu et al. 2020, "REALM: Retrieval-Augmented Language Model Pre-Training", section 3.3 and appendix A; Shi et al.
    2023, "REPLUG: Retrieval-Augmented Black-Box Language Models", section 4.
    """

    words: Words = "question"
    temperature: float = 0.1

    name: ClassVar[str] = "utility"
    reads: ClassVar[bool] = True

    def __post_init__(self) -> None:
        checked_words(self.words)
        if not self.temperature > 0:
            raise ValueError(f"temperature is above 0, not {self.temperature}")

    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """As the class says; the candidates as they stand where there is no draft, or none has credit.

        Raises:
            ModelError: there is no model, or it gives no such likelihoods.
        """
        log_p = likelihoods(self.name, self.words, corpus, hits)
        if not log_p:
            return list(hits)
        scores = [hit.score for hit in hits]
        prior = [score / self.temperature for score in (*scores, sum(scores) / len(scores))]
        given = credit(log_p, prior)[:-1]
        if max(given) <= 0:
            return list(hits)
        return ranked([shared(hit, self.name, one, max(0.0, one)) for hit, one in zip(hits, given, strict=True)])

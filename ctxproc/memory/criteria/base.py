"""What a criterion is: something that ranks chunks for a query.

A criterion is a frozen dataclass: its fields are its parameters, its docstring is its reference. What it computes once
per corpus (an index, embeddings) it keeps there with `Corpus.once`, so a criterion holds nothing and may be shared.

Searchers find candidates among all chunks; scorers re-rank what was found. A score after the fusion of the searchers is
a relevance from 0 to 1, and scorers keep it there: most multiply it by a factor from 0 to 1, so that the order in which
such scorers are named does not matter. `Corpus.select` gives the best one its old score again, the others in proportion.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory.base import Ids

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found.

    Scores of one criterion may be compared for one query; scores of two criteria may not.

    Attributes:
        index: its place in the corpus.
        score: higher is better.
        shares: what each criterion contributed, by its name: of searchers, what they add to the score of the fusion; of
            scorers, what they made of the chunk, such as the factor on its score.
    """

    index: int
    score: float
    shares: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Criterion(ABC):
    """Ranks chunks for a query; subclasses name themselves, those shipped as their module is named."""

    name: ClassVar[str]


@dataclass(frozen=True)
class Searcher(Criterion):
    """Finds candidates among all chunks of a corpus.

    Attributes:
        embeds: whether it needs the embeddings of the chunks.
    """

    embeds: ClassVar[bool] = False

    @abstractmethod
    def search(self, corpus: Corpus, query: str, k: int, among: Ids | None = None) -> list[Hit]:
        """At most ``k`` chunks, the most relevant first, equals in chunk order; the same as by brute force.

        A searcher may leave out chunks that have nothing in common with the query.

        Args:
            corpus: what is searched.
            query: in words.
            k: how many; none below 1.
            among: places that may be found, ascending; default: all.
        """


@dataclass(frozen=True)
class Scorer(Criterion):
    """Re-ranks candidates.

    Attributes:
        reads: whether it asks the language model, and so spends calls.
    """

    reads: ClassVar[bool] = False

    def check(self) -> None:
        """Ask early whether it can be had.

        Raises:
            ModelError: it lacks a model; says what to do.
        """
        return

    @abstractmethod
    def score(self, corpus: Corpus, query: str, hits: Sequence[Hit]) -> list[Hit]:
        """The candidates, best first, equals as they stood. A scorer may leave some out and add others.

        Args:
            corpus: where the hits are.
            query: in words.
            hits: candidates, best first, scores from 0 to 1.
        """


class Reader(Protocol):
    """The language model, as scorers need it."""

    def check(self, question: bool) -> None:
        """Ask before the first call whether the model gives likelihoods.

        Args:
            question: of texts that it did not write.

        Raises:
            ModelError: it does not.
        """

    def draft(self, contexts: Sequence[str]) -> str:
        """The model's answer from as many of these texts, from the first on, as one prompt holds; "" if it has none."""

    def likelihoods(self, contexts: Sequence[str], draft: str = "") -> list[float]:
        """The mean log p of a token of the question, or of a draft answer, after each text; after none where it is "".

        Not a number where the limits of the run forbid the call.
        """


def top(scores: NDArray[np.floating], k: int, among: Sequence[int] | Ids | None = None) -> list[Hit]:
    """The ``k`` best of ``scores`` (shape: chunks), the best first, equals in chunk order.

    Args:
        scores: one number per chunk.
        k: how many at most; none below 1.
        among: places that may be taken, ascending; default: all.
    """
    places = np.arange(len(scores)) if among is None else np.asarray(among, dtype=np.int64)
    order = places[np.argsort(-scores[places], kind="stable")][: max(0, k)]
    return [Hit(int(i), float(scores[i])) for i in order]


def shared(hit: Hit, name: str, share: float, score: float) -> Hit:
    """The hit with another score, and what a scorer contributed to it."""
    return replace(hit, score=score, shares={**hit.shares, name: share})


def weighed(hits: Sequence[Hit], name: str, factors: Sequence[float]) -> list[Hit]:
    """The hits, each score multiplied by its factor, best first, equals as they stood."""
    found = [shared(hit, name, factor, hit.score * factor) for hit, factor in zip(hits, factors, strict=True)]
    return ranked(found)


def ranked(hits: Sequence[Hit]) -> list[Hit]:
    """The hits, best first, equals as they stood."""
    return sorted(hits, key=lambda hit: -hit.score)

"""What a criterion is: something that ranks chunks for a query.

A criterion is a frozen dataclass: its fields are its parameters, its docstring is its reference. What it computes once
per corpus (an index, embeddings) it keeps there with `Corpus.once`, so a criterion holds nothing and may be shared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ctxproc.memory.corpus import Corpus


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found: its place in the corpus, and a score, higher is better.

    Scores of one criterion may be compared for one query; scores of two criteria may not.
    """

    index: int
    score: float


@dataclass(frozen=True)
class Criterion(ABC):
    """Ranks chunks for a query; subclasses name themselves as their module is named."""

    name: ClassVar[str]


@dataclass(frozen=True)
class Searcher(Criterion):
    """Finds candidates among all chunks of a corpus."""

    @abstractmethod
    def search(self, corpus: Corpus, query: str, k: int) -> list[Hit]:
        """At most ``k`` chunks, the most relevant first, equals in chunk order; the same as by brute force.

        A searcher may leave out chunks that have nothing in common with the query.
        """


def top(scores: NDArray[np.floating], k: int, among: Sequence[int] | None = None) -> list[Hit]:
    """The ``k`` best of ``scores`` (shape: chunks), the best first, equals in chunk order.

    Args:
        scores: one number per chunk.
        k: how many at most; none below 1.
        among: places that may be taken, ascending; default: all.
    """
    places = np.arange(len(scores)) if among is None else np.asarray(among, dtype=np.int64)
    order = places[np.argsort(-scores[places], kind="stable")][: max(0, k)]
    return [Hit(int(i), float(scores[i])) for i in order]

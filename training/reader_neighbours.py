"""Passages that look right for a question and do not answer it: the nearest by BM25."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rank_bm25 import BM25Okapi

from training.reader_text import normal

__all__ = ["Neighbours"]


class Neighbours:
    """BM25 over a pool of passages."""

    def __init__(self, passages: Sequence[str]) -> None:
        """Index the passages, each once."""
        self.passages = list(dict.fromkeys(passages))
        self._bare = [f" {normal(passage)} " for passage in self.passages]
        self._index = BM25Okapi([bare.split() for bare in self._bare])

    def of(self, question: str, answers: Sequence[str], count: int, *, besides: str = "") -> list[str]:
        """The best ``count`` passages that hold none of the answers, other than ``besides``."""
        scores = self._index.get_scores(normal(question).split())
        bare = [f" {normal(answer)} " for answer in answers]
        found = []
        for k in np.argsort(-scores, kind="stable"):
            if self.passages[k] != besides and not any(answer in self._bare[k] for answer in bare):
                found.append(self.passages[k])
                if len(found) == count:
                    break
        return found

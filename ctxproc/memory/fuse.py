"""Several rankings -> one, with scores from 0 to 1.

A fusion says which chunk comes first. How relevant the chunk of a place is, every fusion says alike, by how far the
rankings agree: so what strategies make of a relevance does not hang on the fusion, on how many candidates there were, or
on units of scores. (Measured: the lowest of two min-max calibrated scores is 0 however near it was, and map_rerank, which
takes relevance as a prior, lost 3 points of F1 on documents of two chunks.)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.criteria.base import Hit

WORDS = {"bm25": 2.0, "graph": 2.0}
"""Weights of the criteria that go by words; that of the others is 3."""

Rankings = Mapping[str, Sequence[Hit]]
"""Hits by the name of the criterion that found them, best first."""


@dataclass(frozen=True)
class Fusion(ABC):
    """Makes one ranking of several.

    The score of the n-th hit is the n-th highest agreement of the rankings on a chunk: the mean over rankings of
    61 / (60 + rank), 1 for a chunk that all of them put first. Its shares are its chunk's parts, scaled to sum to it.
    """

    @abstractmethod
    def parts(self, ranking: Sequence[Hit], name: str) -> list[float]:
        """What each hit of one ranking adds to its chunk's strength; chunks are ranked by their strength."""

    def __call__(self, rankings: Rankings) -> list[Hit]:
        """All chunks that any ranking has, best first, equals in chunk order. One that a ranking lacks gets 0 from it."""
        parts: dict[int, dict[str, float]] = {}
        agreed: dict[int, float] = {}
        for name, ranking in rankings.items():
            for hit, part, share in zip(
                ranking, self.parts(ranking, name), AGREEMENT.parts(ranking, name), strict=True
            ):
                parts.setdefault(hit.index, {})[name] = part
                agreed[hit.index] = agreed.get(hit.index, 0.0) + share / len(rankings)
        order = sorted(parts, key=lambda index: (-sum(parts[index].values()), index))
        relevances = sorted(agreed.values(), reverse=True)
        return [Hit(i, score, split(parts[i], score)) for i, score in zip(order, relevances, strict=True)]


@dataclass(frozen=True)
class ReciprocalRank(Fusion):
    """Reciprocal rank fusion: a ranking gives a chunk (k + 1) / (k + rank), ranks from 1. Its scores are not read.

    The factor k + 1 is ours: a chunk that a ranking puts first gets 1 of it.

    Attributes:
        k: softens the lead of the first places.

    Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
    Learning Methods", section 2 (k = 60).
    """

    k: float = 60

    def parts(self, ranking: Sequence[Hit], name: str) -> list[float]:
        """As the class says."""
        return [(self.k + 1) / (self.k + rank) for rank in range(1, len(ranking) + 1)]


AGREEMENT = ReciprocalRank()
"""What says how relevant places are."""


@dataclass(frozen=True)
class Weighted(Fusion):
    """The weighted mean of calibrated scores.

    Scores are calibrated within each ranking: the lowest is 0 and the highest 1, as cosines and BM25 have no unit in
    common. Unlike ranks, this keeps how far the first place leads; it also depends on how many candidates there are,
    as the last one sets the 0. A ranking in which all scores are equal gives 1 to each.

    Attributes:
        weights: by criterion; at least 0, not all 0. Their sum does not matter.

    Source: Bruch, Gai and Ingber 2023, "An Analysis of Fusion Functions for Hybrid Retrieval", section 3 (convex
    combination of min-max normalised scores).
    """

    weights: Mapping[str, float]

    def __post_init__(self) -> None:
        given = self.weights.values()
        if given and not (all(0 <= weight < math.inf for weight in given) and sum(given) > 0):
            raise ConfigError(f"fusion weighted: weights are at least 0 and not all 0, not {dict(self.weights)}")

    def parts(self, ranking: Sequence[Hit], name: str) -> list[float]:
        """As the class says."""
        weight = self.weights[name] / sum(self.weights.values())
        return [weight * score for score in calibrated([hit.score for hit in ranking])]


def split(parts: Mapping[str, float], score: float) -> dict[str, float]:
    """A score in shares that are as the parts are; equal ones where all parts are 0."""
    whole = sum(parts.values())
    return {name: score * part / whole if whole else score / len(parts) for name, part in parts.items()}


def calibrated(scores: Sequence[float]) -> list[float]:
    """Scores moved and scaled, the lowest to 0 and the highest to 1; all to 1 where they are equal."""
    low, high = min(scores, default=0.0), max(scores, default=0.0)
    return [(score - low) / (high - low) if high > low else 1.0 for score in scores]


def fusion(spec: str | Mapping[str, Mapping[str, float]], names: Sequence[str]) -> Fusion:
    """The fusion that a setting describes.

    One of ``weighted``, ``{weighted: {cosine: 0.7, bm25: 0.3}}``, ``rrf`` and ``{rrf: {k: 60}}``. Without weights, they are
    those that `benchmarks/retrieval.py` found best: 3 for criteria that embed, 2 for those of words. Weights of criteria
    that do not search are not used, so that a preset may search by fewer.

    Args:
        spec: as set.
        names: of the criteria whose rankings are fused.

    Raises:
        UnknownNameError: there is no such fusion.
        ConfigError: it has another form; a weight is not a number at least 0, or one of ``names`` has none.
    """
    name, parameters = (spec, {}) if isinstance(spec, str) else next(iter(spec.items()), ("", {}))
    if name not in ("rrf", "weighted"):
        raise UnknownNameError("fusion", name, ["rrf", "weighted"])
    if not isinstance(parameters, Mapping) or not all(_is_number(value) for value in parameters.values()):
        raise ConfigError(f"fusion {name}: takes numbers by name, not {parameters!r}")
    if name == "weighted":
        if isinstance(spec, str):
            return Weighted({name: WORDS.get(name, 3.0) for name in names})
        if lacking := set(names) - set(parameters):
            raise ConfigError(f"fusion weighted: give a weight to {', '.join(sorted(lacking))} as well")
        return Weighted({name: parameters[name] for name in names})
    if set(parameters) - {"k"} or not parameters.get("k", 60) >= 0:
        raise ConfigError(f"fusion rrf: has one parameter, k, at least 0, not {dict(parameters)!r}")
    return ReciprocalRank(**parameters)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

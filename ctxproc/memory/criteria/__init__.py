"""Ways to rank chunks for a query. One file each; `catalogue` finds them, so adding one costs one file."""

from __future__ import annotations

from ctxproc.catalogue import Catalogue
from ctxproc.memory.criteria.base import Criterion, Hit, Reader, Scorer, Searcher

__all__ = ["Criterion", "Hit", "Reader", "Scorer", "Searcher", "catalogue", "criterion"]

catalogue: Catalogue[Criterion] = Catalogue("criterion", __name__, Criterion, group="ctxproc.criteria")


def criterion(name: str, **parameters: object) -> Criterion:
    """The criterion of that name: ``criterion("bm25", k1=1.2)``.

    Raises:
        UnknownNameError: there is none; lists the known names.
        ConfigError: a parameter is unknown or has a wrong value; lists the parameters.
    """
    return catalogue.make({name: parameters})

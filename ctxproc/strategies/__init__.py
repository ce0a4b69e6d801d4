"""Ways through a long context. One file each; `catalogue` finds them, so adding one costs one file."""

from __future__ import annotations

from ctxproc.catalogue import Catalogue, Spec
from ctxproc.job import Job
from ctxproc.strategies.base import Draft, Plan, Strategy

__all__ = ["Draft", "Job", "Plan", "Strategy", "catalogue", "make"]

catalogue: Catalogue[Strategy] = Catalogue("strategy", __name__, Strategy)  # type: ignore[type-abstract]


def make(spec: Spec | Strategy) -> Strategy:
    """The strategy that a spec names; ``"memrecall+nbce"`` is ``{"memrecall": {"then": "nbce"}}``.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: the spec has another form, or a parameter is unknown or has a wrong value.
    """
    if isinstance(spec, Strategy):
        return spec
    if isinstance(spec, str) and "+" in spec:
        first, _, then = spec.partition("+")
        spec = {first.strip(): {"then": then.strip()}}
    return catalogue.make(spec)

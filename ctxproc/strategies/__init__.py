"""Ways through a long context. One file each; `catalogue` finds them, so adding one costs one file."""

from __future__ import annotations

from dataclasses import fields

from ctxproc.catalogue import Catalogue, Spec
from ctxproc.errors import ConfigError
from ctxproc.job import Job
from ctxproc.strategies.base import Draft, Plan, Strategy

__all__ = ["Draft", "Job", "Plan", "Strategy", "catalogue", "make"]

catalogue: Catalogue[Strategy] = Catalogue(
    "strategy",
    __name__,
    Strategy,  # type: ignore[type-abstract]
    group="ctxproc.strategies",
)


def make(spec: Spec | Strategy) -> Strategy:
    """The strategy that a spec names; ``"memrecall+nbce"`` is ``{"memrecall": {"then": "nbce"}}``.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: the spec has another form, or a parameter is unknown or has a wrong value.
    """
    if isinstance(spec, Strategy):
        return spec
    if isinstance(spec, str) and "+" in spec:
        first, _, then = (part.strip() for part in spec.partition("+"))
        if not _selects(first):
            selections = ", ".join(name for name in catalogue.names() if _selects(name))
            raise ConfigError(f"{first} selects nothing for {then}: before a + stands one of {selections}")
        spec = {first: {"then": then}}
    return catalogue.make(spec)


def _selects(name: str) -> bool:
    """Whether a strategy selects chunks for another one."""
    return "then" in {item.name for item in fields(catalogue.get(name))}

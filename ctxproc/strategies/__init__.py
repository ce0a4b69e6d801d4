"""Ways through a long context. One file each; `catalogue` finds them, so adding one costs one file."""

from __future__ import annotations

from ctxproc.catalogue import Catalogue
from ctxproc.strategies.base import Draft, Job, Plan, Strategy

__all__ = ["Draft", "Job", "Plan", "Strategy", "catalogue"]

catalogue: Catalogue[Strategy] = Catalogue("strategy", __name__, Strategy)  # type: ignore[type-abstract]

"""The one list of strategies that the shared tests go through: name or spec, one line each."""

from __future__ import annotations

import pytest

from ctxproc.catalogue import Spec
from ctxproc.strategies import make

EVERY: tuple[Spec, ...] = (
    "stuff",
    "map_rerank",
    "map_reduce",
    {"map_rerank": {"score": "number"}},
    "refine",
    {"refine": {"order": "relevance", "per_step": None}},
    "tree",
    {"tree": {"fan_in": 2}},
    "recurrent",
    "pcw",
    "nbce",
    "ensemble",
    "replug",
    "truncate",
    "tail",
    "random",
    "full",
    "iterative",
    "cascade",
    "flare",
    "memrecall",
    {"memrecall": {"fine": "intervention", "then": "map_rerank"}},
    "budget",
    {"budget": {"draft": True}},
    "utility",
    {"utility": {"words": "question"}},
)
STRATEGIES = tuple(map(make, EVERY))
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.title)

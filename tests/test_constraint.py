"""Constraint: what cannot be is refused in one line, equal ones are equal."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ctxproc.errors import ConfigError
from ctxproc.llm.base import Sampling
from ctxproc.llm.constraint import Constraint

SCHEMA = {"type": "object", "properties": {"b": {"enum": ["é"]}, "a": {"type": "integer"}}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Constraint(),
        lambda: Constraint(choices=("a",), regex="a"),
        lambda: Constraint(choices=()),
        lambda: Constraint(choices=["a"]),
        lambda: Constraint(choices="ab"),
        lambda: Constraint(choices=("a", 1)),
        lambda: Constraint(choices=("\ud800",)),
        lambda: Constraint(regex="\udc00"),
        lambda: Constraint(json_schema="{"),
        lambda: Constraint(json_schema="[]"),
        lambda: Constraint(json_schema="true"),
        lambda: Constraint(json_schema=[("type", "object")]),
        lambda: Constraint(json_schema="[" * 100_000),
        lambda: Constraint(json_schema={"a": {1}}),
        lambda: Constraint(json_schema={"a": float("nan")}),
    ],
)
def test_wrong_constraints(make: Callable[[], Constraint]) -> None:
    with pytest.raises(ConfigError) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_constraints_are_values() -> None:
    assert Constraint(json_schema=SCHEMA) == Constraint(json_schema=json.dumps(SCHEMA, indent=2))
    assert (
        len({Sampling(constraint=Constraint(json_schema=SCHEMA)), Sampling(constraint=Constraint(json_schema=SCHEMA))})
        == 1
    )
    ordered = [Constraint(json_schema={"properties": {key: {} for key in keys}}) for keys in ("ab", "ba")]
    assert ordered[0] != ordered[1]

"""What a generated text must be; how that is enforced is grammar.py's business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ctxproc.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Constraint:
    r"""The whole answer is one of ``choices``, or matches ``regex``, or is JSON that ``json_schema`` accepts.

    Exactly one of them is given. Whether a regular expression or a schema can be used is seen when a `Grammar` is made
    of it, before anything is generated.

    Attributes:
        choices: texts, taken literally; the answer equals one of them.
        regex: matched in full by the answer; syntax of Rust's ``regex`` (as Python's, without look-around and
            back-references; classes such as ``\w`` are Unicode's, which in rare characters are not Python's).
        json_schema: a mapping or its JSON text; kept as JSON text, keys in their order, which is the order written.

    Raises:
        ConfigError: none or several are given, there is no choice, a text is none, or the schema is not a JSON object.
    """

    choices: tuple[str, ...] | None = None
    regex: str | None = None
    json_schema: Mapping[str, object] | str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.choices, self.regex, self.json_schema) if value is not None]
        if len(given) != 1:
            raise ConfigError(f"a constraint is one of choices, regex and json_schema, not {len(given)} of them")
        if self.choices is not None:
            _check_choices(self.choices)
        if self.regex is not None:
            _check_text("regex", self.regex)
        if self.json_schema is not None:
            object.__setattr__(self, "json_schema", _schema_text(self.json_schema))


def _check_choices(choices: object) -> None:
    if not isinstance(choices, tuple) or not choices:
        raise ConfigError("choices must be a tuple of at least one text")
    for choice in choices:
        _check_text("a choice", choice)


def _check_text(name: str, text: object) -> None:
    """A lone surrogate is in no text that a model can write."""
    if not isinstance(text, str) or any("\ud800" <= character <= "\udfff" for character in text):
        raise ConfigError(f"{name} must be Unicode text: {text!r}")


def _schema_text(schema: Mapping[str, object] | str) -> str:
    """A schema as JSON text of one form, so that equal schemas are equal constraints."""
    try:
        value = json.loads(schema) if isinstance(schema, str) else schema
        if not isinstance(value, Mapping):
            raise ConfigError("json_schema must be a JSON object")
        return json.dumps(dict(value), allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise ConfigError(f"json_schema is not JSON: {error}") from None

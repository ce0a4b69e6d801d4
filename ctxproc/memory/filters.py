"""Which chunks may be found at all: tests on what is known of them, and on their time. Nothing is evaluated as code."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.base import Value

if TYPE_CHECKING:
    from ctxproc.memory.corpus import About

ORDERED: Mapping[str, Callable[[Value, Value], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LISTS = ("in", "not in")
OPERATORS = ("=", "!=", *ORDERED, *LISTS)
OWN = ("source", "kind", "speaker")
"""Names that mean what is known of every chunk; all others are looked up in its metadata."""
LAST = datetime.max.replace(tzinfo=UTC)
"""No time comes after it."""


@dataclass(frozen=True)
class Condition:
    """A test of one name.

    Attributes:
        name: "source", "kind", "speaker", or a name of the metadata.
        operator: one of `OPERATORS`.
        values: what is compared with; one, but for "in" and "not in".
    """

    name: str
    operator: str
    values: tuple[Value, ...]

    def holds(self, found: Value | None) -> bool:
        """Whether a value passes. None, for a chunk that has nothing of this name, passes only "!=" and "not in".

        Numbers are ordered as numbers and text by code points; a number is never equal to a text, nor to true or
        false, and never before or after one.
        """
        if self.operator in ORDERED:
            [value] = self.values
            return found is not None and _alike(found, value) and ORDERED[self.operator](found, value)
        among = found is not None and any(_alike(found, value) and found == value for value in self.values)
        return among if self.operator in ("=", "in") else not among


def value_of(about: About, name: str) -> Value | None:
    """What a chunk has of a name; None where it has nothing."""
    found: Value | None = getattr(about, name) if name in OWN else about.metadata.get(name)
    return found


@dataclass(frozen=True)
class Filter:
    """All tests hold, and the time is neither before ``since`` nor at or after ``before``.

    What has no time passes only where no time is asked for.
    """

    tests: tuple[Condition, ...] = ()
    since: datetime | None = None
    before: datetime | None = None

    def __bool__(self) -> bool:
        """Whether it may leave anything out."""
        return bool(self.tests) or self.since is not None or self.before is not None

    def passes(self, about: About) -> bool:
        """Whether a chunk may be found. `ctxproc.memory.known.Known` says it of many, more quickly."""
        if self.since is not None and (about.time is None or about.time < self.since):
            return False
        if self.before is not None and (about.time is None or about.time >= self.before):
            return False
        return all(test.holds(value_of(about, test.name)) for test in self.tests)


EVERYTHING = Filter()


def filtered(
    where: Mapping[str, object] | None = None,
    since: str | date | None = None,
    until: str | date | None = None,
) -> Filter:
    """The filter that settings describe: ``{"speaker": "alice", "year": {">=": 1900, "<": 2000}, "room": ["a", "b"]}``.

    Args:
        where: by name a value (equal to it), a list (one of them), or values by operator (`OPERATORS`).
        since: a day or a moment, as ISO 8601 or an object; without a zone it is in UTC.
        until: the same; it is included, a day to its end.

    Raises:
        UnknownNameError: there is no such operator; lists them.
        ConfigError: a value has another form, or a time cannot be read.
    """
    tests = [test for name, asked in (where or {}).items() for test in _tests(name, asked)]
    before = None
    if until is not None:
        moment, day = _moment("until", until)
        rest = timedelta(days=1) if day else timedelta(microseconds=1)
        before = moment + rest if moment <= LAST - rest else LAST
    return Filter(tuple(tests), None if since is None else _moment("since", since)[0], before)


def _tests(name: str, asked: object) -> list[Condition]:
    """What one name is asked for."""
    if not isinstance(asked, Mapping):
        asked = {"in" if isinstance(asked, Sequence) and not isinstance(asked, str) else "=": asked}
    found = []
    for sign, value in asked.items():
        if sign not in OPERATORS:
            raise UnknownNameError("operator of a filter", str(sign), OPERATORS)
        values = (
            tuple(value) if sign in LISTS and isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        )
        if not all(isinstance(one, str | int | float | bool) for one in values):
            raise ConfigError(f"filter {name} {sign}: takes a text, a number, true or false, not {value!r}")
        found.append(Condition(str(name), sign, values))
    return found


def _alike(one: Value, other: Value) -> bool:
    """Whether two values may be compared: two texts, two numbers, two truths."""
    if isinstance(one, str) or isinstance(other, str):
        return isinstance(one, str) and isinstance(other, str)
    return isinstance(one, bool) is isinstance(other, bool)


def _moment(name: str, value: str | date) -> tuple[datetime, bool]:
    """A time, aware of its zone, and whether it names a whole day."""
    try:
        read = date.fromisoformat(value) if isinstance(value, str) and len(value) == len("2024-05-01") else value
        read = datetime.fromisoformat(read) if isinstance(read, str) else read
    except ValueError:
        raise ConfigError(f"{name}: a day or a time such as 2024-05-01 or 2024-05-01T18:30, not {value!r}") from None
    whole = not isinstance(read, datetime)
    found = read if isinstance(read, datetime) else datetime.combine(read, time())
    return (found if found.tzinfo else found.replace(tzinfo=UTC)), whole

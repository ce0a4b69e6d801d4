"""``ctxproc strategies`` and ``criteria``: what can be named in a configuration."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctxproc.cli.options import debug_option
from ctxproc.cli.terminal import print_lines
from ctxproc.errors import ConfigError

if TYPE_CHECKING:
    from ctxproc.catalogue import Catalogue

T = TypeVar("T")


@click.command()
@debug_option
def strategies() -> None:
    """List the strategies, their parameters and templates."""
    from ctxproc.strategies import catalogue

    lines = []
    for name, found in usable(catalogue):
        lines += described(name, found)
        lines += [f"    template {step}: {purpose}" for step, purpose in found.steps.items()]
    print_lines(lines)


@click.command()
@debug_option
def criteria() -> None:
    """List the retrieval criteria and their parameters: those that search, and those that re-rank."""
    from ctxproc.memory.criteria import Criterion, Scorer, Searcher, catalogue

    kinds: dict[str, type[Criterion]] = {"retrieval.search": Searcher, "retrieval.rescore": Scorer}
    found, lines = usable(catalogue), []
    for setting, kind in kinds.items():
        lines.append(f"{setting}:")
        for name, one in found:
            if issubclass(one, kind):
                lines += described(name, one)
    print_lines(lines)


def usable(catalogue: Catalogue[T]) -> list[tuple[str, type[T]]]:
    """The classes of a catalogue by name; those of other packages that cannot be imported are told on standard error."""
    found = []
    for name in catalogue.names():
        try:
            found.append((name, catalogue.get(name)))
        except ConfigError as error:
            click.echo(f"ctxproc: {error}", err=True)
    return found


def described(name: str, found: type[Any]) -> list[str]:
    """The name with the first line of the docstring, and each parameter with its default."""
    summary = (inspect.getdoc(found) or "").partition("\n")[0]
    return [f"{name:<13} {summary}", *(f"    {item.name} = {item.default!r}" for item in dataclasses.fields(found))]

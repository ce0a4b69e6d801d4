"""``ctxproc strategies`` and ``criteria``: what can be named in a configuration."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctxproc.cli.options import debug_option
from ctxproc.errors import ConfigError

if TYPE_CHECKING:
    from ctxproc.catalogue import Catalogue

T = TypeVar("T")


@click.command()
@debug_option
def strategies() -> None:
    """List the strategies, their parameters and templates."""
    from ctxproc.strategies import catalogue

    for name, found in usable(catalogue):
        describe(name, found)
        for step, purpose in found.steps.items():
            click.echo(f"    template {step}: {purpose}")


@click.command()
@debug_option
def criteria() -> None:
    """List the retrieval criteria and their parameters: those that search, and those that re-rank."""
    from ctxproc.memory.criteria import Criterion, Scorer, Searcher, catalogue

    kinds: dict[str, type[Criterion]] = {"retrieval.search": Searcher, "retrieval.rescore": Scorer}
    found = usable(catalogue)
    for setting, kind in kinds.items():
        click.echo(f"{setting}:")
        for name, one in found:
            if issubclass(one, kind):
                describe(name, one)


def usable(catalogue: Catalogue[T]) -> list[tuple[str, type[T]]]:
    """The classes of a catalogue by name; those of other packages that cannot be imported are told on standard error."""
    found = []
    for name in catalogue.names():
        try:
            found.append((name, catalogue.get(name)))
        except ConfigError as error:
            click.echo(f"ctxproc: {error}", err=True)
    return found


def describe(name: str, found: type[Any]) -> None:
    """Print the name, the first line of the docstring, and each parameter with its default."""
    summary = (inspect.getdoc(found) or "").partition("\n")[0]
    click.echo(f"{name:<13} {summary}")
    for item in dataclasses.fields(found):
        click.echo(f"    {item.name} = {item.default!r}")

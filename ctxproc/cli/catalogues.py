"""``ctxproc strategies``, ``criteria`` and ``models``: what can be named in a configuration."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import click

from ctxproc.cli.options import debug_option


@click.command()
@debug_option
def strategies() -> None:
    """List the strategies, their parameters and templates."""
    from ctxproc.strategies import catalogue

    for name in catalogue.names():
        found = catalogue.get(name)
        describe(name, found)
        for step, purpose in found.steps.items():
            click.echo(f"    template {step}: {purpose}")


@click.command()
@debug_option
def criteria() -> None:
    """List the retrieval criteria and their parameters."""
    from ctxproc.memory.criteria import catalogue

    for name in catalogue.names():
        describe(name, catalogue.get(name))


def describe(name: str, found: type[Any]) -> None:
    """Print the name, the first line of the docstring, and each parameter with its default."""
    summary = (inspect.getdoc(found) or "").partition("\n")[0]
    click.echo(f"{name:<12} {summary}")
    for item in dataclasses.fields(found):
        click.echo(f"    {item.name} = {item.default!r}")


@click.command()
@debug_option
def models() -> None:
    """Show the models that can be named, and the hardware they would run on."""
    from ctxproc.errors import ModelError
    from ctxproc.llm.hardware import describe as hardware
    from ctxproc.llm.trunk import trunk_folder

    try:
        trunk_folder()
        state = "ready"
    except ModelError as error:
        state = str(error)
    click.echo(f"builtin      span reader, offline, answers by quoting, window 512 tokens: {state}")
    click.echo("FOLDER       any causal language model saved by transformers, weights in safetensors")
    click.echo("HUB NAME     the same, downloaded by transformers when first used")
    click.echo(f"hardware     {hardware()}")

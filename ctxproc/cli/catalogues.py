"""``ctxproc strategies``, ``criteria`` and ``models``: what can be named in a configuration."""

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


@click.command()
@debug_option
def models() -> None:
    """Show the models that can be named, and the hardware they would run on."""
    from ctxproc.errors import ModelError
    from ctxproc.llm.hardware import describe as hardware
    from ctxproc.llm.quantise import GGUF_PACKAGES, missing
    from ctxproc.llm.quantise import describe as quantised
    from ctxproc.llm.trunk import trunk_folder

    try:
        trunk_folder()
        state = "ready"
    except ModelError as error:
        state = str(error)
    click.echo(f"builtin      span reader, offline, answers by quoting, window 512 tokens: {state}")
    click.echo("FOLDER       any causal language model saved by transformers, weights in safetensors")
    lacking = f": needs {' and '.join(gaps)}, pip install 'ctxproc[gguf]'" if (gaps := missing(GGUF_PACKAGES)) else ""
    click.echo(f"FILE.gguf    one file of llama.cpp, unpacked into plain weights{lacking}")
    click.echo("HUB NAME     the same, downloaded by transformers when first used")
    click.echo("http://...   a server that speaks OpenAI's protocol, such as http://127.0.0.1:8000/v1")
    click.echo(f"quantise     {quantised()}")
    click.echo(f"hardware     {hardware()}")
    click.echo(f"attention    {attention()}")


def attention() -> str:
    """The attention kernel that models of a common shape get here, and why no faster one."""
    from ctxproc.llm.gate import choose_ragged
    from ctxproc.llm.hardware import choose_device, choose_dtype
    from ctxproc.llm.kernels import choose

    device = choose_device()
    shape = (device, choose_dtype("auto", device), 64, 8, 2, 0.125)  # heads of 64 numbers, 8 of queries, 2 of keys
    return f"{choose(*shape)}{'; Triton for several cached blocks' if choose_ragged(*shape) else ''}"

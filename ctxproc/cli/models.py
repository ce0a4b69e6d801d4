"""``ctxproc models``: what models there are, those that come with ctxproc and their figures, and whether they are whole."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.options import debug_option
from ctxproc.cli.terminal import print_lines

if TYPE_CHECKING:
    from ctxproc.llm.shelf import BuiltIn

FORMS = (
    ("FOLDER", "any causal language model saved by transformers, weights in safetensors"),
    ("FILE.gguf", "one file of llama.cpp, unpacked into plain weights"),
    ("HUB NAME", "the same, downloaded by transformers when first used"),
    ("http://...", "a server that speaks OpenAI's protocol, such as http://127.0.0.1:8000/v1"),
)


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="The built-in models as one JSON list.")
@debug_option
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the built-in models with size, licence and figures, and what else can be named as a model."""
    if context.invoked_subcommand is not None:
        return
    from ctxproc.llm.quantise import GGUF_PACKAGES, missing
    from ctxproc.llm.shelf import shelf

    if as_json:
        click.echo(json.dumps([about(model) for model in shelf()], indent=1, ensure_ascii=False))
        return
    lines = [f"builtin      the models below, offline: {state()}"]
    for model in shelf():
        facts = about(model)
        lines.append(f"    {model.name:<10} {facts['purpose']}")
        lines.append(f"    {'':<10} {facts['bytes'] / 1e6:.1f} MB, {facts['licence']}; {facts['setting']}")
        if figures := "; ".join(f"{name} {shown(value)}" for name, value in facts["figures"].items()):
            lines.append(f"    {'':<10} {figures}")
    lacking = f" (needs {' and '.join(gaps)}, pip install 'ctxproc[gguf]')" if (gaps := missing(GGUF_PACKAGES)) else ""
    lines += [f"{name:<12} {purpose}{lacking if name == 'FILE.gguf' else ''}" for name, purpose in FORMS]
    print_lines(lines)


@models.command()
@debug_option
def verify() -> None:
    """Check the hashes of every built-in model and of the trunk; exit 1 where one is not as it was made."""
    from ctxproc.llm.shelf import shelf

    wrong = 0
    for model in shelf():
        problems = list(model.problems())
        wrong += len(problems)
        click.echo(f"{model.name:<10} {'; '.join(problems) or 'ok'}")
    if wrong:
        sys.exit(1)


@models.command()
@debug_option
def hardware() -> None:
    """Show what a model would run on here: device, number format, quantisation, attention."""
    from ctxproc.llm.hardware import describe
    from ctxproc.llm.quantise import describe as quantised

    click.echo(f"quantise     {quantised()}")
    click.echo(f"hardware     {describe()}")
    click.echo(f"attention    {attention()}")


def state() -> str:
    """Whether the trunk that most built-in models stand on is installed."""
    from ctxproc.errors import ModelError
    from ctxproc.llm.trunk import trunk_folder

    try:
        trunk_folder()
    except ModelError as error:
        return str(error)
    return "ready"


def about(model: BuiltIn) -> dict[str, Any]:
    """What is told of one built-in model."""
    facts = model.facts()
    return {
        "name": model.name,
        "purpose": model.purpose,
        "setting": model.setting,
        "bytes": model.size(),
        "licence": facts.get("licence", "unknown licence"),
        "sha256": facts.get("sha256") or facts.get("files", {}).get("model.safetensors"),
        "figures": model.figures(),
    }


def shown(value: float | dict[str, float]) -> str:
    """A figure, with its 95 % interval where it has one."""
    if isinstance(value, dict):
        return f"{value['mean']:g} ({value['low']:g} to {value['high']:g})"
    return f"{value:.3g}"


def attention() -> str:
    """The attention kernel that models of a common shape get here, and why no faster one."""
    from ctxproc.llm.gate import choose_ragged
    from ctxproc.llm.hardware import choose_device, choose_dtype
    from ctxproc.llm.kernels import choose

    device = choose_device()
    shape = (device, choose_dtype("auto", device), 64, 8, 2, 0.125)  # heads of 64 numbers, 8 of queries, 2 of keys
    return f"{choose(*shape)}{'; Triton for several cached blocks' if choose_ragged(*shape) else ''}"

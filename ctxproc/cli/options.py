"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ctxproc.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--strategy", metavar="NAME", help="How to read: see `ctxproc strategies`."),
    click.option("--model", metavar="M", help="builtin, a folder, a .gguf file, or a hub name."),
    click.option("--preset", metavar="NAME", help="fast, balanced (default) or thorough."),
    click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML or TOML."),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting; see `ctxproc config show`."),
)
FLAGS = "ctxproc.flags"
"""Where the context of a command keeps the options that set one setting of their name and nothing else."""


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    context.meta.setdefault(FLAGS, {})[option.name] = value


MACHINE = (
    click.option(
        "--device", metavar="D", callback=_keep, expose_value=False, help="auto (default), cpu, cuda, cuda:1 or mps."
    ),
    click.option(
        "--dtype",
        metavar="T",
        callback=_keep,
        expose_value=False,
        help="auto (default, measured), float32, bfloat16 or float16.",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        callback=_keep,
        expose_value=False,
        help="CPU threads; default: the cores it may use.",
    ),
    click.option(
        "--quantise",
        type=click.Choice(["none", "int8", "int4"]),
        callback=_keep,
        expose_value=False,
        help="Weights in 8 or 4 bits.",
    ),
)
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on error.")


def settings_options(command: F) -> F:
    """Add the options that choose the settings."""
    for option in reversed((*OPTIONS, *MACHINE)):
        command = option(command)
    return debug_option(command)


def settings(
    strategy: str | None, model: str | None, preset: str | None, file: Path | None, sets: tuple[str, ...]
) -> tuple[Settings, dict[str, str]]:
    """The settings that these options choose, those for the machine included, and each value's origin."""
    from ctxproc.config import resolve

    machine = click.get_current_context().meta.get(FLAGS, {})
    return resolve(preset=preset, file=file, sets=sets, flags={"strategy": strategy, "model": model, **machine})

"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ctxproc.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

OPTIONS = (
    click.option("--strategy", metavar="NAME", help="How to read: see `ctxproc strategies`."),
    click.option("--model", metavar="M", help="builtin, a folder, a .gguf file, a hub name, or http://host:port/v1."),
    click.option("--preset", metavar="NAME", help="fast, balanced (default) or thorough."),
    click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML or TOML."),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting; see `ctxproc config show`."),
)
FLAGS = "ctxproc.flags"
"""Where the context of a command keeps the options that set one setting and nothing else, named as it (__ for a dot)."""


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    context.meta.setdefault(FLAGS, {})[str(option.name).replace("__", ".")] = value


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
LIMITS = (
    click.option(
        "--max-calls",
        "limits__calls",
        type=click.IntRange(0),
        metavar="N",
        callback=_keep,
        expose_value=False,
        help="Model calls of this run; then it answers from what it has.",
    ),
    click.option(
        "--max-tokens",
        "limits__run_tokens",
        type=click.IntRange(0),
        metavar="N",
        callback=_keep,
        expose_value=False,
        help="Tokens of this run, prompts and replies.",
    ),
)
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on error.")


def settings_options(command: F) -> F:
    """Add the options that choose the settings."""
    return debug_option(_with(command, (*OPTIONS, *MACHINE)))


def limit_options(command: F) -> F:
    """Add the options that bound a run."""
    return _with(command, LIMITS)


def _with(command: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def settings(
    strategy: str | None, model: str | None, preset: str | None, file: Path | None, sets: tuple[str, ...]
) -> tuple[Settings, dict[str, str]]:
    """The settings that these options choose, those for the machine included, and each value's origin."""
    from ctxproc.config import resolve

    machine = click.get_current_context().meta.get(FLAGS, {})
    return resolve(preset=preset, file=file, sets=sets, flags={"strategy": strategy, "model": model, **machine})

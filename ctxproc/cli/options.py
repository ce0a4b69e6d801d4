"""Options that several commands share."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ctxproc.cli import completion

if TYPE_CHECKING:
    from ctxproc.config import Settings

F = TypeVar("F", bound=Callable[..., Any])

LAYERS = (
    click.option(
        "--preset",
        metavar="NAME",
        help="fast, balanced (default) or thorough.",
        shell_complete=completion.names(completion.presets),
    ),
    click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML or TOML."),
    click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="One setting; see `ctxproc config show`.",
        shell_complete=completion.settings,
    ),
)
OPTIONS = (
    click.option(
        "--strategy",
        metavar="NAME",
        help="How to read: see `ctxproc strategies`.",
        shell_complete=completion.names(completion.strategies),
    ),
    click.option(
        "--model",
        metavar="M",
        help="builtin, a folder, a .gguf file, a hub name, or http://host:port/v1.",
        shell_complete=completion.models,
    ),
    *LAYERS,
)
OWNER = (
    click.option("--user", metavar="NAME", default=lambda: login(), help="Whose memory; default: who is logged in."),
    click.option("--agent", metavar="NAME", default="", help="Only what belongs to this agent of the user."),
    click.option("--session", metavar="NAME", default="", help="Only what belongs to this session."),
)
MEMORY = click.option(
    "--memory", type=click.Path(path_type=Path), metavar="FILE", required=True, help="The memory file."
)
FLAGS = "ctxproc.flags"
"""Where the context of a command keeps the options that set one setting and nothing else, named as it (__ for a dot)."""


def _keep(context: click.Context, option: click.Parameter, value: object) -> None:
    context.meta.setdefault(FLAGS, {})[str(option.name).replace("__", ".")] = value


def _setting(*names: str, **about: Any) -> Callable[[F], F]:  # noqa: ANN401 (as click.option)
    """An option that sets one setting and nothing else."""
    return click.option(*names, callback=_keep, expose_value=False, **about)


MACHINE = (
    _setting("--device", metavar="D", help="auto (default), cpu, cuda, cuda:1 or mps."),
    _setting(
        "--dtype",
        metavar="T",
        help="auto (default, measured), float32, bfloat16 or float16.",
    ),
    _setting(
        "--threads",
        type=click.IntRange(1),
        metavar="N",
        help="CPU threads; default: the cores it may use.",
    ),
    _setting(
        "--quantise",
        type=click.Choice(["none", "int8", "int4"]),
        help="Weights in 8 or 4 bits.",
    ),
)
LIMITS = (
    _setting(
        "--max-calls",
        "limits__calls",
        type=click.IntRange(0),
        metavar="N",
        help="Model calls of this run; then it answers from what it has.",
    ),
    _setting(
        "--max-tokens",
        "limits__run_tokens",
        type=click.IntRange(0),
        metavar="N",
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


def owner_options(command: F) -> F:
    """Add the options that say whose memory is meant."""
    return _with(command, OWNER)


def memory_options(command: F) -> F:
    """Add the options of the commands on a memory file."""
    return debug_option(_with(command, (MEMORY, *OWNER, *LAYERS)))


def login() -> str:
    """The name of who runs the program; "default" where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return "default"


def _with(command: F, options: Iterable[Callable[[F], F]]) -> F:
    for option in reversed(tuple(options)):
        command = option(command)
    return command


def settings(
    strategy: str | None = None,
    model: str | None = None,
    preset: str | None = None,
    file: Path | None = None,
    sets: tuple[str, ...] = (),
) -> tuple[Settings, dict[str, str]]:
    """The settings that these options choose, those for the machine included, and each value's origin."""
    from ctxproc.config import resolve

    machine = click.get_current_context().meta.get(FLAGS, {})
    return resolve(preset=preset, file=file, sets=sets, flags={"strategy": strategy, "model": model, **machine})

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
    click.option("--model", metavar="M", help="builtin, a folder, or a hub name."),
    click.option("--preset", metavar="NAME", help="fast, balanced (default) or thorough."),
    click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Settings in YAML or TOML."),
    click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One setting; see `ctxproc config show`."),
)
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="Show a traceback on error.")


def settings_options(command: F) -> F:
    """Add the options that choose the settings."""
    for option in reversed(OPTIONS):
        command = option(command)
    return debug_option(command)


def settings(
    strategy: str | None, model: str | None, preset: str | None, file: Path | None, sets: tuple[str, ...]
) -> tuple[Settings, dict[str, str]]:
    """The settings that these options choose, and each value's origin."""
    from ctxproc.config import resolve

    return resolve(preset=preset, file=file, sets=sets, flags={"strategy": strategy, "model": model})

"""``ctxproc config``: what is set, and by what."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ctxproc.cli.options import debug_option, settings, settings_options
from ctxproc.cli.terminal import print_lines


@click.group()
def config() -> None:
    """Show settings, their schema and the presets."""


@config.command("show")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(
    strategy: str | None,
    model: str | None,
    preset: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print every setting, its value, and where the value came from."""
    from ctxproc.config import flatten

    chosen, origins = settings(strategy, model, preset, file, sets)
    values = flatten(chosen.model_dump())
    if as_json:
        click.echo(json.dumps({key: {"value": value, "origin": origins[key]} for key, value in values.items()}))
        return
    rows = [(f"{key}: {json.dumps(value, ensure_ascii=False)}", origins[key]) for key, value in values.items()]
    width = max(len(row) for row, _ in rows)
    print_lines(f"{row:<{width}}  # {origin}" for row, origin in rows)


@config.command("schema")
@debug_option
def schema() -> None:
    """Print the settings as JSON Schema, with what each one means."""
    from ctxproc.config import Settings

    click.echo(json.dumps(Settings.model_json_schema(), indent=2))


@config.command("presets")
@debug_option
def presets() -> None:
    """Print what each preset changes."""
    from ctxproc.config import PRESETS, flatten

    lines = []
    for name, values in PRESETS.items():
        changes = ", ".join(f"{key}={json.dumps(value)}" for key, value in flatten(values).items())
        lines.append(f"{name:<10} {changes or 'the defaults'}")
    print_lines(lines)

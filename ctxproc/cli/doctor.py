"""``ctxproc doctor``: what is installed here, and whether it is ready. Memory files have a doctor of their own."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctxproc.cli.options import LAYERS, debug_option, settings
from ctxproc.cli.terminal import print_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ctxproc.config import Settings
    from ctxproc.installation import Installation


def layer_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add the options that choose the settings."""
    for option in reversed(LAYERS):
        command = option(command)
    return command


@click.command()
@layer_options
@click.option("--deep", is_flag=True, help="Ask torch too, which takes some seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@debug_option
def doctor(preset: str | None, file: Path | None, sets: tuple[str, ...], deep: bool, as_json: bool) -> None:
    """Show what is installed, where models would run, and what is missing.

    Ends with 0 where `ctxproc ask` is ready to run as it comes, and otherwise with 1 and a line for each thing to do. A
    memory file is looked into by `ctxproc memory doctor`.
    """
    from ctxproc.config import cache_folder
    from ctxproc.installation import examine

    chosen, _ = settings(None, None, preset, file, sets)
    found = examine(cache_folder(chosen), chosen.endpoint.key_env)
    if deep:
        found = asked(found, chosen)
    read = str(file) if file else ""
    if as_json:
        click.echo(json.dumps({**found.to_json(), "config": read}, ensure_ascii=False))
    else:
        print_lines(f"{name:<10} {text}" for name, text in rows(found, read))
    if not found.ready:
        sys.exit(1)


def asked(found: Installation, chosen: Settings) -> Installation:
    """The installation with the device, number format and attention kernel that torch itself tells of."""
    from ctxproc.errors import CtxprocError
    from ctxproc.installation import Device

    try:
        from ctxproc.cli.models import attention
        from ctxproc.llm.hardware import choose_device, describe

        device = choose_device(chosen.device)
        return replace(found, device=found.device._replace(name=str(device), why=describe()), attention=attention())
    except (CtxprocError, ImportError, OSError, RuntimeError) as error:
        line = f"torch cannot be used: {' '.join(str(error).split())[:200]}"
        return replace(found, device=Device("none", line), todo=(*found.todo, line))


def rows(found: Installation, config: str) -> Iterator[tuple[str, str]]:
    """The report, a name and a text a line."""
    yield "ctxproc", f"{found.ctxproc}, Python {found.python}, {found.system}, SQLite {found.sqlite}"
    for extra in dict.fromkeys(one.extra for one in found.packages):
        inside = [one for one in found.packages if one.extra == extra]
        shown = ", ".join(f"{one.name} {one.version or 'missing'}" for one in inside)
        yield (f"[{extra}]" if extra else "packages"), shown
    yield "device", f"{found.device.name}: {found.device.why}"
    yield "threads", found.threads
    if found.attention:
        yield "attention", found.attention
    yield "models", ", ".join(f"{name}: {state}" for name, state in found.models.items())
    yield "faiss", found.faiss or "none"
    cache = found.cache
    about = f"{cache.bytes / 1e6:,.1f} MB" if cache.exists else "made when first needed"
    yield "cache", f"{cache.path} ({about}; {cache.free_bytes / 1e9:,.1f} GB free)"
    yield "config", config or "no file is read unless --config names one"
    if found.variables:
        yield "variables", ", ".join(f"{name}={value}" for name, value in found.variables.items())
    for line in found.notes:
        yield "note", line
    for line in found.todo:
        yield "to do", line
    if found.ready:
        yield "ready", 'ctxproc ask "..." FILE'

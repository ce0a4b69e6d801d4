"""``ctxproc cache``: what is kept between runs, filling it ahead of time, and emptying it."""

from __future__ import annotations

import contextlib
import json
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ctxproc.cli.completion import paths
from ctxproc.cli.options import settings, settings_options
from ctxproc.errors import UsageError
from ctxproc.trace import RUN

HEX_FILE = r"[0-9a-f]{64}\.safetensors"
KINDS = {
    "kv": ("keys and values", re.compile(HEX_FILE), re.compile(r"\.[0-9a-f]{16}\.part")),
    "embeddings": ("embeddings", re.compile(HEX_FILE), re.compile(r"\.\w+\.part")),
    "runs": ("runs", re.compile(RUN + r"\.jsonl"), None),
}
"""Folder below the cache folder: what it holds, how its files are called, and files that a killed process left."""


@click.group()
def cache() -> None:
    """Show, fill and empty what is kept between runs."""


@cache.command("info")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def info(as_json: bool, **options: Any) -> None:  # noqa: ANN401  (the options that choose the settings)
    """Print what the cache folder holds."""
    from ctxproc.config import cache_folder

    chosen, _ = settings(**options)
    folder = cache_folder(chosen)
    held = {kind: measured(folder / kind, kind) for kind in KINDS}
    held["kv"]["budget"] = chosen.reuse.disk_bytes
    if as_json:
        click.echo(json.dumps({"folder": str(folder), **held}))
        return
    click.echo(str(folder))
    for kind, found in held.items():
        budget = f" of {megabytes(found['budget'])}" if "budget" in found else ""
        click.echo(f"  {KINDS[kind][0]:<15}  {found['entries']:,} entries, {megabytes(found['bytes'])}{budget}")


@cache.command("clear")
@click.argument("kinds", nargs=-1, type=click.Choice(list(KINDS)), metavar="[kv|embeddings|runs]...")
@settings_options
def clear(kinds: tuple[str, ...], **options: Any) -> None:  # noqa: ANN401
    """Remove what is kept: keys and values, or the kinds that are named."""
    from ctxproc.config import cache_folder

    chosen, _ = settings(**options)
    for kind in dict.fromkeys(kinds or ("kv",)):
        entries, size = remove(cache_folder(chosen) / kind, kind)
        click.echo(f"{KINDS[kind][0]}: removed {entries:,} entries, {megabytes(size)}")


@cache.command("warm")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=paths)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
def warm(sources: tuple[str, ...], as_json: bool, **options: Any) -> None:  # noqa: ANN401
    """Compute the keys and values of SOURCEs now, so that the first question need not."""
    from ctxproc.ask import Library
    from ctxproc.cli.progress import progress

    chosen, _ = settings(**options)
    with progress(sys.stderr) as listener:
        warmed = Library(sources, chosen, listeners=[listener]).warm()
    text = f"{warmed.entries:,} entries computed, {warmed.reused:,} already there; {warmed.tokens:,} tokens"
    click.echo(json.dumps(asdict(warmed)) if as_json else text)


def measured(folder: Path, kind: str) -> dict[str, int]:
    """How many entries of a kind a folder holds, and their bytes."""
    sizes = [size for _, size, is_entry in files(folder, kind) if is_entry]
    return {"entries": len(sizes), "bytes": sum(sizes)}


def remove(folder: Path, kind: str) -> tuple[int, int]:
    """Remove the files of a kind; how many entries there were, and their bytes.

    Raises:
        UsageError: the folder is a link, or a file cannot be removed.
    """
    entries = total = 0
    for path, size, is_entry in files(folder, kind):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise UsageError(f"cannot remove {path}: {error.strerror}") from error
        entries, total = entries + is_entry, total + size * is_entry
    return entries, total


def files(folder: Path, kind: str) -> Iterator[tuple[Path, int, bool]]:
    """The regular files that are ours: path, bytes, and whether it is an entry or the rest of an unfinished one.

    Raises:
        UsageError: the folder is a link: what lies behind it is not touched.
    """
    if folder.is_symlink():
        raise UsageError(f"{folder} is a link, which is not followed: name the real place in cache.folder")
    _, entry, part = KINDS[kind]
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        is_entry = bool(entry.fullmatch(path.name))
        if is_entry or (part and part.fullmatch(path.name)):
            with contextlib.suppress(FileNotFoundError):
                about = path.lstat()
                if stat.S_ISREG(about.st_mode):
                    yield path, about.st_size, is_entry


def megabytes(size: int) -> str:
    """Bytes for a person."""
    return f"{size / 1e6:,.1f} MB"

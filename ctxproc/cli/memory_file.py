"""The commands of ``ctxproc memory`` that look at whole files: forget, export, import, doctor, reembed."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctxproc.cli.memory import json_option, line, memory, opened
from ctxproc.cli.options import MEMORY, debug_option, memory_options, owner_options
from ctxproc.cli.terminal import plain

if TYPE_CHECKING:
    from ctxproc.memory.erase import Receipt


@memory.command("forget")
@click.argument("text", required=False)
@click.option("--id", "ids", type=int, multiple=True, metavar="NOTE", help="A note by its number; repeatable.")
@click.option("--document", "sources", multiple=True, metavar="SOURCE", help="A document by its path; repeatable.")
@click.option("--dry-run", is_flag=True, help="Only print what would be forgotten.")
@memory_options
@json_option
def forget(
    text: str | None,
    ids: tuple[int, ...],
    sources: tuple[str, ...],
    dry_run: bool,
    as_json: bool,
    **options: object,
) -> None:
    """Forget every note that contains TEXT, in any case, and print what a scan of all bytes found afterwards.

    Besides the notes go their history, the owner's indexes, kept traces of runs that hold the text, and keys and
    values that a model has computed since. It cannot be undone.
    """
    if (text is not None) + bool(ids) + bool(sources) != 1:
        raise click.UsageError("say what to forget: TEXT, --id NOTE or --document SOURCE")
    with opened(options) as notes:
        if sources:
            receipt = notes.library.forget(sources, dry_run=dry_run)
        else:
            receipt = notes.forget(list(ids) if text is None else text, dry_run=dry_run)
    if as_json:
        click.echo(json.dumps(receipt.to_json(), ensure_ascii=False))
    else:
        for said in told(receipt):
            click.echo(said)
    if receipt.scan.found and not receipt.holders:
        sys.exit(1)


def told(receipt: Receipt) -> Iterator[str]:
    """A receipt in words."""
    verb = "would forget" if receipt.dry_run else "forgot"
    for item in receipt.notes:
        yield f"{verb} {line(item)}"
    for source in receipt.documents:
        yield f"{verb} {plain(source)}"
    if not receipt.notes and not receipt.documents:
        yield "nothing to forget: no note contains it"
    elif not receipt.dry_run:
        if receipt.renewed:
            yield f"kept what was said since under new numbers: {', '.join(map(str, receipt.renewed))}"
        seen = receipt.scan
        yield f"removed {receipt.removed:,} files of caches and traces"
        places = sum(number for _, number in seen.found)
        yield f"read {seen.files:,} files, {seen.size:,} bytes, for {seen.pieces} texts: found {places}"
        for path, number in seen.found:
            yield f"  {plain(path)}: {number} places"
        if receipt.holders:
            yield f"  {receipt.holders:,} other passages of this file say some of it, and were not to be forgotten"
        for path in seen.unread:
            yield f"  could not be read: {plain(path)}"


@memory.command("export")
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@memory_options
def export(target: Path, **options: object) -> None:
    """Write everything about the user into a new FILE of JSON lines.

    That is notes, turns of chats, facts, summaries, the portrait, and the texts of documents.
    """
    with opened(options) as notes:
        click.echo(f"{notes.export(target):,} notes written")


@memory.command("import")
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@memory_options
def import_(target: Path, **options: object) -> None:
    """Remember the notes of a FILE that `export` wrote, or the chats of one that ChatGPT or Claude exported (.zip, .json).

    What is there already is left out. Nothing is remembered of a file that is malformed.
    """
    from ctxproc.memory.exchange_chats import is_chats, take_in

    with opened(options, new=True) as notes:
        if not is_chats(target):
            click.echo(f"{len(notes.import_(target)):,} notes remembered")
            return
        taken = take_in(notes, target)
    lost = f"; {taken.lost:,} messages could not be read" if taken.lost else ""
    click.echo(f"{len(taken.turns):,} turns of {taken.conversations:,} conversations remembered{lost}")


@memory.command("reembed")
@memory_options
def reembed(**options: object) -> None:
    """Move to the embedding model of the settings (retrieval.embedder); interrupted, run it again."""
    with opened(options) as notes:
        notes.reembed()
        model = notes.store.model(notes.owner)
    click.echo(f"embedded by {plain(model.name)}" if model else "there is nothing to embed")


@memory.command("doctor")
@MEMORY
@owner_options
@click.option("--repair", is_flag=True, help="Build caches anew; save what can be read of a damaged file beside it.")
@json_option
@debug_option
def doctor(memory: Path, user: str, agent: str, session: str, repair: bool, as_json: bool) -> None:
    """Check everything in a memory file, everyone's, and every cache against it. Exit status 1 if something is wrong.

    A user is named only where the file has lost the list of its users.
    """
    from dataclasses import asdict

    from ctxproc.memory.base import Owner
    from ctxproc.memory.doctor import examine

    report = examine(memory, repair=repair, owners=[Owner(user, agent, session)])
    if as_json:
        click.echo(json.dumps(asdict(report), ensure_ascii=False))
    else:
        for said in report.facts:
            click.echo(plain(said))
        for said in report.wrong:
            click.echo(f"wrong: {plain(said)}")
        for said in report.repaired:
            click.echo(f"repaired: {plain(said)}")
        if not report.wrong:
            click.echo("all is sound")
        elif not report.repaired:
            click.echo("run it again with --repair")
    if not report.sound:
        sys.exit(1)

"""``ctxproc memory``: what is remembered, note by note and document by document."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.completion import paths
from ctxproc.cli.memory_graph import graph
from ctxproc.cli.options import memory_options, settings
from ctxproc.cli.terminal import plain

if TYPE_CHECKING:
    from ctxproc.memory.base import Change
    from ctxproc.memory.item import Item
    from ctxproc.memory.memory import Memory

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
documents_option = click.option("--documents", is_flag=True, help="Documents instead of notes.")
WIDTH = 100
"""Characters of a note in a list."""


@click.group()
def memory() -> None:
    """Keep documents and notes in a file, and find them again."""


memory.add_command(graph)


@contextmanager
def opened(options: Mapping[str, Any], new: bool = False) -> Iterator[Memory]:
    """The memory that the options name; ``new``: the file is made if it is not there.

    Raises:
        UsageError: there is no such file.
    """
    from ctxproc.cli.progress import progress
    from ctxproc.errors import UsageError
    from ctxproc.memory.memory import Memory

    path, owner = options["memory"], {name: options[name] for name in ("user", "agent", "session")}
    chosen, _ = settings(**{name: value for name, value in options.items() if name not in (*owner, "memory")})
    if not new and not os.path.exists(path):
        raise UsageError(f"there is no memory file {path}; `ctxproc memory add` makes one")
    with progress(sys.stderr) as listener, Memory(path, **owner, settings=chosen, listeners=[listener]) as found:
        yield found


@memory.command("add")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=paths)
@click.option("--note", metavar="TEXT", help="Remember this; - reads it from standard input.")
@click.option("--prune", is_flag=True, help="Drop documents whose files are gone, below SOURCEs or everywhere.")
@click.option("--model", metavar="M", help="The model that will read the documents: its tokens are counted.")
@memory_options
@json_option
def add(
    sources: tuple[str, ...], note: str | None, prune: bool, model: str | None, as_json: bool, **options: object
) -> None:
    """Keep the documents of SOURCEs, files or folders, or a single --note.

    What has not changed since it was added is not read again, and an interrupted run is taken up by the next.
    """
    from dataclasses import asdict

    from ctxproc.llm.load import load_llm
    from ctxproc.memory.intake import add as take_in

    if (note is not None) == bool(sources or prune):
        raise click.UsageError("name the SOURCEs to add, or one --note, or --prune what is gone")
    with opened({**options, "model": model}, new=True) as notes:
        if note is not None:
            said = sys.stdin.buffer.read().decode("utf-8", "replace").strip() if note == "-" else note
            number = notes.remember(said)
            click.echo(json.dumps({"id": number}) if as_json else f"remembered as note {number}")
            return
        counts = asdict(take_in(notes.library, sources, load_llm(notes.settings).tokenizer, prune=prune))
    text = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number or name == "added")
    click.echo(json.dumps(counts) if as_json else f"documents: {text}")


@memory.command("search")
@click.argument("query")
@click.option("-k", type=click.IntRange(1), metavar="N", help="How many; default: retrieval.top_k.")
@documents_option
@click.option("--explain", is_flag=True, help="Show what each criterion gave to the score.")
@memory_options
@json_option
def search(query: str, k: int | None, documents: bool, explain: bool, as_json: bool, **options: object) -> None:
    """Print what is most relevant to QUERY, the most relevant first."""
    with opened(options) as notes:
        found = notes.library.search(query, k) if documents else notes.recall(query, k)
    if as_json:
        click.echo(json.dumps({"query": query, "items": [item.to_json() for item in found]}, ensure_ascii=False))
        return
    for item in found:
        click.echo(f"{item.score:.3f}  {line(item)}")
        if explain:
            shares = ", ".join(f"{plain(name)} {share:.3f}" for name, share in item.shares.items())
            click.echo(f"       {shares}")


@memory.command("list")
@documents_option
@memory_options
@json_option
def list_(documents: bool, as_json: bool, **options: object) -> None:
    """Print all notes, in the order in which they were remembered."""
    with opened(options) as notes:
        filed = notes.store.filed(notes.owner) if documents else []
        items = [] if documents else notes.items()
        unseen = 0 if documents or items or as_json else len(notes.store.filed(notes.owner))
    if as_json and documents:
        kept = [{"source": one.source, "sha256": one.sha256, "chunks": one.chunks} for one in filed]
        click.echo(json.dumps({"documents": kept}, ensure_ascii=False))
    elif as_json:
        click.echo(json.dumps({"items": [item.to_json() for item in items]}, ensure_ascii=False))
    for one in () if as_json else filed:
        click.echo(f"{one.chunks:>6} chunks  {one.added:%Y-%m-%d}  {plain(one.source)}")
    for item in () if as_json else items:
        click.echo(line(item))
    if unseen:
        click.echo(f"no notes; {unseen:,} document{'s' * (unseen > 1)}: see them with --documents", err=True)


@memory.command("show")
@click.argument("note", type=int)
@memory_options
@json_option
def show(note: int, as_json: bool, **options: object) -> None:
    """Print all that is known of a NOTE, by its number."""
    with opened(options) as notes:
        item = notes.get(note)
    if as_json:
        click.echo(json.dumps(item.to_json(), ensure_ascii=False))
        return
    click.echo(plain(item.text))
    facts = {"kind": item.kind, "time": item.time.isoformat(timespec="seconds"), "speaker": item.speaker}
    facts |= {"source": item.source, **{str(name): str(value) for name, value in item.metadata.items()}}
    facts |= {"recalled": f"{item.recalls} times, last {item.recalled:%Y-%m-%d %H:%M}" if item.recalled else "never"}
    for name, value in ((name, value) for name, value in facts.items() if value):
        click.echo(f"  {plain(name)}: {plain(value)}")


@memory.command("edit")
@click.argument("note", type=int)
@click.argument("text")
@memory_options
def edit(note: int, text: str, **options: object) -> None:
    """Give a NOTE another TEXT; `revert` undoes it."""
    with opened(options) as notes:
        notes.edit(note, text)


@memory.command("log")
@click.argument("note", type=int, required=False)
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, metavar="N", help="How many lines.")
@memory_options
@json_option
def log(note: int | None, limit: int, as_json: bool, **options: object) -> None:
    """Print what was done, the last first; to one NOTE, or to all."""
    with opened(options) as notes:
        changes = notes.log(note, limit)
    if as_json:
        click.echo(json.dumps({"changes": [change_json(change) for change in changes]}, ensure_ascii=False))
        return
    for change in changes:
        texts = [short(text) for text in (change.before, change.after) if text is not None]
        what = f"change {change.id}  {change.time:%Y-%m-%d %H:%M}  {change.action:<6}  note {change.passage}"
        click.echo(f"{what}  {' -> '.join(texts)}".rstrip())


def change_json(change: Change) -> dict[str, object]:
    """A line of the log as JSON."""
    return {
        "id": change.id,
        "time": change.time.isoformat(),
        "action": change.action,
        "note": change.passage,
        "before": change.before,
        "after": change.after,
    }


@memory.command("diff")
@click.argument("note", type=int)
@memory_options
def diff(note: int, **options: object) -> None:
    """Print what each change made of a NOTE, line by line."""
    with opened(options) as notes:
        click.echo(plain(notes.diff(note)))


@memory.command("revert")
@click.argument("change", type=int)
@memory_options
def revert(change: int, **options: object) -> None:
    """Give a note the text back that it had before a CHANGE, by its number in the log."""
    with opened(options) as notes:
        click.echo(f"note {notes.revert(change)} is as it was before change {change}")


def line(item: Item) -> str:
    """A passage on one line: number, day, who or where, and the beginning of its text."""
    where = item.speaker or (
        f"{item.source}, characters {item.start:,} to {item.end:,}" if item.kind == "chunk" else ""
    )
    return f"{item.id:>4}  {item.time:%Y-%m-%d}  {plain(where) + ': ' if where else ''}{short(item.text)}"


def short(text: str) -> str:
    """The beginning of a text on one line."""
    flat = " ".join(plain(text[: 4 * WIDTH]).split())
    return flat if len(flat) <= WIDTH else f"{flat[: WIDTH - 1]}…"

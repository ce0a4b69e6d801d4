"""``ctxproc ask``: the main job from a terminal."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctxproc.cli.options import settings, settings_options

if TYPE_CHECKING:
    from ctxproc.answer import Answer, Evidence
    from ctxproc.ask import Library
    from ctxproc.config import Settings


@click.command()
@click.argument("question")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--dry-run", is_flag=True, help="Print an upper bound of calls and tokens; load no weights.")
@click.option("--trace", "trace_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the run's events.")
def ask(
    question: str,
    sources: tuple[str, ...],
    strategy: str | None,
    model: str | None,
    preset: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    as_json: bool,
    dry_run: bool,
    trace_file: Path | None,
) -> None:
    """Answer QUESTION over SOURCEs, and show the passage that the answer rests on.

    A SOURCE is a file (text, Markdown, code, HTML, PDF, DOCX, EPUB), a folder, or - for standard input.
    """
    from ctxproc.cli.progress import progress

    chosen, _ = settings(strategy, model, preset, file, sets)
    with progress(sys.stderr) as listener:
        library = open_library(question, sources, chosen, listener)
        if dry_run:
            plan = library.plan(question)
        else:
            answer = library.ask(question, trace_file=trace_file)
    if dry_run:
        numbers = asdict(plan)
        text = f"at most {plan.calls:,} model calls, {plan.prompt_tokens:,} prompt tokens and {plan.new_tokens:,} new tokens"
        click.echo(json.dumps({"plan": numbers}) if as_json else text)
    elif as_json:
        click.echo(json.dumps(answer.to_json(), ensure_ascii=False))
    else:
        show(answer)


def open_library(question: str, sources: tuple[str, ...], chosen: Settings, listener: object) -> Library:
    """The sources, opened; the question is looked at first, since reading sources may take long."""
    from ctxproc.ask import Library, checked

    checked(question)
    return Library(sources, chosen, listeners=[listener])  # type: ignore[list-item]


def show(answer: Answer) -> None:
    """Print an answer for a person; the cost only on a terminal."""
    from ctxproc.cli.terminal import plain

    if answer.abstained:
        click.echo("No answer: nothing in the sources supports one.")
    else:
        click.echo(plain(answer.text))
    for item in answer.evidence:
        click.echo(f"\n  “{plain(' '.join(item.quote.split()))}”\n  {plain(place(item))}")
    if sys.stdout.isatty():
        usage = answer.usage
        cost = f"{usage.calls} calls, {usage.prompt_tokens:,} tokens read, {usage.seconds:.1f} s"
        click.echo(f"\n{answer.strategy} · {answer.model} · {cost} · run {answer.run}", err=True)


def place(item: Evidence) -> str:
    """Where a quote stands, in one line."""
    page = f", page {item.page}" if item.page else ""
    return f"{item.source}{page}, characters {item.start:,} to {item.end:,} · {item.status} · {item.score:.2f}"

"""``ctxproc ask``: the main job from a terminal."""

from __future__ import annotations

import json
import os
import shlex
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.completion import paths
from ctxproc.cli.options import limit_options, owner_options, settings, settings_options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ctxproc.answer import Answer, Evidence
    from ctxproc.ask import Library
    from ctxproc.config import Settings
    from ctxproc.llm.base import LLM
    from ctxproc.memory.memory import Memory
    from ctxproc.trace import Event, Listener


@click.command()
@click.argument("question")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=paths)
@settings_options
@click.option(
    "--memory", type=click.Path(path_type=Path), metavar="FILE", help="Ask what `memory add` has filed there."
)
@owner_options
@click.option("--choices", multiple=True, metavar="A,B,C", help="Answer with one of these; repeat for one with commas.")
@click.option(
    "--schema",
    metavar="FILE",
    help="Answer with JSON of this JSON Schema: a file, or the schema itself.",
    shell_complete=paths,
)
@click.option("--summarise", is_flag=True, help="Answer with a summary of the sources, as QUESTION asks for.")
@limit_options
@click.option("--stream", is_flag=True, help="Print the answer's text as it comes.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")
@click.option("--dry-run", is_flag=True, help="Print an upper bound of calls and tokens; load no weights.")
@click.option("--trace", "trace_file", type=click.Path(path_type=Path), metavar="FILE", help="Write the run's events.")
@click.option("--resume", metavar="RUN", help="Go on with an interrupted run: what the model said is not asked again.")
def ask(
    question: str,
    sources: tuple[str, ...],
    strategy: str | None,
    model: str | None,
    preset: str | None,
    file: Path | None,
    sets: tuple[str, ...],
    memory: Path | None,
    user: str,
    agent: str,
    session: str,
    choices: tuple[str, ...],
    schema: str | None,
    summarise: bool,
    stream: bool,
    as_json: bool,
    dry_run: bool,
    trace_file: Path | None,
    resume: str | None,
) -> None:
    """Do QUESTION over SOURCEs, and show the passage that the answer rests on.

    A SOURCE is a file (text, Markdown, code, HTML, PDF, DOCX, EPUB), a folder, or - for standard input. With --memory no
    source is named: the documents were read before.
    """
    from ctxproc.cli.progress import progress

    if stream and (as_json or dry_run):
        raise click.UsageError("--stream prints text: leave out --json and --dry-run")
    chosen, _ = settings(strategy, model, preset, file, sets)
    asked: dict[str, Any] = {"choices": chosen_of(choices), "schema": schema_of(schema), "summarise": summarise}
    with resumable(chosen, trace_file) as started, progress(sys.stderr) as listener:
        filed = remembered(memory, chosen, listener, user, agent, session) if memory else None
        library = open_library(question, sources, chosen, listener, started, memory=filed)
        if dry_run:
            plan = library.plan(question, **asked)
        else:
            if resume:
                library.llm = resumed(library, resume, question, asked)
            tell = say if stream else None
            answer = library.ask(question, trace_file=trace_file, tell=tell, **asked)
    if dry_run:
        numbers = asdict(plan)
        text = f"at most {plan.calls:,} model calls, {plan.prompt_tokens:,} prompt tokens and {plan.new_tokens:,} new tokens"
        click.echo(json.dumps({"plan": numbers}) if as_json else text)
    elif as_json:
        click.echo(json.dumps(answer.to_json(), ensure_ascii=False))
    else:
        show(answer, streamed=stream)


def chosen_of(choices: tuple[str, ...]) -> list[str] | None:
    """The choices: one option's parts between commas, or several options as they stand."""
    if not choices:
        return None
    parts = choices[0].split(",") if len(choices) == 1 else choices
    return [part.strip() for part in parts]


def schema_of(schema: str | None) -> str | None:
    """The text of a schema: itself where it begins like one, otherwise the file's."""
    if schema is None or schema.lstrip().startswith("{"):
        return schema
    try:
        return Path(schema).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise click.UsageError(f"cannot read the schema {schema}: {reason}") from error


def say(text: str) -> None:
    """Print a piece of an answer."""
    from ctxproc.cli.terminal import plain

    click.echo(plain(text), nl=False)


def resumed(library: Library, run: str, question: str, asked: Mapping[str, Any]) -> LLM:
    """The library's model, knowing what it said in an earlier run."""
    from ctxproc.cli.explain import find
    from ctxproc.replay import resumed as with_words
    from ctxproc.task import task_of

    return with_words(library.llm, find(run, library.settings), question, library.settings, task_of(**asked))


def remembered(path: Path, chosen: Settings, listener: Listener, user: str, agent: str, session: str) -> Memory:
    """The memory of a file that is there."""
    from ctxproc.errors import UsageError
    from ctxproc.memory.memory import Memory

    if not os.path.exists(path):
        raise UsageError(f"there is no memory file {path}; `ctxproc memory add SOURCE... --memory {path}` makes one")
    return Memory(path, user, agent=agent, session=session, settings=chosen, listeners=[listener])


@contextmanager
def resumable(chosen: Settings, trace_file: Path | None) -> Iterator[Listener]:
    """A listener for one run; where it is interrupted once it has begun, its trace is named, if one is kept.

    Raises:
        click.Abort: it was interrupted.
    """
    from ctxproc.trace import Started

    kept: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, Started) and (chosen.cache.runs or trace_file):
            kept.append(event.run if chosen.cache.runs else shlex.quote(str(trace_file)))

    try:
        yield listen
    except KeyboardInterrupt:
        how = f"; what was done is kept: run it again with --resume {kept[0]}" if kept else ""
        raise click.Abort(how) from None


def open_library(
    question: str, sources: tuple[str, ...], chosen: Settings, *listeners: Listener, memory: Memory | None = None
) -> Library:
    """The sources, opened; the question is looked at first, since reading sources may take long."""
    from ctxproc.ask import Library, checked

    checked(question)
    return Library(sources, chosen, listeners=listeners, memory=memory)


def show(answer: Answer, streamed: bool = False) -> None:
    """Print an answer for a person, its text unless it was streamed; the cost only on a terminal."""
    from ctxproc.cli.terminal import plain

    if streamed and not answer.abstained:
        click.echo()
    elif answer.abstained:
        where = "that was read" if answer.stopped else "in the sources"
        click.echo(("\n" if streamed else "") + f"No answer: nothing {where} supports one.")
    else:
        click.echo(plain(answer.text))
    if answer.stopped:
        click.echo(f"ctxproc: {answer.stopped}: the answer rests on what was read until then", err=True)
    for item in answer.evidence:
        click.echo(f"\n  “{plain(' '.join(item.quote.split()))}”\n  {plain(place(item))}")
    if sys.stdout is not None and sys.stdout.isatty():  # None: it was closed
        usage = answer.usage
        cost = f"{usage.calls} calls, {usage.prompt_tokens:,} tokens read, {usage.seconds:.1f} s"
        click.echo(f"\n{answer.strategy} · {answer.model} · {cost} · run {answer.run}", err=True)


def place(item: Evidence) -> str:
    """Where a quote stands, in one line."""
    page = f", page {item.page}" if item.page else ""
    return f"{item.source}{page}, characters {item.start:,} to {item.end:,} · {item.status} · {item.score:.2f}"

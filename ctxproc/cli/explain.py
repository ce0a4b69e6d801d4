"""``ctxproc explain``: how an answer came about, prompt by prompt."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from ctxproc.cli.options import debug_option
from ctxproc.cli.terminal import plain


@click.command()
@click.argument("run")
@debug_option
def explain(run: str) -> None:
    """Show a RUN: its selection, its exact prompts, its replies and its answer.

    RUN is the id that an answer carries, `last`, a trace file, or the name of a strategy, whose templates are shown.
    """
    from ctxproc.strategies import catalogue
    from ctxproc.trace import read

    if run in catalogue.names():
        for step, purpose in catalogue.get(run).steps.items():
            show_template(step, purpose)
        return
    for line in story(read(find(run))):
        click.echo(plain(line))


def show_template(step: str, purpose: str) -> None:
    """Print a template as it is shipped."""
    from ctxproc.prompt import template

    click.echo(f"--- {step}: {purpose}\n{template(step).source}\n")


def find(run: str) -> Path:
    """The trace file of a run.

    Raises:
        UsageError: there is none.
    """
    from ctxproc.ask import runs_folder
    from ctxproc.config import Settings
    from ctxproc.errors import UsageError

    if Path(run).is_file():
        return Path(run)
    kept = {path.stem: path for path in sorted(runs_folder(Settings()).glob("*.jsonl"))}
    if run == "last" and kept:
        return kept[max(kept)]
    if run in kept:
        return kept[run]
    raise UsageError(f"no run {run!r} is kept; name a trace file, a strategy, or a run that an answer showed")


def story(events: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The events in words; each template's words are shown with the prompt they frame."""
    for event in events:
        match event["event"]:
            case "Started":
                yield f"run {event['run']}: {event['question']!r} by {event['strategy']} on {event['model']}"
            case "Selected":
                yield f"selected {len(event['chunks'])} of {event['of']} chunks"
                for source, start, end, score in event["chunks"]:
                    yield f"  {source}, characters {start:,} to {end:,}, relevance {score:.4f}"
            case "Called":
                yield from prompt_lines(event)
                sure = "" if event["confidence"] is None else f" (confidence {event['confidence']:.3f})"
                yield f"  => {event['text']!r}{sure}"
            case "Scored":
                yield from prompt_lines(event)
                yield f"  => log p({event['continuation']!r}) = {event['total']:.4f}, {event['tokens']} tokens"
            case "Noted":
                yield f"note: {event['text']}"
            case "Answered":
                answer = event["answer"]
                yield f"answer: {answer['answer']!r}" if not answer["abstained"] else "abstained"
                for item in answer["evidence"]:
                    yield f"  {item['status']}: {item['source']} {item['start']:,} to {item['end']:,}: {item['quote']!r}"
                yield f"usage: {answer['usage']}"


def prompt_lines(event: Mapping[str, Any]) -> Iterable[str]:
    """A prompt, framed, with the words of the template and the data in their order."""
    cost = ""
    if "prompt_tokens" in event:
        cost = f", {event['prompt_tokens']} tokens, {event['reused_tokens']} reused ({event.get('grade', 'full')})"
    yield f"--- {event['step']}{cost}"
    yield "".join(text for _, _, text in event["segments"])

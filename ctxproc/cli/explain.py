"""``ctxproc explain``: how an answer came about, prompt by prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.completion import explained, names
from ctxproc.cli.options import debug_option, settings
from ctxproc.cli.terminal import plain

if TYPE_CHECKING:
    from ctxproc.config import Settings

SHOWN = 3
"""Places of a text that stands in many."""


@click.command()
@click.argument("run", shell_complete=names(explained))
@click.option("--replay", "again", is_flag=True, help="Run it again from its trace, without the model; print its JSON.")
@click.option("--config", "file", type=click.Path(path_type=Path), metavar="FILE", help="Settings of the run.")
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE", help="One of them, as cache.folder.")
@debug_option
def explain(run: str, again: bool, file: Path | None, sets: tuple[str, ...]) -> None:
    """Show a RUN: its selection, its exact prompts, its replies and its answer.

    RUN is the id that an answer carries, `last`, a trace file, or the name of a strategy, whose templates are shown. A
    run that had another cache.folder is found by the same --config or --set.
    With --replay everything but the model is run again over the same sources, the model's words being taken from the
    trace: what is printed is what `ask --json` printed, to the byte, or an error that says what comes out differently.
    """
    from ctxproc.strategies import catalogue

    chosen, _ = settings(None, None, None, file, sets)
    if again:
        from ctxproc.replay import replay

        click.echo(json.dumps(replay(find(run, chosen)), ensure_ascii=False))
    elif run in catalogue.names():
        for step, purpose in catalogue.get(run).steps.items():
            show_template(step, purpose)
    else:
        for line in told(find(run, chosen)):
            click.echo(plain(line))


def told(path: Path) -> list[str]:
    """The story of a trace.

    Raises:
        UsageError: it is no trace, or one of another version.
    """
    from ctxproc.trace import known_form, read

    events = read(path)
    with known_form(path):
        lines = list(story(events, places(events)))
    return [line.encode(errors="replace").decode() for line in lines]


def show_template(step: str, purpose: str) -> None:
    """Print a template as it is shipped, for the task of answering."""
    from ctxproc.prompt import template

    click.echo(f"--- {step}: {purpose}\n{template(step).source}\n")


def find(run: str, chosen: Settings) -> Path:
    """The trace file of a run: itself, or in the cache folder that the settings name.

    Raises:
        UsageError: there is none.
    """
    from ctxproc.ask import runs_folder
    from ctxproc.errors import UsageError

    if Path(run).is_file():
        return Path(run)
    kept = {path.stem: path for path in sorted(runs_folder(chosen).glob("*.jsonl"))}
    if run == "last" and kept:
        return kept[max(kept)]
    if run in kept:
        return kept[run]
    raise UsageError(f"no run {run!r} is kept; name a trace file, a strategy, or a run that an answer showed")


Place = Callable[[str], str]


def places(events: Iterable[Mapping[str, Any]]) -> Place:
    """A function from the text of a chunk to the places where it stands, "" where none is known.

    It looks into those sources that are files and have not changed since the run. Which of several places was read, the
    text does not tell.
    """
    from ctxproc.document import load
    from ctxproc.errors import SourceError

    sources = {source: sha for event in events if event["event"] == "Started" for source, sha in event["sources"]}
    files = [source for source in sources if Path(source).is_file()]
    try:
        documents = (
            [document for document in load(files) if sources[document.source] == document.sha256] if files else []
        )
    except SourceError:
        documents = []

    def place(text: str) -> str:
        found = (
            f"{document.source} {match.start():,} to {match.end():,}"
            for document in documents
            for match in re.finditer(re.escape(text), document.text)
        )
        shown = list(islice(found, SHOWN + 1)) if text else []
        return " or ".join([*shown[:SHOWN], *(["elsewhere"] if len(shown) > SHOWN else [])])

    return place


def story(events: Iterable[Mapping[str, Any]], place: Place) -> Iterable[str]:
    """The events in words; each template's words are shown with the prompt they frame."""
    for event in events:
        match event["event"]:
            case "Started":
                task = event["task"].get("name", "answer")
                yield f"run {event['run']}: {event['question']!r} ({task}) by {event['strategy']} on {event['model']}"
            case "Selected":
                number = len(event["chunks"])
                yield f"selected {number} of {event['of']} chunks" if number else f"all {event['of']} chunks"
                yield from ranked(event["chunks"])
            case "Kept":
                yield f"{event['by']}: kept {len(event['chunks'])} chunks"
                yield from ranked(event["chunks"])
            case "Called":
                yield from asked(event, [event["segments"]], place)
                yield f"  => {event['text']!r}{sure(event)}"
            case "Decoded":
                yield from asked(event, event["windows"], place)
                yield from decoded(event)
            case "Scored":
                yield from asked(event, [event["segments"]], place)
                yield f"  => log p({event['continuation']!r}) = {event['total']:.4f}, {event['tokens']} tokens"
            case "Noted":
                yield f"note: {event['text']}"
            case "Answered":
                yield from answered(event["answer"])


def ranked(chunks: Iterable[tuple[str, int, int, float]]) -> Iterable[str]:
    """Chunks with their scores, a line each."""
    for source, start, end, score in chunks:
        yield f"  {source}, characters {start:,} to {end:,}, relevance {score:.4f}"


def asked(event: Mapping[str, Any], windows: Iterable[Iterable[tuple[str, str, str]]], place: Place) -> Iterable[str]:
    """The prompts of a call, framed, with the words of the template and the data in their order."""
    facts = [f"{event['prompt_tokens']} tokens"] if "prompt_tokens" in event else []
    facts += [f"{event['reused_tokens']} reused ({event['grade']})", f"{event['seconds']:.2f} s"]
    for segments in windows:
        yield f"--- {event['step']}, {', '.join(facts)}"
        facts = ["another window of the same call"]
        known = [place(text) for _, field, text in segments if field == "context"]
        if any(known):
            yield f"reads {', '.join(name or 'text of the run' for name in known)}"
        yield "".join(text for _, _, text in segments)


def sure(event: Mapping[str, Any]) -> str:
    """The confidence of a reply, "" where it has none."""
    return "" if event["confidence"] is None else f" (confidence {event['confidence']:.3f})"


def decoded(event: Mapping[str, Any]) -> Iterable[str]:
    """Of each token decoded from several windows: the window that counted most, its weight, and each entropy."""
    yield f"  => {event['text']!r} by {event['merge']}{sure(event)}"
    entropies = event["entropies"] or [()] * len(event["weights"])
    for (text, logprob), weights, row in zip(event["tokens"], event["weights"], entropies, strict=False):
        best = max(range(len(weights)), key=lambda i: weights[i])
        shown = f", entropies {' '.join(f'{value:.2f}' for value in row)}" if row else ""
        yield f"     {text!r}: window {best} ({weights[best]:.2f}), log p {logprob:.2f}{shown}"


def answered(answer: Mapping[str, Any]) -> Iterable[str]:
    """The answer, what it rests on, and what it cost."""
    yield f"answer: {answer['answer']!r}" if not answer["abstained"] else "abstained"
    for item in answer["evidence"]:
        yield f"  {item['status']}: {item['source']} {item['start']:,} to {item['end']:,}: {item['quote']!r}"
    if answer.get("stopped"):
        yield f"stopped: {answer['stopped']}"
    yield f"usage: {answer['usage']}"

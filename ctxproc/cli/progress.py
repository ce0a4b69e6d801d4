"""Progress bars with an estimate, on a terminal; warnings as lines; nothing at all in a pipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

import click

from ctxproc.cli.terminal import plain
from ctxproc.trace import Event, Listener, Noted, Progress, Skipped

if TYPE_CHECKING:
    from rich.progress import TaskID

STAGES = {"load": "reading files", "split": "splitting", "embed": "embedding", "read": "asking the model"}


@contextmanager
def progress(stream: TextIO) -> Iterator[Listener]:
    """A listener that shows stages on a terminal, and in a pipe only says which files were passed over."""
    if not stream.isatty():
        yield lambda event: warn(event, stream)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bars = Bars(*columns, console=Console(file=stream), transient=True)
    tasks: dict[str, TaskID] = {}

    def listen(event: Event) -> None:
        if isinstance(event, Progress):
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(STAGES.get(event.stage, event.stage), total=event.total)
            bars.update(tasks[event.stage], completed=event.done, total=event.total)
        else:
            warn(event, stream)

    with bars:
        yield listen


def warn(event: Event, stream: TextIO) -> None:
    """Say in one line what a user should know."""
    if isinstance(event, Skipped):
        click.echo(f"ctxproc: {plain(event.source)}: {plain(event.reason)}", file=stream)
    elif isinstance(event, Noted):
        click.echo(f"ctxproc: {plain(event.text)}", file=stream)

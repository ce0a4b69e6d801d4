"""Progress bars with an estimate, on a terminal; warnings as lines; nothing at all in a pipe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

import click

from ctxproc.cli.terminal import plain
from ctxproc.trace import Event, Listener, Noted, Progress, Skipped

if TYPE_CHECKING:
    from rich.progress import TaskID

STAGES = {
    "load": "reading files",
    "split": "splitting",
    "embed": "embedding",
    "warm": "reading",
    "read": "asking the model",
}
COUNTED = frozenset({"hidden", "binary", "special", "duplicate"})
"""Kinds of skipped files that are counted and not named one by one."""


@contextmanager
def progress(stream: TextIO) -> Iterator[Listener]:
    """A listener that shows stages on a terminal; in a pipe it only says what was not read."""
    passed: Counter[str] = Counter()
    with bars(stream) if stream.isatty() else nullcontext() as show:

        def listen(event: Event) -> None:
            if isinstance(event, Skipped) and event.kind in COUNTED:
                passed[event.kind] += 1
            elif isinstance(event, Skipped):
                click.echo(f"ctxproc: {plain(event.source)} {plain(event.reason)}", file=stream)
            elif show:
                show(event)

        yield listen
    if passed:
        counts = ", ".join(f"{number} {kind}" for kind, number in sorted(passed.items()))
        click.echo(f"ctxproc: files passed over: {counts}", file=stream)


@contextmanager
def bars(stream: TextIO) -> Iterator[Listener]:
    """A listener with a bar per stage, and a line per note; the bars are gone in the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    drawn = Bars(*columns, console=Console(file=stream), transient=True)
    tasks: dict[str, TaskID] = {}

    def show(event: Event) -> None:
        if isinstance(event, Progress):
            if event.stage not in tasks:
                tasks[event.stage] = drawn.add_task(STAGES.get(event.stage, event.stage), total=event.total)
            drawn.update(tasks[event.stage], completed=event.done, total=event.total)
        elif isinstance(event, Noted):
            drawn.console.print(f"ctxproc: {plain(event.text)}", markup=False, highlight=False)

    with drawn:
        yield show

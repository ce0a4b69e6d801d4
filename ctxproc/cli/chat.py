"""``ctxproc chat``: a chat that remembers, in a terminal or a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.completion import models, paths
from ctxproc.cli.options import MACHINE, memory_options, settings
from ctxproc.cli.terminal import plain
from ctxproc.errors import CtxprocError, UsageError

if TYPE_CHECKING:
    from ctxproc.cli.chat_commands import Talk
    from ctxproc.memory.memory import Memory
    from ctxproc.trace import Event


def machine_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say how the model runs."""
    for option in reversed(MACHINE):
        command = option(command)
    return command


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=paths)
@click.option(
    "--model",
    metavar="M",
    help="builtin, a folder, a .gguf file, a hub name, or http://host:port/v1.",
    shell_complete=models,
)
@click.option("--resume", metavar="NAME", help="Go on with this session of the chat, or with the last one: last.")
@memory_options
@machine_options
def chat(sources: tuple[str, ...], model: str | None, resume: str | None, memory: Path, **options: Any) -> None:  # noqa: ANN401
    """Chat with a model that remembers what you said; SOURCEs are documents to talk about.

    Without SOURCEs, those that `ctxproc memory add` has filed are known. Type /help for what can be done besides; Ctrl-C
    stops a reply, Ctrl-D ends the chat. In a pipe each line is a message, and each reply is a line.
    """
    from ctxproc.chat import Chat
    from ctxproc.cli.chat_commands import Talk
    from ctxproc.memory.memory import Memory

    owner = {name: options.pop(name) for name in ("user", "agent", "session")}
    chosen, _ = settings(model=model, **options)
    with Memory(memory, **owner, settings=chosen, listeners=[listen]) as opened:
        session = resumed(opened, resume) if resume else None
        with Chat(opened, session=session, sources=sources) as made:
            if sys.stdin.isatty() and sys.stdout.isatty():
                at_terminal(Talk(made, ask=confirmed))
            else:
                in_pipe(Talk(made))


def resumed(memory: Memory, name: str) -> str:
    """The session of that name, or the last one.

    Raises:
        UsageError: there is none.
    """
    from ctxproc.chat_sessions import sessions

    names = [one.name for one in sessions(memory)]
    if not names:
        raise UsageError("there is no session to go on with yet: leave out --resume")
    if name == "last" and names:
        return names[-1]
    if name not in names:
        raise UsageError(f"there is no session {name!r}; /sessions in a chat shows them")
    return name


def listen(event: Event) -> None:
    """Say what was not read; on a terminal also what takes long."""
    from ctxproc.cli.progress import COUNTED, STAGES
    from ctxproc.trace import Progress, Skipped

    if isinstance(event, Skipped) and event.kind not in COUNTED:
        click.echo(f"ctxproc: {plain(event.source)} {plain(event.reason)}", err=True)
    elif isinstance(event, Progress) and sys.stderr.isatty():
        stage = f"{STAGES.get(event.stage, event.stage)} {event.done:,} of {event.total:,}"
        click.echo(f"\r{stage}" if event.done < event.total else f"\r{' ' * len(stage)}\r", nl=False, err=True)


def at_terminal(talk: Talk) -> None:
    """Read messages from a person until Ctrl-D or /quit; an error is told, and the chat goes on."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  (gives `input` its editing and its history, which is kept nowhere)
    click.echo(f"{plain(talk.chat.speaker)}, session {plain(talk.chat.session)}. /help says what can be done.")
    while True:
        try:
            said = input(f"{talk.prompt}> ")
        except EOFError:
            click.echo()
            return
        except KeyboardInterrupt:
            click.echo()
            continue
        try:
            if said.strip() and not talk.hear(said.strip(), say_streaming):
                return
        except KeyboardInterrupt:
            click.echo("\n(stopped)" if said.lstrip().startswith("/") else "\n(stopped: nothing of the reply is kept)")
        except CtxprocError as error:
            click.echo(f"ctxproc: {plain(str(error))}", err=True)


def confirmed(question: str) -> bool:
    """What a person says to a question; Ctrl-C and Ctrl-D are a no."""
    try:
        return click.confirm(question)
    except click.Abort:
        click.echo()
        return False


def in_pipe(talk: Talk) -> None:
    """Reply to each line of standard input with one line; an error ends it."""
    for raw in sys.stdin.buffer:
        said = raw.decode("utf-8", "replace")
        if said.strip() and not talk.hear(said.strip(), say_whole):
            return


def say_streaming(talk: Talk, message: str) -> None:
    """Print a reply as it comes."""
    stream = talk.chat.stream(message, as_of=talk.as_of)
    for piece in stream:
        click.echo(plain(piece), nl=False)
    click.echo()
    if talk.last is None and not talk.chat.llm.writes:  # a model that writes would keep the next message waiting
        talk.chat.consolidate(background=True)
    talk.last = stream.reply


def say_whole(talk: Talk, message: str) -> None:
    """Print a reply on one line."""
    talk.last = talk.chat.reply(message, as_of=talk.as_of)
    click.echo(" ".join(plain(talk.last.text).split()))

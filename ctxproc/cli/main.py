"""The program ``ctxproc``: its command groups, and how errors end it."""

from __future__ import annotations

import errno
import os
import sys
from importlib import import_module
from types import TracebackType
from typing import Any, TextIO

import click

from ctxproc.cli.ask import ask
from ctxproc.cli.cache import cache
from ctxproc.cli.catalogues import criteria, strategies
from ctxproc.cli.chat import chat
from ctxproc.cli.compare import compare
from ctxproc.cli.completion import completion
from ctxproc.cli.config import config
from ctxproc.cli.doctor import doctor
from ctxproc.cli.explain import explain
from ctxproc.cli.memory import memory
from ctxproc.cli.models import models
from ctxproc.cli.terminal import plain
from ctxproc.errors import CtxprocError

HELP = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""What newer versions of click raise where a group is named alone: its text is the help."""

UNREAD = 141
"""The status of a program whose output nobody reads any more, as a shell reports one that the signal SIGPIPE ended."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""A disk, or one's share of it, is full."""


class UnreadError(Exception):
    """Nobody reads the output any more. A `BrokenPipeError` is not let through by click, which ends with status 1."""


class Program(click.Group):
    """A group that raises `UnreadError` where nobody reads the output any more."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,  # noqa: ANN401
    ) -> click.Context:
        """As click; ``--help`` and ``--version`` print here."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError as error:
            raise UnreadError from error

    def invoke(self, ctx: click.Context) -> object:
        """As click."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise UnreadError from error


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="ctxproc")
def cli() -> None:
    """Answer questions over anything, however long, with a local model and a short window."""


for module in ("memory_file", "memory_audit"):  # their commands join the group `memory`
    import_module(f"ctxproc.cli.{module}")
for command in (ask, chat, compare, config, strategies, criteria, models, explain, cache, memory, doctor, completion):
    cli.add_command(command)


def one_line(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Report an error that no one foresaw: it is a bug, so the message says how to see where."""
    text = plain(" ".join(str(error).split())[:300])
    click.echo(f"ctxproc: unexpected {kind.__name__}: {text}; run again with --debug to see where", err=True)


def wrong_usage(error: click.ClickException) -> None:
    """Report a wrong command line in one line; the help where that is what was meant."""
    if isinstance(error, HELP):
        error.show()
        return
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "ctxproc"
    text = plain(" ".join(error.format_message().split())).rstrip(".")
    click.echo(f"ctxproc: {text} (see `{command} --help`)", err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the program and exit: 0 done or abstained, 1 the run failed, 2 wrong usage or unreadable input.

    Where nobody reads any more before all is printed, it ends in silence with `UNREAD`.
    """
    try:
        _main(arguments)
    except (BrokenPipeError, UnreadError):
        _let_go(sys.stdout, sys.stderr)
        sys.exit(UNREAD)


def _let_go(*streams: TextIO | None) -> None:
    """Let what is left in the streams' buffers go nowhere when the program ends."""
    for stream in streams:
        if stream is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _main(arguments: list[str] | None) -> None:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["help"]:
        arguments = [*arguments[1:], "--help"]
    debug = "--debug" in arguments
    if not debug:
        sys.excepthook = one_line
    try:
        cli.main(arguments, prog_name="ctxproc", standalone_mode=False)
    except click.ClickException as error:
        wrong_usage(error)
        sys.exit(error.exit_code)
    except CtxprocError as error:
        if debug:
            raise
        click.echo(f"ctxproc: {plain(str(error))}", err=True)
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, click.Abort) as error:
        again = "; what was done is kept: run it again" if "memory" in arguments[:1] else error
        click.echo(f"\nctxproc: interrupted{again}", err=True)
        sys.exit(130)
    except OSError as error:
        if debug or error.errno not in FULL:
            raise
        _let_go(sys.stdout)
        click.echo(f"ctxproc: {error.filename or 'the output'} cannot be written: {error.strerror}", err=True)
        sys.exit(1)

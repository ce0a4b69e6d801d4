"""What can be done in a chat besides talking: commands that begin with a slash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from ctxproc.cli.memory import line, short
from ctxproc.cli.terminal import plain
from ctxproc.errors import UsageError

if TYPE_CHECKING:
    from ctxproc.chat import Chat
    from ctxproc.chat_stream import Reply

HELP = """\
/memory [WORDS]    what holds about you, or what is remembered of WORDS
/why               what was recalled for the last reply, from when, and by which criterion
/forget TEXT|N     forget all that contains TEXT, or passage N, without a trace; asks first
/correct N TEXT    say what is right instead of fact N; /memory shows the numbers
/as-of DATE        reply by what was known on that day, such as 2026-05-01; /as-of now ends it
/consolidate       learn the facts of imported chats, sum up the days, make the portrait; may be interrupted
/sessions          your sessions in this memory
/help              this
/quit              end; so does Ctrl-D. Ctrl-C stops a reply"""


@dataclass
class Talk:
    """A chat, and what its user has set.

    Attributes:
        chat: with whom.
        ask: asks the user a question, yes or no; None where there is nobody to ask.
        last: the last reply.
        as_of: the day by which replies are made.
    """

    chat: Chat
    ask: Callable[[str], bool] | None = None
    last: Reply | None = None
    as_of: str | None = None

    @property
    def prompt(self) -> str:
        """What stands before what the user types."""
        return plain(self.chat.speaker) + (f" (as of {self.as_of})" if self.as_of else "")

    def hear(self, said: str, reply: Callable[[Talk, str], None]) -> bool:
        """Do a command, or hand a message to ``reply``; False: the chat is over.

        Raises:
            UsageError: there is no such command, or it lacks something.
        """
        if not said.startswith("/"):
            reply(self, said)
            return True
        name, rest = [*said[1:].split(None, 1), "", ""][:2]
        if name == "quit":
            return False
        command = COMMANDS.get(name)
        if command is None:
            raise UsageError(f"there is no command /{name[:40]}; there are: /{', /'.join([*COMMANDS, 'quit'])}")
        command(self, rest.strip())
        return True


def memory(talk: Talk, words: str) -> None:
    """Print what holds, or what is found of some words."""
    chat = talk.chat
    if words:
        for item in chat.recall(words, as_of=talk.as_of):
            click.echo(line(item))
        return
    facts = chat.facts(as_of=talk.as_of)
    for fact in facts:
        click.echo(f"{fact.id:>4}  {plain(fact.text)}  (since {fact.since:%Y-%m-%d}, said {fact.said:%Y-%m-%d})")
    if not facts:
        click.echo(f"no facts yet; {chat.memory.count:,} passages are remembered: /memory WORDS finds them")


def why(talk: Talk, _: str) -> None:
    """Print what was recalled for the last reply."""
    if talk.last is None:
        raise UsageError("there is no reply yet")
    for one in talk.last.recalled:
        where = f"{plain(one.item.source)}: {short(one.item.text)}" if one.part == "document" else line(one.item)
        click.echo(f"{one.part:<9}{where}  ({plain(one.why)})")
    usage = talk.last.usage
    click.echo(
        f"{len(talk.last.recalled)} passages recalled; {usage.prompt_tokens:,} tokens read, {usage.reused_tokens:,} of them "
        f"reused; {usage.seconds:.1f} s"
    )


def forget(talk: Talk, what: str) -> None:
    """Forget, after asking."""
    from ctxproc.cli.memory_file import told

    if not what:
        raise UsageError("/forget takes a text, or the number of a passage")
    if talk.ask is None:
        raise UsageError("/forget asks first, and here is nobody to ask: use `ctxproc memory forget`")
    wanted = int(what) if what.isascii() and what.isdecimal() else what
    planned = talk.chat.forget(wanted, dry_run=True)
    for said in told(planned):
        click.echo(said)
    if planned.notes and talk.ask("Forget this for good?"):
        for said in told(talk.chat.forget(wanted)):
            click.echo(said)
        talk.last = None


def correct(talk: Talk, rest: str) -> None:
    """Put a fact right."""
    number, _, right = rest.partition(" ")
    if not (number.isascii() and number.isdecimal() and right.strip()):
        raise UsageError("/correct takes the number of a fact and what is right, such as /correct 12 Lyon")
    item = talk.chat.memory.get(talk.chat.correct(int(number), right.strip()))
    click.echo(line(item))


def as_of(talk: Talk, day: str) -> None:
    """Reply by what was known on a day."""
    from ctxproc.chat import moment

    if not day:
        raise UsageError("/as-of takes a day such as 2026-05-01, or now")
    wanted = None if day == "now" else day
    moment(wanted)
    talk.as_of = wanted
    click.echo(f"replies are by what was known {f'on {plain(day)}' if wanted else 'until now'}")


def consolidate(talk: Talk, _: str) -> None:
    """Make what is not made yet."""
    done = talk.chat.consolidate()
    if done is not None:
        portrait = "new" if done.portrait else "as it was"
        click.echo(
            f"{done.learned:,} facts learned, {done.merged:,} passages merged, {done.days:,} days summed up; the portrait "
            f"is {portrait}"
        )


def sessions(talk: Talk, _: str) -> None:
    """Print the sessions."""
    for one in talk.chat.sessions():
        here = "*" if one.name == talk.chat.session else " "
        when = f"{one.first:%Y-%m-%d %H:%M} to {one.last:%Y-%m-%d %H:%M}"
        click.echo(f"{here} {plain(one.name)}  {when}, {one.turns:,} turns: {short(one.title)}")


def help_(_: Talk, __: str) -> None:
    """Print what there is."""
    click.echo(HELP)


COMMANDS: dict[str, Callable[[Talk, str], None]] = {
    "memory": memory,
    "why": why,
    "forget": forget,
    "correct": correct,
    "as-of": as_of,
    "consolidate": consolidate,
    "sessions": sessions,
    "help": help_,
}

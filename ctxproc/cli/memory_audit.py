"""``ctxproc memory audit``: what is wrong with a memory, and putting right what can be."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING

import click

from ctxproc.cli.memory import json_option, memory, opened, short
from ctxproc.cli.memory_file import told
from ctxproc.cli.options import memory_options
from ctxproc.cli.terminal import plain

if TYPE_CHECKING:
    from ctxproc.memory.audit import Audit, Finding
    from ctxproc.memory.memory import Memory


@memory.command("audit")
@click.option("--fix", "mend", is_flag=True, help="Take out duplicates and what no user's turn supports.")
@memory_options
@json_option
def audit(mend: bool, as_json: bool, **options: object) -> None:
    """Look for duplicates, contradictions, stale or unsupported facts and junk, and say how to put each right.

    The junk rate is the share of facts that are duplicates, unsupported or junk. What is found by rules may be right: look
    before you use --fix, which cannot be undone. What is stale or contradicts is left for you to choose.
    """
    from ctxproc.memory.audit import audit as examine
    from ctxproc.memory.audit import fix

    with opened(options) as notes:
        found = examine(notes)
        receipt = fix(notes, found) if mend else None
        lines = [] if as_json else [said(one, notes, mend) for one in found.findings]
    if as_json:
        click.echo(json.dumps({**found.to_json(), "fixed": receipt and receipt.to_json()}, ensure_ascii=False))
        return
    for line in lines:
        click.echo(line)
    for line in told(receipt) if receipt and receipt.notes else ():
        click.echo(line)
    click.echo(summary(found))


def said(finding: Finding, notes: Memory, mended: bool) -> str:
    """A finding in words, and how it is put right."""
    texts = notes.store.passages(notes.owner, "memory", finding.passages[-1:])
    about = f" ({short(texts[0].text)})" if texts else ""
    line = f"{finding.kind:<14}  {', '.join(map(str, finding.passages[:8]))}{about}: {plain(finding.why)}"
    if mended and finding.safe:
        return f"{line}; taken out"
    if not finding.forget:
        choices = [f"--id {number}" for number in finding.passages[:8]]
        return f"{line}\n    choose: {notes.stored.command('forget')} {' or '.join(choices)}"
    words = shlex.join(word for number in finding.forget for word in ("--id", str(number)))
    also = ", or --fix" if finding.safe else ""
    return f"{line}\n    fix: {notes.stored.command('forget')} {words}{also}"


def summary(found: Audit) -> str:
    """The junk rate with its definition."""
    bad, of = len(found.bad), found.facts
    return f"junk rate {100 * found.junk_rate:.1f} %: {bad:,} of {of:,} facts are duplicates, unsupported or junk"

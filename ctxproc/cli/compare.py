"""``ctxproc compare``: which way is best on one's own documents and questions, and what it costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ctxproc.cli.options import LAYERS, MACHINE, debug_option, limit_options, settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.table import Table

    from ctxproc.compare_results import Ran
    from ctxproc.compare_run import Comparing
    from ctxproc.compare_scores import Estimate, Scored
    from ctxproc.trace import Listener


MOST_KINDS = 6
"""Kinds of questions that a terminal has room for."""


def _settings_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed((*LAYERS, *MACHINE)):
        command = option(command)
    return debug_option(command)


@click.command()
@click.argument("questions", type=click.Path(path_type=Path), metavar="QUESTIONS.jsonl")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--strategies", default="all", metavar="A,B", help="Default: all. The others are set against the first.")
@click.option(
    "--criteria", metavar="A+B,C", help="Sets of retrieval.search: A with B, and C alone; none searches nothing."
)
@click.option("--models", metavar="M,N", help="As --model of `ask`; loaded one after the other.")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Where answers, tables and the page are kept."
)
@click.option(
    "--generate", type=click.IntRange(1), metavar="N", help="First write N cloze questions into QUESTIONS.jsonl."
)
@click.option(
    "--way-tokens",
    type=click.IntRange(0),
    metavar="N",
    help="A way that would take more than this in all is asked fewer questions; 0: no limit.  [default: 20,000,000]",
)
@limit_options
@click.option("--dry-run", is_flag=True, help="Print an upper bound of calls and tokens; load no weights, ask nothing.")
@_settings_options
def compare(
    questions: Path,
    sources: tuple[str, ...],
    strategies: str,
    criteria: str | None,
    models: str | None,
    out: Path | None,
    generate: int | None,
    way_tokens: int | None,
    dry_run: bool,
    preset: str | None,
    file: Path | None,
    sets: tuple[str, ...],
) -> None:
    """Ask QUESTIONS.jsonl over SOURCEs by every strategy, set of criteria and model, and set the ways side by side.

    A line of the file is {"question": "Who ...?"} and may have "answers", a list of what is right; "evidence", a list of
    {"source", "start", "end"} or {"quote"}; "choices"; "id"; "kind". Interrupted, the same command goes on where it was.
    """
    from ctxproc.cli.progress import progress
    from ctxproc.compare_run import WAY_TOKENS, Comparing
    from ctxproc.compare_ways import listed, searches

    if out is None and not dry_run:
        raise click.UsageError("--out DIR is missing: where answers and tables are kept; or ask for the --dry-run")
    chosen, _ = settings(None, None, preset, file, sets)
    with progress(sys.stderr) as listener:
        if generate:
            _generate(questions, sources, generate, chosen, listener)
        comparing = Comparing(
            questions,
            sources,
            listed(strategies, "--strategies"),
            searches(criteria, "--criteria") if criteria else (),
            [one.strip() for one in models.split(",")] if models is not None else (),
            settings=chosen,
            way_tokens=WAY_TOKENS if way_tokens is None else way_tokens or None,
            listeners=[listener],
        )
        if dry_run or out is None:
            planned = comparing.plan(out)
        else:
            scores, paths = _run(comparing, out)
    if dry_run or out is None:
        _show_plan(planned)
        return
    _show(scores)
    click.echo(f"\nthe page: {paths[-1]}")


def _generate(path: Path, sources: Sequence[str], number: int, chosen: Any, listener: Listener) -> None:  # noqa: ANN401
    """Write cloze questions."""
    from ctxproc.compare_cloze import write_cloze
    from ctxproc.sources import Sources

    if "-" in sources:
        raise click.UsageError("--generate reads the sources twice: name files, not -")
    written = write_cloze(Sources(list(sources), chosen, [listener]).documents, number, path)
    click.echo(f"{written:,} questions written to {path}", err=True)


def _run(comparing: Comparing, out: Path) -> tuple[list[Scored], list[Path]]:
    """Ask, measure, write."""
    from ctxproc.compare_scores import scored
    from ctxproc.compare_tables import write_all

    try:
        comparison = comparing.run(out)
    except KeyboardInterrupt:
        raise click.Abort("; what was answered is kept: run the same command to go on") from None
    scores = scored(comparison)
    return scores, write_all(comparison, scores, out)


def _show_plan(planned: Sequence[Ran]) -> None:
    """What each way would cost at most, and how much of it is there already."""
    from ctxproc.cli.terminal import plain
    from ctxproc.compare_ways import named

    table = _table("way", "criteria", "model", "questions", "there", "calls", "tokens read", "written")
    for ran in planned:
        way = [plain(text) for text in (named(ran.way.strategy), ran.way.criteria, ran.way.model)]
        if ran.reason:
            table.add_row(*way, "not run")
            continue
        plan = ran.plan
        figures = (len(ran.places), len(ran.rows), plan.calls, plan.prompt_tokens, plan.new_tokens)
        table.add_row(*way, *(f"{figure:,}" for figure in figures))
    _print(table)
    _say_not_run(planned)
    calls = sum(ran.plan.calls for ran in planned)
    click.echo(
        f"at most {calls:,} model calls and {sum(ran.plan.prompt_tokens for ran in planned):,} prompt tokens in all"
    )


def _show(scores: Sequence[Scored]) -> None:
    """Quality and cost of each way, in percent and in figures of one question."""
    from ctxproc.cli.terminal import plain
    from ctxproc.report_page import NAMES, leading, shorter, way_names

    lead, names = leading(scores), way_names(scores)
    heads = ("n", NAMES[lead], "95 %", "against first", "exact", "verified", "found", "abstained")
    quality = _table("way", *heads)
    cost = _table("way", "calls", "tokens", "reused", "first s", "last s", "MB")
    for one, name in zip(scores, names, strict=True):
        if not one.ran.rows:
            quality.add_row(plain(name), "not run")
            continue
        means = one.quality.get
        quality.add_row(
            plain(name),
            str(len(one.ran.rows)),
            _percent(means(lead)),
            _interval(means(lead)),
            _signed(one.differences.get(lead)),
            *(_percent(means(name)) for name in ("exact_match", "verified", "evidence_recall", "abstained")),
        )
        spent = [one.cost[name] for name in ("calls", "prompt_tokens", "reused_share", "first", "seconds", "memory")]
        forms = ("{:,.1f}", "{:,.0f}", "{:.0%}", "{:.2f}", "{:.2f}", "{:,.0f}")
        spent[-1] = spent[-1] / 1e6 if spent[-1] is not None else None
        cost.add_row(plain(name), *("–" if x is None else form.format(x) for x, form in zip(spent, forms, strict=True)))
    _print(quality)
    _print(cost)
    if less := shorter(scores):
        told = ", ".join(f"{plain(names[i])} ({number})" for i, number in less.items())
        click.echo(f"measured on fewer questions than others, so not to be ranked with them: {told}")
    _show_kinds(scores)
    _say_not_run([one.ran for one in scores])


def _show_kinds(scores: Sequence[Scored]) -> None:
    """The leading measure and its interval for each kind of question, at most so many; nothing where there is one."""
    from ctxproc.cli.terminal import plain
    from ctxproc.report_page import NAMES, UNNAMED, leading, way_names

    kinds = list(scores[0].kinds)
    if not kinds:
        return
    lead = leading(scores)
    table = _table(f"{NAMES[lead]} by kind", *(plain(kind or UNNAMED) for kind in kinds[:MOST_KINDS]))
    for one, name in zip(scores, way_names(scores), strict=True):
        known = [one.kinds[kind].get(lead) for kind in kinds[:MOST_KINDS]]
        table.add_row(plain(name), *(f"{_percent(each)} ({_interval(each)})" if each else "–" for each in known))
    _print(table)
    if len(kinds) > MOST_KINDS:
        click.echo(f"{len(kinds) - MOST_KINDS} more kinds: see the page")


def _say_not_run(every: Sequence[Ran]) -> None:
    """Which ways were not run, or not to their end, and why, a line for each reason."""
    from ctxproc.cli.terminal import plain
    from ctxproc.compare_ways import named

    reasons: dict[tuple[str, str], list[str]] = {}
    for ran in every:
        told = [(reason, "failed") for reason in ran.errors.values()]
        if ran.reason:
            told.append((ran.reason, "ended early" if ran.rows else "not run"))
        for reason, what in told:
            reasons.setdefault((what, reason), []).append(named(ran.way.strategy))
    for (what, reason), names in reasons.items():
        click.echo(f"{what}: {plain(', '.join(dict.fromkeys(names)))}: {plain(reason)}")


def _percent(one: Estimate | None) -> str:
    return "–" if one is None else f"{100 * one.mean:.0f}"


def _interval(one: Estimate | None) -> str:
    return "–" if one is None or one.low is None or one.high is None else f"{100 * one.low:.0f}–{100 * one.high:.0f}"


def _signed(one: Estimate | None) -> str:
    """A difference, with a mark where its interval lies on one side of 0."""
    return "–" if one is None else f"{100 * one.mean:+.0f}{' *' if one.apart else ''}"


def _table(first: str, *heads: str) -> Table:
    """An empty table: names to the left, figures to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", no_wrap=False)
    for head in heads:
        words = head in ("criteria", "model")
        table.add_column(head, justify="left" if words else "right", overflow="fold")
    return table


def _print(table: Table) -> None:
    """Print a table, in a pipe 120 columns wide; what is in it is no markup."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False, emoji=False)
    with console.capture() as drawn:  # rich itself would end the program where nobody reads any more
        console.print(table)
    click.echo(drawn.get(), nl=False)

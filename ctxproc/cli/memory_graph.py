"""``ctxproc memory graph``: what is remembered, drawn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ctxproc.cli.options import memory_options

if TYPE_CHECKING:
    from ctxproc.memory.extract.tagger import By


@click.command("graph")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Where to: a new .html (a page to look at, needs no network) or .graphml (for other programs).",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 400),
    default=80,
    show_default=True,
    metavar="N",
    help="The strongest names and concepts that are drawn; at most 400.",
)
@click.option(
    "--concepts",
    "by",
    type=click.Choice(["rules", "tagger"]),
    default="rules",
    show_default=True,
    help="Who finds the names and concepts: rules, or the built-in tagger, which is slower and knows English alone.",
)
@memory_options
def graph(out: Path, nodes: int, by: By, **options: object) -> None:
    """Draw the concepts of what was said, and the facts about them, those that have ended too."""
    from ctxproc.cli.memory import opened
    from ctxproc.errors import UsageError
    from ctxproc.memory.extract.tagger import finder
    from ctxproc.memory.facts_shelf import FactShelf
    from ctxproc.memory.graph_draw import drawing, graphml, write
    from ctxproc.memory.graph_page import page
    from ctxproc.memory.graph_shelf import GraphShelf

    kind = out.suffix.lower()
    if kind not in (".html", ".graphml"):
        raise UsageError("the graph is drawn into a file whose name ends in .html or .graphml")
    with opened(options) as notes:
        found = finder(by, notes.settings.device)
        shelf = GraphShelf(notes.store, notes.owner, limit=notes.settings.limits.nodes, finder=found)
        drawn = drawing(shelf.graph(), FactShelf(notes.store, notes.owner).facts().all, nodes)
    write(out, graphml(drawn) if kind == ".graphml" else page(drawn, f"What {notes.owner.user} said"))
    left = f"; {drawn.left_out:,} weaker ones are left out" if drawn.left_out else ""
    click.echo(f"{drawn.graph.number_of_nodes():,} names and concepts drawn{left}")

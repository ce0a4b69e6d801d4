"""A concept graph and facts as one drawing: what is in it, where it stands, and GraphML of it."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import networkx as nx

from ctxproc.errors import UsageError
from ctxproc.memory.exchange import fresh, shown
from ctxproc.memory.facts import Fact, key

if TYPE_CHECKING:
    from ctxproc.memory.graph import ConceptGraph

MOST = 80
"""Nodes of a drawing, unless told otherwise: more cannot be read."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What no XML document may hold, not even escaped."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What is drawn.

    Attributes:
        graph: a node is a concept or a name of a fact. Nodes have "label", "mentions" and "facts"; edges "kind": "beside"
            with "strength" and "t", or "fact" with "label", "since", "until" (empty: it still holds) and "passage".
        left_out: nodes that are weaker than all of these.
    """

    graph: nx.MultiDiGraph[str]
    left_out: int = 0


def drawing(concepts: ConceptGraph, facts: Sequence[Fact] = (), most: int = MOST) -> Drawing:
    """The strongest nodes of a graph and of facts, and what joins them.

    Names of facts come first, by the number of facts; then concepts by the strength of their links, the number of steps in
    which they stood. A name of a fact that is written as a concept is the same node.

    Args:
        concepts: as `ConceptGraph` makes it.
        facts: those to be drawn; rows that never held and what only ends another are left out.
        most: nodes.
    """
    drawn: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    plain = concepts.snapshot()
    for stem, about in plain.nodes(data=True):
        drawn.add_node(f"c:{stem}", label=clean(about["concept"]), mentions=about["mentions"], facts=0, t=about["t"])
    for one, other, about in plain.edges(data=True):
        drawn.add_edge(f"c:{one}", f"c:{other}", kind="beside", strength=about["strength"], t=about["t"])
    names = {key(about["concept"]): f"c:{stem}" for stem, about in plain.nodes(data=True)}
    for fact in facts:
        if fact.held and not fact.ends:
            ends = [_named(drawn, names, name) for name in (fact.subject, fact.object)]
            until = fact.until.isoformat() if fact.until else ""
            about = {"label": clean(fact.relation), "since": fact.since.isoformat(), "until": until}
            drawn.add_edge(*ends, kind="fact", strength=1, passage=fact.id, **about)
    order = sorted(drawn, key=lambda node: (-drawn.nodes[node]["facts"], -drawn.degree(node, weight="strength"), node))
    chosen: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    chosen.add_nodes_from((node, drawn.nodes[node]) for node in order[:most])
    edges = drawn.edges(data=True)
    chosen.add_edges_from(edge for edge in edges if edge[0] in chosen and edge[1] in chosen)
    return Drawing(chosen, max(0, len(order) - most))


def _named(drawn: nx.MultiDiGraph[str], names: dict[str, str], name: str) -> str:
    """The node of a name, made if it is not there."""
    node = names.setdefault(key(name), f"n:{clean(key(name))}")
    if node not in drawn:
        drawn.add_node(node, label=clean(name), mentions=0, facts=0, t=0)
    drawn.nodes[node]["facts"] += 1
    return node


def clean(text: str) -> str:
    """A text without the characters that XML forbids."""
    return _NOT_XML.sub("\ufffd", text)


def graphml(drawn: Drawing) -> str:
    """The drawing as GraphML, with all that is known of nodes and edges."""
    made: nx.MultiDiGraph[str] = nx.MultiDiGraph()
    made.graph["left_out"] = drawn.left_out
    names = {node: clean(node) for node in drawn.graph}
    made.add_nodes_from((names[node], about) for node, about in drawn.graph.nodes(data=True))
    made.add_edges_from((names[one], names[other], about) for one, other, about in drawn.graph.edges(data=True))
    file = io.BytesIO()
    nx.write_graphml_xml(made, file)
    return file.getvalue().decode("utf-8")


def places(drawn: Drawing, seed: int = 0) -> dict[str, tuple[float, float]]:
    """Where each node stands, both coordinates from 0 to 1; the same for the same drawing.

    By the forces of Fruchterman and Reingold 1991, as networkx has them: what is linked attracts each other.
    """
    flat: nx.Graph[str] = nx.Graph()
    flat.add_nodes_from(sorted(drawn.graph))
    flat.add_edges_from(sorted((one, other) for one, other in drawn.graph.edges() if one != other))
    if not flat:
        return {}
    found = nx.spring_layout(flat, seed=seed, k=1.6 / len(flat) ** 0.5, iterations=80)
    columns = []
    for axis in (0, 1):
        values = {node: float(place[axis]) for node, place in found.items()}
        low, high = min(values.values()), max(values.values())
        columns.append({node: (value - low) / (high - low) if high > low else 0.5 for node, value in values.items()})
    return {node: (columns[0][node], columns[1][node]) for node in flat}


def write(path: Path, text: str) -> None:
    """Write a new file, readable by its owner only, whole or not at all.

    Raises:
        UsageError: the file is there already, or cannot be written.
    """
    try:
        if path.exists():
            raise UsageError(f"{shown(path)} is there already: name another file")
        with fresh(path) as file:
            file.write(text)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"cannot write {shown(path)}: {reason}; name another file") from error

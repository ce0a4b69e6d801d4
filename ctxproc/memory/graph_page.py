"""A drawing of a concept graph as one HTML file: inline SVG and a little script, nothing fetched from anywhere.

All that was said is escaped; besides, the page's own policy lets nothing run but this script, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

from ctxproc.memory.graph_draw import Drawing, clean, places

SIZE, MARGIN = 1000, 60
"""Of the picture, in its own units."""

STYLE = """
body{margin:0;font:14px sans-serif;background:#fff;color:#222}
p{margin:8px 12px}
svg{width:100vw;height:calc(100vh - 70px);cursor:grab;display:block}
line,path{stroke:#bbb;stroke-opacity:.7;fill:none}
.fact{stroke:#26c}.ended{stroke:#26c;stroke-dasharray:5 4;stroke-opacity:.4}
circle{fill:#888}.known circle{fill:#26c}
text{font-size:11px;text-anchor:middle;paint-order:stroke;stroke:#fff;stroke-width:3px}
.label{font-size:9px;fill:#26c}
.quiet{opacity:.1}
"""

SCRIPT = """
"use strict";
const svg = document.querySelector("svg"), view = svg.viewBox.baseVal;
svg.addEventListener("wheel", (event) => {
  event.preventDefault();
  const box = svg.getBoundingClientRect(), by = event.deltaY > 0 ? 1.15 : 1 / 1.15;
  const x = (event.clientX - box.left) / box.width, y = (event.clientY - box.top) / box.height;
  view.x += view.width * x * (1 - by); view.y += view.height * y * (1 - by);
  view.width *= by; view.height *= by;
}, { passive: false });
svg.addEventListener("pointermove", (event) => {
  if (event.buttons !== 1) return;
  const scale = Math.max(view.width / svg.clientWidth, view.height / svg.clientHeight);
  view.x -= event.movementX * scale; view.y -= event.movementY * scale;
});
for (const node of document.querySelectorAll("[data-node]")) {
  node.addEventListener("mouseenter", () => {
    const near = new Set([node.dataset.node]);
    for (const edge of document.querySelectorAll("[data-from]")) {
      const ends = [edge.dataset.from, edge.dataset.to], own = ends.includes(node.dataset.node);
      edge.classList.toggle("quiet", !own);
      if (own) ends.forEach((end) => near.add(end));
    }
    for (const other of document.querySelectorAll("[data-node]")) {
      other.classList.toggle("quiet", !near.has(other.dataset.node));
    }
  });
  node.addEventListener("mouseleave", () => {
    for (const other of document.querySelectorAll(".quiet")) other.classList.remove("quiet");
  });
}
"""


def page(drawn: Drawing, title: str) -> str:
    """The drawing as a page; nodes as large as they are linked, facts in blue, those that have ended dashed.

    Pointing at a node shows what it is linked to; the wheel zooms, dragging moves.

    Args:
        drawn: what is drawn.
        title: of the page.
    """
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    nodes, edges = drawn.graph.number_of_nodes(), drawn.graph.number_of_edges()
    note = f"{nodes:,} names and concepts, {edges:,} links. Facts are blue, dashed where they have ended."
    if drawn.left_out:
        note += f" The {drawn.left_out:,} with the weakest links are left out."
    name = escape(clean(title))
    return "\n".join(
        [
            '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
            f"<title>{name}</title><style>{STYLE}</style></head><body>",
            f"<p><b>{name}</b> {note}</p>",
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE} {SIZE}" role="img">',
            *_shapes(drawn),
            "</svg>",
            f"<script>{SCRIPT}</script></body></html>",
            "",
        ]
    )


def _shapes(drawn: Drawing) -> Iterator[str]:
    """The edges, and over them the nodes."""
    spots = {
        node: (MARGIN + x * (SIZE - 2 * MARGIN), MARGIN + y * (SIZE - 2 * MARGIN))
        for node, (x, y) in places(drawn).items()
    }
    numbers = {node: number for number, node in enumerate(drawn.graph)}
    for one, other, number, about in drawn.graph.edges(keys=True, data=True):
        link = f'data-from="{numbers[one]}" data-to="{numbers[other]}"'
        yield (
            _fact(*spots[one], *spots[other], number, link, about)
            if about["kind"] == "fact"
            else (
                f'<line {link} x1="{spots[one][0]:.1f}" y1="{spots[one][1]:.1f}" x2="{spots[other][0]:.1f}" '
                f'y2="{spots[other][1]:.1f}" stroke-width="{min(6, 0.5 + about["strength"] / 2)}"/>'
            )
        )
    for node, about in drawn.graph.nodes(data=True):
        x, y = spots[node]
        links = drawn.graph.degree(node, weight="strength")
        radius = 3 + min(15.0, links**0.5)
        told = f"{about['label']}: {about['mentions']} mentions, {about['facts']} facts"
        yield (
            f'<g data-node="{numbers[node]}"{" class=known" if about["facts"] else ""}><title>{escape(told)}</title>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}"/>'
            f'<text x="{x:.1f}" y="{y - radius - 3:.1f}">{escape(_short(about["label"]))}</text></g>'
        )


def _fact(x: float, y: float, to_x: float, to_y: float, number: int, link: str, about: dict[str, Any]) -> str:
    """A labelled curve; several between the same two are bent apart."""
    bend = 0.12 * (1 + number)
    mid_x, mid_y = (x + to_x) / 2 + bend * (to_y - y), (y + to_y) / 2 - bend * (to_x - x)
    when = f"since {about['since'][:10]}" + (f" until {about['until'][:10]}" if about["until"] else "")
    kind = "ended" if about["until"] else "fact"
    return (
        f"<g {link}><title>{escape(about['label'])}, {when}</title>"
        f'<path class="{kind}" d="M{x:.1f} {y:.1f} Q{mid_x:.1f} {mid_y:.1f} {to_x:.1f} {to_y:.1f}"/>'
        f'<text class="label" x="{(x + to_x) / 4 + mid_x / 2:.1f}" y="{(y + to_y) / 4 + mid_y / 2:.1f}">'
        f"{escape(_short(about['label']))}</text></g>"
    )


def _short(text: str) -> str:
    """The beginning of a text."""
    return text if len(text) <= 28 else f"{text[:27]}…"

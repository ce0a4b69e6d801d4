"""Learning curves of the trainings as small SVG pictures: loss and development score by step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 200, 44, 44, 28, 30
LOSS, SCORE = "#d64038", "#3a6ea8"
SCORES = ("score", "real", "facts")
"""What is drawn as the score: the first of these that there is."""

Point = tuple[float, float]


def draw_all(folder: Path) -> Iterator[Path]:
    """Draw every ``curve_NAME.jsonl`` of a folder next to it; gives the pictures."""
    for path in sorted(folder.glob("curve_*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        out = path.with_suffix(".svg")
        out.write_text(drawn(rows, path.stem.removeprefix("curve_")), encoding="utf-8")
        yield out


def drawn(rows: Sequence[dict[str, Any]], name: str) -> str:
    """The picture of one curve: the loss with its scale on the left, the score, where there is one, on the right."""
    last = max(row["step"] for row in rows)
    seen = f", {rows[-1]['seen']} rows" if "seen" in rows[-1] else ""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif"',
        ' font-size="10">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="16" font-size="12">{escape(name)}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">{last} steps{seen}</text>',
    ]
    score = next((key for key in SCORES if any(key in row for row in rows)), "")
    for key, colour, side in (("loss", LOSS, "left"), (score, SCORE, "right")):
        points = [(row["step"] / last, row[key]) for row in rows if key in row]
        if points:
            parts += line(points, key, colour, side)
    return "\n".join([*parts, "</svg>"]) + "\n"


def line(points: Sequence[Point], name: str, colour: str, side: str) -> Iterator[str]:
    """A line from its least value (bottom) to its greatest (top), with both written at a side."""
    low, high = min(value for _, value in points), max(value for _, value in points)
    reach = high - low or 1.0

    def place(point: Point) -> str:
        across = LEFT + point[0] * (WIDTH - LEFT - RIGHT)
        return f"{across:.1f},{HEIGHT - BOTTOM - (point[1] - low) / reach * (HEIGHT - TOP - BOTTOM):.1f}"

    x, anchor = (LEFT - 5, "end") if side == "left" else (WIDTH - RIGHT + 5, "start")
    for value, y in ((high, TOP + 4), (low, HEIGHT - BOTTOM + 3)):
        yield f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{value:.3g}</text>'
    yield f'<text x="{x}" y="{HEIGHT / 2}" text-anchor="{anchor}" fill="{colour}">{name}</text>'
    yield f'<polyline fill="none" stroke="{colour}" points="{" ".join(map(place, points))}"/>'

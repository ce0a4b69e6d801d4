"""A picture of needle.py's records: for every strategy and kind a grid of recall by depth (down) and length (across)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape

CELL, GAP, LEFT, TOP = 22, 14, 150, 46
Grid = Mapping[tuple[int, float], float]
"""Recall from 0 to 1 by (tokens, depth)."""


def colour(recall: float) -> str:
    """From red over yellow to green."""
    low, middle, high = (214, 64, 56), (245, 208, 96), (58, 150, 84)
    a, b, share = (low, middle, 2 * recall) if recall < 0.5 else (middle, high, 2 * recall - 1)
    return "#" + "".join(f"{round(x + (y - x) * share):02x}" for x, y in zip(a, b, strict=True))


def label(tokens: int) -> str:
    """10000 as 10k, 1000000 as 1M."""
    return f"{tokens / 1e6:g}M" if tokens >= 1_000_000 else f"{tokens / 1e3:g}k"


def picture(grids: Mapping[tuple[str, str], Grid], lengths: Sequence[int], depths: Sequence[float], title: str) -> str:
    """An SVG file; ``grids`` are by (strategy, kind). A cell that was not measured is grey; each tells its figure."""
    strategies = list(dict.fromkeys(strategy for strategy, _ in grids))
    kinds = list(dict.fromkeys(kind for _, kind in grids))
    wide, high = CELL * len(lengths) + GAP, CELL * len(depths) + GAP
    width, height = LEFT + len(kinds) * wide, TOP + len(strategies) * high + 20
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif"',
        ' font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/><text x="8" y="16" font-size="13">{escape(title)}</text>',
    ]
    for column, kind in enumerate(kinds):
        x = LEFT + column * wide
        parts.append(f'<text x="{x}" y="{TOP - 12}">{escape(kind)}</text>')
        for i, tokens in enumerate(lengths):
            at = f'x="{x + (i + 0.5) * CELL}" y="{height - 12}"'
            parts.append(f'<text {at} text-anchor="middle" font-size="8">{label(tokens)}</text>')
        for row, strategy in enumerate(strategies):
            grid = grids.get((strategy, kind), {})
            parts += heat(grid, lengths, depths, f"{strategy}, {kind}", x, TOP + row * high)
    for row, strategy in enumerate(strategies):
        parts.append(f'<text x="8" y="{TOP + row * high + (high - GAP) / 2}">{escape(strategy)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def heat(grid: Grid, lengths: Sequence[int], depths: Sequence[float], name: str, left: int, top: int) -> Iterator[str]:
    """The cells of one grid."""
    for i, tokens in enumerate(lengths):
        for j, depth in enumerate(depths):
            recall = grid.get((tokens, depth))
            fill, said = ("#dddddd", "not measured") if recall is None else (colour(recall), f"{recall:.2f}")
            place = f'x="{left + i * CELL}" y="{top + j * CELL}" width="{CELL - 1}" height="{CELL - 1}"'
            title = escape(f"{name}, {label(tokens)}, depth {depth:.0%}: {said}")
            yield f'<rect {place} fill="{fill}"><title>{title}</title></rect>'

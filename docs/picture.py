"""Draws second_question.svg, the picture of the README, from the figures in benchmarks/figures/second_question.jsonl.

    python docs/picture.py            # write it
    python docs/picture.py --check    # 1 where it is not what the figures say

Bars are seconds on a logarithmic scale, the least of the samples, one group for each case.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path

import click

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "benchmarks" / "figures" / "second_question.jsonl"
PICTURE = ROOT / "docs" / "second_question.svg"

PROGRAMS = {
    "ours": ("ctxproc", "#1f6f8b"),
    "llama.cpp": ("llama.cpp", "#c98a2b"),
    "vLLM": ("vLLM on the CPU", "#8a5fa8"),
    "DynamicCache, shared": ("transformers, its cache", "#7a8b6f"),
    "whole prompt": ("transformers, whole prompt", "#9a9a9a"),
}
CASES = {
    "same": "the same chunks",
    "reordered": "in another order",
    "subset": "four of the eight",
    "map": "every chunk by itself",
    "restart": "after a restart",
}
LEFT, TOP, WIDTH, BAR, GAP = 160, 62, 470, 13, 16
LEAST, MOST = 0.1, 100.0


def seconds() -> dict[tuple[str, str], float]:
    """The least seconds by (program, case)."""
    found = {}
    for line in FIGURES.read_text(encoding="utf-8").splitlines():
        one = json.loads(line)
        program, case, of = one["figure"].rsplit(".", 2)
        if of == "least seconds":
            found[program, case] = float(one["value"])
    return found


def across(value: float) -> float:
    """Where a number of seconds lies, from the left."""
    return LEFT + WIDTH * math.log(value / LEAST) / math.log(MOST / LEAST)


def picture(found: Mapping[tuple[str, str], float]) -> str:
    """An SVG file."""
    rows = {case: [name for name in PROGRAMS if (name, case) in found] for case in CASES}
    height = TOP + sum(len(names) * BAR + GAP for names in rows.values()) + 24
    title = "Seconds to the first token of a second question over the same document"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
            'font-family="sans-serif" font-size="11" role="img">',
            f"<title>{title}</title>",
            '<rect width="100%" height="100%" fill="#ffffff"/>',
            f'<text x="12" y="20" font-size="14" fill="#222222">{title}</text>',
            *legend(),
            *grid(height),
            *bars(rows, found),
            "</svg>\n",
        ]
    )


def legend() -> Iterator[str]:
    """The programs and their colours."""
    x = 12.0
    for name, colour in PROGRAMS.values():
        yield f'<rect x="{x:g}" y="32" width="10" height="10" fill="{colour}"/>'
        yield f'<text x="{x + 14:g}" y="41" fill="#222222">{escape(name)}</text>'
        x += 34 + 6.1 * len(name)


def grid(height: int) -> Iterator[str]:
    """A line for each power of ten."""
    for value in (0.1, 1, 10, 100):
        x = across(value)
        yield f'<line x1="{x:g}" y1="{TOP - 8}" x2="{x:g}" y2="{height - 24}" stroke="#dddddd"/>'
        yield f'<text x="{x:g}" y="{height - 10}" text-anchor="middle" fill="#555555">{value:g} s</text>'


def bars(rows: Mapping[str, list[str]], found: Mapping[tuple[str, str], float]) -> Iterator[str]:
    """The bars of each case, ours first, each with its figure."""
    y = TOP
    for case, names in rows.items():
        middle = y + len(names) * BAR / 2 + 4
        yield f'<text x="{LEFT - 10}" y="{middle:g}" text-anchor="end" fill="#222222">{escape(CASES[case])}</text>'
        for name in names:
            value = found[name, case]
            end = across(value)
            yield f'<rect x="{LEFT}" y="{y}" width="{end - LEFT:.1f}" height="{BAR - 2}" fill="{PROGRAMS[name][1]}"/>'
            yield f'<text x="{end + 5:.1f}" y="{y + BAR - 3}" fill="#222222">{value:.3g}</text>'
            y += BAR
        y += GAP


def main(arguments: list[str]) -> int:
    """Write the picture, or with --check say where it is not up to date."""
    made = picture(seconds())
    if "--check" not in arguments:
        PICTURE.write_text(made, encoding="utf-8")
        return 0
    if PICTURE.read_text(encoding="utf-8") == made:
        return 0
    click.echo("docs/second_question.svg is not what the figures say: run python docs/picture.py", err=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

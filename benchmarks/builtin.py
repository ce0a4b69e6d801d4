"""Every figure of the built-in models, with 95 % intervals by bootstrap, on data that no training saw.

    python benchmarks/builtin.py [reader] [reader_zh] [judge] [causal] [tagger] [loading] [--json FILE]
    python benchmarks/builtin.py curves

The sections are those named, or all; each can run alone and is skipped, saying why, where its model or its data are not
there. The figures of the sections are made in builtin_readers.py and builtin_others.py; next to each stands what was aimed
at. ``--most`` takes a seeded sample of so many questions of each set, for a quick look. ``curves`` draws the learning
curves ``figures/curve_NAME.jsonl``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import builtin_others as others
import builtin_readers as readers
import click
from builtin_curves import draw_all
from builtin_spread import Figures, Size
from common import machine
from results import record

SECTIONS: dict[str, Callable[[Size], Figures]] = {
    "reader": readers.reader,
    "reader_zh": readers.reader_zh,
    "judge": others.judge,
    "causal": others.causal,
    "tagger": others.tagger,
    "loading": others.loading,
}
AIMS = {
    "natural questions, F1": 72.0,
    "own questions, F1": 72.0,
    "open book, F1": 55.0,
    "AUROC, unrelated passage": 95.0,
    "AUROC, nearest passage": 95.0,
    "calibration error": 5.0,
    "CMRC trial, F1": 50.0,
    "pairs per second": 200.0,
    "key-value look-up": 99.0,
    "needle look-up": 99.0,
    "gold passage, F1": 40.0,
    "redocred, mentions, exact, typed": 80.0,
    "seconds for all": 2.0,
    "package, MB": 120.0,
}

ENDS = ("mean", "low", "high"), ("median", "least", "most")
"""What is told of a figure: its 95 % interval, or where it was timed in rounds the least and the most of them."""


def lines(name: str, figures: Mapping[str, Any]) -> Iterator[str]:
    """A section as lines of a table: the figure, its value, its interval, what was aimed at."""
    for key, value in flat(figures):
        if isinstance(value, Mapping):
            middle, low, high = (value[key] for key in ENDS[bool("median" in value)])
            told = f"{middle:>8.1f}  ({low:.1f} to {high:.1f})"
        else:
            told = f"{value:>8.1f}" if isinstance(value, float) else f"{value:>8}"
        aim = f"aim {AIMS[key]:g}" if key in AIMS else ""
        yield f"{name:<10} {key:<52}{told:<28}{aim}".rstrip()


def flat(figures: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The figures of all levels; those inside of others are named after them."""
    for key, value in figures.items():
        if isinstance(value, Mapping) and not {"mean", "median"} & value.keys():
            yield from flat(value, f"{before}{key}, ")
        else:
            yield before + key, value


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*SECTIONS, "curves"]))
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"), show_default=True)
@click.option("--most", type=click.IntRange(2), help="questions of each set; default: all")
@click.option("--cache", type=click.Path(path_type=Path), help="folder of embeddings, kept between runs")
@click.option("--json", "out", type=click.Path(path_type=Path), help="also write the figures here")
def main(names: tuple[str, ...], data: Path, most: int | None, cache: Path | None, out: Path | None) -> None:
    """Measure, and print the figures."""
    if "curves" in names:
        for path in draw_all(Path(__file__).parent / "figures"):
            click.echo(path)
        names = tuple(name for name in names if name != "curves")
        if not names:
            return
    result: dict[str, Any] = {}
    for name in names or SECTIONS:
        began = time.monotonic()
        try:
            result[name] = SECTIONS[name](Size(data, most, cache))
        except others.SkippedError as reason:
            result[name] = {"skipped": str(reason)}
        for line in lines(name, result[name]):
            click.echo(line)
        click.echo(f"{name}: {time.monotonic() - began:.0f} s", err=True)
        record("builtin", {name: result[name], **machine()}, seed=0)
        if out:
            out.write_text(json.dumps({**result, "machine": machine()}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

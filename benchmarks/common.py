"""What the benchmarks share: the questions, the measures of an answer, the machine, the spread, the report."""

from __future__ import annotations

import json
import os
import platform
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean
from typing import Any

import click
from results import record

from ctxproc.measures import answer_f1 as f1
from ctxproc.measures import bare_words, exact_match

__all__ = [
    "Item",
    "exact_match",
    "f1",
    "half",
    "interval",
    "machine",
    "normalise",
    "open_questions",
    "percent",
    "publish",
]


@dataclass(frozen=True)
class Item:
    """A question, the answers people gave, and the passage that holds them."""

    question: str
    answers: tuple[str, ...]
    passage: str
    line: int


def open_questions(data: Path) -> list[Item]:
    """The lines of lost_in_middle, counted from 1."""
    file = data / "eval" / "lost_in_middle" / "nq-open-oracle.jsonl"
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return [Item(r["question"], tuple(r["answers"]), r["ctxs"][0]["text"], i) for i, r in enumerate(rows, 1)]


def half(items: Sequence[Item], name: str) -> list[Item]:
    """The odd-numbered lines (the test half) or the even ones."""
    return [item for item in items if item.line % 2 == (name == "odd")]


def normalise(text: str) -> str:
    """SQuAD's normalisation: lower case, no punctuation, no articles, single spaces."""
    return " ".join(bare_words(text))


def interval(values: Sequence[float], seed: int = 0, draws: int = 1000) -> tuple[float, float]:
    """The 95 % interval of the mean, by bootstrap.

    `ctxproc.compare_scores.estimate` draws otherwise, so its intervals differ a little; published figures have these.
    """
    rng = random.Random(seed)
    means = sorted(mean(rng.choices(values, k=len(values))) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def percent(values: Sequence[float]) -> dict[str, float]:
    """Mean and 95 % interval, in percent, and of how many values."""
    low, high = interval(values)
    ends = {"low": round(100 * low, 1), "high": round(100 * high, 1)}
    return {"mean": round(100 * mean(values), 1), **ends, "n": len(values)}


def machine() -> dict[str, Any]:
    """Where and when a figure was measured."""
    import torch

    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        model = next(
            (
                x.split(":")[1].strip()
                for x in Path("/proc/cpuinfo").read_text().splitlines()
                if x.startswith("model name")
            ),
            model,
        )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def publish(benchmark: str, result: Mapping[str, Any], n: int | None = None, seed: int | None = None) -> dict[str, Any]:
    """Print a result with the machine that it was measured on as one JSON object, and give it back.

    Its figures also go to the file that ``python -m benchmarks --results FILE`` names (see results.py).

    Args:
        benchmark: the script's name.
        result: figures by name; an interval as `percent` gives it.
        n: of how many cases the figures are means, where they do not say so themselves.
        seed: of what was drawn; None where nothing was.
    """
    whole = {**result, **machine()}
    click.echo(json.dumps(whole, indent=1, ensure_ascii=False))
    record(benchmark, whole, n, seed)
    return whole

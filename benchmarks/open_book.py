"""Questions over one large document: the gold passages of 1,320 questions, joined in random order (about 1 MB).

    python benchmarks/open_book.py --data ../shared/data

Prints one JSON object: exact match, F1, share of answers whose quoted evidence lies in the gold passage, seconds of the
first question (process start, reading, splitting, embedding and loading included) and of later ones, peak memory.
"""

from __future__ import annotations

import time

BEGAN = time.monotonic()

import json  # noqa: E402 (the clock starts first)
import random  # noqa: E402
import resource  # noqa: E402
import tempfile  # noqa: E402
from pathlib import Path  # noqa: E402
from statistics import mean, median  # noqa: E402
from typing import Any  # noqa: E402

import click  # noqa: E402
from common import Item, exact_match, f1, half, open_questions, percent, publish  # noqa: E402

import ctxproc  # noqa: E402


def book(items: list[Item], seed: int, folder: Path) -> tuple[Path, dict[int, tuple[int, int]]]:
    """The document, and where each line's gold passage stands in it."""
    order = items[:]
    random.Random(seed).shuffle(order)
    parts, spans, at = [], {}, 0
    for item in order:
        spans[item.line] = (at, at + len(item.passage))
        parts.append(item.passage)
        at += len(item.passage) + 2
    path = folder / "book.txt"
    path.write_bytes("\n\n".join(parts).encode())
    return path, spans


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option(
    "--half", "which", type=click.Choice(["odd", "even"]), default="odd", show_default=True, help="odd is the test half"
)
@click.option("--questions", default=300, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--preset", default=None)
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE")
@click.option("--out", type=click.Path(path_type=Path), help="also write every answer, one JSON object a line")
def main(
    data: Path, which: str, questions: int, seed: int, preset: str | None, sets: tuple[str, ...], out: Path | None
) -> None:
    """Ask the questions and print the figures."""
    items = open_questions(data)
    asked = random.Random(seed).sample(half(items, which), questions)
    with tempfile.TemporaryDirectory() as folder:
        path, spans = book(items, seed, Path(folder))
        settings, _ = ctxproc.resolve(preset=preset, sets=[*sets, f"cache.folder={folder}", "cache.runs=0"])
        library = ctxproc.Library([path], settings)
        rows = [row(item, library.ask(item.question), spans[item.line]) for item in asked]
        size = path.stat().st_size
    if out:
        out.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    publish("open_book", {"half": which, "seed": seed, "bytes": size, "sets": sets, **figures(rows)}, questions, seed)


def row(item: Item, answer: ctxproc.Answer, gold: tuple[int, int]) -> dict[str, Any]:
    """One question's outcome; ``at`` is seconds since the process began."""
    lead = answer.evidence[0] if answer.evidence else None
    return {
        "line": item.line,
        "question": item.question,
        "gold": item.answers,
        "answer": answer.text,
        "abstained": answer.abstained,
        "confidence": answer.confidence,
        "exact_match": exact_match(answer.text, item.answers),
        "f1": f1(answer.text, item.answers),
        "evidence_in_gold": float(lead is not None and gold[0] <= lead.start and lead.end <= gold[1]),
        "status": lead.status if lead else None,
        "seconds": answer.usage.seconds,
        "at": time.monotonic() - BEGAN,
    }


def figures(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures over all questions."""
    later = sorted(row["seconds"] for row in rows[1:])
    return {
        "questions": len(rows),
        **{
            name: percent([row[name] for row in rows])
            for name in ("exact_match", "f1", "evidence_in_gold", "abstained")
        },
        "answered_verified": round(mean(row["status"] == "verified" for row in rows if not row["abstained"]), 3),
        "first_answer_seconds": round(rows[0]["at"], 1),
        "later_seconds": {"median": round(median(later), 3), "p95": round(later[int(0.95 * len(later))], 3)},
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()

"""The shipped questions over the shipped book, with the default settings. Needs no other data.

    python benchmarks/example_book.py

Prints one JSON object: F1 and exact match of the answerable questions, the share whose leading quote meets the marked
passage, the share of the unanswerable ones that abstain, and the seconds of a later question.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import click
from common import exact_match, f1, percent, publish

import ctxproc

EXAMPLES = Path(__file__).parents[1] / "examples"


def row(library: ctxproc.Library, question: dict[str, Any]) -> dict[str, Any]:
    """One question's outcome."""
    answer, gold = library.ask(question["question"]), question["answers"]
    lead = answer.evidence[0] if answer.evidence else None
    meets = [span["start"] < lead.end and lead.start < span["end"] for span in question["spans"]] if lead else []
    return {
        "question": question["question"],
        "answer": answer.text,
        "confidence": answer.confidence,
        "abstained": float(answer.abstained),
        "seconds": answer.usage.seconds,
        **({"f1": f1(answer.text, gold), "exact_match": exact_match(answer.text, gold)} if gold else {}),
        **({"evidence": float(any(meets))} if gold else {}),
    }


@click.command()
@click.option("--set", "sets", multiple=True, metavar="KEY=VALUE")
@click.option("--out", type=click.Path(path_type=Path), help="also write every answer, one JSON object a line")
def main(sets: tuple[str, ...], out: Path | None) -> None:
    """Ask the questions and print the figures."""
    settings, _ = ctxproc.resolve(sets=[*sets, "cache.runs=0"])
    library = ctxproc.Library([EXAMPLES / "lighthouse.md"], settings)
    lines = (EXAMPLES / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row(library, json.loads(line)) for line in lines]
    if out:
        out.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    answerable, absent = [r for r in rows if "f1" in r], [r for r in rows if "f1" not in r]
    figures = {name: percent([r[name] for r in answerable]) for name in ("f1", "exact_match", "evidence", "abstained")}
    result = {
        "answerable": len(answerable),
        **figures,
        "unanswerable": len(absent),
        "unanswerable_abstained": sum(r["abstained"] for r in absent) / len(absent),
        "later_seconds": round(median(r["seconds"] for r in rows[1:]), 3),
    }
    publish("example_book", result, n=len(answerable))


if __name__ == "__main__":
    main()

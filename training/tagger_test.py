r"""The figures of the shipped tagger on the test halves, from texts as they are written.

    python -m training.tagger_test --data ../shared/data [--write]

Mentions: exact spans, and spans that overlap; with kinds and without; Re-DocRED also in lower case, without any capital. By
document (LitBank: by book), with 95 % intervals by a bootstrap over these. Relations: right where both mentions are
annotated, by their exact spans, and the pair of things has the relation; recall is of all annotated relations of the
`PHRASES`, also those whose mentions were not found.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ctxproc.llm.hardware import choose_device, choose_dtype
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.tagger import Tagged, Tagger
from ctxproc.llm.tagger_model import KINDS
from training.tagger_chat import lower
from training.tagger_data import Record, litbank, redocred
from training.tagger_export import related_rows
from training.tagger_measure import Counts, f1, interval
from training.tagger_relations import PHRASES

__all__ = ["main", "mention_figures"]

Read = tuple[Record, Tagged]
Span = tuple[int, int, int]


def mention_figures(documents: Sequence[Sequence[Read]]) -> dict[str, Any]:
    """Of documents, each of one or more texts, by each way of comparing."""
    ways = {
        "exact, typed": (True, True),
        "exact": (True, False),
        "overlap, typed": (False, True),
        "overlap": (False, False),
    }
    return {
        name: pooled([_sum([_compare(read, *way) for read in document]) for document in documents])
        for name, way in ways.items()
    }


def pooled(rows: Sequence[Counts]) -> dict[str, float]:
    """F1 in percent with its interval, precision and recall."""
    low, high = interval(rows)
    right, found, gold = _sum(rows)
    return {
        "mean": round(f1(rows), 1),
        "low": round(low, 1),
        "high": round(high, 1),
        "precision": round(100 * right / max(1, found), 1),
        "recall": round(100 * right / max(1, gold), 1),
    }


def _sum(rows: Sequence[Counts]) -> Counts:
    right, found, gold = (sum(part) for part in zip(*rows, strict=True))
    return right, found, gold


def _compare(read: Read, exact: bool, typed: bool) -> Counts:
    record, tagged = read
    known = set(record.known)
    mine = {(one.start, one.end, KINDS.index(one.kind)) for one in tagged.mentions if KINDS.index(one.kind) in known}
    gold = {one for one in record.mentions if one[2] in known}
    if not typed:
        mine, gold = {(a, b, 0) for a, b, _ in mine}, {(a, b, 0) for a, b, _ in gold}
    if exact:
        return len(mine & gold), len(mine), len(gold)
    return paired(mine, gold), len(mine), len(gold)


def paired(mine: set[Span], gold: set[Span]) -> int:
    """How many spans can be paired with one that overlaps and has the same number, each once, from the left."""
    left, count = sorted(gold), 0
    for a, b, kind in sorted(mine):
        found = next((one for one in left if one[0] < b and a < one[1] and one[2] == kind), None)
        if found is not None:
            left.remove(found)
            count += 1
    return count


def relation_figures(reads: Sequence[Read]) -> dict[str, Any]:
    """Of all relations together, and of each that is annotated ten times or found five times."""
    by: dict[str, list[Counts]] = {name: [] for name in PHRASES.values()}
    rows: list[Counts] = []
    phrases = list(PHRASES.values())
    for record, tagged in reads:
        found = [(name, right) for name, _, right in related_rows(record, tagged)]
        gold = Counter(phrases[r] for _, _, r in set(record.relations))
        rows.append((sum(right for _, right in found), len(found), sum(gold.values())))
        for name, some in by.items():
            mine = [right for one, right in found if one == name]
            some.append((sum(mine), len(mine), gold[name]))
    kept = {name: some for name, some in by.items() if _sum(some)[2] >= 10 or _sum(some)[1] >= 5}
    each = {name: {**pooled(some), "found": _sum(some)[1], "annotated": _sum(some)[2]} for name, some in kept.items()}
    return {"all": pooled(rows), "by relation": each}


@click.command()
@click.option("--data", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--weights", type=click.Path(path_type=Path), default=WEIGHTS)
@click.option("--write", is_flag=True, help="Put the headlines into tagger.json.")
@click.option("--out", type=click.Path(path_type=Path), help="Write all figures here.")
def main(data: Path, weights: Path, write: bool, out: Path | None) -> None:
    """Measure and print."""
    device = choose_device()
    tagger = Tagger.load(device=device, dtype=choose_dtype("auto", device), weights=weights)
    sets = {"redocred": [[one] for one in redocred(data, "test")], "litbank": litbank(data, "test")}
    result: dict[str, Any] = {}
    size, began = 0, time.process_time()
    for name, documents in sets.items():
        for form in ("", ", lower case") if name == "redocred" else ("",):
            texts = [[replace(one, text=lower(one.text)) if form else one for one in some] for some in documents]
            reads = [list(zip(some, tagger.tag([one.text for one in some]), strict=True)) for some in texts]
            size += sum(len(one.text) for some in texts for one in some)
            result[name + form] = mention_figures(reads)
            if name == "redocred":
                result[f"relations{form}"] = relation_figures([one for some in reads for one in some])
    result["characters a second of processor time"] = round(size / (time.process_time() - began))
    text = json.dumps(result, indent=1)
    click.echo(text)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    if write:
        path = weights / "tagger.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["test"] = headlines(result)
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def headlines(result: dict[str, Any]) -> dict[str, Any]:
    """What the model's facts keep."""

    def short(figures: dict[str, float]) -> dict[str, float]:
        return {key: figures[key] for key in ("mean", "low", "high")}

    return {
        "mention_f1": short(result["redocred"]["exact"]),
        "mention_f1_typed": short(result["redocred"]["exact, typed"]),
        "mention_f1_fiction": short(result["litbank"]["exact"]),
        "mention_f1_fiction_typed": short(result["litbank"]["exact, typed"]),
        "mention_f1_lower_case": short(result["redocred, lower case"]["exact"]),
        "relation_f1": short(result["relations"]["all"]),
        "relation_precision": result["relations"]["all"]["precision"],
        "characters_per_second": result["characters a second of processor time"],
    }


if __name__ == "__main__":
    main()

"""A comparison in files for other programs: one row a way in CSV, and everything in JSON."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.compare_scores import COST, QUALITY, Estimate, Scored
from ctxproc.compare_ways import named, own_version
from ctxproc.errors import UsageError

if TYPE_CHECKING:
    from ctxproc.compare_ledger import Row
    from ctxproc.compare_results import Comparison

CSV, KINDS, JSON, PAGE = "compare.csv", "compare_kinds.csv", "compare.json", "compare.html"

ENDS = ("", "_low", "_high", "_n")
"""Of the columns of a measure: its mean, the ends of its interval, of how many questions."""


def write_all(comparison: Comparison, scores: Sequence[Scored], out: Path) -> list[Path]:
    """Write the tables as CSV, everything as JSON, and the page; give their paths. A file is there whole or as it was.

    The table by kind is written only where the questions are of several kinds.

    Raises:
        UsageError: the folder cannot be written.
    """
    from ctxproc.report_page import page

    texts = {
        CSV: csv_text(scores),
        **({KINDS: kinds_text(scores)} if scores[0].kinds else {}),
        JSON: json.dumps(everything(comparison, scores), ensure_ascii=False, indent=1) + "\n",
        PAGE: page(comparison, scores),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        if KINDS not in texts:
            (out / KINDS).unlink(missing_ok=True)  # of questions as they were before
        for name, text in texts.items():
            part = out / f"{name}.part"
            part.write_text(text, encoding="utf-8", errors="backslashreplace", newline="")
            os.replace(part, out / name)
    except OSError as error:
        raise UsageError(f"cannot write into {out}: {error.strerror}; name another folder") from error
    return [out / name for name in texts]


def about(way: Scored) -> dict[str, Any]:
    """What names a way, and how far it came."""
    ran = way.ran
    return {
        "strategy": named(ran.way.strategy),
        "criteria": ran.way.criteria,
        "model": ran.way.model,
        "answers": len(ran.rows),
        "asked": len(ran.places),
        "failed": len(ran.errors),
        "stopped": sum(bool(row.answer["stopped"]) for row in ran.rows.values()),
        "not_run": ran.reason,
    }


def csv_text(scores: Sequence[Scored]) -> str:
    """The table: shares from 0 to 1, tokens, seconds, bytes; an empty cell where nothing is known."""
    columns = [f"{name}{end}" for name in (*QUALITY, "calibration") for end in ENDS]
    columns += [f"{name}_difference{end}" for name in QUALITY for end in ENDS]
    rows = []
    for way in scores:
        row = _told(about(way))
        calibration = {"calibration": way.calibration} if way.calibration else {}
        for name, one in {**way.quality, **calibration}.items():
            row |= _cells(name, one)
        for name, one in way.differences.items():
            row |= _cells(f"{name}_difference", one)
        rows.append(row | dict(way.cost))
    return _written([*about(scores[0]), *columns, *COST], rows)


def kinds_text(scores: Sequence[Scored]) -> str:
    """A row for each way and kind of question, measures as in `csv_text`."""
    names = ("strategy", "criteria", "model")
    rows = []
    for way in scores:
        for kind, measures in way.kinds.items():
            row = _told({name: about(way)[name] for name in names} | {"kind": kind})
            for name, one in measures.items():
                row |= _cells(name, one)
            rows.append(row)
    return _written([*names, "kind", *(f"{name}{end}" for name in QUALITY for end in ENDS)], rows)


def _written(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: inert(value) if isinstance(value, str) else value for name, value in values.items()}


def _cells(name: str, one: Estimate) -> dict[str, float | None]:
    return {name: one.mean, f"{name}_low": one.low, f"{name}_high": one.high, f"{name}_n": one.n}


def inert(text: str) -> str:
    """A text that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def everything(comparison: Comparison, scores: Sequence[Scored]) -> dict[str, Any]:
    """The comparison as one object: what it was run on, each way's measures, each question's answers."""
    return {
        "version": own_version(),
        "machine": machine(),
        "settings": comparison.settings.model_dump(),
        "sources": [[document.source, document.sha256] for document in comparison.documents],
        "measures": QUALITY,
        "ways": [
            {
                **about(way),
                "quality": {name: asdict(one) for name, one in way.quality.items()},
                "difference": {name: asdict(one) for name, one in way.differences.items()},
                "calibration": asdict(way.calibration) if way.calibration else None,
                "cost": dict(way.cost),
                "kinds": {
                    kind: {name: asdict(one) for name, one in measures.items()} for kind, measures in way.kinds.items()
                },
            }
            for way in scores
        ],
        "questions": [_question(comparison, scores, place) for place in range(len(comparison.questions))],
    }


def _question(comparison: Comparison, scores: Sequence[Scored], place: int) -> dict[str, Any]:
    """A question with each way's answer; None where it has none."""
    question = comparison.questions[place]
    return {
        "id": question.id,
        "question": question.text,
        "kind": question.kind,
        "answers": question.answers,
        "evidence": [[asdict(one) for one in places] for places in comparison.gold[place]],
        "ways": [_answer(way, place) for way in scores],
    }


def _answer(way: Scored, place: int) -> dict[str, Any] | None:
    if place in way.ran.errors:
        return {"error": way.ran.errors[place]}
    row: Row | None = way.ran.rows.get(place)
    if row is None:
        return None
    values = {name: own[place] for name, own in way.values.items() if place in own}
    return {**row.answer, "measured": row.measured, "measures": values}


def machine() -> Mapping[str, Any]:
    """Where it ran."""
    return {"system": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()}

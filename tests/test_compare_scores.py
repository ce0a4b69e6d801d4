"""The measures of a comparison, against what can be worked out by hand or by a slow loop; the tables that hold them."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comparing import BOOK, KEEPER, QUESTIONS, STAIRS, comparing, written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import Document
from ctxproc.compare_ledger import Row
from ctxproc.compare_questions import Place, Question
from ctxproc.compare_scores import QUALITY, Estimate, answer_values, estimate, overlap, scored, stands
from ctxproc.compare_tables import csv_text, everything, inert, kinds_text, write_all

DOCUMENT = Document.from_text(BOOK, "book.txt")
TEXTS = {"book.txt": DOCUMENT}
GOLD = (Place("book.txt", BOOK.index(KEEPER), BOOK.index(KEEPER) + len(KEEPER)),)
OTHER = (Place("book.txt", BOOK.index(STAIRS), BOOK.index(STAIRS) + len(STAIRS)),)


def cited(start: int, end: int, status: str = "verified", **changes: object) -> dict[str, Any]:
    """Evidence as an answer has it."""
    about = {"source": "book.txt", "sha256": DOCUMENT.sha256, "quote": BOOK[start:end]}
    return {"start": start, "end": end, "status": status, "score": 1.0, "page": None, **about, **changes}


def row(text: str, *evidence: dict[str, Any], confidence: float | None = None) -> Row:
    """An answer; an empty text is an abstention."""
    usage = {"calls": 1, "prompt_tokens": 10, "new_tokens": 1}
    answer = {"answer": text, "abstained": not text, "confidence": confidence, "evidence": evidence, "usage": usage}
    return Row("k", answer, {"seconds": 1.0, "first": 0.5, "memory": None, "gpu_memory": None, "reused_tokens": 0.0})


def slow_estimate(values: Sequence[float], seed: int, draws: int) -> tuple[float, float, float]:
    """The same draws, in loops; percentiles by linear interpolation."""
    drawn = np.random.default_rng(seed).integers(len(values), size=(draws, len(values)))
    means = sorted(sum(values[i] for i in places) / len(values) for places in drawn.tolist())

    def percentile(share: float) -> float:
        at = share * (draws - 1)
        low = math.floor(at)
        return means[low] + (at - low) * (means[min(low + 1, draws - 1)] - means[low])

    return sum(values) / len(values), percentile(0.025), percentile(0.975)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from([0.0, 0.25, 1.0]), min_size=2, max_size=8), st.integers(0, 5))
def test_an_estimate_is_the_mean_and_the_percentiles_of_means_drawn_anew(values: list[float], seed: int) -> None:
    found = estimate(values, seed, draws=40)
    expected = slow_estimate(values, seed, 40)
    assert found.low is not None and found.high is not None and found.n == len(values)
    assert all(
        math.isclose(a, b, abs_tol=1e-12) for a, b in zip((found.mean, found.low, found.high), expected, strict=True)
    )


def test_one_value_has_no_interval_and_a_difference_is_apart_where_its_interval_leaves_zero_out() -> None:
    assert estimate([0.5]) == Estimate(0.5, None, None, 1)
    assert [Estimate(m, low, high, 9).apart for m, low, high in ((1, 0.5, 2), (1, 0, 2), (-1, -2, -0.1), (0, -1, 1))] == [
        True, False, True, False,
    ]  # fmt: skip
    assert not Estimate(1.0, None, None, 1).apart


@pytest.mark.parametrize(
    ("start", "end", "met"),
    [(0, 100, True), (50, 150, True), (51, 151, False), (99, 100, True), (100, 200, False), (-400, 600, True)],
)
def test_passages_overlap_by_half_of_the_shorter_one(start: int, end: int, met: bool) -> None:
    item, place = {"source": "a", "start": start + 1000, "end": end + 1000}, Place("a", 1000, 1100)
    assert overlap(item, place) is met
    assert not overlap({**item, "source": "b"}, place)


def test_the_measures_of_an_answer_by_hand() -> None:
    (keeper,), (stairs,) = GOLD, OTHER
    right = cited(keeper.start, keeper.end)
    found = answer_values(
        row("Maren Oduya", right, cited(0, 40)), Question("1", "q", ("Maren Oduya",)), [GOLD, OTHER], TEXTS
    )
    assert found == {
        "exact_match": 1.0, "f1": 1.0, "rouge_l": 1.0, "abstained": 0.0,
        "verified": 1.0, "evidence_precision": 0.5, "evidence_recall": 0.5,
    }  # fmt: skip
    none = answer_values(row(""), Question("1", "q", ("Maren Oduya",)), [GOLD], TEXTS)
    assert none == {"exact_match": 0.0, "f1": 0.0, "rouge_l": 0.0, "abstained": 1.0, "evidence_recall": 0.0}
    assert answer_values(row(""), Question("1", "q", ()), [], TEXTS)["exact_match"] == 1.0
    assert answer_values(row("x"), Question("1", "q"), [], TEXTS) == {"abstained": 0.0}
    anywhere = answer_values(row("x", cited(stairs.start, stairs.end)), Question("1", "q"), [(*GOLD, *OTHER)], TEXTS)
    assert (anywhere["evidence_precision"], anywhere["evidence_recall"]) == (1.0, 1.0)


def test_a_citation_counts_only_if_the_source_says_so_whatever_the_run_claims() -> None:
    assert stands(cited(3, 9), TEXTS) and stands(cited(3, 9, "repaired"), TEXTS)
    for false in (
        cited(3, 9, "unverified"), cited(3, 9, quote="forged"), cited(4, 10, quote=BOOK[3:9]), cited(3, 9, sha256="0"),
        cited(3, 9, source="other.txt"),
    ):  # fmt: skip
        assert not stands(false, TEXTS)
    shares = answer_values(row("x", cited(3, 9), cited(3, 9, quote="forged")), Question("1", "q"), [], TEXTS)
    assert shares["verified"] == 0.5


def test_the_figures_of_a_run_by_hand(tmp_path: Path) -> None:
    first, second = scored(comparing(tmp_path).run())
    assert {name: (one.mean, one.n) for name, one in first.quality.items()} == {
        "exact_match": (2 / 3, 3),  # Maren Oduya, not 198, and nothing where there is nothing
        "f1": (2 / 3, 3),
        "rouge_l": (2 / 3, 3),
        "evidence_precision": (1.0, 2),
        "evidence_recall": (1.0, 2),
        "verified": (1.0, 3),
        "abstained": (0.25, 4),
        "agreement": (0.25, 4),  # the other way says nothing at all
    }
    assert second.quality["abstained"].mean == 1.0 and "verified" not in second.quality
    assert first.differences == {}
    assert math.isclose(second.differences["exact_match"].mean, 1 / 3 - 2 / 3)
    assert second.differences["evidence_recall"].mean == -1.0 and "evidence_precision" not in second.differences
    assert first.calibration is not None and second.calibration is None
    assert first.cost["prompt_tokens"] == sum(r.answer["usage"]["prompt_tokens"] for r in first.ran.rows.values()) / 4
    assert first.cost["reused_share"] == 0.0


def test_differences_are_taken_over_questions_that_both_answered(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    del comparison.ran[0].rows[0]
    _, second = scored(comparison)
    assert second.quality["exact_match"].n == 3 and second.differences["exact_match"].n == 2
    assert second.differences["exact_match"].mean == 0.0


def test_csv_and_json_hold_the_same_figures(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    scores = scored(comparison)
    rows = list(csv.DictReader(io.StringIO(csv_text(scores))))
    told = json.loads(json.dumps(everything(comparison, scores)))
    assert len(rows) == len(told["ways"]) == 2
    for line, way, one in zip(rows, told["ways"], scores, strict=True):
        assert line["strategy"] == way["strategy"] == one.ran.way.strategy
        for name in QUALITY:
            known = way["quality"].get(name)
            assert line[name] == (str(known["mean"]) if known else "")
            assert line[f"{name}_n"] == (str(known["n"]) if known else "")
            paired = way["difference"].get(name)
            assert line[f"{name}_difference"] == (str(paired["mean"]) if paired else "")
        for name, value in way["cost"].items():
            assert line[name] == ("" if value is None else str(value))
    assert [question["question"] for question in told["questions"]] == [q.text for q in comparison.questions]
    assert told["questions"][0]["ways"][0]["answer"] == "Maren Oduya"
    assert told["questions"][0]["ways"][0]["measures"]["exact_match"] == 1.0


KINDS = [{**line, "kind": kind} for line, kind in zip(QUESTIONS, ("who", "number", "number", ""), strict=True)]


def test_figures_are_broken_down_by_the_kinds_of_the_questions_where_there_are_several(tmp_path: Path) -> None:
    comparison = comparing(tmp_path, questions=written(tmp_path / "q.jsonl", KINDS)).run()
    scores = scored(comparison)
    first, second = scores
    assert list(first.kinds) == list(second.kinds) == ["who", "number", ""]
    exact = {kind: measures.get("exact_match") for kind, measures in first.kinds.items()}
    assert exact["who"] == Estimate(1.0, None, None, 1) and exact[""] is None  # that question has no gold answer
    assert exact["number"] == estimate([0.0, 1.0])  # 198 is not 197; nothing was said of tin
    assert {kind: measures["abstained"].mean for kind, measures in second.kinds.items()} == dict.fromkeys(exact, 1.0)
    rows = list(csv.DictReader(io.StringIO(kinds_text(scores))))
    assert [(row["strategy"], row["kind"]) for row in rows] == [
        (way, kind) for way in ("map_rerank", "truncate") for kind in exact
    ]
    assert [(row["exact_match"], row["exact_match_n"]) for row in rows[:3]] == [("1.0", "1"), ("0.5", "2"), ("", "")]
    told = everything(comparison, scores)["ways"][0]["kinds"]
    assert told["number"]["exact_match"] == {"mean": 0.5, "low": 0.0, "high": 1.0, "n": 2}


def test_the_table_by_kind_is_there_only_where_there_are_several(tmp_path: Path) -> None:
    out = tmp_path / "out"
    several = comparing(tmp_path, questions=written(tmp_path / "q.jsonl", KINDS)).run()
    assert [path.name for path in write_all(several, scored(several), out)] == [
        "compare.csv", "compare_kinds.csv", "compare.json", "compare.html",
    ]  # fmt: skip
    one = comparing(tmp_path, questions=written(tmp_path / "q.jsonl", [{**line, "kind": "a"} for line in KINDS])).run()
    scores = scored(one)
    assert [way.kinds for way in scores] == [{}, {}]
    write_all(one, scores, out)
    assert not (out / "compare_kinds.csv").exists()


def test_files_are_whole_or_as_they_were_and_cells_are_no_formulas(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    paths = write_all(comparison, scored(comparison), tmp_path / "out")
    assert [path.name for path in paths] == ["compare.csv", "compare.json", "compare.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(path.name for path in paths)
    assert [inert(text) for text in ("=1+1", "+x", "-x", "@x", "x=1", "")] == ["'=1+1", "'+x", "'-x", "'@x", "x=1", ""]


def test_without_gold_answers_only_agreement_is_told(tmp_path: Path) -> None:
    questions = written(tmp_path / "q.jsonl", [{"question": "Who keeps the lamp?"}, {"question": "Who keeps tin?"}])
    scores = scored(comparing(tmp_path, ("map_rerank", "refine", "truncate"), questions=questions).run())
    for one in scores:
        assert set(one.quality) <= {"abstained", "agreement", "verified"} and one.calibration is None
    agreements = [one.quality["agreement"].mean for one in scores]
    assert agreements == [0.75, 0.75, 0.5]

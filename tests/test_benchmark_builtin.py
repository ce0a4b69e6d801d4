"""The benchmark of the built-in models: its spreads, its samples, its table and its pictures, against values by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import builtin as benchmark
import numpy as np
import pytest
from builtin_curves import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, draw_all, drawn
from builtin_others import between
from builtin_readers import auroc_of, chinese, error_of, written
from builtin_spread import Size, SkippedError, needs, spread
from click.testing import CliRunner
from common import percent
from results import FILE


def test_the_spread_of_a_mean_holds_it_and_is_that_of_drawing_anew() -> None:
    values = np.array([0.0, 1.0] * 50)
    found = spread(lambda places: float(values[places].mean()), len(values))
    assert found["mean"] == 50.0
    assert found["low"] == pytest.approx(50 - 196 * 0.05, abs=2)  # the normal approximation: 0.05 is the standard error
    assert found["high"] == pytest.approx(50 + 196 * 0.05, abs=2)
    assert found == spread(lambda places: float(values[places].mean()), len(values))
    assert spread(lambda places: 3.0, 4, scale=1) == {
        "mean": 3.0,
        "low": 3.0,
        "high": 3.0,
        "n": 4,
    }


def test_a_sample_is_seeded_and_in_order() -> None:
    size = Size(Path("nowhere"), most=5)
    assert size.of("abcdefgh") == sorted(size.of("abcdefgh")) == size.of("abcdefgh")
    assert len(size.of("abcdefgh")) == 5 and len(size.of("abcdefgh", 3)) == 3
    assert size.of("abc") == list("abc")


def test_what_is_not_there_is_skipped_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SkippedError, match="there is no cranfield"):
        Size(tmp_path).folder("cranfield")
    with pytest.raises(SkippedError, match="oracle is not in the package"):
        needs("oracle")
    done = CliRunner().invoke(benchmark.main, ["reader", "--data", str(tmp_path), "--json", str(tmp_path / "out.json")])
    assert done.exit_code == 0, done.output
    assert "there is no lost_in_middle" in done.output
    assert "there is no lost_in_middle" in json.loads((tmp_path / "out.json").read_text())["reader"]["skipped"]


def test_auroc_and_calibration_error_are_those_of_the_drawn_questions() -> None:
    sure, unsure = np.array([0.9, 0.2, 0.6]), np.array([0.1, 0.3, 0.6])
    assert auroc_of(sure, unsure)(np.array([0, 1, 2])) == pytest.approx((3 + 1 + 2.5) / 9)
    assert auroc_of(sure, unsure)(np.array([1])) == 0
    confidence = np.array([[0.85, 0.25], [0.05, 0.15]])  # two passages of two questions
    right = np.array([[1.0, 0.5], [0.0, 0.0]])
    by_hand = (0.15 + 0.25 + 0.05 + 0.15) / 4
    assert error_of(confidence, right)(np.array([0, 1])) == pytest.approx(by_hand)
    assert error_of(confidence, right)(np.array([0])) == pytest.approx((0.15 + 0.05) / 2)


def test_the_chinese_figures_take_both_passages_of_a_question() -> None:
    found = chinese(np.array([1.0, 0.5]), [0.95, 0.95], [0.05, 0.05])
    assert found["CMRC trial, F1"]["mean"] == 75.0
    assert found["CMRC trial, exact match"]["mean"] == 50.0
    assert found["CMRC trial, AUROC, nearest passage"] == {"mean": 100.0, "low": 100.0, "high": 100.0, "n": 2}
    # two bins: 0.95 against 0.75 on half of the passages, 0.05 against 0 on the others
    assert found["CMRC trial, calibration error"]["mean"] == pytest.approx(100 * (0.2 + 0.05) / 2)


def test_the_table_names_inner_figures_and_tells_aims() -> None:
    figures = {
        "calibration error": {"mean": 71.2, "low": 70.0, "high": 72.5},
        "relations": {"born in": 3.0},
        "texts": 7,
        "seconds for all": {"median": 1.5, "least": 1.25, "most": 2.0},
    }
    shown = list(benchmark.lines("tagger", figures))
    assert [" ".join(line.split()) for line in shown] == [
        "tagger calibration error 71.2 (70.0 to 72.5) aim 5",
        "tagger relations, born in 3.0",
        "tagger texts 7",
        "tagger seconds for all 1.5 (1.2 to 2.0) aim 2",
    ]


def test_a_section_hands_its_figures_over_in_the_common_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = {"F1": percent([1.0, 0.0]), "seconds for all": between([2.0, 1.0, 3.0]), "texts": 7}
    monkeypatch.setitem(benchmark.SECTIONS, "tagger", lambda _: made)
    monkeypatch.setenv(FILE, str(tmp_path / "lines.jsonl"))
    done = CliRunner().invoke(benchmark.main, ["tagger", "--data", str(tmp_path)])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(line["figure"], line["value"], line["n"], line["unit"]) for line in lines] == [
        ("tagger.F1", 50.0, 2, "%"),
        ("tagger.seconds for all.median", 2.0, None, "s"),
        ("tagger.seconds for all.least", 1.0, None, "s"),
        ("tagger.seconds for all.most", 3.0, None, "s"),
        ("tagger.texts", 7, None, ""),
    ]
    assert (lines[0]["low"], lines[0]["high"], lines[1]["low"]) == (0.0, 100.0, None)
    assert lines[0]["benchmark"] == "builtin" and lines[0]["seed"] == 0


def test_questions_of_our_own_have_passages_that_hold_their_answers() -> None:
    path = Path(benchmark.__file__).parent / "own_questions.json"
    if not path.exists():
        pytest.skip("there are no questions of our own")
    items = written(path)
    assert len(items) >= 40
    assert all(any(answer in item.passage for answer in item.answers) for item in items)


def test_a_curve_is_drawn_from_its_least_to_its_greatest_value(tmp_path: Path) -> None:
    rows = [
        {"step": 10, "seen": 80, "loss": 4.0},
        {"step": 20, "seen": 160, "loss": 2.0, "score": 0.25},
        {"step": 40, "seen": 320, "loss": 1.0, "score": 0.75},
    ]
    svg = drawn(rows, "a < b")
    lines = [
        [tuple(map(float, point.split(","))) for point in found.split()] for found in re.findall('points="(.*?)"', svg)
    ]
    left, right, bottom, top = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM, TOP
    wide, high = right - left, bottom - top
    assert lines[0] == [
        (left + wide / 4, top),
        (left + wide / 2, pytest.approx(bottom - high / 3, abs=0.1)),
        (right, bottom),
    ]
    assert lines[1] == [(left + wide / 2, bottom), (right, top)]
    assert "a &lt; b" in svg and "40 steps, 320 rows" in svg
    (tmp_path / "curve_x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [path.name for path in draw_all(tmp_path)] == ["curve_x.svg"]
    assert (tmp_path / "curve_x.svg").read_text() == drawn(rows, "x")

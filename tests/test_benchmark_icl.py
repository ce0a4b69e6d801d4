"""What icl.py makes of sets and records, against values worked out by hand."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
from helpers import DATA
from icl import Form, findings
from icl_sets import Shot, balanced, banking, trec, windows_of

CLASSES = {"few": 2, "many": 9}


def shots(classes: int, each: int) -> list[Shot]:
    return [(f"text {k} {i}", f"label {k}") for k in range(classes) for i in range(each)]


def test_every_round_of_shots_has_each_class_once_and_no_shot_twice() -> None:
    drawn = list(islice(balanced(shots(5, 4), random.Random(0)), 20))
    for start in range(0, 20, 5):
        assert sorted(label for _, label in drawn[start : start + 5]) == [f"label {k}" for k in range(5)]
    assert len(set(drawn)) == 20
    assert [label for _, label in drawn[:5]] != [label for _, label in drawn[5:10]]


def test_windows_are_filled_in_turn_and_shots_too_long_are_left_out() -> None:
    row = [("a" * n, "x") for n in (3, 4, 9, 2, 5, 1, 1, 1, 8, 1)]
    assert [
        [len(text) for text, _ in window] for window in windows_of(iter(row), 3, 8, 3, lambda shot: len(shot[0]))
    ] == [
        [3, 4],
        [2, 5, 1],
        [1, 1],
    ]


def test_a_prompt_is_the_shots_and_then_the_item_as_one_more() -> None:
    form = Form("shots", ("x", "why"))
    windows = [[("a", "x"), ("b", "why")], [("c", "x")]]
    assert str(form.prompt(windows[:1], "q")) == "Input: a\nLabel: x\n\nInput: b\nLabel: why\n\nInput: q\nLabel:"
    assert form.prompt(windows, "q").contexts == ("Input: a\nLabel: x\n\nInput: b\nLabel: why", "Input: c\nLabel: x")
    assert str(form.prompt([], "q")) == "Input: q\nLabel:"
    assert (form.replies, form.longest) == ((" x", " why"), 5)
    task = Form("task", ("x", "why"))
    assert "- x\n- why\n" in str(task.prompt(windows, "q")) and task.replies == ("x", "why")


def record(*bits: str) -> dict[str, object]:
    return {"right": list(bits)}


def test_findings_follow_the_figures() -> None:
    few, poor, rich = "1" * 20, "0" * 40, "1" * 40
    records = {("few", "one", 1): record(few), ("many", "one", 1): record(poor)}
    for count in (2, 8):
        records |= {("few", method, count): record(few) for method in ("pcw", "nbce", "ensemble")}
        records |= {("many", method, count): record(rich) for method in ("pcw", "ensemble")}
        records[("many", "nbce", count)] = record(poor)
    said = list(findings(records, CLASSES))
    assert said[0] == "pcw, 8 windows over one: few +0.0 (+0.0 to +0.0), many +100.0 (+100.0 to +100.0)"
    assert said[1] == "  gains grow with the number of classes: holds; many over few by +100.0 (+100.0 to +100.0)"
    assert said[5] == "  gains grow with the number of classes: undecided; many over few by +0.0 (+0.0 to +0.0)"
    assert said[6] == (
        "the ensemble is about as good as pcw: holds; by +0.0 (+0.0 to +0.0), ahead in 0 and behind in 0 of 4 cells"
    )
    assert said[7].startswith("nbce is often better than pcw: does not hold; by -66.7 (")
    assert said[7].endswith("ahead in 0 and behind in 2 of 4 cells")


def test_sets_at_chance_say_nothing() -> None:
    records = {("few", "one", 1): record("10" * 20)}
    records |= {("few", method, 2): record("01" * 20) for method in ("pcw", "nbce", "ensemble")}
    wanted = "few: no method is above chance (50.0 %), so it says nothing of the methods"
    assert list(findings(records, {"few": 2})) == [wanted]
    assert len(list(findings(records, {"few": 5}))) == 5


@pytest.mark.skipif(not (DATA / "eval" / "icl").is_dir(), reason="the data sets are not at hand")
def test_the_sets_are_read_whole() -> None:
    folder = DATA / "eval" / "icl"
    found = trec(folder / "trec_qc" / "test.txt")
    assert found[0] == ("How far is it from Denver to Aspen ?", "number")
    assert Counter(label for _, label in found)["abbreviation"] == 9 and len(found) == 500
    assert banking(folder / "banking77" / "test.csv")[0] == ("How do I locate my card?", "card arrival")
    assert len(banking(Path(folder / "banking77" / "train.csv"))) == 10003

"""`benchmarks/resume.py` in short: a run that is stopped half-way does a batch again at most and ends as any other."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from resume import differences, measure

BATCH = 256


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs POSIX signals")
def test_a_run_stopped_half_way_embeds_one_batch_again_at_most_and_gives_the_same(tmp_path: Path) -> None:
    found = measure(tmp_path, 1200, "drawn", seed=3)
    assert found["documents"] == 60 and found["chunks"] >= 1200
    assert list(found["stopped"]) == ["load, kill", "load, ctrl-c", "embed, kill", "embed, ctrl-c"]
    for name, one in found["stopped"].items():
        phase = name.split(",")[0]
        assert one["before"][phase] >= found["documents" if phase == "load" else "chunks"] // 2 and one["after"]
        assert 0 <= one["embedded twice"] <= BATCH and 0 <= one["read twice"] <= one["before"]["load"]
        same = {
            key: one[key] for key in one if key.startswith(("passages", "without", "largest", "searches", "damage"))
        }
        assert len(same) == 5 and not any(same.values()), (name, same)
        if phase == "embed":
            assert one["read twice"] == 0 and one["after"]["embed"] < found["chunks"]


def test_every_difference_is_seen() -> None:
    vector = np.array([1.0, 0.0], dtype=np.float32)
    whole = {
        "passages": {("a", 0, 1): ("x", vector), ("a", 1, 2): ("y", vector)},
        "found": {"q": [("x", 1.0)]},
        "wrong": [],
    }
    same = dict.fromkeys(differences(whole, whole), 0)
    assert differences(whole, whole) == same
    for change, name, value in (
        ({"passages": {("a", 0, 1): ("x", vector)}}, "passages that differ", 1),
        ({"passages": whole["passages"] | {("a", 1, 2): ("z", vector)}}, "passages that differ", 1),
        ({"passages": whole["passages"] | {("a", 1, 2): ("y", None)}}, "without a vector", 1),
        ({"passages": whole["passages"] | {("a", 1, 2): ("y", vector * 0.5)}}, "largest difference of a vector", 0.5),
        ({"found": {"q": [("x", 0.5)]}}, "searches that differ", 1),
        ({"found": {}}, "searches that differ", 1),
        ({"wrong": ["a row has vanished"]}, "damage", 1),
    ):
        assert differences(whole, whole | change) == same | {name: value}  # type: ignore[operator]

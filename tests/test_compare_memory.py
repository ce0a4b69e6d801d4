"""The most memory of a piece of work, against what it surely takes."""

from __future__ import annotations

import sys

import pytest

from ctxproc import compare_memory
from ctxproc.compare_memory import CLEAR, Peak


@pytest.mark.skipif(not CLEAR.exists(), reason="this system cannot begin a measurement anew")
def test_what_was_taken_and_given_back_counts_until_the_next_measurement() -> None:
    size = 64 << 20
    before = Peak().memory
    measured = Peak()
    taken = bytearray(b"x") * size
    del taken
    during = measured.memory
    after = Peak().memory
    assert before is not None and during is not None and after is not None
    assert size * 0.9 < during - before < size * 1.5
    assert size * 0.9 < during - after


def test_nothing_is_told_where_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_memory, "CLEAR", compare_memory.Path("/nonesuch/clear_refs"))
    assert Peak().memory is None
    monkeypatch.setitem(sys.modules, "torch", None)
    assert Peak().gpu_memory is None

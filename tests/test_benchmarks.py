"""The measures of the benchmarks, against values worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from common import Item, exact_match, f1, half, interval, normalise
from open_book import book


def test_answers_are_compared_as_squad_does() -> None:
    assert normalise("The  Lamp, of a Tower!") == "lamp of tower"
    assert exact_match("the lamp.", ["A tower", "Lamp"]) == 1
    assert exact_match("lamps", ["lamp"]) == 0
    assert f1("the red lamp", ["lamp"]) == pytest.approx(2 / 3)
    assert f1("May 18, 2018", ["18 May", "May 2018"]) == pytest.approx(0.8)
    assert f1("", ["lamp"]) == 0


def test_the_interval_holds_the_mean_and_is_seeded() -> None:
    low, high = interval([0.0, 1.0] * 100)
    assert low < 0.5 < high
    assert (low, high) == interval([0.0, 1.0] * 100)


def test_the_halves_are_counted_from_one() -> None:
    items = [Item(str(i), ("x",), "y", i) for i in range(1, 6)]
    assert [item.line for item in half(items, "odd")] == [1, 3, 5]
    assert [item.line for item in half(items, "even")] == [2, 4]


def test_the_book_holds_each_passage_where_it_says(tmp_path: Path) -> None:
    items = [Item("q", ("a",), f"Passage é {i}.", i) for i in range(1, 30)]
    path, spans = book(items, 0, tmp_path)
    text = path.read_bytes().decode()
    assert [text[slice(*spans[item.line])] for item in items] == [item.passage for item in items]
    assert text != "\n\n".join(item.passage for item in items)

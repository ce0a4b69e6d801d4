"""Forgetting: the curve, its lots, and what a rule erases."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from chats import START, at, bank_of
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.errors import UsageError
from ctxproc.memory.bank_fading import Rule, days_faded, faded, kept, lot
from ctxproc.memory.base import Kind, Note, Passage
from ctxproc.memory.criteria.forgetting import retention

DAYS = st.floats(0, 200)
STRENGTHS = st.integers(1, 50)


def said(number: int = 1, recalls: int = 0, kind: Kind = "turn", recalled: float | None = None) -> Passage:
    """Something said at the start."""
    return Passage(number, Note("I like tea.", kind, START), recalls, None if recalled is None else at(recalled))


@given(DAYS, STRENGTHS)
def test_retention_is_one_at_once_falls_with_time_and_grows_with_strength(t: float, s: int) -> None:
    assert retention(0, s) == 1
    assert retention(t + 0.5, s) < retention(t, s)
    assert retention(t + 0.5, s) < retention(t + 0.5, s + 1)
    assert retention(t, s) == pytest.approx(math.e ** -(t / s))


@pytest.mark.parametrize(("s", "r"), [(1, 0.007), (2, 0.082), (5, 0.368)])
def test_five_days_leave_what_the_paper_says_and_not_its_code(s: int, r: float) -> None:
    assert retention(5, s) == pytest.approx(r, abs=5e-4)


@pytest.mark.parametrize(("days", "recalls"), [(0.5, 0), (1, 0), (2, 3), (10, 4)])
def test_of_ten_thousand_seeds_as_many_keep_a_turn_as_its_retention_says(days: float, recalls: int) -> None:
    turn, draws = said(recalls=recalls), 10_000
    r = math.exp(-days / (1 + recalls))
    survivors = sum(not faded(turn, at(days), seed) for seed in range(draws))
    assert abs(survivors - draws * r) < 3 * math.sqrt(draws * r * (1 - r))


def test_of_ten_thousand_turns_of_one_seed_as_many_survive_and_no_two_seeds_choose_alike() -> None:
    kept_by = [{i for i in range(1, 10_001) if not faded(said(i), at(1), seed)} for seed in (0, 1)]
    for survivors in kept_by:
        assert abs(len(survivors) - 10_000 * math.exp(-1)) < 3 * math.sqrt(10_000 * math.exp(-1) * (1 - math.exp(-1)))
    both = len(kept_by[0] & kept_by[1])
    assert abs(both - 10_000 * math.exp(-2)) < 3 * math.sqrt(10_000 * math.exp(-2))


@given(st.integers(0, 1 << 62), st.integers(1, 1 << 62))
def test_a_lot_is_above_zero_and_at_most_one(seed: int, number: int) -> None:
    assert 0 < lot(seed, number) <= 1 and lot(seed, number) == lot(seed, number)


@given(st.integers(1, 1000), st.integers(0, 20), st.floats(0, 300))
def test_what_has_faded_stays_so_until_it_is_recalled_and_a_recall_brings_it_back(
    n: int, recalls: int, t: float
) -> None:
    turn = said(n, recalls)
    assert not faded(turn, START)
    if faded(turn, at(t)):
        assert faded(turn, at(t + 1)) and days_faded(turn, at(t + 1)) == pytest.approx(days_faded(turn, at(t)) + 1)
    again = replace(turn, recalls=recalls + 1, recalled=at(t))
    assert kept(again, at(t)) == 1 and not faded(again, at(t))
    assert not faded(again, at(t + 1)) or faded(replace(again, recalls=recalls), at(t + 1))


def test_a_recalled_turn_outlives_an_equal_one_that_was_not() -> None:
    fade = {}
    for recalls, recalled in ((0, None), (1, 0.0), (1, 2.0)):
        lives = [
            next(d for d in range(200) if faded(said(i, recalls, recalled=recalled), at(d))) for i in range(1, 400)
        ]
        fade[recalls, recalled] = lives
    assert all(a <= b <= c for a, b, c in zip(*fade.values(), strict=True))
    assert sum(fade[0, None]) < sum(fade[1, 0.0]) < sum(fade[1, 2.0])


@pytest.mark.parametrize("kind", ["note", "fact", "summary", "portrait"])
def test_only_turns_fade(kind: Kind) -> None:
    assert faded(said(), at(900)) and not faded(said(kind=kind), at(900))
    assert days_faded(said(kind=kind), at(900)) == 0 and not Rule(older_than=1).takes(said(kind=kind), at(900))


def test_days_faded_counts_from_the_moment_of_fading() -> None:
    turn = said(7)
    moment = -math.log(lot(3, 7))
    assert days_faded(turn, at(moment + 2.5), 3) == pytest.approx(2.5)
    assert days_faded(turn, at(moment - 0.001), 3) == 0 and not faded(turn, at(moment - 0.001), 3)


def test_a_rule_takes_what_all_of_it_is_true_of() -> None:
    for n in range(1, 200):
        turn, now = said(n), at(2)
        gone = faded(turn, now)
        assert Rule(faded_for=0).takes(turn, now) == gone
        assert Rule(faded_for=1).takes(turn, now) == (gone and days_faded(turn, now) >= 1)
        assert Rule(older_than=1.9).takes(turn, now) and not Rule(older_than=2).takes(turn, now)
        assert Rule(older_than=1.9, faded_for=1).takes(turn, now) == Rule(faded_for=1).takes(turn, now)


@pytest.mark.parametrize(
    "values", [{}, {"older_than": -1.0}, {"faded_for": math.nan}, {"older_than": 3.0, "faded_for": -2.0}]
)
def test_a_rule_that_says_nothing_or_less_than_nothing_is_refused(values: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="days"):
        Rule(**values)


def test_a_rule_erases_turns_with_a_receipt_and_nothing_is_written_while_they_fade(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    old, new = bank.turn("I live in Lyon.", time=at(0)), bank.turn("I live in Oslo.", time=at(30))
    bank.memory.remember("A note of mine.", time=at(0))
    before = bank.memory.store.state(bank.memory.owner, "memory")
    passages = bank.memory.store.passages(bank.memory.owner, "memory")
    assert [bank.faded(one, at(30)) for one in passages] == [True, False, False]
    assert [item.id for item in bank.erase(Rule(older_than=10), at(30), dry_run=True).notes] == [old]
    assert bank.memory.store.state(bank.memory.owner, "memory") == before
    assert bank.erase(Rule(older_than=40), at(30)).notes == ()
    receipt = bank.erase(Rule(older_than=10, faded_for=1), at(30))
    assert [item.id for item in receipt.notes] == [old] and receipt.clean
    assert [item.text for item in bank.memory.items()] == ["I live in Oslo.", "A note of mine."]
    assert bank.memory.items()[0].id == new


def test_the_summary_of_a_day_goes_with_its_last_turn(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    for day, text in ((0, "I live in Lyon."), (0.1, "It rained all day."), (40, "I like tea.")):
        bank.turn(text, time=at(day))
    bank.consolidate(at(42))
    assert sorted(str(i.metadata["day"]) for i in bank.memory.items() if "day" in i.metadata) == [
        "2026-05-01",
        "2026-06-10",
    ]
    bank.erase(Rule(older_than=20), at(42))
    bank.consolidate(at(42))
    assert [str(i.metadata["day"]) for i in bank.memory.items() if "day" in i.metadata] == ["2026-06-10"]


def test_a_recall_through_the_memory_brings_a_faded_turn_back(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    number = bank.turn("I live in Lyon.", time=at(0) - timedelta(days=365 * 5))
    [turn] = bank.memory.store.passages(bank.memory.owner, "memory", [number])
    late = max(at(0), turn.note.time + timedelta(days=100))
    assert bank.faded(turn, late)
    bank.memory.store.recall(bank.memory.owner, [number], late)
    [turn] = bank.memory.store.passages(bank.memory.owner, "memory", [number])
    assert not bank.faded(turn, late) and not bank.faded(turn, late + timedelta(minutes=1)) and turn.recalls == 1

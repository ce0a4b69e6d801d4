"""What is known in the end is what all turns say, in whatever order they were told, learned and forgotten."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pytest
from chats import at, bank_of

from ctxproc.memory.audit import audit, fix
from ctxproc.memory.bank import Bank, Consolidated
from ctxproc.memory.facts import Facts

SAID = ("I live in {}.", "I no longer live in {}.", "Mia lives in {}.", "I like {}.", "I live in {}. I live in {}.")
PLACES = ("Lyon", "Paris", "Oslo", "Rome")
DAYS = range(-4, 40)


def held(bank: Bank, time: datetime) -> list[tuple[str, str, str]]:
    facts = Facts.of(bank.memory.store.passages(bank.memory.owner, "memory"))
    return sorted((fact.subject, fact.relation, fact.object) for fact in facts.read(as_of=time))


def told(path: Path, said: Sequence[tuple[str, datetime]]) -> Bank:
    """A bank that was told all of it and then consolidated."""
    bank = bank_of(path)
    for text, time in said:
        bank.turn(text, time=time)
    bank.consolidate(at(99))
    return bank


def homes(bank: Bank, *days: int) -> list[str]:
    return [place for day in days for _, relation, place in held(bank, at(day, 1)) if relation == "lives in"]


def test_what_was_restated_holds_on_after_a_change_that_is_told_late(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    for day in (1, 8):
        bank.learn(bank.turn("I live in Lyon.", time=at(day)))
    bank.learn(bank.turn("I live in Rome.", time=at(5)))
    assert bank.consolidate(at(99)).learned == 1 and homes(bank, 1, 5, 8) == ["Lyon", "Rome", "Lyon"]
    assert bank.consolidate(at(99)) == Consolidated()


def test_a_turn_that_is_learned_before_an_earlier_one_loses_nothing(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    turns = [bank.turn(f"I live in {place}.", time=at(day)) for day, place in ((1, "Lyon"), (5, "Rome"), (8, "Lyon"))]
    bank.learn(turns[0])
    bank.learn(turns[2])
    bank.consolidate(at(99))
    assert homes(bank, 1, 5, 8) == ["Lyon", "Rome", "Lyon"]


def test_a_turn_that_says_two_things_ends_with_the_last_of_them(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    bank.learn(bank.turn("I live in Rome.", time=at(1)))
    bank.learn(bank.turn("I live in Paris. I live in Rome.", time=at(2)))
    assert homes(bank, 2) == ["Rome"]


def test_what_is_read_again_stands_where_it_was_said(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    first = bank.turn("I live in Rome.", time=at(1))
    bank.turn("I live in Rome. I live in Paris.", time=at(2))
    bank.consolidate(at(3))
    bank.memory.forget(first)
    bank.consolidate(at(4))
    assert homes(bank, 1, 2) == ["Paris"]


@pytest.mark.parametrize("seed", range(24))
def test_any_history_ends_as_if_what_is_left_of_it_had_been_told_at_once(seed: int, tmp_path: Path) -> None:
    rng, bank, day = random.Random(seed), bank_of(tmp_path / "a"), 0
    said: dict[int, tuple[str, datetime]] = {}
    for step in range(rng.randint(5, 20)):
        match rng.choices(("say", "forget", "consolidate", "audit", "reopen"), (65, 10, 10, 7, 8))[0]:
            case "say":
                day += rng.choice([0, 0, 1, 4])
                time, places = at(day + rng.choice([0, 0, 0, -3]), step / 100), rng.sample(PLACES, 2)
                text = rng.choice(SAID).format(*places)
                turn = bank.turn(text, time=time)
                said[turn] = text, time
                bank.learn(turn)
            case "forget" if said:
                turn = rng.choice(sorted(said))
                bank.memory.forget(turn)
                del said[turn]
            case "consolidate":
                bank.consolidate(at(day + 1))
            case "audit":
                before = [held(bank, at(one)) for one in DAYS]
                fix(bank.memory, audit(bank.memory, at(day)))
                assert [held(bank, at(one)) for one in DAYS] == before
            case "reopen":
                bank = bank_of(tmp_path / "a")
    bank.consolidate(at(day + 2))
    assert bank.consolidate(at(day + 2)) == Consolidated()
    anew = told(tmp_path / "b", list(said.values()))
    assert [held(bank, at(one, 1)) for one in DAYS] == [held(anew, at(one, 1)) for one in DAYS]


LONG = "I live in {}. This is what was said on all of these days."


@pytest.mark.parametrize("by", ["consolidate", "audit"])
def test_a_fact_that_a_program_repeats_is_kept_where_the_user_says_it_too(tmp_path: Path, by: str) -> None:
    bank = bank_of(tmp_path)
    program = bank.turn(LONG.format("Lyon"), time=at(1))
    bank.learn(program)
    own = bank.turn("I live in Lyon.", time=at(2))
    assert (bank.learn(own), sources(bank)) == ([], [program])
    for day, place in ((3, "Paris"), (4, "Rome")):
        bank.turn(LONG.format(place), time=at(day))
    if by == "audit":
        fix(bank.memory, audit(bank.memory, at(5)))
        assert sources(bank) == []
    bank.consolidate(at(9))
    assert sources(bank) == [own] and homes(bank, 1, 2, 5) == ["Lyon", "Lyon"]


def sources(bank: Bank) -> list[object]:
    """The turns of all facts."""
    return [item.metadata["turn"] for item in bank.memory.items() if item.kind == "fact"]

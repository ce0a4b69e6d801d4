"""The benchmark of junk judges by what its generator knows."""

from __future__ import annotations

from datetime import timedelta

import junk
import pytest
from junk_forms import DEV, TEST
from junk_log import BEGIN, DAYS, USER, Said, simulated

from ctxproc.memory.base import Note, Passage
from ctxproc.memory.facts import Facts, sentence


@pytest.mark.parametrize("forms", [DEV, TEST], ids=["dev", "test"])
def test_a_log_is_of_thirty_days_seeded_and_mostly_noise(forms: object) -> None:
    log = simulated(3, forms)  # type: ignore[arg-type]
    assert [one.text for one in log.said] == [one.text for one in simulated(3, forms).said]  # type: ignore[arg-type]
    assert log.said != simulated(4, forms).said  # type: ignore[arg-type]
    assert {one.time.date() for one in log.said} == {(BEGIN + timedelta(days=day)).date() for day in range(DAYS)}
    assert all(bool(one.states) == (one.sort == "told") for one in log.said)
    assert sum(one.sort == "told" for one in log.said) < 0.12 * len(log.said)
    assert all(value in one.text for one in log.said for _, relation, value in one.states if relation != "has friend")


def test_the_two_halves_share_no_saying() -> None:
    def texts(forms: object) -> set[str]:
        groups = [*vars(forms).values()]
        return {
            text for group in groups for one in (group.values() if isinstance(group, dict) else [group]) for text in one
        }

    assert texts(DEV) & texts(TEST) <= {"{all}", "{one}"}


def test_a_fact_is_junk_that_nobody_told_there_or_that_says_again_what_holds() -> None:
    told = Said("user", "I work as a nurse.", BEGIN, "told", ((USER, "works as", "a nurse"),))
    turns = {1: told, 2: Said("user", "You are Bo.", BEGIN, "boilerplate"), 3: told}

    def row(number: int, what: str, turn: int, day: int) -> Passage:
        names = {"subject": USER, "relation": "works as", "object": what, "turn": turn, "single": True}
        text = sentence(USER, "works as", what)
        return Passage(number, Note(text, "fact", BEGIN + timedelta(days=day), USER, "", names))

    rows = [
        row(4, "nurse", 1, 0),
        row(5, "a nurse", 2, 1),
        row(6, "a nurse", 3, 2),
        row(7, "a cook", 3, 3),
        row(8, "a nurse", 9, 4),
    ]
    assert junk.judged(Facts.of(rows), turns, {(USER, "works as", "a nurse")}) == {
        4: "",
        5: "boilerplate",
        6: "restated",
        7: "misread",
        8: "no turn",
    }

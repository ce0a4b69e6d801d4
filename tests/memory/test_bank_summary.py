"""Which sentences a summary takes, against a slow and obvious choice; and what it costs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.memory.bank_summary import MOST_SENTENCES, Summariser, chosen, vectors

LINES = st.lists(
    st.lists(st.sampled_from("sun rain boat cat tea".split()), min_size=1, max_size=5).map(" ".join), max_size=9
)


def count(line: str) -> int:
    return len(line.split())


def by_hand(lines: list[str], room: int, most: int) -> list[str]:
    """Every cosine, every step anew."""
    words = sorted({word for line in lines for word in line.split()})
    table = np.array([[line.split().count(word) for word in words] for line in lines], float)
    table *= np.log(1 + len(lines) / (table > 0).sum(0))
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    cosines = table @ table.T
    taken: list[int] = []
    left = list(range(len(lines)))
    order: list[int] = []
    while left and len(order) < most:
        worth = [
            (cosines[i].sum() - cosines[i, i] + 1e-9) * (1 - min(1.0, max((cosines[i, j] for j in order), default=0)))
            for i in left
        ]
        order.append(left[int(np.argmax(np.round(worth, 9)))])
        left.remove(order[-1])
    for i in order:
        if count(lines[i]) <= room:
            taken.append(i)
            room -= count(lines[i])
    return [lines[i] for i in sorted(taken)]


@given(LINES, st.integers(1, 12))
def test_the_sentences_are_those_that_a_slow_choice_takes(lines: list[str], room: int) -> None:
    lines = list(dict.fromkeys(lines))
    found = chosen(lines, room, count, MOST_SENTENCES)
    assert sum(map(count, found)) <= max(room, 0)
    if sum(map(count, lines)) <= room:
        assert found == lines
    elif lines and not _tied(lines):
        assert found == by_hand(lines, room, MOST_SENTENCES)


def _tied(lines: list[str]) -> bool:
    """Whether two lines have the same words in another order or number, so that rounding decides between them."""
    return len({frozenset(line.split()) for line in lines}) < len(lines) or len(lines) < 3


def test_what_is_said_again_in_other_words_comes_after_what_is_new() -> None:
    lines = [
        "the boat sails to the island",
        "the boat sails to an island",
        "my cat is ill",
        "the boat is at the island",
    ]
    assert chosen(lines, 10, count) == ["the boat sails to the island", "my cat is ill"]


def test_of_what_is_known_the_last_is_left_out_last() -> None:
    facts = [f"fact number {i} holds" for i in range(5)]
    assert chosen([*facts, "a line of talk"], 9, count, None, facts) == facts[3:]


def test_vectors_are_of_length_one_and_weigh_rare_words_more() -> None:
    rare, common = vectors(["boat tea", "boat sun"])[0]["tea"], vectors(["boat tea", "boat sun"])[0]["boat"]
    assert rare**2 + common**2 == pytest.approx(1) and rare > common


def test_nothing_to_summarise_asks_no_model() -> None:
    llm = ScriptedLLM(["text"])
    assert Summariser(llm).make("memory.day", [], {"day": "2026-05-01"}).text == "" and llm.prompts == []


def test_what_names_places_of_a_template_is_data() -> None:
    llm = ScriptedLLM(["made"])
    made = Summariser(llm).make("memory.day", ["alice: {day} {context} {x.__class__}"], {"day": "2026-05-01"})
    assert made.text == "made" and made.by == "scripted"
    assert llm.prompts[0].contexts == ("alice: {day} {context} {x.__class__}",)

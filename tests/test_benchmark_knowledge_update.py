"""The chats of knowledge_update.py and its measures, against what can be worked out by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import knowledge_update_dev
import knowledge_update_test
import numpy as np
import pytest
from knowledge_update import KINDS, answered, facts_of, found_of, recalled, true_triples
from knowledge_update_chats import CHINESE, ENGLISH, MOST_CHANGES, USER, History, history

from ctxproc.memory.base import Matrix

CHATS = [history(number, 3, knowledge_update_dev) for number in range(40)]


def nothing(texts: Sequence[str]) -> Matrix:
    """No text is like another."""
    return np.eye(len(texts), dtype=np.float32)


def texts_of(ways: object) -> Iterator[str]:
    """All templates below a dictionary."""
    if isinstance(ways, dict):
        for inner in ways.values():
            yield from texts_of(inner)
    else:
        yield from ways  # type: ignore[misc]


def test_no_way_of_saying_or_asking_is_in_both_halves() -> None:
    for name in ("STATEMENTS", "QUESTIONS", "CHINESE_STATEMENTS", "CHINESE_QUESTIONS"):
        dev, test = (list(texts_of(getattr(half, name))) for half in (knowledge_update_dev, knowledge_update_test))
        assert dev and test and not set(dev) & set(test)


def test_a_chat_follows_from_its_number_and_seed() -> None:
    assert history(5, 3, knowledge_update_dev) == CHATS[5]
    assert history(5, 4, knowledge_update_dev) != CHATS[5]


@pytest.mark.parametrize("chat", CHATS)
def test_the_answers_are_those_of_the_statements_in_their_order(chat: History) -> None:
    [person] = {one for one in (name for _, name in _asked_about(chat))}
    told = [(chat.turns[turn - 1].note.time, one.object) for turn, one in chat.truth.items()
            if one.subject == person and one.relation == chat.relation]  # fmt: skip
    values = [value for _, value in sorted(told)]
    assert 2 <= len(values) <= MOST_CHANGES + 1 and len(set(values)) == len(values)
    assert chat.questions["now"][1] == values[-1]
    assert chat.questions["before"][1] in values[:-1]
    after = values[values.index(chat.questions["before"][1]) + 1]
    assert after in chat.questions["before"][0]
    days = {time.date().isoformat(): value for time, value in told}
    assert days[chat.questions["when"][1]] in chat.questions["when"][0]
    assert all(value in (CHINESE if chat.chinese else ENGLISH)[chat.relation] for value in values)


def _asked_about(chat: History) -> list[tuple[int, str]]:
    """Of whom most is told: besides the relation that changes, only of him other facts are."""
    others = [(turn, one.subject) for turn, one in chat.truth.items() if one.relation != chat.relation]
    assert len(others) == 3
    return others


def test_turns_are_in_time_and_only_statements_of_the_user_are_true() -> None:
    for chat in CHATS:
        assert [turn.id for turn in chat.turns] == list(range(1, len(chat.turns) + 1))
        for turn in chat.turns:
            assert (turn.note.speaker == USER) == (turn.note.metadata["role"] == "user")
            if turn.id in chat.truth:
                assert turn.note.speaker == USER and chat.truth[turn.id].object.lower() in turn.text.lower()


def test_true_triples_answer_every_question_of_the_half_that_rules_were_written_on() -> None:
    for chat in CHATS:
        facts = facts_of(chat, true_triples(chat))
        assert {kind: answered(facts, chat, kind, nothing) for kind in KINDS} == {
            kind: chat.questions[kind][1] for kind in KINDS
        }


def test_what_was_found_is_compared_with_what_was_told() -> None:
    chat = CHATS[0]
    assert set(found_of(chat, true_triples(chat))[0]) == {1.0}
    assert found_of(chat, lambda turn: []) == ([0.0] * len(chat.truth), [])
    [first, *_] = chat.truth.values()
    missed, junk = found_of(chat, lambda turn: [first])
    assert sum(missed) == sum(junk) >= 1 and len(junk) == len(chat.turns)


def test_the_most_similar_turns_count_as_right_where_they_hold_the_value_or_the_day() -> None:
    chat = CHATS[0]
    gold = next(turn for turn, one in chat.truth.items() if one.object == chat.questions["now"][1])

    def close_to(wanted: str) -> dict[str, float]:
        def embed(texts: Sequence[str]) -> Matrix:
            rows = [(1.0, 0.0) if text in (chat.questions["now"][0], wanted) else (0.0, 1.0) for text in texts]
            return np.array(rows, dtype=np.float32)

        return recalled(chat, "now", embed)

    assert close_to(chat.turns[gold - 1].text)["top 1"] == 1
    other = next(turn for turn in chat.turns if chat.questions["now"][1].lower() not in turn.text.lower())
    assert close_to(other.text)["top 1"] == 0

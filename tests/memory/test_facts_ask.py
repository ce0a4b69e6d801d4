"""Questions about facts: whom, which relation and of which time they mean; answers worked out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.memory.base import Matrix, Note, Passage
from ctxproc.memory.facts import Facts
from ctxproc.memory.facts_ask import LIKE

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)

ROWS = (
    ("2024-03-01", "alice", "lives in", "Paris"),
    ("2025-05-10", "alice", "lives in", "Lyon"),
    ("2026-02-01", "alice", "lives in", "Nice"),
    ("2024-01-01", "alice", "works at", "Acme"),
    ("2025-09-01", "alice", "works at", "Globex"),
    ("2024-02-01", "alice", "has manager", "Bob"),
    ("2025-07-01", "alice", "has manager", "Carla"),
    ("2025-01-01", "alice", "works as", "a nurse"),
    ("2025-01-02", "alice", "has sister", "Mia"),
    ("2025-01-03", "alice", "has favourite food", "ramen"),
    ("2025-01-04", "Mia", "lives in", "Oslo"),
    ("2025-04-04", "Mia", "lives in", "Rome"),
    ("2025-01-05", "alice's brother", "lives in", "Ghent"),
    ("2025-01-06", "Ana Silva", "lives in", "Porto"),
    ("2025-01-07", "Ana from work", "lives in", "Berlin"),
    ("2025-01-08", "Ana Silva", "works at", "Initech"),
    ("2025-03-08", "Ana Silva", "drives", "a red Volvo"),
)


def facts_of(*rows: tuple[str, str, str, str]) -> Facts:
    passages = []
    for number, (day, subject, relation, object) in enumerate(rows, 1):
        time = datetime.fromisoformat(day).replace(tzinfo=UTC)
        ends = object.startswith("-")
        metadata = {"subject": subject, "relation": relation, "object": object.lstrip("-"), "ends": ends}
        passages.append(Passage(number, Note(object, "fact", time, metadata=metadata)))
    return Facts.of(passages)


FACTS = facts_of(*ROWS)


def answers(question: str, facts: Facts = FACTS, **more: object) -> list[tuple[str, str]]:
    found = facts.ask(question, None, now=NOW, me="alice", **more)  # type: ignore[arg-type]
    return [(answer.mode, answer.value) for answer in found]


@pytest.mark.parametrize(
    ("question", "mode", "value"),
    [
        ("Where do I live now?", "now", "Nice"),
        ("where do i live", "now", "Nice"),
        ("Can you tell me where I live?", "now", "Nice"),
        ("Where did I live before Lyon?", "before", "Paris"),
        ("Where did I live before I moved to Nice?", "before", "Lyon"),
        ("Before Nice, where did I live?", "before", "Lyon"),
        ("Where did I live before that?", "before", "Lyon"),
        ("Where did I use to live? I mean my previous address", "before", "Lyon"),
        ("Where did I live before I joined Globex?", "before", "Lyon"),
        ("Where did I live before 2025?", "before", "Paris"),
        ("Where did I live after Paris?", "after", "Lyon"),
        ("Where did I live in May 2024?", "then", "Paris"),
        ("Where did I live last November?", "then", "Lyon"),
        ("When did I move to Lyon?", "when", "2025-05-10"),
        ("When did I move to lyon", "when", "2025-05-10"),
        ("Since when do I live here?", "when", "2026-02-01"),
        ("When did I leave Lyon?", "when", "2026-02-01"),
        ("Where did I live first?", "before", "Paris"),
        ("Who was my manager in May 2025?", "then", "Bob"),
        ("Who is my manager?", "now", "Carla"),
        ("Who was my manager before Carla?", "before", "Bob"),
        ("When did Carla become my manager?", "when", "2025-07-01"),
        ("Which company do I work for?", "now", "Globex"),
        ("What do I do for a living?", "now", "a nurse"),
        ("What's my favorite food?", "now", "ramen"),
        ("Where does my sister live?", "now", "Rome"),
        ("Where does Mia live?", "now", "Rome"),
        ("Where did Mia live before Rome?", "before", "Oslo"),
        ("What is my sister's name?", "now", "Mia"),
        ("Where does my brother live?", "now", "Ghent"),
        ("Where does Ana Silva live?", "now", "Porto"),
        ("Where does Ana from work live?", "now", "Berlin"),
        ("Where does Ana work?", "now", "Initech"),
        ("What car does Ana drive?", "now", "a red Volvo"),
        ("When did Ana Silva start driving the red Volvo?", "when", "2025-03-08"),
        ("Who lives in Rome?", "now", "Mia"),
        ("我现在住在哪里?", "now", "Nice"),
        ("我住在Nice之前住在哪里?", "before", "Lyon"),
        ("我以前住在哪里?", "before", "Lyon"),
        ("我什么时候搬到Lyon的?", "when", "2025-05-10"),
        ("去年五月我的经理是谁?", "then", "Bob"),
        ("我的经理是谁?", "now", "Carla"),
    ],
)
def test_a_question_is_answered_by_the_fact_that_it_means(question: str, mode: str, value: str) -> None:
    assert answers(question) == [(mode, value)]


@pytest.mark.parametrize(
    "question",
    [
        "When did I move to Berlin?",
        "Where did I live before Madrid?",
        "我什么时候搬到柏林的?",
        "What is the capital of France?",
        "How do I bake bread?",
        "Where does Zoe live?",
        "What is my shoe size?",
        "When was I allergic to nuts?",
        "",
        "?",
        "\x00 ]] (",
    ],
)
def test_what_the_facts_do_not_say_has_no_answer(question: str) -> None:
    assert answers(question) == []


def test_of_a_message_only_its_questions_are_asked() -> None:
    message = "I went to Oslo with Mia last May. It rained! Where did I live before Lyon? And who is my manager?"
    assert answers(message) == [("before", "Paris"), ("now", "Carla")]
    assert answers("I moved my whole life to Berlin. " * 40) == []
    assert answers("Tell me " + "where " * 200 + "I live?") == []


WORDS = (
    "where when before after did do I live my sister Ana Lyon move to for 我 住在 之前 什么时候 ? , ( \\ 2025".split()
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)))
def test_any_text_may_be_asked(question: str) -> None:
    for answer in FACTS.ask(question, None, now=NOW, me="alice"):
        assert answer.fact in FACTS.all and answer.fact.held


def test_a_name_of_several_people_gives_an_answer_for_each() -> None:
    found = FACTS.ask("Where does Ana live?", None, now=NOW, me="alice")
    assert {(answer.fact.subject, answer.value) for answer in found} == {
        ("Ana Silva", "Porto"),
        ("Ana from work", "Berlin"),
    }


def test_a_pronoun_means_everybody_else_and_the_user_where_there_is_nobody() -> None:
    found = FACTS.ask("Where does she live?", None, now=NOW, me="alice")
    assert {answer.fact.subject for answer in found} == {"Mia", "alice's brother", "Ana Silva", "Ana from work"}
    assert answers("Where does she live?", facts_of(*ROWS[:3])) == [("now", "Nice")]


def test_a_date_within_which_it_changed_gives_both() -> None:
    assert answers("Where did I live in May 2025?") == [("then", "Paris"), ("then", "Lyon")]
    assert answers("Where did I live while I worked at Acme?") == [("then", "Paris"), ("then", "Lyon")]
    assert answers("Who was my manager when I worked at Globex?") == [("then", "Carla")]


def test_what_ended_does_not_hold_and_is_what_was_before() -> None:
    facts = facts_of(*ROWS[:5], ("2026-03-01", "alice", "works at", "-Globex"))
    assert answers("Where do I work now?", facts) == []
    assert answers("Where did I work before?", facts) == [("before", "Globex")]
    assert answers("When did I leave Globex?", facts) == [("when", "2026-03-01")]
    assert answers("When did I quit?", facts) == []  # no word of the question says what
    assert answers("When did I quit my job?", facts) == [("when", "2026-03-01")]


def test_the_time_of_asking_decides_what_holds() -> None:
    year = datetime(2025, 12, 1, tzinfo=UTC)
    assert answers("Where do I live now?", as_of=year) == [("now", "Lyon")]
    assert answers("Where did I live before?", as_of=year) == [("before", "Paris")]
    assert answers("When did I move to Nice?", as_of=year) == []
    early = FACTS.known(datetime(2024, 6, 1, tzinfo=UTC))
    assert answers("Where do I live now?", early) == [("now", "Paris")]


def test_a_value_that_came_back_is_asked_for_by_its_last_time() -> None:
    facts = facts_of(*ROWS[:3], ("2026-05-01", "alice", "lives in", "Paris"))
    assert answers("When did I move to Paris?", facts) == [("when", "2026-05-01")]
    assert answers("When did I first move to Paris?", facts) == [("when", "2024-03-01")]
    assert answers("Where did I live before Paris?", facts) == [("before", "Nice")]


def test_without_a_word_the_most_similar_relation_is_meant_if_it_is_similar_enough() -> None:
    calls: list[Sequence[str]] = []

    def embed(texts: Sequence[str]) -> Matrix:
        """The question along the first axis; the city at the cosine of ``near``, all else across."""
        calls.append(texts)
        rows = [(1.0, 0.0)] + [(near, (1 - near**2) ** 0.5) if "city" in text else (0.0, 1.0) for text in texts[1:]]
        return np.array(rows, dtype=np.float32)

    question = "Whereabouts am I these days?"
    near = LIKE + 0.1
    assert [answer.value for answer in FACTS.ask(question, embed, now=NOW, me="alice")] == ["Nice"]
    near = LIKE - 0.1
    assert FACTS.ask(question, embed, now=NOW, me="alice") == []
    assert len(calls) == 2
    FACTS.ask("Where do I live?", embed, now=NOW, me="alice")
    assert len(calls) == 2  # where words decide, no vector is made


def test_no_model_is_loaded_for_a_question_that_words_decide(tmp_path: Path) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from datetime import UTC, datetime; from ctxproc.memory.facts import Facts;"
        "Facts.of(()).ask('Where do I live?', None, now=datetime.now(UTC), me='a'); print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_a_day_of_birth_is_what_was_said_and_not_the_day_on_which_it_was() -> None:
    born = facts_of(("2026-05-01", "alice", "was born on", "3 March"), ("2026-05-02", "alice", "was born in", "Lyon"))
    for question in ("When is my birthday?", "When was I born?", "我的生日是什么时候？"):
        assert answers(question, born) == [("when", "3 March")]


def test_what_is_called_is_not_its_owner() -> None:
    own = facts_of(("2026-05-01", "alice", "is named", "Alice"), ("2026-05-01", "Mia", "is named", "Mia Moss"))
    for question in ("What are my cats called?", "What is my dog's name?", "你记得我的狗叫什么吗"):
        assert answers(question, own) == []
    for question in (
        "What is my name?",
        "What is my full name?",
        "What am I called?",
        "我叫什么名字？",
        "我的名字叫什么？",
    ):
        assert answers(question, own) == [("now", "Alice")]
    cats = facts_of(("2026-05-01", "alice", "is named", "Alice"), ("2026-05-01", "alice", "has cat", "Momo"))
    assert answers("What are my cats called?", cats) == [("now", "Momo")]


def test_how_old_is_no_question_about_the_past() -> None:
    aged = facts_of(("2026-05-01", "alice", "is aged", "34"))
    assert answers("How old am I?", aged) == [("now", "34")]
    assert answers("What was my old address?") == [("before", "Lyon")]


def test_two_questions_in_one_sentence_are_two() -> None:
    assert answers("Where do I live now and where did I live before?") == [("now", "Nice"), ("before", "Lyon")]
    assert answers("Where did I live before, and who is my manager?") == [("before", "Lyon"), ("now", "Carla")]

"""What is taken for a program's message or an echo, and what is not, in English and Chinese."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.memory.bank_junk import ECHO, echoed, machine, mentioned, shape, spoken
from ctxproc.text import words

MACHINES = (
    "You are a helpful assistant. I live in Lyon.",
    "You are Kessia, an expert planner. I am your client.",
    "Act as a recruiter. I work at Acme.",
    "HEARTBEAT: all is well.",
    "[cron 09:00] I live in rack 3.",
    "Check 17: I am the watcher.",
    "This is an automated message. Do not reply.",
    "Session started. The user's name is Bo.",
    "As an AI language model I have no home.",
    "Write a story about Bo. Bo lives in Rome.",
    "Could you please polish this? I live in Rome.",
    "你是一个有用的助手。我住在北京。",
    "系统消息：我住在北京。",
    "帮我写一篇关于小明的故事。小明住在上海。",
)
PEOPLE = (
    "You are right, I live in Lyon.",
    "You're so kind! I work at Acme.",
    "Day 4: I moved to Lyon.",
    "I am 34. I live in Lyon.",
    "I write novels for a living and play chess.",
    "My sister is 12: she plays chess.",
    "The user interface is slow, I like the old one.",
    "I work on AI agents at Acme.",
    "我住在北京，我是老师。",
)


@pytest.mark.parametrize("text", MACHINES)
def test_what_a_program_says_or_a_model_is_told_is_known_by_its_form(text: str) -> None:
    assert machine(text)


@pytest.mark.parametrize("text", PEOPLE)
def test_what_people_say_is_not_taken_for_it(text: str) -> None:
    assert not machine(text)


def test_messages_that_differ_in_names_numbers_and_white_space_have_one_shape() -> None:
    form = "Node {} of {} says that all is  well after {} days of rain"
    shapes = {
        shape(form.format(*values)) for values in ((1, "Quill Press", 3), (27, "Orbis", 4), (9, "Birch & Sons", "0"))
    }
    assert len(shapes) == 1 and None not in shapes
    assert shape(form.format(1, "Orbis", 3) + " again") not in shapes
    assert shape("I live in Lyon.") is None and shape("节点 1 说一切都好已经运行 3 天了") == shape(
        "节点 2 说一切都好已经运行 4 天了"
    )


@given(
    st.lists(st.sampled_from("a b c d".split()), max_size=8), st.lists(st.sampled_from("a b c d".split()), max_size=12)
)
def test_an_echo_is_a_row_of_words_in_the_other_text(said: list[str], other: list[str]) -> None:
    rows = [other[i : i + len(said)] for i in range(len(other))]
    assert echoed(" ".join(said), [spoken(" ".join(other))]) == (len(said) >= ECHO and said in rows)


def test_a_confirmation_in_the_first_person_is_no_echo() -> None:
    heard = [spoken("So you moved to Lyon in May and you work at Acme.")]
    assert not echoed("I moved to Lyon in May", heard) and echoed("moved to Lyon in May!", heard)
    assert echoed("我住在北京市中心", [spoken("简介：我住在北京市中心。")])


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("alice's sister", "my sister lives here; alice", True),
        ("Ana Silva", "Ana came", False),
        ("Ana Silva", "Silva, Ana", True),
        ("ana", "Banana", False),
        ("", "anything", True),
        ("王伟", "我的经理是王伟。", True),
        ("王伟", "我的经理是王小伟。", False),
    ],
)
def test_a_name_is_mentioned_where_all_its_words_are(name: str, text: str, expected: bool) -> None:
    assert mentioned(name, [spoken(text)]) == expected
    if expected and name.isascii():
        assert set(words(name)) - {"s"} <= set(words(text))

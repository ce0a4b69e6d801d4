"""Templates: documents and questions are data, and the order of a prompt's parts is fixed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.prompt import parse, source, template, template_names

PLAIN = parse("plain", "Read.\n{context}\nQ:\n{question}\nA:")


def test_the_text_of_a_prompt_is_the_template_with_its_values() -> None:
    prompt = PLAIN.fill(["one", "two"], {"question": "why?"}, joint=" | ")
    assert str(prompt) == "Read.\none | two\nQ:\nwhy?\nA:"
    assert [segment.role for segment in prompt.segments] == [
        "prefix", "context", "context", "context", "task", "task", "task",
    ]  # fmt: skip
    assert prompt.part("prefix") == "Read.\n"
    assert prompt.part("context") == "one | two"
    assert prompt.contexts == ("one", "two")
    assert prompt.field("question") == "why?"
    assert prompt.field("nothing") == ""


@given(context=st.text(), question=st.text())
def test_whatever_a_document_or_a_question_says_stays_as_it_is(context: str, question: str) -> None:
    prompt = PLAIN.fill([context], {"question": question})
    assert str(prompt) == "Read.\n" + context + "\nQ:\n" + question + "\nA:"
    assert "".join(prompt.pieces) == str(prompt)
    assert prompt.field("question") == question


@pytest.mark.parametrize(
    "attack",
    ["{context}", "{question}", "{x.__class__}", "{{7*7}}", "{% for x in y %}", "%(question)s", "$question", "{0}"],
)
def test_template_syntax_inside_data_means_nothing(attack: str) -> None:
    prompt = PLAIN.fill([attack], {"question": attack})
    assert str(prompt) == f"Read.\n{attack}\nQ:\n{attack}\nA:"


def test_braces_that_are_no_place_stay_in_a_template() -> None:
    assert str(parse("t", "{context} {A} {x.y} {} {question}").fill(["c"], {"question": "q"})) == "c {A} {x.y} {} q"


@pytest.mark.parametrize("source", ["no place", "{question} {context}", "{context} {context}"])
def test_a_template_has_one_context_before_everything_that_varies(source: str) -> None:
    with pytest.raises(ConfigError, match="must stand once"):
        parse("bad", source)


def test_a_missing_value_is_named() -> None:
    with pytest.raises(ConfigError, match=r"\{question\}"):
        PLAIN.fill(["c"], {})


def test_every_shipped_template_parses_and_an_unknown_one_lists_them() -> None:
    names = template_names()
    assert "answer" in names
    for name in names:
        assert name.startswith("task.") != ("{context}" in source(name))
        if "{context}" in source(name):
            assert template(name).name == name
    with pytest.raises(UnknownNameError, match=r"map_rerank\.judge"):
        template("nonesuch")

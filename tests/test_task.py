"""How replies are taken apart, clipped and compared, and where JSON is found in them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.job import clip, same
from ctxproc.llm.base import Generation, Tokenizer
from ctxproc.task import TRIES, Reply, first_json, parse


@pytest.mark.parametrize(
    ("text", "answer", "quote"),
    [
        (" Maren Oduya\nQuote: “She keeps it.”", "Maren Oduya", "She keeps it."),
        ("Answer: red\nquote : 'a b'", "red", "a b"),
        ("**Answer:** red\n**Quote:** it is red", "red", "it is red"),
        ("红色\nQuote：“门是红色的。”", "红色", "门是红色的。"),
        ("two\nlines\nQuote: q\nQuote: r", "two\nlines", "q"),
        ("just words", "just words", "just words"),
        ("NOT FOUND", "", ""),
        (" not found. Quote: x", "", ""),
        ("", "", ""),
        ("\n\n", "", ""),
        ("Quote: only", "", ""),
        ("red\nQuote: it is red\n \nQuestion: another?\nQuote: blue", "red", "it is red"),
        ("red\nQuote: 'it is' red", "red", "'it is' red"),
        ("red, he said. Quote: it is", "red, he said. Quote: it is", "red, he said. Quote: it is"),
        ("It was not found there", "It was not found there", "It was not found there"),
    ],
)
def test_a_reply_is_taken_apart_forgivingly(text: str, answer: str, quote: str) -> None:
    assert parse(Generation(text, 1, 1)) == Reply(answer, quote)


def test_what_a_model_gives_with_its_reply_goes_before_what_the_words_say() -> None:
    assert parse(Generation(" red ", 1, 1, confidence=0.5, quote="it is red")) == Reply("red", "it is red", 0.5)
    assert parse(Generation("red", 1, 1, confidence=0.5)) == Reply("red", "red", 0.5)
    assert parse(Generation("", 1, 1, confidence=0.0, quote="")) == Reply("", "", 0.0)


@given(st.text())
def test_no_reply_raises(text: str) -> None:
    parse(Generation(text, 1, 1))


@given(st.text(), st.integers(0, 20))
def test_clipping_keeps_the_longest_beginning_of_so_many_tokens(text: str, tokens: int) -> None:
    llm = ScriptedLLM()
    clipped = clip(text, tokens, llm)
    assert text.startswith(clipped) and llm.tokenizer.count(clipped) <= tokens
    assert clipped == text or llm.tokenizer.count(clipped) == tokens


class Marking(Tokenizer):
    """A token is a word; one more marks that a text does not end with a full stop."""

    def count(self, text: str) -> int:
        return len(text.split()) + (not text.rstrip().endswith("."))

    def starts(self, text: str) -> list[int]:
        marked = not text.rstrip().endswith(".")
        return [match.start() for match in re.finditer(r"\S+", text)] + [len(text)] * marked


def test_a_beginning_that_has_more_tokens_by_itself_than_in_the_text_is_clipped_further() -> None:
    llm, text = ScriptedLLM(), "It is. So be it."
    llm.tokenizer = Marking()
    assert llm.tokenizer.count(text) == 5
    for tokens in range(1, 6):
        longest = max((text[:n] for n in range(len(text) + 1) if llm.tokenizer.count(text[:n]) <= tokens), key=len)
        assert clip(text, tokens, llm) == longest
    assert clip(text, 3, llm) == "It is. "


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("“Maren Oduya”.", '"maren  oduya"', True),
        ("It’s 5 o'clock. ", "it's 5 o’clock", True),
        ("Maren", "Oduya", False),
        ("3.5", "35", False),
        ("", ".", True),
        ("", "x", False),
    ],
)
def test_answers_are_the_same_but_for_white_space_quotation_marks_case_and_a_full_stop(
    one: str, other: str, equal: bool
) -> None:
    assert same(one, other) == same(other, one) == equal


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Sure: {"a": [1, 2]} and {"b": 3}', {"a": [1, 2]}),
        ("[1] as they say", [1]),
        ("see [note] for {more}: [2]", [2]),
        ('{"a": 1', None),
        ('{"a": {"b": 2}', None),
        ('{"people": [{"name": "Maren"}, {"na', None),
        ('{"people": [{"name": "Maren" "age": 3}, {"name": "Ada"}]}', None),
        ('{"a": NaN}', None),
        ('"text" 3 true', None),
        (' "text" ', "text"),
        ("", None),
    ],
)
def test_the_first_object_or_list_that_is_json_is_found(text: str, value: object) -> None:
    assert first_json(text) == value


def test_what_a_schema_is_of_is_looked_for() -> None:
    text = 'As [1] says: {"a": 2}'
    assert first_json(text) == [1]
    assert first_json(text, {"type": "object"}) == {"a": 2}
    assert first_json('{"a": 1} [2]', {"type": "array"}) == [2]
    assert first_json(text, {"type": ["object", "array"]}) == [1]


def test_json_is_looked_for_at_so_many_brackets_and_no_more() -> None:
    assert first_json("[x" * (TRIES - 1) + "[1]") == [1]
    assert first_json("[x" * TRIES + "[1]") is None
    assert first_json("[" * 100_000) is None

"""How replies are taken apart, clipped and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.job import clip, same
from ctxproc.llm.base import Generation
from ctxproc.task import Reply, parse


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
    ],
)
def test_a_reply_is_taken_apart_forgivingly(text: str, answer: str, quote: str) -> None:
    assert parse(Generation(text, 1, 1)) == Reply(answer, quote)


@given(st.text())
def test_no_reply_raises(text: str) -> None:
    parse(Generation(text, 1, 1))


@given(st.text(), st.integers(0, 20))
def test_clipping_keeps_the_longest_beginning_of_so_many_tokens(text: str, tokens: int) -> None:
    llm = ScriptedLLM()
    clipped = clip(text, tokens, llm)
    assert text.startswith(clipped) and llm.tokenizer.count(clipped) <= tokens
    assert clipped == text or llm.tokenizer.count(clipped) == tokens


def test_same_answers() -> None:
    assert same("“Maren Oduya”.", '"maren  oduya"')
    assert not same("Maren", "Oduya")

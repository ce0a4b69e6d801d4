"""The passage that a text rests on, found by its words."""

from __future__ import annotations

import pytest
from helpers import chunks_of
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.attribute import nearest
from ctxproc.text import sentences

TEXTS = ["Salt came. The lamp is kept by Maren. ", "Rain fell on the lamp. It was cold."]


def test_each_sentence_finds_the_passage_that_shares_most_of_its_words() -> None:
    chunks = chunks_of(*TEXTS)
    one, two = nearest("Maren keeps a lamp. The rain fell.", chunks)
    assert (one.text, one.chunks) == ("The lamp is kept by Maren.", (chunks[0],))
    assert (two.text, two.chunks) == ("Rain fell on the lamp.", (chunks[1],))


def test_the_score_is_the_weighted_share_of_the_words_that_the_passage_holds() -> None:
    [found] = nearest("Maren lamp unknown", chunks_of(*TEXTS))
    assert found.score == pytest.approx(
        (1 + 1 / 2) / (1 + 1 / 2 + 1)
    )  # "lamp" stands in two passages, "unknown" in none


def test_passages_that_share_too_little_are_left_out_and_those_without_a_word_always() -> None:
    chunks = chunks_of(*TEXTS)
    assert nearest("Maren and a great many other things besides", chunks, least=0.5) == ()
    assert nearest("Zed! 42?", chunks) == ()
    assert nearest("", chunks) == nearest("Maren", []) == ()


def test_the_first_of_equal_passages_is_taken() -> None:
    first, second = chunks_of("Maren keeps the lamp. ", "Maren keeps the lamp. ")
    [found] = nearest("Who keeps the lamp? Maren.", [first, second], whole=True)
    assert found.chunks == (first,)
    [found] = nearest("Who keeps the lamp? Maren.", [second, first], whole=True)
    assert found.chunks == (second,)


def test_a_whole_text_gives_one_passage() -> None:
    [found] = nearest("Maren keeps it. Lamp.", chunks_of(*TEXTS), whole=True)
    assert found.text == "The lamp is kept by Maren."


@given(st.text("ab. \n!", max_size=60))
def test_sentences_are_slices_in_order_that_leave_out_only_white_space(text: str) -> None:
    spans = sentences(text)
    kept = "".join(text[a:b] for a, b in spans)
    assert "".join(kept.split()) == "".join(text.split())
    assert all(text[a:b] == text[a:b].strip() != "" for a, b in spans)
    assert [a for a, _ in spans] == sorted(a for a, _ in spans)

"""Quotes are verified, repaired or unverified; a false one never passes."""

from __future__ import annotations

import re

import pytest
from helpers import chunks_of
from hypothesis import assume, given
from hypothesis import strategies as st

from ctxproc.answer import Quote, find_normalised, ground, ground_all, normalise

TEXTS = ("The lamp is kept by\r\n  Maren Oduya. ", "Café №5 — “no lamp” here.\n", "İstanbul, Straße 9. ")


def grounded(words: str, *texts: str) -> tuple[str, str, int, int]:
    found = ground(Quote(words, tuple(chunks_of(*texts or TEXTS)), 0.5))
    assert found
    return found.status, found.quote, found.start, found.end


def test_a_quote_to_the_letter_is_verified_where_it_stands() -> None:
    whole = "".join(TEXTS)
    status, quote, start, end = grounded("Café №5 — “no lamp” here.")
    assert (status, whole[start:end]) == ("verified", quote)
    assert start == whole.index("Café")


def test_white_space_quotation_marks_and_case_are_repaired_to_the_documents_text() -> None:
    whole = "".join(TEXTS)
    for words, expected in (
        ("the LAMP is kept by maren oduya.", "The lamp is kept by\r\n  Maren Oduya."),
        ('café №5 — "no\nlamp" here.', "Café №5 — “no lamp” here."),
        ("STRASSE 9.", "Straße 9."),
        ("i̇stanbul", "İstanbul"),
    ):
        status, quote, start, end = grounded(words)
        assert (status, quote, whole[start:end]) == ("repaired", expected, expected)


@pytest.mark.parametrize(
    "words",
    [
        "The lamp is kept by nobody.",  # fabricated
        "The lamp is kept by no lamp here.",  # stitched
        "The lamp … Maren Oduya.",  # elided
        "Maren Oduya. Café №5 — “no lamp” here.",  # across chunks that were not read together
    ],
)
def test_fabricated_stitched_and_elided_quotes_are_unverified(words: str) -> None:
    status, quote, start, end = grounded(words)
    assert (status, quote) == ("unverified", words)
    assert (start, end) == (0, len(TEXTS[0]))


def test_a_quote_is_looked_for_only_in_the_chunks_it_is_said_to_come_from() -> None:
    first, second, _ = chunks_of(*TEXTS)
    found = ground(Quote("Maren Oduya", (second,), 1.0))
    assert found and found.status == "unverified"
    found = ground(Quote("Maren Oduya", (second, first), 1.0))
    assert found and found.status == "verified"


def test_nothing_is_no_evidence() -> None:
    assert ground(Quote(" \n", tuple(chunks_of("a")), 1.0)) is None
    assert ground(Quote("a", (), 1.0)) is None


@given(text=st.text(min_size=1), data=st.data())
def test_any_slice_of_any_text_is_verified_and_its_bytes_agree(text: str, data: st.DataObject) -> None:
    assume(not any("\ud800" <= c <= "\udfff" for c in text))
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assume(not any(re.fullmatch(r"[\w.,]{2}", text[at - 1 : at + 1]) for at in (start, end)))
    words = text[start:end]
    assume(words.strip() == words)
    [chunk] = chunks_of(text)
    found = ground(Quote(words, (chunk,), 1.0))
    assert found and found.status == "verified"
    assert text[found.start : found.end] == found.quote == words.strip()
    assert text.encode()[found.byte_start : found.byte_end].decode() == found.quote


@pytest.mark.parametrize(
    ("text", "words", "start"),
    [
        ("In 1995 she was 5.", "5", 16),
        ("I know, no doubt", "no", 8),
        ("the kitten has ten", "Ten", 15),
        ("1,995 or 2.5 or 5", "5", 16),
        ("1,995 or 2.5 or 995.", "995", 16),
        ("1,995 or 2.5", "2.5", 9),
        ("Yesterday", "Yes", None),
        ("the kitten", "ten", None),
        ("1,995", "1", None),
        ("in 2.5 s", "2", None),
        ("He keeps the lamp alight", "He keeps the la", 0),
        ("He keeps the lamp", "he keeps the la", 0),
        ("燈塔守望者", "塔守", 1),
        ("the keeper's lamp", "keeper", 4),
        ("ends with 1995.", "1995", 10),
    ],
)
def test_a_word_or_number_inside_of_others_is_no_evidence(text: str, words: str, start: int | None) -> None:
    found = ground(Quote(words, tuple(chunks_of(text)), 1.0))
    assert found and (found.status == "unverified") == (start is None)
    assert start is None or found.start == start


@given(st.text())
def test_normalising_leads_back_to_the_origin_of_every_character(text: str) -> None:
    folded, origin = normalise(text)
    assert len(folded) == len(origin) and origin == sorted(origin)
    for character, i in zip(folded, origin, strict=True):
        assert (character == " ") == text[i].isspace() or character in normalise(text[i])[0]


@given(st.text(), st.text(), st.text())
def test_a_normalised_match_is_a_slice_that_normalises_to_the_words(before: str, words: str, after: str) -> None:
    found = find_normalised(words, before + words + after)
    if normalise(words)[0]:
        assert found is None or normalise((before + words + after)[slice(*found)])[0] == normalise(words)[0]


def test_evidence_is_ordered_by_status_then_score_and_named_once() -> None:
    chunks = tuple(chunks_of("red. ", "blue. "))
    quotes = [
        Quote("red", chunks, 0.2),
        Quote("green", chunks, 0.9),
        Quote("blue", chunks, 0.5),
        Quote("red", chunks, 0.1),
    ]
    found = ground_all(quotes)
    assert [(item.quote, item.status, item.score) for item in found] == [
        ("blue", "verified", 0.5), ("red", "verified", 0.2), ("green", "unverified", 0.9),
    ]  # fmt: skip

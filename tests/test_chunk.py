"""Chunks: tiling, within budget; breaks, sentences and graphemes over Unicode.

That they are optimal is shown in `strategies/test_block_split.py`.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.chunk import Chunk, split
from ctxproc.document import Document
from ctxproc.errors import ConfigError
from ctxproc.llm.base import Tokenizer
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.text import AFTER_HEADING, BLANK, HEADING, NEWLINE, SENTENCE, breaks, is_grapheme_border, sentence_around

SHARED = Path(__file__).parents[1] / ".." / "shared" / "data" / "eval"


class Bytes(Tokenizer):
    """A token is a byte: several begin at one character."""

    def count(self, text: str) -> int:
        return len(text.encode("utf-8", "surrogatepass"))

    def starts(self, text: str) -> list[int]:
        return [i for i, char in enumerate(text) for _ in char.encode("utf-8", "surrogatepass")]


class Words(Tokenizer):
    """A token is a run of letters or a single mark; white space has none, as with WordPiece."""

    def count(self, text: str) -> int:
        return len(self.starts(text))

    def starts(self, text: str) -> list[int]:
        return [match.start() for match in re.finditer(r"\w+|[^\w\s]", text)]


class Pairs(Tokenizer):
    """A token is two characters, counted from the beginning of the text: slices count differently from the whole."""

    def count(self, text: str) -> int:
        return (len(text) + 1) // 2 + (2 if text[:1].isalpha() else 0)

    def starts(self, text: str) -> list[int]:
        return sorted([*range(0, len(text), 2), *([0, 0] if text[:1].isalpha() else [])])


PIECES = [
    "a",
    "word ",
    "The end. ",
    "Mr. X, ",
    "\n",
    "\n\n",
    "\r\n",
    "  ",
    "。",
    "你好",
    "，",
    "”",
    "\0",
    "e\u0301",
    "👩‍👩‍👧",
    "🇫🇷",
    "שלום ",
    "# H\n",
    "!",
    "\u2028",
]
texts = st.one_of(st.lists(st.sampled_from(PIECES), max_size=60).map("".join), st.text(max_size=80))


def chunks_of(text: str, tokenizer: Tokenizer, budget: int, overlap: int = 0) -> list[Chunk]:
    """The chunks of a text that may hold anything but lone surrogates."""
    return split(Document.from_text(text, "t"), tokenizer, budget, overlap)


@settings(max_examples=200, deadline=None)
@given(texts, st.sampled_from([Bytes(), Words(), Pairs(), WordTokenizer()]), st.integers(4, 40))
def test_chunks_tile_the_document_within_the_budget(text: str, tokenizer: Tokenizer, budget: int) -> None:
    chunks = chunks_of(text, tokenizer, budget)
    assert "".join(chunk.text for chunk in chunks) == text
    assert [chunk.start for chunk in chunks] == [0, *(chunk.end for chunk in chunks[:-1])][: len(chunks)]
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    for chunk in chunks:
        assert chunk.tokens == tokenizer.count(chunk.text) <= budget


@settings(max_examples=100, deadline=None)
@given(texts, st.sampled_from([Bytes(), Words(), Pairs()]), st.integers(4, 40), st.integers(1, 7))
def test_overlapping_chunks(text: str, tokenizer: Tokenizer, body: int, overlap: int) -> None:
    budget = body + overlap
    plain, wide = chunks_of(text, tokenizer, body), chunks_of(text, tokenizer, budget, overlap)
    assert [chunk.end for chunk in wide] == [chunk.end for chunk in plain]
    for before, own, chunk in zip([None, *plain], plain, wide, strict=False):
        assert chunk.tokens == tokenizer.count(chunk.text) <= budget
        assert (before.start < chunk.start if before else chunk.start == 0) and chunk.start <= own.start
        assert tokenizer.count(text[chunk.start : own.start]) <= overlap


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "e\u0301\u0327", "👩‍👩‍👧", "🇫🇷", "👍🏽", "각", "\r\n", "❤️"]), max_size=40).map(
        "".join
    )
)
def test_user_perceived_characters_stay_whole(text: str) -> None:
    for chunk in chunks_of(text, Bytes(), 25):
        assert is_grapheme_border(text, chunk.start) and is_grapheme_border(text, chunk.end)


def test_grapheme_borders() -> None:
    text = "e\u0301\r\n🇫🇷🇩🇪👩‍👧👍🏽"
    assert [i for i in range(len(text) + 1) if is_grapheme_border(text, i)] == [0, 2, 4, 6, 8, 11, 13]


def test_overlap_begins_at_a_sentence() -> None:
    text = " ".join(f"Sentence number {i} has some seven words." for i in range(12))
    chunks = chunks_of(text, Words(), 36, 10)
    assert len(chunks) > 1
    for before, chunk in itertools.pairwise(chunks):
        assert chunk.start < before.end
        assert chunk.start in breaks(text)[0]


def test_cuts_prefer_headings_and_paragraphs() -> None:
    text = "A first line here.\n\nA second one. More, and more.\n\n# Title\n\nBody of it here. And on."
    pieces = [chunk.text for chunk in chunks_of(text, Words(), 12)]
    assert pieces == [
        "A first line here.\n\n",
        "A second one. More, and more.\n\n",
        "# Title\n\nBody of it here. And on.",
    ]


def test_no_tiny_last_chunk() -> None:
    text = " ".join(f"Word number {i} is here." for i in range(20)) + " Bye."
    tokens = [chunk.tokens for chunk in chunks_of(text, Words(), 64)]
    assert len(tokens) == 2 and min(tokens) > 55


class Framed(Words):
    """As words, and two more around every text: slices have more tokens than their part of the whole."""

    def count(self, text: str) -> int:
        return super().count(text) + 2


def test_chunks_that_are_too_long_by_themselves_are_split_anew_at_breaks_and_not_halved() -> None:
    text = "One two three four. " * 18 + "The end."
    chunks = chunks_of(text, Framed(), 15)
    assert {chunk.start for chunk in chunks[1:]} <= set(breaks(text)[0])
    assert max(chunk.tokens for chunk in chunks) <= 15 and "".join(chunk.text for chunk in chunks) == text
    assert max(chunk.tokens for chunk in chunks_of(text, Words(), 15)) == 15


@pytest.mark.parametrize("text", ["", " ", "\n\n \n", "\0", "\ufeff", "a", "。"])
def test_smallest_documents(text: str) -> None:
    assert [chunk.text for chunk in chunks_of(text, Words(), 5)] == ([text] if text else [])


def test_white_space_is_never_a_chunk() -> None:
    text = "\n\n   \n" + "Some words here.   \n\n\n   \t\n" * 20 + "\n \n"
    assert all(chunk.text.strip() for chunk in chunks_of(text, Words(), 9))


def test_impossible_budgets() -> None:
    with pytest.raises(ConfigError, match="one character has 4 tokens, more than the 3"):
        chunks_of("ab😀", Bytes(), 3)
    for budget, overlap in [(0, 0), (5, 5), (5, -1)]:
        with pytest.raises(ConfigError, match="budget"):
            chunks_of("text", Words(), budget, overlap)
    assert [chunk.text for chunk in chunks_of("e\u0301\u0301", Bytes(), 3)] == ["e\u0301", "\u0301"]


def test_breaks_of_english() -> None:
    text = 'Mr. J. Smith of the U.S. Navy paid 3.14, etc. He left. "Go!" he said. Vitamin C. The end. Now, e.g. this\nwraps'
    positions, costs = breaks(text)
    assert [text[:p].split()[-1] for p, c in zip(positions, costs, strict=True) if c == SENTENCE] == [
        "etc.",
        "left.",
        "said.",
        "C.",
        "end.",
    ]


def test_breaks_of_chinese() -> None:
    text = "他说：“天下大势，分久必合。”众人称是！第三章 你好\n\n第二回 名字\n正文开始。"
    found = {text[:p][-2:]: c for p, c in zip(*breaks(text), strict=True)}
    assert found["。”"] == SENTENCE and found["是！"] == SENTENCE
    assert found["\n\n"] == HEADING and found["字\n"] == AFTER_HEADING


def test_breaks_of_lines() -> None:
    wrapped = "This line was only wrapped at a width of some seventy characters and goes\non here.\r\n\r\n"
    wrapped += "- item one\r\n- item two"
    assert [c for _, c in zip(*breaks(wrapped), strict=True)][1:] == [BLANK, NEWLINE]


@pytest.mark.parametrize(
    ("text", "span", "sentence"),
    [
        (
            "It rained. Dr. Smith met J. R. Doe at 3.5 p.m. in the U.S. capital. They left.",
            "Doe",
            "Dr. Smith met J. R. Doe at 3.5 p.m. in the U.S. capital.",
        ),
        ('He rose. "It is late." Nobody spoke.', "late", '"It is late."'),
        ("甲说：“来了。”乙走了。丙没有！", "乙", "乙走了。"),
        ("Title of it\n\nThe text\nruns on here. More.", "runs", "The text\nruns on here."),
        ("Intro:\n- first thing\n- second thing\n", "second", "- second thing"),
        ("# Lamp\nAnna keeps it. Bob does not.", "Anna", "Anna keeps it."),
        ("One is. Two is. Three is. Four is.", "Two is. Three", "Two is. Three is."),
    ],
)
def test_sentence_around(text: str, span: str, sentence: str) -> None:
    start = text.index(span)
    left, right = sentence_around(text, start, start + len(span))
    assert text[left:right] == sentence


def test_sentence_around_is_bounded() -> None:
    text = "word, " * 50 + "then some " * 200 + "needle " + "other words " * 200
    start = text.index("needle")
    left, right = sentence_around(text, start, start + 6)
    assert 200 < right - left <= 400
    assert text[left - 1] == " " and text[right] == " "
    assert sentence_around(text, 0, 600) == (0, 599)


@settings(max_examples=200, deadline=None)
@given(texts, st.data())
def test_sentence_around_holds_its_span(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    left, right = sentence_around(text, start, end, limit=30)
    span = text[start:end]
    assert 0 <= left <= right <= len(text)
    if span.strip():
        assert left <= start + len(span) - len(span.lstrip()) and right >= start + len(span.rstrip())
        assert text[left:right] == text[left:right].strip()
        assert right - left <= max(30, len(span.strip()))


@settings(max_examples=200, deadline=None)
@given(texts)
def test_breaks_are_inside_and_before_visible_text(text: str) -> None:
    positions, costs = breaks(text)
    assert positions == sorted(set(positions)) and len(costs) == len(positions)
    assert all(0 < p < len(text) and text[:p].strip() and not text[p].isspace() for p in positions)


@pytest.mark.skipif(not (SHARED / "classics_zh").is_dir(), reason="../shared/data/eval/classics_zh is absent")
def test_chinese_novels() -> None:
    for path in sorted((SHARED / "classics_zh").glob("*义.txt")) + sorted((SHARED / "classics_zh").glob("*传.txt")):
        text = path.read_text(encoding="utf-8")
        chunks = chunks_of(text, Words(), 60)
        assert "".join(chunk.text for chunk in chunks) == text
        assert max(chunk.tokens for chunk in chunks) <= 60
        at_sentence = [chunk for chunk in chunks if chunk.text.rstrip()[-1] in '。！？”’：；，、—》」』…"']
        assert len(at_sentence) / len(chunks) > 0.97


def test_ten_megabytes() -> None:
    rng = random.Random(0)
    names = ["lamp", "keeper", "harbour", "winter", "letter", "of", "the", "and"]
    line = " ".join(rng.choice(names) for _ in range(120)) + ". "
    text = (line * 9 + "\n\n") * (10_000_000 // (9 * len(line)) + 1)
    chunks = chunks_of(text, Words(), 300)
    assert chunks[0].start == 0 and chunks[-1].end == len(text) > 10_000_000
    assert all(a.end == b.start for a, b in itertools.pairwise(chunks))
    assert max(chunk.tokens for chunk in chunks) <= 300
    assert len(chunks) < 1.3 * sum(chunk.tokens for chunk in chunks) / 300


def test_a_document_without_breaks() -> None:
    for text in ["x" * 300_000, "的" * 100_000, " " * 200_000, "a b " * 50_000]:
        chunks = chunks_of(text, Pairs(), 100)
        assert "".join(chunk.text for chunk in chunks) == text
        assert max(chunk.tokens for chunk in chunks) <= 100


def test_json_lines_are_cut_at_lines() -> None:
    text = "".join(json.dumps({"id": i, "text": "some words that say little " * 5}) + "\n" for i in range(30))
    assert all(chunk.text.endswith("}\n") for chunk in chunks_of(text, Words(), 100))

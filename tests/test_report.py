"""The page of a comparison: it holds the figures of the tables, runs nothing, loads nothing, and believes no text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from comparing import BOOK, KEEPER, QUESTIONS, comparing, words_only, written
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import Document, ScriptedLLM
from ctxproc.compare_run import Comparing
from ctxproc.compare_scores import scored
from ctxproc.llm.base import Generation
from ctxproc.prompt import Prompt
from ctxproc.report_page import estimated, page, shown
from ctxproc.report_plot import RADIUS, Axes, Point, plot, short, spots

VOID = {"meta", "input", "br"}
ATTACKS = (
    "<script>alert(1)</script>",
    "</title></style><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'><svg onload=alert(1)>",
    "</details></main><iframe src=https://example.org></iframe>",
    "<a href=javascript:alert(1)>x</a>",
    "&lt;script&gt;&#60;script&#62;",
    "<!-- --><base href=https://example.org>",
    "]]><style>*{display:none}</style>",
    "\u202etxt.exe \x1b]0;x\x07 \x00 \udc80",
)


class Reading(HTMLParser):
    """Every element with its attributes, the text within it, and whether each is closed in its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text.append(data)


def read(text: str) -> Reading:
    """A page, taken apart."""
    reading = Reading()
    reading.feed(text)
    reading.close()
    assert reading.open == []
    return reading


def evil(attack: str) -> ScriptedLLM:
    """A model that answers and quotes what attacks."""

    def reply(prompt: Prompt) -> Generation:
        return Generation(f"{attack} a", 5, 5, confidence=0.9, quote=f"{attack} b")

    return ScriptedLLM(reply, gives_confidence=True, name=f"{attack} m")


ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "header", "main", "a", "h1", "h2", "h3", "p", "div", "figure"),
    *("svg", "line", "text", "circle", "g", "small", "table", "thead", "tbody", "tr", "th", "td", "span", "bdi", "b", "ul"),
    *("li", "fieldset", "legend", "label", "input", "details", "summary", "mark", "blockquote", "br", "q"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_no_text_of_a_document_a_question_an_answer_or_a_name_becomes_markup(attack: str, tmp_path: Path) -> None:
    plain = attack.encode("utf-8", "replace").decode()
    lines = [
        {"question": f"{plain} q?", "id": f"{plain} i", "kind": f"{plain} k", "answers": [f"{plain} g"]},
        {"question": "who?", "evidence": [{"quote": f"{plain} b"}], "answers": []},
    ]
    document = Document.from_text(f"{BOOK}{plain} b and more. {KEEPER}", f"{plain}.txt")
    questions = written(tmp_path / "q.jsonl", lines)
    settings = words_only("answer.require_evidence=false")
    attacked = Comparing(questions, [document], ("map_rerank", "full"), settings=settings, llm=evil(attack))
    comparison = attacked.run()
    comparison.ran[1].reason, comparison.ran[1].errors = f"{attack} r", {0: f"{attack} e"}
    comparison.ran[1].rows.clear()
    made = page(comparison, scored(comparison))
    found = read(made)
    assert {tag for tag, _ in found.elements} <= ALLOWED
    for tag, attributes in found.elements:
        assert not any(name.startswith("on") or name in ("src", "srcdoc", "formaction") for name in attributes)
        assert "href" not in attributes or (tag, attributes["href"]) == ("a", "#questions")
    visible = "".join(found.text)
    for text, ends in ((plain, ("q?", "i", "k", "g")), (attack, ("a", "b", "r", "e"))):
        for end in ends:
            assert f"{unescape(shown(text))} {end}" in visible, end
    assert not re.search("[\x00-\x08\x0e-\x1f\x7f\u202e\ud800-\udfff]", made)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_shown_as_itself_but_for_what_cannot_be_printed(text: str) -> None:
    made = shown(text)
    assert not set("<>\"'") & set(made)
    assert len(unescape(made)) == len(text.replace("\r\n", "\n"))
    for one, other in zip(unescape(made), text.replace("\r\n", "\n"), strict=True):
        assert one in (other, "\ufffd")


def test_the_page_asks_for_nothing_and_runs_nothing(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    text = page(comparison, scored(comparison))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy and policy[1].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script" not in text and "http:" not in text and "https:" not in text and "url(" not in text


def test_the_tables_of_the_page_hold_the_figures_of_the_scores(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    scores = scored(comparison)
    text = page(comparison, scores)
    rows = re.findall(
        r'<th scope="row"><span class="number">(\d+)</span><bdi>(.*?)</bdi></th>\s*(.*?)</tr>', text, re.DOTALL
    )
    assert [(number, name) for number, name, _ in rows] == [("1", "map_rerank"), ("2", "truncate")] * 2
    heads = re.findall(r'<th scope="col">(.*?)</th>', text)
    first = heads[1 : heads.index("Way", 1)]
    for (_, _, cells), one in zip(rows[:2], scores, strict=True):
        figures = dict(zip(first, re.findall(r"<td>(.*?)</td>", cells), strict=True))
        assert figures["Answers"] == "4"
        for head, name in (
            ("Exact match", "exact_match"),
            ("F1", "f1"),
            ("Abstained", "abstained"),
            ("Evidence recall", "evidence_recall"),
        ):
            assert figures[head] == estimated(one.quality.get(name))
        assert figures["Calibration error"] == estimated(one.calibration)
    assert "<b>map_rerank</b> has the highest F1: 67 (95 % interval 0 to 100)" in text
    assert "by kind of question" not in text


def test_a_way_measured_on_fewer_questions_is_not_named_as_the_highest(tmp_path: Path) -> None:
    comparison = comparing(tmp_path).run()
    for place in (1, 2):
        del comparison.ran[0].rows[place]
    text = page(comparison, scored(comparison))
    assert "<b>truncate</b> has the highest F1: 33 (95 % interval 0 to 100). This leaves out" in text
    assert "on fewer questions than others: <b>map_rerank</b> (1 of 3)." in text
    assert text.count("highest") == 1


def test_the_page_tells_the_leading_measure_of_each_kind(tmp_path: Path) -> None:
    kinds = ("<i>who</i>", "number", "number", "")
    lines = [{**line, "kind": kind} for line, kind in zip(QUESTIONS, kinds, strict=True)]
    comparison = comparing(tmp_path, questions=written(tmp_path / "q.jsonl", lines)).run()
    scores = scored(comparison)
    text = page(comparison, scores)
    read(text)
    table = text[text.index("<h2>F1 by kind of question</h2>") : text.index("<h2>Cost of a question</h2>")]
    heads = re.findall(r'<th scope="col">(.*?)</th>', table)
    assert heads == ["Way", "<bdi>&lt;i&gt;who&lt;/i&gt;</bdi>", "<bdi>number</bdi>", "<bdi>other</bdi>"]
    cells = re.findall(r"<td>(.*?)</td>", table)
    number = scores[0].kinds["number"]["f1"]
    assert cells[:3] == ["100<small>n = 1</small>", f"{estimated(number)}<small>n = 2</small>", "–"]
    assert cells[3] == "0<small>n = 1</small>"


def test_a_question_shows_each_answer_once_with_its_passage_marked_and_the_gold_one_underlined(tmp_path: Path) -> None:
    comparison = comparing(tmp_path, ("map_rerank", "refine", "truncate")).run()
    text = page(comparison, scored(comparison))
    [first, second, third, fourth] = re.findall(
        r'<details class="(?:every|some|none|open)" id="q\d+">.*?</details>', text, re.DOTALL
    )
    assert first.count('<div class="card ') == 2 and first.count(">Maren Oduya<") == 2  # the gold answer, and one card
    assert f'<mark><span class="gold">{shown(KEEPER)}</span></mark>' in first and first.count("<mark>") == 1
    assert 'class="some"' in first and "2 of 3 right" in first and "no answer given" in first
    assert 'class="none"' in second and '<div class="card wrong">' in second and ">198<" in second
    assert 'class="every"' in third and "right is to abstain" in third
    assert 'class="open"' in fourth and "no gold answer" in fourth and "2 different answers" in fourth


def test_a_passage_that_nobody_cites_is_shown_and_a_forged_one_is_not_marked(tmp_path: Path) -> None:
    def reply(prompt: Prompt) -> Generation:
        return Generation("Nobody", 5, 1, confidence=0.9, quote="A sentence that stands nowhere at all.")

    asked = ScriptedLLM(reply, gives_confidence=True)
    comparison = comparing(tmp_path, ("stuff",), llm=asked, settings=words_only("answer.require_evidence=false")).run()
    text = page(comparison, scored(comparison))
    assert text.count("not found in the source") == 4 and text.count("<mark>") == 1  # that of the explanation
    assert text.count("No way cites the gold passage") == 2
    assert f'<span class="gold">{shown(KEEPER)}</span>' in text


def test_without_gold_answers_the_page_says_so_and_leads_with_agreement(tmp_path: Path) -> None:
    questions = written(tmp_path / "q.jsonl", [{"question": "Who keeps the lamp?"}])
    comparison = comparing(tmp_path, questions=questions).run()
    text = page(comparison, scored(comparison))
    assert "nothing here says which answers are right" in text and "Agreement against cost" in text
    assert "1 of 1 questions have no gold answer" in text and "Exact match" not in text and "<fieldset>" not in text


def points(values: Sequence[tuple[float, float]]) -> list[Point]:
    return [Point(i, f"way {i}", cost, quality, quality, quality) for i, (cost, quality) in enumerate(values, 1)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0.001, 1e7), st.floats(0, 1)), min_size=1, max_size=24))
def test_every_point_stands_where_its_values_are_and_its_number_hides_none(values: list[tuple[float, float]]) -> None:
    axes = Axes.of(points(values))
    dots = [(axes.x(cost), axes.y(quality)) for cost, quality in values]
    ranks = sorted(range(len(values)), key=lambda i: values[i][0])
    assert all(dots[a][0] <= dots[b][0] + 1e-9 for a, b in pairwise(ranks))
    places = spots(dots)
    moved = [place for place, dot in zip(places, dots, strict=True) if place != dot]
    for i, one in enumerate(moved):
        for other in moved[:i]:
            assert ((one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2) ** 0.5 >= 2 * RADIUS - 1e-9
    drawn = plot(points(values), "F1", "tokens")
    assert re.findall(r'data-way="(\d+)"', drawn) == [str(i) for i in range(1, len(values) + 1)]
    for x, y in dots:
        assert f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}"' in drawn
    read(drawn)


def test_ticks_are_round_and_few_and_numbers_short() -> None:
    axes = Axes.of(points([(300, 0.2), (9000, 0.61)]))
    assert axes.cost_ticks() == [500, 1000, 2000, 5000, 10000] or all(100 <= tick <= 2e4 for tick in axes.cost_ticks())
    assert axes.quality_ticks() == [0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    assert [short(n) for n in (0.05, 1.5, 12, 999, 1000, 1234, 20_000_000)] == [
        "0.05",
        "1.5",
        "12",
        "999",
        "1k",
        "1.23k",
        "20M",
    ]

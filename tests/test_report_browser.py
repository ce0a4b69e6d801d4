"""The page of a comparison in a real browser: it needs no network, fits a phone, and is worked with the keyboard alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Page, browser, found
from comparing import BOOK, KEEPER, comparing

from ctxproc import Document
from ctxproc.compare_scores import scored
from ctxproc.compare_tables import write_all

CHROMIUM = found()
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="needs a Chromium, such as Debian's package chromium"),
    pytest.mark.skipif(sys.platform == "win32", reason="the browser is told what to do over POSIX pipes"),
]
STRATEGIES = ("map_rerank", "refine", "truncate", "pcw")
LONG = "x" * 400


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A browser for all tests of this file."""
    assert CHROMIUM is not None
    with browser(CHROMIUM) as opened:
        yield opened


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page with an answered question, one that nobody gets right, an unbroken line, and a way that was not run."""
    folder = tmp_path_factory.mktemp("report")
    comparison = comparing(folder, STRATEGIES).run()
    comparison.ran[3].rows.clear()
    comparison.ran[3].reason = f"a reason that is long: {LONG}"
    row = comparison.ran[2].rows[1]
    comparison.ran[2].rows[1] = type(row)(row.key, {**row.answer, "answer": LONG, "abstained": False}, row.measured)
    return write_all(comparison, scored(comparison), folder / "out")[-1].as_uri()


def shown(page: Page) -> list[bool]:
    """Which questions can be seen."""
    seen: list[bool] = page.js("[...document.querySelectorAll('details[id]')].map((d) => d.checkVisibility())")
    return seen


def test_it_loads_without_asking_anything_of_a_network_and_without_an_error(page: Page, url: str) -> None:
    before = len(page.events)
    page.go(url)
    page.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    events: list[dict[str, Any]] = page.events[before:]
    asked = [
        event["params"]["request"]["url"] for event in events if event.get("method") == "Network.requestWillBeSent"
    ]
    assert asked == [url]
    assert not [event for event in events if event.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown")]
    assert page.js("document.scripts.length") == 0


def test_the_plots_are_there_and_their_points_are_inside_and_apart(page: Page, url: str) -> None:
    page.go(url)
    code = """[...document.querySelectorAll('svg')].map((svg) => {
      const box = svg.getBoundingClientRect();
      const marks = [...svg.querySelectorAll('.badge circle')].map((c) => c.getBoundingClientRect());
      const inside = marks.every((m) => m.left >= box.left && m.right <= box.right &&
        m.top >= box.top && m.bottom <= box.bottom);
      const apart = marks.every((a, i) => marks.every((b, j) => i <= j ||
        Math.hypot(a.x + a.width / 2 - b.x - b.width / 2, a.y + a.height / 2 - b.y - b.height / 2) >= a.width));
      return [box.width > 300, box.height > 150, marks.length, inside, apart, svg.getAttribute('aria-label')];
    })"""
    for width in (1280, 360):
        page.go(url, width)
        if width == 360:
            code = code.replace("box.width > 300", "box.width > 250")
        plots = page.js(code)
        assert [plot[:5] for plot in plots] == [[True, True, 3, True, True]] * 2
        assert plots[0][5].startswith("F1, percent against Tokens read for a question of 3 ways")


def test_what_an_answer_cites_is_marked(page: Page, url: str) -> None:
    page.go(url)
    page.js("document.getElementById('q1').open = true")
    marked = page.js(
        "[...document.querySelectorAll('#q1 mark')].map((m) => [m.innerText, getComputedStyle(m).backgroundColor])"
    )
    assert [text for text, _ in marked] == [KEEPER]
    assert marked[0][1] not in ("rgba(0, 0, 0, 0)", page.js("getComputedStyle(document.body).backgroundColor"))
    line = page.js("getComputedStyle(document.querySelector('#q1 .gold')).textDecorationLine")
    assert line == "underline"


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_the_page_is_no_wider_than_the_window_also_with_everything_open(width: int, page: Page, url: str) -> None:
    page.go(url, width)
    page.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.js("document.documentElement.scrollWidth") == page.js("innerWidth") == width
    wide = page.js(
        "[...document.querySelectorAll('body *')].filter((e) => !e.closest('.scroll') && !e.closest('.skip')"
        " && e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 80))"
    )
    assert wide == []
    small = page.js(
        "[...document.querySelectorAll('p, li, td, blockquote, summary')].filter((e) =>"
        " parseFloat(getComputedStyle(e).fontSize) < 12).length"
    )
    assert small == 0


def test_the_keyboard_reaches_everything_in_order_and_opens_and_filters(page: Page, url: str) -> None:
    page.go(url)
    reached = []
    code = """(() => { const {tagName, id, className, parentElement} = document.activeElement;
      const name = {A: 'skip', INPUT: id, SUMMARY: parentElement?.id || 'measures'}[tagName] ?? className;
      return [name, getComputedStyle(document.activeElement).outlineStyle]; })()"""
    for _ in range(9):
        page.press("Tab")
        reached.append(page.js(code))
    order = ["skip", "scroll", "scroll", "measures", "show-all", "q1", "q2", "q3", "q4"]
    assert reached == [[name, "solid"] for name in order]
    page.js("document.querySelector('#q1 summary').focus()")
    page.press("Enter")
    assert page.js("document.getElementById('q1').open") is True
    page.press("Space")
    assert page.js("document.getElementById('q1').open") is False
    assert shown(page) == [True] * 4
    page.js("document.getElementById('show-all').focus()")
    page.press("ArrowDown")
    assert page.js("document.activeElement.id") == "show-some" and shown(page) == [True, False, False, False]
    page.press("ArrowDown")
    assert page.js("document.activeElement.id") == "show-none" and shown(page) == [False, True, False, False]


def test_text_stands_out_from_its_ground_in_light_and_dark(page: Page, url: str) -> None:
    code = """(() => {
      const light = (c) => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map((v) => {
        v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
        return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
      const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
      return Math.min(...[...document.querySelectorAll('p, li, th, td, small, mark, summary, bdi, .answer')].map((e) => {
        const a = light(getComputedStyle(e).color), b = light(ground(e));
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }));
    })()"""
    for scheme in ("light", "dark"):
        page.say("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        page.go(url)
        page.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert page.js(code) >= 4.5


def test_markup_in_documents_and_answers_does_nothing(page: Page, tmp_path: Path) -> None:
    attack = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    from ctxproc.compare_run import Comparing

    opened = comparing(tmp_path)
    document = Document.from_text(BOOK.replace("at the point", f"at {attack} the point"), f"{attack}.txt")
    questions = [type(q)(f"{q.id}{attack}", f"{q.text}{attack}", q.answers) for q in opened.questions]
    comparison = Comparing(questions, [document], ("stuff",), settings=opened.settings, llm=opened._llm).run()
    path = write_all(comparison, scored(comparison), tmp_path / "out")[-1]
    page.go(path.as_uri())
    page.js("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.js("document.title") == "Comparison: 1 ways, 4 questions"
    assert page.js("document.querySelectorAll('img, script').length") == 0
    assert attack in page.js("document.body.innerText")

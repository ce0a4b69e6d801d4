"""The needle benchmark hides what it says where it says, and counts as a person would."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from needle import grids, kept, table
from needle_facts import Needle, haystack, hide, needles
from needle_picture import CELL, colour, picture

from ctxproc.llm.scripted import WordTokenizer

NOVEL = "".join(f"It rained on day {i}. " for i in range(1000))


def test_every_kind_has_its_needles_in_every_bin_with_names_of_their_own() -> None:
    made = needles(depths=4, each=3)
    assert len(made) == 4 * 3 * 3
    for needle in made:
        assert abs(needle.places[-1] - needle.depth) <= 1 / 8
        assert needle.answer in needle.facts[-1] and needle.answer not in needle.question
        assert len(needle.facts) == len(needle.places) == (1 if needle.kind == "single" else 2)
    names = [name for needle in made for name in set(re.findall(r"[A-Z][a-z]{7,}", " ".join(needle.facts)))]
    assert len(names) == len(set(names))
    assert made == needles(depths=4, each=3) != needles(depths=4, each=3, seed=1)


def test_an_update_stands_behind_what_it_replaces_and_a_pair_needs_both_facts() -> None:
    for needle in needles(depths=5, each=4):
        if needle.kind == "update":
            assert needle.places[0] < needle.places[1] and needle.stale in needle.facts[0]
        if needle.kind == "two-hop":
            asked = re.findall(r"of ([A-Z]\w+)", needle.question)[-1]
            assert asked in needle.facts[0] and asked not in needle.facts[1]


def test_facts_stand_between_sentences_at_their_depth_and_the_novel_is_otherwise_whole() -> None:
    hidden = needles(depths=5, each=2)
    text = hide(NOVEL, hidden)
    for needle in hidden:
        for fact, place in zip(needle.facts, needle.places, strict=True):
            assert text.count(fact) == 1
            at = text.index(fact)
            assert text[at - 2 : at] == ". "
            assert abs(at / len(text) - place) < 0.02
        if needle.kind == "update":
            assert text.index(needle.facts[0]) < text.index(needle.facts[1])
    for needle in hidden:
        for fact in needle.facts:
            text = text.replace(f"{fact} ", "")
    assert text == NOVEL


@pytest.mark.parametrize("tokens", [1000, 6000, 12_500])
def test_a_haystack_has_the_tokens_asked_for(tokens: int) -> None:
    count = WordTokenizer().count
    text = haystack(iter([NOVEL, NOVEL, NOVEL]), tokens, count)
    assert abs(count(text) - tokens) <= max(2, tokens // 1000)
    assert text.startswith(NOVEL[: len(text)])
    with pytest.raises(ValueError, match="tokens short"):
        haystack(iter([NOVEL]), 7000, count)


def test_an_answer_is_right_by_whole_words_and_not_where_the_stale_name_stands_beside() -> None:
    needle = Needle("update", 0, "?", "Marnev", ("x", "y"), 0.5, (0.1, 0.5), stale="Quindor")
    assert needle.right("the castle of Marnev.") and needle.right("MARNEV")
    assert not needle.right("Marnevyar") and not needle.right("") and not needle.right("Marnev, once Quindor")


def record(**values: object) -> dict[str, object]:
    row: dict[str, object] = {
        "model": "m",
        "strategy": "s",
        "tokens": 10_000,
        "kind": "single",
        "depth": 0.5,
        "number": 0,
    }
    row |= {"outcome": "right", "evidence": True, "calls": 2, "seconds": 1.5, "beyond_imports_mb": 100.0, "reason": ""}
    return row | values


def test_recall_leaves_out_what_was_not_asked() -> None:
    rows = [record(), record(outcome="wrong"), record(outcome="abstained", depth=0.9), record(outcome="cut", depth=0.9)]
    rows += [record(strategy="t", outcome="refused", reason="it has no logits")]
    found = grids(rows)
    assert found["s", "single"] == {(10_000, 0.5): 0.5, (10_000, 0.9): 0.0}
    assert found["t", "single"] == {}
    head, first, second = table(rows)
    assert first.split()[:5] == ["s", "10k", "33", "50", "0"]
    assert "cut" in first and "3/4" in first
    assert second.split()[:2] == ["t", "10k"] and second.endswith("refused: it has no logits")
    assert head.split()[:3] == ["tokens", "single", "@50%"]


def test_a_record_that_was_cut_off_is_asked_again(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    assert kept(file) == []
    file.write_text(json.dumps(record()) + "\n" + json.dumps(record())[:20])
    assert kept(file) == [record()]
    with file.open("a") as more:
        more.write(json.dumps(record(number=1)) + "\n")
    assert kept(file) == [record(), record(number=1)]


def test_the_picture_has_a_cell_of_its_colour_for_every_length_and_depth() -> None:
    grid = {(10_000, 0.25): 1.0, (10_000, 0.75): 0.0, (1_000_000, 0.25): 0.5}
    drawn = ElementTree.fromstring(picture({("a<b", "single"): grid}, [10_000, 1_000_000], [0.25, 0.75], "T & U"))
    cells = [e for e in drawn.iter("{http://www.w3.org/2000/svg}rect") if len(e)]
    assert [(c[0].text, c.get("fill")) for c in cells] == [
        ("a<b, single, 10k, depth 25%: 1.00", colour(1)),
        ("a<b, single, 10k, depth 75%: 0.00", colour(0)),
        ("a<b, single, 1M, depth 25%: 0.50", colour(0.5)),
        ("a<b, single, 1M, depth 75%: not measured", "#dddddd"),
    ]
    assert float(cells[3].get("x", "")) - float(cells[0].get("x", "")) == CELL
    assert len({colour(0), colour(0.5), colour(1)}) == 3

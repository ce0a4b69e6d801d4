"""Cloze questions: each is a sentence of the source with its answer taken out, and the same seed gives the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctxproc import Document
from ctxproc.compare_cloze import cloze, clozes, write_cloze
from ctxproc.compare_questions import gold_places, read_questions
from ctxproc.errors import UsageError

PEOPLE = ("Maren Oduya", "Tobias Wray", "Hedda Lund", "Ambrose Keddle", "Caleb Dunnet", "Rasmus Vind")
PLACES = ("Skerry", "Aldersey", "Merrowby", "Ostrel", "Noss", "Sleeve")
ENGLISH = "".join(
    f"In the evening the lamp of the {place.lower()} light was kept by {name} and by nobody else. "
    f"The tower that the people of the {place.lower()} built had {90 + i} stairs in all. "
    f"The door of the {place.lower()} tower was painted red in the year {1780 + i} and never again.\n"
    for i, (name, place) in enumerate(zip(PEOPLE, PLACES, strict=True))
)
CHINESE = "那位老人在灯塔里写了一本书叫《海上日记》，没有人读过它。岛上的人说塔里共有一百二十级台阶和三十六个房间。"


def test_each_question_lacks_its_answer_which_stands_in_its_evidence() -> None:
    for text in (ENGLISH, CHINESE):
        document = Document.from_text(text, "book.txt")
        made = list(clozes(document))
        assert len(made) == (18 if text == ENGLISH else 2)
        for one in made:
            assert text[one.start : one.end].count(one.answer) == 1 and one.answer not in one.question


def test_what_is_asked_for_is_a_year_a_number_or_a_name_in_its_place() -> None:
    made = list(clozes(Document.from_text(ENGLISH, "b")))[:3]
    assert [(one.question, one.answer) for one in made] == [
        ("In the evening the lamp of the skerry light was kept by who or what and by nobody else?", "Maren Oduya"),
        ("The tower that the people of the skerry built had how many stairs in all?", "90"),
        ("The door of the skerry tower was painted red in which year and never again?", "1780"),
    ]
    asked = [one.question for one in clozes(Document.from_text(CHINESE, "b"))]
    assert asked[0] == "那位老人在灯塔里写了一本书叫《什么》，没有人读过它？"


def test_the_same_seed_draws_the_same_and_another_seed_others() -> None:
    documents = [Document.from_text(ENGLISH, "book.txt")]
    assert cloze(documents, 5, 1) == cloze(documents, 5, 1) != cloze(documents, 5, 2)
    assert len(cloze(documents, 5)) == 5 and len(cloze(documents, 500)) == 18
    assert [one.start for one in cloze(documents, 9)] == sorted(one.start for one in cloze(documents, 9))


def test_the_file_is_one_that_a_comparison_reads_and_none_is_overwritten(tmp_path: Path) -> None:
    documents, path = [Document.from_text(ENGLISH, "book.txt")], tmp_path / "q.jsonl"
    assert write_cloze(documents, 4, path) == 4
    for line, question in zip(path.read_text().splitlines(), read_questions(path), strict=True):
        [[place]] = gold_places(question, documents)
        assert json.loads(line)["answers"][0] in ENGLISH[place.start : place.end]
        assert question.kind == "cloze"
    with pytest.raises(UsageError, match="is there already: leave out --generate"):
        write_cloze(documents, 4, path)
    with pytest.raises(UsageError, match="write questions yourself"):
        write_cloze([Document.from_text("nothing here", "b")], 4, tmp_path / "other.jsonl")
    assert not (tmp_path / "other.jsonl").exists()

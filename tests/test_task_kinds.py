"""Choices, JSON, summaries: what the reply must be, how it is taken apart, where its evidence is looked for."""

from __future__ import annotations

import json

import pytest
from helpers import chunks_of
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import Constraint, ScriptedLLM
from ctxproc.answer import ground_all
from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Generation
from ctxproc.prompt import does_task, source, template, template_names
from ctxproc.task import LISTED, Answering, Choosing, Extracting, Reply, Summarising, Task, first_json, leaves, task_of

TASKS: tuple[Task, ...] = (Answering(), Summarising(), Choosing(("a", "b")), Extracting({"type": "object"}))
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def said(text: str) -> Generation:
    return Generation(text, 1, 1)


@every_task
def test_every_template_of_a_step_is_filled_by_every_task(task: Task) -> None:
    for name in template_names():
        if "{context}" not in source(name):
            continue
        form = template(name, task.name)
        values = {**dict.fromkeys(form.places, "?"), "question": "Who?", **task.values}
        prompt = form.fill(["{question}"], values)
        assert prompt.contexts == ("{question}",)
        assert prompt.field("question") == ("Who?" if "question" in form.places else "")
        assert "{task}" not in str(prompt)
        if does_task(name, task.name):
            assert source(f"task.{task.name}").rpartition("\n")[2] in str(prompt)


def test_all_templates_that_read_a_text_begin_alike_so_that_one_entry_serves_all() -> None:
    beginnings = {source(name).partition("{context}")[0] for name in template_names() if "{context}" in source(name)}
    assert beginnings == {"Read this text, then reply.\n\nText:\n", "Read these notes, then reply.\n\nNotes:\n"}


@every_task
@given(text=st.text(), quote=st.none() | st.text(), sure=st.none() | st.floats(0, 1))
def test_no_reply_raises(task: Task, text: str, quote: str | None, sure: float | None) -> None:
    reply = task.parse(Generation(text, 1, 1, quote=quote, confidence=sure))
    for found in task.quotes("Who?", reply, chunks_of("a b. "), 0.5):
        assert found.chunks


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ("red", "red"),
        (" Red.\nQuote: it is", "red"),
        ("The answer is dark red, I think", "dark red"),
        ("bule", "blue"),
        ("redder", "red"),
        ("elephants", ""),
        ("NOT FOUND", ""),
        ("", ""),
    ],
)
def test_a_choice_is_what_the_reply_equals_names_or_resembles(text: str, choice: str) -> None:
    assert Choosing(("red", "dark red", "blue")).parse(said(text)).answer == choice


@pytest.mark.parametrize(
    ("choices", "text", "choice"),
    [
        (("May", "may"), "may", "may"),
        (("May", "may"), "MAY", ""),
        (("Inc", "Inc."), "Inc.", "Inc."),
        (("a b", "a  b"), "a  b", "a  b"),
        (("answer: b", "b"), "answer: b", "answer: b"),
        (("found", "not found"), "not found", "not found"),
        (("...", "x"), "...", "..."),
        (("blue", "red"), "It is not blue but red", ""),
        (("blue", "red"), "It is red, red I say", "red"),
        (("red", "dark red"), "dark red", "dark red"),
    ],
)
def test_of_choices_alike_the_one_said_is_taken_or_none(choices: tuple[str, ...], text: str, choice: str) -> None:
    assert Choosing(choices).parse(said(text)).answer == choice


def test_a_choice_that_was_cut_is_the_only_one_that_begins_so() -> None:
    choosing = Choosing(("Maren Oduya", "Maren Brandt", "Otto"))
    cut = {
        text: choosing.parse(Generation(text, 1, 1, finish="length")).answer for text in ("Maren", "Maren B", "Ot", "")
    }
    assert cut == {"Maren": "", "Maren B": "Maren Brandt", "Ot": "Otto", "": ""}


def test_choices_constrain_decoding_and_are_listed_unless_there_are_too_many() -> None:
    few, many = Choosing(("a", "b")), Choosing(tuple(map(str, range(LISTED + 1))))
    assert few.constraint == Constraint(choices=("a", "b"))
    assert few.values == {"choices": "Choices:\n- a\n- b\n\n"}
    assert many.values == {"choices": ""} and many.constraint == Constraint(choices=many.choices)


@pytest.mark.parametrize("choices", [(), ("a", "a"), ("a", " "), (1, "a")])
def test_choices_that_are_none_are_refused(choices: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="choices must be"):
        Choosing(choices)


@given(JSON)
def test_json_comes_out_as_it_went_in_among_other_words(value: object) -> None:
    text = json.dumps(value)
    expected = value if isinstance(value, (dict, list)) else None
    assert first_json(f"Here it is: {text} So.") == expected


def test_an_extraction_keeps_its_values_and_without_one_it_is_nothing() -> None:
    task = Extracting('{"type": "object"}')
    assert task.parse(said('Sure! {"a": ["x", 3, true], "b": {"c": " y"}} Bye')).answer == (
        '{"a": ["x", 3, true], "b": {"c": " y"}}'
    )
    assert Extracting('{"type": "string"}').parse(said(' "Maren" ')).answer == '"Maren"'
    deep = '{"a": ' * 990 + "1" + "}" * 990
    for text in ("{}", "[]", '{"a": null, "b": [""]}', "none", '{"a": 1', "[" * 100_000, deep, '{"a": "\\ud800"}'):
        assert task.parse(said(text)) == Reply("", "")
    assert list(leaves({"a": ["x", 3, True, None, ""], "b": {"c": 2.5}})) == ["x", "3", "2.5"]


def test_what_is_only_true_or_false_rests_on_the_nearest_passage() -> None:
    chunks = chunks_of("The sea is wide. Maren is married. ")
    reply = Extracting("{}").parse(said('{"married": true}'))
    [quote] = Extracting("{}").quotes("Is Maren married?", reply, chunks, 1.0)
    assert quote.text == "Maren is married."
    assert list(leaves({"a": [True, "x", 2]}, truths=True)) == ["True", "x", "2"]


def test_the_evidence_of_an_extraction_is_where_its_values_stand() -> None:
    chunks = chunks_of("Maren is 41. ", "She lives in Vey. ")
    reply = Extracting("{}").parse(said('{"name": "Maren", "age": 41, "town": "Vey", "cat": "Tom"}'))
    found = {item.quote: item.status for item in ground_all(Extracting("{}").quotes("?", reply, chunks, 1.0))}
    assert found == {"Maren": "verified", "41": "verified", "Vey": "verified", "Tom": "unverified"}


def test_a_model_that_only_quotes_is_refused_where_words_must_be_written() -> None:
    reader = ScriptedLLM()
    reader.writes = False
    for task in (Summarising(), Extracting("{}")):
        with pytest.raises(ModelError, match="name a model that writes"):
            task.check(reader)
    Answering().check(reader)
    Choosing(("a",)).check(reader)


def test_one_task_is_asked_for_at_a_time() -> None:
    assert task_of() == Answering()
    assert task_of(summarise=True) == Summarising()
    assert task_of(choices=["a", "b"]) == Choosing(("a", "b"))
    assert task_of(schema={"type": "object"}) == Extracting('{"type": "object"}')
    with pytest.raises(ConfigError, match="exclude each other"):
        task_of(choices=["a"], summarise=True)

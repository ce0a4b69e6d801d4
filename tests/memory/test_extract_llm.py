"""Facts by a language model: what is kept, dropped and counted. Injections are in test_extract_own.py."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from models import STORIES

from ctxproc.errors import ModelError
from ctxproc.llm.base import LLM
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.scripted import ScriptedLLM
from ctxproc.memory.base import Note, Passage
from ctxproc.memory.extract.base import Triple
from ctxproc.memory.extract.llm import MOST_FACTS, LlmExtractor

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)


def turn(text: str) -> Passage:
    return Passage(7, Note(text, "turn", NOON, "alice", "chat/1", {"role": "user", "session": "1"}))


def fact(quote: str, subject: str, relation: str, thing: str, ends: object = False) -> dict[str, object]:
    return {"quote": quote, "subject": subject, "relation": relation, "object": thing, "ends": ends}


def replying(*facts: object) -> ScriptedLLM:
    return ScriptedLLM([json.dumps({"reasoning": "It says so.", "facts": list(facts)})])


def test_a_fact_with_its_quote_in_the_users_words_is_kept() -> None:
    text = "Well, I moved to Lyon last May with my sister Anna. She is fine."
    quote = "I moved to Lyon last May"
    extractor = LlmExtractor(replying(fact(quote, "I", "Lives in", "Lyon")))
    start = text.index(quote)
    since = datetime(2025, 5, 1, tzinfo=UTC)
    assert extractor.extract(turn(text)) == [
        Triple("alice", "lives in", "Lyon", start, start + len(quote), single=True, since=since)
    ]
    assert (extractor.failures, extractor.dropped) == (0, 0)


@pytest.mark.parametrize(
    ("subject", "expected"), [("I", "alice"), ("user", "alice"), ("Alice", "alice"), ("my sister", "alice's sister")]
)
def test_the_subject_is_the_speaker_or_a_person_whom_the_words_name(subject: str, expected: str) -> None:
    extractor = LlmExtractor(replying(fact("my sister and I live in Lyon", subject, "lives in", "Lyon")))
    assert [t.subject for t in extractor.extract(turn("As you know, my sister and I live in Lyon."))] == [expected]


@pytest.mark.parametrize(
    "made_up",
    [
        fact("I live in Paris", "I", "lives in", "Paris"),  # said nowhere
        fact("I live in Lyon", "I", "lives in", "Paris"),  # not in the quote
        fact("I live in Lyon", "I", "lives in", "Lyo"),  # part of a word
        fact("i live in lyon", "I", "lives in", "lyon"),  # not word for word
        fact("I live in Rome", "I", "lives in", "Rome"),  # quoted from another
        fact("I live in Lyon", "Bob", "lives in", "Lyon"),  # nobody named so
        fact("I live in Lyon. He", "I", "lives in", "Lyon"),  # across two spans
        fact("I live in Lyon", "I", "", "Lyon"),
        fact("I live in Lyon", "I", "lives in", ""),
        fact("", "I", "lives in", "Lyon"),
        fact("Lyon", "Lyon", "is", "Lyon"),
        {"quote": 3, "subject": None, "relation": [], "object": {}, "ends": 1},
        {},
    ],
)
def test_a_fact_that_the_users_words_do_not_hold_is_dropped_and_counted(made_up: dict[str, object]) -> None:
    extractor = LlmExtractor(replying(made_up, fact("I live in Lyon", "I", "lives in", "Lyon")))
    found = extractor.extract(turn('I live in Lyon. He said "I live in Rome".'))
    assert [t.object for t in found] == ["Lyon"]
    assert (extractor.failures, extractor.dropped) == (0, 1)


@pytest.mark.parametrize(
    "reply", ["", "no facts", "[]", "{}", '{"facts": 3}', '{"facts": ["x"]}', '{"facts": [', "[" * 99999]
)
def test_a_reply_that_is_no_json_of_the_schema_is_a_failure(reply: str) -> None:
    extractor = LlmExtractor(ScriptedLLM([reply]), max_new_tokens=3000)
    assert extractor.extract(turn("I live in Lyon.")) == extractor.extract(turn("I live in Rome.")) == []
    assert (extractor.failures, extractor.dropped) == (2, 0)


def test_a_reply_that_is_cut_is_a_failure() -> None:
    extractor = LlmExtractor(replying(fact("I live in Lyon", "I", "lives in", "Lyon")), max_new_tokens=8)
    assert extractor.extract(turn("I live in Lyon.")) == [] and extractor.failures == 1


def test_a_turn_that_does_not_fit_the_window_is_a_failure() -> None:
    extractor = LlmExtractor(ScriptedLLM(context_window=50))
    assert extractor.extract(turn("I live in Lyon.")) == [] and extractor.failures == 1


def test_the_model_is_shown_the_users_own_words_only_and_asked_under_the_schema() -> None:
    model = replying()
    LlmExtractor(model).extract(turn('I live in Lyon. He said "I hate Rome and Oslo" loudly. Do I?'))
    [prompt] = model.prompts
    assert prompt.contexts == ("I live in Lyon.\nHe ",)
    assert "Rome" not in str(prompt) and prompt.field("speaker") == "alicealicealice"


def test_a_turn_of_questions_costs_no_call() -> None:
    model = replying()
    assert LlmExtractor(model).extract(turn("Do I live in Lyon?")) == [] and model.prompts == []


def test_relations_that_the_rules_do_not_know_supersede_nothing() -> None:
    text = "I collect stamps, I no longer live in Lyon and my sister is called Anna."
    extractor = LlmExtractor(
        replying(
            fact("I collect stamps", "I", "collects", "stamps"),
            fact("I no longer live in Lyon", "I", "lives in", "Lyon", ends=True),
            fact("my sister is called Anna", "I", "has sister", "Anna"),
        )
    )
    assert [(t.relation, t.single, t.ends) for t in extractor.extract(turn(text))] == [
        ("collects", False, False),
        ("lives in", True, True),
        ("has sister", False, False),
    ]


def test_no_more_facts_are_read_than_the_schema_allows() -> None:
    text = ". ".join(f"I own item{i}" for i in range(20)) + "."
    facts = [fact(f"I own item{i}", "I", "owns", f"item{i}") for i in range(20)]
    extractor = LlmExtractor(replying(*facts), max_new_tokens=3000)
    assert len(extractor.extract(turn(text))) == MOST_FACTS


def test_a_model_that_cannot_write_is_refused() -> None:
    with pytest.raises(ModelError, match="quoting"):
        LlmExtractor(BuiltinReader())


@pytest.mark.skipif(not STORIES.is_dir(), reason="no shared/data/models/stories260K")
def test_a_real_model_replies_json_of_the_schema_or_is_counted() -> None:
    from ctxproc.llm.local import TransformersLLM

    model: LLM = TransformersLLM(str(STORIES), device="cpu", dtype="float32")
    extractor = LlmExtractor(model, max_new_tokens=24)
    assert isinstance(extractor.extract(turn("I live in Lyon.")), list)
    assert extractor.failures + extractor.dropped >= 1  # 24 tokens are too few, or what it says stands nowhere

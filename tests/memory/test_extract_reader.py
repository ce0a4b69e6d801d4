"""Facts that the built-in reader finds where no rule does: what it is asked, what it may point at, what it never reads."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from chats import memory_of
from test_extract_own import INJECTIONS, turn

from ctxproc import Chat
from ctxproc.config import resolve
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.scripted import ScriptedLLM
from ctxproc.memory.bank import READ, Bank
from ctxproc.memory.extract.reader import LONGEST, ReaderExtractor, certain, people, question
from ctxproc.memory.extract.rules import RuleExtractor
from ctxproc.memory.facts import Facts
from ctxproc.prompt import Prompt


class Knowing(ScriptedLLM):
    """Answers a question by the words that stand behind it here, with a confidence of 0.9, and every other with 0.0."""

    def __init__(self, **answers: str) -> None:
        super().__init__()
        self.gives_confidence = True
        self.writes = False
        self.answers = {name.replace("_", " ").lower() + "?": text for name, text in answers.items()}
        self.asked: list[tuple[str, str]] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        made = []
        for prompt in prompts:
            asked, text = prompt.field("question"), prompt.part("context")
            self.asked.append((asked, text))
            answer = self.answers.get(asked.lower(), "")
            made.append(Generation(answer, "stop", 1, 1, confidence=0.9 if answer and answer in text else 0.0))
        return made


def found(text: str, model: ScriptedLLM | BuiltinReader) -> list[tuple[str, str, str]]:
    return [(one.subject, one.relation, one.object) for one in ReaderExtractor(model).extract(turn(text))]


@pytest.fixture(scope="module")
def reader() -> BuiltinReader:
    return BuiltinReader()


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("Please note Ana is employed over at Vexel.", ("Ana", "works at", "Vexel")),
        ("Ana is on the payroll of Vexel.", ("Ana", "works at", "Vexel")),
        ("As of this week Carla Diaz is the one I report to.", ("alice", "has manager", "Carla Diaz")),
        ("The dish I would pick over everything is ramen.", None),
        ("My neighbour is employed over at Acme.", None),
        ("I thought of moving to Oslo.", None),
        ("I nearly took the job at Acme.", None),
        ("My flight to Oslo was cancelled.", None),
        ("Where do I live?", None),
    ],
)
def test_the_built_in_reader_gives_what_is_stated_and_not_what_is_only_possible(
    text: str, fact: tuple[str, str, str] | None, reader: BuiltinReader
) -> None:
    rules = {(one.subject, one.relation, one.object) for one in RuleExtractor().extract(turn(text))}
    assert {*found(text, reader), *rules} == ({fact} if fact else set())


@pytest.mark.parametrize("text", INJECTIONS)
def test_what_is_not_the_users_own_statement_gives_the_reader_no_fact(text: str, reader: BuiltinReader) -> None:
    assert [one for one in ReaderExtractor(reader).extract(turn(text)) if one.object == "Paris"] == []


@pytest.mark.parametrize("role", ["assistant", "tool", "system", ""])
def test_the_words_of_others_are_not_even_read(role: str) -> None:
    model = Knowing(where_do_i_live_now="Oslo")
    said = turn("Oslo is where you will find me.", role)
    assert ReaderExtractor(model).extract(said) == [] and model.asked == []


def test_what_the_rules_know_is_not_asked_again() -> None:
    model = Knowing(where_do_i_live_now="Lyon")
    assert RuleExtractor().extract(turn("I live in Lyon.")) != []
    assert found("I live in Lyon.", model) == [] and model.asked == []


def test_a_hopeless_question_is_not_put_in_other_words() -> None:
    model = Knowing(where_do_i_live_now="Oslo")
    assert found("You will find me at the harbour of Oslo.", model) == [("alice", "lives in", "Oslo")]
    asked = [question for question, _ in model.asked]
    assert asked.count("Where do I live now?") == 1 and len(asked) == 7 + 2
    assert [one for one in asked if "move to" in one or "home" in one] == [
        "Which city did I move to?",
        "Where is my home?",
    ]


def test_a_span_of_another_kind_is_no_fact() -> None:
    assert found("You will find me at the harbour.", Knowing(where_do_i_live_now="the harbour")) == []
    assert found("It pays my rent to be Bob.", Knowing(what_is_my_job_now="Bob")) == []
    assert found("Well, hello Oslo and me.", Knowing(where_do_i_live_now="hello Oslo")) == [
        ("alice", "lives in", "Oslo")
    ]


def test_words_that_answer_the_questions_of_two_relations_alike_are_no_fact() -> None:
    text = "You will find me at the harbour of Oslo."
    assert found(text, Knowing(where_do_i_live_now="Oslo", who_is_my_boss_now="me")) == [("alice", "lives in", "Oslo")]
    assert found(text, Knowing(where_do_i_live_now="Oslo", who_is_my_boss_now="Oslo")) == []


def test_a_long_sentence_is_not_read_and_the_longest_one_fits_the_window(reader: BuiltinReader) -> None:
    model = Knowing()
    assert found("I " + "x" * (LONGEST - 2), model) == [] and model.asked != []
    asked = len(model.asked)
    assert found("I " + "x" * (LONGEST - 1), model) == [] and len(model.asked) == asked
    assert found(("Xq Zj Kv " + "z q " * LONGEST)[:LONGEST], reader) == []


def test_below_the_confidence_nothing_is_believed() -> None:
    text, model = "You will find me at the harbour of Oslo.", Knowing(where_do_i_live_now="Oslo")
    assert [one.object for one in ReaderExtractor(model, 0.9).extract(turn(text))] == ["Oslo"]
    assert ReaderExtractor(model, 0.91).extract(turn(text)) == []


def test_the_span_of_a_fact_stands_in_the_turn() -> None:
    text = "Hello there. You will find me at the harbour of Oslo. Bye."
    [fact] = ReaderExtractor(Knowing(where_do_i_live_now="Oslo")).extract(turn(text))
    assert text[fact.start : fact.end] == "You will find me at the harbour of Oslo"
    assert (fact.single, fact.ends, fact.since) == (True, False, None)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("I'm no longer in Oslo, Lyon has me now", "Lyon has me now"),
        ("I'd love to live in Oslo, my home is Lyon", "my home is Lyon"),
        ("I quit Acme and Vexel has me now", "I and Vexel has me now"),
        ("I might buy a Fiat", ""),
        ("Lyon is home", "Lyon is home"),
    ],
)
def test_what_is_denied_only_possible_or_over_is_blanked_in_place(text: str, left: str) -> None:
    kept = certain(text)
    assert len(kept) == len(text) and " ".join(kept.replace(",", " ").split()) == left
    assert all(new in (old, " ") for old, new in zip(text, kept, strict=True))


def test_of_whom_a_sentence_is_asked() -> None:
    assert people("Ana lives with me") == [""]
    assert people("Acme took on Ana's brother") == ["Ana"]
    assert people("Tom from work was hired by Acme") == ["Tom from work"]
    assert people("in Lyon it rains") == []


def test_questions_are_put_into_the_third_person() -> None:
    assert question("Which city did I move to?", "Ana") == "Which city did Ana move to?"
    assert question("Who is my boss now?", "Ana") == "Who is Ana's boss now?"
    assert question("Who am I dating now?", "") == "Who am I dating now?"


def test_a_bank_reads_turns_in_consolidation_alone_and_each_of_them_once(tmp_path: Path) -> None:
    model = Knowing(where_do_i_live_now="Oslo")
    with memory_of(tmp_path) as memory:
        bank = Bank(memory, extractor=RuleExtractor(), slow=ReaderExtractor(model))
        at = datetime(2026, 5, 1, 9, tzinfo=UTC)
        ids = [
            bank.turn("I live in Lyon.", time=at),
            bank.turn("You will find me at the harbour of Oslo.", time=at + timedelta(days=1)),
        ]
        assert [len(bank.learn(one)) for one in ids] == [1, 0] and model.asked == []
        now = at + timedelta(days=3)
        assert bank.consolidate(now).learned == 1
        asked = len(model.asked)
        assert asked == 9 and memory.store.setting(memory.owner, READ) == str(ids[1])
        assert bank.consolidate(now).learned == 0 and len(model.asked) == asked
        facts = Facts.of(memory.store.passages(memory.owner, "memory"))
        assert [
            (one.object, one.by, one.until and one.until.date().day) for one in facts.history("alice", "lives in")
        ] == [
            ("Lyon", "rules", 2),
            ("Oslo", "reader", None),
        ]


def test_an_interrupted_reading_goes_on_where_it_stopped(tmp_path: Path) -> None:
    model = Knowing(where_do_i_live_now="Oslo")
    with memory_of(tmp_path) as memory:
        bank = Bank(memory, extractor=RuleExtractor(), slow=ReaderExtractor(model))
        at = datetime(2026, 5, 1, 9, tzinfo=UTC)
        ids = [bank.turn(f"We saw {n} ships and me.", time=at + timedelta(hours=n)) for n in range(3)]
        assert not bank.consolidate(at + timedelta(days=3), lambda: len(model.asked) >= 7).finished
        assert memory.store.setting(memory.owner, READ) == str(ids[0])
        assert bank.consolidate(at + timedelta(days=3)).finished and len(model.asked) == 3 * 7


@pytest.mark.parametrize("reads", [True, False])
def test_a_chat_with_a_reader_reads_when_it_consolidates_if_it_is_set(tmp_path: Path, reads: bool) -> None:
    model = Knowing(where_do_i_live_now="Oslo")
    settings, _ = resolve(sets=["retrieval.search=[bm25]", f"chat.read_facts={str(reads).lower()}"])
    with memory_of(tmp_path) as memory:
        chat = Chat(memory, model, settings)
        chat.reply("You will find me at the harbour of Oslo.")
        assert chat.facts() == [] and model.asked == []
        chat.consolidate()
        found = [(one.relation, one.object, one.by) for one in chat.facts()]
        assert found == ([("lives in", "Oslo", "reader")] if reads else [])

"""The text API: what is a call and what is text, round trips, reads, and writes that only the user's own words can make."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import memory_of

from ctxproc import Memory
from ctxproc.memory.base import Matrix, Passage
from ctxproc.memory.facts import Facts
from ctxproc.memory.triples import LONGEST_CALL, MOST_CALLS, Api, Call, escape, parse, render, stated, unescape

DAY = datetime(2026, 5, 1, 9, tzinfo=UTC)


def fields(text: str) -> list[tuple[str | None, ...]]:
    return [call.fields for call in parse(text)]


def test_a_call_is_read_with_its_place() -> None:
    text = "Let me see. [MEM_READ{_>> lives in >>Lyon}] And [MEM_WRITE{alice>>likes>>tea}]."
    assert parse(text) == [
        Call("READ", None, "lives in", "Lyon", 12, 43),
        Call("WRITE", "alice", "likes", "tea", 48, 78),
    ]
    assert [text[call.start : call.end] for call in parse(text)] == [
        "[MEM_READ{_>> lives in >>Lyon}]",
        "[MEM_WRITE{alice>>likes>>tea}]",
    ]


def test_a_read_with_results_is_answered() -> None:
    [call] = parse(r"[MEM_READ{_>>lives in>>Lyon}: alice; a \[b\] \; c]")
    assert call.answered and call.fields == (None, "lives in", "Lyon")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[MEM_READ{_>>_>>_}]",
        "[MEM_WRITE{_>>r>>b}]",
        "[MEM_READ{a>>b}]",
        "[MEM_READ{a>>b>>c>>d}]",
        "[MEM_READ{a>>>>c}]",
        "[MEM_READ{a>>b>>}]",
        "[MEM_READ{a>>b>>c]",
        "[MEM_READ{a>>b>>c}",
        "[mem_read{a>>b>>c}]",
        "[MEM_READ {a>>b>>c}]",
        r"\[MEM_READ{a>>b>>c}]",
        r"[MEM_READ{a>>b>>\x}]",
        r"[MEM_READ{a>>b>>c\}]",
        "[MEM_READ{a>>{b}>>c}]",
        "[MEM_READ{a>>b>>" + "c" * LONGEST_CALL + "}]",
    ],
)
def test_what_is_not_of_the_form_is_text(text: str) -> None:
    assert parse(text) == []


FIELD = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))
ODD = st.text(alphabet="\\>{}[];_: \nMEa[", min_size=1, max_size=10).filter(lambda text: bool(text.strip()))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.none(), FIELD, ODD), min_size=3, max_size=3).filter(any), st.lists(ODD, max_size=2))
def test_what_is_rendered_is_read_back(values: list[str | None], results: list[str]) -> None:
    wanted = [None if value is None else value.strip() for value in values]
    for shown in (None, results):
        text = render("READ", values, shown)
        [call] = parse(f"x {text} y")
        assert list(call.fields) == wanted
        assert (call.start, call.end, call.answered) == (2, 2 + len(text), shown is not None)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="[]MEM_READWRITE{}>\\_: abc\x00\ud83d", max_size=80))
def test_the_parser_raises_on_nothing(noise: str) -> None:
    for text in (noise, f"[MEM_READ{{{noise}}}]", f"[MEM_WRITE{{a>>{noise}>>b}}]", f"[MEM_READ{{a>>b>>c}}: {noise}]"):
        for call in parse(text):
            assert text[call.start :].startswith("[MEM_") and text[: call.end].endswith("]")


def test_many_openings_are_read_in_time_in_proportion() -> None:
    assert parse("[MEM_READ{" * 100_000) == []
    assert parse("[MEM_READ{a>>b>>c}:" * 50_000) == []


@given(st.text(max_size=20))
def test_an_escaped_text_says_the_same_and_begins_no_call(text: str) -> None:
    assert unescape(escape(text)) == text or text.strip() == "_"
    assert parse(f"{escape(text)}[MEM_READ{{a>>b>>c}}]"[: len(escape(text)) + 1]) == []
    assert parse(escape(f"{text}[MEM_WRITE{{a>>b>>c}}]")) == []


def told(memory: Memory, subject: str, relation: str, object: str, **more: bool) -> int:
    metadata = {"subject": subject, "relation": relation, "object": object, **more}
    return memory.remember(f"{subject} {relation} {object}.", kind="fact", time=DAY, metadata=metadata)


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    memory = memory_of(tmp_path)
    told(memory, "alice", "lives in", "Lyon")
    told(memory, "Mia", "lives in", "Lyon")
    told(memory, "alice", "likes", "tea; and [more]", single=False)
    return memory


def test_a_read_is_answered_in_its_place_for_every_pattern(memory: Memory) -> None:
    rows = [("alice", "lives in", "Lyon"), ("Mia", "lives in", "Lyon"), ("alice", "likes", "tea; and [more]")]
    for pattern in product((None, "alice"), (None, "lives in"), (None, "Lyon")):
        if pattern == (None, None, None):
            continue
        found = [row for row in rows if all(p is None or p == f for p, f in zip(pattern, row, strict=True))]
        parts = [" ".join(f for p, f in zip(pattern, row, strict=True) if p is None) for row in found]
        wanted = ["alice lives in Lyon."] if None not in pattern else list(dict.fromkeys(parts))
        ran = Api(memory).run(f"a {render('READ', pattern)} b")
        assert ran.text == f"a {render('READ', pattern, wanted)} b"
        assert [(f.subject, f.relation, f.object) for f in ran.reads[0][1]] == found


def test_what_was_found_by_similarity_is_shown_as_it_is(memory: Memory) -> None:
    def same(texts: Sequence[str]) -> Matrix:
        return np.array([[1.0, 0.0] if "s in" in text else [0.0, 1.0] for text in texts], dtype=np.float32)

    ran = Api(memory, same).run("[MEM_READ{alice>>dwells in>>_}]")
    assert ran.text == "[MEM_READ{alice>>dwells in>>_}: alice lives in Lyon.]"


def test_what_was_answered_is_not_done_again(memory: Memory) -> None:
    once = Api(memory).run("[MEM_READ{_>>lives in>>Lyon}] and [MEM_READ{bob>>likes>>_}]").text
    assert once == "[MEM_READ{_>>lives in>>Lyon}: alice; Mia] and [MEM_READ{bob>>likes>>_}: ]"
    again = Api(memory).run(once)
    assert again.text == once and again.reads == ()


def test_no_more_calls_are_done_than_the_limit(memory: Memory) -> None:
    text = "[MEM_READ{alice>>lives in>>_}]" * (MOST_CALLS + 2)
    ran = Api(memory).run(text)
    assert len(ran.reads) == MOST_CALLS
    assert ran.text.endswith("[MEM_READ{alice>>lives in>>_}]" * 2)


def said(memory: Memory, text: str, role: str = "user", speaker: str = "alice") -> Passage:
    turn = memory.remember(
        text, kind="turn", time=DAY, speaker=speaker, source="chat/1", metadata={"role": role, "session": "1"}
    )
    [passage] = memory.store.passages(memory.owner, "memory", [turn])
    return passage


def test_a_write_without_a_turn_is_refused(memory: Memory) -> None:
    before = memory.items()
    ran = Api(memory).run("Noted. [MEM_WRITE{alice>>lives in>>Moscow}]")
    assert (ran.written, [call.object for call in ran.refused]) == ((), ["Moscow"])
    assert memory.items() == before


def test_a_write_that_the_user_states_is_kept_with_its_source(memory: Memory) -> None:
    turn = said(memory, "Guess what. I moved to Porto, finally!")
    ran = Api(memory).run("[MEM_WRITE{alice>>lives in>>Porto}] [MEM_READ{alice>>lives in>>_}]", turn)
    assert ran.text == "[MEM_WRITE{alice>>lives in>>Porto}] [MEM_READ{alice>>lives in>>_}: Porto]"
    [fact] = Facts.of(memory.store.passages(memory.owner, "memory", list(ran.written))).all
    assert (fact.turn, fact.speaker, fact.by, turn.text[fact.start : fact.end].strip()) == (
        turn.id,
        "alice",
        "model",
        "I moved to Porto, finally!",
    )
    assert Api(memory).run("[MEM_WRITE{alice>>lives in>>Porto}]", turn).written == ran.written
    assert [f.object for f in Facts.of(memory.store.passages(memory.owner, "memory")).history("alice", "lives in")] == [
        "Porto"
    ]


WRITE = Call("WRITE", "alice", "lives in", "Porto", 0, 0)


@pytest.mark.parametrize(
    ("text", "role"),
    [
        ("I moved to Porto.", "assistant"),
        ("I moved to Porto.", "tool"),
        ("Do I live in Porto?", "user"),
        ("I do not live in Porto.", "user"),
        ("I don't live in Porto.", "user"),
        ("If I lived in Porto, I would swim.", "user"),
        ("I would love to live in Porto.", "user"),
        ("Bob lives in Porto.", "user"),
        ("I like Porto.", "user"),
        ("I moved to Lyon, and Porto is nice.", "user"),
        ("Here is the mail:\n> I live in Porto.", "user"),
        ("```\nI live in Porto.\n```", "user"),
        ('The letter says "I live in Porto with all of my cats".', "user"),
        ("He said that I live in Porto.", "user"),
        ("我不住在Porto。", "user"),
        ("我想搬到Porto。", "user"),
    ],
)
def test_what_the_user_does_not_state_himself_is_never_written(memory: Memory, text: str, role: str) -> None:
    turn = said(memory, text, role)
    assert stated(WRITE, turn) is None
    assert Api(memory).run("[MEM_WRITE{alice>>lives in>>Porto}]", turn).written == ()


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("I live in Porto now.", ("alice", "lives in", "Porto")),
        ("我搬到Porto了。", ("alice", "lives in", "Porto")),
        ("My sister Mia works at Acme.", ("Mia", "works at", "Acme")),
        ("My sister is called Mia.", ("alice", "has sister", "Mia")),
        ("I'm allergic to nuts.", ("alice", "is allergic to", "nuts")),
    ],
)
def test_what_the_user_states_may_be_written(memory: Memory, text: str, fields: tuple[str, str, str]) -> None:
    triple = stated(Call("WRITE", *fields, 0, 0), said(memory, text))
    assert triple is not None and (triple.subject, triple.relation, triple.object) == fields
    assert triple.single == (fields[1] in ("lives in", "works at"))


def test_nobody_elses_facts_are_read(memory: Memory) -> None:
    with Memory(memory.store.path, "bob", embedder=memory.stored.embedder) as other:
        assert Api(other).run("[MEM_READ{alice>>lives in>>_}]").reads[0][1] == ()

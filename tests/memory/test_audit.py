"""The audit: each kind of fault is found where it was put and nowhere else, and what is offered puts it right."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from chats import at, bank_of
from hypothesis import given
from hypothesis import strategies as st
from memories import memory_of

from ctxproc import Memory
from ctxproc.memory.audit import Finding, audit, fix
from ctxproc.memory.audit_near import jaccard, near
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Note, Value
from ctxproc.memory.facts import sentence
from ctxproc.memory.facts_shelf import correct, retract
from ctxproc.text import words


def bank_with(path: Path, *texts: str) -> Bank:
    """A consolidated bank, a turn a day."""
    bank = bank_of(path)
    for day, text in enumerate(texts):
        bank.turn(text, time=at(day))
    bank.consolidate(at(len(texts) + 1))
    return bank


def fact(memory: Memory, triple: tuple[str, str, str], turn: int = 0, days: float = 0, **told: Value) -> int:
    """A fact as another program might write it."""
    subject, relation, object = triple
    names = {
        "subject": subject,
        "relation": relation,
        "object": object,
        "turn": turn,
        "start": 0,
        "end": 0,
        "single": True,
    }
    return memory.remember_all(
        [Note(sentence(*triple), "fact", at(days), "alice", f"memory/{turn}", {**names, **told})]
    )[0]


def found(memory: Memory, days: float = 10) -> list[tuple[str, tuple[int, ...], tuple[int, ...], bool]]:
    """What an audit finds."""
    return [(one.kind, one.passages, one.forget, one.safe) for one in audit(memory, at(days)).findings]


def test_what_a_bank_made_has_no_fault(tmp_path: Path) -> None:
    bank = bank_with(
        tmp_path, "I live in Lyon. Mia likes tea.", "I like milk. I live in Paris.", "I no longer live in Paris."
    )
    result = audit(bank.memory, at(10))
    assert result.findings == () and result.facts == 5 and result.junk_rate == 0
    assert result.passages == bank.memory.count


def test_an_empty_memory_has_no_junk(tmp_path: Path) -> None:
    result = audit(memory_of(tmp_path))
    assert (result.findings, result.facts, result.junk_rate) == ((), 0, 0.0)


def test_what_stands_twice_is_found_and_taken_out_once(tmp_path: Path) -> None:
    bank = bank_with(tmp_path, "I live in Lyon.")
    memory = bank.memory
    [first] = [item.id for item in memory.items() if item.kind == "fact"]
    held = memory.get(first)
    again = memory.remember_all([Note(held.text, "fact", at(3), "alice", held.source, {**held.metadata, "turn": 1})])[0]
    turn = memory.remember_all([Note("i live in lyon.", "turn", at(0), "alice", "", {"role": "user"})])[0]
    of_turn = fact(memory, ("alice", "likes", "x"), turn)
    notes = memory.remember_all([Note("A note.", time=at(0))] * 2)
    double = [one for one in found(memory) if one[0] == "duplicate"]
    assert double == [
        ("duplicate", (1, turn), (turn, of_turn), True),
        ("duplicate", (again,), (again,), True),
        ("duplicate", tuple(notes), (notes[1],), True),
    ]
    result = audit(memory, at(10))
    assert result.facts == 3 and result.junk_rate == pytest.approx(2 / 3)
    fix(memory, result)
    assert not found(memory) and memory.get(first).text == held.text and memory.get(notes[0])


def test_what_says_nearly_the_same_is_shown_and_not_touched(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    ids = [
        memory.remember("The ferry to Skerry Point leaves at seven in the morning."),
        memory.remember("The ferry to Skerry Point leaves at seven in the evening."),
        memory.remember("the ferry to Skerry Point leaves, at SEVEN in the morning"),
        memory.remember("The ferry to Lyon leaves at noon."),
    ]
    assert found(memory) == [("near duplicate", tuple(ids[:3]), (), False)]
    assert fix(memory, audit(memory)).notes == () and memory.count == 4


@given(st.lists(st.lists(st.sampled_from("abcdefg"), max_size=7), max_size=12), st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_near_texts_are_those_that_comparing_all_pairs_finds(texts: list[list[str]], least: float) -> None:
    numbered = {i: " ".join(text) for i, text in enumerate(texts, 1)}
    groups = [{i} for i in numbered]
    for i, j in combinations(numbered, 2):
        one, other = frozenset(words(numbered[i])), frozenset(words(numbered[j]))
        if one and other and jaccard(one, other) >= least - 1e-9:
            joined = [group for group in groups if {i, j} & group]
            groups = [group for group in groups if not {i, j} & group] + [set().union(*joined)]
    assert near(numbered, least) == sorted(sorted(group) for group in groups if len(group) > 1)


def test_two_values_of_one_moment_contradict_and_the_owner_chooses(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    turn = Bank(memory).turn("I live in Lyon or in Paris, I like tea and milk.", time=at(0))
    place = {"end": 30, "turn": turn}
    lyon = fact(memory, ("alice", "lives in", "Lyon"), **place)
    paris = fact(memory, ("Alice", "Lives in", "Paris"), **place)
    for thing in ("tea", "milk"):
        fact(memory, ("alice", "likes", thing), turn, end=50, single=False)
    assert found(memory) == [("contradiction", (lyon, paris), (), False)]
    retract(memory, lyon)
    assert [one for one in found(memory) if one[0] == "contradiction"] == []


def test_a_portrait_that_states_what_has_ended_contradicts_and_is_made_anew(tmp_path: Path) -> None:
    bank = bank_with(tmp_path, "I live in Lyon. I like tea.", "I live in Paris.")
    memory = bank.memory
    lyon = next(item.id for item in memory.items() if item.text == "alice lives in Lyon.")
    said = {
        "Alice lives in Lyon and likes tea.": True,
        "Alice used to live in Lyon.": False,
        "Alice lives in Paris, not in Lyon.": False,
        "Until May alice lives in Lyon.": False,
        "Bo lives in Lyon.": False,
        "Lyon is what alice likes.": False,
    }
    for text, wrong in said.items():
        number = memory.remember(text, kind="portrait", metadata={"of": "portrait"}, time=at(3))
        expected = [("contradiction", (number, lyon), (number,), True)] if wrong else []
        assert [one for one in found(memory) if number in one[1]] == expected, text
    fix(memory, audit(memory, at(10)))
    bank.consolidate(at(4))
    assert "Alice lives in Lyon and likes tea." not in [item.text for item in memory.items()]
    assert not [one for one in found(memory) if one[0] == "contradiction"]


def test_what_ended_long_ago_and_was_never_recalled_is_stale(tmp_path: Path) -> None:
    bank = bank_with(tmp_path, "I live in Lyon.", "I live in Oslo.", "I live in Paris.", "I no longer live in Paris.")
    memory = bank.memory
    ids = {item.text: item.id for item in memory.items() if item.kind == "fact"}
    memory.store.recall(memory.owner, [ids["alice lives in Oslo."]], at(5))
    stale = [
        ("stale", (ids[f"alice lives in {town}."],), (ids[f"alice lives in {town}."],), False)
        for town in ("Lyon", "Paris")
    ]
    assert found(memory, 100) == [] and found(memory, 200) == stale
    assert audit(memory, at(200)).junk_rate == 0
    assert fix(memory, audit(memory, at(200))).notes == ()


def test_a_fact_without_the_users_words_is_unsupported(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    bank = Bank(memory)
    mine = bank.turn('I live in Lyon. He said: "I live in Rome." I like tea.', time=at(0))
    hers = bank.turn("I live in Bonn.", "assistant", time=at(0))
    wrong = {
        "gone": fact(memory, ("alice", "a", "Lyon"), 99, end=15),
        "none": fact(memory, ("alice", "b", "Lyon")),
        "assistant": fact(memory, ("alice", "c", "Bonn"), hers, end=15),
        "other span": fact(memory, ("alice", "d", "tea"), mine, end=15),
        "quoted": fact(memory, ("alice", "e", "Rome"), mine, start=26, end=40),
        "unreadable": memory.remember("alice is.", kind="fact", metadata={"subject": "alice"}),
    }
    right = fact(memory, ("alice", "lives in", "Lyon"), mine, end=15)
    correct(memory, right, "Leon")
    assert found(memory) == [("unsupported", (one,), (one,), True) for one in sorted(wrong.values())]
    assert audit(memory, at(9)).junk_rate == pytest.approx(6 / 8)
    receipt = fix(memory, audit(memory, at(9)))
    assert receipt.clean or receipt.holders
    assert {item.id for item in receipt.notes} == set(wrong.values()) and found(memory) == []


def test_after_an_edit_what_the_turn_said_before_is_unsupported(tmp_path: Path) -> None:
    bank = bank_with(tmp_path, "I live in Lyon.")
    [number] = [item.id for item in bank.memory.items() if item.kind == "fact"]
    bank.memory.edit(1, "I live in Nice.")
    assert ("unsupported", (number,), (number,), True) in found(bank.memory)


def test_junk_is_found_by_where_it_comes_from(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    bank = Bank(memory)
    said = {
        "machine": "You are a helpful assistant. I live in Rack.",
        "echo": "I live in Berlin and design chairs.",
        "invented": "I live in Lyon.",
        "fine": "I live in Bonn.",
        "confirmed": "Yes, I live in Berlin and I design chairs.",
    }
    bank.turn("A bio: I live in Berlin and design chairs. Mia lives there.", "assistant", time=at(0))
    turns = {name: bank.turn(text, time=at(i)) for i, (name, text) in enumerate(said.items())}
    beats = [bank.turn(f"Node {i} says all is well, uptime is {i} days. I live in Rack.", time=at(i)) for i in range(3)]
    subjects = {"invented": "Zoltan"}
    ids = {}
    for name, turn in {**turns, "beat": beats[1]}.items():
        text = memory.get(turn).text
        town = next(one for one in ("Rack", "Berlin", "Lyon", "Bonn") if one in text)
        start = text.index("I live")
        ids[name] = fact(
            memory, (subjects.get(name, f"alice's {turn}"[:5]), f"r {name}", town), turn, start=start, end=len(text)
        )
    kinds = {one[1][0]: one[0] for one in found(memory) if one[0] == "junk"}
    assert kinds == {ids[name]: "junk" for name in ("machine", "echo", "invented", "beat")}
    bank.turn("Zoltan called.", time=at(9))
    assert ids["invented"] not in [one[1][0] for one in found(memory)]


def test_a_finding_and_an_audit_are_plain_json(tmp_path: Path) -> None:
    one = Finding("stale", (3,), "old", (3,))
    assert one.to_json() == {"kind": "stale", "passages": [3], "why": "old", "forget": [3], "safe": False}
    bank = bank_with(tmp_path, "I live in Lyon.")
    fact(bank.memory, ("alice", "b", "Lyon"))
    said = audit(bank.memory, at(9)).to_json()
    assert (said["facts"], said["junk_rate"], said["passages"]) == (2, 0.5, bank.memory.count)

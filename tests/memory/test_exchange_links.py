"""Everything about one user goes out and comes back, and what means another note by its number still means it."""

from __future__ import annotations

import json
from pathlib import Path

from memories import memory_of, settings_of

from ctxproc import Memory
from ctxproc.memory import exchange
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Note
from ctxproc.memory.exchange_links import bring_in
from ctxproc.memory.extract.rules import RuleExtractor
from ctxproc.memory.facts_shelf import FactShelf, correct

WORDS = settings_of("retrieval.search=[bm25]")


def facts(memory: Memory) -> list[tuple[object, ...]]:
    """Every fact with the text of the turn that it was made of."""
    return [
        (one.subject, one.relation, one.object, one.since, one.until, memory.get(one.turn).text)
        for one in FactShelf(memory.store, memory.owner).facts().all
    ]


def test_turns_facts_corrections_and_summaries_come_back(tmp_path: Path) -> None:
    old = memory_of(tmp_path / "old", settings=WORDS)
    bank = Bank(old, extractor=RuleExtractor())
    first = bank.turn("I live in Paris.", session="monday")
    [wrong] = bank.learn(first)
    correct(old, wrong, "Nice")
    bank.learn(bank.turn("I moved to Lyon in May.", session="monday"))
    quoting = bank.turn("Paris. You said: “I live in Paris.”", "assistant", metadata={"quotes": first})
    old.remember("alice lives in Lyon.", kind="portrait", source="memory")
    old.export(tmp_path / "alice.jsonl")

    new = memory_of(tmp_path / "new", "One.", "Two.", "Three.", settings=WORDS, user="bob")
    assert len(new.import_(tmp_path / "alice.jsonl")) == old.count == 7
    assert facts(new) == facts(old) and [one[2] for one in facts(old)] == ["Paris", "Nice", "Lyon"]
    assert {item.kind for item in new.items()} == {"note", "turn", "fact", "portrait"}
    [reply] = [item for item in new.items() if item.metadata.get("role") == "assistant"]
    assert new.get(int(reply.metadata["quotes"])).text == "I live in Paris." and quoting != reply.id
    for item in new.items():
        if item.kind == "fact":
            assert item.source == f"memory/{item.metadata['turn']}"
    assert new.import_(tmp_path / "alice.jsonl") == [] and old.import_(tmp_path / "alice.jsonl") == []


def test_forgetting_an_imported_turn_forgets_what_was_made_of_it_and_nothing_else(tmp_path: Path) -> None:
    old = memory_of(tmp_path / "old", settings=WORDS)
    bank = Bank(old, extractor=RuleExtractor())
    bank.learn(bank.turn("I live in Paris."))
    old.export(tmp_path / "alice.jsonl")
    new = memory_of(tmp_path / "new", "A note.", settings=WORDS)
    new.import_(tmp_path / "alice.jsonl")
    [turn] = [item.id for item in new.items() if item.kind == "turn"]
    new.forget(turn)
    assert [item.text for item in new.items()] == ["A note."]


def test_a_number_that_the_file_does_not_have_means_no_note(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, "A note.", settings=WORDS)
    told = {"subject": "alice", "relation": "lives in", "object": "Paris", "turn": 1, "cancels": 7}
    [number] = bring_in(memory, [(9, Note("alice lives in Paris.", "fact", source="memory/1", metadata=told))])
    item = memory.get(number)
    assert (item.metadata["turn"], item.metadata["cancels"], item.source) == (0, 0, "memory/0")
    [other] = bring_in(memory, [(5, Note("A page.", metadata={"turn": 1, "quotes": 1}))])
    assert dict(memory.get(other).metadata) == {"turn": 1, "quotes": 1}


def test_notes_that_mean_each_other_in_a_ring_come_in_and_mean_none(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=WORDS)
    ring = [(1, Note("One.", "turn", metadata={"quotes": 2})), (2, Note("Two.", "turn", metadata={"quotes": 1}))]
    ids = bring_in(memory, ring)
    assert [memory.get(one).metadata["quotes"] for one in ids] == [0, 0]


def test_a_line_has_its_number_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, "A note.", settings=WORDS)
    memory.export(tmp_path / "a.jsonl")
    line = (tmp_path / "a.jsonl").read_text().splitlines()[1]
    assert json.loads(line)["number"] == memory.items()[0].id
    assert exchange.numbered(tmp_path / "a.jsonl") == [(1, memory.store.passages(memory.owner, "memory")[0].note)]

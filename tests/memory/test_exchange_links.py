"""Everything about one user goes out and comes back, and what means another note by its number still means it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

from memories import memory_of, settings_of

from ctxproc import Memory
from ctxproc.memory import exchange
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Note
from ctxproc.memory.exchange_links import MOST_QUOTED, bring_in, linked, quoted, quoting
from ctxproc.memory.extract.rules import RuleExtractor
from ctxproc.memory.facts_shelf import FactShelf, correct
from ctxproc.memory.recollect import recollect

WORDS = settings_of("retrieval.search=[bm25]")
AT = datetime(2026, 5, 1, 9, tzinfo=UTC)


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


def test_a_reply_names_each_turn_that_it_quotes_once() -> None:
    assert quoting([]) == {} and quoting([3]) == {"quotes": 3}
    assert quoting([3, 7, 3, 5]) == {"quotes": 3, "quotes2": 7, "quotes3": 5}
    assert quoted({**quoting([3, 7]), "session": 9, "turn": 8, "quotes9": "6", "quotes8": True, "quotes7": 0}) == {3, 7}
    assert len(quoting(range(1, 1000))) == len(quoted(quoting(range(1, 1000)))) == MOST_QUOTED


def test_what_only_equals_a_number_means_no_note_either() -> None:
    told = {"turn": 7.0, "cancels": True, "quotes2": 7, "quotes": "seven", "place": 7}
    assert linked(Note("x", "fact", metadata=told), {7: 12, 1: 13}).metadata == {
        "turn": 0,
        "cancels": 0,
        "quotes2": 12,
        "quotes": "seven",
        "place": 7,
    }
    assert linked(Note("x", metadata=told), {7: 12}).metadata == told


def test_a_turn_stays_of_the_day_on_which_it_was_said(tmp_path: Path) -> None:
    early = datetime(2026, 5, 2, 0, 30, tzinfo=timezone(timedelta(hours=9)))
    old, new = memory_of(tmp_path / "old", settings=WORDS), memory_of(tmp_path / "new", settings=WORDS)
    Bank(old).turn("I moved yesterday.", time=early)
    old.export(tmp_path / "alice.jsonl")
    [there] = new.import_(tmp_path / "alice.jsonl")
    assert new.get(there).time.isoformat() == early.isoformat() == "2026-05-02T00:30:00+09:00"
    told = (tmp_path / "alice.jsonl").read_text().replace("2026-05-02T00:30:00+09:00", "2026-05-01T15:30:00+00:00")
    (tmp_path / "utc.jsonl").write_text(told)
    assert new.import_(tmp_path / "utc.jsonl") == []


def test_a_chat_that_was_exported_goes_on_as_it_was(tmp_path: Path) -> None:
    old = memory_of(tmp_path / "old", settings=WORDS)
    bank, said = Bank(old), []
    for n in range(4):
        asked = bank.turn(f"Question {n}.", session="s", time=AT + timedelta(minutes=2 * n))
        bank.turn(f"Reply {n}.", "assistant", "", "s", AT + timedelta(minutes=2 * n + 1), quoting([asked]))
        said += [f"Question {n}.", f"Reply {n}."]
    old.export(tmp_path / "alice.jsonl")
    new = memory_of(tmp_path / "new", settings=WORDS)
    new.import_(tmp_path / "alice.jsonl")
    for memory in (old, new):
        found = recollect(memory, "", now=AT + timedelta(days=1), session="s", budget=999, count=len)
        assert [one.item.text for one in found.items] == said
        few = recollect(memory, "", now=AT + timedelta(days=1), session="s", budget=40, count=len)
        assert [one.item.text for one in few.items] == said[-4:]
    for reply in new.items():
        if reply.speaker == "assistant":
            assert new.get(int(reply.metadata["quotes"])).text == reply.text.replace("Reply", "Question")

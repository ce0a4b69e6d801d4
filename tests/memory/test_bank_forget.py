"""What was made of a turn is forgotten with it, and no byte of any file says it afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from chats import at, bank_of, kept
from test_erase import holders

from ctxproc import ScriptedLLM
from ctxproc.memory.bank import Bank
from ctxproc.memory.base import Passage
from ctxproc.memory.erase import Receipt
from ctxproc.memory.facts_shelf import correct, retract
from ctxproc.prompt import Prompt

SECRET = "Xylophonia Brandt-Quill"


def copying(prompt: Prompt) -> str:
    """A model that copies what it reads, with an addition of its own."""
    return " / ".join(prompt.contexts) + " (so it was)"


def told(path: Path, llm: ScriptedLLM | None = None) -> Bank:
    """Three days of chat, consolidated; the second turn holds the secret."""
    bank = bank_of(path, llm=llm)
    bank.turn("It rained all day.", time=at(0))
    bank.turn(f"My dentist is {SECRET}. Zelda lives in Lyon. I like tea.", time=at(0, 1))
    bank.turn("I see.", "assistant", time=at(0, 2), metadata={"quotes": 2})
    bank.turn("The cat is ill again.", time=at(1))
    bank.turn("Zelda lives in Lyon. I like milk.", time=at(2))
    bank.consolidate(at(4))
    return bank


def forgotten(receipt: Receipt) -> list[tuple[str, object]]:
    """Kind, and which."""
    told = [(n.kind, n.metadata.get("object") or n.metadata.get("day") or n.metadata.get("of")) for n in receipt.notes]
    return [(kind, None if kind == "turn" else of) for kind, of in told]


ALL = [
    ("turn", None),
    ("turn", None),
    ("fact", "Lyon"),
    ("fact", "tea"),
    ("summary", "2026-05-01"),
    ("summary", "overall"),
    ("portrait", "portrait"),
]


@pytest.mark.parametrize("writing", [False, True])
@pytest.mark.parametrize("what", [SECRET.upper(), 2])
def test_a_turn_takes_everything_that_was_made_of_it(
    tmp_path: Path, own_cache: Path, what: str | int, writing: bool
) -> None:
    bank = told(tmp_path, ScriptedLLM(copying) if writing else None)
    bank.memory.recall("dentist")
    assert holders(tmp_path, SECRET)
    listed = bank.memory.forget(what, dry_run=True)
    assert holders(tmp_path, SECRET) and not listed.clean
    receipt = bank.memory.forget(what)
    assert receipt.clean and receipt.scan.pieces > 0
    assert [n.id for n in receipt.notes] == [n.id for n in listed.notes]
    if what == 2:
        assert forgotten(receipt) == ALL
    else:
        assert sorted(map(str, forgotten(receipt))) == sorted(map(str, ALL))
    for gone in (SECRET, "xylophonia", "brandt", "alice likes tea"):
        assert holders(tmp_path, gone) == []
    left = [item.text for item in bank.memory.items() if item.kind == "turn"]
    assert left == ["It rained all day.", "The cat is ill again.", "Zelda lives in Lyon. I like milk."]


def test_what_others_said_too_is_made_anew_of_their_turns(tmp_path: Path) -> None:
    bank = told(tmp_path)
    [first] = [item.metadata["turn"] for item in bank.memory.items() if item.metadata.get("object") == "Lyon"]
    assert first == 2
    bank.memory.forget(2)
    bank_of(tmp_path).consolidate(at(4))
    facts = {item.text: (item.metadata["turn"], item.time) for item in bank.memory.items() if item.kind == "fact"}
    assert facts == {"Zelda lives in Lyon.": (5, at(2)), "alice likes milk.": (5, at(2))}
    days = {item.metadata["day"]: item.text for item in bank.memory.items() if item.metadata.get("of") == "day"}
    assert days["2026-05-01"] == "alice: It rained all day."
    assert len(days) == 3 and kept(bank.memory, "portrait") == [("portrait", "alice likes milk.\nZelda lives in Lyon.")]
    assert holders(tmp_path, SECRET) == []


def test_a_summary_that_holds_others_words_is_no_trace(tmp_path: Path) -> None:
    bank = told(tmp_path, ScriptedLLM(copying))
    receipt = bank.memory.forget([1])
    assert receipt.clean and receipt.scan.found == () and receipt.holders == 0
    assert holders(tmp_path, "It rained all day") == [] and holders(tmp_path, SECRET) != []


def test_a_fact_takes_the_portrait_and_its_retraction_and_leaves_its_turn(tmp_path: Path) -> None:
    bank = told(tmp_path)
    [tea] = [item.id for item in bank.memory.items() if item.metadata.get("object") == "tea"]
    row = retract(bank.memory, tea)
    receipt = bank.memory.forget(tea)
    assert [n.id for n in receipt.notes][:1] == [tea] and row in [n.id for n in receipt.notes]
    assert [one for one in forgotten(receipt) if one[0] != "fact"] == [("summary", "overall"), ("portrait", "portrait")]
    assert receipt.clean and bank.memory.get(2).text.endswith("I like tea.")
    bank.consolidate(at(4))
    assert "alice likes tea." not in [item.text for item in bank.memory.items()]


def test_what_was_put_right_outlives_what_was_wrong(tmp_path: Path) -> None:
    bank = told(tmp_path)
    [tea] = [item.id for item in bank.memory.items() if item.metadata.get("object") == "tea"]
    right = correct(bank.memory, tea, "cocoa")
    bank.memory.forget(tea)
    assert bank.memory.get(right).text == "alice likes cocoa."
    assert right in [item.id for item in bank.memory.forget(2).notes]


def test_a_summary_of_a_concept_goes_with_a_turn_that_it_may_be_made_of(tmp_path: Path) -> None:
    bank = told(tmp_path)
    about = bank.memory.remember("Cats are ill.", kind="summary", metadata={"of": "concept", "concept": "cat"})
    later = bank.turn("Dogs are well again.", time=at(5))
    assert about not in [item.id for item in bank.memory.forget(later, dry_run=True).notes]
    assert about in [item.id for item in bank.memory.forget(4, dry_run=True).notes]


def test_a_note_takes_nothing_with_it(tmp_path: Path) -> None:
    bank = told(tmp_path)
    note = bank.memory.remember("The code is 4711.")
    assert [item.id for item in bank.memory.forget(note).notes] == [note]
    assert len(kept(bank.memory, "portrait")) == 1


def test_a_turn_that_was_edited_loses_what_was_made_of_its_old_words(tmp_path: Path) -> None:
    bank = told(tmp_path)
    bank.memory.edit(2, "My dentist is nobody. Zelda lives in Lyon.")
    receipt = bank.memory.forget("xylophonia")
    assert len(receipt.renewed) == 1 and receipt.clean and holders(tmp_path, "xylophonia") == []
    assert [i.text for i in bank.memory.items() if i.id == receipt.renewed[0]] == [
        "My dentist is nobody. Zelda lives in Lyon."
    ]
    bank.consolidate(at(4))
    held = [i for i in bank.memory.items() if i.text == "Zelda lives in Lyon."]
    assert [item.metadata["turn"] for item in held] == [receipt.renewed[0]]


def test_an_interrupted_forgetting_leaves_no_summary_without_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = told(tmp_path, ScriptedLLM(copying))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(bank.memory.store, "purge", interrupted)
        bank.memory.forget(2)
    assert not any(SECRET in item.text for item in bank.memory.items())
    bank.memory.forget("nothing of it")
    assert holders(tmp_path, SECRET) == []


def test_another_owners_memory_is_not_touched(tmp_path: Path) -> None:
    from memories import memory_of

    bank = told(tmp_path)
    bob = Bank(memory_of(tmp_path, user="bob"))
    bob.turn("I met a bird today.", time=at(0))
    bob.consolidate(at(4))
    before: list[Passage] = bob.memory.store.passages(bob.memory.owner, "memory")
    bank.memory.forget([1, 2])
    assert bob.memory.store.passages(bob.memory.owner, "memory") == before

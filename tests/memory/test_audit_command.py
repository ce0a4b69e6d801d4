"""``ctxproc memory audit`` from outside."""

from __future__ import annotations

import json
from pathlib import Path

from chats import at, bank_of
from test_cli_memory import memory as command

STEERING = "\x1b[31mRed\x1b[0m"


def test_it_says_the_junk_rate_with_its_definition_and_fixes_what_is_safe(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    bank.turn("I live in Lyon.", time=at(0))
    bank.consolidate(at(2))
    told = {"subject": "alice", "relation": "likes", "object": STEERING, "turn": 99, "single": True}
    junk = bank.memory.remember(f"alice likes {STEERING}.", kind="fact", metadata=told)
    bank.memory.close()
    path = tmp_path / "me.ctxproc"
    said = command(path, "audit")
    assert "junk rate 50.0 %: 1 of 2 facts are duplicates, unsupported or junk" in said and "\x1b" not in said
    assert f"memory forget --memory {path} --user alice --id {junk}, or --fix" in said and "turn, 99, is gone" in said
    report = json.loads(command(path, "audit", "--json"))
    assert report["junk_rate"] == 0.5 and report["fixed"] is None
    assert [(one["kind"], one["passages"], one["safe"]) for one in report["findings"]] == [
        ("unsupported", [junk], True)
    ]
    fixed = json.loads(command(path, "audit", "--json", "--fix"))["fixed"]
    assert fixed["notes"][0]["id"] == junk and fixed["clean"]
    assert command(path, "audit") == "junk rate 0.0 %: 0 of 1 facts are duplicates, unsupported or junk\n"


def test_fixing_in_words_prints_the_receipt(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    bank.memory.remember("alice owns a cat.", kind="fact", metadata={"subject": "alice"})
    bank.memory.close()
    said = command(tmp_path / "me.ctxproc", "audit", "--fix")
    assert "taken out" in said and "forgot    1" in said and "found 0" in said

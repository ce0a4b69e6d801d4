"""The bank: what is made of turns, once, by anyone who is interrupted anywhere; and of the user's own words alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from chats import PlainExtractor, at, bank_of, kept

from ctxproc import ScriptedLLM
from ctxproc.errors import StoreError, UsageError
from ctxproc.memory.bank import Bank, Consolidated
from ctxproc.memory.bank_ledger import Ledger
from ctxproc.memory.base import ChangedPassages, Note, Passage
from ctxproc.memory.facts import Facts
from ctxproc.prompt import Prompt

WEEK = (
    (0, "user", "I live in Lyon. It rained all day."),
    (0.1, "assistant", "You live in Lyon, where it rains. I live in Cyberspace."),
    (0.2, "user", "My boat is old. I like tea."),
    (1, "user", "I live in Lyon."),
    (2, "user", "Mia lives in Oslo. I like coffee."),
    (2.1, "tool", "I live in Toolville. I like data."),
    (4, "user", "I live in Paris."),
)


def tell(bank: Bank) -> None:
    for day, role, text in WEEK:
        bank.turn(text, role, time=at(day), session="s")  # type: ignore[arg-type]


def test_a_turn_is_kept_with_who_said_it_and_where(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    numbers = [bank.turn("Hello.", session="s", time=at(0)), bank.turn("Hello.", "assistant", session="s", time=at(0))]
    numbers.append(bank.turn("Moin.", speaker="Bo", metadata={"quotes": 7}))
    items = [bank.memory.get(number) for number in numbers]
    assert [(i.kind, i.speaker, i.source) for i in items] == [
        ("turn", "alice", "chat/s"),
        ("turn", "assistant", "chat/s"),
        ("turn", "Bo", "chat/"),
    ]
    assert items[0].metadata == {"role": "user", "session": "s"} and items[0].time == at(0)
    assert items[2].metadata == {"role": "user", "session": "", "quotes": 7}
    with pytest.raises(UsageError, match="system"):
        bank.turn("x", "system")  # type: ignore[arg-type]


def test_a_turn_that_is_there_is_not_kept_twice(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    first = bank.turn("I live in  Lyon.", time=at(0))
    same = at(0).astimezone(timezone(timedelta(hours=9)))
    assert bank.turn("i LIVE in Ｌｙｏｎ.", time=same) == first and bank.memory.count == 1
    others = [
        bank.turn("I live in Lyon.", time=at(0, 1)),
        bank.turn("I live in Lyon.", "assistant", time=at(0)),
        bank.turn("I live in Lyon.", speaker="Bo", time=at(0)),
    ]
    assert len({first, *others}) == 4 == bank.memory.count


def test_turns_that_were_remembered_twice_become_one_with_their_facts(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    told = {"role": "user", "session": "s"}
    notes = [Note("I live in Lyon.", "turn", at(0), "alice", "chat/s", told)] * 3
    first, *later = bank.memory.remember_all(notes)
    for number in later:
        bank.learn(number)
    bank.consolidate(at(0, 1))
    assert [item.id for item in bank.memory.items() if item.kind == "turn"] == [first]
    assert kept(bank.memory, "fact") == [("fact", "alice lives in Lyon.")]


def test_a_turn_teaches_its_facts_once(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    number = bank.turn("I live in Lyon. Mia lives in Oslo.", time=at(0))
    facts = bank.learn(number)
    assert [bank.memory.get(one).text for one in facts] == ["alice lives in Lyon.", "Mia lives in Oslo."]
    held = bank.memory.get(facts[0])
    assert (held.time, held.speaker, held.source) == (at(0), "alice", f"memory/{number}")
    assert held.metadata["turn"] == number and held.metadata["by"] == "plain"
    assert bank.memory.get(number).text[int(held.metadata["start"]) : int(held.metadata["end"])] == "I live in Lyon"
    assert bank.learn(number) == facts == bank_of(tmp_path).learn(number)
    bank.memory.forget(facts[0])
    bank.consolidate(at(0, 1))
    assert kept(bank.memory, "fact") == [("fact", "Mia lives in Oslo.")], "a forgotten fact is not learned again"
    with pytest.raises(UsageError, match="no note 99"):
        bank.learn(99)


def test_without_an_extractor_nothing_is_learned(tmp_path: Path) -> None:
    bank = bank_of(tmp_path, extractor=None)
    assert bank.learn(bank.turn("I live in Lyon.")) == []
    bank.turn("I live in Lyon. My boat is old.", time=at(0))
    assert bank.consolidate(at(2)).days == 1 and kept(bank.memory, "fact", "portrait") == []


@pytest.mark.parametrize("role", ["assistant", "tool"])
def test_nobody_else_teaches_facts_about_the_user(tmp_path: Path, role: Any) -> None:  # noqa: ANN401
    bank = bank_of(tmp_path)
    assert bank.learn(bank.turn("I live in Lyon.", role, time=at(0), speaker="alice")) == []
    bank.turn('He wrote:\n\n> I live in Rome.\n\n"I live in Bonn, really," she said.', time=at(0))
    bank.consolidate(at(2))
    assert kept(bank.memory) == []


def test_the_assistants_words_sent_back_teach_nothing_and_a_confirmation_does(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    bank.turn(
        "Sure, here is a bio. I live in Berlin and design chairs. Mia lives in Bonn since May.", "assistant", time=at(0)
    )
    assert bank.learn(bank.turn("I live in Berlin and design chairs.", time=at(0, 1))) == []
    assert bank.learn(bank.turn("Mia lives in Bonn since May!", time=at(0, 2))) == []
    assert len(bank.learn(bank.turn("Yes, I live in Berlin and I design chairs.", time=at(0, 3)))) == 1


def test_messages_of_programs_teach_nothing(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    for text in (
        "You are a helpful assistant. I live in Lyon.",
        "[CRON] I live in Lyon.",
        "HEARTBEAT: I live in Lyon.",
    ):
        assert bank.learn(bank.turn(text, time=at(0))) == []
    for text in (
        "You are Nora, a planner. I live in Lyon.",
        "Write a story. I live in Lyon.",
        "The user is Bo. I live in Lyon.",
    ):
        assert bank.learn(bank.turn(text, time=at(0, 1))) == []
    beat = "Node 12 says that all is well and uptime is {} days. I live in Rack."
    for day in range(4):
        bank.turn(beat.format(day), time=at(day))
    bank.turn("I live in Oslo.", time=at(4))
    done = bank.consolidate(at(4, 1))
    assert kept(bank.memory, "fact") == [("fact", "alice lives in Oslo.")] and done.learned >= 1


def test_what_is_said_again_keeps_the_first_since_and_what_was_given_up_is_new_again(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    for day, town in enumerate(("Lyon", "Lyon", "Paris", "lyon".title(), "Lyon")):
        bank.learn(bank.turn(f"I live in {town}.", time=at(day)))
    for one in (bank, bank_of(tmp_path)):
        one.consolidate(at(4, 1))
        facts = Facts.of(one.memory.store.passages(one.memory.owner, "memory")).history("alice", "lives in")
        assert [(fact.object, fact.since) for fact in facts] == [("Lyon", at(0)), ("Paris", at(2)), ("Lyon", at(3))]


def test_a_day_that_is_over_gets_one_summary_and_what_is_told_late_makes_it_anew(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    tell(bank)
    assert bank.consolidate(at(4, 1)) == Consolidated(learned=6, merged=1, days=3, overall=1, portrait=1)
    days = {i.metadata["day"]: i for i in bank.memory.items() if i.metadata.get("of") == "day"}
    assert {day: item.text for day, item in days.items()} == {
        "2026-05-01": "alice: I live in Lyon.\nalice: It rained all day.\nalice: My boat is old.\nalice: I like tea.",
        "2026-05-02": "alice: I live in Lyon.",
        "2026-05-03": "alice: Mia lives in Oslo.\nalice: I like coffee.",
    }
    assert days["2026-05-01"].time == at(0.2) and days["2026-05-01"].metadata["by"] == "extract"
    assert bank.consolidate(at(4, 1)) == Consolidated()
    bank.turn("I forgot to say that the cat is ill.", time=at(1, 2))
    assert bank.consolidate(at(4, 2)).days == 1
    [again] = [i for i in bank.memory.items() if i.metadata.get("day") == "2026-05-02"]
    assert again.text == "alice: I live in Lyon.\nalice: I forgot to say that the cat is ill."


def test_the_portrait_without_a_model_is_the_facts_that_hold(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    tell(bank)
    bank.consolidate(at(4, 1))
    assert [text for _, text in kept(bank.memory, "portrait")] == [
        "alice likes tea.\nMia lives in Oslo.\nalice likes coffee.\nalice lives in Paris."
    ]
    [overall] = [i.text for i in bank.memory.items() if i.metadata.get("of") == "overall"]
    assert overall.splitlines()[0] == "2026-05-01: alice: I live in Lyon."
    bank.turn("I no longer live in Paris.", time=at(5))
    bank.consolidate(at(5, 1))
    assert "Paris" not in kept(bank.memory, "portrait")[0][1] and len(kept(bank.memory, "portrait")) == 1


def test_a_day_ends_where_it_was_said(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    evening = datetime(2026, 5, 1, 23, 30, tzinfo=timezone(timedelta(hours=-9)))
    bank.turn("I like tea. It rains here.", time=evening)
    assert bank.consolidate(datetime(2026, 5, 2, 8, 59, tzinfo=UTC)).days == 0
    assert bank.consolidate(datetime(2026, 5, 2, 9, 1, tzinfo=UTC)).days == 1
    assert [i.metadata["day"] for i in bank.memory.items() if "day" in i.metadata] == ["2026-05-01"]


def test_a_model_writes_from_own_words_alone_with_the_papers_sampling(tmp_path: Path) -> None:
    seen = []

    class Watched(ScriptedLLM):
        def generate(self, prompts: Any, sampling: Any) -> Any:  # noqa: ANN401
            seen.append(sampling)
            return super().generate(prompts, sampling)

    llm = Watched(lambda prompt: f"[{prompt.step}] {len(prompt.contexts)}")
    bank = bank_of(tmp_path, llm=llm, seed=5)
    tell(bank)
    bank.consolidate(at(4, 1))
    assert [text for _, text in kept(bank.memory, "summary")] == [
        "[memory.day] 1",
        "[memory.day] 2",
        "[memory.day] 4",
        "[memory.overall] 7",
    ]
    assert [text for _, text in kept(bank.memory, "portrait")] == ["[memory.portrait] 7"]
    assert {(s.temperature, s.seed, s.max_new_tokens) for s in seen} == {(0.7, 5, 400)}
    read = "\n".join(map(str, llm.prompts))
    assert "alice: It rained all day." in read and "alice lives in Paris." in read
    assert "Cyberspace" not in read and "Toolville" not in read
    assert "of alice in a few" in str(llm.prompts[-1]) and "2026-05-01, in the order" in str(llm.prompts[0])
    assert {i.metadata["by"] for i in bank.memory.items() if "by" in i.metadata} == {"scripted", "plain"}


def test_a_model_that_does_not_write_or_writes_nothing_leaves_the_sentences(tmp_path: Path) -> None:
    class Quoting(ScriptedLLM):
        writes = False

    texts = []
    for llm in (None, ScriptedLLM([" "]), Quoting(["never asked"])):
        bank = bank_of(tmp_path / str(len(texts)), llm=llm)
        tell(bank)
        bank.consolidate(at(4, 1))
        texts.append([text for kind, text in kept(bank.memory) if "2026" not in text and kind != "portrait"])
    assert texts[0] == texts[1] == texts[2] and "alice: I live in Lyon." in texts[0]


def test_a_day_that_does_not_fit_the_window_is_fitted(tmp_path: Path) -> None:
    llm = ScriptedLLM(["done"], context_window=300)
    bank = bank_of(tmp_path, llm=llm)
    for i in range(200):
        bank.turn(f"The boat number {i} sails to the island of {'x' * (i % 7 + 1)} today.", time=at(0, i / 100))
    bank.turn("A sentence " + "and so on " * 100 + "ends.", time=at(0, 3))
    bank.consolidate(at(2))
    assert kept(bank.memory, "summary") == [("summary", "done")] * 2
    for prompt in llm.prompts:
        assert llm.count_tokens(prompt) + 75 <= 300
    assert len([one for one in llm.prompts[0].contexts if "boat" in one]) >= 7


class Interrupted(Exception):
    """As if the process had been killed."""


def interrupting(bank: Bank, calls: int) -> None:
    """After so many writing calls of its store, every further one fails."""
    left = [calls]

    def limited(call: Callable[..., Any]) -> Callable[..., Any]:
        def limit(*values: Any, **named: Any) -> Any:  # noqa: ANN401
            if left[0] == 0:
                raise Interrupted
            left[0] -= 1
            return call(*values, **named)

        return limit

    for name in ("add", "forget", "set", "edit", "embed"):
        setattr(bank.memory.store, name, limited(getattr(bank.memory.store, name)))


def everything(bank: Bank) -> list[tuple[Any, ...]]:
    """All that was made, without the numbers; of a digest, which numbers decide, nothing."""
    told = ("of", "day", "subject", "relation", "object", "turn", "start", "end", "by")
    made = [item for item in bank.memory.items() if item.kind != "turn"]
    return sorted((i.kind, i.text, i.time, *(str(i.metadata.get(name)) for name in told)) for i in made)


def prepared(path: Path, llm: ScriptedLLM) -> Bank:
    """A week with a duplicate, a program's message on four days, and a day that was summarised before it was over."""
    bank = bank_of(path, llm=llm)
    bank.turn("I like boats.", time=at(-1))
    bank.consolidate(at(0))
    bank.turn("I like trains. I like boats.", time=at(-1, 1))
    tell(bank)
    told = {"role": "user", "session": "s"}
    bank.memory.remember_all([Note("I like rain.", "turn", at(3), "alice", "chat/s", told)] * 2)
    for day in range(4):
        bank.turn(f"Node {day} says that all is well and uptime is good. I like oil.", time=at(day, 5))
    return bank


def copying(prompt: Prompt) -> str:
    """Writes what it reads."""
    return " / ".join(prompt.contexts)


def test_interrupted_after_any_write_and_taken_up_again_it_makes_the_same_and_nothing_twice(tmp_path: Path) -> None:
    whole = prepared(tmp_path / "whole", ScriptedLLM(copying))
    whole.consolidate(at(6))
    expected = everything(whole)
    assert len(expected) == len(set(expected)) > 12
    for calls in range(200):
        bank = prepared(tmp_path / str(calls), ScriptedLLM(copying))
        interrupting(bank, calls)
        try:
            bank.consolidate(at(6))
            break
        except Interrupted:
            bank.memory.close()
        again = bank_of(tmp_path / str(calls), llm=ScriptedLLM(copying))
        assert again.consolidate(at(6)).finished
        assert everything(again) == expected, calls
        assert again.consolidate(at(6)) == Consolidated()
    assert calls > 12


def test_stopped_before_any_step_it_says_so_and_goes_on_later(tmp_path: Path) -> None:
    bank = prepared(tmp_path, ScriptedLLM(copying))
    whole = prepared(tmp_path / "whole", ScriptedLLM(copying))
    whole.consolidate(at(6))
    rounds = 0
    finished = False
    while not finished:
        asked = iter([False] * rounds)
        finished = bank.consolidate(at(6), lambda: next(asked, True)).finished  # noqa: B023
        rounds += 1
        assert rounds < 200
    assert everything(bank) == everything(whole) and rounds > 5
    assert not bank.consolidate(at(6), lambda: True).finished


def test_an_extractor_that_is_slow_is_stopped_after_a_turn_and_what_it_found_is_kept(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    for i in range(10):
        bank.turn(f"Mia{i} lives in Oslo.", time=at(0, i / 10))
    extractor = bank.extractor
    assert isinstance(extractor, PlainExtractor)
    assert not bank.consolidate(at(0, 2), lambda: len(extractor.read) >= 3).finished
    assert len(kept(bank.memory, "fact")) == 3
    bank.consolidate(at(0, 2))
    assert len(kept(bank.memory, "fact")) == 10 and extractor.read == sorted(set(extractor.read))


def test_two_that_consolidate_at_once_leave_what_one_leaves(tmp_path: Path) -> None:
    whole = prepared(tmp_path / "whole", ScriptedLLM(copying))
    whole.consolidate(at(6))
    prepared(tmp_path, ScriptedLLM(copying)).memory.close()
    banks = [bank_of(tmp_path, llm=ScriptedLLM(copying)) for _ in range(2)]
    threads = [threading.Thread(target=bank.consolidate, args=(at(6),)) for bank in banks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    banks[0].consolidate(at(6))
    assert everything(banks[0]) == everything(whole)


def test_nothing_that_is_recalled_is_stored_again(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    tell(bank)
    bank.consolidate(at(6))
    before = bank.memory.store.state(bank.memory.owner, "memory"), bank.memory.count
    for query in ("Where do I live?", "tea"):
        assert bank.memory.recall(query)
    assert bank.consolidate(at(6)) == Consolidated()
    assert (bank.memory.store.state(bank.memory.owner, "memory"), bank.memory.count) == before


def test_a_ledger_that_follows_knows_what_one_that_begins_anew_knows(tmp_path: Path) -> None:
    bank = bank_of(tmp_path)
    followed = Ledger(bank.memory.store, bank.memory.owner)

    def known(ledger: Ledger) -> object:
        ledger.follow()
        turns = [item.id for item in bank.memory.items()]
        lists = ledger.duplicates(), ledger.of_facts(), ledger.users(0), ledger.users(4), ledger.others(99, 3)
        return lists, ledger.days(), ledger.summaries(), ledger.made_of(turns), [*map(ledger.alike, turns)]

    tell(bank)
    steps = (
        lambda: bank.consolidate(at(6)),
        lambda: bank.memory.edit(4, "I live in Bonn."),
        lambda: bank.memory.edit(2, "You live nowhere."),
        lambda: bank.memory.forget([3, 6]),
        lambda: bank.consolidate(at(6)),
    )
    for step in steps:
        assert known(followed) == known(Ledger(bank.memory.store, bank.memory.owner))
        step()
    assert known(followed) == known(Ledger(bank.memory.store, bank.memory.owner))


def test_what_a_ledger_could_not_read_it_takes_in_when_it_follows_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = bank_of(tmp_path)
    tell(bank)
    bank.consolidate(at(6))
    followed = Ledger(bank.memory.store, bank.memory.owner)
    followed.follow()
    held = [fact.id for fact in followed.facts().all]
    bank.memory.forget(held[0])
    bank.memory.remember_all([Note(f"I like thing{number}.", "turn", at(7), "alice") for number in range(3)])
    read = bank.memory.store.changed_passages

    def cut(*arguments: Any) -> ChangedPassages:  # noqa: ANN401 (passed on)
        def added() -> Iterator[list[Passage]]:
            yield [passage for some in changed.added for passage in some][:2]
            raise StoreError("damaged")

        changed = read(*arguments)
        return replace(changed, added=added())

    with monkeypatch.context() as patched:
        patched.setattr(bank.memory.store, "changed_passages", cut)
        with pytest.raises(StoreError):
            followed.follow()
        with pytest.raises(StoreError):
            followed.facts()
    followed.follow()
    anew = Facts.of(bank.memory.store.passages(bank.memory.owner, "memory"))
    assert followed.facts().all == anew.all and [fact.id for fact in anew.all] == held[1:]
    assert len(followed.of_kind("turn")) == len(WEEK) + 3


def test_another_users_turns_are_never_read(tmp_path: Path) -> None:
    alice, bob = bank_of(tmp_path), bank_of(tmp_path)
    from memories import memory_of

    bob = Bank(memory_of(tmp_path, user="bob"), extractor=PlainExtractor())
    tell(alice)
    bob.turn("I live in Secretville.", time=at(0))
    bob.consolidate(at(6))
    alice.consolidate(at(6))
    assert [text for _, text in kept(bob.memory, "fact")] == ["bob lives in Secretville."]
    assert not any("Secretville" in item.text for item in alice.memory.items())

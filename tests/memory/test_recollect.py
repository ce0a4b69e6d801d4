"""Recall for a turn of a chat: what is recalled, in which order, for how many tokens, and of whom it is never."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from memories import WordEmbedder, settings_of

from ctxproc import Memory
from ctxproc.memory.base import Note, Passage
from ctxproc.memory.recollect import Recollection, recollect
from ctxproc.memory.recollect_rank import Asked, rank
from ctxproc.memory.recollect_turns import Turns
from ctxproc.memory.recollect_words import bare, first_person, second_person, spoken_of, stemmed
from ctxproc.text import words

NOW = datetime(2026, 6, 12, 15, tzinfo=UTC)
"""A Friday."""


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(hour=12, tzinfo=UTC)


def count(text: str) -> int:
    return len(text.split())


def turn(text: str, when: str = "2026-06-01", speaker: str = "alice", session: str = "old") -> Note:
    role = "assistant" if speaker == "assistant" else "user"
    return Note(text, "turn", day(when), speaker, f"chat/{session}", {"role": role, "session": session})


def fact(relation: str, value: str, since: str, said: str = "", single: bool = True) -> Note:
    told = {"subject": "alice", "relation": relation, "object": value, "turn": 0, "start": 0, "end": 0}
    told |= {"single": single, "ends": False, "said": day(said or since).isoformat(), "by": "test"}
    return Note(f"alice {relation} {value}.", "fact", day(since), "alice", "memory/0", told)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Memory]:
    with Memory(tmp_path / "me.ctxproc", "alice", embedder=WordEmbedder()) as made:
        yield made


def recalled(memory: Memory, message: str, budget: int = 10_000, session: str = "new", **more: object) -> Recollection:
    return recollect(memory, message, now=NOW, session=session, budget=budget, count=count, **more)  # type: ignore[arg-type]


def texts(found: Recollection, part: str = "") -> list[str]:
    return [one.item.text for one in found.items if part in ("", one.part)]


def test_the_parts_stand_in_the_order_of_a_prompt(memory: Memory) -> None:
    memory.remember_all(
        [
            turn("My sailing boat is green.", "2026-05-01"),
            turn("Boats need paint.", "2026-05-02", session="other"),
            Note("alice sails.", "portrait", day("2026-05-03"), source="memory"),
            fact("lives in", "Lyon", "2026-05-04"),
            fact("owns", "a green boat", "2026-05-01"),
            turn("Good morning.", "2026-06-12", session="new"),
            turn("Hello alice.", "2026-06-12", "assistant", session="new"),
        ]
    )
    found = recalled(memory, "What colour is the sailing boat?")
    assert [(one.part, one.item.text) for one in found.items] == [
        ("portrait", "alice sails."),
        ("relevant", "Boats need paint."),
        ("relevant", "My sailing boat is green."),
        ("fact", "alice owns a green boat."),
        ("fact", "alice lives in Lyon."),
        ("recent", "Good morning."),
        ("recent", "Hello alice."),
    ]
    assert found.dropped == 0
    assert found.tokens == sum(count(text) for text in texts(found))


def test_a_month_that_is_named_prefers_what_was_said_in_it(memory: Memory) -> None:
    said = [(f"I went climbing with friend {i}.", f"2026-0{1 + i}-15") for i in range(6)]
    memory.remember_all([turn(text, when, session=when) for text, when in said])
    found = recalled(memory, "Where did I go climbing last March?")
    assert texts(found, "relevant")[-1] == "I went climbing with friend 2."
    assert 'date "last March"' in found.items[-1].why
    assert found.items[-1].why.endswith("; said by alice on 2026-03-15")
    earlier = recalled(memory, "Where did I go climbing last month?", as_of=day("2026-05-20"))
    assert texts(earlier, "relevant")[-1] == "I went climbing with friend 3."


def test_what_is_told_in_the_week_after_comes_next(memory: Memory) -> None:
    dates = ["2026-04-20", "2026-05-03", "2026-05-10", "2026-05-20"]
    memory.remember_all([turn("We went climbing again.", when, f"s{i}", str(i)) for i, when in enumerate(dates)])
    found = recalled(memory, "climbing on 3 May 2026", 8)
    assert [one.item.time.date().isoformat() for one in found.items] == ["2026-05-10", "2026-05-03"]


def test_the_speaker_who_is_named_comes_first(memory: Memory) -> None:
    both = [turn("I adore mushroom soup.", speaker=name, session=name) for name in ("Ben Okri", "Carla")]
    memory.remember_all(both)
    for name, speaker in (("Ben", "Ben Okri"), ("carla", "Carla"), ("Ben Okri", "Ben Okri")):
        found = recalled(memory, f"Which soup does {name} adore?")
        assert found.items[-1].item.speaker == speaker
        assert found.items[-1].item.shares["speaker"] > 0 == found.items[0].item.shares["speaker"]


def test_i_means_the_user_and_you_the_assistant(memory: Memory) -> None:
    memory.remember_all([turn("Soup with mushrooms.", speaker=name, session=name) for name in ("assistant", "alice")])
    assert recalled(memory, "Which soup did I mention?").items[-1].item.speaker == "alice"
    assert recalled(memory, "Which soup did you mention?").items[-1].item.speaker == "assistant"


def test_an_answer_is_found_by_the_words_of_its_question(memory: Memory) -> None:
    memory.remember_all(
        [
            turn("Good. Which instrument do you practise?", speaker="assistant"),
            turn("Mostly the cello, since school."),
            turn("The cello concert was long.", session="third"),
        ]
    )
    found = recalled(memory, "instrument that I practise")
    by_text = {one.item.text: one.item.shares.get("words", 0.0) for one in found.items}
    assert by_text["Mostly the cello, since school."] == pytest.approx(
        0.7 * by_text["Good. Which instrument do you practise?"]
    )
    assert "The cello concert was long." not in by_text


def test_neighbours_stand_beside_what_is_relevant_where_there_is_room(memory: Memory) -> None:
    memory.remember_all(
        [
            turn("Rain all day.", "2026-05-01"),
            turn("The violin was stolen.", "2026-05-01"),
            turn("Such a shame.", "2026-05-01"),
            turn("Nothing else.", "2026-05-01"),
        ]
    )
    found = recalled(memory, "stolen violin")
    assert texts(found) == ["Rain all day.", "The violin was stolen.", "Such a shame."]
    assert [one.why.split(",")[0] for one in found.items[::2]] == ["the turn before 2", "the turn after 2"]
    assert texts(recalled(memory, "stolen violin", 7)) == ["Rain all day.", "The violin was stolen."]
    assert texts(recalled(memory, "stolen violin", 6)) == ["The violin was stolen."]


def test_neighbours_and_answers_are_told_by_their_times_where_ids_have_another_order(memory: Memory) -> None:
    said = [("In the ferry house.", "assistant", 1), ("Fine.", "assistant", 3), ("Where is the piano?", "alice", 0)]
    said.append(("Thanks, and good night.", "alice", 2))
    notes = [
        Note(text, "turn", NOW - timedelta(hours=9 - hour), by, "chat/old", {"role": role, "session": "old"})
        for text, by, hour in said
        for role in ("assistant" if by == "assistant" else "user",)
    ]
    answer, fine, asked, thanks = memory.remember_all(notes)
    found = recalled(memory, "piano")
    assert [one.item.id for one in found.part("relevant")] == [answer, thanks, asked]
    assert [one.item.id for one in recalled(memory, "x", session="old").part("recent")] == [asked, answer, thanks, fine]


def test_notes_of_no_session_are_nobodys_neighbours(memory: Memory) -> None:
    memory.remember_all([Note("Rain all day.", time=NOW), Note("The violin was stolen.", time=NOW)])
    found = recalled(memory, "stolen violin", session="")
    assert texts(found) == ["The violin was stolen."]
    alone = found.items[0].item
    assert alone.shares["session"] == pytest.approx((alone.score - alone.shares["session"]) * 0.3 / 3)


def test_a_superseded_fact_says_until_when_it_held(memory: Memory) -> None:
    memory.remember_all([fact("lives in", "Paris", "2024-02-01"), fact("lives in", "Lyon", "2026-05-20")])
    found = recalled(memory, "Where did I live before Lyon?")
    assert texts(found, "fact") == ["alice lives in Paris. (until 2026-05)", "alice lives in Lyon."]
    assert found.items[0].why.startswith("answers the message (before ")
    assert found.items[0].why.endswith("; since 2024-02-01, until 2026-05-20")
    assert texts(recalled(memory, "Hello!"), "fact") == ["alice lives in Lyon."]


def test_as_of_hides_what_was_said_later(memory: Memory) -> None:
    memory.remember_all(
        [
            turn("The lamp is red.", "2025-01-01"),
            fact("lives in", "Paris", "2025-01-01"),
            Note("alice likes red.", "portrait", day("2025-01-02")),
            turn("The lamp is blue.", "2026-01-01", session="later"),
            fact("lives in", "Lyon", "2025-02-01", said="2026-01-01"),
            Note("alice likes blue.", "portrait", day("2026-01-02")),
        ]
    )
    then = recalled(memory, "Which colour is the lamp, and where do I live?", as_of=day("2025-06-01"))
    assert texts(then) == ["alice likes red.", "The lamp is red.", "alice lives in Paris."]
    assert [item.recalls for item in memory.items()] == [0] * 6
    today = recalled(memory, "Which colour is the lamp, and where do I live?")
    assert set(texts(today)) > {"alice likes blue.", "The lamp is blue.", "alice lives in Lyon."}
    assert "alice likes red." not in texts(today)


def test_what_has_faded_is_relevant_only_where_it_is_asked_for(memory: Memory) -> None:
    first, second = memory.remember_all(
        [turn("A lamp.", "2026-03-01"), turn("Red and green is the lamp in the hall.", session="b")]
    )

    def faded(passage: Passage, now: datetime) -> bool:
        assert now == NOW
        return passage.id == first

    def found(message: str, **more: object) -> set[int]:
        return {one.item.id for one in recalled(memory, message, **more).items}

    message = "the red and green hall lamp"
    assert found(message) == {first, second}
    assert found(message, faded=faded) == {second}
    assert found("lamp", faded=faded) == {first, second}
    assert found(f"{message} in March", faded=faded) == {first, second}


def test_what_only_asks_comes_behind_what_tells(memory: Memory) -> None:
    memory.remember_all(
        [
            *(turn(f"What did the ferry carry on day {n}?", session=f"q{n}") for n in range(3)),
            turn("On day 7 the ferry carried sheep. More tomorrow?", session="told"),
        ]
    )
    found = recalled(memory, "What did the ferry carry on day 7?")
    assert texts(found, "relevant")[-1] == "On day 7 the ferry carried sheep. More tomorrow?"


def test_the_message_itself_is_left_out(memory: Memory) -> None:
    old, new = memory.remember_all([turn("A lamp is lit."), turn("Is a lamp lit?", "2026-06-12", session="new")])
    assert [one.item.id for one in recalled(memory, "Is a lamp lit?", skip=new).items] == [old]
    assert [one.part for one in recalled(memory, "Is a lamp lit?").items] == ["relevant", "recent"]


def test_that_relevant_turns_were_recalled_is_noted(memory: Memory) -> None:
    memory.remember_all([turn("The lamp is red."), turn("Bread is baked.", session="b"), turn("Hi.", session="new")])
    recalled(memory, "lamp", 9)
    assert [(item.text, item.recalls) for item in memory.items()] == [
        ("The lamp is red.", 1),
        ("Bread is baked.", 0),
        ("Hi.", 0),
    ]
    assert memory.items()[0].recalled == NOW


def test_small_talk_recalls_nothing(memory: Memory) -> None:
    memory.remember_all([turn("The lamp is red."), turn("Bread is baked.", session="b")])
    for message in ("", "  ", "Thanks, and you?", "How are you doing?"):
        assert recalled(memory, message).items == ()


def test_an_empty_memory_and_an_empty_budget_give_nothing(memory: Memory) -> None:
    assert recalled(memory, "lamp") == Recollection()
    memory.remember_all([turn("The lamp is red."), turn("Bread.", session="new")])
    assert recalled(memory, "lamp", 0) == Recollection((), 1)


def test_the_same_words_are_told_once(memory: Memory) -> None:
    memory.remember_all([turn("The lamp is red.", session=str(i)) for i in range(5)])
    assert texts(recalled(memory, "lamp")) == ["The lamp is red."]


def test_chinese_is_recalled_by_pairs_of_characters(memory: Memory) -> None:
    memory.remember_all([turn("我的牙医叫王小明。", "2026-06-03"), turn("里昂下雨了。", "2026-05-05", session="b")])
    assert texts(recalled(memory, "牙医是谁？"))[-1] == "我的牙医叫王小明。"
    assert texts(recalled(memory, "上个月里昂天气怎么样？"))[-1] == "里昂下雨了。"


def test_nobody_recalls_what_is_anothers(tmp_path: Path) -> None:
    path = tmp_path / "both.ctxproc"
    with (
        Memory(path, "alice", embedder=WordEmbedder()) as alice,
        Memory(path, "bob", embedder=WordEmbedder()) as bob,
    ):
        alice.remember_all([turn("Alice keeps a canary."), fact("owns", "a canary", "2026-01-01")])
        bob.remember_all([turn("Bob keeps a canary.", speaker="bob", session="new")])
        assert texts(recalled(bob, "Who keeps a canary?")) == ["Bob keeps a canary."]
        assert texts(recalled(alice, "Who keeps a canary?")) == ["Alice keeps a canary.", "alice owns a canary."]


def test_without_vectors_words_decide(tmp_path: Path) -> None:
    with Memory(tmp_path / "me.ctxproc", "alice", settings=settings_of("retrieval.search=[bm25]")) as memory:
        memory.remember_all([turn("The lamp is red."), turn("Bread is baked.", session="b")])
        found = recalled(memory, "lamps")
        assert texts(found) == ["The lamp is red."]
        assert set(found.items[0].item.shares) == {"words", "speaker", "date", "session"}


HISTORY = [
    *(
        turn(f"Lamp {i} stands in the {place}.", f"2026-05-{i + 1:02}", "alice", f"s{i % 4}")
        for i, place in enumerate("abcdefghij")
    ),
    Note("alice has lamps and cares for them all.", "portrait", day("2026-05-30")),
    *(fact("owns", f"lamp number {i}", f"2026-05-{i + 1:02}", single=False) for i in range(6)),
    *(turn(f"Recent words about nothing, {i} times.", "2026-06-12", "alice", "new") for i in range(8)),
]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with Memory(tmp_path_factory.mktemp("filled") / "me.ctxproc", "alice", embedder=WordEmbedder()) as made:
        made.remember_all(HISTORY)
        yield made


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    budget=st.integers(0, 160),
    seed=st.integers(0, 5),
    message=st.sampled_from(["lamp", "Where is lamp 3?", "owns", ""]),
)
def test_any_budget_is_kept_and_nothing_stands_twice(filled: Memory, budget: int, seed: int, message: str) -> None:
    def tokens(text: str) -> int:
        return len(text) * (seed + 1) // 7

    found = recollect(filled, message, now=NOW, session="new", budget=budget, count=tokens)
    assert found.tokens == sum(tokens(one.item.text) for one in found.items) <= budget
    ids = [one.item.id for one in found.items]
    assert len(set(ids)) == len(ids)
    order = ["portrait", "relevant", "fact", "recent"]
    assert [one.part for one in found.items] == sorted((one.part for one in found.items), key=order.index)
    scores = [one.item.score for one in found.part("relevant") if one.item.score]
    assert scores == sorted(scores)
    recent = [one.item.id for one in found.part("recent")]
    everything = [item.id for item in filled.items() if item.source == "chat/new"]
    assert recent == everything[len(everything) - len(recent) :]


def test_the_ranking_is_that_of_the_formula(memory: Memory) -> None:
    notes = [
        turn("What did you paint in spring?", "2026-05-02", "Ana", "one"),
        turn("A boat, in blue colours. And a lamp.", "2026-05-02", "Ben", "one"),
        turn("Ana paints boats.", "2026-05-09", "Ben", "two"),
        turn("I painted the painted boat.", "2026-04-01", "Ana", "two"),
        turn("Blue is a colour.", "2026-05-20", "Ana", "three"),
        turn("Bread.", "2026-05-21", "Ana", "three"),
        turn("Milk.", "2026-06-04", "Ben", "four"),
        turn("Cheese?", "2026-06-09", "Ana", "four"),
        turn("With olives.", "2026-06-09", "Ben", "four"),
    ]
    memory.remember_all(notes)
    message = "What boat did Ana paint in May?"
    with Turns(memory.store, memory.owner).current() as turns:
        asked = Asked.of(message, NOW, turns)
        found = rank(memory.stored, turns, asked, np.ones(len(notes), bool))
    expected = formula(notes, message, {"Ana"}, "2026-05-01", "2026-06-01")
    assert {one.id: pytest.approx(one.score, abs=1e-5) for one in found} == expected
    assert [one.id for one in found] == sorted(expected, key=lambda i: -expected[i])
    assert all(sum(one.shares.values()) == pytest.approx(one.score) for one in found)


def formula(notes: Sequence[Note], message: str, names: set[str], since: str, until: str) -> dict[int, float]:
    """The score of each note by what the module of the ranking says, term by term."""
    said = [words(stemmed(note.text)) for note in notes]
    rest = bare(message, names)
    mean = sum(map(len, said)) / len(said)
    by_words = []
    for some in said:
        score = 0.0
        for word in words(stemmed(rest)):
            n = sum(word in one for one in said)
            if n:
                weight = math.log((len(said) - n + 0.5) / (n + 0.5))
                often = Counter(some)[word]
                score += weight * often * 2.2 / (often + 1.2 * (0.7 + 0.3 * len(some) / mean))
        by_words.append(score)
    given_on = list(by_words)
    for i, (one, other) in enumerate(pairwise(notes), 1):
        if one.source == other.source and one.speaker != other.speaker and "?" in one.text:
            given_on[i] += 0.7 * by_words[i - 1]
    vectors = WordEmbedder().embed([note.text for note in notes]) @ WordEmbedder().embed([rest], query=True)[0]
    own = []
    for note, shared, cosine in zip(notes, given_on, vectors.tolist(), strict=True):
        inside = day(since) <= note.time + timedelta(hours=12) < day(until)
        week = day(until) <= note.time < day(until) + timedelta(days=7)
        date = 1.0 if inside else 0.5 if week else 0.0
        total = shared / max(given_on) + 1.5 * max(0.0, cosine) + 0.4 * (note.speaker in names) + 0.8 * date
        only_asks = note.text.endswith("?")
        own.append(
            (0.4 if only_asks else 1.0) * total / 3.7 / 1.3 if shared > 0 or date > 0 or cosine >= 0.25 else None
        )
    found = {}
    for i, (note, score) in enumerate(zip(notes, own, strict=True), 1):
        if score is not None:
            best = sorted(
                (s for n, s in zip(notes, own, strict=True) if n.source == note.source and s is not None), reverse=True
            )
            found[i] = score + 0.3 * sum(best[:3]) / 3
    return found


def test_the_state_that_is_kept_follows_the_shelf(memory: Memory) -> None:
    kept = Turns(memory.store, memory.owner)
    ids = memory.remember_all([turn(f"Lamp {i}?", speaker="ab"[i % 2], session="cd"[i % 3 % 2]) for i in range(9)])
    steps = [
        lambda: memory.edit(ids[3], "Bread, not lamps."),
        lambda: memory.remember_all([turn("More bread?", session="c"), Note("sums up", "portrait")]),
        lambda: memory.forget([ids[0], ids[4]]),
        lambda: memory.remember_all([turn("The last lamp.", speaker="b", session="c")]),
    ]
    for step in (lambda: None, *steps):
        step()
        with kept.current() as now, Turns(memory.store, memory.owner).current() as new:
            assert now.rows.ids.tolist() == new.rows.ids.tolist()
            assert now.answers.tolist() == new.answers.tolist()
            assert now.rows.times.tolist() == new.rows.times.tolist()
            assert now.portraits == new.portraits
            assert now.words.scores("lamp bread").tolist() == pytest.approx(new.words.scores("lamp bread").tolist())


def test_a_turn_reads_what_is_new_and_what_it_tells(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    memory.remember_all([turn(f"Lamp {i} of the house.", session=str(i)) for i in range(300)])
    recalled(memory, "lamp 7", 25)
    read: list[int] = []
    passages = memory.store.passages

    def spy(owner: object, shelf: object, ids: Sequence[int]) -> list[Passage]:
        read.append(len(ids))
        return passages(owner, shelf, ids)  # type: ignore[arg-type]

    monkeypatch.setattr(memory.store, "passages", spy)
    memory.remember_all([turn("A new lamp.", session="new")])
    recalled(memory, "lamp 7", 25)
    assert sum(read) < 100


def test_words_are_compared_by_their_stems() -> None:
    assert words(stemmed("She was painting the Boats; didn't Ana’s boat sink? 我的船")) == [
        "paint",
        "boat",
        "ana",
        "boat",
        "sink",
        *words("我的船"),
    ]
    assert bare("When did Ana's sister go to the sea?", {"Ana"}) == "sister go to the sea?"
    assert bare("Who?", ()) == "Who?"
    assert spoken_of("What did ben and 王小明 say to Carlas?", ["Ben Okri", "Carla", "王小明", ""]) == {
        "Ben Okri": "Ben",
        "王小明": "王小明",
    }
    assert (first_person("Where do I live?"), first_person("我住哪里"), first_person("Do you like me?")) == (
        True,
        True,
        False,
    )
    assert (second_person("你住哪里"), second_person("Inform me")) == (True, False)

"""`Memory`: what is remembered is found again, by its owner alone, and what is forgotten is gone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hostile import NAMES, NUMBERS, PATHS
from memories import NOTES, WordEmbedder, memory_of, said, settings_of
from numpy.typing import NDArray

import ctxproc
from ctxproc import Memory
from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import ConfigError, CtxprocError, LimitError, StoreError, UsageError
from ctxproc.memory.base import Note
from ctxproc.memory.corpus import Corpus


def test_what_was_remembered_is_found_the_most_relevant_first(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, *NOTES)
    found = memory.recall("Who is my dentist?", 2)
    assert str(found[0]) == NOTES[1] and len(found) == 2
    assert found[0].id == memory.items()[1].id and 0 < found[1].score < found[0].score <= 1
    assert str(memory.recall("牙医是谁？", 1)[0]) == NOTES[4]
    assert memory.count == 5


def test_what_a_user_does_is_one_transaction(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    for text in NOTES:
        memory.remember(text)
    memory.edit(memory.items()[0].id, "something else")
    assert memory.store.state(memory.owner, "memory").generation == len(NOTES) + 1
    assert memory.store.unembedded(memory.owner) == []


def test_a_recall_gives_what_the_criteria_give_over_the_same_texts(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, *NOTES)
    chunks = [Chunk(Document.from_text(text), 0, len(text), 1, 0) for text in NOTES]
    corpus = Corpus(chunks, WordEmbedder())
    for query in ("two rivers in Lyon", "when does the ferry leave", "牙医"):
        expected = [(NOTES[hit.index], pytest.approx(hit.score), hit.shares.keys()) for hit in corpus.select(query, 4)]
        assert [(item.text, item.score, item.shares.keys()) for item in memory.recall(query, 4)] == expected


def test_a_note_keeps_all_that_was_told_of_it(tmp_path: Path) -> None:
    time = datetime(2024, 2, 29, 23, 59, tzinfo=UTC)
    told = {"lc": 1, "__class__": "os.system", "weight": 0.5, "true": True, "ключ": "значение"}
    memory = memory_of(tmp_path)
    number = memory.remember("x " * 5000, kind="turn", time=time, speaker="Bob", source="chat 7", metadata=told)
    memory.close()
    item = memory_of(tmp_path).get(number)
    assert (item.text, item.kind, item.time, item.speaker, item.source) == ("x " * 5000, "turn", time, "Bob", "chat 7")
    assert dict(item.metadata) == told and item.recalls == 0


def test_recalls_are_counted(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, *NOTES[:2])
    memory.recall("Lyon", 1)
    memory.recall("Lyon", 1)
    assert [item.recalls for item in memory.items()] == [2, 0]
    assert memory.items()[0].recalled is not None and memory.items()[1].recalled is None


def test_only_what_passes_the_filters_is_found(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    for year in (2020, 2021, 2022):
        time = datetime(year, 6, 1, tzinfo=UTC)
        memory.remember(f"Lyon in the year {year}", time=time, speaker=f"s{year}", metadata={"year": year})
    assert {str(item)[-4:] for item in memory.recall("Lyon", where={"year": {">=": 2021}})} == {"2021", "2022"}
    assert {str(item)[-4:] for item in memory.recall("Lyon", since="2021-06-01", until="2021-12-31")} == {"2021"}
    assert {str(item)[-4:] for item in memory.recall("Lyon", where={"speaker": "s2020"})} == {"2020"}
    assert memory.recall("Lyon", where={"year": 1999}) == []


def test_no_owner_sees_anything_of_another(tmp_path: Path) -> None:
    owners = [("alice", "", ""), ("bob", "", ""), ("alice", "helper", ""), ("alice", "", "monday"), ("Alice", "", "")]
    made = {}
    for number, (user, agent, session) in enumerate(owners):
        memory = memory_of(tmp_path, f"canary{number} lamp", user=user, agent=agent, session=session)
        memory.edit(memory.items()[0].id, f"canary{number} lamp, edited")
        made[number] = memory
    ids = {number: memory.items()[0].id for number, memory in made.items()}
    for number, memory in made.items():
        memory.export(tmp_path / f"{number}.jsonl")
        seen = [
            repr(memory.recall("canary0 canary1 canary2 canary3 canary4 lamp", 100)),
            repr(memory.items()),
            repr(memory.log()),
            repr(memory.forget("canary", dry_run=True)),
            memory.diff(ids[number]),
            (tmp_path / f"{number}.jsonl").read_text(),
        ]
        for other in made:
            assert all((f"canary{other}" in text) == (other == number) for text in seen)
            if other == number:
                continue
            for act in (
                lambda m=memory, i=ids[other]: m.get(i),
                lambda m=memory, i=ids[other]: m.edit(i, "stolen"),
                lambda m=memory, i=ids[other]: m.forget(i),
                lambda m=memory, i=ids[other]: m.diff(i),
            ):
                with pytest.raises(UsageError) as error:
                    act()
                assert "canary" not in str(error.value)
            assert memory.log(ids[other]) == []
        memory.forget("canary")
    assert all(memory.count == 0 for memory in made.values())


def test_forgetting_leaves_what_others_keep(tmp_path: Path) -> None:
    alice, bob = memory_of(tmp_path, *NOTES), memory_of(tmp_path, *NOTES, user="bob")
    receipt = alice.forget("dentist")
    assert [str(item) for item in receipt.notes] == [NOTES[1]] and receipt.holders == 1
    assert said(bob) == list(NOTES) and said(alice) == [NOTES[0], *NOTES[2:]]
    assert str(bob.recall("dentist", 1)[0]) == NOTES[1]


def test_a_small_owner_beside_a_large_one_finds_what_it_would_find_alone(tmp_path: Path) -> None:
    large = memory_of(tmp_path, user="alice")
    large.remember_all(Note(f"My dentist of Lyon number {i} is called Otto Lind.") for i in range(3000))
    large.recall("dentist")
    small, alone = memory_of(tmp_path, *NOTES, user="bob"), memory_of(tmp_path / "alone", *NOTES, user="bob")
    for query in ("Who is my dentist?", "Lyon", "Otto Lind", "牙医"):
        found, expected = small.recall(query, 5), alone.recall(query, 5)
        assert [(item.text, item.score) for item in found] == [(item.text, item.score) for item in expected]
        assert len(found) == 5
    assert len(large.recall("Otto Lind", 50)) == 50


HOSTILE = """
import sys
sys.path.insert(0, sys.argv[3])
from memories import WordEmbedder
from ctxproc import Memory
from ctxproc.memory.doctor import examine

def use(path):
    with Memory(path, "alice", embedder=WordEmbedder()) as memory:
        memory.recall("ferry"); memory.items(); memory.log(); memory.diff(1); memory.edit(1, "x {x.__class__} {{7*7}}")
        memory.revert(memory.log()[0].id); memory.export(path + ".jsonl"); memory.import_(path + ".jsonl")
    examine(__import__("pathlib").Path(path))
    with Memory(path, "alice", embedder=WordEmbedder()) as memory:
        memory.forget("harmless")

def watch(event, arguments):
    if event in FORBIDDEN:
        print("ran", event, arguments); sys.stdout.flush()
        __import__("os")._exit(3)

FORBIDDEN = {"pickle.find_class", "marshal.loads", "exec", "compile", "os.system", "subprocess.Popen", "socket.connect"}
use(sys.argv[1])
sys.addaudithook(watch)
use(sys.argv[2])
"""


def test_nothing_in_a_hostile_memory_is_run(tmp_path: Path) -> None:
    told = {"lc": 1, "type": "constructor", "id": ["os"][0], "__reduce__": "os.system", "py/object": "subprocess.Popen"}
    for name in ("warm", "hostile"):
        memory = memory_of(
            tmp_path / name, "cos\nsystem\n(S'touch x'\ntR. ferry", "!!python/object/apply:os.system ['x']"
        )
        memory.remember("harmless ferry", speaker="$(touch x)", source="file:///etc/passwd", metadata=told)
        memory.recall("ferry")
        memory.close()
    paths = [str(tmp_path / name / "me.ctxproc") for name in ("warm", "hostile")]
    code = [sys.executable, "-c", HOSTILE, *paths, str(Path(__file__).parent)]
    done = subprocess.run(code, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_missing_user_raises(tmp_path: Path) -> None:
    for user in ("", "  "):
        with pytest.raises(UsageError, match="name the user"):
            Memory(tmp_path / "me.ctxproc", user)
    with pytest.raises(UsageError, match="name the user"):
        Memory(tmp_path / "me.ctxproc")


@pytest.mark.parametrize(
    ("note", "says"),
    [
        (Note("  \n"), "empty"),
        (Note("x" * 1_000_001), "at most 1,000,000 characters"),
        (Note("x", kind="chunk"), "no kind of note"),
        (Note("x", time=datetime(2020, 1, 1)), "zone"),
        (Note("x \ud800"), "surrogate"),
        (Note("x", metadata={"a": [1]}), "single values"),  # type: ignore[dict-item]
        (Note("x", metadata={"a": float("nan")}), "single values"),
        (Note("x", metadata={"a": 1 << 70}), "63 bits"),
        (Note("x", metadata={1: "a"}), "names of metadata"),  # type: ignore[dict-item]
        (Note("x", metadata={str(i): i for i in range(300)}), "at most 256"),
    ],
)
def test_what_cannot_be_remembered_is_refused_and_nothing_is_kept(tmp_path: Path, note: Note, says: str) -> None:
    memory = memory_of(tmp_path)
    with pytest.raises(UsageError, match=says):
        memory.remember_all([Note("good"), note])
    assert memory.count == 0


@pytest.mark.parametrize("odd", NUMBERS, ids=repr)
def test_a_number_that_is_none_is_refused_everywhere(tmp_path: Path, odd: object) -> None:
    memory = memory_of(tmp_path, *NOTES)
    calls = [memory.get, memory.diff, memory.revert, lambda n: memory.edit(n, "y"), lambda n: memory.forget([n])]
    for call in calls:
        with pytest.raises(UsageError):
            call(odd)  # type: ignore[operator]
    assert said(memory) == list(NOTES)


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_path_that_cannot_be_is_refused_everywhere_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    memory = memory_of(tmp_path, NOTES[0])
    before = sorted(tmp_path.rglob("*"))
    calls = (lambda: Memory(path, "alice"), lambda: memory.export(path), lambda: memory.import_(path))
    for call in calls:
        with pytest.raises(CtxprocError) as error:
            call()
        assert "\n" not in str(error.value) and "\0" not in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_name_of_a_user_becomes_a_path(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for user in NAMES:
        memory = memory_of(folder, f"lamp of {user}", user=user)
        assert [str(item) for item in memory.recall("lamp")] == [f"lamp of {user}"]
        memory.close()
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert all(path.is_relative_to(folder) for path in tmp_path.rglob("*/*"))


def test_a_recall_sees_what_another_process_wrote(tmp_path: Path) -> None:
    words = settings_of("retrieval.search=[bm25]")
    memory = memory_of(tmp_path, NOTES[0], settings=words)
    assert [str(item) for item in memory.recall("ferry")] == []
    code = (
        "import sys, ctxproc\n"
        "settings, _ = ctxproc.resolve(sets=['retrieval.search=[bm25]'])\n"
        "with ctxproc.Memory(sys.argv[1], 'alice', settings=settings) as memory:\n"
        "    memory.remember(sys.argv[2]); memory.edit(1, 'I moved to Paris by ferry.')\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "me.ctxproc"), NOTES[2]], check=True)
    assert {str(item) for item in memory.recall("ferry")} == {NOTES[2], "I moved to Paris by ferry."}
    assert [str(item) for item in memory.recall("Lyon")] == []


def test_threads_may_write_and_recall_at_once(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, NOTES[0])
    failed: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(10):
                memory.remember(f"thread {name} note {i}")
                assert memory.recall(f"thread {name} note {i}", 50)
        except BaseException as error:  # noqa: BLE001  (told below)
            failed.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(said(memory)[1:]) == sorted(f"thread {name} note {i}" for name in range(4) for i in range(10))


def test_an_edit_is_found_by_its_new_words_alone_and_can_be_reverted(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, NOTES[0], NOTES[2], settings=settings_of("retrieval.search=[bm25]"))
    first = memory.items()[0].id
    memory.edit(first, "I moved to Paris\nin June.")
    assert memory.recall("Lyon") == [] and memory.recall("Paris")[0].id == first
    change = memory.log(first)[0]
    assert (change.action, change.before, change.after) == ("edit", NOTES[0], "I moved to Paris\nin June.")
    assert memory.revert(change.id) == first
    assert said(memory) == [NOTES[0], NOTES[2]] and memory.log(1)[0].action == "revert"
    lines = [line for line in memory.diff(first).splitlines() if not line.startswith("@@")]
    assert lines == [
        f"+ {NOTES[0]}",
        *(f"- {NOTES[0]}", "+ I moved to Paris", "+ in June."),
        *(f"+ {NOTES[0]}", "- I moved to Paris", "- in June."),
    ]
    with pytest.raises(UsageError, match=f"forget {first} to undo"):
        memory.revert(memory.log(first)[-1].id)
    memory.forget(first)
    with pytest.raises(UsageError, match="forgotten"):
        memory.revert(change.id)


def test_the_vectors_of_two_models_are_never_mixed(tmp_path: Path) -> None:
    memory_of(tmp_path, *NOTES).close()
    other = memory_of(tmp_path, embedder=WordEmbedder("other", seed="2"))
    first = other.items()[0].id
    for act in (lambda: other.remember("new"), lambda: other.recall("Lyon"), lambda: other.edit(first, "new")):
        with pytest.raises(StoreError, match=r"embedded by words.*ctxproc memory reembed --memory .* --user alice"):
            act()
    assert said(other) == list(NOTES)
    other.reembed()
    assert [str(item) for item in other.recall("dentist", 1)] == [NOTES[1]]
    with pytest.raises(StoreError, match="embedded by other"):
        memory_of(tmp_path).recall("Lyon")


def test_reembedding_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    memory.remember_all(Note(f"note {i} of Lyon") for i in range(600))
    assert len(memory.recall("Lyon", 3)) == 3
    memory.close()
    with pytest.raises(KeyboardInterrupt):
        memory_of(tmp_path, embedder=WordEmbedder("other", seed="2", left=300)).reembed()
    rest = WordEmbedder("other", seed="2")
    again = memory_of(tmp_path, embedder=rest)
    again.reembed()
    assert sorted(rest.embedded) == sorted(f"note {i} of Lyon" for i in range(256, 600))
    fresh = memory_of(tmp_path / "fresh", embedder=WordEmbedder("other", seed="2"))
    fresh.remember_all(Note(f"note {i} of Lyon") for i in range(600))
    assert [(str(i), i.score) for i in again.recall("note 77", 9)] == [
        (str(i), i.score) for i in fresh.recall("note 77", 9)
    ]


def test_what_was_left_without_a_vector_gets_one_when_it_is_searched(tmp_path: Path) -> None:
    words = memory_of(tmp_path, *NOTES, settings=settings_of("retrieval.search=[bm25]"))
    assert words.store.model(words.owner) is None
    embedder = WordEmbedder()
    memory = memory_of(tmp_path, embedder=embedder, settings=settings_of("retrieval.search=[cosine]"))
    assert len(memory.recall("Lyon", 10)) == 5
    assert embedder.embedded == list(NOTES)


def test_a_note_that_is_edited_while_it_is_embedded_never_gets_the_vector_of_its_old_text(tmp_path: Path) -> None:
    words = settings_of("retrieval.search=[bm25]")
    other = memory_of(tmp_path, NOTES[0], NOTES[1], settings=words)

    class Slow(WordEmbedder):
        def embed(self, texts: Sequence[str], query: bool = False) -> NDArray[np.float32]:
            if not query and not self.embedded:
                other.edit(1, NOTES[2])
            return super().embed(texts, query)

    memory = memory_of(tmp_path, embedder=Slow(), settings=settings_of("retrieval.search=[cosine]"))
    assert [str(item) for item in memory.recall("ferry to Skerry Point", 1)] == [NOTES[2]]
    index = memory.stored.vectors("memory")
    assert np.array_equal(index.vectors(index.ids), WordEmbedder().embed([NOTES[2], NOTES[1]]))


def test_more_than_the_limit_is_refused_as_a_whole(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, *NOTES[:2], settings=settings_of("limits.memories=3"))
    with pytest.raises(LimitError, match="3"):
        memory.remember_all([Note("one"), Note("two")])
    assert said(memory) == list(NOTES[:2])


def test_wrong_settings_are_told_before_a_file_is_made(tmp_path: Path) -> None:
    for item in ("retrieval.search=[mmr]", "retrieval.rescore=[bm25]", "retrieval.since=yesterday"):
        with pytest.raises(ConfigError):
            memory_of(tmp_path, settings=settings_of(item))
    assert list(tmp_path.iterdir()) == []


def test_an_empty_memory_and_an_empty_query(tmp_path: Path) -> None:
    memory = memory_of(tmp_path)
    assert memory.recall("anything") == [] and memory.items() == [] and memory.log() == []
    assert memory.forget("anything").notes == ()
    for act in (lambda: memory.recall(" "), lambda: memory.forget(" "), lambda: memory.forget(7)):
        with pytest.raises(UsageError):
            act()
    memory.remember("Lyon")
    assert memory.recall("Lyon", 0) == []


def test_memory_is_public() -> None:
    assert ctxproc.Memory is Memory


def test_times_are_kept_to_the_microsecond(tmp_path: Path) -> None:
    time = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC) + timedelta(hours=2)
    memory = memory_of(tmp_path)
    number = memory.remember("x", time=time)
    assert memory.get(number).time == time
    assert json.loads(json.dumps(memory.get(number).to_json()))["time"] == time.isoformat()

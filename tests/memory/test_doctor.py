"""The doctor: finds what is wrong with a memory file or its caches, builds caches anew, saves what can be read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from memories import NOTES, WordEmbedder, memory_of, said, settings_of

from ctxproc import Memory
from ctxproc.errors import UsageError
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory import doctor
from ctxproc.memory.cache import Caches
from ctxproc.memory.doctor import compare_texts, compare_vectors, examine
from ctxproc.memory.intake import add
from ctxproc.memory.lexical import LexicalIndex
from ctxproc.memory.sqlite import rows
from ctxproc.memory.vector import VectorIndex


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    """Notes of two users and a document of one, searched once, so that there are caches."""
    memory = memory_of(tmp_path, *NOTES)
    memory_of(tmp_path, *NOTES[:2], user="bob").recall("Lyon")
    book = tmp_path / "book.md"
    book.write_text("\n\n".join(f"Paragraph {i} tells of the lamp of house {i * 7}." for i in range(80)))
    add(memory.library, [book], WordTokenizer())
    memory.recall("Lyon")
    memory.library.search("lamp")
    return memory


def test_a_sound_memory_is_said_to_be_sound(memory: Memory) -> None:
    report = examine(memory.store.path)
    assert report.wrong == [] and report.repaired == [] and report.sound
    said = "\n".join(report.facts)
    assert "memory of alice: 5 passages, vectors by words (64 numbers)" in said and "memory of bob: 2 passages" in said
    assert said.count("flat, recall 1.000") == 3 and said.count("exact") >= 3


def falsify(monkeypatch: pytest.MonkeyPatch, kind: str, index: object) -> None:
    """The next index of a kind that is opened is this one; those after it are right."""
    right = getattr(Caches, kind)
    pending = [index]
    monkeypatch.setattr(Caches, kind, lambda self, *of: pending.pop() if pending else right(self, *of))


def without_one(memory: Memory) -> VectorIndex:
    index = VectorIndex(64)
    texts = [item.text for item in memory.items()]
    index.add(np.arange(1, 5), WordEmbedder().embed(texts[:4]))
    return index


def with_another(memory: Memory) -> VectorIndex:
    index = VectorIndex(64)
    texts = [item.text for item in memory.items()]
    index.add(np.array([item.id for item in memory.items()]), WordEmbedder(seed="2").embed(texts))
    return index


def with_other_words(memory: Memory) -> LexicalIndex:
    index = LexicalIndex()
    texts = [item.text.replace("ferry", "train") for item in memory.items()]
    index.add(np.array([item.id for item in memory.items()]), texts)
    return index


@pytest.mark.parametrize(
    ("make", "kind", "says"),
    [
        (without_one, "vectors", "holds other passages than the store (4 and 5)"),
        (with_another, "vectors", "holds other vectors than the store"),
        (with_other_words, "texts", "gives other scores than rank-bm25"),
    ],
)
def test_an_index_that_disagrees_is_found_and_built_anew(
    memory: Memory, monkeypatch: pytest.MonkeyPatch, make: object, kind: str, says: str
) -> None:
    compare = compare_vectors if kind == "vectors" else compare_texts
    index = make(memory)  # type: ignore[operator]
    assert says in compare(index, memory.store, memory.owner, "memory")
    assert (
        compare(getattr(memory.stored.caches, kind)(memory.owner, "memory"), memory.store, memory.owner, "memory") == []
    )
    monkeypatch.setattr(doctor, "SHELVES", ("memory",))
    falsify(monkeypatch, kind, index)
    report = examine(memory.store.path)
    assert [line.endswith(says) for line in report.wrong] == [True] and not report.sound and report.repaired == []
    falsify(monkeypatch, kind, index)
    report = examine(memory.store.path, repair=True)
    assert len(report.wrong) == 1 and report.sound and report.repaired[0].endswith("built anew, agrees now")


def test_vectors_are_compared_batch_by_batch(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "BATCH", 2)
    store, owner = memory.store, memory.owner
    assert [len(ids) for ids, _ in store.changed_vectors(owner, "memory").added] == [2, 2, 1]
    index = memory.stored.caches.vectors(owner, "memory")
    assert compare_vectors(index, store, owner, "memory") == []
    assert compare_vectors(with_another(memory), store, owner, "memory") == ["holds other vectors than the store"]
    assert compare_vectors(without_one(memory), store, owner, "memory") == [
        "holds other passages than the store (4 and 5)"
    ]
    short = VectorIndex(8)
    short.add(np.asarray(index.ids), np.ones((5, 8), dtype=np.float32))
    assert compare_vectors(short, store, owner, "memory") == ["holds vectors of another length than the store"]


def test_an_index_that_finds_too_few_is_found_out(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    index = memory.stored.caches.vectors(memory.owner, "memory")
    search = index.search
    monkeypatch.setattr(index, "search", lambda query, k: tuple(part[1:] for part in search(query, k)))
    faults = compare_vectors(index, memory.store, memory.owner, "memory")
    assert faults == ["finds 0.800 of the nearest 10, and states 1.000"]


def test_large_shelves_are_compared_with_a_fresh_index(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "BY_RANK_BM25", 2)
    assert examine(memory.store.path).sound
    faults = compare_texts(with_other_words(memory), memory.store, memory.owner, "memory")
    assert faults == ["gives other scores than an index built anew"]


def test_a_damaged_cache_file_is_built_anew(memory: Memory) -> None:
    files = memory.stored.caches.files(memory.owner)
    memory.close()
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[:-40] + b"x" * 40)
    report = examine(memory.store.path)
    assert report.sound and any("anew" in line for line in report.facts)


def test_what_can_be_read_of_a_damaged_file_is_saved_beside_it(memory: Memory, tmp_path: Path) -> None:
    path = memory.store.path
    book = [passage.text for passage in memory.store.passages(memory.owner, "library")]
    memory.close()
    raw = path.read_bytes()
    at = raw.rindex(NOTES[2].encode())
    path.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
    report = examine(path)
    assert report.wrong and not report.sound and report.repaired == []
    damaged = path.read_bytes()
    report = examine(path, repair=True)
    assert report.repaired == [f"what can be read was saved in {path}.salvaged; at least 1 passages are lost"]
    assert path.read_bytes() == damaged
    saved = Memory(tmp_path / "me.ctxproc.salvaged", "alice", embedder=WordEmbedder())
    assert said(saved) == [NOTES[0], NOTES[1], *NOTES[3:]]
    assert [passage.text for passage in saved.store.passages(saved.owner, "library")] == book
    bob = Memory(tmp_path / "me.ctxproc.salvaged", "bob", embedder=WordEmbedder())
    assert said(bob) == list(NOTES[:2]) and saved.recall("dentist", 1)[0].text == NOTES[1]
    assert not saved.library.is_split_by(WordTokenizer(), 200, 0)
    saved.close()
    examine(path, repair=True)
    assert (tmp_path / "me.ctxproc.salvaged.2").exists()


def test_no_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no memory file"):
        examine(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_words_alone_need_no_vectors(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, *NOTES, settings=settings_of("retrieval.search=[bm25]"))
    memory.recall("Lyon")
    report = examine(memory.store.path)
    assert report.sound and any("no vectors" in line for line in report.facts)

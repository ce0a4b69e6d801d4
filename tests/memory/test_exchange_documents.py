"""Documents of a library out of one memory file and into another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ctxproc import Memory, resolve
from ctxproc.errors import UsageError
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory import exchange_documents
from ctxproc.memory.intake import add

SETTINGS = resolve(sets=["retrieval.search=[bm25]", "chunk.tokens=12", "cache.runs=0"])[0]
TEXTS = {
    "a.txt": "The ferry leaves at seven. " * 9,
    "b.txt": "Øre — the keeper's lamp\r\n\r\n" * 7,
    "c.txt": "燈台守の灯り。",
}


def library(folder: Path) -> Memory:
    """A memory with three documents, one of them in Latin-1, and a note."""
    sources = folder / "sources"
    sources.mkdir()
    for name, text in TEXTS.items():
        (sources / name).write_bytes(text.encode())
    (sources / "d.txt").write_bytes("Crème brûlée, déjà vu, à la carte. ".encode("latin-1") * 5)
    memory = Memory(folder / "old.ctxproc", "ann", settings=SETTINGS)
    add(memory.library, [sources], WordTokenizer())
    memory.remember("I keep the lamp.")
    return memory


def held(memory: Memory) -> list[tuple[str, str, str, list[tuple[int, int, int, int, str]]]]:
    """Source, content, text and chunks of each document."""
    found = []
    chunks = memory.store.passages(memory.owner, "library")
    for filed in memory.store.filed(memory.owner):
        own = [(one.start, one.end, one.tokens, one.index, one.text) for one in chunks if one.document == filed.id]
        document = memory.store.document(memory.owner, filed.id)
        found.append((document.source, document.sha256, document.text, own))
    return found


def test_documents_come_back_with_their_chunks_and_twice_is_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange_documents, "AT_ONCE", 50)
    old, path = library(tmp_path), tmp_path / "ann.jsonl"
    assert old.export(path) == 1
    with Memory(tmp_path / "new.ctxproc", "ben", settings=SETTINGS) as new:
        generations = []
        for remembered in (1, 0):
            assert len(new.import_(path)) == remembered
            generations.append(new.store.state(new.owner, "library").generation)
            assert held(new) == held(old) and len(held(new)) == 4
        assert generations == [4, 4] and new.library.is_split_by(WordTokenizer(), 12, 0)
        assert [str(item) for item in new.library.search("keeper lamp", 1)] == [
            str(old.library.search("keeper lamp", 1)[0])
        ]
        first = new.library.documents[0]
        assert first.byte_range(4, 9) == (4, 9) and new.store.check() == []
        new.export(tmp_path / "again.jsonl")
    documents = [line for line in path.read_text().splitlines() if line.startswith('{"document"')]
    assert documents == [line for line in (tmp_path / "again.jsonl").read_text().splitlines() if line in documents]


def test_the_order_of_the_names_in_a_line_means_nothing(tmp_path: Path) -> None:
    old, path = library(tmp_path), tmp_path / "ann.jsonl"
    old.export(path)
    turned = [json.dumps(dict(reversed(json.loads(line).items()))) for line in path.read_text().splitlines()]
    path.write_text("\n".join(turned) + "\n")
    with Memory(tmp_path / "new.ctxproc", "ben", settings=SETTINGS) as new:
        assert len(new.import_(path)) == 1 and held(new) == held(old)


def test_text_without_its_document_is_refused(tmp_path: Path) -> None:
    old, path = library(tmp_path), tmp_path / "ann.jsonl"
    old.export(path)
    rows = path.read_text().splitlines()
    for lines in (rows[:2] + rows[3:4], [*rows[:3], json.dumps({"document": json.loads(rows[2])["document"]})]):
        path.write_text("\n".join(lines) + "\n")
        with Memory(tmp_path / "new.ctxproc", "ben", settings=SETTINGS) as new:
            with pytest.raises(UsageError, match="belongs to no document before it, or has no text"):
                new.import_(path)
            assert new.store.filed(new.owner) == []


def test_a_library_that_was_split_otherwise_is_split_anew_by_the_next_addition(tmp_path: Path) -> None:
    old, path = library(tmp_path), tmp_path / "ann.jsonl"
    old.export(path)
    other = resolve(sets=["retrieval.search=[bm25]", "chunk.tokens=30", "cache.runs=0"])[0]
    (tmp_path / "e.txt").write_text("One more. " * 40)
    with Memory(tmp_path / "new.ctxproc", "ben", settings=other) as new:
        add(new.library, [tmp_path / "e.txt"], WordTokenizer())
        new.import_(path)
        assert not new.library.is_split_by(WordTokenizer(), 30, 0) and not new.library.is_split_by(
            WordTokenizer(), 12, 0
        )
    with Memory(tmp_path / "new.ctxproc", "ben", settings=other) as new:
        add(new.library, [tmp_path / "e.txt"], WordTokenizer())
        assert new.library.is_split_by(WordTokenizer(), 30, 0)
        assert {text for _, _, text, _ in held(old)} < {text for _, _, text, _ in held(new)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chunks": [[0, 10**6, 3]]}, "a chunk is no part of the text"),
        ({"chunks": [[5, 5, 0]]}, "a chunk is no part of the text"),
        ({"chunks": [[0, 3, 1 << 70]]}, "a chunk is no part of the text"),
        ({"chunks": [["x", 2, 3]]}, "line 3: a chunk is its first character"),
        ({"chunks": [[1, 2]]}, "line 3: a chunk is its first character"),
        ({"chunks": [[0, 2.0, 1]]}, "line 3: a chunk is its first character"),
        ({"chunks": 7}, "line 3: a chunk is its first character"),
        ({"chunking": "\ud800"}, "a document has a source, sha256, format and chunking"),
        ({"sha256": "\ud800"}, "a document has a source, sha256, format and chunking"),
        ({"format": "exe"}, "a document has a source, sha256, format and chunking"),
        ({"sha256": 3}, "a document has a source, sha256, format and chunking"),
        ({"document": ""}, "line"),
    ],
)
def test_a_malformed_document_is_refused_with_its_line(tmp_path: Path, change: dict[str, object], message: str) -> None:
    old, path = library(tmp_path), tmp_path / "ann.jsonl"
    old.export(path)
    rows = path.read_text().splitlines()
    rows[2] = json.dumps({**json.loads(rows[2]), **change})
    path.write_text("\n".join(rows) + "\n")
    with Memory(tmp_path / "new.ctxproc", "ben", settings=SETTINGS) as new:
        with pytest.raises(UsageError, match=message) as caught:
            new.import_(path)
        assert "\n" not in str(caught.value) and new.count == 0 and new.store.check() == []

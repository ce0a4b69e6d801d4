"""Every hard limit stops what is above it in one line that names the setting, and lets through what is just below it.

That ``pdf_seconds`` and ``pdf_bytes`` do is tested in `test_formats.py`, `test_pdf_limits`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from test_formats import docx, paragraph, pdf

from ctxproc import Document, Library, Memory
from ctxproc.chunk import split
from ctxproc.config import LimitSettings, Settings, resolve
from ctxproc.errors import CtxprocError, LimitError, SourceError
from ctxproc.llm.base import Generation
from ctxproc.llm.scripted import ScriptedLLM, WordTokenizer
from ctxproc.memory.base import Note
from ctxproc.memory.extract.concepts import concepts
from ctxproc.memory.intake import add

TOKENS = 13
BOOK = "".join(f"House {i} keeps a lamp of its own, and it is lit at dusk.\n\n" for i in range(12))
CHUNKS = len(split(Document.from_text(BOOK), WordTokenizer(), TOKENS))
RAW = BOOK.encode()
KEPT = {"pdf_seconds", "pdf_bytes"}


def settings_of(name: str, value: int) -> Settings:
    """A limit of this value, chunks of one paragraph, and nothing kept in caches."""
    sets = [
        f"chunk.tokens={TOKENS}",
        "retrieval.search=[bm25]",
        "cache.runs=0",
        "strategy=map_rerank",
        f"limits.{name}={value}",
    ]
    return resolve(sets=sets)[0]


def folder_of(path: Path, files: dict[str, bytes]) -> Path:
    """A new folder with these files."""
    folder = path / "sources"
    folder.mkdir()
    for name, raw in files.items():
        (folder / name).write_bytes(raw)
    return folder


def remembers(sources: Sequence[Path], settings: Settings, path: Path) -> int:
    """File the sources in a new memory; how many passages it holds then."""
    with Memory(path / "me.ctxproc", "ann", settings=settings) as memory:
        try:
            add(memory.library, sources, WordTokenizer())
        finally:
            held = memory.store.state(memory.owner, "library").count
            assert memory.store.check() == []
        return held


def asks(sources: Sequence[Path], settings: Settings, path: Path) -> int:
    """Ask a question over the sources; how many calls it took."""
    llm = ScriptedLLM(lambda prompt: Generation("", 1, 1, confidence=0.0))
    return Library(sources, settings, llm=llm).ask("Who keeps the lamp?").usage.calls


PDF, PARTS = pdf(["The lamp.", "The oil."]), {f"p{i}": b"" for i in range(30)}
SOURCES = [
    ("source_bytes", {"a.txt": RAW}, len(RAW), SourceError),
    ("files", {"a.txt": RAW, "b.txt": RAW + b"b", "c.txt": RAW + b"c"}, 3, SourceError),
    ("text_bytes", {"a.pdf": PDF}, len("The lamp.The oil."), SourceError),
    ("archive_entries", {"a.docx": docx(paragraph("The lamp."), **PARTS)}, 31, SourceError),
    ("archive_ratio", {"a.docx": docx(paragraph("x" * 1_200_000))}, 1000, SourceError),
    ("chunks", {"a.txt": RAW}, CHUNKS, LimitError),
]


@pytest.mark.parametrize("way", [remembers, asks])
@pytest.mark.parametrize(("name", "files", "enough", "error"), SOURCES, ids=[row[0] for row in SOURCES])
def test_sources_above_a_limit_are_refused(
    tmp_path: Path,
    way: Callable[[Sequence[Path], Settings, Path], int],
    name: str,
    files: dict[str, bytes],
    enough: int,
    error: type[CtxprocError],
) -> None:
    folder = folder_of(tmp_path, files)
    sources = [folder] if len(files) > 1 else sorted(folder.iterdir())
    small = 200 if name == "archive_ratio" else enough - 1
    with pytest.raises(error, match=rf"limits?\.? ?{name}") as caught:
        way(sources, settings_of(name, small), tmp_path)
    assert "\n" not in str(caught.value)
    assert way(sources, settings_of(name, enough), tmp_path) > 0


def test_a_limit_of_chunks_counts_what_is_there_and_what_is_not_kept_yet(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, {f"{i}.txt": RAW + b"%d" % i for i in range(4)})
    files = sorted(folder.iterdir())
    with pytest.raises(LimitError, match=r"2\.txt .* raise limits\.chunks"):
        remembers([folder], settings_of("chunks", 3 * CHUNKS - 1), tmp_path)
    with Memory(tmp_path / "me.ctxproc", "ann", settings=settings_of("chunks", 3 * CHUNKS)) as memory:
        assert [one.source for one in memory.store.filed(memory.owner)] == [str(files[0]), str(files[1])]
    assert remembers(files[:3], settings_of("chunks", 3 * CHUNKS), tmp_path) == 3 * CHUNKS
    files[0].write_bytes(RAW + b"x")
    assert remembers(files[:3], settings_of("chunks", 3 * CHUNKS), tmp_path) == 3 * CHUNKS


def test_a_memory_above_its_limit_takes_no_note_and_no_document(tmp_path: Path) -> None:
    [book] = folder_of(tmp_path, {"a.txt": RAW}).iterdir()
    with Memory(tmp_path / "me.ctxproc", "ann", settings=settings_of("memories", CHUNKS)) as memory:
        memory.remember("The ferry leaves at seven.")
        with pytest.raises(LimitError, match=r"limits\.memories"):
            add(memory.library, [book], WordTokenizer())
        assert (memory.count, memory.store.filed(memory.owner)) == (1, [])
    with Memory(tmp_path / "me.ctxproc", "ann", settings=settings_of("memories", CHUNKS + 1)) as memory:
        add(memory.library, [book], WordTokenizer())
        with pytest.raises(LimitError, match=rf"has {CHUNKS + 1} passages .* exceed {CHUNKS + 1} .limits\.memories."):
            memory.remember("One more.")
        assert (memory.count, memory.store.state(memory.owner, "library").count) == (1, CHUNKS)


@pytest.mark.parametrize("name", ["calls", "run_tokens"])
def test_a_run_above_a_limit_ends_with_what_it_has(tmp_path: Path, name: str) -> None:
    [book] = folder_of(tmp_path, {"a.txt": RAW}).iterdir()
    made: list[int] = []

    def reply(prompt: object) -> Generation:
        made.append(1)
        return Generation("", 20, 1, confidence=0.0)

    for value in (0, 3) if name == "calls" else (0, 30, 100):
        made.clear()
        answer = Library([book], settings_of(name, value), llm=ScriptedLLM(reply)).ask("Who keeps the lamp?")
        assert answer.stopped == f"limits.{name} {value} reached"
        spent = len(made) if name == "calls" else 21 * len(made)
        assert spent <= value and answer.usage.calls == len(made)


def test_a_graph_above_its_limit_of_concepts_is_refused(tmp_path: Path) -> None:
    notes = ["Anna met Boris in Lyon.", "Boris keeps the ferry.", "The lamp of Clara burns."]
    needed = len({one.stem for note in notes for one in concepts(note)})
    assert needed > 5
    for value in (needed - 1, needed):
        settings = resolve(sets=["retrieval.search=[graph]", f"limits.nodes={value}"])[0]
        with Memory(tmp_path / f"{value}.ctxproc", "ann", settings=settings) as memory:
            memory.remember_all([Note(note) for note in notes])
            if value == needed:
                assert str(memory.recall("Who met Anna?")[0]) == notes[0]
                continue
            with pytest.raises(LimitError, match=rf"more than {value} concepts; raise limits\.nodes"):
                memory.recall("Who met Anna?")


def test_no_limit_is_without_a_test() -> None:
    tested = {row[0] for row in SOURCES} | {"memories", "calls", "run_tokens", "nodes"} | KEPT
    assert tested == set(LimitSettings.model_fields)

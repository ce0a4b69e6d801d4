"""Documents in a memory: read once, replaced when they change, dropped when they are gone, answered from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hostile import NAMES, PATHS
from memories import WordEmbedder, settings_of

from ctxproc import Library, Memory
from ctxproc.chunk import split
from ctxproc.config import Settings
from ctxproc.document import Document
from ctxproc.errors import LimitError, SourceError, UsageError
from ctxproc.llm.base import Generation
from ctxproc.llm.scripted import ScriptedLLM, WordTokenizer
from ctxproc.memory import intake
from ctxproc.memory.intake import Counts, add
from ctxproc.prompt import Prompt
from ctxproc.trace import Event, Noted, Skipped

FACT = "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening."
FILLER = "The ferry left late again and the clerk wrote the hour in his book. Salt had come into the granary.\n\n"
SMALL = settings_of("chunk.tokens=40", "cache.embeddings=false", "cache.runs=0")


class Letters(WordTokenizer):
    """Another tokenizer: every letter is a token."""

    def count(self, text: str) -> int:
        return len(text)

    def starts(self, text: str) -> list[int]:
        return list(range(len(text)))


def opened(folder: Path, settings: Settings = SMALL, **values: object) -> Memory:
    values.setdefault("embedder", WordEmbedder())
    return Memory(folder / "me.ctxproc", "alice", settings=settings, **values)  # type: ignore[arg-type]


def settle(*paths: Path) -> None:
    """Make the files an hour old, so that their time tells whether they have changed."""
    for path in paths:
        past = path.stat().st_mtime - 3600
        os.utime(path, (past, past))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, an hour old."""
    folder = tmp_path / "books"
    (folder / "more").mkdir(parents=True)
    (folder / "a.md").write_text(FILLER * 5 + FACT + "\n\n" + FILLER * 5)
    (folder / "b.txt").write_bytes("Der Leuchtturm — steht auf der Insel.\r\n".encode("utf-16"))
    (folder / "more" / "c.html").write_text("<p>Tin costs three &amp; a half marks.</p>")
    settle(*(path for path in folder.rglob("*") if path.is_file()))
    return folder


def contents(memory: Memory) -> dict[str, str]:
    """The chunks' texts joined, by source: the documents, if the chunks tile them."""
    found: dict[str, str] = {}
    for passage in sorted(memory.store.passages(memory.owner, "library"), key=lambda p: (p.document, p.start)):
        found[passage.note.source] = found.get(passage.note.source, "") + passage.text
    return found


def test_documents_are_filed_as_they_are_read(tmp_path: Path, folder: Path) -> None:
    memory = opened(tmp_path)
    assert add(memory.library, [folder], WordTokenizer()) == Counts(added=3)
    from ctxproc.document import load

    documents = load([folder])
    assert contents(memory) == {document.source: document.text for document in documents}
    assert [one.source for one in memory.library.filed] == [document.source for document in documents]
    for filed, document in zip(memory.library.documents, documents, strict=True):
        assert filed == document and filed.text == document.text and filed.page_starts == document.page_starts
        places = range(0, len(document.text), 7)
        assert [filed.byte_range(i, i + 1) for i in places] == [document.byte_range(i, i + 1) for i in places]
    expected = [(c.start, c.end, c.tokens, c.index) for d in documents for c in split(d, WordTokenizer(), 40)]
    found = memory.store.passages(memory.owner, "library")
    assert [(p.start, p.end, p.tokens, p.index) for p in found] == expected


def test_what_has_not_changed_is_not_opened_again(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, embedder = opened(tmp_path), WordEmbedder()
    add(memory.library, [folder], WordTokenizer())
    state = memory.store.state(memory.owner, "library")
    read: list[Path] = []
    load = intake.load
    monkeypatch.setattr(intake, "load", lambda paths, **more: read.extend(paths) or load(paths, **more))
    again = opened(tmp_path, embedder=embedder)
    assert add(again.library, [folder], WordTokenizer()) == Counts(unchanged=3)
    assert read == [] and embedder.embedded == [] and again.store.state(again.owner, "library") == state
    os.utime(folder / "a.md")
    assert add(again.library, [folder], WordTokenizer()) == Counts(unchanged=3)
    assert read == [folder / "a.md"] and again.store.state(again.owner, "library") == state


def test_a_file_that_is_as_long_and_as_old_but_was_written_just_now_is_read_again(tmp_path: Path) -> None:
    memory, file = opened(tmp_path), tmp_path / "a.txt"
    file.write_text("The lamp is red.")
    add(memory.library, [file], WordTokenizer())
    about = file.stat()
    file.write_text("The lamp is tan.")
    os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert add(memory.library, [file], WordTokenizer()) == Counts(changed=1)
    assert contents(memory) == {str(file): "The lamp is tan."}


def test_a_file_of_another_time_or_length_is_read_again(tmp_path: Path) -> None:
    memory, file = opened(tmp_path), tmp_path / "a.txt"
    for text, age in (("The lamp is red.", 9000), ("The lamp is tan.", 8000), ("The lamp is brown.", 8000)):
        file.write_text(text)
        os.utime(file, (time.time() - age, 1_700_000_000 - age))
        counts = add(memory.library, [file], WordTokenizer())
        assert counts.added + counts.changed == 1 and contents(memory) == {str(file): text}


def test_changed_documents_are_replaced_and_gone_ones_dropped_on_request(tmp_path: Path, folder: Path) -> None:
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    (folder / "a.md").write_text("The lamp went out.")
    (folder / "b.txt").unlink()
    (folder / "more" / "d.md").write_text("New.")
    assert add(memory.library, [folder], WordTokenizer()) == Counts(added=1, changed=1, unchanged=1)
    names = {Path(source).name: text for source, text in contents(memory).items()}
    assert sorted(names) == ["a.md", "b.txt", "c.html", "d.md"] and names["a.md"] == "The lamp went out."
    assert add(memory.library, [folder / "more"], WordTokenizer(), prune=True) == Counts(unchanged=2)
    assert add(memory.library, [], WordTokenizer(), prune=True) == Counts(dropped=1)
    assert sorted(Path(source).name for source in contents(memory)) == ["a.md", "c.html", "d.md"]
    assert [item.source for item in memory.library.search("Leuchtturm")] != [str(folder / "b.txt")]


def test_the_same_content_is_filed_once(tmp_path: Path, folder: Path) -> None:
    told: list[Event] = []
    memory = opened(tmp_path, listeners=[told.append])
    (folder / "z.md").write_bytes((folder / "a.md").read_bytes())
    assert add(memory.library, [folder], WordTokenizer()) == Counts(added=3, skipped=1)
    [skipped] = [event for event in told if isinstance(event, Skipped)]
    assert skipped.source == str(folder / "z.md") and skipped.kind == "duplicate"
    (folder / "a.md").unlink()
    assert add(memory.library, [folder], WordTokenizer(), prune=True) == Counts(added=1, unchanged=2, dropped=1)
    assert str(folder / "z.md") in contents(memory)


def test_what_a_folder_holds_and_cannot_be_read_is_told_and_what_is_named_is_an_error(
    tmp_path: Path, folder: Path
) -> None:
    memory = opened(tmp_path)
    (folder / "empty.txt").write_bytes(b"")
    (folder / "noise.pdf").write_bytes(bytes(range(256)) * 9)
    assert add(memory.library, [folder], WordTokenizer()) == Counts(added=3, skipped=2)
    for name in ("empty.txt", "noise.pdf", "nowhere.txt"):
        with pytest.raises(SourceError, match=name):
            add(memory.library, [folder / name], WordTokenizer())
    (tmp_path / "void").mkdir()
    with pytest.raises(SourceError, match="nothing to read"):
        add(memory.library, [tmp_path / "void"], WordTokenizer())
    assert len(contents(memory)) == 3


@pytest.mark.parametrize("source", [one for one in (*PATHS, *NAMES) if one not in (".", "..", "/")], ids=ascii)
def test_a_source_that_cannot_be_is_refused_everywhere_in_one_line(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.chdir(tmp_path)
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    before = contents(memory)
    calls = (
        lambda: add(memory.library, [source], WordTokenizer()),
        lambda: add(memory.library, [source], WordTokenizer(), prune=True),
        lambda: memory.library.forget([source]),
        lambda: memory.library.forget([source], dry_run=True),
    )
    for call in calls:
        with pytest.raises(UsageError) as error:
            call()
        assert "\n" not in str(error.value)
    memory.store.drop(memory.owner, [source])
    assert contents(memory) == before


def test_limits_are_kept(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(SourceError, match="limit files is 2"):
        add(opened(tmp_path, settings_of("limits.files=2")).library, [folder], WordTokenizer())
    with pytest.raises(LimitError, match=r"limits\.chunks"):
        add(opened(tmp_path, settings_of("limits.chunks=3", "chunk.tokens=8")).library, [folder], WordTokenizer())


def test_an_interrupted_run_is_taken_up_and_gives_the_same(tmp_path: Path, folder: Path) -> None:
    for i in range(10):
        lamps = (
            f"Lamp number {i * 50 + j} of house {i} is lit by keeper {j} at dusk, says the book." for j in range(50)
        )
        (folder / f"{i}.txt").write_text("\n\n".join(lamps))
    settle(*(folder / f"{i}.txt" for i in range(10)))
    fine = settings_of("chunk.tokens=20")
    with pytest.raises(KeyboardInterrupt):
        add(opened(tmp_path, fine, embedder=WordEmbedder(left=300)).library, [folder], WordTokenizer())
    rest = WordEmbedder()
    memory = opened(tmp_path, fine, embedder=rest)
    assert add(memory.library, [folder], WordTokenizer()) == Counts(unchanged=13)
    whole = opened(tmp_path / "whole", fine)
    add(whole.library, [folder], WordTokenizer())
    total = memory.store.state(memory.owner, "library").count
    assert total > 500 and len(rest.embedded) == total - 256
    for query in ("lamp number 77", "Skerry Point", "tin"):
        one, other = ([(i.text, i.score) for i in m.library.search(query)] for m in (memory, whole))
        assert one == other


def test_small_documents_are_kept_several_at_a_time_and_at_least_once_a_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "books"
    folder.mkdir()
    for i in range(9):
        (folder / f"{i}.txt").write_text(f"Lamp {i} " + "x " * (400 if i == 4 else 40))
    cases = (("all", 1 << 22, 60.0, [9]), ("size", 1, 60.0, [1] * 9), ("time", 1 << 22, 0.0, [1] * 9))
    for name, batch, soon, sizes in (*cases, ("both", 250, 60.0, [3, 2, 3, 1])):
        monkeypatch.setattr(intake, "BATCH", batch)
        monkeypatch.setattr(intake, "SOON", soon)
        memory = opened(tmp_path / name)
        with patch.object(memory.store, "file_all", wraps=memory.store.file_all) as kept:
            assert add(memory.library, [folder], WordTokenizer()) == Counts(added=9)
        assert [len(call.args[1]) for call in kept.call_args_list if call.args[1]] == sizes
        assert list(contents(memory).values()) == [(folder / f"{i}.txt").read_text() for i in range(9)]
        assert [one.source for one in memory.library.filed] == [str(folder / f"{i}.txt") for i in range(9)]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SourceError])
def test_what_was_split_before_an_interruption_is_kept(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def load(paths: Sequence[Path], **more: object) -> list[Document]:
        if paths[0].name == "c.html":
            raise error
        return whole(paths, **more)  # type: ignore[arg-type]

    memory, whole = opened(tmp_path), intake.load
    with monkeypatch.context() as patched:
        patched.setattr(intake, "load", load)
        with pytest.raises(error):
            add(memory.library, [folder / "a.md", folder / "b.txt", folder / "more" / "c.html"], WordTokenizer())
    assert [Path(source).name for source in contents(memory)] == ["a.md", "b.txt"]
    assert add(memory.library, [folder], WordTokenizer()) == Counts(added=1, unchanged=2)


def test_a_file_of_the_future_is_read_again_until_the_clock_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, file = opened(tmp_path), tmp_path / "a.txt"
    file.write_text("The lamp is red.")
    os.utime(file, (2e9, 2e9))  # written before the clock was set back to now
    assert add(memory.library, [file], WordTokenizer()) == Counts(added=1)
    assert memory.library.filed[0].modified == 0
    file.write_text("The lamp is tan.")
    os.utime(file, (2e9, 2e9))
    assert add(memory.library, [file], WordTokenizer()) == Counts(changed=1)
    assert contents(memory) == {str(file): "The lamp is tan."}


KILLED = """
import os, signal, sys
sys.path[:0] = sys.argv[4:]
from test_intake import *
from ctxproc.memory.sqlite import connections

left = int(sys.argv[3])
def step(name):
    global left
    left -= name == sys.argv[2]
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
connections.step = step
intake.BATCH = 1  # each document is kept by itself
add(opened(Path(sys.argv[1]), settings_of("chunk.tokens=20")).library, [Path(sys.argv[1], "books")], WordTokenizer())
"""


def test_a_killed_run_is_taken_up_and_gives_the_same(tmp_path: Path, folder: Path) -> None:
    for i in range(12):
        lamps = (
            f"Lamp number {i * 50 + j} of house {i} is lit by keeper {j} at dusk, says the book." for j in range(50)
        )
        (folder / f"{i}.txt").write_text("\n\n".join(lamps))
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    for step, after in (("written", 0), ("begun", 4), ("committed", 3), ("written", 6), ("committed", 0)):
        code = [sys.executable, "-c", KILLED, str(tmp_path), step, str(after), *paths]
        done = subprocess.run(code, capture_output=True, text=True, check=False)
        assert done.returncode == -signal.SIGKILL, done.stderr
    fine = settings_of("chunk.tokens=20")
    memory, whole = opened(tmp_path, fine), opened(tmp_path / "whole", fine)
    counts = add(memory.library, [folder], WordTokenizer())
    assert counts.unchanged > 5 and counts.added + counts.changed + counts.unchanged == 15
    add(whole.library, [folder], WordTokenizer())
    assert contents(memory) == contents(whole) and memory.store.check() == []
    for query in ("lamp number 77", "Skerry Point", "tin"):
        one, other = ({(i.text, i.score) for i in m.library.search(query)} for m in (memory, whole))
        assert one == other


def test_another_chunking_splits_everything_anew_even_if_interrupted(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    assert memory.library.is_split_by(WordTokenizer(), 40, 0)
    fine = opened(tmp_path, settings_of("chunk.tokens=10", "chunk.overlap=2"))

    def interrupted(document: Document, *more: object) -> list[object]:
        if document.source.endswith("c.html"):
            raise KeyboardInterrupt
        return split(document, *more)  # type: ignore[arg-type,return-value]

    with monkeypatch.context() as patched:
        patched.setattr(intake, "split", interrupted)
        with pytest.raises(KeyboardInterrupt):
            add(fine.library, [], WordTokenizer())
    assert not any(m.library.is_split_by(WordTokenizer(), *how) for m, *how in ((memory, 40, 0), (fine, 10, 2)))
    assert add(fine.library, [folder], WordTokenizer()) == Counts(unchanged=3)
    assert fine.library.is_split_by(WordTokenizer(), 10, 2) and not fine.library.is_split_by(Letters(), 10, 2)
    expected = [c.text for d in fine.library.documents for c in split(d, WordTokenizer(), 10, 2)]
    assert [p.text for p in fine.store.passages(fine.owner, "library")] == expected


def keeper(prompt: Prompt) -> Generation:
    """Answers where the fact stands."""
    there = FACT in prompt.part("context")
    return Generation(
        "Maren Oduya" if there else "", 1, 1, confidence=0.9 if there else 0.0, quote=FACT if there else ""
    )


def library_of(memory: Memory, *sets: str) -> tuple[Library, list[Event]]:
    told: list[Event] = []
    settings = settings_of(
        "chunk.tokens=40", "cache.embeddings=false", "cache.runs=0", "answer.min_confidence=0", *sets
    )
    return Library(settings=settings, llm=ScriptedLLM(keeper), memory=memory, listeners=[told.append]), told


@pytest.mark.parametrize("strategy", ["map_rerank", "stuff", "map_reduce", "memrecall+stuff", "truncate", "full"])
def test_an_answer_from_memory_is_the_answer_from_the_files(tmp_path: Path, folder: Path, strategy: str) -> None:
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    settings = settings_of("chunk.tokens=40", "cache.embeddings=false", "cache.runs=0", f"strategy={strategy}")
    library = Library(settings=settings, llm=ScriptedLLM(keeper), memory=memory)
    files = Library([folder], settings, llm=ScriptedLLM(keeper))
    files._sources._corpora[40] = _with(files, WordEmbedder())
    for path in folder.rglob("*"):
        if path.is_file():
            path.rename(path.with_suffix(".moved"))
    question = "Who keeps the lamp at Skerry Point?"
    one, other = library.ask(question), files.ask(question)
    assert (one.text, one.evidence, one.usage.calls) == (other.text, other.evidence, other.usage.calls)
    assert library.plan(question) == files.plan(question)
    if strategy != "truncate":
        assert (
            one.text == "Maren Oduya"
            and one.evidence[0].quote == FACT
            and one.evidence[0].byte_start == 5 * len(FILLER)
        )


def _with(library: Library, embedder: WordEmbedder) -> object:
    """The library's corpus with another embedder."""
    corpus = library.corpus(40)
    corpus.embedder = embedder
    return corpus


def test_another_budget_splits_the_stored_documents_again_and_says_so(tmp_path: Path, folder: Path) -> None:
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    library, told = library_of(memory, "chunk.tokens=20", "retrieval.search=[bm25]")
    answer = library.ask("Who keeps the lamp at Skerry Point?")
    assert answer.text == "Maren Oduya" and answer.evidence[0].source == str(folder / "a.md")
    assert any(isinstance(event, Noted) and "split anew" in event.text for event in told)
    library, told = library_of(memory)
    library.ask("Who keeps the lamp at Skerry Point?")
    assert not any(isinstance(event, Noted) for event in told)


def test_only_documents_that_are_needed_are_read(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(50):
        (folder / f"{i}.txt").write_text(f"Document {i} speaks of tin.")
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    read: list[int] = []
    document = memory.store.document
    monkeypatch.setattr(memory.store, "document", lambda owner, one: read.append(one) or document(owner, one))
    library, _ = library_of(memory, "retrieval.top_k=3")
    assert library.ask("Who keeps the lamp at Skerry Point?").text == "Maren Oduya"
    assert 0 < len(read) <= 3


def test_no_documents_no_sources_and_both_are_told(tmp_path: Path, folder: Path) -> None:
    memory = opened(tmp_path)
    with pytest.raises(UsageError, match="ctxproc memory add --memory"):
        library_of(memory)[0].ask("Who?")
    with pytest.raises(UsageError, match="sources or from a memory"):
        Library([folder], SMALL, llm=ScriptedLLM(keeper), memory=memory)


def test_a_chunk_that_was_removed_meanwhile_is_empty(tmp_path: Path, folder: Path) -> None:
    memory = opened(tmp_path)
    add(memory.library, [folder], WordTokenizer())
    corpus = memory.library.corpus()
    memory.store.drop(memory.owner, [str(folder / "a.md")])
    texts: Sequence[str] = [chunk.text for chunk in corpus.chunks]
    assert "" in texts and any("Tin" in text for text in texts) and not any("Skerry" in text for text in texts)
    assert np.array_equal(memory.library.corpus().ids, sorted(memory.library.corpus().ids))
    assert len(memory.library.corpus().chunks) == 2


def test_a_stamp_is_told_only_of_what_has_rested(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("12345")
    assert intake.stamp(file) == (5, 0)
    old = time.time_ns() - 10 * intake.FRESH
    os.utime(file, ns=(old, old))
    assert intake.stamp(file) == (5, old)
    assert intake.stamp(tmp_path / "nowhere") == (0, 0)

"""What a store refuses, whom it shows what, what is left of what was removed, and which files it opens."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import MODEL, chunks_of, fast_folder

from ctxproc import Chunk, Document
from ctxproc.errors import LimitError, StoreError, UsageError
from ctxproc.memory.base import LONGEST_NAME, Filing, Model, Note, Owner, State
from ctxproc.memory.sqlite import connections, mark, rows, schema, shelves
from ctxproc.memory.sqlite.turns import waiting, wanted
from ctxproc.memory.store import SqliteStore

ANN, BOB = Owner("ann"), Owner("bob")
ROOT = Path(__file__).parents[2]
ELSEWHERE = """
import os, sys
from ctxproc.memory.base import Note, Owner, State
from ctxproc.memory.store import SqliteStore

store = SqliteStore(sys.argv[1])
store.add(Owner("ann"), [Note("c")])
assert store.state(Owner("ann"), "memory") == State(4, 2)
child = os.fork()
if not child:
    same = store.state(Owner("ann"), "memory") == State(4, 2)
    store.add(Owner("ann"), [Note("d")])
    os._exit(0 if same and store.state(Owner("ann"), "memory") == State(5, 3) else 1)
assert os.waitpid(child, 0)[1] == 0
assert store.state(Owner("ann"), "memory") == State(5, 3)
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with SqliteStore(tmp_path / "m.ctxproc") as store:
        yield store


def line_of(action: Callable[[], object], kind: type[Exception] = StoreError) -> str:
    """The one line with which an action fails."""
    with pytest.raises(kind) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def some(count: int, seed: int = 0, size: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, size)).astype(np.float32)


# files


def test_a_new_store_is_for_its_user_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "m.ctxproc"
    with SqliteStore(path) as store:
        store.add(ANN, [Note("x")])
        modes = [stat.S_IMODE(os.stat(p).st_mode) for p in (path, f"{path}-wal", f"{path}-shm")]
    assert modes == [0o600] * 3
    assert [stat.S_IMODE(p.stat().st_mode) for p in (path.parent, path.parents[1])] == [0o700, 0o700]
    assert os.listdir(path.parent) == ["m.ctxproc"]


def test_after_every_call_the_file_alone_holds_everything(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "m.ctxproc")
    for i in range(5):
        store.add(ANN, [Note(f"note {i}")])
        shutil.copyfile(tmp_path / "m.ctxproc", tmp_path / f"{i}.ctxproc")
        with SqliteStore(tmp_path / f"{i}.ctxproc") as copy:
            assert [p.text for p in copy.passages(ANN, "memory")] == [f"note {j}" for j in range(i + 1)]


def test_a_recall_waits_for_no_disk_and_outlives_the_process_and_all_else_is_synced(tmp_path: Path) -> None:
    path = tmp_path / "m.ctxproc"
    with SqliteStore(path) as store:
        store.add(ANN, [Note("x")])
        synced = {}
        for name, call in {
            "add": lambda: store.add(ANN, [Note("y")]),
            "recall": lambda: store.recall(ANN, [1], datetime(2026, 1, 2, tzinfo=UTC)),
            "edit": lambda: store.edit(ANN, 2, "z"),
            "recall again": lambda: store.recall(ANN, [1, 2], datetime(2026, 1, 3, tzinfo=UTC)),
        }.items():
            call()
            synced[name] = os.path.getsize(f"{path}-wal") == 0
        assert synced == {"add": True, "recall": False, "edit": True, "recall again": False}
        for end in ("", "-wal"):  # as a killed process leaves them
            shutil.copyfile(f"{path}{end}", tmp_path / f"killed{end}")
        shutil.copyfile(path, tmp_path / "without")
    with SqliteStore(tmp_path / "killed") as killed, SqliteStore(tmp_path / "without") as without:
        assert [(p.text, p.recalls) for p in killed.passages(ANN, "memory")] == [("x", 2), ("z", 1)]
        assert [(p.text, p.recalls) for p in without.passages(ANN, "memory")] == [("x", 1), ("z", 0)]
        assert killed.check() == without.check() == []


def test_recalls_alone_do_not_let_the_log_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LARGE", 200_000)
    with SqliteStore(tmp_path / "m.ctxproc") as store:
        store.add(ANN, [Note("x")])
        sizes = []
        for _ in range(40):
            store.recall(ANN, [1], datetime(2026, 1, 1, tzinfo=UTC))
            sizes.append(os.path.getsize(f"{store.path}-wal"))
        assert max(sizes) <= 300_000 and sizes.count(0) >= 2 and not mark.place(store.path).exists()
        assert store.passages(ANN, "memory")[0].recalls == 40


def test_what_is_no_store_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("not a database, and long enough to be read as the header of one" * 40)
    with sqlite3.connect(tmp_path / "other") as other:
        other.execute("CREATE TABLE meta (id)")
    other.close()
    for name, said in (
        ("folder", "is a folder"),
        ("empty", "empty"),
        ("text", "not a database"),
        ("other", "no memory"),
    ):
        path = tmp_path / name
        before = path.read_bytes() if path.is_file() else b""
        line = line_of(lambda path=path: SqliteStore(path))  # type: ignore[misc]
        assert str(path) in line and said in line
        assert (path.read_bytes() if path.is_file() else b"") == before


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON passages BEGIN DELETE FROM passages; END",
        "CREATE VIEW v AS SELECT * FROM passages",
        "CREATE TABLE extra (x)",
        "CREATE INDEX extra ON passages (text)",
        "DROP INDEX passages_by_version",
        "CREATE VIRTUAL TABLE f USING fts5(x)",
        "ALTER TABLE meta ADD COLUMN more",
    ],
)
def test_a_file_with_anything_of_its_own_is_refused(tmp_path: Path, statement: str) -> None:
    path = tmp_path / "m.ctxproc"
    with SqliteStore(path) as store:
        store.add(ANN, [Note("x")])
    with sqlite3.connect(path) as hostile:
        hostile.execute(statement)
    hostile.close()
    assert "that are not ctxproc's" in line_of(lambda: SqliteStore(path))


def test_a_file_made_by_a_newer_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.ctxproc"
    SqliteStore(path).close()
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version = 99")
    newer.close()
    line = line_of(lambda: SqliteStore(path))
    assert str(path) in line and "newer ctxproc (version 99" in line and "upgrade" in line


def test_an_older_version_is_migrated_at_once_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.ctxproc"
    with SqliteStore(path) as store:
        store.add(ANN, [Note("kept")])
    steps = ("ALTER TABLE settings ADD COLUMN more TEXT",)
    monkeypatch.setattr(schema, "TABLES", schema.TABLES + "CREATE TABLE later (id INTEGER PRIMARY KEY);")
    monkeypatch.setattr(schema, "MIGRATIONS", (("CREATE TABLE later (id INTEGER PRIMARY KEY)", *steps),))
    schema.expected.cache_clear()
    try:
        line_of(lambda: SqliteStore(path))
        with sqlite3.connect(path) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (1,)
            assert not raw.execute("SELECT * FROM sqlite_master WHERE name = 'later'").fetchall()
        raw.close()
        monkeypatch.setattr(schema, "MIGRATIONS", (("CREATE TABLE later (id INTEGER PRIMARY KEY)",),))
        for _ in range(2):
            with SqliteStore(path) as store:
                assert [p.text for p in store.passages(ANN, "memory")] == ["kept"] and store.check() == []
        with sqlite3.connect(path) as raw:
            assert raw.execute("PRAGMA user_version").fetchone() == (2,)
        raw.close()
    finally:
        monkeypatch.undo()
        schema.expected.cache_clear()


def test_a_file_that_is_replaced_or_removed_while_open_takes_no_more(store: SqliteStore, tmp_path: Path) -> None:
    store.add(ANN, [Note("x")])
    with SqliteStore(tmp_path / "other") as other:
        other.add(ANN, [Note("y")])
    os.replace(tmp_path / "other", store.path)
    assert "replaced" in line_of(lambda: store.add(ANN, [Note("lost")]))
    store.path.unlink()
    assert "No such file" in line_of(lambda: store.add(ANN, [Note("lost")]))


def test_a_closed_store_says_so_and_closing_twice_is_nothing(store: SqliteStore) -> None:
    store.close()
    store.close()
    assert "closed" in line_of(lambda: store.owners())


def test_a_name_with_a_line_break_stays_on_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a\nb'%?#.ctxproc"
    with SqliteStore(path) as store:
        store.add(ANN, [Note("x")])
    assert path.exists()
    path.write_bytes(b"")
    assert "a\\nb" in line_of(lambda: SqliteStore(path))


def test_a_writer_that_waits_too_long_is_told_and_nothing_is_written(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "m.ctxproc", timeout=0.2)
    store.add(ANN, [Note("x")])
    with sqlite3.connect(store.path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        line = line_of(lambda: store.add(ANN, [Note("y")]))
        assert "in use by others" in line and "locked" not in line
        assert [p.text for p in store.passages(ANN, "memory")] == ["x"], "readers wait for nobody"
    other.close()
    assert store.add(ANN, [Note("z")]) == [2]


def test_a_writer_gives_way_while_another_one_waits(tmp_path: Path) -> None:
    assert not wanted(tmp_path) and not wanted(tmp_path / "missing")
    with waiting(tmp_path), waiting(tmp_path):
        assert wanted(tmp_path)
        store = SqliteStore(tmp_path / "m.ctxproc")
        store.add(ANN, [Note("x")])
        assert os.path.getsize(f"{store.path}-wal") > 0, "the log is left to the one who waits"
    store.add(ANN, [Note("y")])
    assert os.path.getsize(f"{store.path}-wal") == 0
    assert not wanted(tmp_path)


def test_a_link_leads_to_the_same_store(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "m.ctxproc")
    with SqliteStore(tmp_path / "link") as one, SqliteStore(tmp_path / "m.ctxproc") as other:
        one.add(ANN, [Note("x")])
        assert [p.text for p in other.passages(ANN, "memory")] == ["x"]
    assert sorted(os.listdir(tmp_path)) == ["link", "m.ctxproc"]


# what is kept


def test_half_precision_is_a_choice_for_a_new_file(tmp_path: Path) -> None:
    vectors = some(3)
    for half in (True, False):
        path = tmp_path / f"{half}.ctxproc"
        with SqliteStore(path, half=half) as store:
            store.embed(ANN, MODEL, [], vectors[:0])
            store.add(ANN, [Note("a"), Note("b"), Note("c")], vectors)
        with SqliteStore(path, half=not half) as store:
            ((ids, found),) = store.changed_vectors(ANN, "memory").added
            assert store.check() == []
        kept = vectors.astype(np.float16).astype(np.float32) if half else vectors
        assert ids.tolist() == [1, 2, 3] and np.array_equal(found, kept) and found.dtype == np.float32


def test_numbers_are_never_given_twice(store: SqliteStore) -> None:
    first = store.add(ANN, [Note("a"), Note("b")])
    store.forget(ANN, first)
    store.purge()
    assert store.add(BOB, [Note("c")]) == [3]
    document = Document.from_text("abc", "a.txt")
    assert store.file(ANN, document, chunks_of(document, 2)) == 4
    assert store.file(ANN, document, chunks_of(document, 2)) == 7
    with pytest.raises(UsageError):
        store.document(ANN, 4)


def test_vectors_of_another_model_are_refused_with_the_command_that_embeds_anew(store: SqliteStore) -> None:
    ids = store.add(ANN, [Note("a")])
    store.embed(ANN, MODEL, ids, some(1))
    other = Model("other", "f2", 4)
    line = line_of(lambda: store.embed(ANN, other, ids, some(1, 1)))
    assert "ctxproc memory reembed" in line and "small" in line and "other" in line
    ((_, kept),) = store.changed_vectors(ANN, "memory").added
    assert np.array_equal(kept, some(1))
    store.strip(ANN)
    assert store.model(ANN) is None and store.unembedded(ANN) == [(1, "a")]
    store.embed(ANN, other, ids, some(1, 1))
    ((_, kept),) = store.changed_vectors(ANN, "memory").added
    assert np.array_equal(kept, some(1, 1)) and store.model(ANN) == other


def test_the_state_is_that_of_the_file_whoever_wrote(store: SqliteStore, tmp_path: Path) -> None:
    assert store.state(ANN, "memory") == store.state(ANN, "memory") == State(0, 0)
    store.add(ANN, [Note("a")])
    assert store.state(ANN, "memory") == store.state(ANN, "memory") == State(1, 1)
    assert store.state(BOB, "memory") == State(0, 0)
    with SqliteStore(store.path) as other:
        other.add(ANN, [Note("b")])
        assert store.state(ANN, "memory") == other.state(ANN, "memory") == State(2, 2)
        store.forget(ANN, [1])
        assert other.state(ANN, "memory") == store.state(ANN, "memory") == State(3, 1)
        other.purge()
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(store.path)], check=True, cwd=ROOT)
    assert store.state(ANN, "memory") == State(5, 3)


def test_a_note_and_its_vector_are_one_transaction_and_of_one_model(store: SqliteStore) -> None:
    [one] = store.add(ANN, [Note("a")], some(1), MODEL)
    assert store.model(ANN) == MODEL and store.state(ANN, "memory") == State(1, 1) and store.unembedded(ANN) == []
    store.edit(ANN, one, "b", some(1, 1), model=MODEL)
    ((_, kept),) = store.changed_vectors(ANN, "memory").added
    assert np.array_equal(kept, some(1, 1)) and store.state(ANN, "memory") == State(2, 1)
    other = Model("other", "f2", 4)
    assert "reembed" in line_of(lambda: store.add(ANN, [Note("c")], some(1), other))
    assert "reembed" in line_of(lambda: store.edit(ANN, one, "c", some(1), model=other))
    assert [passage.text for passage in store.passages(ANN, "memory")] == ["b"]
    assert store.state(ANN, "memory") == State(2, 1)


@pytest.mark.parametrize(
    "vectors", [some(2), some(1, size=5), np.full((1, 4), np.nan, np.float32), np.full((1, 4), np.inf, np.float32)]
)
def test_vectors_that_are_not_the_models_change_nothing(store: SqliteStore, vectors: np.ndarray) -> None:
    store.embed(ANN, MODEL, [], some(0))
    line_of(lambda: store.add(ANN, [Note("a")], vectors), UsageError)
    assert store.state(ANN, "memory") == State(0, 0)


@pytest.mark.parametrize(
    "note",
    [
        Note(""),
        Note("a\ud800"),
        Note("a", time=datetime(2026, 1, 1)),
        Note("a", metadata={"a": [1]}),  # type: ignore[dict-item]
        Note("a", metadata={"a": None}),  # type: ignore[dict-item]
        Note("a", metadata={"a": float("nan")}),
        Note("a", metadata={"\udfff": 1}),
        Note("a", "chunk"),
    ],
)
def test_a_note_that_cannot_be_kept_as_it_is_changes_nothing(store: SqliteStore, note: Note) -> None:
    line_of(lambda: store.add(ANN, [Note("good"), note]), UsageError)
    assert store.passages(ANN, "memory") == [] and store.owners() == [] and store.changes(ANN) == []


def test_a_full_memory_takes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "m.ctxproc", limit=3)
    ids = store.add(ANN, [Note("a"), Note("b")])
    document = Document.from_text("abcd", "a.txt")
    assert "3" in line_of(lambda: store.file(ANN, document, chunks_of(document, 2)), LimitError)
    assert store.filed(ANN) == []
    store.file(ANN, document, chunks_of(document, 4))
    line_of(lambda: store.add(ANN, [Note("c")]), LimitError)
    store.file(ANN, document, chunks_of(document, 4))
    store.forget(ANN, ids)
    store.file(ANN, document, chunks_of(document, 2))
    assert store.state(ANN, "library").count == 2
    assert store.add(BOB, [Note("x")] * 3), "a limit is one owner's"
    monkeypatch.setattr(rows, "LONGEST", 100)
    line_of(lambda: store.add(ANN, [Note("x" * 101)]), LimitError)
    line_of(lambda: store.add(ANN, [Note("x", metadata={"k": "x" * 101})]), LimitError)
    line_of(lambda: store.set(ANN, "k", "x" * 101), LimitError)


def test_a_number_beyond_all_bounds_is_that_of_nothing(store: SqliteStore) -> None:
    ids = store.add(ANN, [Note("a"), Note("b")])
    for number in (0, -1, 2**62, 2**63, 2**64, 10**30, -(10**30)):
        assert store.passages(ANN, "memory", [number, *ids])[0].text == "a"
        assert store.changes(ANN, number) == []
        line_of(lambda number=number: store.document(ANN, number), UsageError)  # type: ignore[misc]
        line_of(lambda number=number: store.edit(ANN, number, "x"), UsageError)  # type: ignore[misc]
        store.forget(ANN, [number])
        store.embed(ANN, MODEL, [number], some(1))
    assert len(store.changes(ANN, limit=10**30)) == len(store.unembedded(ANN, 10**30)) == 2
    assert store.changes(ANN, limit=0) == store.changes(ANN, limit=-(10**30)) == []
    assert list(store.changed_texts(ANN, "memory", 10**30).added) == []


def test_a_document_of_many_chunks_is_put_and_taken_in_batches(store: SqliteStore) -> None:
    document = Document.from_text("abcdefghij" * 1000, "a.txt")
    chunks = chunks_of(document, 1)
    store.embed(ANN, MODEL, [], some(0))
    store.file(ANN, document, chunks, some(len(chunks)))
    found = list(store.changed_vectors(ANN, "library").added)
    assert np.array_equal(np.concatenate([vectors for _, vectors in found]), some(len(chunks)))
    assert [len(ids) for ids, _ in found] == [4096, 4096, 1808]
    assert "".join(passage.text for passage in store.passages(ANN, "library")) == document.text
    line_of(lambda: store.file(ANN, document, chunks, some(4096)), UsageError)
    store.drop(ANN, ["a.txt"])
    assert store.state(ANN, "library") == State(2, 0) and store.check() == []


def test_several_documents_are_filed_in_one_write_or_none_of_them(tmp_path: Path) -> None:
    documents = [Document.from_text(f"text {i} " * i, f"{i % 4}.txt") for i in range(1, 7)]
    filings = [Filing(one, chunks_of(one, 9), None, i, 7) for i, one in enumerate(documents)]
    with SqliteStore(tmp_path / "one") as one, SqliteStore(tmp_path / "all") as every:
        for filing in filings:
            one.file(ANN, filing.document, filing.chunks, filing.vectors, filing.size, filing.modified)
        assert every.file_all(ANN, filings) == [1 + sum(1 + len(f.chunks) for f in filings[:i]) for i in range(6)]
        for store in (one, every):
            told = [(f.source, f.sha256, f.size, f.modified, f.chunks) for f in store.filed(ANN)]
            last = {f.document.source: f for f in filings}
            assert told == [(s, f.document.sha256, f.size, 7, len(f.chunks)) for s, f in sorted(last.items())]
            texts = [p.text for p in store.passages(ANN, "library")]
            kept = [f for f in filings if last[f.document.source] is f]
            assert texts == [c.text for f in kept for c in f.chunks] and store.check() == []
        assert every.state(ANN, "library").generation == 1
        seen = {int(i): t for ids, some in every.changed_texts(ANN, "library").added for i, t in zip(ids, some)}  # noqa: B905
        before = every.state(ANN, "library")
        every.limit = before.count + 30
        more = [
            Filing(d, chunks_of(d, 2)) for d in (Document.from_text("ab" * 20, "x"), Document.from_text("cd" * 20, "y"))
        ]
        assert "limits.memories" in line_of(lambda: every.file_all(ANN, more), LimitError)
        assert every.state(ANN, "library") == before and every.file_all(ANN, []) == []
        every.file_all(ANN, filings[:1])
        changed = every.changed_texts(ANN, "library", before.generation)
        for number in changed.removed.tolist():
            del seen[number]
        seen |= {int(i): t for ids, some in changed.added for i, t in zip(ids, some)}  # noqa: B905
        assert seen == {p.id: p.text for p in every.passages(ANN, "library")}


def test_a_stream_is_one_view_and_writers_need_not_wait_for_it(store: SqliteStore) -> None:
    store.add(ANN, [Note(f"{i}") for i in range(rows.BATCH + 1)])
    changed = store.changed_texts(ANN, "memory")
    first = next(changed.added)
    store.forget(ANN, [rows.BATCH + 1])
    store.add(ANN, [Note("later")])
    rest = list(changed.added)
    texts = [text for _, some_texts in (first, *rest) for text in some_texts]
    assert texts == [f"{i}" for i in range(rows.BATCH + 1)] and changed.count == rows.BATCH + 1
    assert store.state(ANN, "memory") == State(3, rows.BATCH + 1)


def test_a_stream_that_is_not_read_holds_nothing(store: SqliteStore) -> None:
    store.add(ANN, [Note("a")])
    for _ in range(50):
        store.changed_texts(ANN, "memory")
        next(store.changed_texts(ANN, "memory").added)
    store.purge()
    assert os.path.getsize(f"{store.path}-wal") == 0


def test_threads_share_a_store(store: SqliteStore) -> None:
    def work(number: int) -> None:
        for i in range(10):
            (new,) = store.add(ANN, [Note(f"{number} {i}")])
            assert [p.text for p in store.passages(ANN, "memory", [new])] == [f"{number} {i}"]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.text for p in store.passages(ANN, "memory")) == sorted(
        f"{n} {i}" for n in range(6) for i in range(10)
    )
    assert store.check() == []


# owners

names = st.text(max_size=20).filter(lambda name: "\0" not in name)
users = names.filter(lambda name: bool(name.strip()))
HOSTILE = ["'; DROP TABLE passages; --", '"', "a' OR '1'='1", "%", "_", "../../etc/passwd", "{x}", "?1", ":a"]
HOSTILE += ["\u202e", "é", "e\u0301"]
anything = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20))


@settings(max_examples=40, deadline=None)
@given(users, names, names, anything, anything, anything)
def test_any_name_source_and_key_is_data(user: str, agent: str, session: str, source: str, key: str, name: str) -> None:
    owner, other = Owner(user, agent, session), Owner(user + "x", agent, session)
    note = Note(name or "x", "fact", speaker=key, source=source, metadata={key: source})
    document = Document.from_text(key + source, source)
    with fast_folder() as folder, SqliteStore(folder / "m.ctxproc") as store:
        ids = store.add(owner, [note])
        store.add(other, [Note("another's")])
        store.set(owner, key, source)
        store.record(owner, name, 7, key)
        number = store.file(owner, document, chunks_of(document, 5))
        assert [p.note for p in store.passages(owner, "memory")] == [note]
        assert store.setting(owner, key) == source and store.manifest(owner, name) == (7, key)
        assert store.document(owner, number) == document and [f.source for f in store.filed(owner)] == [source]
        assert {p.note.source for p in store.passages(owner, "library")} <= {source}
        store.drop(owner, [source])
        store.forget(owner, ids)
        assert store.filed(owner) == [] and store.owners() == [other]
        assert [p.text for p in store.passages(other, "memory")] == ["another's"] and store.check() == []


def test_owners_differ_where_any_name_differs() -> None:
    around = ["", "a", "b", "ab"]
    owners = [Owner(u, a, s) for u in ("a", "b", "ab") for a in around for s in around]
    assert len({shelves.owner_number(owner) for owner in owners}) == len(owners)
    with pytest.raises(UsageError):
        Owner(" ")
    with pytest.raises(UsageError):
        Owner("a", "x" * (LONGEST_NAME + 1))


def test_nothing_of_another_owner_comes_back_from_any_call(store: SqliteStore) -> None:
    canary, owners = (
        "canary of bob",
        [Owner("bob"), Owner("ann", "bob"), Owner("bob", "ann"), Owner("bob", "", "s"), ANN],
    )
    ids: list[int] = []
    for owner in owners[:-1]:
        store.embed(owner, MODEL, [], some(0))
        document = Document.from_text(canary * 3, canary)
        number = store.file(owner, document, chunks_of(document, 20), some(2))
        ids += [
            number,
            number + 1,
            *store.add(owner, [Note(canary, source=canary, metadata={canary: canary})], some(1)),
        ]
        store.edit(owner, ids[-1], canary + " edited")
        store.set(owner, canary, canary)
        store.record(owner, canary, 1, canary)
    for owner in (ANN, Owner("bob2")):
        shown = [
            store.state(owner, "library"), store.passages(owner, "memory"), store.passages(owner, "library"),
            store.passages(owner, "memory", ids), store.passages(owner, "library", ids), store.changes(owner),
            [store.changes(owner, i) for i in ids], store.filed(owner), store.setting(owner, canary),
            store.model(owner), store.unembedded(owner), store.manifest(owner, canary),
            [list(call(owner, shelf).added) for call in (store.changed_texts, store.changed_vectors)
             for shelf in ("library", "memory")],  # type: ignore[arg-type]
        ]  # fmt: skip
        assert "canary" not in repr(shown) and "0." not in repr(shown)
        for i in ids:
            line_of(lambda i=i, owner=owner: store.document(owner, i), UsageError)  # type: ignore[misc]
            line_of(lambda i=i, owner=owner: store.edit(owner, i, "mine now"), UsageError)  # type: ignore[misc]
        before = [store.passages(o, "memory") + store.passages(o, "library") for o in owners]
        store.forget(owner, ids)
        store.recall(owner, ids, datetime.fromisoformat("2026-01-01T00:00:00+00:00"))
        store.drop(owner, [canary])
        store.strip(owner)
        store.embed(owner, MODEL, ids, some(len(ids), 1))
        assert [store.passages(o, "memory") + store.passages(o, "library") for o in owners] == before
        ((_, vectors),) = store.changed_vectors(owners[0], "library").added
        assert np.array_equal(vectors, some(2))
    assert store.check() == []


# what is left of what was removed


def traces(folder: Path, text: str) -> list[str]:
    """The files that hold a text, in any case, in UTF-8 or UTF-16."""
    found = []
    for path in folder.rglob("*"):
        raw = path.read_bytes() if path.is_file() else b""
        for encoding in ("utf-8", "utf-16-le", "utf-16-be"):
            if text.lower().encode(encoding) in raw.lower():
                found.append(f"{path.name} {encoding}")
    return found


def test_of_what_was_forgotten_and_purged_no_byte_is_left_in_any_file(tmp_path: Path) -> None:
    secret, long = "Zauberwort", "Zauberwort " * 5000
    store = SqliteStore(tmp_path / "m.ctxproc")
    plain = [Note(f"harmless {i}" * 20) for i in range(200)]
    store.add(ANN, plain)
    ids = store.add(
        ANN, [Note(f"{secret} {i}", speaker=secret, source=secret, metadata={secret: secret}) for i in range(9)]
    )
    ids += store.add(ANN, [Note(long)])
    store.edit(ANN, 5, f"now with {secret}")
    store.edit(ANN, 5, "without it")
    store.edit(ANN, ids[0], "the word is gone, the log has it")
    document = Document.from_text(long, f"{secret}.txt")
    store.file(ANN, document, chunks_of(document, 300))
    store.file(ANN, Document.from_text("short", f"{secret}.txt"), [])
    store.add(ANN, plain)
    assert traces(tmp_path, secret)
    store.forget(ANN, [*ids, 5])
    store.drop(ANN, [f"{secret}.txt"])
    before = store.path.stat().st_size
    store.purge()
    assert store.path.stat().st_size < before, "the room is given back"
    assert traces(tmp_path, secret) == [] and traces(tmp_path, "harmless 7")
    assert [(c.before, c.after) for c in store.changes(ANN, 5)] == [(None, None)] * 4
    assert store.state(ANN, "memory").count == 399 and store.check() == []
    store.close()
    assert traces(tmp_path, secret) == []


def test_an_edit_keeps_the_old_text_in_the_log_until_it_is_forgotten(store: SqliteStore) -> None:
    (note,) = store.add(ANN, [Note("first")])
    store.edit(ANN, note, "second")
    store.edit(ANN, note, "first", action="revert")
    told = [(c.action, c.before, c.after) for c in store.changes(ANN, note)]
    assert told == [("revert", "second", "first"), ("edit", "first", "second"), ("add", None, "first")]
    store.forget(ANN, [note])
    told = [(c.action, c.before, c.after) for c in store.changes(ANN)]
    assert told == [("forget", None, None), ("revert", None, None), ("edit", None, None), ("add", None, None)]


def test_purging_while_somebody_reads_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "m.ctxproc", timeout=0.2)
    store.add(ANN, [Note(f"{i}") for i in range(5000)])
    changed = store.changed_texts(ANN, "memory")
    next(changed.added)
    assert "being read" in line_of(store.purge)
    list(changed.added)
    store.purge()


def test_a_document_comes_back_with_its_pages_and_bytes(store: SqliteStore) -> None:
    text = "Ä\r\nöß " * 300_000
    plain = Document.from_text(text, "a.txt")
    paged = Document("one two", "b.pdf", "ff", "pdf", None, (0, 4))
    for document in (plain, paged, Document.from_text("", "empty.txt")):
        number = store.file(ANN, document, [Chunk(document, 0, len(document.text), 1, 0)] if document.text else [])
        found = store.document(ANN, number)
        assert found == document and found.text == document.text and found.format == document.format
        assert (found.page_starts == document.page_starts and found.byte_map == document.byte_map) or (
            found.byte_map is not None
            and document.byte_map is not None
            and (found.byte_map.chars, found.byte_map.starts, found.byte_map.ends, found.byte_map.encoding)
            == (document.byte_map.chars, document.byte_map.starts, document.byte_map.ends, document.byte_map.encoding)
        )

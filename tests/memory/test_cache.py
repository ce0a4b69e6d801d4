"""Caches of indexes: whatever happens to their files, what is found is what the store holds."""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ctxproc.errors import StoreError
from ctxproc.memory import arrays, cache
from ctxproc.memory.base import Changed, Ids, Matrix, Model, Note, Owner, Shelf
from ctxproc.memory.cache import Caches, opened
from ctxproc.memory.cache_file import digest
from ctxproc.memory.lexical import LexicalIndex
from ctxproc.memory.store import SqliteStore
from ctxproc.memory.vector import VectorIndex
from tests.memory.oracle import fast_folder
from tests.memory.vectors import brute, unit_vectors

DIMENSIONS = 8
ALICE, BOB = Owner("alice"), Owner("bob")
MODEL = Model("small", "f1", DIMENSIONS)
VECTORS = unit_vectors(3000, DIMENSIONS)


@pytest.fixture
def folder() -> Iterator[Path]:
    with fast_folder() as found:
        yield found


@pytest.fixture
def store(folder: Path) -> Iterator[SqliteStore]:
    with SqliteStore(folder / "store") as made:
        yield made


def remember(store: SqliteStore, owner: Owner, first: int, stop: int) -> list[int]:
    """Notes "word1 word1" and so on, with their vectors."""
    if store.model(owner) is None:
        store.embed(owner, MODEL, [], np.zeros((0, DIMENSIONS), np.float32))
    return store.add(owner, [Note(f"word{i} common") for i in range(first, stop)], VECTORS[first:stop])


def truth(store: SqliteStore, owner: Owner) -> tuple[Ids, Matrix]:
    """Every vector that the store holds."""
    held = [(np.asarray(ids), np.asarray(rows)) for ids, rows in store.changed_vectors(owner, "memory").added]
    ids = np.concatenate([np.empty(0, np.int64), *(some for some, _ in held)])
    return ids, np.concatenate([np.empty((0, DIMENSIONS), np.float32), *(rows for _, rows in held)])


def agrees(caches: Caches, store: SqliteStore, owner: Owner) -> None:
    """Both indexes against the store: every id, every vector, and searches."""
    ids, rows = truth(store, owner)
    index = caches.vectors(owner, "memory")
    assert index.ids.tolist() == ids.tolist()
    np.testing.assert_array_equal(index.vectors(ids), rows)
    for query in VECTORS[:5]:
        assert index.search(query, 7)[0].tolist() == brute(ids, rows, query, 7, "cosine")[0]
    texts = caches.texts(owner, "memory")
    held = store.passages(owner, "memory")
    assert texts.ids.tolist() == [one.id for one in held]
    for one in held[:3]:
        word = one.text.split()[0]
        assert texts.search(word, 5)[0].tolist() == [other.id for other in held if word in other.text.split()][:5]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that were read as an index."""
    found: list[str] = []
    for kind in (VectorIndex, LexicalIndex):
        read = kind.read.__func__  # type: ignore[attr-defined]

        def noted(cls: type, path: Path, *rest: str, read: Callable[..., object] = read) -> object:
            found.append(path.name)
            return read(cls, path, *rest)

        monkeypatch.setattr(kind, "read", classmethod(noted))
    return found


def test_indexes_follow_adding_editing_and_forgetting_in_this_process_and_in_others(
    store: SqliteStore, folder: Path, reads: list[str]
) -> None:
    mine = Caches(store, folder / "cache")
    assert mine.vectors(ALICE, "memory").ids.tolist() == mine.texts(ALICE, "memory").ids.tolist() == []
    rng, ids, next_one = random.Random(0), list[int](), 0
    for turn in range(12):
        ids += remember(store, ALICE, next_one, next_one + 60)
        next_one += 60
        for old in rng.sample(ids, 5):
            store.edit(ALICE, old, f"edited{turn} common", VECTORS[2000 + turn : 2001 + turn])
        gone = rng.sample(ids, 7)
        store.forget(ALICE, gone)
        ids = [i for i in ids if i not in gone]
        remember(store, BOB, turn, turn + 2)
        agrees(mine, store, ALICE)
        agrees(Caches(store, folder / "cache"), store, ALICE)
    agrees(mine, store, BOB)
    assert len(reads) == 2 * 12  # the second caches find the files that the first wrote


def test_the_same_object_is_given_while_nothing_changes_and_brought_up_to_date_in_place(
    store: SqliteStore, folder: Path
) -> None:
    remember(store, ALICE, 0, 5)
    caches = Caches(store, folder / "cache")
    index = caches.vectors(ALICE, "memory")
    assert caches.vectors(ALICE, "memory") is index
    remember(store, ALICE, 5, 8)
    assert len(index) == 5
    assert caches.vectors(ALICE, "memory") is index
    assert len(index) == 8


def test_a_great_change_makes_the_index_anew_once(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store, ALICE, 0, 100)
    caches = Caches(store, folder / "cache")
    caches.vectors(ALICE, "memory")
    remember(store, ALICE, 100, 2900)

    def added(*_: object) -> None:
        raise AssertionError("a great change was added bit by bit")

    monkeypatch.setattr(VectorIndex, "add", added)
    agrees(caches, store, ALICE)


def test_a_file_of_another_kind_than_is_asked_for_is_not_used(store: SqliteStore, folder: Path) -> None:
    pytest.importorskip("faiss")
    remember(store, ALICE, 0, 1500)
    for kind in ("ivf", "flat", "hnsw"):
        assert Caches(store, folder / "cache", kind=kind, device="cpu").vectors(ALICE, "memory").kind == kind


def damaged(raw: bytes) -> Iterator[bytes]:
    """Flipped, cut, lengthened, empty, foreign, and headers that lead a reader astray."""
    rng = random.Random(1)
    for _ in range(40):
        at = rng.randrange(len(raw))
        yield raw[:at] + bytes([raw[at] ^ (1 << rng.randrange(8))]) + raw[at + 1 :]
    for _ in range(5):
        yield raw[: rng.randrange(len(raw))]
    yield from (
        raw + b"\0",
        b"",
        b"garbage",
        b"IxFI" + b"\xff" * 100,
        b"IHNf" + b"\xff" * 100,
        arrays.MAGIC + b"\xff" * 100,
    )


def test_a_damaged_file_is_never_read_and_the_index_is_made_anew(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store, ALICE, 0, 100)
    agrees(Caches(store, folder / "cache"), store, ALICE)
    files = Caches(store, folder / "cache").files(ALICE)
    kept = [file.read_bytes() for file in files]
    assert len(files) == 2

    def parsed(*_: object) -> None:
        raise AssertionError("a file was parsed whose hash is wrong")

    for number, file in enumerate(files):
        other = 1 - number
        for raw in damaged(kept[number]):
            with monkeypatch.context() as patched:
                patched.setattr(VectorIndex if file.name.endswith("vectors") else LexicalIndex, "read", parsed)
                file.write_bytes(raw)
                told: list[str] = []
                agrees(Caches(store, folder / "cache", told.append), store, ALICE)
                assert len(told) == 1
                assert "made anew" in told[0]
        assert digest(files[other]) == store.manifest(ALICE, files[other].name.split(".", 1)[1])[1]  # type: ignore[index]


def test_a_hostile_graph_never_comes_to_faiss(
    store: SqliteStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faiss = pytest.importorskip("faiss")
    remember(store, ALICE, 0, 1500)
    caches = Caches(store, folder / "cache", kind="hnsw", device="cpu")
    assert caches.vectors(ALICE, "memory").kind == "hnsw"
    (file,) = caches.files(ALICE)
    about, held = arrays.read(file)
    graph = np.frombuffer(b"IHNf" + b"\x7f" * 4000, np.uint8)  # would be read as sizes of petabytes
    arrays.write(folder / "hostile", about, {**held, "structure.graph": graph})
    shutil.move(folder / "hostile", file)

    def parsed(*_: object) -> None:
        raise AssertionError("FAISS was given bytes that nobody vouches for")

    monkeypatch.setattr(faiss, "deserialize_index", parsed)
    again = Caches(store, folder / "cache", kind="hnsw", device="cpu")
    ids, rows = truth(store, ALICE)
    index = again.vectors(ALICE, "memory")
    assert index.ids.tolist() == ids.tolist()
    np.testing.assert_array_equal(index.vectors(ids), rows)


def test_files_of_another_owner_or_an_earlier_time_are_not_used(store: SqliteStore, folder: Path) -> None:
    remember(store, ALICE, 0, 50)
    remember(store, BOB, 50, 90)
    first = Caches(store, folder / "cache")
    agrees(first, store, ALICE)
    agrees(first, store, BOB)
    (alice, _), (bob, _) = (sorted(first.files(owner), key=lambda file: file.suffix)[::-1] for owner in (ALICE, BOB))
    early = alice.read_bytes()
    remember(store, ALICE, 100, 500)
    agrees(first, store, ALICE)
    assert alice.read_bytes() != early
    for wrong in (early, bob.read_bytes()):
        alice.write_bytes(wrong)
        told: list[str] = []
        agrees(Caches(store, folder / "cache", told.append), store, ALICE)
        assert len(told) == 1


def test_a_store_that_was_put_back_from_a_copy_is_not_served_from_newer_files(folder: Path) -> None:
    with SqliteStore(folder / "store") as store:
        remember(store, ALICE, 0, 300)
        agrees(Caches(store, folder / "cache"), store, ALICE)
        store.purge()
    shutil.copy(folder / "store", folder / "copy")
    with SqliteStore(folder / "store") as store:
        remember(store, ALICE, 300, 900)
        agrees(Caches(store, folder / "cache"), store, ALICE)
    for name in ("store-wal", "store-shm"):
        (folder / name).unlink(missing_ok=True)
    shutil.move(folder / "copy", folder / "store")
    with SqliteStore(folder / "store") as store:
        remember(store, ALICE, 1000, 1400)
        agrees(Caches(store, folder / "cache"), store, ALICE)
        assert len(opened("vectors", store, ALICE, "memory", folder / "cache")) == 700


def test_a_model_of_other_dimensions_gives_another_index(store: SqliteStore, folder: Path) -> None:
    ids = remember(store, ALICE, 0, 20)
    caches = Caches(store, folder / "cache")
    agrees(caches, store, ALICE)
    store.strip(ALICE)
    assert caches.vectors(ALICE, "memory").ids.tolist() == []
    store.embed(ALICE, Model("wide", "f2", 2 * DIMENSIONS), ids, np.tile(VECTORS[:20], 2))
    for one in (caches, Caches(store, folder / "cache")):
        index = one.vectors(ALICE, "memory")
        np.testing.assert_array_equal(index.vectors(ids), np.tile(VECTORS[:20], 2))


@pytest.mark.parametrize("name", ["../../etc/x", "a/b", "..", "CON", "x" * 500, "*", "?[a]", "né\n", "a\\b"])
def test_no_name_of_a_user_is_part_of_a_path(store: SqliteStore, folder: Path, name: str) -> None:
    owner = Owner(name, name, name)
    remember(store, owner, 0, 3)
    remember(store, ALICE, 3, 5)
    caches = Caches(store, folder / "cache")
    agrees(caches, store, owner)
    agrees(caches, store, ALICE)
    assert all(re.fullmatch(r"[0-9a-f]{32}\.memory\.(vectors|texts)", file.name) for file in caches.files(owner))
    assert stat.S_IMODE((folder / "cache").stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in (folder / "cache").iterdir()} == {0o600}
    assert sorted(file.name for file in folder.iterdir() if not file.name.startswith("store")) == ["cache"]
    before = caches.files(ALICE)
    caches.drop(owner)
    assert (caches.files(owner), caches.files(ALICE)) == ([], before)
    agrees(caches, store, owner)


def test_one_shelf_may_be_dropped_and_the_other_kept(store: SqliteStore, folder: Path) -> None:
    remember(store, ALICE, 0, 5)
    caches = Caches(store, folder / "cache")
    kept = caches.texts(ALICE, "library")
    caches.texts(ALICE, "memory")
    caches.drop(ALICE, "memory")
    assert caches.texts(ALICE, "library") is kept and caches.files(ALICE, "memory") == []
    agrees(caches, store, ALICE)


def test_what_a_killed_writer_left_is_removed_and_counts_as_a_file_of_the_owner(
    store: SqliteStore, folder: Path
) -> None:
    remember(store, ALICE, 0, 30)
    caches = Caches(store, folder / "cache")
    caches.vectors(ALICE, "memory")
    part = folder / "cache" / ".killed.part"
    part.write_bytes(b"half an index")
    assert part in caches.files(ALICE)
    caches.texts(ALICE, "memory")
    assert not part.exists()
    part.write_bytes(b"half an index")
    caches.drop(ALICE)
    assert [file.name for file in (folder / "cache").iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_used_is_told_and_costs_only_time(store: SqliteStore, folder: Path) -> None:
    remember(store, ALICE, 0, 30)
    (folder / "cache").write_text("a file, no folder")
    told: list[str] = []
    agrees(Caches(store, folder / "cache", told.append), store, ALICE)
    assert len(told) == 2
    assert all("not kept in a file" in line for line in told)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_file_that_was_there(
    store: SqliteStore, folder: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    remember(store, ALICE, 0, 30)
    agrees(Caches(store, folder / "cache"), store, ALICE)
    kept = {file: file.read_bytes() for file in Caches(store, folder / "cache").files(ALICE)}
    remember(store, ALICE, 30, 400)

    def fails(*_: object) -> None:
        raise OSError("no space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(f"ctxproc.memory.cache_file.os.{step}", fails)
        told: list[str] = []
        agrees(Caches(store, folder / "cache", told.append), store, ALICE)
        assert [line for line in told if "no space left" in line] == told
        assert len(told) == 2
    assert {file: file.read_bytes() for file in Caches(store, folder / "cache").files(ALICE)} == kept
    agrees(Caches(store, folder / "cache"), store, ALICE)


class Forgetting(SqliteStore):
    """Another process forgets everything just after the index was built."""

    def changed_vectors(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        found = super().changed_vectors(owner, shelf, since)

        def then_forget() -> Iterator[tuple[Ids, Matrix]]:
            yield from found.added  # type: ignore[misc]
            self.forget(owner, [one.id for one in self.passages(owner, shelf)])

        return replace(found, added=then_forget())


def test_an_index_that_is_behind_the_store_is_not_written(folder: Path) -> None:
    with Forgetting(folder / "store") as store:
        remember(store, ALICE, 0, 30)
        caches = Caches(store, folder / "cache")
        assert len(caches.vectors(ALICE, "memory")) == 30
        assert caches.files(ALICE) == []
        assert len(caches.vectors(ALICE, "memory")) == 0


class Lossy(SqliteStore):
    """Its deltas lose a row; with ``always``, whatever is asked for."""

    always = False

    def changed_vectors(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        found = super().changed_vectors(owner, shelf, since)
        lost = ((ids[1:], rows[1:]) for ids, rows in found.added)
        return replace(found, added=lost) if since or self.always else found


def test_an_index_of_the_wrong_size_is_made_anew_and_a_store_that_loses_rows_is_an_error(folder: Path) -> None:
    with Lossy(folder / "store") as store:
        remember(store, ALICE, 0, 30)
        told: list[str] = []
        caches = Caches(store, folder / "cache", told.append)
        caches.vectors(ALICE, "memory")
        remember(store, ALICE, 30, 40)
        agrees(caches, store, ALICE)
        assert len(told) == 1
        store.always = True
        caches.drop(ALICE)
        with pytest.raises(StoreError, match="holds 40 vectors and gave 39; check it: ctxproc memory doctor"):
            caches.vectors(ALICE, "memory")


class Failing(SqliteStore):
    """Reading breaks off once."""

    broken = False

    def changed_vectors(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        found = super().changed_vectors(owner, shelf, since)

        def breaks() -> Iterator[tuple[Ids, Matrix]]:
            for ids, rows in found.added:
                yield ids[:3], np.asarray(rows)[:3]
                raise StoreError("damaged")

        return replace(found, added=breaks()) if self.broken else found


def test_an_update_that_breaks_off_leaves_no_half_updated_index(folder: Path) -> None:
    with Failing(folder / "store") as store:
        remember(store, ALICE, 0, 30)
        caches = Caches(store, folder / "cache")
        caches.vectors(ALICE, "memory")
        remember(store, ALICE, 30, 40)
        store.broken = True
        for _ in range(2):
            with pytest.raises(StoreError, match="damaged"):
                caches.vectors(ALICE, "memory")
        store.broken = False
        agrees(caches, store, ALICE)


def test_files_are_hashed_in_blocks_of_64_mib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    raw = random.Random(0).randbytes(10_000)
    (tmp_path / "file").write_bytes(raw)
    monkeypatch.setattr("ctxproc.memory.cache_file.BLOCK", 4096)
    monkeypatch.setattr("ctxproc.memory.cache_file.READ", 1000)
    parts = [hashlib.sha256(raw[at : at + 4096]).digest() for at in (0, 4096, 8192)]
    assert digest(tmp_path / "file") == hashlib.sha256(b"".join(parts)).hexdigest()


def work(folder: Path, first: int) -> None:
    """One of several processes: adds, and opens the indexes between, each time written to a file."""
    cache.FEW, cache.SHARE = 0, 10**9
    with SqliteStore(folder / "store") as store:
        caches = Caches(store, folder / "cache")
        for at in range(first, first + 100, 20):
            ids = remember(store, ALICE, at, at + 20)
            for one in (caches, Caches(store, folder / "cache")):
                index, texts = one.vectors(ALICE, "memory"), one.texts(ALICE, "memory")
                assert set(ids) <= set(index.ids.tolist())
                assert set(ids) <= set(texts.ids.tolist())
                assert index.search(VECTORS[at], 1)[1][0] > 1 - 1e-6
                assert len(texts.search(f"word{at}", 1)[0]) == 1


def test_several_processes_share_a_folder(folder: Path) -> None:
    with SqliteStore(folder / "store") as store:
        store.embed(ALICE, MODEL, [], np.zeros((0, DIMENSIONS), np.float32))
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(folder, 100 * i)) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    with SqliteStore(folder / "store") as store:
        agrees(Caches(store, folder / "cache"), store, ALICE)
        assert len(truth(store, ALICE)[0]) == 300
    assert sorted(os.listdir(folder / "cache"))[0] == ".lock"
    assert len(os.listdir(folder / "cache")) == 3

"""Stores under SIGKILL, under several processes at once, and on a disk that is full.

The processes are forks of this file run as a program (``python test_crash.py WHAT FOLDER``), so that nothing is imported
anew for each of them.
"""

from __future__ import annotations

import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from children import ended, forked, run_as_program

from ctxproc import Chunk, Document
from ctxproc.errors import StoreError
from ctxproc.memory.base import Model, Note, Owner
from ctxproc.memory.sqlite import connections
from ctxproc.memory.store import SqliteStore

OWNER = Owner("ann")
MODEL = Model("small", "f1", 8)


def vector(text: str) -> np.ndarray:
    """What every process gives a text as its vector."""
    return np.random.default_rng(len(text)).standard_normal(8).astype(np.float32)


def write(store: SqliteStore, batch: int, size: int) -> None:
    """One batch: so many notes in one call, and their vectors with them."""
    texts = [f"{batch} {i} {'x' * (batch % 50)}" for i in range(size)]
    store.add(OWNER, [Note(text) for text in texts], np.array([vector(text) for text in texts]))


def found(store: SqliteStore) -> dict[int, int]:
    """Batch -> how many notes of it are there; what is there is right, and index and store agree."""
    assert store.check() == []
    passages = store.passages(OWNER, "memory")
    by_id = {passage.id: passage.text for passage in passages}
    counts: dict[int, int] = {}
    for text in by_id.values():
        batch = int(text.split()[0])
        counts[batch] = counts.get(batch, 0) + 1
    vectors = {int(i): v for ids, some in store.changed_vectors(OWNER, "memory").added for i, v in zip(ids, some)}  # noqa: B905
    assert vectors.keys() == by_id.keys()
    assert all(np.array_equal(vectors[i], vector(text)) for i, text in by_id.items())
    return counts


def size_of(batch: int) -> int:
    return 1 + batch % 7 * 30


def write_for_ever(path: Path, start: int, acknowledge: int) -> None:
    """Add batch after batch and say through a pipe which ones are safe."""
    store = SqliteStore(path)
    store.embed(OWNER, MODEL, [], np.zeros((0, 8), np.float32))
    for batch in range(start, start + 100_000):
        write(store, batch, size_of(batch))
        os.write(acknowledge, batch.to_bytes(4, "big"))


def kill(folder: Path) -> None:
    """Kill a writer at 30 random moments: what it acknowledged is there, and no batch is there in part."""
    dice, safe = random.Random(0), set[int]()
    for round_ in range(30):
        path = folder / f"{round_ // 6}.ctxproc"
        if round_ % 6 == 0:
            safe = set()
        out, into = os.pipe()
        writer = forked(lambda: write_for_ever(path, 1000 * round_, into))  # noqa: B023
        os.close(into)
        with os.fdopen(out, "rb") as pipe:
            said = pipe.read(4 * dice.randrange(4))
            time.sleep(dice.uniform(0, 0.06))
            os.kill(writer, signal.SIGKILL)
            assert ended(writer) == -signal.SIGKILL
            said += pipe.read()
        safe |= {int.from_bytes(said[i : i + 4], "big") for i in range(0, len(said), 4)}
        if not path.exists():
            assert not safe
            continue
        with SqliteStore(path) as store:
            counts = found(store)
        assert safe <= counts.keys(), f"lost: {safe - counts.keys()}"
        assert all(count == size_of(batch) for batch, count in counts.items())
        assert len(counts) <= len(safe) + round_ % 6 + 1, "more is there than was begun"
    assert len(safe) >= 13


def steps(folder: Path) -> None:
    """Kill at each named step: before the commit nothing of the call is there, after it everything is."""
    document = Document.from_text("a line\n" * 50, "a.txt")
    chunks = [Chunk(document, 0, 175, 1, 0), Chunk(document, 175, 350, 1, 1)]
    calls: dict[str, Callable[[SqliteStore], object]] = {
        "add": lambda store: write(store, 2, 40),
        "edit": lambda store: store.edit(OWNER, 1, "2 edited"),
        "forget": lambda store: store.forget(OWNER, [1, 2]),
        "file": lambda store: store.file(OWNER, document, chunks),
        "drop": lambda store: store.drop(OWNER, ["old.txt"]),
        "strip": lambda store: store.strip(OWNER),
        "embed": lambda store: store.embed(OWNER, MODEL, [1], np.ones((1, 8), np.float32)),
        "set": lambda store: store.set(OWNER, "name", "new"),
        "purge": lambda store: store.purge(),
    }
    for name, call in calls.items():
        for step in ("begun", "written", "committed", "checkpointed") if name != "purge" else ("vacuumed",):
            path = folder / f"{name}-{step}.ctxproc"
            with SqliteStore(path) as store:
                store.embed(OWNER, MODEL, [], np.zeros((0, 8), np.float32))
                write(store, 1, 20)
                old = Document.from_text("old", "old.txt")
                store.file(OWNER, old, [Chunk(old, 0, 3, 1, 0)], np.zeros((1, 8), np.float32))
                before = everything(store)
            assert ended(forked(lambda: die_at(path, step, call))) == -signal.SIGKILL  # noqa: B023
            with SqliteStore(path) as store:
                after = everything(store)
                assert store.check() == []
            expected_change = step in ("committed", "checkpointed")
            assert (after != before) == expected_change, f"{name} at {step}"


def everything(store: SqliteStore) -> object:
    """All that can be read, but for the times at which it was written."""
    log = [(c.id, c.action, c.passage, c.before, c.after) for c in store.changes(OWNER)]
    vectors = [(i.tolist(), v.tolist()) for i, v in store.changed_vectors(OWNER, "memory").added]  # type: ignore[union-attr]
    shelves = [[(p.id, p.text) for p in store.passages(OWNER, shelf)] for shelf in ("library", "memory")]  # type: ignore[arg-type]
    return log, vectors, shelves, store.filed(OWNER), store.setting(OWNER, "name"), store.model(OWNER)


def die_at(path: Path, step: str, call: Callable[[SqliteStore], object]) -> None:
    """Call, and be killed when a step has come."""
    store = SqliteStore(path)

    def dies(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    connections.step = dies
    call(store)


def making(folder: Path) -> None:
    """Kill while a store is made: there is a whole one, or none; what is left over is not taken for one."""
    real = os.link

    def before(*arguments: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def after(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGKILL)

    for name, dies in (("before", before), ("after", after)):
        path = folder / f"{name}.ctxproc"

        def make(dies: Callable[..., None] = dies, path: Path = path) -> None:
            os.link = dies  # type: ignore[assignment]
            SqliteStore(path)

        assert ended(forked(make)) == -signal.SIGKILL
        assert path.exists() == (name == "after")
        with SqliteStore(path) as store:
            write_plain(store, "works")
            assert store.check() == []


def write_plain(store: SqliteStore, text: str) -> int:
    return store.add(OWNER, [Note(text)])[0]


def together(folder: Path) -> None:
    """Eight processes add 500 notes each, two read all the time: 4,000 notes, and nobody hears of a lock."""
    path = folder / "m.ctxproc"
    stop, parent = folder / "stop", os.getpid()

    def work(number: int) -> None:
        with SqliteStore(path) as store:
            for i in range(WRITES):
                write_plain(store, f"{number} {i}")

    def look() -> None:
        with SqliteStore(path) as store:
            seen = 0
            while not stop.exists() and os.getppid() == parent:  # killed with its time up, the parent tells nobody
                count = sum(len(ids) for ids, _ in store.changed_texts(OWNER, "memory").added)
                assert count == len(store.passages(OWNER, "memory")) or count >= seen
                assert count >= seen
                seen = count

    readers = [forked(look) for _ in range(2)]
    writers = [forked(lambda number=number: work(number)) for number in range(8)]  # type: ignore[misc]
    codes = [ended(writer) for writer in writers]
    stop.touch()
    assert codes == [0] * 8
    assert [ended(reader) for reader in readers] == [0, 0]
    with SqliteStore(path) as store:
        texts = {passage.text for passage in store.passages(OWNER, "memory")}
        assert texts == {f"{number} {i}" for number in range(8) for i in range(WRITES)}
        assert [change.id for change in store.changes(OWNER, limit=10**6)] == list(range(8 * WRITES, 0, -1))
        assert store.check() == []


WRITES = int(os.environ.get("CTXPROC_TEST_WRITES", "60"))
"""Notes per process; 500 for the figure of the README."""


def full(folder: Path) -> None:
    """No file of a process may grow beyond a limit: the call that would is refused, and all that was before is there."""
    path = folder / "m.ctxproc"
    with SqliteStore(path) as store:
        store.embed(OWNER, MODEL, [], np.zeros((0, 8), np.float32))
        size = path.stat().st_size

    def fill() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        with SqliteStore(path) as store:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 200_000, resource.RLIM_INFINITY))
            for batch in range(1000):
                try:
                    write(store, batch, 40)
                except StoreError as error:
                    assert str(path) in str(error) and "\n" not in str(error)
                    counts = found(store)
                    assert counts == dict.fromkeys(range(batch), 40) and batch > 2
                    break
            else:
                raise AssertionError("the disk was never full")
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            write(store, batch, 40)
            assert found(store) == dict.fromkeys(range(batch + 1), 40)

    assert ended(forked(fill)) == 0
    with SqliteStore(path) as store:
        found(store)


def denied(folder: Path) -> None:
    """A folder or a file that may not be written: one line that says so."""
    path = folder / "m.ctxproc"
    with SqliteStore(path) as store:
        write_plain(store, "kept")
    os.chmod(path, 0o444)
    os.chmod(folder, 0o555)

    def try_it() -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        for name in ("m.ctxproc", "new.ctxproc", "below/new.ctxproc"):
            try:
                with SqliteStore(folder / name) as store:
                    write_plain(store, "lost")
            except StoreError as error:
                assert str(folder / name) in str(error) and "\n" not in str(error), error
            else:
                raise AssertionError(name)

    try:
        assert ended(forked(try_it)) == 0
    finally:
        os.chmod(folder, 0o755)
        os.chmod(path, 0o644)
    with SqliteStore(path) as store:
        assert [passage.text for passage in store.passages(OWNER, "memory")] == ["kept"]


def inherited(folder: Path) -> None:
    """A store that was open before a fork works in both processes."""
    store = SqliteStore(folder / "m.ctxproc")
    write_plain(store, "before")
    child = forked(lambda: [write_plain(store, f"child {i}") for i in range(20)] and None)  # type: ignore[func-returns-value]
    for i in range(20):
        write_plain(store, f"parent {i}")
    assert ended(child) == 0
    assert len(store.passages(OWNER, "memory")) == 41 and store.check() == []


WHAT = {f.__name__: f for f in (kill, steps, making, together, full, denied, inherited)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("what", WHAT)
def test_what_was_acknowledged_is_there(tmp_path: Path, what: str) -> None:
    run_as_program(__file__, what, tmp_path)


if __name__ == "__main__":
    WHAT[sys.argv[1]](Path(sys.argv[2]))

"""Damage to a store's file: every call gives the right answer or says that it is damaged; never another, never nothing."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from oracle import MODEL, chunks_of, fast_folder

from ctxproc import Document
from ctxproc.errors import StoreError, UsageError
from ctxproc.memory.base import Note, Owner
from ctxproc.memory.sqlite import mark
from ctxproc.memory.store import SqliteStore

PAGE = 8192
Answers = dict[tuple[str, str], object]
ANN, BOB = Owner("ann"), Owner("bob", "agent")
NEVER = Owner("nobody")
TIME = datetime(2026, 1, 1, tzinfo=UTC)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 4)).astype(np.float32)


def fill(store: SqliteStore) -> None:
    """A little of everything, for two owners."""
    for owner in (ANN, BOB):
        store.embed(owner, MODEL, [], vectors(0))
        notes = [Note(f"{owner.user} said {i}" * 9, "fact", TIME, "x", "chat", {"i": i}) for i in range(60)]
        ids = store.add(owner, notes, vectors(60))
        store.edit(owner, ids[3], "another text")
        store.forget(owner, ids[5:8])
        store.recall(owner, ids[:2], TIME)
        store.set(owner, "chunk", "512")
        store.record(owner, "memory.vectors", 1, "aa")
        for source in ("a.txt", "b.txt"):
            document = Document.from_text(f"{source} of {owner.user}\n" * 40, source)
            store.file(owner, document, chunks_of(document, 50), size=7)
        store.drop(owner, ["a.txt"])


def whole(changed: object) -> object:
    """All of a stream, as plain values."""
    batches = [(ids.tolist(), [getattr(one, "tolist", str)() if not isinstance(one, str) else one for one in what])
               for ids, what in changed.added]  # type: ignore[attr-defined]  # fmt: skip
    return changed.generation, changed.count, changed.removed.tolist(), batches  # type: ignore[attr-defined]


def refused(action: Callable[[], object]) -> object:
    """What an action gives; that it was refused, where the caller asked for what is not there."""
    try:
        return action()
    except UsageError:
        return "refused"


CALLS: dict[str, Callable[[SqliteStore, Owner], object]] = {
    "owners": lambda s, o: s.owners(),
    "state": lambda s, o: (s.state(o, "library"), s.state(o, "memory")),
    "passages": lambda s, o: (s.passages(o, "library"), s.passages(o, "memory")),
    "each passage": lambda s, o: [s.passages(o, "memory", [i]) for i in (1, 4, 6, 30, 60, 61, 90, 120, 10**6)],
    "changes": lambda s, o: (s.changes(o), s.changes(o, limit=3)),
    "changes of one": lambda s, o: [s.changes(o, i) for i in (1, 4, 6, 10**6)],
    "filed": lambda s, o: s.filed(o),
    "documents": lambda s, o: [(d.text, d.byte_range(0, 9)) for f in s.filed(o) for d in [s.document(o, f.id)]],
    "document": lambda s, o: refused(lambda: s.document(o, 61).text),
    "setting": lambda s, o: (s.setting(o, "chunk"), s.setting(o, "none")),
    "model": lambda s, o: s.model(o),
    "unembedded": lambda s, o: (s.unembedded(o), s.unembedded(o, 3)),
    "texts": lambda s, o: (whole(s.changed_texts(o, "memory")), whole(s.changed_texts(o, "library"))),
    "streamed": lambda s, o: ([*s.changed_passages(o, "memory").added], [*s.changed_passages(o, "library").added]),
    "facts": lambda s, o: [*s.changed_passages(o, "memory", 0, ("fact",)).added],
    "vectors": lambda s, o: (whole(s.changed_vectors(o, "memory")), whole(s.changed_vectors(o, "library"))),
    "manifest": lambda s, o: (s.manifest(o, "memory.vectors"), s.manifest(o, "other")),
}  # fmt: skip


def answers(path: Path) -> Answers:
    """What every call gives for every owner; a `StoreError` where it says that something is wrong."""
    try:
        store = SqliteStore(path, timeout=1)
    except StoreError as error:
        return dict.fromkeys([(name, owner.user) for name in CALLS for owner in (ANN, BOB, NEVER)], error)
    found: Answers = {}
    for name, call in CALLS.items():
        for owner in (ANN, BOB, NEVER):
            try:
                found[name, owner.user] = call(store, owner)
            except StoreError as error:
                found[name, owner.user] = error
    store.close()
    return found


def assert_right_or_refused(path: Path, right: Answers, what: str) -> int:
    """Compare; how many calls said that something is wrong."""
    refusals = 0
    for call, answer in answers(path).items():
        if isinstance(answer, StoreError):
            refusals += 1
            assert str(path) in str(answer) and "\n" not in str(answer)
        else:
            assert answer == right[call], f"{what}: {call}"
    return refusals


@pytest.fixture(scope="module")
def sound() -> Iterator[tuple[bytes, Answers]]:
    """The bytes of a store, and what it answers."""
    with fast_folder() as folder:
        store = SqliteStore(folder / "m.ctxproc")
        fill(store)
        store.close()
        right = answers(folder / "m.ctxproc")
        assert not [call for call, answer in right.items() if isinstance(answer, StoreError)]
        assert right["passages", "ann"] != right["passages", "bob"]
        yield (folder / "m.ctxproc").read_bytes(), right


def put(path: Path, raw: bytes | bytearray) -> None:
    """Replace a store that nobody has open."""
    for end in ("-wal", "-shm"):
        path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
    path.write_bytes(raw)


def flip(folder: Path, raw: bytes, right: Answers, header: int, used: int, anywhere: int) -> int:
    """Flip one bit at a time: in the header, where a byte is not zero, anywhere; how often it was noticed."""
    dice, noticed = random.Random(0), 0
    places = [*range(header), *dice.sample([at for at, byte in enumerate(raw) if byte], used)]
    for at in [*places, *dice.sample(range(len(raw)), anywhere)]:
        flipped = bytearray(raw)
        flipped[at] ^= 1 << dice.randrange(8)
        put(folder / "m.ctxproc", flipped)
        noticed += bool(assert_right_or_refused(folder / "m.ctxproc", right, f"byte {at}"))
    return noticed


def test_a_flipped_bit_anywhere_gives_the_right_answer_or_an_error(sound: tuple[bytes, Answers]) -> None:
    with fast_folder() as folder:
        assert flip(folder, *sound, header=100, used=250, anywhere=50) > 200, "nothing is checked"


def test_a_file_that_is_cut_or_has_lost_a_block_gives_the_right_answer_or_an_error(
    sound: tuple[bytes, Answers],
) -> None:
    raw, right = sound
    dice, noticed = random.Random(1), 0
    pages = range(0, len(raw), PAGE)
    with fast_folder() as folder:
        path = folder / "m.ctxproc"
        for length in [0, 1, 99, 100, 512, *pages, *dice.sample(range(len(raw)), 30)]:
            put(path, raw[:length])
            noticed += bool(assert_right_or_refused(path, right, f"cut to {length}"))
        for at in pages:
            other = dice.choice(pages)
            for what in (bytes(PAGE), dice.randbytes(PAGE), raw[other : other + PAGE]):
                put(path, raw[:at] + what + raw[at + PAGE :])
                noticed += bool(assert_right_or_refused(path, right, f"page {at // PAGE} lost"))
    assert noticed > 4 * len(pages) - 40


def test_a_row_that_vanishes_from_its_table_is_missed(sound: tuple[bytes, Answers]) -> None:
    raw, right = sound
    deletions = [
        "DELETE FROM passages WHERE id = 30",
        "DELETE FROM vectors WHERE id = 30",
        "DELETE FROM log WHERE line = 9",
        "DELETE FROM former WHERE id = 6",
        "DELETE FROM parts WHERE kind = 'text'",
        "DELETE FROM documents",
        "DELETE FROM bare WHERE id = 4",
        "UPDATE bare SET id = 30 WHERE id = 4",
        "DELETE FROM shelves",
        "DELETE FROM owners WHERE user = 'bob'",
        "DELETE FROM meta",
        "UPDATE passages SET text = 'x' WHERE id = 30",
        "UPDATE passages SET shelf = (SELECT max(shelf) FROM passages) WHERE id = 30",
        "UPDATE vectors SET version = version + 1 WHERE id = 30",
        "UPDATE vectors SET vector = zeroblob(16) WHERE id = 30",
        "UPDATE log SET before = NULL WHERE before IS NOT NULL",
        "UPDATE shelves SET generation = generation + 1",
        "UPDATE owners SET about = '{}'",
    ]
    with fast_folder() as folder:
        path = folder / "m.ctxproc"
        for deletion in deletions:
            put(path, raw)
            connection = sqlite3.connect(path, isolation_level=None)
            assert connection.execute(deletion).rowcount
            connection.close()
            assert assert_right_or_refused(path, right, deletion), deletion
            with SqliteStore(path) as store:
                assert store.check(), deletion


# the write-ahead log


def crash_while_reading(path: Path) -> None:
    """Write beside a reader, so that the log cannot be emptied, and be killed."""
    store = SqliteStore(path)
    store.add(ANN, [Note(f"before {i}") for i in range(3)])
    with sqlite3.connect(path, isolation_level=None) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM passages").fetchall()
        for i in range(3):
            store.add(ANN, [Note(f"beside {i}")])
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_damage_to_a_log_that_matters_is_noticed() -> None:
    script = f"import sys; sys.path[:0] = {[str(Path(__file__).parent), *sys.path]!r}\n"
    script += "from pathlib import Path; import test_damage; test_damage.crash_while_reading(Path(sys.argv[1]))"
    with fast_folder() as folder:
        path = folder / "m.ctxproc"
        ended = subprocess.run([sys.executable, "-c", script, str(path)], timeout=60)
        assert ended.returncode == -signal.SIGKILL
        files = {name: (folder / name).read_bytes() for name in ("m.ctxproc", "m.ctxproc-wal", "m.ctxproc-mark")}
        log = files["m.ctxproc-wal"]
        dice, noticed = random.Random(2), 0
        cuts = [log[:length] for length in (0, 1, 32, len(log) // 2, len(log) - 1)]
        used = [at for at, byte in enumerate(log) if byte]
        flips = [log[:at] + bytes([log[at] ^ 1 << dice.randrange(8)]) + log[at + 1 :] for at in dice.sample(used, 100)]
        for damaged in [None, log, *cuts, *flips]:
            for name, raw in files.items():
                (folder / name).write_bytes(raw)
            (folder / "m.ctxproc-shm").unlink(missing_ok=True)
            (folder / "m.ctxproc-wal").unlink()
            if damaged is not None:
                (folder / "m.ctxproc-wal").write_bytes(damaged)
            try:
                with SqliteStore(path) as store:
                    texts = [passage.text for passage in store.passages(ANN, "memory")]
                assert texts == [f"before {i}" for i in range(3)] + [f"beside {i}" for i in range(3)]
            except StoreError as error:
                assert "m.ctxproc-mark" in str(error) or "doctor" in str(error)
                assert damaged != log
                noticed += 1
        assert noticed > 80


def test_a_mark_that_is_damaged_or_old_does_no_harm() -> None:
    with fast_folder() as folder:
        path = folder / "m.ctxproc"
        with SqliteStore(path) as store:
            store.add(ANN, [Note("x")])
        for raw in (b"", b"\0" * 16, b"\xff" * 16, random.Random(0).randbytes(16), b"\xff" * 99):
            (folder / "m.ctxproc-mark").write_bytes(raw)
            with SqliteStore(path) as store:
                assert len(store.passages(ANN, "memory")) == 1
        mark.write(path, 10**6)
        with pytest.raises(StoreError, match="-mark"):
            SqliteStore(path)
        (folder / "m.ctxproc-mark").unlink()
        with SqliteStore(path) as store:
            changed = store.changed_texts(ANN, "memory")
            store.add(ANN, [Note("y")])
            assert mark.read(path) == 2, "the log could not be emptied beside a reader"
            list(changed.added)
            store.add(ANN, [Note("z")])
            assert mark.read(path) == 0


def test_a_mark_is_never_written_through_a_link() -> None:
    with fast_folder() as folder:
        (folder / "other").write_bytes(b"0123456789abcdef and more")
        (folder / "m.ctxproc-mark").symlink_to(folder / "other")
        with SqliteStore(folder / "m.ctxproc") as store:
            store.add(ANN, [Note("x")])
            changed = store.changed_texts(ANN, "memory")
            store.add(ANN, [Note("y")])
            list(changed.added)
            store.add(ANN, [Note("z")])
            assert len(store.passages(ANN, "memory")) == 3
        assert (folder / "other").read_bytes() == b"0123456789abcdef and more"


if __name__ == "__main__":
    with fast_folder() as made, fast_folder() as scratch:
        fill(SqliteStore(made / "m.ctxproc"))
        bytes_, answers_ = (made / "m.ctxproc").read_bytes(), answers(made / "m.ctxproc")
        print(flip(scratch, bytes_, answers_, 100, int(sys.argv[1]), int(sys.argv[1])), "noticed")  # noqa: T201

"""Files of every version that was ever released open, and hold what they held.

They were made by `test_damage.fill` at their time. A new version adds a file here and leaves the others as they are.
"""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from oracle import MODEL
from test_damage import ANN, BOB, TIME, vectors

from ctxproc.memory.base import Note, Owner
from ctxproc.memory.sqlite import schema
from ctxproc.memory.store import SqliteStore

FILES = sorted((Path(__file__).parent / "versions").glob("*.gz"))


def test_there_is_a_file_of_every_version() -> None:
    assert [int(file.name.split(".")[0]) for file in FILES] == list(range(1, schema.version() + 1))


@pytest.mark.parametrize("owner", [ANN, BOB], ids=lambda owner: owner.user)
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_file_of_a_released_version_holds_what_it_held(tmp_path: Path, file: Path, owner: Owner) -> None:
    path = tmp_path / "m.ctxproc"
    path.write_bytes(gzip.decompress(file.read_bytes()))
    with SqliteStore(path) as store:
        assert store.check() == [] and store.owners() == [ANN, BOB]
        kept = [i for i in range(60) if i not in (5, 6, 7)]
        notes = [Note(f"{owner.user} said {i}" * 9, "fact", TIME, "x", "chat", {"i": i}) for i in kept]
        notes[3] = Note("another text", "fact", TIME, "x", "chat", {"i": 3})
        found = store.passages(owner, "memory")
        assert [passage.note for passage in found] == notes
        assert [passage.recalls for passage in found[:3]] == [1, 1, 0] and found[0].recalled == TIME
        ((_, by_model),) = store.changed_vectors(owner, "memory").added
        assert store.model(owner) == MODEL and np.array_equal(by_model, vectors(60)[[i for i in kept if i != 3]])
        assert (store.setting(owner, "chunk"), store.manifest(owner, "memory.vectors")) == ("512", (1, "aa"))
        (filed,) = store.filed(owner)
        document = store.document(owner, filed.id)
        assert document.text == f"b.txt of {owner.user}\n" * 40 and document.byte_range(0, 5) == (0, 5)
        assert "".join(passage.text for passage in store.passages(owner, "library")) == document.text
        told = [(change.action, change.before, change.after) for change in store.changes(owner, found[3].id)]
        assert told == [("edit", f"{owner.user} said 3" * 9, "another text"), ("add", None, f"{owner.user} said 3" * 9)]
        assert [change.action for change in store.changes(owner, limit=3)] == ["forget"] * 3
        (new,) = store.add(owner, [Note("new", time=TIME)])
        assert [p.text for p in store.passages(owner, "memory", [new])] == ["new"] and store.check() == []

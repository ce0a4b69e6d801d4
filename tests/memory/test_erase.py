"""Forgetting: afterwards no byte of any file holds it, and the receipt says so, or says where it still stands."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from memories import NOTES, memory_of, said, settings_of

from ctxproc.errors import StoreError, UsageError
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory.doctor import examine
from ctxproc.memory.intake import add

SECRETS = (
    "Xylophonia Brandt-Quill",
    "Жанна Ёлкина",
    'a "quoted\\ line\nand another',
    "秘密の言葉は燈台です",
    "Straße der Größe",
)


def holders(folder: Path, text: str) -> list[str]:
    """The slow way: the files that hold a text in any case, decoded in every way."""
    found = []
    forms = (text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    for path in folder.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            decoded = [raw.decode("utf-8", "ignore"), raw.decode("latin-1")]
            decoded += [raw[at:].decode(coding, "ignore") for at in (0, 1) for coding in ("utf-16-le", "utf-16-be")]
            if any(form.casefold() in one.casefold() for form in forms for one in decoded):
                found.append(path.name)
    return found


@pytest.fixture
def cache(own_cache: Path) -> Path:
    """The folder with what is kept between runs: two traces, and two entries of keys and values."""
    (own_cache / "ctxproc" / "runs").mkdir(parents=True)
    (own_cache / "ctxproc" / "kv").mkdir()
    (own_cache / "ctxproc" / "runs" / "other.jsonl").write_text('{"event": "Noted", "text": "nothing"}\n')
    (own_cache / "ctxproc" / "kv" / f"{'0' * 64}.safetensors").write_bytes(b"old")
    yesterday = time.time() - 86400
    os.utime(own_cache / "ctxproc" / "kv" / f"{'0' * 64}.safetensors", (yesterday, yesterday))
    return own_cache / "ctxproc"


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("padding", [0, 9000])
def test_after_forgetting_no_byte_holds_it(tmp_path: Path, cache: Path, secret: str, padding: int) -> None:
    memory = memory_of(tmp_path, *NOTES[2:4])
    number = memory.remember("x " * padding + f"The secret is {secret}." + " y" * padding, metadata={"of": secret})
    memory.edit(number, f"The secret was {secret.swapcase()}.")
    memory.remember("Another", source=secret)
    memory.recall(secret)
    trace = json.dumps({"event": "Called", "text": f"so: {secret.upper()}"}, ensure_ascii=False)
    (cache / "runs" / "it.jsonl").write_text(trace + "\n")
    (cache / "kv" / f"{'1' * 64}.safetensors").write_bytes(b"new")
    assert holders(tmp_path, secret)
    receipt = memory.forget(secret)
    assert len(receipt.notes) == 2 and receipt.clean and receipt.scan.found == () and receipt.scan.files >= 2
    assert holders(tmp_path, secret) == [] and holders(cache, secret) == []
    assert sorted(path.name for path in cache.rglob("*") if path.is_file()) == [
        f"{'0' * 64}.safetensors",
        "other.jsonl",
    ]
    assert said(memory) == list(NOTES[2:4])
    assert memory.log(number)[0].action == "forget"
    assert all(change.before is None and change.after is None for change in memory.log(number))
    assert [str(item) for item in memory.recall("rivers", 1)] == [NOTES[3]]
    memory.close()
    assert holders(tmp_path, secret) == []


def test_an_interrupted_forgetting_is_finished_by_the_next_or_by_the_doctor(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_of(tmp_path, *NOTES)
    memory.recall("dentist")

    def interrupted() -> None:
        raise KeyboardInterrupt

    for finish in (lambda: memory.forget("nothing of it"), lambda: examine(memory.store.path, repair=True)):
        memory.remember("Xylophonia comes again.")
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(memory.store, "purge", interrupted)
            memory.forget("xylophonia")
        assert not examine(memory.store.path).sound
        finish()
        assert examine(memory.store.path).sound and holders(tmp_path, "xylophonia") == []
    assert said(memory) == [NOTES[0], *NOTES[2:]]


def test_a_file_that_cannot_be_deleted_is_named_and_nothing_is_half_forgotten(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = memory_of(tmp_path, *NOTES)
    (cache / "runs" / "it.jsonl").write_text("xylophonia")

    def refused(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    with monkeypatch.context() as patch, pytest.raises(StoreError, match=r"it\.jsonl cannot be deleted"):
        patch.setattr(Path, "unlink", refused)
        memory.forget("Xylophonia")
    assert said(memory) == list(NOTES)
    assert memory.forget("Xylophonia").clean and holders(cache, "xylophonia") == []


def test_by_number_the_whole_text_is_forgotten(tmp_path: Path, cache: Path) -> None:
    memory = memory_of(tmp_path, *NOTES)
    memory.recall("dentist")
    receipt = memory.forget([1, 2])
    assert [item.id for item in receipt.notes] == [1, 2] and receipt.clean
    assert said(memory) == list(NOTES[2:]) and holders(tmp_path, NOTES[1]) == []
    assert holders(tmp_path, "Brandt-Quill") == []


def test_what_a_note_said_before_an_edit_is_forgotten_and_what_it_says_now_is_kept(tmp_path: Path, cache: Path) -> None:
    memory = memory_of(tmp_path, NOTES[0])
    memory.edit(1, "I moved to Paris in June.")
    assert [item.id for item in memory.forget("LYON", dry_run=True).notes] == [1]
    receipt = memory.forget("lyon")
    assert receipt.renewed == (2,) and receipt.clean
    assert [(item.id, item.text) for item in memory.items()] == [(2, "I moved to Paris in June.")]
    assert holders(tmp_path, "lyon in may") == [] and [change.before for change in memory.log()] == [None] * 4


def test_a_dry_run_changes_nothing(tmp_path: Path, cache: Path) -> None:
    memory = memory_of(tmp_path, *NOTES)
    before = (memory.store.state(memory.owner, "memory"), memory.log())
    receipt = memory.forget("lyon", dry_run=True)
    assert [item.text for item in receipt.notes] == [NOTES[0], NOTES[3]] and receipt.dry_run and not receipt.clean
    assert (memory.store.state(memory.owner, "memory"), memory.log()) == before and said(memory) == list(NOTES)


def test_the_receipt_names_the_file_in_which_it_still_stands(tmp_path: Path, cache: Path) -> None:
    memory = memory_of(tmp_path, *NOTES)
    backup = tmp_path / "me.ctxproc.backup"
    backup.write_bytes(b"..." + "XYLOPHONIA brandt".encode("utf-16-le"))
    receipt = memory.forget("Xylophonia Brandt")
    assert receipt.scan.found == ((str(backup), 1),) and receipt.holders == 0 and not receipt.clean
    assert receipt.to_json()["clean"] is False


def test_a_document_is_dropped_without_a_trace_and_its_file_is_not_touched(tmp_path: Path, cache: Path) -> None:
    memory = memory_of(tmp_path / "m", NOTES[0], settings=settings_of("retrieval.search=[bm25]"))
    book = tmp_path / "book.txt"
    book.write_text("\n\n".join(f"Paragraph {i} tells of the lamp of Skerry Point number {i}." for i in range(200)))
    add(memory.library, [book], WordTokenizer())
    assert memory.library.search("lamp 77")[0].source == str(book)
    assert memory.library.forget([str(book)], dry_run=True).documents == (str(book),)
    receipt = memory.library.forget([str(book)])
    assert receipt.documents == (str(book),) and receipt.clean and receipt.scan.pieces > 10
    assert holders(tmp_path / "m", "Skerry Point") == [] and book.stat().st_size > 10_000
    assert memory.store.filed(memory.owner) == [] and said(memory) == [NOTES[0]]
    with pytest.raises(UsageError, match="no document"):
        memory.library.forget([str(book)])

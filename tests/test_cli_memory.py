"""``ctxproc memory`` from outside: every command, exit codes, one line for an error, nothing that steers a terminal."""

from __future__ import annotations

import getpass
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
from hostile import NUMBERS, PATHS
from test_cli import FACT, FILLER
from test_cli import run as run_apart

from ctxproc.cli import main

STEERING = "\x1b[31mRed\x1b[0m \x1b]0;t\x07ferry"
QUESTION = "Who keeps the lamp at Skerry Point?"


class Done(NamedTuple):
    """What a command printed, and its exit code."""

    stdout: str
    stderr: str
    code: int


def run(*arguments: str, stdin: str = "", code: int | None = 0) -> Done:
    """Run the program in this process, which is quicker than in one of its own; its exit code is checked, if any."""
    out, err, hook = io.StringIO(), io.StringIO(), sys.excepthook
    typed = io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8")
    ended = 0
    with redirect_stdout(out), redirect_stderr(err), patch.object(sys, "stdin", typed):
        try:
            main.main(list(arguments))
        except SystemExit as end:
            ended = end.code if isinstance(end.code, int) else 0
        finally:
            sys.excepthook = hook
    assert code is None or ended == code, err.getvalue()
    return Done(out.getvalue(), err.getvalue(), ended)


def memory(path: Path, command: str, *arguments: str, stdin: str = "", code: int = 0) -> str:
    """What a command prints about a memory, on standard error if it fails; without embeddings, so no model is loaded."""
    words = ("--set", "retrieval.search=[bm25]") if command != "doctor" else ()
    owner = () if "--user" in arguments else ("--user", "alice")
    done = run("memory", command, *arguments, "--memory", str(path), *owner, *words, stdin=stdin, code=code)
    assert done.stderr.count("\n") <= (1 if code else 0), done.stderr
    return done.stderr if code else done.stdout


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A memory of three notes."""
    path = tmp_path / "me.ctxproc"
    for note in (
        "I moved to Lyon in May.",
        "My dentist is called Xylophonia Brandt-Quill.",
        "\x1b[31mRed\x1b[0m \x1b]0;t\x07ferry",
    ):
        memory(path, "add", "--note", note)
    return path


def test_a_note_is_remembered_found_shown_edited_and_reverted(store: Path) -> None:
    found = json.loads(memory(store, "search", "Where is Lyon?", "-k", "1", "--json"))
    assert [item["text"] for item in found["items"]] == ["I moved to Lyon in May."] and found["items"][0]["id"] == 1
    said = memory(store, "search", "who is my dentist", "--explain")
    assert "Xylophonia" in said and "bm25 1.000" in said
    assert "recalled: 1 times" in memory(store, "show", "1")
    memory(store, "edit", "1", "I moved to Paris in June.")
    assert "- I moved to Lyon in May.\n+ I moved to Paris in June." in memory(store, "diff", "1")
    changes = json.loads(memory(store, "log", "--json", "--limit", "1"))["changes"]
    assert [(one["action"], one["note"], one["before"]) for one in changes] == [("edit", 1, "I moved to Lyon in May.")]
    memory(store, "revert", str(changes[0]["id"]))
    assert json.loads(memory(store, "show", "1", "--json"))["text"] == "I moved to Lyon in May."
    assert memory(store, "log", "1").splitlines()[0].split()[4] == "revert"


def test_nothing_of_a_note_steers_the_terminal(store: Path) -> None:
    for command in (
        ("list",),
        ("search", "ferry"),
        ("show", "3"),
        ("log",),
        ("diff", "3"),
        ("forget", "ferry", "--dry-run"),
    ):
        said = memory(store, *command)
        assert "ferry" in said and "Red" in said and "\x1b" not in said and "\x07" not in said
    assert json.loads(memory(store, "show", "3", "--json"))["text"] == STEERING


def test_forgetting_lists_first_and_then_leaves_no_byte(store: Path, own_cache: Path) -> None:
    assert "would forget    2" in memory(store, "forget", "xylophonia", "--dry-run")
    assert len(json.loads(memory(store, "list", "--json"))["items"]) == 3
    receipt = json.loads(memory(store, "forget", "XYLOPHONIA", "--json"))
    assert [item["id"] for item in receipt["notes"]] == [2] and receipt["clean"] and receipt["scan"]["found"] == []
    assert "found 0" in memory(store, "forget", "--id", "1")
    left = [p for f in (store.parent, own_cache) for p in f.rglob("*") if p.is_file()]
    assert len(left) >= 1 and all(b"xylophonia" not in p.read_bytes().lower() for p in left)
    assert [item["id"] for item in json.loads(memory(store, "list", "--json"))["items"]] == [3]
    (store.parent / "me.ctxproc.old").write_text("so says Lyonnesse")
    memory(store, "add", "--note", "lyonnesse is far")
    assert (
        "me.ctxproc.old: 1 places"
        in run("memory", "forget", "Lyonnesse", "--memory", str(store), "--user", "alice", code=1).stdout
    )


def test_export_and_import_move_notes_between_users(store: Path, tmp_path: Path) -> None:
    assert memory(store, "export", str(tmp_path / "notes.jsonl")) == "3 notes written\n"
    assert memory(store, "import", str(tmp_path / "notes.jsonl"), "--user", "bob") == "3 notes remembered\n"
    assert memory(store, "import", str(tmp_path / "notes.jsonl"), "--user", "bob") == "0 notes remembered\n"
    texts = [item["text"] for item in json.loads(memory(store, "list", "--json", "--user", "bob"))["items"]]
    assert texts == [item["text"] for item in json.loads(memory(store, "list", "--json"))["items"]]
    assert json.loads(memory(store, "list", "--json", "--user", "carol"))["items"] == []


def test_documents_are_added_once_and_asked_without_their_files(tmp_path: Path) -> None:
    path, folder = tmp_path / "me.ctxproc", tmp_path / "books"
    folder.mkdir()
    (folder / "valley.md").write_bytes((FILLER * 40 + FACT + "\n\n" + FILLER * 40).encode())
    os.utime(folder / "valley.md", (1e9, 1e9))
    assert memory(path, "add", str(folder)) == "documents: 1 added\n"
    assert json.loads(memory(path, "add", str(folder), "--json"))["unchanged"] == 1
    assert str(folder / "valley.md") in memory(path, "list", "--documents")
    owner = ("--memory", str(path), "--user", "alice")
    assert run("memory", "list", *owner) == ("", "no notes; 1 document: see them with --documents\n", 0)
    assert run("memory", "list", *owner, "--json") == ('{"items": []}\n', "", 0)
    assert FACT[:40] in memory(path, "search", "lamp", "--documents", "-k", "1")
    raw = (folder / "valley.md").read_bytes()
    (folder / "valley.md").unlink()
    asked = ("ask", QUESTION, "--memory", str(path), "--user", "alice", "--preset", "fast", "--json")
    answer = json.loads(run(*asked).stdout)
    lead = answer["evidence"][0]
    assert answer["answer"] == "Maren Oduya" and lead["source"] == str(folder / "valley.md")
    assert raw[lead["byte_start"] : lead["byte_end"]].decode() == lead["quote"] and lead["status"] == "verified"
    assert "at most" in run(*asked[:-1], "--dry-run").stdout
    assert "has no documents" in run(*asked[:4], "--user", "bob", code=2).stderr
    assert memory(path, "add", "--prune") == "documents: 0 added, 1 dropped\n"
    (folder / "other.md").write_text("Otto Lind mends nets.")
    memory(path, "add", str(folder))
    receipt = json.loads(memory(path, "forget", "--document", str(folder / "other.md"), "--json"))
    assert receipt["documents"] == [str(folder / "other.md")] and receipt["clean"]


def test_the_doctor_tells_sound_from_damaged(store: Path) -> None:
    memory(store, "search", "Lyon")
    said = memory(store, "doctor")
    assert "memory of alice: 3 passages" in said and said.endswith("all is sound\n")
    raw = store.read_bytes()
    at = raw.rindex(b"My dentist")
    store.write_bytes(raw[:at] + b"X" + raw[at + 1 :])
    done = run("memory", "doctor", "--memory", str(store), code=1)
    assert "wrong: " in done.stdout and "--repair" in done.stdout
    assert "me.ctxproc.salvaged" in run("memory", "doctor", "--repair", "--memory", str(store), code=1).stdout
    saved = store.with_name("me.ctxproc.salvaged")
    assert [item["id"] for item in json.loads(memory(saved, "list", "--json"))["items"]] == [1, 2]
    assert "ctxproc memory doctor" in memory(store, "list", code=1)


def test_a_file_that_is_no_memory_is_told_as_such_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("The ferry leaves at seven.\n" * 99)
    for command in (("list",), ("add", "--note", "x")):
        said = memory(text, *command, code=1)
        assert said.startswith(f"ctxproc: {text} is no memory of ctxproc") and "is damaged (" not in said
    assert f"{text} is no memory of ctxproc" in run("memory", "doctor", "--memory", str(text), code=1).stdout
    assert text.read_text() == "The ferry leaves at seven.\n" * 99
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_reembedding_needs_something_to_embed(store: Path) -> None:
    assert memory(store, "reembed", "--user", "nobody") == "there is nothing to embed\n"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("list", "--memory", "nowhere"), 2, "there is no memory file nowhere"),
        (("list",), 2, "--memory"),
        (("list", "--memory", "."), 1, "folder"),
        (("list", "--memory", "{store}", "--user", " "), 2, "name the user"),
        (("show", "99", "--memory", "{store}"), 2, "has no note 99"),
        (("show", "x", "--memory", "{store}"), 2, "not a valid integer"),
        (("show", "-1", "--memory", "{store}"), 2, "No such option"),
        (("forget", "--memory", "{store}"), 2, "say what to forget"),
        (("forget", "a", "--id", "1", "--memory", "{store}"), 2, "say what to forget"),
        (("forget", " ", "--memory", "{store}"), 2, "the text is empty"),
        (("add", "--memory", "{store}"), 2, "name the SOURCEs"),
        (("add", "x", "--note", "y", "--memory", "{store}"), 2, "name the SOURCEs"),
        (("add", "nowhere.txt", "--memory", "{store}"), 2, "nowhere.txt"),
        (("add", "--note", " ", "--memory", "{store}"), 2, "the text is empty"),
        (("search", "", "--memory", "{store}"), 2, "the query is empty"),
        (("search", "a", "--memory", "{store}", "--set", "retrieval.search=[nonesuch]"), 2, "bm25"),
        (("revert", "99", "--memory", "{store}"), 2, "there is no change 99"),
        (("import", "nowhere", "--memory", "{store}"), 2, "cannot read nowhere"),
        (("export", ".", "--memory", "{store}"), 2, "is there already"),
        (("doctor", "--memory", "nowhere"), 2, "there is no memory file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(store: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    filled = [argument.replace("{store}", str(store)) for argument in arguments]
    if "--user" not in filled:
        filled += ["--user", "alice"]
    said = run("memory", *filled, code=code).stderr
    assert says in said and len(said.strip().splitlines()) <= 4
    assert [item["id"] for item in json.loads(memory(store, "list", "--json"))["items"]] == [1, 2, 3]


@pytest.mark.parametrize("path", [path for path in PATHS if "\0" not in path], ids=repr)
def test_a_path_that_cannot_be_is_refused_by_every_command(
    store: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(store.parent)
    before = sorted(store.parent.rglob("*"))
    for command in ("list", "search x", "show 1", "edit 1 x", "forget x", "log", "diff 1", "add --note x", "reembed"):
        done = run("memory", *command.split(), "--memory", path, "--user", "alice", code=None)
        assert done.code in (1, 2) and len(done.stderr.strip().splitlines()) <= 4
    for command in ("export", "import", "add") if path not in (".", "/") else ("export", "import"):
        done = run("memory", command, path, "--memory", str(store), "--user", "alice", code=None)
        assert done.code in (1, 2), done
    assert run("memory", "doctor", "--memory", path, code=None).code == 2
    assert sorted(store.parent.rglob("*")) == before


@pytest.mark.parametrize("number", [n for n in NUMBERS if isinstance(n, (int, str)) and n != "1"], ids=repr)
def test_a_number_that_is_none_is_refused_by_every_command(store: Path, number: object) -> None:
    for command in ("show", "diff", "revert", "log", "edit", "forget --id"):
        words = [*command.split(), "--", str(number)] if command != "forget --id" else ["forget", "--id", str(number)]
        text = ["text"] if command == "edit" else []
        owner = ("--memory", str(store), "--user", "alice")
        done = run("memory", words[0], *owner, *words[1:], *text, code=None)
        assert (done.code == 2 and "Traceback" not in done.stderr) or (command == "log" and done.stdout == "")
    assert [item["id"] for item in json.loads(memory(store, "list", "--json"))["items"]] == [1, 2, 3]


def test_a_note_comes_from_standard_input_and_the_user_is_who_is_logged_in(tmp_path: Path) -> None:
    path = tmp_path / "me.ctxproc"
    words = ("--memory", str(path), "--set", "retrieval.search=[bm25]")
    run("memory", "add", "--note", "-", *words, stdin="Der Leuchtturm\nsteht — dort.\n")
    assert "Der Leuchtturm steht — dort." in memory(path, "list", "--user", getpass.getuser())


def test_an_interrupted_command_says_so(store: Path) -> None:
    with patch("ctxproc.cli.memory.opened", side_effect=KeyboardInterrupt):
        done = run("memory", "list", "--memory", str(store), code=130)
    assert done.stderr.strip() == "ctxproc: interrupted; what was done is kept: run it again"


def test_it_works_in_processes_of_their_own(tmp_path: Path) -> None:
    words = ("--memory", str(tmp_path / "me.ctxproc"), "--user", "alice", "--set", "retrieval.search=[bm25]")
    run_apart("memory", "add", "--note", "The ferry leaves at seven.", *words)
    assert json.loads(run_apart("memory", "search", "ferry", "--json", *words).stdout)["items"][0]["id"] == 1

"""The command line from outside: exit codes, one clear line for an error, nothing but JSON with --json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.cli.terminal import plain

FACT = "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening."
FILLER = "The ferry left late again and the clerk wrote the hour in his book. Salt had come into the granary.\n\n"


def run(*arguments: str, stdin: str = "", code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the program; its exit code is checked."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "ctxproc", *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        env=environment,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "valley.md"
    path.write_bytes((FILLER * 40 + FACT + "\n\n" + FILLER * 40).encode())
    return path


def test_ask_prints_one_object_that_agrees_with_the_file(book: Path) -> None:
    done = run(
        "ask", "Who keeps the lamp at Skerry Point?", str(book), "--json", "--trace", str(book.parent / "t.jsonl")
    )
    answer = json.loads(done.stdout)
    assert done.stderr == ""
    assert answer["answer"] == "Maren Oduya"
    lead = answer["evidence"][0]
    assert lead["status"] == "verified" and FACT in lead["quote"]
    assert book.read_bytes()[lead["byte_start"] : lead["byte_end"]].decode() == lead["quote"]
    for name in (answer["run"], "last", str(book.parent / "t.jsonl")):
        story = run("explain", name).stdout
        assert "Maren Oduya" in story and "selected 8 of" in story and "answer" in story


def test_ask_reads_standard_input_and_prints_for_people(book: Path) -> None:
    done = run("ask", "Who keeps the lamp at Skerry Point?", "-", "--preset", "fast", stdin=book.read_text())
    assert done.stdout.startswith("Maren Oduya\n")
    assert FACT in done.stdout and "verified" in done.stdout
    assert done.stderr == ""


def test_ask_abstains_with_exit_code_0(book: Path) -> None:
    question = "What is the price of tin on Mars?"
    assert json.loads(run("ask", question, str(book), "--json").stdout)["abstained"] is True
    assert run("ask", question, str(book)).stdout.startswith("No answer")


def test_a_choice_a_limit_a_stream_and_a_replay(book: Path) -> None:
    question = "Who keeps the lamp at Skerry Point?"
    done = run("ask", question, str(book), "--choices", "Gideon Marsh, Maren Oduya", "--max-calls", "2", "--json")
    answer = json.loads(done.stdout)
    assert answer["answer"] == "Maren Oduya" and answer["usage"]["calls"] <= 2
    assert run("explain", answer["run"], "--replay").stdout == done.stdout
    streamed = run("ask", question, str(book), "--stream", "--resume", "last", "--choices", "Gideon Marsh, Maren Oduya")
    assert streamed.stdout.startswith("Maren Oduya\n") and "verified" in streamed.stdout
    stopped = run("ask", question, str(book), "--max-calls", "0")
    assert stopped.stdout.startswith("No answer: nothing that was read") and "limits.calls 0 reached" in stopped.stderr


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--choices", "a,a"), 2, "all different"),
        (("--choices", "a,b", "--summarise"), 2, "exclude each other"),
        (("--schema", "nowhere.json"), 2, "cannot read the schema nowhere.json"),
        (("--schema", "{"), 2, "not JSON"),
        (("--schema", "{}"), 1, "name a model that writes"),
        (("--summarise",), 1, "name a model that writes"),
        (("--stream", "--json"), 2, "leave out --json"),
        (("--resume", "nonesuch"), 2, "no run"),
        (("--max-calls", "-1"), 2, "-1"),
        (("--strategy", "nbce"), 1, "shows its logits"),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_a_line(book: Path, options: tuple[str, ...], code: int, says: str) -> None:
    done = run("ask", "Who keeps the lamp?", str(book), "--preset", "fast", *options, code=code)
    assert says in " ".join(done.stderr.split()) and done.stdout == ""


def test_dry_run_loads_no_weights(book: Path) -> None:
    code = (
        "import sys; from ctxproc.cli.main import cli;"
        f"cli.main(['ask', 'Who?', {str(book)!r}, '--dry-run', '--json'], standalone_mode=False);"
        "loaded = {'ctxproc.llm.reader', 'sentence_transformers'} & sys.modules.keys();"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["plan"]["calls"] == 8


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("ask", "Who?", "nowhere.txt"), 2, "nowhere.txt"),
        (("ask", "", "BOOK"), 2, "the question is empty"),
        (("ask", "Who \udcff?", "BOOK"), 2, "the question holds bytes that are not UTF-8"),
        (("ask", "Who?"), 2, "no source"),
        (("ask", "Who?", "EMPTY"), 2, "empty"),
        (("ask", "Who?", "BINARY"), 2, "noise.pdf"),
        (("ask", "Who?", "BOOK", "--strategy", "nonesuch"), 2, "map_rerank"),
        (("ask", "Who?", "BOOK", "--set", "retrieval.nonesuch=1"), 2, "retrieval.nonesuch"),
        (("ask", "Who?", "BOOK", "--set", "retrieval.search=[nonesuch]"), 2, "bm25"),
        (("ask", "Who?", "BOOK", "--model", "FOLDER/no-model"), 1, "no-model"),
        (("ask", "Who?", "BOOK", "--config", "nowhere.yaml"), 2, "nowhere.yaml"),
        (("ask", "Who?", "BOOK", "--preset", "slow"), 2, "balanced"),
        (("ask", "why " * 600, "BOOK"), 1, "window of 512"),
        (("explain", "nonesuch"), 2, "no run"),
        (("ask", "Who?", "BOOK", "--set", "retrieval.search=bm25"), 2, "such as [bm25]"),
        (("ask", "Who?", "BOOK", "--model", ""), 2, "model: a text that is not empty is wanted"),
        (("ask", "Who?", "BOOK", "--model", "FOLDER"), 1, "holds neither config.json nor a .gguf file"),
        (("ask", "Who?", "BOOK", "--model", "builtin:nonesuch"), 1, "built in are builtin and builtin:causal"),
        (("ask", "Who?", "BOOK", "--device", "gpu"), 2, "device 'gpu' cannot be had on this machine"),
        (("ask", "Who?", "BOOK", "--trace", "BOOK"), 2, "is there and is no trace: name another file"),
        (("ask", "Who?", "BOOK", "--threads", "0"), 2, "(see `ctxproc ask --help`)"),
        (("ask",), 2, "Missing argument 'QUESTION' (see `ctxproc ask --help`)"),
        (("memory", "serach"), 2, "No such command 'serach'. Did you mean 'search'? (see `ctxproc memory --help`)"),
        (("help", "nonesuch"), 2, "No such command 'nonesuch' (see `ctxproc --help`)"),
        (("nonesuch",), 2, "No such command"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(book: Path, arguments: tuple[str, ...], code: int, says: str) -> None:
    empty, binary = book.parent / "empty.txt", book.parent / "noise.pdf"
    empty.write_bytes(b"")
    binary.write_bytes(bytes(range(256)) * 64)
    names = {"BOOK": str(book), "EMPTY": str(empty), "BINARY": str(binary)}
    done = run(*(names.get(a, a).replace("FOLDER", str(book.parent)) for a in arguments), code=code)
    assert says in done.stderr and done.stdout == ""
    assert done.stderr.startswith("ctxproc: ") and len(done.stderr.strip().splitlines()) == 1
    assert book.read_text(encoding="utf-8").startswith(FILLER)


def test_help_is_what_the_option_gives() -> None:
    assert run("help").stdout == run("--help").stdout
    assert run("help", "memory", "add").stdout == run("memory", "add", "--help").stdout
    alone = run("memory", code=2)
    assert alone.stdout == "" and alone.stderr.startswith("Usage: ctxproc memory ")


def test_an_interrupted_run_says_what_is_kept_only_where_something_is() -> None:
    code = (
        "import ctxproc.cli.main as program, click;"
        "program.cli.add_command(click.Command('stop', callback=lambda: (_ for _ in ()).throw({})));"
        "program.main(['stop'])"
    )
    for raised, says in (("KeyboardInterrupt", ""), ("click.Abort('; kept as r1')", "; kept as r1")):
        command = [sys.executable, "-c", code.format(raised)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr.strip()) == (130, f"ctxproc: interrupted{says}")


def test_debug_shows_the_traceback(book: Path) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "ctxproc", "ask", "", str(book), "--debug"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode != 0 and "Traceback" in done.stderr


def test_config_shows_every_value_and_its_origin() -> None:
    shown = run("config", "show", "--preset", "fast", "--set", "chunk.tokens=99").stdout
    assert "chunk.tokens: 99" in shown and "# --set chunk.tokens=99" in shown
    assert "# preset fast" in shown and "# default" in shown
    values = json.loads(run("config", "show", "--json").stdout)
    assert values["model"] == {"value": "builtin", "origin": "default"}
    assert json.loads(run("config", "schema").stdout)["properties"]["model"]["default"] == "builtin"
    assert run("config", "presets").stdout.split()[0] == "fast"


def test_the_catalogues_list_what_can_be_named() -> None:
    assert {"stuff", "map_rerank", "map_reduce"} <= set(run("strategies").stdout.split())
    assert {"cosine", "bm25"} <= set(run("criteria").stdout.split())
    assert "builtin" in run("models").stdout
    assert "{question}" in run("explain", "map_reduce").stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("a\rb\x00\x9b31mc\u202ed", "ab31mcd"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
    ],
)
def test_terminal_escapes_are_stripped(text: str, shown: str) -> None:
    assert plain(text) == shown


@given(st.text())
def test_nothing_that_steers_a_terminal_is_left(text: str) -> None:
    assert not any(c in "\x1b\x9b\x07\r\u202e" for c in plain(text))

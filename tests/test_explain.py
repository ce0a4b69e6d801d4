"""What ``ctxproc explain`` tells of a run, and how an interrupted one is named."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ctxproc import Library, Prompt, ScriptedLLM, resolve
from ctxproc.cli.ask import resumable
from ctxproc.cli.explain import find, places, told
from ctxproc.cli.main import cli
from ctxproc.errors import UsageError
from ctxproc.trace import Noted, Started, read, written

QUESTION = "Who keeps the lamp?"
ONE = "The lamp is dark.  \n\n"


def asked(source: Path, folder: Path, text: str = "NOT FOUND", **flags: object) -> str:
    """The id of a run whose trace is kept in a folder."""
    flags = {"retrieval": {"search": []}, "strategy": "map_reduce", "cache": {"folder": str(folder)}, **flags}
    return Library([source], resolve(flags=flags)[0], llm=ScriptedLLM([text])).ask(QUESTION).run


def explained(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["explain", *arguments])


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("The lamp is kept by Maren.")
    return path


def test_a_run_of_another_cache_folder_is_found_by_the_settings_it_had(
    book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    run = asked(book, tmp_path / "kept")
    config = tmp_path / "own.yaml"
    config.write_text(f"cache: {{folder: {tmp_path / 'kept'}}}")
    for options in (["--set", f"cache.folder={tmp_path / 'kept'}"], ["--config", str(config)]):
        for name in (run, "last"):
            assert f"run {run}: {QUESTION!r}" in explained(name, *options).output
    assert isinstance(explained(run).exception, UsageError)


def test_the_last_run_is_the_latest_of_one_second(book: Path, tmp_path: Path) -> None:
    runs = [asked(book, tmp_path / "kept") for _ in range(3)]
    chosen, _ = resolve(flags={"cache": {"folder": str(tmp_path / "kept")}})
    assert find("last", chosen).stem == runs[-1]


def test_every_place_of_a_text_that_stands_in_several_is_named(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(ONE * 2 + "Salt came.")
    run = asked(source, tmp_path / "kept", chunk={"tokens": 8})
    trace = tmp_path / "kept" / "runs" / f"{run}.jsonl"
    place = places(read(trace))
    assert place(ONE) == f"{source} 0 to 21 or {source} 21 to 42"
    assert place("Salt came.") == f"{source} 42 to 52"
    assert place("a") == f"{source} 5 to 6 or {source} 13 to 14 or {source} 26 to 27 or elsewhere"
    assert place("nothing of it") == place("") == ""
    source.write_text(ONE)
    assert places(read(trace))(ONE) == ""


OLD = [
    {"event": "Started", "run": "r", "question": "Who?", "strategy": "stuff", "model": "builtin", "settings": {}},
    {"event": "Selected", "chunks": [["memo.txt", 0, 9, 0.5]], "of": 1},
    {"event": "Called", "step": "answer", "segments": [["context", "context", "abc"]], "text": "Ann",
     "prompt_tokens": 7, "new_tokens": 1, "reused_tokens": 0},
    {"event": "Decoded", "step": "answer", "windows": [[["task", None, "abc"]]], "merge": "NBCE()", "text": "Ben",
     "tokens": [["Ben", -1.0]], "weights": [[1.0]], "entropies": [],
     "prompt_tokens": 7, "new_tokens": 1, "reused_tokens": 0},
    {"event": "Answered", "answer": {"answer": "Ann", "abstained": False, "evidence": [], "usage": {}}},
]  # fmt: skip


def test_a_trace_of_an_older_version_is_told(tmp_path: Path) -> None:
    trace = tmp_path / "old.jsonl"
    trace.write_text("".join(json.dumps(event) + "\n" for event in OLD))
    story = told(trace)
    assert story[0] == "run r: 'Who?' (answer) by stuff on builtin"
    assert "--- answer, 7 tokens, 0 reused (full), 0.00 s" in story
    assert [line for line in story if "=>" in line] == ["  => 'Ann'", "  => 'Ben' by NBCE()"]
    assert story[-2:] == ["answer: 'Ann'", "usage: {}"]


@pytest.mark.parametrize(
    "event",
    [
        {"event": "Called"},
        {**OLD[2], "segments": 5},
        {**OLD[2], "confidence": "high"},
        {**OLD[1], "chunks": [["memo.txt"]]},
        {**OLD[0], "task": None},
        {**OLD[0], "sources": [1]},
        {"event": "Answered", "answer": {}},
    ],
    ids=str,
)
def test_a_trace_of_another_form_is_said_in_a_line(tmp_path: Path, event: dict[str, object]) -> None:
    trace = tmp_path / "odd.jsonl"
    trace.write_text(json.dumps(event) + "\n")
    with pytest.raises(UsageError, match="made by another version"):
        told(trace)


def test_a_confidence_is_told_of_one_window_and_of_several(tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    trace.write_text("".join(json.dumps({**event, "confidence": 0.25}) + "\n" for event in OLD[2:4]))
    assert [line for line in told(trace) if "=>" in line] == [
        "  => 'Ann' (confidence 0.250)",
        "  => 'Ben' by NBCE() (confidence 0.250)",
    ]


def test_text_that_is_no_utf_8_can_be_printed(tmp_path: Path) -> None:
    trace = tmp_path / "run.jsonl"
    with written(trace) as listener:
        listener(Noted("Who \udcff"))
    assert told(trace) == ["note: Who ?"]


def started(run: str) -> Started:
    return Started(run, QUESTION, "stuff", "scripted", {})


@pytest.mark.parametrize(
    ("runs", "trace_file", "begun", "says"),
    [
        (9, None, True, "; what was done is kept: run it again with --resume r1"),
        (9, Path("t.jsonl"), True, "; what was done is kept: run it again with --resume r1"),
        (0, Path("a b.jsonl"), True, "; what was done is kept: run it again with --resume 'a b.jsonl'"),
        (0, None, True, ""),
        (9, None, False, ""),
    ],
)
def test_an_interrupted_run_is_named_where_something_of_it_is_kept(
    runs: int, trace_file: Path | None, begun: bool, says: str
) -> None:
    chosen, _ = resolve(flags={"cache": {"runs": runs}})
    with pytest.raises(click.Abort) as error, resumable(chosen, trace_file) as listener:
        listener(Noted("reading"))
        if begun:
            listener(started("r1"))
        raise KeyboardInterrupt
    assert str(error.value) == says


def test_an_interrupted_run_is_gone_on_with_by_its_name(book: Path, tmp_path: Path) -> None:
    def interrupted(_: Prompt) -> str:
        raise KeyboardInterrupt

    chosen, _ = resolve(flags={"strategy": "stuff", "retrieval": {"search": []}, "cache": {"folder": str(tmp_path)}})
    with pytest.raises(click.Abort) as error, resumable(chosen, None) as listener:
        Library([book], chosen, llm=ScriptedLLM(interrupted), listeners=[listener]).ask(QUESTION)
    run = str(error.value).split()[-1]
    assert read(find(run, chosen))[0]["run"] == run

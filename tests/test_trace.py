"""Trace files hold every event of a run but progress, one JSON object a line, for their owner only."""

from __future__ import annotations

import json
import re
import stat
import time
from pathlib import Path

import pytest

from ctxproc.errors import UsageError
from ctxproc.trace import RUN, Noted, Progress, Scored, Selected, Trace, new_run, read, to_json, written


def test_events_reach_every_listener_in_order() -> None:
    one: list[object] = []
    two: list[object] = []
    trace = Trace(listeners=[one.append, two.append])
    trace.emit(Noted("a"))
    trace.progress("embed")(3, 7)
    assert one == two == [Noted("a"), Progress("embed", 3, 7)]


def test_a_trace_file_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.jsonl"
    events = [
        Noted("Zürich “\u2028”\n"),
        Selected((("a.txt", 0, 3, 0.5),), 9),
        Scored("s", (("task", None, "x"),), "y", -1.5, 2),
    ]
    with written(path) as listener:
        listener(Progress("embed", 1, 2))
        for event in events:
            listener(event)
            assert path.read_text(encoding="utf-8").endswith(to_json(event) + "\n")
    assert read(path) == [json.loads(to_json(event)) for event in events]
    assert [event["event"] for event in read(path)] == ["Noted", "Selected", "Scored"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_trace_is_written_over_and_anything_else_is_not(tmp_path: Path) -> None:
    path, book = tmp_path / "run.jsonl", tmp_path / "book.txt"
    path.touch()
    book.write_text("The keeper is Ada.", encoding="utf-8")
    for text in ("first", "second"):
        with written(path) as listener:
            listener(Noted(text))
    assert read(path) == [{"event": "Noted", "text": "second"}]
    with pytest.raises(UsageError, match=r"book\.txt is there and is no trace: name another file"), written(book):
        pass
    assert book.read_text(encoding="utf-8") == "The keeper is Ada."


def test_what_is_no_trace_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the trace"):
        read(tmp_path / "none")
    contents = ("", "\n", "{\n", "[1]\n", '{"a": 1}\n', '{"event": ["x"]}\n', "[" * 100_000 + "\n", '{"event": "Noted"')
    for content in contents:
        (tmp_path / "bad").write_text(content)
        with pytest.raises(UsageError, match="is no trace"):
            read(tmp_path / "bad")
    (tmp_path / "bad").write_text('{"event": "Called"}\n')
    with pytest.raises(UsageError, match="made by another version"):
        read(tmp_path / "bad")
    with pytest.raises(UsageError, match="cannot write the trace"), written(tmp_path):
        pass


def test_what_is_no_utf_8_is_read_back_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with written(path) as listener:
        listener(Noted("Who \udcff"))
    assert read(path) == [{"event": "Noted", "text": "Who \udcff"}]
    path.write_bytes(b'{"event": "Noted", "text": "\xff"}\n')
    with pytest.raises(UsageError, match="is no trace"):
        read(path)


def test_a_last_line_that_was_cut_is_left_out_and_any_other_is_not(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    with written(path) as listener:
        listener(Noted("one"))
        listener(Noted("Zürich"))
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        assert [event["text"] for event in read(path)] == ["one"]
    path.write_bytes(whole[: first - 2] + b"\n" + whole[first:])
    with pytest.raises(UsageError, match="is no trace"):
        read(path)


def test_fields_that_an_older_version_did_not_write_have_their_defaults(tmp_path: Path) -> None:
    path = tmp_path / "old.jsonl"
    called = {"step": "s", "segments": [], "text": "x", "prompt_tokens": 1, "new_tokens": 2, "reused_tokens": 0}
    path.write_text(json.dumps({"event": "Called", **called}) + '\n{"event": "Unheard", "a": 1}\n')
    defaults = {"confidence": None, "quote": None, "grade": "full", "finish": "stop", "seconds": 0.0, "way": "generate"}
    assert read(path) == [
        {"event": "Called", **called, **defaults, "tokens": ()},
        {"event": "Unheard", "a": 1},
    ]


def test_run_ids_have_the_form_by_which_traces_are_found_and_removed() -> None:
    assert re.fullmatch(RUN, new_run()) and re.fullmatch(RUN, "20260101-120000-0123abcd")
    assert not re.fullmatch(RUN, "20260101-120000-my-notes")


def test_run_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_run() for _ in range(50)]
    assert len(set(ids)) == 50
    assert [i[:22] for i in ids] == sorted(i[:22] for i in ids)


def test_run_ids_of_one_second_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    began = iter(1_700_000_000_000_000_000 + step * 1_000 for step in range(100))
    monkeypatch.setattr(time, "time_ns", lambda: next(began))
    ids = [new_run() for _ in range(100)]
    assert ids == sorted(ids) and len({i[:15] for i in ids}) == 1

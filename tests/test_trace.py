"""Trace files hold every event of a run but progress, one JSON object a line, for their owner only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from ctxproc.errors import UsageError
from ctxproc.trace import Noted, Progress, Scored, Selected, Trace, new_run, read, to_json, written


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


def test_what_is_no_trace_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot read the trace"):
        read(tmp_path / "none")
    for content in ("{", "[1]", '{"a": 1}'):
        (tmp_path / "bad").write_text(content)
        with pytest.raises(UsageError, match="is no trace"):
            read(tmp_path / "bad")
    with pytest.raises(UsageError, match="cannot write the trace"), written(tmp_path):
        pass


def test_run_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_run() for _ in range(50)]
    assert len(set(ids)) == 50
    assert [i[:15] for i in ids] == sorted(i[:15] for i in ids)

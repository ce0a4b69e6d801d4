"""Export and import: every note comes back as it was; whatever it says is data; a malformed line is named."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import NOTES, memory_of, said, settings_of

from ctxproc.errors import UsageError
from ctxproc.memory import exchange
from ctxproc.memory.base import Note

HEADER = '{"ctxproc": "memory", "version": 1}'
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
FULL = TEXT.filter(str.strip)
VALUES = TEXT | st.integers(-(1 << 62), 1 << 62) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()
HOSTILE = {
    "lc": 1,
    "type": "constructor",
    "__class__": "os.system",
    "__reduce__": "x",
    "py/object": "subprocess.Popen",
    "$ref": "#/",
    "{x.__class__}": "{{7*7}}",
    "'; DROP TABLE passages; --": 1,
}


@settings(max_examples=60, deadline=None)
@given(
    notes=st.lists(
        st.builds(
            Note,
            text=FULL,
            kind=st.sampled_from(["note", "turn", "fact", "summary", "portrait"]),
            time=st.datetimes(min_value=datetime(1900, 1, 1), timezones=st.just(UTC)),
            speaker=TEXT,
            source=TEXT,
            metadata=st.dictionaries(TEXT | st.sampled_from(sorted(HOSTILE)), VALUES, max_size=4),
        ),
        max_size=5,
    )
)
def test_every_note_comes_back_as_it_was(tmp_path_factory: pytest.TempPathFactory, notes: list[Note]) -> None:
    path = tmp_path_factory.mktemp("exchange") / "notes.jsonl"
    assert exchange.write(path, notes) == len(notes)
    assert exchange.read(path) == notes
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_memory_goes_into_another_and_twice_is_once(tmp_path: Path) -> None:
    words = settings_of("retrieval.search=[bm25]")
    old = memory_of(tmp_path / "old", *NOTES, settings=words)
    old.remember("Hostile", metadata=HOSTILE, speaker="\x1b[2J", source="../../etc/passwd")
    assert old.export(tmp_path / "notes.jsonl") == 6
    new = memory_of(tmp_path / "new", NOTES[0], settings=words, user="bob")
    assert len(new.import_(tmp_path / "notes.jsonl")) == 6
    assert new.import_(tmp_path / "notes.jsonl") == [] and old.import_(tmp_path / "notes.jsonl") == []
    kept = {(i.text, i.kind, i.time, i.speaker, i.source, json.dumps(dict(i.metadata))) for i in old.items()}
    assert kept < {(i.text, i.kind, i.time, i.speaker, i.source, json.dumps(dict(i.metadata))) for i in new.items()}
    assert dict(new.recall("Hostile", 1)[0].metadata) == HOSTILE
    assert [str(item) for item in new.recall("dentist", 1)] == [NOTES[1]]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], None),
        (["{}"], "first line"),
        (['{"ctxproc": "memory", "version": 2}'], "version 2"),
        (["not JSON"], "line 1: is not JSON"),
        ([HEADER, "[1]"], "line 2: is not an object"),
        ([HEADER, '{"text": "good"}', '{"text": 1}'], "line 3: 'text' is unknown or of another type"),
        ([HEADER, '{"text": "x", "id": 1}'], "line 2: 'id' is unknown"),
        ([HEADER, '{"text": " "}'], "line 2: there is nothing to remember"),
        ([HEADER, '{"text": "x", "time": "yesterday"}'], "line 2: Invalid isoformat"),
        ([HEADER, '{"text": "x", "time": "2020-01-01T00:00:00"}'], "line 2: the time of a note needs its zone"),
        (
            [HEADER, '{"text": "x", "time": "0001-01-01T00:00:00+14:00"}'],
            "line 2: the time 0001-01-01T00:00:00+14:00 is",
        ),
        ([HEADER, '{"text": "x", "time": "9999-12-31T23:59:59-14:00"}'], "outside of the years 1 to 9999"),
        ([HEADER, '{"text": "x", "metadata": {"a": {"b": 1}}}'], "line 2: metadata are names with single values"),
        ([HEADER, '{"text": "x", "metadata": {"a": NaN}}'], "line 2: is not JSON: NaN is no number"),
        ([HEADER, '{"text": "x", "kind": "chunk"}'], "line 2: no kind of note"),
        ([HEADER, '{"text": "\\ud800"}'], "line 2: the text holds a lone surrogate"),
        ([HEADER, "[" * 100_000], "line 2: is not JSON"),
        ([HEADER, '{"text": "x"}', "x" * 100], "line 3: is longer than 60"),
    ],
)
def test_a_malformed_line_is_named_and_nothing_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: list[str], says: str | None
) -> None:
    if says and "longer" in says:
        monkeypatch.setattr(exchange, "LONGEST_LINE", 60)
    path = tmp_path / "notes.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    memory = memory_of(tmp_path, NOTES[0])
    if says is None:
        assert memory.import_(path) == []
        return
    with pytest.raises(UsageError) as error:
        memory.import_(path)
    assert says in str(error.value) and len(str(error.value)) < 500 and "\n" not in str(error.value)
    assert said(memory) == [NOTES[0]]


def test_no_file_is_written_over_and_what_fails_leaves_nothing(tmp_path: Path) -> None:
    memory = memory_of(tmp_path / "m", NOTES[0])
    there = tmp_path / "there"
    there.write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        memory.export(there)

    def broken() -> list[Note]:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        exchange.write(tmp_path / "new", (note for _ in range(1) for note in broken()))
    assert there.read_text() == "precious" and sorted(p.name for p in tmp_path.iterdir()) == ["m", "there"]


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_bytes(HEADER.encode() + b'\n{"text": "\xff\xfe"}\n')
    with pytest.raises(UsageError, match="not UTF-8"):
        memory_of(tmp_path).import_(path)
    with pytest.raises(UsageError, match="No such file"):
        memory_of(tmp_path).import_(tmp_path / "nowhere")

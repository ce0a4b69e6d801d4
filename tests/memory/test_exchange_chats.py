"""Chats of other programs come in as they were shown, once; what is missing is passed over, what is hostile is refused."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memories import memory_of, settings_of

from ctxproc import Memory
from ctxproc.errors import UsageError
from ctxproc.memory.exchange_chats import is_chats, said_in, take_in, turns

AT = datetime(2026, 5, 1, 9, 0, tzinfo=UTC)
WORDS = settings_of("retrieval.search=[bm25]")


def node(
    name: str, parent: str | None, role: str = "user", text: str = "", minute: int | None = 0, **more: object
) -> dict[str, Any]:
    """A node of ChatGPT's mapping."""
    content = more.pop("content", {"content_type": "text", "parts": [text]})
    time = None if minute is None else (AT + timedelta(minutes=minute)).timestamp()
    message = {"id": f"m-{name}", "author": {"role": role}, "create_time": time, "content": content, **more}
    return {"id": name, "parent": parent, "children": [], "message": message}


TWO_PARTS = {"content_type": "text", "parts": ["Lyon has", "two rivers."]}
PHOTO = {"content_type": "multimodal_text", "parts": [{"asset": "x"}, "Here is a photo."]}
CHATGPT: dict[str, Any] = {
    "title": "Moving",
    "create_time": AT.timestamp(),
    "conversation_id": "conv-1",
    "current_node": "f",
    "mapping": {
        "root": {"id": "root", "parent": None, "children": ["s"], "message": None},
        "s": node("s", "root", "system", "You are helpful."),
        "a": node("a", "s", "user", "I live in Paris.", 1),
        "b": node("b", "a", "assistant", "Lovely!", 2),
        "a2": node("a2", "s", "user", "I live in Lyon.", 3),
        "h": node("h", "a2", "user", "custom instructions", 3, metadata={"is_visually_hidden_from_conversation": True}),
        "c": node("c", "h", "assistant", "search('Lyon')", 4, recipient="browser"),
        "d": node("d", "c", "tool", "Lyon is a city.", 5),
        "t": node("t", "d", "assistant", minute=5, content={"content_type": "thoughts", "thoughts": []}),
        "e": node("e", "t", "assistant", minute=None, content=TWO_PARTS),
        "f": node("f", "e", minute=7, content=PHOTO),
    },
}  # fmt: skip
CLAUDE: dict[str, Any] = {
    "uuid": "conv-2",
    "name": "Ferries",
    "created_at": "2026-05-02T10:00:00.123456Z",
    "chat_messages": [
        {"uuid": "u1", "sender": "human", "text": "When does the ferry leave?", "created_at": "2026-05-02T10:00:01Z"},
        {
            "uuid": "u2",
            "sender": "assistant",
            "text": "old form",
            "content": [{"type": "tool_use", "text": "no"}, {"type": "text", "text": "At seven."}],
            "created_at": "2026-05-02T12:00:02+02:00",
        },
        {"uuid": "u3", "sender": "human", "text": "", "content": [], "created_at": "x"},
    ],
}
SHOWN = [
    ("user", "alice", "I live in Lyon.", AT + timedelta(minutes=3)),
    ("assistant", "assistant", "Lyon has\ntwo rivers.", AT + timedelta(minutes=3)),
    ("user", "alice", "Here is a photo.", AT + timedelta(minutes=7)),
]
FERRIES = [
    ("user", "alice", "When does the ferry leave?", datetime(2026, 5, 2, 10, 0, 1, tzinfo=UTC)),
    ("assistant", "assistant", "At seven.", datetime(2026, 5, 2, 10, 0, 2, tzinfo=UTC)),
]


def told(memory: Memory, session: str) -> list[tuple[object, ...]]:
    return [
        (item.metadata["role"], item.speaker, item.text, item.time)
        for item in memory.items()
        if item.metadata["session"] == session
    ]


def written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def zipped(path: Path, parts: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_the_path_that_was_shown_comes_in_with_time_role_and_session(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=WORDS)
    taken = take_in(memory, written(tmp_path / "conversations.json", [CHATGPT, CLAUDE]))
    assert (len(taken.turns), taken.conversations, taken.lost) == (5, 2, 0)
    assert told(memory, "conv-1") == SHOWN and told(memory, "conv-2") == FERRIES
    [first, *_] = memory.items()
    assert (first.kind, first.source, first.metadata["title"]) == ("turn", "chat/conv-1", "Moving")


def test_twice_is_once_and_only_what_is_new_is_added(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=WORDS)
    path = written(tmp_path / "conversations.json", [CHATGPT, CLAUDE])
    assert len(take_in(memory, path).turns) == 5 and take_in(memory, path).turns == ()
    more = {**CHATGPT, "title": "Renamed", "current_node": "g"}
    more["mapping"] = {**CHATGPT["mapping"], "g": node("g", "f", "assistant", "A fine photo.", 8)}
    [new] = take_in(memory, written(path, [more])).turns
    assert memory.get(new).text == "A fine photo." and memory.count == 6


def test_a_zip_file_is_read_wherever_the_conversations_lie_in_it(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=WORDS)
    parts = {
        "user.json": b"{}",
        "deep/conversations-000.json": json.dumps([CHATGPT]).encode(),
        "deep/conversations-001.json": json.dumps([CLAUDE]).encode(),
        "shared_conversations.json": b"[}",
        "../../evil.json": b"x",
    }
    assert take_in(memory, zipped(tmp_path / "export.zip", parts)).conversations == 2
    assert told(memory, "conv-1") == SHOWN and told(memory, "conv-2") == FERRIES
    assert sorted(one.name for one in tmp_path.iterdir() if not one.name.startswith("me.ctxproc")) == ["export.zip"]


def test_the_branch_of_claude_that_was_shown_last_is_taken_where_it_is_named() -> None:
    messages = [
        {"uuid": "1", "sender": "human", "text": "one", "parent_message_uuid": "0"},
        {"uuid": "2", "sender": "assistant", "text": "two", "parent_message_uuid": "1"},
        {"uuid": "3", "sender": "assistant", "text": "another two", "parent_message_uuid": "1"},
        {"uuid": "4", "sender": "human", "text": "three", "parent_message_uuid": "3"},
    ]
    shown, _ = said_in({"chat_messages": messages, "current_leaf_message_uuid": "4"})
    assert [one.text for one in shown] == ["one", "another two", "three"]
    every, _ = said_in({"chat_messages": messages})
    assert [one.text for one in every] == ["one", "two", "another two", "three"]


def test_without_a_current_node_the_branch_that_was_written_last_is_taken_and_rings_end() -> None:
    shown, _ = said_in({key: value for key, value in CHATGPT.items() if key != "current_node"})
    assert [one.text for one in shown] == [text for _, _, text, _ in SHOWN]
    ring = {"a": node("a", "b", text="one"), "b": node("b", "a", "assistant", "two", 1)}
    assert [one.text for one in said_in({"mapping": ring, "current_node": "b"})[0]] == ["one", "two"]


def test_what_is_missing_is_passed_over(tmp_path: Path) -> None:
    path = written(
        tmp_path / "c.json",
        [
            {"mapping": {"a": node("a", None, text="No title, no id, no time.", minute=None)}},
            {"mapping": {}, "current_node": None},
            {"mapping": None},
            {
                "chat_messages": [
                    None,
                    {"sender": "human"},
                    {"sender": "human", "text": "Hm\0\ud800", "created_at": 1e300},
                ]
            },
            "nothing",
        ],
    )
    memory = memory_of(tmp_path, settings=WORDS)
    taken = take_in(memory, path)
    assert [item.text for item in memory.items()] == ["No title, no id, no time.", "Hm\ufffd?"]
    assert {item.time for item in memory.items()} == {datetime(1970, 1, 1, tzinfo=UTC)}
    assert (taken.conversations, taken.lost) == (4, 2) and take_in(memory, path).turns == ()


NAMES = (
    "mapping current_node message author role content parts parent id create_time chat_messages sender text uuid a"
).split()
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from(["user", "text", "a"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("odd", [None, {}, [], 1.5, "x"])
@pytest.mark.parametrize("name", ["content_type", "recipient", "metadata", "author", "parts", "type", "sender", "uuid"])
def test_a_value_of_another_kind_raises_nowhere(name: str, odd: object) -> None:
    def changed(value: Any) -> Any:  # noqa: ANN401 (JSON)
        if isinstance(value, dict):
            return {key: odd if key == name else changed(one) for key, one in value.items()}
        return [changed(one) for one in value] if isinstance(value, list) else value

    for conversation in (CHATGPT, CLAUDE):
        messages, _ = said_in(changed(conversation))
        assert all(note.text.strip() for note in turns(changed(conversation), messages, "alice"))


@settings(max_examples=150, deadline=None)
@given(conversation=st.dictionaries(st.sampled_from(["mapping", "chat_messages", "current_node", "title", "id"]), JSON))
def test_no_form_of_a_conversation_raises(conversation: dict[str, Any]) -> None:
    messages, lost = said_in(conversation)
    assert lost >= 0 and all(note.text.strip() for note in turns(conversation, messages, "alice"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2]", "no conversations"),
        (b'[{"mapping": {}}, NaN]', "NaN is no number"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe[]", "not JSON"),
        (b"PK\x03\x04 broken", "broken archive"),
    ],
)
def test_what_is_no_export_is_one_clear_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "conversations.json"
    path.write_bytes(content)
    memory = memory_of(tmp_path, settings=WORDS)
    with pytest.raises(UsageError) as error:
        take_in(memory, path)
    assert says in str(error.value) and "\n" not in str(error.value) and memory.count == 0


def test_bombs_and_other_archives_are_refused(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=settings_of("limits.text_bytes=3000000", "limits.archive_entries=3"))
    cases = {
        "archive_ratio": {"conversations.json": b" " * 2_900_000},
        "text_bytes": {"conversations.json": random.Random(0).randbytes(3_000_100)},
        "without conversations.json": {"a.txt": b"x"},
        "archive_entries": {f"{n}.txt": b"x" for n in range(4)},
    }
    for says, parts in cases.items():
        with pytest.raises(UsageError, match=says):
            take_in(memory, zipped(tmp_path / "export.zip", parts))
    (tmp_path / "long.json").write_bytes(b" " * 3_000_001)
    with pytest.raises(UsageError, match="larger than 3,000,000 bytes"):
        take_in(memory, tmp_path / "long.json")
    assert memory.count == 0


def test_a_message_that_is_too_long_is_counted(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, settings=WORDS)
    long = {"uuid": "c", "chat_messages": [{"uuid": "1", "sender": "human", "text": "x" * 1_000_001}]}
    taken = take_in(memory, written(tmp_path / "c.json", [long]))
    assert (taken.turns, taken.lost, memory.count) == ((), 1, 0)


def test_the_form_of_a_file_is_told_by_its_beginning(tmp_path: Path) -> None:
    memory = memory_of(tmp_path, "A note.", settings=WORDS)
    memory.export(tmp_path / "ours.jsonl")
    assert not is_chats(tmp_path / "ours.jsonl")
    for name, content in {
        "list": b" \n[]",
        "bom": b"\xef\xbb\xbf[]",
        "one": b'{"mapping": {}}',
        "zip": b"PK\x03\x04",
    }.items():
        (tmp_path / name).write_bytes(content)
        assert is_chats(tmp_path / name)
    with pytest.raises(UsageError, match="cannot read"):
        is_chats(tmp_path / "nowhere")

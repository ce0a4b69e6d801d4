"""Chats that other programs exported: ``conversations.json`` of ChatGPT and of Claude, plain or inside the .zip they send.

What was said becomes turns with their time, role and session; the user's become the owner's, so that facts may be made of
them. Of a conversation with branches the one that was shown last is taken. Left out are system messages, tools and what was
said to them, hidden messages, pictures and files. Everything in a file is data; whatever is missing or of another form than
expected is passed over, and counted where a message is lost by it.

Both formats are undocumented. ChatGPT: conversations with a ``mapping`` of nodes (id, parent, children, message) and the
``current_node``. Claude: conversations with ``chat_messages`` (sender, text or content, created_at), in order.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn

from ctxproc.errors import UsageError
from ctxproc.formats.archive import BROKEN
from ctxproc.formats.base import MIB
from ctxproc.memory.base import LONGEST_NAME, Note, Value
from ctxproc.memory.exchange import LONGEST_TEXT, shown

if TYPE_CHECKING:
    from ctxproc.config import LimitSettings
    from ctxproc.memory.memory import Memory

Record = Mapping[str, object]

NAME = "conversations"
"""What the files are called, with a number behind it where there are several, and ``.json``."""

UNKNOWN = datetime(1970, 1, 1, tzinfo=UTC)
"""The time of what has none, nor a conversation that has one."""

ROLES: Mapping[str, Literal["user", "assistant"]] = {"user": "user", "human": "user", "assistant": "assistant"}
SPOKEN = frozenset({"text", "multimodal_text"})
"""Kinds of ChatGPT's messages that are said, and not thought, run or looked up."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What was taken in from a file.

    Attributes:
        turns: numbers of the turns that were not there yet.
        conversations: in the file.
        lost: messages that are too long, or whose conversation could not be read.
    """

    turns: tuple[int, ...]
    conversations: int
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a conversation."""

    id: str
    role: Literal["user", "assistant"]
    text: str
    time: datetime | None


def is_chats(path: Path) -> bool:
    """Whether a file is such an export by how it begins: a zip file, a JSON list, or an object that is no memory of ours.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    except (OSError, ValueError) as error:
        raise _unreadable(path, getattr(error, "strerror", None) or str(error)) from error
    return beginning.startswith((b"PK", b"[")) or (beginning.startswith(b"{") and b'"ctxproc"' not in beginning[:64])


def take_in(memory: Memory, path: Path) -> Taken:
    """Remember the turns of an export, all or none; a message that is there already is left out.

    Args:
        memory: of the user whose chats they are.
        path: the .json or .zip; ``limits`` of the memory's settings bound what is read of it.

    Raises:
        UsageError: it cannot be read, is over a limit, or holds no conversations.
    """
    found = [one for content in contents(path, memory.settings.limits) for one in conversations(content, path)]
    notes: list[Note] = []
    there = {_key(item.metadata) for item in memory.items() if item.kind == "turn" and "message" in item.metadata}
    lost = 0
    for conversation in found:
        messages, unread = said_in(conversation)
        lost += unread
        for note in turns(conversation, messages, memory.owner.user):
            key = _key(note.metadata)
            if len(note.text) > LONGEST_TEXT:
                lost += 1
            elif key not in there:
                there.add(key)
                notes.append(note)
    return Taken(tuple(memory.remember_all(notes)), len(found), lost)


def _key(metadata: Mapping[str, Value]) -> tuple[Value | None, ...]:
    """What makes a message the same in two exports."""
    return metadata.get("session"), metadata.get("message")


def contents(path: Path, limits: LimitSettings) -> Iterator[bytes]:
    """The bytes of a JSON file, or of those in a zip file that hold conversations, within the limits.

    Raises:
        UsageError: it cannot be read, is over a limit, or is a zip file without conversations.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                yield from _unpacked(path, limits)
                return
            file.seek(0)
            content = file.read(limits.text_bytes + 1)
    except OSError as error:
        raise _unreadable(path, error.strerror or "it cannot be opened") from error
    if len(content) > limits.text_bytes:
        raise _unreadable(path, f"it is larger than {limits.text_bytes:,} bytes (limits.text_bytes)")
    yield content


def _unpacked(path: Path, limits: LimitSettings) -> Iterator[bytes]:
    """The conversations in a zip file, whatever it claims of their size. Nothing is written anywhere."""
    left = limits.text_bytes
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
            if len(parts) > limits.archive_entries:
                raise _unreadable(path, f"it holds more than {limits.archive_entries:,} files (limits.archive_entries)")
            wanted = sorted((part for part in parts if _holds_chats(part.filename)), key=lambda part: part.filename)
            for part in wanted:
                most = min(left, max(MIB, part.compress_size * limits.archive_ratio))
                with archive.open(part) as stream:
                    content = stream.read(most + 1)
                if len(content) > most:
                    limit = "text_bytes" if most == left else "archive_ratio"
                    raise _unreadable(
                        path, f"{part.filename[:60]!r} unpacks beyond limits.{limit}: do not trust this file"
                    )
                left -= len(content)
                yield content
    except BROKEN as error:
        raise _unreadable(path, f"it is a broken archive ({error})") from error
    if not wanted:
        raise _unreadable(path, f"it is a zip file without {NAME}.json")


def _holds_chats(name: str) -> bool:
    """Whether a part of a zip file is ``conversations.json`` or one of several, such as ``conversations-001.json``."""
    last = name.replace("\\", "/").rpartition("/")[2].lower()
    stem = last.removesuffix(".json")
    return stem != last and stem.rstrip("0123456789-_") == NAME


def conversations(content: bytes, path: Path) -> list[Record]:
    """The conversations of a file.

    Raises:
        UsageError: it is no JSON, or holds none.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no number")

    try:
        read = json.loads(content.decode("utf-8-sig"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise _unreadable(path, f"it is not JSON ({str(error)[:80]})") from None
    if isinstance(read, Mapping):
        read = read.get("conversations", [read])
    listed = read if isinstance(read, list) else []
    found = [one for one in listed if isinstance(one, Mapping) and ("mapping" in one or "chat_messages" in one)]
    if listed and not found:
        raise _unreadable(path, "it holds no conversations of ChatGPT or Claude")
    return found


def said_in(conversation: Record) -> tuple[list[Said], int]:
    """The messages of a conversation in order, and how many could not be read."""
    nodes, listed = conversation.get("mapping"), conversation.get("chat_messages")
    if isinstance(nodes, Mapping):
        return _shown(nodes, conversation.get("current_node"))
    messages = [one for one in listed if isinstance(one, Mapping)] if isinstance(listed, list) else []
    leaf = conversation.get("current_leaf_message_uuid")
    kept = _claude_path(messages, leaf) if isinstance(leaf, str) else messages
    found = [_claude_message(one) for one in kept]
    return [one for one in found if one is not None], (len(listed) - len(messages)) if isinstance(listed, list) else 1


def _shown(nodes: Record, current: object) -> tuple[list[Said], int]:
    """ChatGPT: the path from the root to the current node, or where that is missing, to the node that was made last."""
    if not isinstance(current, str) or current not in nodes:
        times = {name: _time(_part(_part(nodes, name), "message").get("create_time")) or UNKNOWN for name in nodes}
        current = max(times, key=lambda name: times[name], default=None)
    path: list[object] = []
    seen: set[str] = set()
    while isinstance(current, str) and current in nodes and current not in seen:
        seen.add(current)
        path.append(nodes[current])
        current = _part(nodes, current).get("parent")
    found = [_chatgpt_message(_part(node, "message")) for node in reversed(path)]
    return [one for one in found if one is not None], sum(not isinstance(node, Mapping) for node in path)


def _chatgpt_message(message: Record) -> Said | None:
    """A message, if it is one that was said to the other."""
    role = ROLES.get(str(_part(message, "author").get("role")))
    content = _part(message, "content")
    hidden = _part(message, "metadata").get("is_visually_hidden_from_conversation") is True
    if role is None or hidden or message.get("recipient", "all") not in ("all", None):
        return None
    if str(content.get("content_type", "text")) not in SPOKEN:
        return None
    parts = content.get("parts")
    texts: Sequence[object] = parts if isinstance(parts, list) else [content.get("text")]
    return _said(message.get("id"), role, texts, message.get("create_time"))


def _claude_path(messages: list[Record], leaf: str) -> list[Record]:
    """Claude: the messages from the first to this one, where each names the one before it."""
    by_id = {str(one.get("uuid")): one for one in messages}
    path: list[Record] = []
    while leaf in by_id:
        message = by_id.pop(leaf)
        path.append(message)
        leaf = str(message.get("parent_message_uuid"))
    return path[::-1] or messages


def _claude_message(message: Record) -> Said | None:
    """A message, if it is one that was said."""
    role = ROLES.get(str(message.get("sender")))
    content = message.get("content")
    blocks = [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
    texts = [one.get("text") for one in blocks if one.get("type", "text") == "text"]
    if role is None:
        return None
    told: Sequence[object] = [one for one in texts if isinstance(one, str) and one.strip()]
    return _said(message.get("uuid"), role, told or [message.get("text")], message.get("created_at"))


def _said(name: object, role: Literal["user", "assistant"], texts: Sequence[object], time: object) -> Said | None:
    """A message with text, its text such as can be stored."""
    text = "\n".join(one for one in texts if isinstance(one, str)).strip()
    return Said(_storable(name), role, _storable(text), _time(time)) if text else None


def turns(conversation: Record, messages: list[Said], user: str) -> Iterator[Note]:
    """The messages as turns of a session; one without a time has that of the one before, or of the conversation."""
    title = _storable(conversation.get("title") or conversation.get("name"))[:LONGEST_NAME]
    began = _time(conversation.get("create_time")) or _time(conversation.get("created_at"))
    at = began or next((one.time for one in messages if one.time), UNKNOWN)
    names = (conversation.get(name) for name in ("conversation_id", "id", "uuid"))
    session = next((_storable(name) for name in names if isinstance(name, str) and name), "")
    session = (session or f"{title or 'chat'} {at:%Y-%m-%d %H:%M:%S}")[:LONGEST_NAME]
    for place, one in enumerate(messages):
        at = one.time or at
        told: dict[str, Value] = {"role": one.role, "session": session, "message": one.id or str(place)}
        if title:
            told["title"] = title
        yield Note(one.text, "turn", at, user if one.role == "user" else "assistant", f"chat/{session}", told)


def _part(record: object, name: str) -> Record:
    """A part of a record that is a record itself; an empty one where it is missing."""
    part = record.get(name) if isinstance(record, Mapping) else None
    return part if isinstance(part, Mapping) else {}


def _time(value: object) -> datetime | None:
    """A time, as seconds since 1970 or in ISO's form; None where it is none."""
    try:
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return datetime.fromtimestamp(value, UTC)
        if isinstance(value, str):
            read = datetime.fromisoformat(value)
            return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


def _storable(value: object) -> str:
    """A text without what cannot be stored: NUL and halves of characters; of what is no text, nothing."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "\ufffd").encode("utf-8", "replace").decode()


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(
        f"cannot read {shown(path)}: {why}; name a file that `ctxproc memory export`, ChatGPT or Claude wrote"
    )

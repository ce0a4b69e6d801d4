"""The wire format of OpenAI-compatible servers: bodies of requests, and what their answers say. Nothing is sent here.

Answers come from outside. A reader of this module gives what it promises or raises ``ValueError`` with a few words on
what is wrong; it never hands on a value of another type.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ctxproc.errors import ConfigError
from ctxproc.llm.base import Sampling, Token

Api = Literal["chat", "completions"]
PATHS: dict[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
LINE_BYTES = 1 << 20  # of one line of a stream
NAME_CHARACTERS = 1000
TOKEN_CHARACTERS = 256  # more than any token has; a reply of more per token asked for is none
ROUNDING = 1e-3  # by which a log-probability may exceed 0
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said to one prompt, or a part of it.

    Attributes:
        text: what was generated.
        finish: why it ended; None: it goes on.
        prompt_tokens: None where the server does not count.
        new_tokens: as ``prompt_tokens``.
        reused_tokens: of the prompt.
        spelled: the bytes of each generated token and its log-probability in nats; () where the server gives none.
    """

    text: str
    finish: Literal["stop", "length"] | None = "stop"
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    reused_tokens: int = 0
    spelled: tuple[tuple[bytes, float], ...] = ()

    def __add__(self, later: Reply) -> Reply:
        """This part and the next."""
        return Reply(
            self.text + later.text,
            later.finish or self.finish,
            self.prompt_tokens if later.prompt_tokens is None else later.prompt_tokens,
            self.new_tokens if later.new_tokens is None else later.new_tokens,
            later.reused_tokens or self.reused_tokens,
            self.spelled + later.spelled,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """A model of a server's list, and the tokens that it can read, where the list says so."""

    name: str
    window: int | None


def clean(text: str) -> str:
    """``text`` as UTF-8 can hold it."""
    return SURROGATE.sub("\ufffd", text)


def request(api: Api, model: str, text: str, sampling: Sampling, seed: int) -> dict[str, Any]:
    """The body that asks for one reply to ``text``: one user message, or a plain prompt.

    ``top_k`` is no part of the OpenAI interface and only sent when it is not 0; a server that does not know it refuses.

    Raises:
        ConfigError: the constraint is none that servers agree on.
    """
    body: dict[str, Any] = {"model": model}
    if api == "chat":
        body["messages"] = [{"role": "user", "content": clean(text)}]
    else:
        body["prompt"] = clean(text)
    body |= {"max_tokens": sampling.max_new_tokens, "temperature": sampling.temperature, "top_p": sampling.top_p}
    body["seed"] = seed
    if sampling.top_k:
        body["top_k"] = sampling.top_k
    if stop := [string for string in sampling.stop if string]:
        body["stop"] = stop
    if sampling.logprobs:
        body["logprobs"] = True if api == "chat" else 1
    if sampling.constraint is not None:
        if sampling.constraint.json_schema is None:
            raise ConfigError(
                "servers share no way to constrain a reply to choices or to a regular expression: use json_schema, "
                "or a model on this machine"
            )
        schema = json.loads(str(sampling.constraint.json_schema))
        form = {"name": "answer", "strict": True, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": form}
    return body


def at(value: object, *path: str | int) -> Any:  # noqa: ANN401 (a value of any shape)
    """The value at a path of keys and places; None where there is none."""
    for key in path:
        if isinstance(key, str):
            value = value.get(key) if isinstance(value, dict) else None
        else:
            value = value[key] if isinstance(value, list) and key < len(value) else None
    return value


def parse_json(raw: bytes) -> object:
    """The JSON value."""
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise ValueError("it is no JSON") from None


def error_of(reply: object) -> str:
    """The message of an error, in the shapes that servers use; "" where there is none."""
    paths: tuple[tuple[str | int, ...], ...] = (
        ("error", "message"),
        ("error",),
        ("detail",),
        ("detail", 0, "msg"),
        ("message",),
    )
    return next((found for path in paths if isinstance(found := at(reply, *path), str) and found), "")


def parse_models(reply: object) -> list[Served]:
    """The list of models."""
    rows = at(reply, "data")
    names = [at(row, "id") for row in rows] if isinstance(rows, list) else [None]
    if not all(isinstance(name, str) and name.isprintable() and len(name) <= NAME_CHARACTERS for name in names):
        raise ValueError("it is no list of models")
    return [Served(row["id"], count(row.get("max_model_len") or row.get("context_length"))) for row in rows]


def parse_props(reply: object) -> int | None:
    """The tokens that a server of llama.cpp can read."""
    return count(at(reply, "default_generation_settings", "n_ctx"))


def parse_tokens(reply: object) -> list[int]:
    """The tokens that a text was cut into."""
    tokens = at(reply, "tokens")
    if not isinstance(tokens, list) or not all(isinstance(token, int) for token in tokens):
        raise ValueError("it has no tokens")
    return tokens


def parse_reply(api: Api, max_new_tokens: int, reply: object) -> Reply:
    """The first choice."""
    choice = at(reply, "choices", 0)
    if not isinstance(choice, dict):
        raise ValueError(error_of(reply) or "it has no choices")
    holder = at(choice, "message") if api == "chat" else choice
    text = at(holder, "content" if api == "chat" else "text")
    if text is None and api == "chat" and isinstance(holder, dict):
        text = ""  # the tokens went into what the model thinks to itself
    if not isinstance(text, str) or len(text) > max_new_tokens * TOKEN_CHARACTERS:
        raise ValueError("its text is none" if not isinstance(text, str) else "its text is longer than was asked for")
    return _reply(reply, text, "length" if choice.get("finish_reason") == "length" else "stop")


def parse_event(api: Api, event: object) -> Reply:
    """The part of a reply that one event of a stream brings."""
    choices = at(event, "choices")
    if not isinstance(choices, list):
        raise ValueError(error_of(event) or "an event has no choices")
    text = at(choices, 0, "delta", "content") if api == "chat" else at(choices, 0, "text")
    if not isinstance(text, str | None):
        raise ValueError("an event's text is none")
    reason = at(choices, 0, "finish_reason")
    return _reply(event, text or "", None if reason is None else "length" if reason == "length" else "stop")


def _reply(holder: object, text: str, finish: Literal["stop", "length"] | None) -> Reply:
    """A reply whose counts and log-probabilities are those of ``holder``."""
    usage = at(holder, "usage")
    return Reply(
        clean(text),
        finish,
        count(at(usage, "prompt_tokens")),
        count(at(usage, "completion_tokens")),
        count(at(usage, "prompt_tokens_details", "cached_tokens")) or 0,
        _spelled(at(holder, "choices", 0, "logprobs")),
    )


def _spelled(logprobs: object) -> tuple[tuple[bytes, float], ...]:
    """The tokens of a choice's ``logprobs``, in the shape of chat (``content``) or of completions (``tokens``).

    () where they are of no use: the text is good without them.
    """
    rows = at(logprobs, "content")
    if isinstance(rows, list):
        names, values = [at(row, "bytes") or at(row, "token") for row in rows], [at(row, "logprob") for row in rows]
    else:
        names, values = at(logprobs, "tokens") or [], at(logprobs, "token_logprobs") or []
    if not isinstance(names, list) or not isinstance(values, list):
        return ()
    try:
        return tuple((_bytes(name), nats(value)) for name, value in zip(names, values, strict=True))
    except ValueError:
        return ()


def _bytes(name: object) -> bytes:
    """A token's bytes, given as text or as numbers."""
    if isinstance(name, str):
        return clean(name).encode()
    if not isinstance(name, list) or not all(type(byte) is int and 0 <= byte < 256 for byte in name):
        raise ValueError("a token has no text")
    return bytes(name)


def tokens_of(reply: Reply, stop: Sequence[str]) -> tuple[Token, ...]:
    """The tokens of a reply that is cut at the first stop string; () where those that the server gives do not spell it.

    Tokens behind the text, such as the one that ends it, have no text.
    """
    decoder, place, pieces = codecs.getincrementaldecoder("utf-8")("replace"), 0, []
    for raw, _ in reply.spelled:
        piece = decoder.decode(raw)
        if not reply.text.startswith(piece, place):
            if place < len(reply.text):
                return ()
            piece = ""
        place += len(piece)
        pieces.append(piece)
    if place < len(reply.text):
        return ()
    cut = Cut(stop)
    tokens: list[Token] = []
    for piece, (_, logprob) in zip(pieces, reply.spelled, strict=True):
        tokens.append(Token(cut.push(piece), logprob))
        if cut.done:
            break
    if tokens and not cut.done:
        tokens[-1] = Token(tokens[-1].text + cut.close(), tokens[-1].logprob)
    return tuple(tokens)


def nats(value: object) -> float:
    """A log-probability."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not -math.inf < value <= ROUNDING:
        raise ValueError("a log-probability is no number")
    return float(value)


def count(value: object) -> int | None:
    """A number of tokens; None stays None."""
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError("a number of tokens is none")
    return value


class Events:
    """The data of server-sent events, from bytes that may be cut anywhere; an event ends with an empty line."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def push(self, raw: bytes) -> Iterator[bytes]:
        """The data of each event that is complete."""
        *lines, self._rest = (self._rest + raw).split(b"\n")
        if len(self._rest) > LINE_BYTES:
            raise ValueError("a line of the stream has no end")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[len(b"data:") :].strip())
            elif not line and self._data:
                yield b"\n".join(self._data)
                self._data = []


class Cut:
    """A reply's text as it comes, ended before the first stop string; servers differ in whether they leave it out.

    Attributes:
        done: a stop string has come.
    """

    def __init__(self, stop: Sequence[str]) -> None:
        self._stop = [string for string in map(clean, stop) if string]
        self._held = ""  # may turn out to begin a stop string
        self.done = False

    def push(self, text: str) -> str:
        """What is certain after more text."""
        if self.done:
            return ""
        text = self._held + text
        if found := [place for place in map(text.find, self._stop) if place >= 0]:
            self.done, self._held = True, ""
            return text[: min(found)]
        sizes = range(max(map(len, self._stop), default=1) - 1, 0, -1)
        held = next((n for n in sizes if n <= len(text) and any(s.startswith(text[-n:]) for s in self._stop)), 0)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def close(self) -> str:
        """What was held back, when no more comes."""
        held, self._held = self._held, ""
        return held

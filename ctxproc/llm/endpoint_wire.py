"""The wire format of OpenAI-compatible servers: bodies of requests, and what their answers say. Nothing is sent here.

Answers come from outside. A reader of this module gives what it promises or raises ``ValueError`` with a few words on
what is wrong; it never hands on a value of another type.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ctxproc.errors import ConfigError
from ctxproc.llm.base import LogLikelihood, Sampling

Api = Literal["chat", "completions"]
PATHS: dict[Api, str] = {"chat": "/chat/completions", "completions": "/completions"}
LINE_BYTES = 1 << 20  # of one line of a stream
NAME_CHARACTERS = 1000
TOKEN_CHARACTERS = 256  # more than any token has; a reply of more per token asked for is none
ROUNDING = 1e-3  # by which a log-probability may exceed 0
SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server said to one prompt; counts are None where it gave none."""

    text: str
    finish: Literal["stop", "length"] = "stop"
    prompt_tokens: int | None = None
    new_tokens: int | None = None
    reused_tokens: int = 0


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


def echo_request(model: str, prompt: str | list[int]) -> dict[str, Any]:
    """The body that asks for the log-probabilities of ``prompt`` itself; 0 new tokens mean "no limit" to some servers."""
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


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
    usage = at(reply, "usage")
    return Reply(
        clean(text),
        "length" if choice.get("finish_reason") == "length" else "stop",
        count(at(usage, "prompt_tokens")),
        count(at(usage, "completion_tokens")),
        count(at(usage, "prompt_tokens_details", "cached_tokens")) or 0,
    )


def parse_event(api: Api, event: object) -> tuple[str, bool]:
    """The text of one event of a stream, and whether it is the last with any."""
    choices = at(event, "choices")
    if not isinstance(choices, list):
        raise ValueError(error_of(event) or "an event has no choices")
    text = at(choices, 0, "delta", "content") if api == "chat" else at(choices, 0, "text")
    if not isinstance(text, str | None):
        raise ValueError("an event's text is none")
    return clean(text or ""), at(choices, 0, "finish_reason") is not None


def parse_echo(continuation: str, reply: object) -> LogLikelihood:
    """The log p(continuation | what precedes it) of an echoed text that ends with it."""
    tokens, values = _echoed(reply)
    rest, n = clean(continuation), 0
    for token in reversed(tokens):
        if not rest:
            break
        if not isinstance(token, str) or not token or not rest.endswith(token):
            raise ValueError(f"its tokens do not begin where the continuation {continuation[:40]!r} begins")
        rest, n = rest.removesuffix(token), n + 1
    if rest:
        raise ValueError("it does not repeat the prompt")
    return _sum(values[len(values) - n :])


def parse_echoed_ids(head: int, tail: int, reply: object) -> LogLikelihood:
    """The log p(tail | head) of an echoed prompt of ``head + tail`` token ids."""
    _, values = _echoed(reply)
    if len(values) != head + tail:
        raise ValueError("it does not repeat the prompt")
    return _sum(values[head:])


def _echoed(reply: object) -> tuple[list[object], list[object]]:
    """The tokens of an echoed prompt and their log-probabilities; those generated after it are left out."""
    tokens, values = (at(reply, "choices", 0, "logprobs", key) for key in ("tokens", "token_logprobs"))
    new = count(at(reply, "usage", "completion_tokens"))
    if not isinstance(tokens, list) or not isinstance(values, list) or len(tokens) != len(values) or new is None:
        raise ValueError("it has no log-probabilities of the prompt")
    size = max(0, len(tokens) - new)
    return tokens[:size], values[:size]


def _sum(values: Sequence[object]) -> LogLikelihood:
    total = 0.0
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool) or not -math.inf < value <= ROUNDING:
            raise ValueError("a log-probability is no number")
        total += value
    return LogLikelihood(total, len(values))


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

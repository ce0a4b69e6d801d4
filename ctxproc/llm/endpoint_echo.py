"""Log-probabilities of a text that a server repeats ("echo" of completions): bodies of requests, and what is answered.

As in endpoint_wire.py, a reader gives what it promises or raises ``ValueError``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ctxproc.llm.base import LogLikelihood
from ctxproc.llm.endpoint_wire import at, clean, count, nats


def echo_request(model: str, prompt: str | list[int]) -> dict[str, Any]:
    """The body that asks for the log-probabilities of ``prompt`` itself; 0 new tokens mean "no limit" to some servers."""
    return {"model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}


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
    return LogLikelihood(math.fsum(map(nats, values)), len(values))

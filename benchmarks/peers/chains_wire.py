"""A chain of another library in a process of its own; the model that it calls is on the other end of the pipe.

JSON lines on stdin and stdout. Each request (`Request`) ends with ``{"answer": text}`` or ``{"error": reason}``. Before
that the chain may call the model as often as it likes: ``{"prompts": [text]}``, to which comes ``{"texts": [text]}`` or
``{"refused": reason}``. Whatever a library prints goes to stderr. Needs no package, so that every peer's own Python can
import it.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, TextIO

WORDS = r"\s*(?:\w+|[^\w\s]|\s+$)"
"""A token of a model without a tokenizer file: that of ``ctxproc.llm.scripted``."""


@dataclass(frozen=True)
class Request:
    """One question to one chain.

    Attributes:
        strategy: as the library calls it.
        documents: in order, each a text.
        window: tokens of a prompt and its reply; None: the library is told nothing and takes its own default.
        new_tokens: of a reply at most; the model keeps to it.
        tokenizer: a tokenizer.json; "" counts words and punctuation marks (`WORDS`).
    """

    strategy: str
    question: str
    documents: tuple[str, ...]
    window: int | None
    new_tokens: int
    tokenizer: str = ""


class RefusedError(RuntimeError):
    """The model did not take the prompts, as a server answers 400; the message says why."""


class Model:
    """The model, as a chain sees it.

    Args:
        lines: what the other side says.
        replies: what it is told.
    """

    def __init__(self, lines: TextIO, replies: TextIO) -> None:
        self._lines, self._replies = lines, replies

    def say(self, message: dict[str, Any]) -> None:
        """One line to the other side."""
        self._replies.write(json.dumps(message) + "\n")
        self._replies.flush()

    def generate(self, prompts: list[str]) -> list[str]:
        """What the model writes behind each prompt.

        Raises:
            RefusedError: it takes none of them.
        """
        self.say({"prompts": prompts})
        reply = json.loads(self._lines.readline())
        if "refused" in reply:
            raise RefusedError(reply["refused"])
        texts: list[str] = reply["texts"]
        return texts


@cache
def tokens_of(tokenizer: str) -> Callable[[str], list[Any]]:
    """A function from a text to its tokens, as the model counts them."""
    if not tokenizer:
        return re.compile(WORDS).findall
    from tokenizers import Tokenizer

    read = Tokenizer.from_file(tokenizer)
    return lambda text: list(read.encode(text, add_special_tokens=False).ids)


def serve(answer: Callable[[Request, Model], str], facts: dict[str, Any]) -> None:
    """Says ``facts``, then answers requests until stdin ends. What a library raises is its answer."""
    model = Model(sys.stdin, os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    model.say(facts)
    for line in sys.stdin:
        request = json.loads(line)
        try:
            text = answer(Request(**{**request, "documents": tuple(request["documents"])}), model)
        except Exception as error:  # noqa: BLE001 (whatever it is, it is the chain's outcome)
            model.say({"error": f"{type(error).__name__}: {error}"})
        else:
            model.say({"answer": text})

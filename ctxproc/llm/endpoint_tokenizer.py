"""Counting the tokens of a model that is behind a server."""

from __future__ import annotations

from collections.abc import Sequence

from ctxproc.llm.base import Tokenizer
from ctxproc.llm.endpoint_http import Server
from ctxproc.llm.endpoint_wire import clean, parse_tokens

CACHED_COUNTS = 10_000


class ByteTokenizer(Tokenizer):
    """A token per byte of UTF-8: for a server that does not count.

    A byte-level vocabulary never has more tokens than that, and for English about a fourth: so prompts always fit, and
    windows and chunks hold about four times fewer words than their numbers say.
    """

    def count(self, text: str) -> int:
        """The bytes of ``text``."""
        return len(clean(text).encode())

    def starts(self, text: str) -> list[int]:
        """The character that each byte belongs to."""
        if text.isascii():
            return list(range(len(text)))
        return [place for place, character in enumerate(text) for _ in range(self.count(character))]


class ServerTokenizer(Tokenizer):
    """The server's own count (``/tokenize`` of vLLM, SGLang and llama.cpp).

    Counts are exact. Where in a text its tokens begin is not asked for: `starts` spreads them evenly over its bytes.
    """

    def __init__(self, server: Server, model: str) -> None:
        self._server, self._model = server, model
        self._url = f"{server.root}/tokenize"
        self._known: dict[str, int] = {"": 0}

    def works(self) -> bool:
        """Whether the server counts."""
        return bool(self._server.probe(self._url, self._body("a b", False), parse_tokens))

    def _body(self, text: str, special: bool) -> dict[str, object]:
        """What vLLM and SGLang read (prompt, add_special_tokens) and what llama.cpp does (content, add_special)."""
        text = clean(text)
        both = {"add_special_tokens": special, "add_special": special, "parse_special": False}
        return {"model": self._model, "prompt": text, "content": text, **both}

    def encode(self, texts: Sequence[str], special: bool = False) -> list[list[int]]:
        """Token ids of each text; ``special``: with begin-of-text, where the model has one."""
        return self._server.post(self._url, [self._body(text, special) for text in texts], [parse_tokens] * len(texts))

    def count(self, text: str) -> int:
        """The number of tokens of ``text``."""
        return self.count_batch([text])[0]

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text; what was counted before is not asked again."""
        known = self._known
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known = {**known, **dict(zip(new, map(len, self.encode(new)), strict=True))}
        self._known = known if len(known) <= CACHED_COUNTS else {"": 0}
        return [known[text] for text in texts]

    def starts(self, text: str) -> list[int]:
        """Places spread evenly over the bytes of ``text``; as many as it has tokens."""
        places, n = ByteTokenizer().starts(text), self.count(text)
        return [places[i * len(places) // n] for i in range(n)] if places else []

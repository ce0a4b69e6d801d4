"""Constrained decoding: the tokens that may come next, so that the whole answer satisfies a `Constraint`.

llguidance follows the grammar; this module tells it what each token spells. The text continues a prompt: it begins with
exactly what the constraint says, without the space that sentencepiece puts before a text. Every way of spelling a text
in tokens is allowed, not only the tokenizer's own. Markers such as ``</s>`` or ``<tool_call>`` are never part of a text;
where a constraint holds such a name, it is spelled in ordinary tokens.

JSON is written on one line: a space may follow ``:`` and ``,``, and there is no other white space between its parts, so
that a small model cannot go on with blanks for ever.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.constraint import Constraint
from ctxproc.llm.tokenizer import UNFINISHED, HfTokenizer

if TYPE_CHECKING:
    import torch
    from llguidance import LLMatcher, LLTokenizer

JSON_LAYOUT = {"whitespace_flexible": False, "item_separator": ",[ ]?", "key_separator": ":[ ]?"}


class Grammar:
    """A constraint made ready for one model; the work is done once for the same arguments.

    Args:
        constraint: what the answers must be.
        tokenizer: the model's. One of its tokens that is neither text nor bytes is never allowed.
        vocabulary: the width of the model's logits; ids that the tokenizer lacks are never allowed.
        ends: the ids that end an answer; they spell nothing.

    Raises:
        ConfigError: the regular expression or schema is invalid or too large, has parts that cannot be enforced, or
            allows no text that this vocabulary can begin.
    """

    def __init__(self, constraint: Constraint, tokenizer: HfTokenizer, vocabulary: int, ends: frozenset[int]) -> None:
        self._ends = frozenset(end for end in ends if 0 <= end < vocabulary)
        self._vocabulary = vocabulary
        self._matcher = _matcher(constraint, tokenizer, vocabulary, self._ends)

    def start(self) -> Guide:
        """The state of one new answer, independent of all others."""
        return Guide(self._matcher.deep_copy(), self._vocabulary, self._ends)


class Guide:
    """What may come next in one answer; see `Grammar`.

    Attributes:
        done: the answer is whole and nothing but an end token can follow, or one has; no token is needed any more.
    """

    def __init__(self, matcher: LLMatcher, vocabulary: int, ends: frozenset[int]) -> None:
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._ends = ends
        self.done = False
        self._allowed = self._advance()

    def mask(self, logits: torch.Tensor) -> torch.Tensor:
        """``logits`` (..., vocabulary), -inf where a token may not come next, in their own dtype.

        End tokens stay exactly where the answer may end. Mask before top_p, top_k or a merge of windows: what those
        exclude is not brought back. Once done, without any end token, everything stays.
        """
        if self.done and not self._ends:
            return logits
        return logits.masked_fill(~self._allowed.to(logits.device), float("-inf"))

    def accept(self, token: int) -> None:
        """The answer goes on with ``token``; nothing happens once done.

        Raises:
            ValueError: `mask` does not allow it.
            ModelError: the vocabulary has no token for what must follow, or the grammar's limits are reached.
        """
        if self.done:
            return
        if not 0 <= token < self._vocabulary or not self._allowed[token]:
            raise ValueError(f"token {token} is not allowed here by the constraint")
        if token in self._ends:
            self.done = True
            self._allowed = _flags(self._vocabulary, self._ends)
            return
        self._matcher.consume_token(token)
        self._allowed = self._advance()

    def _advance(self) -> torch.Tensor:
        """The allowed ids as booleans (vocabulary,); sets `done`."""
        import numpy as np
        import torch

        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            raise ModelError(f"the constraint cannot be followed in this model's vocabulary: {_line(self._matcher)}")
        allowed = torch.from_numpy(np.unpackbits(bits, count=self._vocabulary, bitorder="little").astype(np.bool_))
        if not self._matcher.is_accepting():
            return allowed
        self.done = not bool(allowed.any())
        return allowed | _flags(self._vocabulary, self._ends)


class Spellings:
    """The bytes of every token, in the form that llguidance reads: one id more than the vocabulary, its end of text."""

    bos_token_id = None
    special_token_ids = ()

    def __init__(self, tokenizer: HfTokenizer, vocabulary: int, ends: frozenset[int]) -> None:
        self.eos_token_id = vocabulary
        self.tokens = [b""] * (vocabulary + 1)
        for token, spelled in _spelled(tokenizer):
            if token < vocabulary and token not in ends:
                self.tokens[token] = spelled

    def __call__(self, _text: bytes) -> list[int]:
        """No tokens: asked only by a mode of llguidance that is off here."""
        return []


@lru_cache(maxsize=4)
def _vocabulary_of(tokenizer: HfTokenizer, vocabulary: int, ends: frozenset[int]) -> LLTokenizer:
    """A vocabulary as a trie; about a second for 150,000 tokens."""
    from llguidance import LLTokenizer, TokenizerWrapper

    return LLTokenizer(TokenizerWrapper(Spellings(tokenizer, vocabulary, ends)), n_vocab=vocabulary + 1)


@lru_cache(maxsize=64)
def _matcher(constraint: Constraint, tokenizer: HfTokenizer, vocabulary: int, ends: frozenset[int]) -> LLMatcher:
    """A matcher at the start of a text; only copies of it are advanced."""
    from llguidance import LLMatcher

    lark = _lark(constraint)
    matcher = LLMatcher(_vocabulary_of(tokenizer, vocabulary, ends), lark, log_level=0)
    if matcher.is_error():
        raise ConfigError(f"the constraint cannot be used: {_line(matcher)}")
    first = matcher.deep_copy()
    first.compute_bitmask()
    if first.is_error():
        raise ConfigError(f"this model's vocabulary cannot begin a text that the constraint allows: {_line(first)}")
    return matcher


def _lark(constraint: Constraint) -> str:
    """The constraint in llguidance's own notation. Forcing is off: it would allow one spelling only."""
    from llguidance import regex_to_lark

    if constraint.json_schema is not None:
        schema = json.loads(str(constraint.json_schema))
        rule = "%json " + json.dumps({**schema, "x-guidance": JSON_LAYOUT})
    else:
        choices = constraint.choices or ()
        regex = constraint.regex if constraint.regex is not None else "|".join(map(_literal, choices))
        rule = f"/{regex_to_lark(regex, '') or '(?:)'}/"
    return f'%llguidance {{"no_forcing": true}}\nstart: {rule}'


def _literal(text: str) -> str:
    """A regular expression for exactly this text, whatever characters it has."""
    return "".join(f"\\x{{{ord(character):x}}}" for character in text) or "(?:)"


def _line(matcher: LLMatcher) -> str:
    """A matcher's error on one line, without the grammar's source and the inner state that follow it."""
    text = re.split(r"\n *1 \| |<state>", matcher.get_error())[0]
    return " ".join(re.sub(r"^at \d+\(\d+\): ", "", text).split())[:300]


def _flags(size: int, ids: frozenset[int]) -> torch.Tensor:
    """Booleans (size,), true at ``ids``."""
    import torch

    flags = torch.zeros(size, dtype=torch.bool)
    flags[sorted(ids)] = True
    return flags


def _spelled(tokenizer: HfTokenizer) -> Iterator[tuple[int, bytes]]:
    """Token ids and the bytes that each adds to a text before it; nothing for markers."""
    inner: Any = tokenizer.inner
    markers = {i for i, added in inner.added_tokens_decoder.items() if tokenizer.encode(added.content) != [i]}
    before = tokenizer.decode(tokenizer.anchor)
    for name, token in inner.get_vocab().items():
        text = tokenizer.decode([*tokenizer.anchor, token])
        if token not in markers and text.startswith(before):
            yield token, _bytes_of(name, text[len(before) :])


def _bytes_of(name: str, text: str) -> bytes:
    """The bytes of a token, from its text or, where that is half a character, from its name in the vocabulary.

    Nothing where neither tells.
    """
    if UNFINISHED not in text or UNFINISHED in name:
        return text.encode()
    if len(name) == 6 and name.startswith("<0x"):
        return bytes.fromhex(name[3:5])
    letters = _byte_letters()
    return bytes(letters[letter] for letter in name) if all(letter in letters for letter in name) else b""


@lru_cache(maxsize=1)
def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level vocabularies name bytes: printable ones by themselves, the rest from U+0100 on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {**{chr(byte): byte for byte in printable}, **{chr(256 + i): byte for i, byte in enumerate(others)}}

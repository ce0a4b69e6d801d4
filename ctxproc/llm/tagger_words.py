"""The words of a text as the tagger sees them: their tokens, and their spelling, which the trunk's vocabulary has lost."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ctxproc.llm.trunk import plain_tokenizer

SHAPES = 20
"""How many shapes a word may have, see `shape`."""

_ENDS = frozenset('.!?:;"“”‘«»。！？\n')
_UNCASED = frozenset({"Lo", "Lm"})


@dataclass(frozen=True)
class Words:
    """A text as token ids, and its words: a run of tokens between spaces and punctuation.

    Attributes:
        ids: of the tokens.
        first, last: of each word its first and last token.
        spans: of each word its characters.
        shapes: of each word, see `shape`.
    """

    ids: list[int]
    first: list[int]
    last: list[int]
    spans: list[tuple[int, int]]
    shapes: list[int]

    def __len__(self) -> int:
        """How many words."""
        return len(self.spans)

    def slice(self, start: int, end: int) -> Words:
        """The words from ``start`` to before ``end``; characters are counted as before."""
        if start == end:
            return Words([], [], [], [], [])
        low, high = self.first[start], self.last[end - 1] + 1
        return Words(
            self.ids[low:high],
            [token - low for token in self.first[start:end]],
            [token - low for token in self.last[start:end]],
            self.spans[start:end],
            self.shapes[start:end],
        )


class Splitter:
    """Makes `Words` of texts by the trunk's tokenizer; special tokens written in a text are read as plain text."""

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer of a model folder."""
        self._tokenizer = plain_tokenizer(folder)

    def split(self, texts: Sequence[str]) -> list[Words]:
        """The words of each text; spans take in the combining marks that follow."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [_words(text, one.ids, one.word_ids, one.offsets) for text, one in zip(texts, encoded, strict=True)]


def _words(text: str, ids: list[int], numbers: Sequence[int | None], offsets: Sequence[tuple[int, int]]) -> Words:
    first = [k for k, number in enumerate(numbers) if not k or number != numbers[k - 1]]
    last = [k - 1 for k in first[1:]] + ([len(ids) - 1] if ids else [])
    spans, shapes, before = list[tuple[int, int]](), list[int](), 0
    for a, b in zip(first, last, strict=True):
        start, end = offsets[a][0], offsets[b][1]
        while end < len(text) and unicodedata.category(text[end])[0] == "M":
            end += 1
        begins = not text[:start].strip() if not spans else not _ENDS.isdisjoint(text[max(before - 1, 0) : start])
        spans.append((start, end))
        shapes.append(shape(text[start:end], begins))
        before = end
    return Words(ids, first, last, spans, shapes)


def shape(word: str, begins: bool) -> int:
    """How a word is spelt: lower case, a capital, all capitals, digits and so on; 10 more where it may begin a sentence."""
    letters = [letter for letter in word if letter.isalpha()]
    digits = sum(letter.isdigit() for letter in word)
    if not letters:
        kind = 6 if digits else 8
    elif digits:
        kind = 7
    elif all(unicodedata.category(letter) in _UNCASED for letter in letters):
        kind = 9
    elif len(letters) == 1:
        kind = 4 if letters[0].isupper() else 1
    elif all(letter.isupper() for letter in letters):
        kind = 3
    elif any(letter.isupper() for letter in letters[1:]):
        kind = 5
    else:
        kind = 2 if letters[0].isupper() else 1
    return kind + 10 * begins

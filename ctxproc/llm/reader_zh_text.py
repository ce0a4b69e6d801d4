"""What the Chinese reader sees of a question and a passage: characters, how rare they are, and what the two share.

A network this small does not learn by itself to compare a question with a passage; it is told what they share
(`match_features`, after the exact-match features of Chen et al. 2017, "Reading Wikipedia to Answer Open-Domain Questions",
section 3.2).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SPECIALS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]", "[WORD]", "[MARK]")
PAD, CLS, SEP, UNKNOWN, WORD, MARK = range(len(SPECIALS))
FEATURES = 20
REACH = (8, 24)  # tokens on each side that count as near, for the share of the question found there

_TOKEN = re.compile(r"[A-Za-z\u00c0-\u024f]{1,20}|[^\s\u200b-\u200f\u2060\ufe00-\ufe0f\ufeff]")


@dataclass(frozen=True)
class Text:
    """A text as tokens: their normal forms, ids, rarities in [0, 1], and (start, end) characters."""

    forms: list[str]
    ids: NDArray[np.int64]
    rarity: Floats
    offsets: list[tuple[int, int]]

    def __len__(self) -> int:
        """Tokens."""
        return len(self.forms)

    def part(self, start: int, end: int) -> Text:
        """Tokens ``start`` to ``end``."""
        return Text(self.forms[start:end], self.ids[start:end], self.rarity[start:end], self.offsets[start:end])


class Characters:
    """The vocabulary. A token is one character, or a run of at most 20 Latin letters; white space is none."""

    def __init__(self, entries: Sequence[str], rarity: Sequence[float] | Floats) -> None:
        """Use these entries, the special ones first; ``rarity`` is each one's inverse document frequency in [0, 1]."""
        self.entries = list(entries)
        self._ids = {entry: k for k, entry in enumerate(entries)}
        self.rarity = np.asarray(rarity, dtype=np.float32)

    def tokens(self, text: str) -> Text:
        """Read a text; an unknown token is as rare as can be."""
        found = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(text)]
        forms = [normal(token) for token, _, _ in found]
        ids = np.array([self._ids.get(form) or _unknown(form) for form in forms], dtype=np.int64)
        rarity = np.where(ids < len(SPECIALS), np.float32(1), self.rarity[ids])
        return Text(forms, ids, rarity, [(start, end) for _, start, end in found])


@lru_cache(maxsize=1 << 16)
def normal(token: str) -> str:
    """Small letters; wide and other variants of one character as that character."""
    folded = unicodedata.normalize("NFKC", token)
    return (folded if len(folded) == len(token) else token).lower()


def _unknown(form: str) -> int:
    if len(form) > 1 or form.isascii():
        return WORD
    return UNKNOWN if form.isalpha() else MARK


@dataclass(frozen=True)
class Pair:
    """A question and a window of a context: ids and features of the sequence [CLS] question [SEP] context [SEP]."""

    ids: NDArray[np.int64]
    features: Floats
    first: int  # position of the first token of the context

    def __len__(self) -> int:
        """Tokens, with the three special ones."""
        return len(self.ids)

    @classmethod
    def of(cls, question: Text, context: Text) -> Pair:
        """Join them and compare them."""
        ids = np.concatenate([[CLS], question.ids, [SEP], context.ids, [SEP]])
        features = np.zeros((len(ids), FEATURES), dtype=np.float32)
        first = len(question) + 2
        asked, read = match_features(question, context)
        features[1 : first - 1] = asked
        features[first:-1] = read
        return cls(ids, features, first)


def match_features(question: Text, context: Text) -> tuple[Floats, Floats]:
    """What each token shares with the other text: shapes (question, `FEATURES`) and (context, `FEATURES`).

    Of every token: whether it lies in a match of at least 1, 2, 3, 4, 5 tokens (0-4), its rarity if it does (5), its
    rarity (6). Of the context's also: 1 (7), the share of the question's rarity found within ``REACH`` tokens, by
    single tokens and by matches of two, as it is (8-11) and over its maximum (12-15); nearness, over 6 and 24 tokens,
    of the last match of two before (16-17) and of the first after (18-19).
    """
    asked, read = (np.zeros((len(text), FEATURES), dtype=np.float32) for text in (question, context))
    runs = common_runs(question.forms, context.forms)
    for text, features, longest in ((question, asked, _most(runs, 1)), (context, read, _most(runs, 0))):
        features[:, :5] = longest[:, None] >= np.arange(1, 6)
        features[:, 5] = text.rarity * (longest > 0)
        features[:, 6] = text.rarity
    if not len(question) or not len(context):
        return asked, read
    read[:, 7] = 1
    weight = question.rarity / max(float(question.rarity.sum()), 1e-6)
    for k, (length, reach) in enumerate((length, reach) for length in (1, 2) for reach in REACH):
        share = weight @ _spread(runs >= length, reach)
        read[:, 8 + k] = share
        read[:, 12 + k] = share / max(float(share.max()), 1e-6)
    strong = np.flatnonzero(runs.max(0) >= 2)
    if len(strong):
        places = np.arange(len(context))
        at = np.searchsorted(strong, places, side="right")
        before = np.where(at > 0, places - strong[np.maximum(at - 1, 0)], 1000)
        after = np.where(at < len(strong), strong[np.minimum(at, len(strong) - 1)] - places, 1000)
        for k, distance in enumerate((before, after)):
            read[:, 16 + 2 * k] = np.exp(-distance / 6)
            read[:, 17 + 2 * k] = np.exp(-distance / 24)
    return asked, read


def common_runs(left: Sequence[str], right: Sequence[str]) -> NDArray[np.int32]:
    """Length of the longest common run of tokens through each pair of places, 0 where they differ: (left, right)."""
    numbers: dict[str, int] = {}
    one, two = (np.array([numbers.setdefault(form, len(numbers)) for form in text]) for text in (left, right))
    equal = (one[:, None] == two[None, :]).astype(np.int32)
    before, after = equal.copy(), equal.copy()
    for k in range(1, len(left)):
        before[k, 1:] *= before[k - 1, :-1] + 1
        after[-1 - k, :-1] *= after[-k, 1:] + 1
    longest: NDArray[np.int32] = (before + after - 1) * equal
    return longest


def _most(runs: NDArray[np.int32], axis: int) -> NDArray[np.int32]:
    return runs.max(axis) if runs.size else np.zeros(runs.shape[1 - axis], dtype=np.int32)


def _spread(found: NDArray[np.bool_], reach: int) -> Floats:
    """1 where something is found at most ``reach`` places to either side, along the last axis."""
    counts = np.pad(found.cumsum(-1), ((0, 0), (reach + 1, reach)), mode="edge")
    counts[:, : reach + 1] = 0
    near: Floats = (counts[:, 2 * reach + 1 :] > counts[:, : found.shape[1]]).astype(np.float32)
    return near

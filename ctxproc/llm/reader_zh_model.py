"""The network of the Chinese reader, and its input: what training and the product share.

The trunk's vocabulary has few Chinese characters, so this reader stands alone: a vocabulary of characters, four
transformer layers from scratch, and the span head of span_model.py. A network this small does not learn by itself to
compare a question with a passage; it is told what they share (`match_features`, after the exact-match features of Chen
et al. 2017, "Reading Wikipedia to Answer Open-Domain Questions", section 3.2), and half of its heads look only from the
question to the passage and back.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float32]

MAX_SPAN = 100  # tokens an answer may have: people often copy a whole clause
RANK = 64
IMPOSSIBLE = -1e4  # score of what is not a span of the context
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


@dataclass(frozen=True)
class ZhBatch:
    """Padded model input: ids, mask, inside (B, T); features (B, T, `FEATURES`); inside is True in the context."""

    ids: Tensor
    features: Tensor
    mask: Tensor
    inside: Tensor

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> ZhBatch:
        """Pad to the longest pair."""
        shape = (len(pairs), max(map(len, pairs)))
        ids, features = torch.full(shape, PAD), torch.zeros(*shape, FEATURES)
        mask, inside = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for row, pair in enumerate(pairs):
            ids[row, : len(pair)] = torch.from_numpy(pair.ids)
            features[row, : len(pair)] = torch.from_numpy(pair.features)
            mask[row, : len(pair)] = True
            inside[row, pair.first : len(pair) - 1] = True
        return cls(ids, features, mask, inside)

    def to(self, device: torch.device) -> ZhBatch:
        """The same on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in ("ids", "features", "mask", "inside")})


@dataclass(frozen=True)
class Shape:
    """Sizes of the network: of the vocabulary and of its vectors, of the stream, layers, heads, inner of a layer."""

    entries: int
    vectors: int = 128
    width: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 512


class Layer(nn.Module):
    """Attention, then a feed-forward net that also sees the two neighbours; both on the normalised stream."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.first, self.second = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.query_key_value = nn.Linear(shape.width, 3 * shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.up = nn.Linear(3 * shape.width, shape.inner)
        self.down = nn.Linear(shape.inner, shape.width)

    def forward(self, stream: Tensor, shade: Tensor, mask: Tensor) -> Tensor:
        """The stream (B, T, width) after the layer; ``shade`` (B, heads, T, T) is added to the attention scores."""
        rows, size, width = stream.shape
        parts = self.query_key_value(self.first(stream)).view(rows, size, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = parts.unbind(0)
        scores = (query * (width // self.heads) ** -0.5) @ key.transpose(-1, -2) + shade
        mixed = (scores.softmax(-1) @ value).transpose(1, 2).reshape(rows, size, width)
        stream = stream + self.out(mixed)
        stream = stream + self.down(nn.functional.gelu(self.up(beside(self.second(stream) * mask))))
        return stream


def beside(stream: Tensor) -> Tensor:
    """Each token's vector with its two neighbours' before and after it: (B, T, width) to (B, T, 3 width)."""
    wide = nn.functional.pad(stream, (0, 0, 1, 1))
    return torch.cat([wide[:, :-2], stream, wide[:, 2:]], -1)


class Body(nn.Module):
    """Embeddings and layers."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.vectors = nn.Embedding(shape.entries, shape.vectors, padding_idx=PAD)
        self.join = nn.Linear(3 * shape.vectors, shape.width)
        self.told = nn.Linear(FEATURES, shape.width)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.last = nn.LayerNorm(shape.width)
        self._heads = shape.heads

    def forward(self, batch: ZhBatch) -> Tensor:
        """The stream after the last layer: (B, T, width)."""
        kind = self.told.weight.dtype
        mask = batch.mask[..., None].to(kind)
        shade = self._shade(batch).to(kind)
        stream = self.join(beside(self.vectors(batch.ids) * mask)) + self.told(batch.features.to(kind))
        for layer in self.layers:
            stream = layer(stream, shade, mask)
        hidden: Tensor = self.last(stream)
        return hidden

    def _shade(self, batch: ZhBatch) -> Tensor:
        """What is added to the scores (B, heads, T, T).

        The first half of the heads see the other text, the second half their own; of the second all but one lose by
        distance (Press et al. 2022, "Train Short, Test Long", section 3).
        """
        size, half = batch.ids.shape[1], self._heads // 2
        side = batch.inside.long()
        side[batch.ids == CLS] = 2  # everything sees it
        same = (side[:, :, None] == side[:, None, :]) | (side[:, None, :] == 2)
        other = (side[:, :, None] != side[:, None, :]) | (side[:, None, :] == 2)
        seen = torch.stack([other, same], 1) & batch.mask[:, None, None, :]
        place = torch.arange(size, device=batch.ids.device)
        slopes = torch.tensor([0.0, *(0.25 / 2**k for k in range(half - 1))], device=batch.ids.device)
        far = -(place[:, None] - place[None, :]).abs()[None] * slopes[:, None, None]
        shade = torch.where(seen, 0.0, IMPOSSIBLE)[:, :, None].expand(-1, -1, half, -1, -1).clone()
        shade[:, 1] += far
        return shade.flatten(1, 2)


class ZhModel(nn.Module):
    """Body and span head; the score of a span is that of span_model.py."""

    def __init__(self, shape: Shape) -> None:
        """Random weights; heads that look across begin as comparisons of a token with itself (`alike`)."""
        super().__init__()
        self.shape = shape
        self.body = Body(shape)
        self.boundary = nn.Linear(shape.width, 2)
        self.left = nn.Linear(shape.width, RANK)
        self.right = nn.Linear(shape.width, RANK)
        self.bias = nn.Linear(shape.width, 1)
        nn.init.constant_(self.bias.bias, -9.0)  # a window has about e^9 spans: start undecided

    def forward(self, batch: ZhBatch) -> Tensor:
        """Scores (B, T, T) in fp32, start token by end token, relative to null = 0; `IMPOSSIBLE` off the spans."""
        hidden = self.body(batch).to(self.boundary.weight.dtype)
        start, end = self.boundary(hidden).unbind(-1)
        pair = self.left(hidden) @ self.right(hidden).transpose(1, 2) / math.sqrt(RANK)
        scores: Tensor = start[:, :, None] + end[:, None, :] + pair + self.bias(hidden[:, 0])[:, :, None]
        return scores.float().masked_fill(~spans(batch.inside), IMPOSSIBLE)


def spans(inside: Tensor) -> Tensor:
    """True where (start, end) is a span of at most `MAX_SPAN` tokens within ``inside``: (B, T) to (B, T, T)."""
    size = inside.shape[1]
    band = torch.ones(size, size, dtype=torch.bool, device=inside.device).triu().tril(MAX_SPAN - 1)
    return inside[:, :, None] & inside[:, None, :] & band


def alike(model: ZhModel, scale: float = 0.8) -> None:
    """Let the queries and keys of the heads that look across be one projection, so that equal tokens find each other.

    After the mimetic initialisation of Trockman and Kolter 2023, section 4.
    """
    width, size = model.shape.width, model.shape.width // model.shape.heads
    with torch.no_grad():
        for layer in model.body.layers:
            assert isinstance(layer, Layer)
            for head in range(model.shape.heads // 2):
                rows = nn.init.orthogonal_(torch.empty(size, width)) * scale
                for part in (0, width):
                    layer.query_key_value.weight[part + head * size : part + (head + 1) * size] = rows

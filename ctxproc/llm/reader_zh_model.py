"""The network of the Chinese reader: what training and the product share.

The trunk's vocabulary has few Chinese characters, so this reader stands alone: a vocabulary of characters, four
transformer layers from scratch, and the span head of span_head.py. It is told what question and passage share
(reader_zh_text.py), and half of its heads look only from the question to the passage and back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ctxproc.llm.reader_zh_text import CLS, FEATURES, PAD, Pair
from ctxproc.llm.span_head import IMPOSSIBLE, SpanNetwork

MAX_SPAN = 100  # tokens an answer may have: people often copy a whole clause


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


class ZhModel(SpanNetwork):
    """Body and span head."""

    longest: ClassVar[int] = MAX_SPAN

    def __init__(self, shape: Shape) -> None:
        """Random weights; `alike` makes of the heads that look across comparisons of a token with itself."""
        super().__init__()
        self.shape = shape
        self.body = Body(shape)
        self.add_head(shape.width, -9.0)  # a window has about e^9 spans

    def forward(self, batch: ZhBatch) -> Tensor:
        """The scores of all spans, see `SpanNetwork.span_scores`."""
        return self.span_scores(self.body(batch), batch.inside)


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

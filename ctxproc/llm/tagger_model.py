"""The network of the built-in tagger: what training and the product share.

The first layers of the trunk are used as they are (of the shipped one: its embeddings alone); the tagger's own layers
follow, which see the spelling of each word as well (tagger_words.py). A span from word
``i`` to word ``j`` scores, as a mention of a kind,

    left_i . right_j / sqrt(rank) + start_i(kind) + end_j(kind)

where left and right are turned by their positions, and is one above 0: kinds are decided apart, spans may be nested. A
pair of things, each a set of mentions, has the relations that score above the pair's own threshold.

Source: Su et al. 2022, "Global Pointer: Novel Efficient Span-based Approach for Named Entity Recognition" (spans); Zhou et
al. 2021, "Document-Level Relation Extraction with Adaptive Thresholding and Localized Context Pooling" (relations).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import BertModel

from ctxproc.errors import ModelError
from ctxproc.llm.tagger_words import SHAPES, Words

NAMES = ("person", "place", "organisation", "time", "number", "other")
PHRASES = ("a person", "a place", "an organisation", "a vehicle")
KINDS = NAMES + PHRASES
"""Of mentions: names, and phrases that are none, such as "the old house"."""

LONGEST = 24
"""Words of a mention at most."""

RANK = 64
BLOCK = 16
"""Width of a part of a pair's vectors of which all products are taken."""

PARTS = 16
DISTANCES = 10
IMPOSSIBLE = -1e4


@dataclass(frozen=True)
class Batch:
    """Padded input. T tokens with the two special ones, W words.

    Attributes:
        ids: (B, T). mask: (B, T), True at tokens. shapes: (B, T), of each token's word.
        first, last: (B, W), each word's first and last token. words: (B, W), True at words.
    """

    ids: Tensor
    mask: Tensor
    shapes: Tensor
    first: Tensor
    last: Tensor
    words: Tensor

    @classmethod
    def of(cls, items: Sequence[Words], *, cls_id: int = 101, sep_id: int = 102) -> Batch:
        """Pad to the longest."""
        tokens = max((len(item.ids) for item in items), default=0) + 2
        words = max(1, *(len(item) for item in items), 1)
        ids, shapes = (torch.zeros(len(items), tokens, dtype=torch.long) for _ in range(2))
        first, last = (torch.zeros(len(items), words, dtype=torch.long) for _ in range(2))
        mask = torch.zeros(len(items), tokens, dtype=torch.bool)
        there = torch.zeros(len(items), words, dtype=torch.bool)
        for row, item in enumerate(items):
            size = len(item.ids) + 2
            ids[row, :size] = torch.tensor([cls_id, *item.ids, sep_id])
            mask[row, :size] = there[row, : len(item)] = True
            if not len(item):
                continue
            first[row, : len(item)] = torch.tensor(item.first) + 1
            last[row, : len(item)] = torch.tensor(item.last) + 1
            counts = torch.tensor(item.last) - torch.tensor(item.first) + 1
            shapes[row, 1 : size - 1] = torch.tensor(item.shapes).repeat_interleave(counts)
        return cls(ids, mask, shapes, first, last, there)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})


class Layer(nn.Module):
    """A layer of BERT that also gives its attention; its weights are named as in the trunk."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        """With random weights."""
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, inner), nn.Linear(inner, width)
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)

    def forward(self, hidden: Tensor, shade: Tensor) -> tuple[Tensor, Tensor]:
        """The next hidden states (B, T, D) and the attention (B, heads, T, T); ``shade`` is added to its scores."""
        query, key, value = (
            part(hidden).unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        attention = (scores + shade).softmax(-1)
        mixed = self.out((attention @ value).transpose(1, 2).flatten(2))
        hidden = self.norm1(hidden + mixed)
        return self.norm2(hidden + self.down(gelu(self.up(hidden)))), attention


LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "out": "attention.output.dense",
    "norm1": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm2": "output.LayerNorm",
}
"""The trunk's names of a layer's parts."""


def unpacked(tensors: dict[str, Tensor], shared: int, own: int) -> dict[str, Tensor]:
    """The weights by the model's names: its own layers are kept as differences to the trunk's layers of their places.

    Raises:
        ModelError: there are not so many layers.
    """
    found = dict(tensors)
    for number in range(own):
        for mine, theirs in LAYER.items():
            for part in ("weight", "bias"):
                name = layer_name(shared + number, theirs, part)
                if name not in found:
                    raise ModelError(f"the built-in model tagger lacks the weight {name}")
                found[f"layers.{number}.{mine}.{part}"] = found[name]
    return found


def layer_name(number: int, part: str, tensor: str) -> str:
    """What a tensor of a layer of the trunk is called in a file of differences."""
    return f"trunk.encoder.layer.{number}.{part}.{tensor}"


@dataclass(frozen=True)
class Read:
    """What the network made of a batch: of each word a vector (B, W, D), of each token one (B, T, D), the last attention."""

    words: Tensor
    tokens: Tensor
    attention: Tensor


class TaggerModel(nn.Module):
    """Layers, spans and relations; see the module's docstring for the scores."""

    def __init__(self, trunk: BertModel, own: int, relations: int) -> None:
        """Put ``own`` fresh layers and fresh heads on a trunk, which has only the layers below them."""
        super().__init__()
        config = trunk.config
        width = config.hidden_size
        self.trunk = trunk
        self.shape = nn.Embedding(SHAPES, width)
        nn.init.normal_(self.shape.weight, std=0.02)
        self.layers = nn.ModuleList(
            Layer(width, config.num_attention_heads, config.intermediate_size) for _ in range(own)
        )
        self.pointer = nn.Linear(width, 2 * RANK)
        self.border = nn.Linear(width, 2 * len(KINDS))
        nn.init.constant_(self.border.bias, -3.0)  # few spans are mentions
        self.noun = nn.Linear(width, 1)
        self.kind = nn.Embedding(len(KINDS), width)
        self.apart = nn.Embedding(DISTANCES, PARTS * BLOCK)
        self.head, self.tail = (nn.Linear(2 * width, PARTS * BLOCK) for _ in range(2))
        self.pair = nn.Linear(PARTS * BLOCK * BLOCK, relations + 1)

    def read(self, batch: Batch) -> Read:
        """Run the layers."""
        below = self.trunk(input_ids=batch.ids, attention_mask=batch.mask.long()).last_hidden_state
        return self.finish(below, batch)

    def finish(self, below: Tensor, batch: Batch) -> Read:
        """Run the tagger's own layers on what the trunk's made (B, T, D)."""
        hidden = below + self.shape(batch.shapes).to(below.dtype)
        shade = torch.zeros_like(batch.mask, dtype=hidden.dtype).masked_fill(~batch.mask, IMPOSSIBLE)[:, None, None]
        attention = shade
        for layer in self.layers:
            hidden, attention = layer(hidden, shade)
        hidden = hidden.to(self.border.weight.dtype)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        return Read((hidden[rows, batch.first] + hidden[rows, batch.last]) / 2, hidden, attention)

    def spans(self, read: Read, words: Tensor) -> Tensor:
        """Scores (B, kinds, W, LONGEST): a word, and how many words further the span ends; ``IMPOSSIBLE`` off the text.

        Args:
            read: of a batch.
            words: (B, W), True at words.
        """
        left, right = (turned(part) for part in self.pointer(read.words).chunk(2, -1))
        pairs = torch.einsum("bwr,bwrl->bwl", left, ahead(right)) / math.sqrt(RANK)
        start, end = self.border(read.words).chunk(2, -1)
        scores: Tensor = pairs[:, None] + start.transpose(1, 2)[..., None] + ahead(end).transpose(1, 2)
        allowed = ahead(words[..., None].float()).squeeze(2) > 0
        return scores.float().masked_fill(~allowed[:, None], IMPOSSIBLE)

    def nouns(self, read: Read) -> Tensor:
        """Scores (B, W): a word is a concept by itself above 0."""
        scores: Tensor = self.noun(read.words).squeeze(-1)
        return scores.float()

    def related(self, read: Read, row: int, batch: Batch, things: Sequence[Thing]) -> Tensor:
        """Scores (things, things, 1 + relations) of a row: the pair's threshold, then each relation of head to tail."""
        vectors, looks = [], []
        for thing in things:
            spans = [read.words[row, a : b + 1].mean(0) for a, b in thing.spans]
            vectors.append(torch.stack(spans).logsumexp(0) + self.kind.weight[thing.kind])
            tokens = batch.first[row, [a for a, _ in thing.spans]]
            looks.append(read.attention[row, :, tokens].float().mean(1))
        each, look = torch.stack(vectors), torch.stack(looks)  # (E, D), (E, heads, T)
        both = torch.einsum("eht,fht->eft", look, look)
        context = both / (both.sum(-1, keepdim=True) + 1e-5) @ read.tokens[row]  # (E, E, D)
        apart = self.apart(distances(things).to(each.device))
        size = len(things)
        head = self.head(torch.cat([each[:, None].expand(-1, size, -1), context], -1)) + apart
        tail = self.tail(torch.cat([each[None].expand(size, -1, -1), context], -1))
        head, tail = (part.tanh().unflatten(-1, (PARTS, BLOCK)) for part in (head, tail))
        scores: Tensor = self.pair((head[..., :, None] * tail[..., None, :]).flatten(2))
        return scores.float()


@dataclass(frozen=True)
class Thing:
    """What mentions of one text stand for: their first and last words, and their kind's number."""

    spans: list[tuple[int, int]]
    kind: int


def distances(things: Sequence[Thing]) -> Tensor:
    """Of each pair of things, how far their nearest mentions are apart, as a class: (things, things).

    The logarithm to the base 2 of the words between them, 4 at most of each direction.
    """
    return torch.tensor([[_distance(one, other) for other in things] for one in things])


def _distance(one: Thing, other: Thing) -> int:
    apart = min((b - a for a, _ in one.spans for b, _ in other.spans), key=abs)
    return min(4, int(math.log2(1 + abs(apart)) / 1.6)) + 5 * (apart < 0)


def ahead(vectors: Tensor) -> Tensor:
    """Of each word the vectors of itself and of those after it, 0 beyond the text: (B, W, R) to (B, W, R, LONGEST)."""
    return nn.functional.pad(vectors, (0, 0, 0, LONGEST - 1)).unfold(1, LONGEST, 1)


def turned(vectors: Tensor) -> Tensor:
    """Vectors (B, W, R) turned by their positions, so that a product depends on the distance (Su et al. 2021, RoPE)."""
    half = vectors.shape[-1] // 2
    speeds = 10_000 ** (-torch.arange(half, device=vectors.device, dtype=vectors.dtype) / half)
    angles = torch.arange(vectors.shape[1], device=vectors.device, dtype=vectors.dtype)[:, None] * speeds
    one, other = vectors.chunk(2, -1)
    return torch.cat([one * angles.cos() - other * angles.sin(), one * angles.sin() + other * angles.cos()], -1)

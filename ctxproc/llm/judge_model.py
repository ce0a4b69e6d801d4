"""The network of the built-in judge, and its input: what training and the product share.

It reads ``[CLS] query [SEP] kept blocks [SEP] block [SEP]``, the kept part only where there is one, and gives the log-odds
that the block is needed for the query given what is kept:

    linear([CLS]) + a * cosine(mean of query, mean of block) + b * mean over query tokens of their best cosine in the block
    + with kept blocks: c * weighted mean over kept tokens of their best cosine in the block + d

The cosines are what the trunk's own sentence vectors and late interaction (Khattab and Zaharia 2020, "ColBERT", section
3.3) would say, but of tokens that have read each other; so a short training begins from what the trunk knows. A kept token
weighs sigmoid(linear(token) + e * its best cosine in the query): names more than small words, news more than the known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize
from transformers import BertModel

from ctxproc.llm.trunk import plain_tokenizer

CLS, SEP = 101, 102
QUERY, KEPT, BLOCK = 1, 2, 3
"""The parts of a row, besides 0 for special tokens and padding."""


@dataclass(frozen=True)
class Row:
    """A query, what is kept, and a block, as token ids."""

    query: Sequence[int]
    kept: Sequence[int]
    block: Sequence[int]

    def __len__(self) -> int:
        """Tokens with the special ones."""
        return len(self.query) + len(self.kept) + len(self.block) + (4 if self.kept else 3)


@dataclass(frozen=True)
class Rows:
    """Padded model input, each (B, T): ids; segment types, 1 for the block; True at tokens; the part of each token."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    parts: Tensor

    @classmethod
    def of(cls, rows: Sequence[Row]) -> Rows:
        """Pad to the longest row."""
        shape = (len(rows), max((len(row) for row in rows), default=1))
        ids, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        mask, parts = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.long)
        for k, row in enumerate(rows):
            pieces = [(QUERY, row.query), *([(KEPT, row.kept)] if row.kept else []), (BLOCK, row.block)]
            whole = [CLS, *chain.from_iterable((*piece, SEP) for _, piece in pieces)]
            part = [0, *chain.from_iterable((*[name] * len(piece), 0) for name, piece in pieces)]
            ids[k, : len(whole)] = torch.tensor(whole)
            parts[k, : len(whole)] = torch.tensor(part)
            mask[k, : len(whole)] = True
            types[k, len(whole) - len(row.block) - 1 : len(whole)] = 1
        return cls(ids, types, mask, parts)

    def to(self, device: torch.device) -> Rows:
        """The same on another device."""
        return Rows(*(part.to(device) for part in (self.ids, self.types, self.mask, self.parts)))


class Words:
    """The trunk's tokenizer; special tokens written in a text are read as plain text."""

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer of a model folder."""
        self._tokenizer = plain_tokenizer(folder)

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The token ids of each text."""
        return [found.ids for found in self._tokenizer.encode_batch(list(texts), add_special_tokens=False)]


class JudgeModel(nn.Module):
    """Encoder and head; see the module's docstring for the score."""

    def __init__(self, trunk: BertModel) -> None:
        """Put a fresh head on a trunk."""
        super().__init__()
        width = trunk.config.hidden_size
        self.trunk = trunk
        self.whole = nn.Linear(width, 1)
        self.near = nn.Parameter(torch.tensor([8.0, 8.0]))
        self.weigh = nn.Linear(width, 1)
        self.lead = nn.Parameter(torch.zeros(3))
        nn.init.normal_(self.whole.weight, std=0.02)
        nn.init.constant_(self.whole.bias, -8.0)
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def forward(self, rows: Rows) -> Tensor:
        """Log-odds (B,) in fp32."""
        hidden = self.encode(rows)
        return self.alone(hidden, rows.parts) + self.led(hidden, rows.parts)

    def encode(self, rows: Rows) -> Tensor:
        """The trunk's last states (B, T, D), fp32."""
        states: Tensor = self.trunk(
            input_ids=rows.ids, token_type_ids=rows.types, attention_mask=rows.mask.long()
        ).last_hidden_state
        return states.float()

    def alone(self, hidden: Tensor, parts: Tensor) -> Tensor:
        """What block and query say (B,)."""
        query, block = (parts == QUERY).float(), (parts == BLOCK).float()
        means = [normalize((hidden * part[:, :, None]).sum(1), dim=-1) for part in (query, block)]
        best = (best_in(hidden, block) * query).sum(1) / query.sum(1).clamp(min=1)
        near = torch.stack([(means[0] * means[1]).sum(1), best], dim=1)
        score: Tensor = self.whole(hidden[:, 0])[:, 0] + near @ self.near
        return score

    def led(self, hidden: Tensor, parts: Tensor) -> Tensor:
        """What the kept blocks add (B,): how much of what matters in them, and is new to the query, the block takes up."""
        kept = (parts == KEPT).float()
        known, taken = (best_in(hidden, (parts == part).float()) for part in (QUERY, BLOCK))
        weight = torch.sigmoid(self.weigh(hidden)[:, :, 0] + self.lead[1] * known) * kept
        share = (weight * taken).sum(1) / weight.sum(1).clamp(min=1e-6)
        return (self.lead[0] * share + self.lead[2]) * kept.amax(1)


def best_in(hidden: Tensor, inside: Tensor) -> Tensor:
    """The highest cosine of each token with one of those ``inside``, -1 where there is none: (B, T, D), (B, T) to (B, T)."""
    unit = normalize(hidden, dim=-1)
    return (unit @ unit.transpose(1, 2)).masked_fill(inside[:, None, :] == 0, -1.0).amax(2)

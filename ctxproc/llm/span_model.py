"""The network of the built-in reader, and its input: what training and the product share.

A span from token ``i`` to token ``j`` scores

    start_i + end_j + left_i . right_j / sqrt(rank) + bias(passage)

and "no answer here" scores 0, so one softmax over all spans and null gives probabilities, and scores of several
passages of one question can be compared.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import BertModel

SPECIALS = 3  # [CLS] question [SEP] context [SEP]
MAX_SPAN = 30  # tokens an answer may have
RANK = 64
IMPOSSIBLE = -1e4  # score of what is not a span of the context
CANDIDATES = 40  # likely spans that are compared
WORDS = re.compile(r"\w+")


@dataclass(frozen=True)
class Encoded:
    """A question and a context as token ids; ``offsets[k]`` are the characters of context token ``k``."""

    question: list[int]
    context: list[int]
    offsets: list[tuple[int, int]]

    def __len__(self) -> int:
        """Tokens, with the three special ones."""
        return len(self.question) + len(self.context) + SPECIALS

    @property
    def first(self) -> int:
        """Position of the first context token in the whole sequence."""
        return len(self.question) + 2


@dataclass(frozen=True)
class Batch:
    """Padded model input, each (B, T): ids; segment types; True at tokens; True at tokens of the context."""

    ids: Tensor
    types: Tensor
    mask: Tensor
    inside: Tensor

    @classmethod
    def of(cls, items: Sequence[Encoded], *, width: int = 0, cls_id: int = 101, sep_id: int = 102) -> Batch:
        """Pad to the longest item, or to ``width`` where that is more."""
        shape = (len(items), max(width, *(len(item) for item in items), 1))
        ids, types = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        mask, inside = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        for row, item in enumerate(items):
            whole = [cls_id, *item.question, sep_id, *item.context, sep_id]
            ids[row, : len(whole)] = torch.tensor(whole)
            mask[row, : len(whole)] = True
            types[row, item.first : len(whole)] = 1
            inside[row, item.first : len(whole) - 1] = True
        return cls(ids, types, mask, inside)

    def to(self, device: torch.device) -> Batch:
        """The same on another device."""
        return Batch(*(part.to(device) for part in (self.ids, self.types, self.mask, self.inside)))


class Encoder:
    """The trunk's tokenizer; special tokens written in a text are read as plain text."""

    def __init__(self, folder: Path) -> None:
        """Read the tokenizer of a model folder."""
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._tokenizer.encode_special_tokens = True

    def encode(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Encoded]:
        """Tokenise pairs; offsets are characters of the context as given."""
        asked = self._tokenizer.encode_batch(list(questions), add_special_tokens=False)
        read = self._tokenizer.encode_batch(list(contexts), add_special_tokens=False)
        return [
            Encoded(q.ids, c.ids, _whole_marks(context, c.offsets))
            for q, c, context in zip(asked, read, contexts, strict=True)
        ]


class SpanModel(nn.Module):
    """Encoder and span head; see the module's docstring for the score of a span."""

    def __init__(self, trunk: BertModel) -> None:
        """Put a fresh head on a trunk."""
        super().__init__()
        width = trunk.config.hidden_size
        self.trunk = trunk
        self.boundary = nn.Linear(width, 2)
        self.left = nn.Linear(width, RANK)
        self.right = nn.Linear(width, RANK)
        self.bias = nn.Linear(width, 1)
        nn.init.constant_(self.bias.bias, -8.0)  # a context has about e^8 spans: start undecided

    def forward(self, batch: Batch) -> Tensor:
        """Score every span.

        Returns:
            Scores (B, T, T) in fp32, start token by end token, relative to null = 0; ``IMPOSSIBLE`` off the spans.
        """
        hidden = self.trunk(
            input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask.long()
        ).last_hidden_state.to(self.boundary.weight.dtype)
        start, end = self.boundary(hidden).unbind(-1)
        pair = self.left(hidden) @ self.right(hidden).transpose(1, 2) / math.sqrt(RANK)
        scores: Tensor = start[:, :, None] + end[:, None, :] + pair + self.bias(hidden[:, 0])[:, :, None]
        return scores.float().masked_fill(~spans(batch.inside), IMPOSSIBLE)


def spans(inside: Tensor) -> Tensor:
    """True where (start, end) is a span of at most ``MAX_SPAN`` tokens within ``inside``: (B, T) to (B, T, T)."""
    size = inside.shape[1]
    band = torch.ones(size, size, dtype=torch.bool, device=inside.device).triu().tril(MAX_SPAN - 1)
    return inside[:, :, None] & inside[:, None, :] & band


@dataclass(frozen=True)
class Choice:
    """The answer among the spans of one passage: its characters, and what it and all spans score together."""

    start: int
    end: int
    best: float  # log of the summed exponentials of the spans that say the same, relative to null = 0
    any_span: float  # the same of all spans


def choose(scores: Tensor, item: Encoded, question: str, context: str) -> Choice:
    """The text that is likeliest, summed over its occurrences, as the likeliest span that says it.

    Spans say the same if their words do, without case and punctuation; only the ``CANDIDATES`` likeliest spans are
    looked at. Training sums over occurrences too, so one occurrence alone may have little of the probability.
    What only repeats words of the question comes last, unless the question has an "or".

    Args:
        scores: Of this passage, (T, T), with at least one span.
        item: The question and the context as read.
        question: As text.
        context: As text, which the offsets are of.
    """
    flat = scores.flatten()
    top, places = flat.topk(min(CANDIDATES, len(flat)))
    any_span = float(flat.logsumexp(0))
    masses: dict[str, float] = {}
    likeliest: dict[str, tuple[int, int]] = {}
    for score, place in zip(top.tolist(), places.tolist(), strict=True):
        if score <= IMPOSSIBLE / 2:
            break
        first, last = divmod(place, scores.shape[1])
        start, end = item.offsets[first - item.first][0], item.offsets[last - item.first][1]
        said = _said(context[start:end])
        likeliest.setdefault(said, (start, end))
        masses[said] = masses.get(said, 0.0) + math.exp(score - any_span)
    asked = frozenset(WORDS.findall(question.lower()))
    echoes = {said for said in masses if "or" not in asked and asked.issuperset(said.split())}
    said = max(masses, key=lambda said: (said not in echoes, masses[said]))
    return Choice(*likeliest[said], math.log(max(masses[said], 1e-30)) + any_span, any_span)


def _said(text: str) -> str:
    """The words of an answer; the text itself where it has none."""
    return " ".join(WORDS.findall(text.lower())) or text


def _whole_marks(context: str, offsets: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Let a token's end take in the combining marks that follow, so that no slice cuts a letter in two."""
    limits = [*(start for start, _ in offsets), len(context)][1:]
    whole = []
    for (start, end), limit in zip(offsets, limits, strict=True):
        while end < limit and unicodedata.category(context[end]).startswith("M"):
            end += 1
        whole.append((start, end))
    return whole

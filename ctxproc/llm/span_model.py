"""The network of the built-in reader, and its input: what training and the product share.

It is the trunk with the span head of span_head.py, which says how a span scores.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor
from transformers import BertModel

from ctxproc.llm.several import Likely
from ctxproc.llm.span_head import IMPOSSIBLE, SpanNetwork
from ctxproc.llm.trunk import plain_tokenizer

SPECIALS = 3  # [CLS] question [SEP] context [SEP]
MAX_SPAN = 30  # tokens an answer may have
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
        self._tokenizer = plain_tokenizer(folder)

    def encode(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Encoded]:
        """Tokenise pairs; offsets are characters of the context as given."""
        asked = self._tokenizer.encode_batch(list(questions), add_special_tokens=False)
        read = self._tokenizer.encode_batch(list(contexts), add_special_tokens=False)
        return [
            Encoded(q.ids, c.ids, _whole_marks(context, c.offsets))
            for q, c, context in zip(asked, read, contexts, strict=True)
        ]


class SpanModel(SpanNetwork):
    """The trunk and the span head."""

    longest: ClassVar[int] = MAX_SPAN

    def __init__(self, trunk: BertModel) -> None:
        """Put a fresh head on a trunk."""
        super().__init__()
        self.trunk = trunk
        self.add_head(trunk.config.hidden_size, -8.0)  # a context has about e^8 spans

    def forward(self, batch: Batch) -> Tensor:
        """The scores of all spans, see `SpanNetwork.span_scores`."""
        hidden = self.trunk(
            input_ids=batch.ids, token_type_ids=batch.types, attention_mask=batch.mask.long()
        ).last_hidden_state
        return self.span_scores(hidden, batch.inside)


@dataclass(frozen=True)
class Choice:
    """The answer among the spans of one passage: its characters, and what it and all spans score together."""

    start: int
    end: int
    best: float  # log of the summed exponentials of the spans that say the same, relative to null = 0
    any_span: float  # the same of all spans
    likely: tuple[Likely, ...] = ()  # the spans that were compared, with their shares of all spans' probability


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
    likely: list[Likely] = []
    for score, place in zip(top.tolist(), places.tolist(), strict=True):
        if score <= IMPOSSIBLE / 2:
            break
        first, last = divmod(place, scores.shape[1])
        start, end = item.offsets[first - item.first][0], item.offsets[last - item.first][1]
        said = _said(context[start:end])
        likely.append(Likely(start, end, math.exp(score - any_span)))
        likeliest.setdefault(said, (start, end))
        masses[said] = masses.get(said, 0.0) + likely[-1].probability
    asked = frozenset(WORDS.findall(question.lower()))
    echoes = {said for said in masses if "or" not in asked and asked.issuperset(said.split())}
    said = max(masses, key=lambda said: (said not in echoes, masses[said]))
    return Choice(*likeliest[said], math.log(max(masses[said], 1e-30)) + any_span, any_span, tuple(likely))


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

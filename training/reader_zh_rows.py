"""What the Chinese reader trains on, row by row: windows of passages, with the answer or without.

The windows of a pass are drawn anew from its seed, so every pass sees other cuts of the same passages.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from ctxproc.llm.reader_zh_model import MAX_SPAN, ZhBatch, ZhModel
from ctxproc.llm.reader_zh_text import MARK, UNKNOWN, WORD, Characters, Pair, Text
from training.reader_zh_data import Question

__all__ = ["Collection", "Row", "batches", "loss_of", "real_rows", "spans_of"]

POOL = 64  # batches that are sorted by length together
HIDDEN = 0.1  # share of the characters that are hidden from the network in training; matches are seen nevertheless


@dataclass(frozen=True)
class Row:
    """A question and a window; ``gold`` are (first, last) tokens of the window, none for no answer."""

    question: Text
    context: Text
    gold: list[tuple[int, int]]
    seed: int

    def __len__(self) -> int:
        """Tokens of the sequence."""
        return len(self.question) + len(self.context) + 3


class Collection:
    """The passages and questions that `training.reader_zh_data` wrote, tokenised."""

    def __init__(self, folder: Path) -> None:
        """Read a folder."""
        first = load_file(folder / "first.safetensors")
        entries = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
        self.characters = Characters(entries, first["rarity"].numpy())
        self.vectors: Tensor = first["vectors"]
        self.plain: list[str] = json.loads((folder / "passages.json").read_text(encoding="utf-8"))
        self.passages = [self.characters.tokens(text) for text in self.plain]
        self.folder = folder

    def questions(self, name: str) -> list[Question]:
        """Those of a part."""
        lines = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
        return [Question(r["question"], r["passage"], [(a, b) for a, b in r["answers"]], r["near"]) for r in lines]


def spans_of(context: Text, answers: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Characters as (first, last) tokens; those of more than `MAX_SPAN` tokens are left out."""
    starts, ends = (np.array(side, dtype=np.int64) for side in zip(*context.offsets, strict=True))
    spans = set()
    for start, end in answers:
        first, last = int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end)) - 1
        if 0 <= last - first < MAX_SPAN:
            spans.add((first, last))
    return sorted(spans)


def real_rows(source: Collection, questions: Sequence[Question], seed: int, absent: float = 0.3) -> Iterator[Row]:
    """Each question with a window that has its answer, and ``absent`` of them also with one that has not."""
    rng = random.Random(seed)
    for q in questions:
        passage, question = source.passages[q.passage], source.characters.tokens(q.question)
        spans = spans_of(passage, q.answers)
        if not spans or len(question) > 60:
            continue
        start, end = _window(len(passage), spans[0], rng)
        gold = [(a - start, b - start) for a, b in spans if a >= start and b < end]
        yield Row(question, passage.part(start, end), gold, rng.getrandbits(32))
        if rng.random() < absent:
            yield _without(source, q, question, spans, rng)


def _window(size: int, span: tuple[int, int], rng: random.Random) -> tuple[int, int]:
    """A window of 80 to 224 tokens, or more, around a span."""
    length = max(rng.randint(80, 224), span[1] - span[0] + 1)
    low, high = max(0, span[1] + 1 - length), min(span[0], max(0, size - length))
    start = rng.randint(min(low, high), high)
    return start, min(size, start + length)


def _without(
    source: Collection, q: Question, question: Text, spans: Sequence[tuple[int, int]], rng: random.Random
) -> Row:
    """A window without the answer: of the same passage where there is room beside it, or of a near one."""
    passage, length = source.passages[q.passage], rng.randint(80, 200)
    low, high = min(a for a, _ in spans), max(b for _, b in spans)
    room = [(0, low), (high + 1, len(passage))]
    room = [(a, b) for a, b in room if b - a >= 80]
    if room and (rng.random() < 0.5 or not q.near):
        begin, end = rng.choice(room)
    else:
        passage = source.passages[rng.choice(q.near)] if q.near else rng.choice(source.passages)
        begin, end = 0, len(passage)
    start = rng.randint(begin, max(begin, end - length))
    return Row(question, passage.part(start, min(end, start + length)), [], rng.getrandbits(32))


def batches(rows: Iterator[Row], budget: int, seed: int) -> Iterator[list[Row]]:
    """Batches of like length, of at most ``budget`` padded tokens, in random order within a pool."""
    rng = random.Random(seed)
    pool: list[Row] = []
    tokens = 0
    for row in rows:
        pool.append(row)
        tokens += len(row)
        if tokens > POOL * budget:
            yield from _cut(pool, budget, rng)
            pool, tokens = [], 0
    yield from _cut(pool, budget, rng)


def _cut(pool: list[Row], budget: int, rng: random.Random) -> list[list[Row]]:
    cut: list[list[Row]] = []
    for row in sorted(pool, key=len):
        if not cut or (len(cut[-1]) + 1) * len(row) > budget:
            cut.append([])
        cut[-1].append(row)
    rng.shuffle(cut)
    return cut


def loss_of(model: ZhModel, rows: Sequence[Row]) -> Tensor:
    """Mean of minus the log of the probability of each row's answer spans, or of null; some characters are hidden."""
    pairs = [_hidden(Pair.of(row.question, row.context), row.seed) for row in rows]
    scores = model(ZhBatch.of(pairs))
    whole = torch.logaddexp(scores.flatten(1).logsumexp(1), torch.zeros(()))
    losses = []
    for row, pair, mine, total in zip(rows, pairs, scores, whole, strict=True):
        if row.gold:
            first, last = (torch.tensor(side) + pair.first for side in zip(*row.gold, strict=True))
            total = total - mine[first, last].logsumexp(0)
        losses.append(total)
    return torch.stack(losses).mean()


def _hidden(pair: Pair, seed: int) -> Pair:
    rng = np.random.default_rng(seed)
    hide = (rng.random(len(pair)) < HIDDEN) & (pair.ids > MARK)
    return Pair(
        np.where(hide, rng.choice([UNKNOWN, WORD], len(pair), p=[0.9, 0.1]), pair.ids), pair.features, pair.first
    )

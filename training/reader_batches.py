"""Training examples as token ids, and batches of about equal length that keep the passages of a question together."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctxproc.llm.span_model import MAX_SPAN, Encoded, Encoder

__all__ = ["Row", "batches", "load_groups"]

POOL = 96  # batches that are sorted by length together


@dataclass(frozen=True)
class Row:
    """One question and passage; ``gold`` are (start, end) token positions in the sequence, none for no answer."""

    encoded: Encoded
    gold: list[tuple[int, int]]
    question: str
    context: str
    answers: list[str]


def load_groups(path: Path, encoder: Encoder, longest: int) -> list[list[Row]]:
    """Read a file of examples; rows that are too long, or whose answer is, are left out."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    groups: dict[str, list[Row]] = {}
    for begin in range(0, len(records), 1000):
        part = records[begin : begin + 1000]
        encoded = encoder.encode([r["question"] for r in part], [r["context"] for r in part])
        for record, item in zip(part, encoded, strict=True):
            gold = token_spans(item, record["answers"])
            if len(item) <= longest and item.question and item.context and bool(gold) == bool(record["answers"]):
                texts = [record["context"][a:b] for a, b in record["answers"]]
                row = Row(item, gold, record["question"], record["context"], texts)
                groups.setdefault(record["group"], []).append(row)
    return list(groups.values())


def token_spans(item: Encoded, answers: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
    """Character spans of the context as token positions of the whole sequence."""
    spans = []
    for start, end in answers:
        tokens = [k for k, (a, b) in enumerate(item.offsets) if a < end and b > start]
        if tokens and tokens[-1] - tokens[0] < MAX_SPAN:
            spans.append((item.first + tokens[0], item.first + tokens[-1]))
    return sorted(set(spans))


def batches(groups: Sequence[list[Row]], budget: int, seed: int) -> Iterator[list[list[Row]]]:
    """Cut shuffled groups into batches of at most ``budget`` padded tokens."""
    rng = random.Random(seed)
    order = list(groups)
    rng.shuffle(order)
    lengths = [sum(len(row.encoded) for row in group) for group in order]
    pool: list[list[Row]] = []
    tokens = 0
    for group, length in zip(order, lengths, strict=True):
        pool.append(group)
        tokens += length
        if tokens > POOL * budget:
            yield from _cut(pool, budget, rng)
            pool, tokens = [], 0
    yield from _cut(pool, budget, rng)


def _cut(pool: list[list[Row]], budget: int, rng: random.Random) -> list[list[list[Row]]]:
    def longest(group: list[Row]) -> int:
        return max(len(row.encoded) for row in group)

    cut: list[list[list[Row]]] = [[]]
    rows = 0
    for group in sorted(pool, key=longest):
        if cut[-1] and (rows + len(group)) * longest(group) > budget:
            cut.append([])
            rows = 0
        cut[-1].append(group)
        rows += len(group)
    cut = [batch for batch in cut if batch]
    rng.shuffle(cut)
    return cut

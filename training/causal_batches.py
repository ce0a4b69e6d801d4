"""Examples as rows of tokens: several to a row, each with its own positions, no task seeing another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from ctxproc.llm.tokenizer import HfTokenizer
from training.causal_tasks import Example, Part
from training.causal_text import ROLES

__all__ = ["Batch", "Tokens", "encode", "pack"]

LATER = 0.4  # weight of a reply's tokens behind the first of a part, as a share of its weight
FAR = 0.1  # and from the eighth on
FAR_CLOSING = 0.3  # the same in the closing steps
POINTED = 40  # tokens of a part that are pointed at, at most


@dataclass
class Tokens:
    """An example's tokens in order.

    Attributes:
        ids: begin-of-text, the context, and the tasks, each followed by end-of-text.
        weights: of each token as a target of the loss.
        tasks: the number of the task that a token is of, from 1; 0 for the context.
        positions: from 0 through the context; every task begins behind the context.
        sources: for tokens of replies that stand in the context, where they stand there.
    """

    ids: list[int]
    weights: list[float]
    tasks: list[int]
    positions: list[int]
    sources: dict[int, list[int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass
class Batch:
    """Rows of equal length.

    Attributes:
        ids, positions: (rows, length).
        mask: (rows, 1, length, length), true where a token (third axis) sees another one (fourth).
        weights: (rows, length), of each token as a target; 0 for padding.
        tasks: (rows, length), a number for each task of a row; 0 for padding.
        sources: per row, for targets by their place, the places of the same token in the context.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    weights: Tensor
    tasks: Tensor
    sources: list[dict[int, list[int]]]


def encode(example: Example, tokenizer: HfTokenizer, longest: int = 10**9, far: float = FAR) -> Tokens:
    """The tokens of an example, every part tokenised on its own, as prompts are; no more than ``longest``.

    Tasks for which there is no room are left out. The weight of a token far behind the beginning of its part is ``far``.
    """
    end = int(tokenizer.inner.eos_token_id)
    user, assistant = (int(tokenizer.inner.convert_tokens_to_ids(ROLES[role])) for role in ("user", "assistant"))
    ids = [*tokenizer.bos, user] if example.chat else list(tokenizer.bos)
    weights = [0.0] * len(ids)
    for part in example.context:
        _add(part, tokenizer, ids, weights, far)
    begin = len(ids)
    found = Tokens(ids, weights, [0] * begin, list(range(begin)))
    for number, task in enumerate(example.tasks, 1):
        before = len(ids)
        for part in task.asked:
            _add(part, tokenizer, ids, weights, far)
        if example.chat:
            ids += [end, assistant]
            weights += [0.0, 0.0]
        for part in task.reply:
            start = len(ids)
            _add(part, tokenizer, ids, weights, far)
            found.sources.update(_sources(ids[:begin], ids[start:], start))
        if task.ends:
            ids.append(end)
            weights.append(LATER)
        if len(ids) > longest:
            del ids[before:], weights[before:]
            found.sources = {at: spots for at, spots in found.sources.items() if at < before}
            continue
        found.tasks += [number] * (len(ids) - before)
        found.positions += range(begin, begin + len(ids) - before)
    return found


@lru_cache(4096)
def _encoded(tokenizer: HfTokenizer, text: str) -> tuple[int, ...]:
    return tuple(tokenizer.encode(text))


def _add(part: Part, tokenizer: HfTokenizer, ids: list[int], weights: list[float], far: float) -> None:
    made = _encoded(tokenizer, part.text)
    ids += made
    weights += [part.weight * (1.0 if k == 0 else LATER if k < 8 else far) for k in range(len(made))]


def _sources(context: list[int], wanted: list[int], start: int) -> dict[int, list[int]]:
    """Where the context has these tokens in a row, or all but the last; for the first `POINTED` of them."""
    for tokens in (wanted, wanted[:-1] if len(wanted) > 2 else []):
        size = len(tokens)
        spots = [k for k in range(len(context) - size + 1) if context[k : k + 1] == tokens[:1]] if size else []
        spots = [k for k in spots if context[k : k + size] == tokens]
        if spots:
            return {start + n: [k + n for k in spots] for n in range(min(size, POINTED))}
    return {}


def pack(examples: Iterator[Tokens], rows: int, length: int) -> Batch:
    """Draw examples until ``rows`` rows of ``length`` are nearly full.

    An example goes to the first row with room for it; one that is longer than a row is passed over.
    """
    filled: list[list[Tokens]] = [[] for _ in range(rows)]
    room = [length] * rows
    misses = 0
    while misses < 12 and max(room) > 40:
        tokens = next(examples)
        fitting = [k for k in range(rows) if room[k] >= len(tokens)]
        if not fitting or not tokens.tasks or not any(tokens.weights):
            misses += 1
            continue
        filled[fitting[0]].append(tokens)
        room[fitting[0]] -= len(tokens)
    return _stack(filled, length)


def _stack(filled: list[list[Tokens]], length: int) -> Batch:
    rows = len(filled)
    ids, positions, number, task = (torch.zeros(rows, length, dtype=torch.long) for _ in range(4))
    weights = torch.zeros(rows, length)
    sources: list[dict[int, list[int]]] = []
    for k, row in enumerate(filled):
        begin = 0
        sources.append({})
        for place, tokens in enumerate(row, 1):
            sources[k] |= {begin + at: [begin + spot for spot in spots] for at, spots in tokens.sources.items()}
            part = slice(begin, begin := begin + len(tokens))
            ids[k, part] = torch.tensor(tokens.ids)
            positions[k, part] = torch.tensor(tokens.positions)
            weights[k, part] = torch.tensor(tokens.weights)
            task[k, part] = torch.tensor(tokens.tasks)
            number[k, part] = place
            weights[k, part.start] = 0.0
    same = number[:, :, None] == number[:, None, :]
    near = (task[:, None, :] == 0) | (task[:, :, None] == task[:, None, :])
    mask = (same & near).tril()
    return Batch(ids, positions, mask[:, None], weights, number * 100 + task, sources)

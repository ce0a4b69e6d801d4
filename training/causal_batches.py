"""Examples as rows of tokens: several to a row, each with its own positions, no task seeing another one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ctxproc.llm.tokenizer import HfTokenizer
from training.causal_tasks import Example, Part

__all__ = ["Batch", "Tokens", "encode", "pack"]


@dataclass
class Tokens:
    """An example's tokens in order.

    Attributes:
        ids: begin-of-text, the context, and the tasks, each followed by end-of-text.
        weights: of each token as a target of the loss.
        tasks: the number of the task that a token is of, from 1; 0 for the context.
        positions: from 0 through the context; every task begins behind the context.
    """

    ids: list[int]
    weights: list[float]
    tasks: list[int]
    positions: list[int]

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
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    weights: Tensor
    tasks: Tensor


def encode(example: Example, tokenizer: HfTokenizer) -> Tokens:
    """The tokens of an example, every part tokenised on its own, as prompts are."""
    ids, weights = list(tokenizer.bos), [0.0] * len(tokenizer.bos)
    _add(example.context, tokenizer, ids, weights)
    begin = len(ids)
    tasks, positions = [0] * begin, list(range(begin))
    for number, task in enumerate(example.tasks, 1):
        before = len(ids)
        _add(task, tokenizer, ids, weights)
        ids.append(int(tokenizer.inner.eos_token_id))
        weights.append(1.0)
        tasks += [number] * (len(ids) - before)
        positions += range(begin, begin + len(ids) - before)
    return Tokens(ids, weights, tasks, positions)


def _add(parts: list[Part], tokenizer: HfTokenizer, ids: list[int], weights: list[float]) -> None:
    for part in parts:
        made = tokenizer.encode(part.text)
        ids += made
        weights += [part.weight] * len(made)


def pack(examples: Iterator[Tokens], rows: int, length: int) -> Batch:
    """Draw examples until ``rows`` rows of ``length`` are nearly full.

    An example goes to the first row with room for it; one that is longer than a row is passed over.
    """
    filled: list[list[Tokens]] = [[] for _ in range(rows)]
    room = [length] * rows
    misses = 0
    while misses < 8:
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
    for k, row in enumerate(filled):
        begin = 0
        for place, tokens in enumerate(row, 1):
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
    return Batch(ids, positions, mask[:, None], weights, number * 100 + task)

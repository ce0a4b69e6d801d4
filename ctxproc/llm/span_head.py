"""Where an answer stands in a text: the span head that both readers end in, and the spans of a text.

A span from token ``i`` to token ``j`` scores

    start_i + end_j + left_i . right_j / sqrt(rank) + bias(passage)

and "no answer here" scores 0, so one softmax over all spans and null gives probabilities, and scores of several
passages of one question can be compared.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

RANK = 64
IMPOSSIBLE = -1e4  # score of what is not a span of the context


class SpanNetwork(nn.Module):
    """A network that ends in a span head: it adds the head once its own parts are there, and scores its last states."""

    longest: ClassVar[int]
    """Tokens an answer may have."""

    def add_head(self, width: int, undecided: float) -> None:
        """Put a fresh head on states of this width; the bias begins at ``undecided``, about -log of the spans there are."""
        self.boundary = nn.Linear(width, 2)
        self.left = nn.Linear(width, RANK)
        self.right = nn.Linear(width, RANK)
        self.bias = nn.Linear(width, 1)
        nn.init.constant_(self.bias.bias, undecided)

    def span_scores(self, hidden: Tensor, inside: Tensor) -> Tensor:
        """Score every span.

        Args:
            hidden: (B, T, D), the first state of each row standing for the passage; the head works in its own format.
            inside: (B, T), True at tokens of the context.

        Returns:
            Scores (B, T, T) in fp32, start token by end token, relative to null = 0; ``IMPOSSIBLE`` off the spans.
        """
        hidden = hidden.to(self.boundary.weight.dtype)
        start, end = self.boundary(hidden).unbind(-1)
        pair = self.left(hidden) @ self.right(hidden).transpose(1, 2) / math.sqrt(RANK)
        scores: Tensor = start[:, :, None] + end[:, None, :] + pair + self.bias(hidden[:, 0])[:, :, None]
        return scores.float().masked_fill(~spans(inside, self.longest), IMPOSSIBLE)


def spans(inside: Tensor, longest: int) -> Tensor:
    """True where (start, end) is a span of at most ``longest`` tokens within ``inside``: (B, T) to (B, T, T)."""
    size = inside.shape[1]
    band = torch.ones(size, size, dtype=torch.bool, device=inside.device).triu().tril(longest - 1)
    return inside[:, :, None] & inside[:, None, :] & band


def occurrences(
    offsets: Sequence[tuple[int, int]], context: str, answer: str, longest: int
) -> Iterator[tuple[int, int]]:
    """Tokens (first, last) of an answer's occurrences that begin and end with a token and have at most ``longest``.

    Args:
        offsets: The characters of each token of the context; of tokens that begin at one place the first counts.
        context: As text.
        answer: As text; "" occurs nowhere.
        longest: In tokens.
    """
    begins = {start: k for k, (start, _) in reversed(list(enumerate(offsets)))}
    ends = {end: k for k, (_, end) in enumerate(offsets)}
    at = context.find(answer) if answer else -1
    while at >= 0:
        first, last = begins.get(at), ends.get(at + len(answer))
        if first is not None and last is not None and 0 <= last - first < longest:
            yield first, last
        at = context.find(answer, at + 1)

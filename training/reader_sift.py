"""The shipped reader as a judge of made questions: how likely it finds the answer, and what it would answer itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ctxproc.llm.span_model import Batch, Encoded, Encoder, SpanModel
from training.reader_batches import token_spans
from training.reader_cloze import Example
from training.reader_measure import f1

__all__ = ["Opinion", "agreed", "opinions", "worth"]

HOPELESS = -3.5  # log-probability of the marked answer below which a made question is taken for a bad one
EASY = -0.1  # and above which there is nothing to learn from it
LONGEST = 384  # tokens


@dataclass(frozen=True)
class Opinion:
    """What the reader makes of one question and context.

    Attributes:
        marked: Log-probability of the marked answers, "no answer" among the alternatives; -inf without any.
        start: First character of its own answer in the context.
        end: One past its last.
        sure: Log-probability of its own answer.
    """

    marked: float
    start: int
    end: int
    sure: float


@torch.inference_mode()
def opinions(
    model: SpanModel, encoder: Encoder, examples: Sequence[Example], size: int = 24
) -> Iterator[tuple[int, Opinion]]:
    """Index and opinion of every example of at most ``LONGEST`` tokens that has something to read, shortest first."""
    items = encoder.encode([e.question for e in examples], [e.context for e in examples])
    order = [k for k in range(len(items)) if len(items[k]) <= LONGEST and items[k].context and items[k].question]
    order.sort(key=lambda k: len(items[k]))
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        scores = model(Batch.of([items[k] for k in part]))
        whole = torch.logaddexp(scores.flatten(1).logsumexp(1), torch.zeros(()))
        for row, k in enumerate(part):
            yield k, _opinion(items[k], examples[k], scores[row], whole[row])


def _opinion(item: Encoded, example: Example, scores: torch.Tensor, whole: torch.Tensor) -> Opinion:
    spans = token_spans(item, example.answers)
    marked = [scores[i, j] - whole for i, j in spans]
    best, place = scores.flatten().max(0)
    first, last = divmod(int(place), scores.shape[1])
    start, end = item.offsets[first - item.first][0], item.offsets[last - item.first][1]
    total = float(torch.stack(marked).logsumexp(0)) if marked else float("-inf")
    return Opinion(total, start, end, float(best - whole))


def worth(example: Example, opinion: Opinion) -> bool:
    """Whether to train on a made question: the reader does not know it yet, and does not find it absurd."""
    if opinion.marked > EASY:
        return False
    own, marked = example.context[opinion.start : opinion.end], example.context[slice(*example.answers[0])]
    return opinion.marked > HOPELESS or f1(own, [marked]) >= 0.5


def agreed(contexts: tuple[str, str], readings: tuple[Opinion, Opinion], question: str) -> str | None:
    """The answer that two readings share and that at least one is sure of (0.35), unless the question has it."""
    one, two = (text[r.start : r.end] for text, r in zip(contexts, readings, strict=True))
    if one.lower() != two.lower() or max(r.sure for r in readings) < -1.05 or one.lower() in question.lower():
        return None
    return one

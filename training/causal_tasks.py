"""What an example of the causal model's training is, and the mixture of tasks that a step is made of.

An example is one context and several tasks over it. No task sees another one, each begins at the position behind the
context: to the model every task is a prompt of its own, and the context is read once.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from ctxproc.prompt import Prompt, template
from training.causal_text import Pool

QUOTED = 0.4  # weight of a quotation's tokens: many, and each follows from the one before
SHORT = ("\n\nQuestion:\n{}\n\nAnswer:", "\n\nQuestion: {}\nAnswer:", "\n\nQuestion: {}\n\nAnswer:", "\n{}\nAnswer:")


class Part(NamedTuple):
    """A piece of text that is tokenised on its own; ``weight`` is that of its tokens in the loss."""

    text: str
    weight: float = 0.0


@dataclass
class Example:
    """A context and its tasks; behind a task whose last part has a weight comes end-of-text."""

    context: list[Part]
    tasks: list[list[Part]] = field(default_factory=list)


@dataclass(frozen=True)
class Source:
    """Where tasks are made from: a pool of text, groups of like sentences in it, and the longest example in tokens."""

    pool: Pool
    groups: Tensor
    longest: int

    def of(self, longest: int) -> Source:
        """The same text for examples of another length."""
        return Source(self.pool, self.groups, longest)


Maker = Callable[[Source, random.Random], Example]


def prefix(step: str = "answer") -> Part:
    """What precedes the context in a strategy's prompt."""
    return Part(template(step).source.split("{context}")[0])


def asked(step: str, question: str, **values: str) -> list[Part]:
    """What follows the context in a strategy's prompt, piece by piece."""
    prompt: Prompt = template(step).fill(["."], {"question": question, **values})
    return [Part(segment.text) for segment in prompt.segments if segment.role == "task"]


def brief(question: str, form: int) -> list[Part]:
    """A question in one of the short forms."""
    return [Part(SHORT[form].format(question))]


def reply(answer: str, quote: str = "") -> list[Part]:
    """The reply to a task: an answer, or the two lines that the strategies' prompts ask for."""
    parts = [Part(f" {answer}", 1.0)]
    return [*parts, Part("\nQuote:", QUOTED), Part(f" {quote}", QUOTED)] if quote else parts


def missing() -> list[Part]:
    """The reply where the context does not answer."""
    return [Part(" NOT FOUND", 1.0)]


def mixture(progress: float) -> dict[str, float]:
    """How often each kind of task is made, by the share of the training that is done: copying first, then reading."""
    late = min(1.0, progress / 0.5)
    return {
        "repeated": 0.05 * (1 - late),
        "facts": 0.45 - 0.1 * late,
        "shots": 0.3,
        "reading": 0.15 + 0.15 * late,
        "plain": 0.05,
    }


def examples(
    source: Source, makers: dict[str, Maker], shares: dict[str, float], rng: random.Random
) -> Iterator[tuple[str, Example]]:
    """Examples without end, with the name of their kind."""
    names: Sequence[str] = sorted(shares)
    weights = [shares[name] for name in names]
    while True:
        name = rng.choices(names, weights)[0]
        yield name, makers[name](source, rng)

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
from training.causal_questions import Asked
from training.causal_text import Pool

COPYING = 0.25  # share of the training up to which look-up is most of what is learnt
READING = 0.5  # and up to which reading is; then come both, and questions without an answer
FRAMED = 0.6  # and from which on most examples have the form of a strategy's prompt
SHORT = ("\n\nQuestion:\n{}\n\nAnswer:", "\n\nQuestion: {}\nAnswer:", "\n\nQuestion: {}\n\nAnswer:", "\n{}\nAnswer:")


class Part(NamedTuple):
    """A piece of text that is tokenised on its own; ``weight`` is that of its first token in the loss, if it has one."""

    text: str
    weight: float = 0.0


@dataclass(frozen=True)
class Task:
    """What follows the context: the prompt's end, and the reply; ``ends`` tells whether the reply is whole."""

    asked: list[Part]
    reply: list[Part]
    ends: bool = True


@dataclass
class Example:
    """A context and its tasks; ``chat`` puts all of it into the turns of a conversation."""

    context: list[Part]
    tasks: list[Task] = field(default_factory=list)
    chat: bool = False


@dataclass(frozen=True)
class Source:
    """Where tasks are made from.

    Attributes:
        pool: of plain text.
        groups: of like sentences in it.
        asked: passages with their questions.
        wiki: passages of an encyclopedia.
        longest: tokens of an example.
        progress: the share of the training that is done; 1 in the steps that follow it.
    """

    pool: Pool
    groups: Tensor
    asked: Sequence[Asked]
    wiki: Sequence[str]
    longest: int = 500
    progress: float = 1.0

    @property
    def closing(self) -> bool:
        """Whether an example is one of the last steps': more whole pages and long quotations, fewer missing answers."""
        return self.progress >= 1.0

    def framed(self, rng: random.Random) -> bool:
        """Whether an example has the form of a strategy's prompt, which is long, and not a short one: few at first."""
        return rng.random() < (0.7 if self.progress >= FRAMED else min(0.35, 0.15 + 0.6 * self.progress))


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


def replied(parts: list[Part], answer: str, quote: str = "", open_end: bool = False) -> Task:
    """A task with the reply that a strategy asks for: the answer and, where it is given, the sentence that says so.

    Few tokens of a quotation have to be learnt, which are those at which it begins. With ``open_end`` the reply stops
    where the quotation would begin.
    """
    said = [Part(f" {answer}", 1.0)]
    if open_end:
        return Task(parts, [*said, Part("\nQuote:", 0.1)], ends=False)
    return Task(parts, [*said, Part("\nQuote:", 0.1), Part(f" {quote}", 0.5)] if quote else said)


def missing(parts: list[Part]) -> Task:
    """The task where the context does not answer."""
    return Task(parts, [Part(" NOT FOUND", 0.7)])


def mixture(source: Source) -> dict[str, float]:
    """How often each kind of task is made, by the share of the training that is done: copying, then reading, then both."""
    if source.closing:
        return {"facts": 0.44, "pairs": 0.20, "shots": 0.08, "cloze": 0.06, "real": 0.22}
    if source.progress >= READING:
        return {"facts": 0.30, "pairs": 0.16, "shots": 0.16, "cloze": 0.10, "real": 0.28}
    late = min(1.0, source.progress / COPYING)
    return {
        "facts": 0.40 - 0.20 * late,
        "pairs": 0.25 - 0.13 * late,
        "shots": 0.20 - 0.02 * late,
        "cloze": 0.10 + 0.10 * late,
        "real": 0.05 + 0.25 * late,
    }


def examples(
    source: Source, makers: dict[str, Maker], shares: dict[str, float], rng: random.Random
) -> Iterator[tuple[str, Example]]:
    """Examples without end, with the name of their kind; half of them as conversations."""
    names: Sequence[str] = sorted(shares)
    weights = [shares[name] for name in names]
    while True:
        name = rng.choices(names, weights)[0]
        example = makers[name](source, rng)
        example.chat = rng.random() < 0.5
        yield name, example

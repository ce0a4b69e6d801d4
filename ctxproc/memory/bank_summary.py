"""Summaries and the portrait: written by a language model, or made of the sentences that matter most.

A model that writes is asked with a temperature of 0.7 and a seed for at most 400 tokens, as MemoryBank asks; what does not
fit its window is left out sentence by sentence, the least central first. (MemoryBank's code keeps the last characters.)
Without one, those sentences are the summary: no model is needed, and nothing stands in it that was not said.

Source: Zhong et al. 2024, "MemoryBank: Enhancing Large Language Models with Long-Term Memory", section 3.1.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ctxproc.llm.base import LLM, Sampling
from ctxproc.prompt import template
from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.prompt import Prompt, Template

LONGEST = 400
"""Tokens of a summary; words where there is no model to count them."""

TEMPERATURE = 0.7

MOST_SENTENCES = 12
"""Sentences of a summary that no model writes."""

CONSIDERED = 4096
"""Sentences that are weighed against each other: of more, the last ones."""

DIGITS = 9
"""Of what a sentence is worth: closer ones are equal, and the first of them is taken."""

JOINT = "\n"

Vector = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Made:
    """A text, and what made it: the name of a model, or "extract"."""

    text: str
    by: str


@dataclass(frozen=True)
class Summariser:
    """Makes one text of many.

    Attributes:
        llm: writes; None, or one that does not write: sentences are chosen.
        seed: of the sampler.
    """

    llm: LLM | None = None
    seed: int = 0

    def make(self, name: str, lines: Sequence[str], values: Mapping[str, str], known: Sequence[str] = ()) -> Made:
        """A summary; with an empty text if there is nothing to be said.

        Args:
            name: of the template, such as ``memory.day``.
            lines: what is summarised, in order.
            values: for the places of the template.
            known: lines that come last and are left out last.
        """
        if not lines and not known:
            return Made("", "extract")
        written = self._written(template(name), lines, known, values)
        if written:
            return Made(written, self.llm.name if self.llm else "")
        taken = chosen([*lines, *known], LONGEST, self.count, MOST_SENTENCES + len(known), known)
        return Made(JOINT.join(taken), "extract")

    @property
    def writes(self) -> bool:
        """Whether there is a model that writes."""
        return self.llm is not None and self.llm.writes

    def count(self, text: str) -> int:
        """Tokens of a text."""
        return self.llm.tokenizer.count(text) if self.llm and self.llm.writes else len(words(text))

    def _written(self, form: Template, lines: Sequence[str], known: Sequence[str], values: Mapping[str, str]) -> str:
        """What the model writes; "" if there is none that does, or it writes nothing."""
        if self.llm is None or not self.llm.writes:
            return ""
        window = self.llm.context_window
        sampling = Sampling(max_new_tokens=min(LONGEST, window // 4), temperature=TEMPERATURE, seed=self.seed)
        room = window - self.llm.reserved(sampling) - self.llm.count_tokens(form.fill([], values))
        fitting = chosen([*lines, *known], room, self._cost, None, known)
        if not fitting:
            return ""
        prompt: Prompt = form.fill(fitting, values, JOINT)
        return self.llm.generate([prompt], sampling)[0].text.strip()

    def _cost(self, line: str) -> int:
        """Tokens of a line in a prompt."""
        return self.count(line) + self.count(JOINT)


def chosen(
    lines: Sequence[str],
    room: int,
    count: Callable[[str], int],
    most: int | None = None,
    first: Sequence[str] = (),
) -> list[str]:
    """The lines that matter most, in their order; all of them where they fit.

    One after the other is taken by how central it is, the mean cosine with all others, times how new it is, 1 minus the
    highest cosine with one that was taken (maximal marginal relevance). Lines that are the same are taken once.

    Args:
        lines: in order.
        room: tokens of all lines together.
        count: of a line.
        most: how many lines at most.
        first: of these lines, those that are taken before the others, the last ones first.
    """
    lines = list(dict.fromkeys(lines))[-CONSIDERED:]
    costs = [count(line) for line in lines]
    if sum(costs) <= room and (most is None or len(lines) <= most):
        return lines
    ahead = set(first)
    order = [place for place in reversed(range(len(lines))) if lines[place] in ahead]
    order += _by_worth(vectors(lines), [place for place in range(len(lines)) if lines[place] not in ahead], most)
    taken: list[int] = []
    for place in order:
        if costs[place] <= room and (most is None or len(taken) < most):
            taken.append(place)
            room -= costs[place]
    return [lines[place] for place in sorted(taken)]


def _by_worth(found: Sequence[Vector], places: Sequence[int], most: int | None) -> list[int]:
    """The places in the order in which they are taken; after ``most``, if any, those that fit are the most central."""
    total: dict[str, float] = {}
    for vector in found:
        for word, weight in vector.items():
            total[word] = total.get(word, 0.0) + weight
    central = {place: _dot(found[place], total) - _dot(found[place], found[place]) + 1e-9 for place in places}
    nearest = dict.fromkeys(places, 0.0)
    left, order = set(places), list[int]()

    def worth(place: int) -> tuple[float, int]:
        return round(central[place] * (1 - nearest[place]), DIGITS), -place

    while left and len(order) < (most or MOST_SENTENCES):
        best = max(left, key=worth)
        left.discard(best)
        order.append(best)
        for place in left:
            nearest[place] = max(nearest[place], min(1.0, _dot(found[place], found[best])))
    return order + sorted(left, key=worth, reverse=True)


def vectors(lines: Sequence[str]) -> list[Vector]:
    """Unit vectors of the words of each line, a word weighed by log(1 + lines / lines with it)."""
    counted = [Counter(words(line)) for line in lines]
    held = Counter(word for one in counted for word in one)
    found: list[Vector] = []
    for one in counted:
        raw = {word: number * math.log(1 + len(lines) / held[word]) for word, number in one.items()}
        length = math.sqrt(sum(weight * weight for weight in raw.values()))
        found.append({word: weight / length for word, weight in raw.items()})
    return found


def _dot(one: Vector, other: Vector) -> float:
    return sum(weight * other.get(word, 0.0) for word, weight in one.items())

"""Reading a context of several paragraphs twice: as a whole, and paragraph by paragraph.

The built-in reader was trained on single passages. In a longer context it sees more, and in a paragraph by itself it is
not distracted; the mean of the two log-odds is steadier than either.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ctxproc.llm.reader import Reading

BLANK = re.compile(r"\n[ \t]*\n\s*")
LEAST = 60  # characters of a paragraph that is read by itself
SMALL = 1e-6  # confidence below which none is told apart


class Reads(Protocol):
    """What reads pairs of question and context, as `SpanReader` does."""

    def read(self, questions: Sequence[str], contexts: Sequence[str], *, always: bool = False) -> list[Reading]:
        """One reading per pair."""


def paragraphs(context: str) -> list[tuple[int, int]]:
    """Characters of the paragraphs of at least `LEAST` of them, between blank lines; none where there are not two."""
    cuts = [(0, 0), *(spot.span() for spot in BLANK.finditer(context)), (len(context), len(context))]
    found = [(a, b) for (_, a), (b, _) in itertools.pairwise(cuts) if b - a >= LEAST]
    return found if len(found) > 1 else []


def read_both(reader: Reads, questions: Sequence[str], contexts: Sequence[str]) -> list[Reading]:
    """The best span of each context, whatever its confidence; see the module's docstring.

    The span is that of the surer of the two readings.
    """
    parts = [(k, a, b) for k, context in enumerate(contexts) for a, b in paragraphs(context)]
    asked = [*questions, *(questions[k] for k, _, _ in parts)]
    read = reader.read(asked, [*contexts, *(contexts[k][a:b] for k, a, b in parts)], always=True)
    readings, by_part = read[: len(contexts)], read[len(contexts) :]
    best: dict[int, tuple[int, Reading]] = {}
    for (k, start, _), one in zip(parts, by_part, strict=True):
        if k not in best or one.confidence > best[k][1].confidence:
            best[k] = (start, one)
    return [mean(whole, *best[k]) if k in best else whole for k, whole in enumerate(readings)]


def mean(whole: Reading, start: int, part: Reading) -> Reading:
    """The mean of the log-odds of a reading of the whole and of one of a part that starts at this character."""
    level = (_log_odds(whole.confidence) + _log_odds(part.confidence)) / 2
    surer = part if part.confidence > whole.confidence else whole
    shift = start if surer is part else 0
    confidence, null = 1 / (1 + math.exp(-level)), (whole.null + part.null) / 2
    return replace(whole, start=surer.start + shift, end=surer.end + shift, confidence=confidence, null=null)


def _log_odds(confidence: float) -> float:
    sure = min(max(confidence, SMALL), 1 - SMALL)
    return math.log(sure / (1 - sure))

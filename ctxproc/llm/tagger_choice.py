"""What the tagger makes of its scores: which spans are mentions, and which names are one thing."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ctxproc.llm.tagger_model import NAMES, Thing
from ctxproc.llm.tagger_words import Words


def chosen(scores: Tensor, least: Tensor | float) -> list[tuple[int, int, int, float]]:
    """The spans of a text that are mentions: first word, last word, kind, score, in order.

    Of names that overlap, the best one stays; a phrase may hold others and be held, but crosses none, and no span has two
    kinds.

    Args:
        scores: (kinds, W, LONGEST), by the first word and how many words further the span ends.
        least: they must be above it; one for all kinds, or (kinds,).
    """
    bar = least[:, None, None] if isinstance(least, Tensor) else least
    kinds, first, further = (scores > bar).nonzero(as_tuple=True)
    values, last = scores[kinds, first, further], first + further
    order = values.argsort(descending=True, stable=True)
    kept: list[tuple[int, int, int, float]] = []
    for kind, a, b, score in zip(*(part[order].tolist() for part in (kinds, first, last, values)), strict=True):
        if not clashes((a, b, kind, score), kept):
            kept.append((a, b, kind, score))
    return sorted(kept)


def clashes(one: tuple[int, int, int, float], kept: Sequence[tuple[int, int, int, float]]) -> bool:
    """Whether a span cannot be a mention beside those kept."""
    return any(_clash(one, other) for other in kept)


def _clash(one: tuple[int, int, int, float], other: tuple[int, int, int, float]) -> bool:
    """Whether two spans cannot both be mentions."""
    (a, b, kind, _), (c, d, other_kind, _) = one, other
    if b < c or d < a:
        return False
    if (a, b) == (c, d) or (kind < len(NAMES) and other_kind < len(NAMES)):
        return True
    return not ((a <= c and d <= b) or (c <= a and b <= d))


def named_things(mentions: Sequence[tuple[int, int, int, float]], words: Words, text: str) -> list[Thing]:
    """The names among mentions as things, in order: those that are written alike, but for case and spaces, are one."""
    spans: dict[str, list[tuple[int, int]]] = {}
    kinds: dict[str, int] = {}
    for first, last, kind, _ in mentions:
        if kind < len(NAMES):
            said = " ".join(text[words.spans[first][0] : words.spans[last][1]].casefold().split())
            spans.setdefault(said, []).append((first, last))
            kinds.setdefault(said, kind)
    return [Thing(some, kinds[said]) for said, some in spans.items()]


def nearest(head: Thing, tail: Thing) -> tuple[tuple[int, int], tuple[int, int]]:
    """The mentions of two things that stand nearest to each other, the earliest of equals."""
    return min(((a, b) for a in head.spans for b in tail.spans), key=lambda pair: abs(pair[0][0] - pair[1][0]))

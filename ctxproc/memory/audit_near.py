"""Texts that say nearly the same: Jaccard similarity of their words, found without comparing every pair.

Two sets with a similarity of at least t have one word in common among the first ``len - ceil(t * len) + 1`` of each, words
in one order for all. With rare words first few sets share one (prefix filtering; Chaudhuri et al. 2006, "A Primitive
Operator for Similarity Joins in Data Cleaning"). What is found is the same as by comparing all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from ctxproc.text import words

NEAR = 0.8
"""Jaccard similarity."""


def near(texts: Mapping[int, str], least: float = NEAR) -> list[list[int]]:
    """Groups of texts, each joined to another of its group by a similarity of at least ``least``; of each, the numbers.

    Args:
        texts: by number. One without a word is like none.
        least: above 0, at most 1.

    Returns:
        Groups of two or more, numbers ascending, by the first of each.
    """
    same: dict[frozenset[str], list[int]] = {}
    for number, text in texts.items():
        same.setdefault(frozenset(words(text)), []).append(number)
    same.pop(frozenset(), None)
    sets = list(same)
    leader = list(range(len(sets)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = place = leader[leader[place]]
        return place

    for one, other in _pairs(sets, least):
        leader[find(one)] = find(other)
    groups: dict[int, list[int]] = {}
    for place, held in enumerate(sets):
        groups.setdefault(find(place), []).extend(same[held])
    return sorted(sorted(group) for group in groups.values() if len(group) > 1)


def _pairs(sets: list[frozenset[str]], least: float) -> list[tuple[int, int]]:
    """Places of the pairs of different sets that are so similar."""
    number = Counter(word for one in sets for word in one)
    holding: dict[str, list[int]] = {}
    found = []
    for place, one in enumerate(sets):
        ordered = sorted(one, key=lambda word: (number[word], word))
        prefix = ordered[: len(one) - math.ceil(least * len(one) - 1e-9) + 1]
        for other in {other for word in prefix for other in holding.get(word, ())}:
            if jaccard(one, sets[other]) >= least - 1e-9:
                found.append((other, place))
        for word in prefix:
            holding.setdefault(word, []).append(place)
    return found


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """What they have in common, of what either has."""
    common = len(one & other)
    return common / (len(one) + len(other) - common)

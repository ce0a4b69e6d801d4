"""Contradictions: between facts of one moment, and between what holds and what a portrait says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise

from ctxproc.memory.bank_junk import mentioned, spoken
from ctxproc.memory.base import Passage
from ctxproc.memory.facts import Fact, Facts, key
from ctxproc.memory.facts_validity import order
from ctxproc.text import sentences

_PAST = re.compile(
    r"\b(?:was|were|had|did|lived|worked|studied|used to|until|till|before|earlier|former(?:ly)?|previous(?:ly)?|once"
    r"|no longer|not any ?more|ended|left|quit|moved|\d{4}-\d\d-\d\d)\b|以前|之前|曾经|原来|过去|不再|离开",
    re.IGNORECASE,
)


def contradictions(facts: Facts) -> Iterator[tuple[Fact, Fact]]:
    """Pairs of facts of one subject and relation that holds one value, from the same time on, with different objects."""
    cancelled = {fact.cancels for fact in facts.all if fact.cancels}
    groups: dict[tuple[str, str, datetime], list[Fact]] = {}
    for fact in facts.all:
        if fact.single and not fact.ends and fact.id not in cancelled:
            groups.setdefault((key(fact.subject), key(fact.relation), fact.since), []).append(fact)
    for group in groups.values():
        for one, other in pairwise(sorted(group, key=order)):
            if key(one.object) != key(other.object):
                yield one, other


def outdated(passages: Iterable[Passage], facts: Facts, now: datetime) -> Iterator[tuple[Passage, Fact]]:
    """Portraits and overall summaries with a sentence that states a value as if it held, which ended before ``now``.

    A sentence that tells of the past or has a date is left alone, and one that names what holds now.
    """
    ended = [fact for fact in facts.read(history=True) if fact.until is not None and fact.until <= now]
    for passage in passages:
        if passage.note.kind != "portrait" and passage.note.metadata.get("of") != "overall":
            continue
        said = [line[a:b] for line in passage.text.splitlines() for a, b in sentences(line)]
        present = [spoken(one) for one in said if not _PAST.search(one)]
        for fact in ended:
            if any(_states(one, fact, facts, now) for one in present):
                yield passage, fact


def _states(sentence: str, fact: Fact, facts: Facts, now: datetime) -> bool:
    """Whether a sentence, as `spoken` gives it, states a fact that holds no more and not what holds instead."""
    verb = spoken(fact.relation).split()[0][:4]
    if spoken(fact.object) not in sentence or f" {verb}" not in sentence or not mentioned(fact.subject, [sentence]):
        return False
    holding = [one for one in facts.read(fact.subject, fact.relation) if one.since <= now]
    return not any(spoken(one.object) in sentence for one in holding)

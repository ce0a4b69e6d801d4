"""What a fact is before it is stored, who finds facts, and the one rule of where they may come from (TRUST.md, S15).

A fact about a user is made only of what the user himself stated in a chat: `own_words`. Documents, tool output, recalled
text and the assistant's replies are stored as other kinds or roles, and give nothing. The extractors look nowhere else.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from ctxproc.memory.base import Passage
from ctxproc.memory.extract.foreign import foreign
from ctxproc.text import sentences

Span = tuple[int, int]

LONGEST_TURN = 20_000
"""Characters: a longer turn is taken to be a pasted document."""

_JOKE = re.compile(
    r"\b(?:just|only|am|i'm|was) (?:kidding|joking)\b|\bjk\b|\bapril fools?\b|开玩笑|逗你", re.IGNORECASE
)
_QUESTION = re.compile(r"[?？][\s\W]*\Z|[吗呢吧么]\W*\Z")
_SUPPOSED = re.compile(
    r"\b(?:if|unless|whether|suppose|supposing|imagine|imagining|pretend\w*|hypothetical\w*|assum(?:e|ing)|wish|i"
    r" dream(?:ed|t)"
    r"|(?:as|like) (?:though)|let'?s say|say that i|translate|role-?play\w*|my (?:character|alter ego|avatar)"
    r"|in (?:the|my|a|an|this|that|your) (?:\w+ )?(?:dreams?|stor(?:y|ies)|novel|book|film|movie|game|play|song|poem)"
    r"|(?:story|novel|poem|song|scene|script|essay|letter|email|text) (?:in which|where|about|saying|that says))\b"
    r"|如果|假如|假设|假装|要是|倘若|万一|想象|梦见|梦到|翻译(?:成|一下|为|下|这)|(?:请|帮我|帮忙)翻译|扮演|故事里|小说里|游戏里",
    re.IGNORECASE,
)
_SAYING = (
    "said|says|saying|told|tells|thinks?|thought|claim(?:s|ed)|believes?|believed|asked|asks|wrote|writes|mention(?:s|ed)"
    "|insist(?:s|ed)|suggest(?:s|ed)|joke[sd]|assumes|assumed|heard|reads|states?|stated|shouted|replied"
    "|announced|guess(?:es|ed)"
)
_REPORTED = re.compile(
    rf"(?<!\bi )(?<!\bi've )(?<!\bi just )(?<!\bi already )\b(?:{_SAYING})\b"
    r"|\bi (?:was told|heard|read|dreamt|thought|am told|guess)\b|\b(?:according to|apparently|allegedly"
    r"|supposedly|rumou?r)\b"
    r"|(?<![我们小传学解述演])(?:说(?!实话|真的|起来|起|到|来|话|明|英|法|中|汉)|告诉|以为|认为|声称|写道|传言)"
    r"|据说|听说",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Triple:
    """One fact that a turn states, before it is stored.

    Attributes:
        subject: whom it is about; for "I" and "my" the turn's speaker.
        relation: a short phrase in lower case that reads between subject and object: "lives in".
        object: as the turn has it.
        start, end: the characters of the turn that state it.
        single: of one subject and relation one object holds at a time: a later one takes its place.
        ends: it says that this no longer holds.
        since: from when it holds, or no longer holds, where the turn says so; None for the turn's time.
    """

    subject: str
    relation: str
    object: str
    start: int
    end: int
    single: bool = True
    ends: bool = False
    since: datetime | None = None


class Extractor(ABC):
    """Finds the facts that a turn states.

    Attributes:
        name: is kept with each fact.
        failures: turns that could not be read, such as for an invalid reply of a model.
        dropped: facts that were found and refused, since the speaker's own words do not hold them.
    """

    name: ClassVar[str]
    failures: int = 0
    dropped: int = 0

    @abstractmethod
    def extract(self, turn: Passage) -> list[Triple]:
        """The facts in the order in which they stand; each from `own_words` of the turn, none of any other passage."""


def speaker_of(turn: Passage) -> str:
    """Who says "I" in a turn: its speaker, or "user" where it has none."""
    return turn.note.speaker or "user"


def own_words(turn: Passage) -> list[Span]:
    """Where a turn's speaker states something in his own words: spans of its text, ascending, a sentence or part each.

    Empty for everything but a user's turn of a chat. Left out are what `foreign` finds (quotations, code, pasted text),
    questions, what is only supposed ("if I lived in Paris", stories), what others are reported to have said (from "he said"
    to the end of the sentence), and the whole of a turn that is called a joke. It is a rule of form, not of meaning: an
    unmarked quotation of one short paragraph in the first person passes, and some honest statements are left out.
    """
    text = turn.text
    if turn.note.kind != "turn" or turn.note.metadata.get("role") != "user":
        return []
    if len(text) > LONGEST_TURN or _JOKE.search(text):
        return []
    others = foreign(text)
    found: list[Span] = []
    for start, end in statements(text):
        found += _without(start, end, others)
    return [(start, end) for start, end in found if text[start:end].strip()]


def statements(text: str) -> list[Span]:
    """The parts of sentences that state something: no question, nothing supposed, nothing reported."""
    found: list[Span] = []
    for start, end in sentences(text):
        if _QUESTION.search(text[start:end]):
            continue
        for part in re.finditer(r"[^;；]+", text[start:end]):
            low, high = start + part.start(), start + part.end()
            if _SUPPOSED.search(text, low, high):
                continue
            reported = _REPORTED.search(text, low, high)
            found.append((low, reported.start() if reported else high))
    return found


def _without(start: int, end: int, others: list[Span]) -> list[Span]:
    """The slice without the spans of ``others``, which are ascending and do not overlap."""
    found: list[Span] = []
    for low, high in others:
        if high <= start or low >= end:
            continue
        if low > start:
            found.append((start, low))
        start = max(start, high)
    if start < end:
        found.append((start, end))
    return found

"""Facts by rules, in English and Chinese: no model, under a millisecond a turn."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import ClassVar

from ctxproc.memory.base import Passage
from ctxproc.memory.dates import When, resolve
from ctxproc.memory.extract.base import Extractor, Triple, own_words, speaker_of
from ctxproc.memory.extract.people_en import Stated

_GREETING = re.compile(
    r"\s*(?:hi|hello|hey|good (?:morning|afternoon|evening)|greetings|nice to meet)\b|\s*你好", re.IGNORECASE
)
_FROM = re.compile(
    r"\b(?:since|from|as of|starting|beginning|effective)(?: on| in)?\s+(?:the )?\Z|自从?\s*\Z|从\s*\Z", re.IGNORECASE
)
_UNTIL = re.compile(r"\b(?:until|till|before|by|after|than)\s+(?:the )?\Z", re.IGNORECASE)
_HAN = re.compile(r"[\u4e00-\u9fff]")
_APOSTROPHES = str.maketrans("’‘ʼ`", "''''")


class RuleExtractor(Extractor):
    """What sentences of known forms state; a sentence of any other form gives nothing.

    Precision comes first: of ten facts that people tell in passing it may find three, and nearly all that it finds are
    told. The forms are those of `ctxproc.memory.extract.rules_en_table` and `ctxproc.memory.extract.rules_zh`.
    """

    name: ClassVar[str] = "rules"

    def extract(self, turn: Passage) -> list[Triple]:
        """The facts in the order in which they stand."""
        me, at = speaker_of(turn), turn.note.time
        text = turn.text.translate(_APOSTROPHES)
        found: dict[tuple[str, str, str, bool], Triple] = {}
        for start, end in own_words(turn):
            greeted = bool(_GREETING.match(text[:start]))
            for triple in _triples(text[start:end], start, me, at, greeted):
                found.setdefault((triple.subject, triple.relation, triple.object, triple.ends), triple)
        return sorted(found.values(), key=lambda triple: (triple.start, triple.end))


def _triples(sentence: str, start: int, me: str, at: datetime, greeted: bool) -> Iterator[Triple]:
    """The facts of one sentence that begins at ``start`` of its turn."""
    facts = _stated(sentence, me, greeted)
    dates = resolve(sentence, at) if facts else []
    for fact in facts:
        since = since_of(sentence, fact, [one.start for one in facts], dates)
        if since is None and fact.dated:
            continue
        low, high = start + fact.start, start + fact.end
        yield Triple(fact.subject, fact.relation, fact.object, low, high, fact.single, fact.ends, since)


def _stated(sentence: str, me: str, greeted: bool) -> list[Stated]:
    """By the rules of its language, whose patterns are compiled when they are first needed."""
    if _HAN.search(sentence):
        from ctxproc.memory.extract.rules_zh import stated
    else:
        from ctxproc.memory.extract.rules_en import stated
    return stated(sentence, me, greeted)


def since_of(sentence: str, fact: Stated, starts: list[int], dates: list[When]) -> datetime | None:
    """From when a fact holds: the date behind it, before the next fact, or else the one with which the sentence begins.

    Of a state, only one that follows "since" or the like: "I love Lyon in May" does not begin in May.
    """
    if fact.relation.startswith("was born"):
        return None
    limit = min((start for start in starts if start > fact.start), default=len(sentence))
    behind = [date for date in dates if fact.start <= date.start < limit]
    ahead = [date for date in dates if date.end <= fact.start and fact.start == min(starts)]
    for date in (*behind, *ahead):
        before = sentence[max(0, date.start - 20) : date.start]
        if _FROM.search(before + sentence[date.start : date.start]) or (fact.event and not _UNTIL.search(before)):
            return date.since
    return None

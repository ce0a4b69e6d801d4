"""Persons, relatives and pets as English sentences name them, and where a clause may begin."""

from __future__ import annotations

import re
from typing import NamedTuple

from ctxproc.memory.extract import objects_en as o
from ctxproc.memory.extract import words_en as en
from ctxproc.memory.extract.rules_en_table import ONE, PETS, RELATIVES, SAME


class Stated(NamedTuple):
    """A fact as a sentence has it.

    Attributes:
        subject, relation, object, single, ends: as in `Triple`.
        start, end: characters of the sentence.
        event: it tells a change, so that a date beside it is the date of the change.
        dated: it is no fact without a date.
    """

    subject: str
    relation: str
    object: str
    start: int
    end: int
    single: bool = True
    ends: bool = False
    event: bool = False
    dated: bool = False


ADVERBS = (
    r"(?:(?:now|currently|still|just|also|actually|really|absolutely|officially|finally|recently|always|mostly|mainly|truly"
    r"|totally|simply|both|all|already|since|then|only|kinda|definitely|proudly|happily|presently|both)\s+)*"
)
KIN_ADJECTIVES = r"(?:(?:older|younger|elder|eldest|oldest|youngest|big|little|baby|twin|new|dear|current|middle)\s+)*"
PERSON = rf"{o.NAME}(?:\s+from\s+(?!now\b)\w+)?"
KIN = rf"(?:[Mm]y|[Oo]ur)\s+{KIN_ADJECTIVES}(?P<kin>{RELATIVES}|{PETS})\b(?!'s?\s+(?!(?:{RELATIVES}|{PETS})\b)|-)"
_BEGINS = re.compile(
    r"(?:^\W*|[,:(–—!?\"“]|\s-)\s*\Z"
    r"|\b(?:and|but|so|because|since|yes|yeah|no|well|hi|hello|hey|btw|also|now|then|today|yesterday|tomorrow|currently|recently"
    r"|finally|actually|nowadays|days|ago|week|month|year|weekend|time|later|that|know|remember|mean|way|news|is|ps|note|fact"
    r"|sure|forget|trade|profession|told you|tell you|summer|winter|spring|autumn|fall|morning|\d{4}"
    r"|(?:of|since|in|on|from) (?!my\b|our\b|his\b|her\b|their\b|the\b|an?\b)\w+)\s+\Z",
    re.IGNORECASE,
)
_NOT_TRUE = re.compile(
    r"\b(?:true|thought|doubt|deny|denied|hope|afraid|worried|dream\w*|unlikely|possible|case) that\s+\Z", re.IGNORECASE
)
DEMONYMS = frozenset(
    "american australian austrian belgian brazilian british buddhist canadian catholic chilean chinese christian"
    " colombian cuban czech danish dutch egyptian english european finnish french german greek hindu hungarian"
    " indian indonesian iranian irish israeli italian jamaican japanese jewish kenyan korean mexican muslim nigerian"
    " norwegian pakistani persian peruvian polish portuguese romanian russian scottish spanish swedish swiss syrian"
    " thai turkish ukrainian vietnamese welsh asian african latino latina taurus gemini cancer virgo libra scorpio"
    " sagittarius capricorn aquarius pisces ok okay here back fine sorry happy glad mr mrs".split()
)


_NO_PERSON = frozenset(
    "user assistant system human life music god nature time love home experience work google wikipedia jesus"
    " chatgpt ai art coffee food family".split()
)
_ORDERS = frozenset("remember recall note guess imagine meet fyi btw".split())
_NO_FIRST = ((en.CLOSED | en.ADVERBS | o.MONTHS_AND_DAYS | _ORDERS) - en.ALSO_NAMES) - {"april", "june"}


def begins(sentence: str, place: int) -> bool:
    """Whether a clause that is stated may begin here; not after "hope", "true that", "when"."""
    before = sentence[max(0, place - 24) : place]
    return _BEGINS.search(before) is not None and not _NOT_TRUE.search(before)


def is_person(name: str) -> bool:
    """Whether capitals may be those of a person: no "The", "Everyone", "Monday"."""
    return name.lower() not in _NO_PERSON and name.split()[0].lower() not in _NO_FIRST


def noun(word: str) -> str:
    """A word for a relative or a kind of thing in one spelling."""
    word = " ".join(word.lower().split())
    return SAME.get(word, word)


def related(word: str) -> str:
    """What one has of whom such a word names: "has sister"; of synonyms one, so that a new fact supersedes the old one."""
    name = noun(word)
    return _RELATED.get(name, f"has {name}")


_RELATED = {
    **dict.fromkeys(("boyfriend", "girlfriend", "partner"), "is dating"),
    **dict.fromkeys(("husband", "wife", "spouse"), "is married to"),
    **dict.fromkeys(("fiance", "fiancee", "fiancé", "fiancée"), "is engaged to"),
    **dict.fromkeys(("boss", "manager", "supervisor"), "has manager"),
}


def single(relation: str) -> bool:
    """Whether what `related` gives holds of one at a time."""
    return relation.startswith("is ") or relation.removeprefix("has ") in ONE

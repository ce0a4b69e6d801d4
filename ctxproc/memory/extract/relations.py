"""Typed relations in English text about third parties, as encyclopedias write it: for a graph of documents.

Nothing found here is ever a fact about a user: facts come from `ctxproc.memory.extract.base.Extractor` alone. The rules are
few and see one sentence each: what a name in brackets was born, what "a film directed by" names, "Lyon, France". At the
beginning of a sentence "He", "she" and "it" are taken for the name with which the text begins, which suits articles about
one thing and little else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ctxproc.memory.extract.base import Triple
from ctxproc.memory.extract.objects_en import CAPITAL, MONTH
from ctxproc.memory.extract.people_en import is_person
from ctxproc.memory.extract.words_en import VERB_FORMS
from ctxproc.text import sentences

_NAME = rf"(?:(?:of|de|di|du|la|van|von|the|for|and the)\s(?={CAPITAL}))?{CAPITAL}(?:\.(?=\s[A-Z]))?"
_NAMES = rf"{CAPITAL}(?:\.(?=\s[A-Z]))?(?:[ -]{_NAME}){{0,6}}"
_DATE = rf"(?:\d{{1,2}} {MONTH},? \d{{4}}|{MONTH} \d{{1,2}}, \d{{4}}|{MONTH} \d{{4}}|\d{{4}})"
_PRONOUN = (
    r"(?:He|She|It|They|The (?:film|album|song|band|group|company|novel|book|series|school|town|city|village|show"
    r"|game))"
)
_SUBJECT = re.compile(rf"(?P<pronoun>{_PRONOUN})\b|(?:The )?(?P<name>{_NAMES})")
_TOPIC = re.compile(rf"[\"“']*(?:The |A |An )?(?P<name>{_NAMES})")
_IS = r"(?:is|was|are|were)"
_ANY = r"[^.;]{0,80}?"
_SITE = (
    r"(?:city|town|village|municipality|comune|commune|suburb|district|county|province|state|region|river|lake"
    r"|island|mountain|park"
    r"|school|university|college|station|airport|hospital|museum|church|building|road|bridge|area|community)s?\b"
)

_ASIDE = r"(?:\s?\([^()]*\)(?!\s*\())??"
"""What stands in brackets behind a name."""

_PATTERNS: tuple[tuple[str, str], ...] = (
    ("was born on", rf"\([^()]{{0,60}}?(?:born\s)?(?P<object>(?i:{_DATE}))"),
    ("died on", rf"\([^()]{{0,60}}?(?i:{_DATE})[^()]{{0,40}}?\s?[–-]\s?(?:[^()]{{0,40}}?\s)??(?P<object>(?i:{_DATE}))"),
    ("was born in", rf"(?:\([^()]{{0,40}}?)?\b(?:was\s)?born\b[^.;()]{{0,40}}?\s(?:in|at)\s(?P<object>{_NAMES})"),
    ("was born on", rf"{_IS}\sborn\s(?:on\s|in\s)?{_ANY}(?P<object>(?i:{_DATE}))"),
    ("died in", rf"died\b{_ANY}\s(?:in|at)\s(?P<object>{_NAMES})"),
    ("died on", rf"died\b{_ANY}\b(?P<object>(?i:{_DATE}))"),
    ("has nationality", rf"{_IS}\s(?:an?|the)\s(?:\w+\s)?(?:\d{{4}}\s)?(?P<object>{CAPITAL})[\s-](?=[a-z])"),
    ("was released in", rf"{_IS}\san?\s(?P<object>\d{{4}})\s"),
    ("was released in", rf"{_ANY}\b(?:released|published|premiered|aired)\b{_ANY}\b(?P<object>(?i:{_DATE}))"),
    ("was founded in", rf"{_ANY}\b(?:founded|formed|established|incorporated)\b{_ANY}\b(?P<object>(?i:{_DATE}))"),
    ("was founded by", rf"{_ANY}\b(?:founded|established|created)\s(?:{_ANY}\s)?by\s(?P<object>{_NAMES})"),
    (
        "was made by",
        rf"{_ANY}\b(?:album|song|single|novel|book|film|series|game|play|EP|track)\b{_ANY}\sby\s{_ANY}(?P<object>{_NAMES})",
    ),
    (
        "was made by",
        rf"{_ANY}\b(?:directed|written|composed|produced|developed|recorded|painted)\sby\s(?P<object>{_NAMES})",
    ),
    ("has the actor", rf"{_ANY}\bstarring\s(?P<object>{_NAMES})"),
    ("is located in", rf"{_ANY}\b(?:located|based|situated|headquartered)\s(?:in|at|near)\s{_ANY}(?P<object>{_NAMES})"),
    (
        "is located in",
        rf"{_IS}\s(?:an?|the|one of the)\s{_ANY}\b{_SITE}\s(?:{_ANY}\s)?(?:in|of)\s(?:the\s)?(?:[a-z]+\s){{0,3}}"
        rf"(?P<object>{_NAMES})",
    ),
    ("is the capital of", rf"{_IS}\s(?:now\s)?the\s(?:\w+\s)?capital\s(?:city\s)?of\s(?:the\s)?(?P<object>{_NAMES})"),
    ("is a member of", rf"{_ANY}\bmembers?\sof\s(?:the\s)?(?P<object>{_NAMES})"),
    ("is part of", rf"{_ANY}\bpart\sof\s(?:the\s)?(?P<object>{_NAMES})"),
    (
        "studied at",
        rf"{_ANY}\b(?:educated|studied|graduated|degree)\b{_ANY}\s(?:at|from)\s(?:the\s)?(?P<object>{_NAMES})",
    ),
    (
        "works at",
        rf"{_ANY}\b(?:worked|works|served|professor|plays|played)\s(?:for|at|with)\s(?:the\s)?(?P<object>{_NAMES})",
    ),
    ("is married to", rf"{_ANY}\b(?:married|wife of|husband of)\s(?:to\s)?(?P<object>{_NAMES})"),
)
_COMPILED = tuple((relation, re.compile(_ASIDE + r",?\s*" + pattern)) for relation, pattern in _PATTERNS)
_WHERE = re.compile(
    rf"\b(?:in|at|near|from|of)\s(?P<places>{_NAMES}(?:\s?,\s(?!(?:and|or)\b){_NAMES}){{1,3}})(?=\s?[,.;)]|\s*$)"
)


def relations(text: str) -> list[Triple]:
    """The relations that a text states between names and dates, in order; see the module for what is not found."""
    topic = _TOPIC.match(text)
    name = topic["name"] if topic else ""
    found: dict[tuple[str, str, str], Triple] = {}
    for start, end in sentences(text):
        for triple in (*_stated(text, start, end, name), *_places(text, start, end)):
            found.setdefault((triple.subject, triple.relation, triple.object), triple)
    return sorted(found.values(), key=lambda triple: (triple.start, triple.end))


def _stated(text: str, start: int, end: int, topic: str) -> Iterator[Triple]:
    """What a sentence says of the name or pronoun with which it begins."""
    subject = _SUBJECT.match(text, start, end)
    if subject is None:
        return
    name = topic if subject["pronoun"] else subject["name"]
    if not name or not is_person(name) or name.lower().split()[0] in VERB_FORMS or name.endswith("ly"):
        return
    for relation, pattern in _COMPILED:
        match = pattern.match(text, subject.end(), end)
        if match and match["object"] != name and (match["object"][-1].isdigit() or is_person(match["object"])):
            yield Triple(name, relation, match["object"], subject.start(), match.end("object"))


def _places(text: str, start: int, end: int) -> Iterator[Triple]:
    """Such as "in Lyon, France": each place is in all that follow it."""
    for match in _WHERE.finditer(text, start, end):
        places = re.split(r"\s?,\s", match["places"])
        for i, place in enumerate(places):
            for wider in places[i + 1 :]:
                yield Triple(place, "is located in", wider, match.start("places"), match.end())

"""Facts of the form "my X is Y" and other sentences in which the fact's subject does not come first."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache

from ctxproc.memory.extract import objects_en as o
from ctxproc.memory.extract.people_en import (
    ADVERBS,
    DEMONYMS,
    KIN_ADJECTIVES,
    PERSON,
    Stated,
    begins,
    is_person,
    noun,
    related,
    single,
)
from ctxproc.memory.extract.rules_en_table import OWNED, PETS, RELATIVES, Rule

_ANYONE = f"{RELATIVES}|{PETS}"
_POSSESSOR = rf"(?P<whose>\b(?:[Mm]y|[Oo]ur)(?:\s+{KIN_ADJECTIVES}(?P<kin>{_ANYONE})'s)?\b|\b{PERSON}'s)"
_OWNER = re.compile(_POSSESSOR)
_WAS = (
    r"(?:isn't|is\s+not|is\s+no\s+longer|used\s+to\s+be|was)\s[^,]{1,40}?,?\s*(?:but\s+|and\s+)?(?:now\s+)?(?:it's"
    r"|it\s+is|he's|she's)"
)
_IS = (
    rf"(?:\s+(?:these days|nowadays|now|currently|at the moment))?(?:'s|\s+(?:is|are|(?:has\s+)?(?:just\s+)?(?:became"
    rf"|become|changed\s+to)|{_WAS}))(?!\w)\s*{ADVERBS}(?P<called>(?:called|named)\s+)?"
)
_NEW = r"(?:(?:new|current|actual|own|first|full|real|latest)\s+)*"
_NAME_ENDS = re.compile(r"\s*(?:\Z|[,.!;(]|(?:now|and|but|these|from|since|again|at|not|as|because|so|by)\b)")


def owned(sentence: str, me: str) -> Iterator[Stated]:
    """Such as "My name is Anna", "my sister's dog is called Rex", "Anna's favourite food is rice"."""
    for match in _OWNER.finditer(sentence):
        if not _whose(match, me) or not begins(sentence, match.start()):
            continue
        for rule, pattern in _patterns():
            found = pattern.match(sentence, match.end())
            if found is not None:
                yield from _values(rule, found, match, me)


def _values(rule: Rule, found: re.Match[str], owner: re.Match[str], me: str) -> Iterator[Stated]:
    """What a rule gives for the text behind "is"."""
    sentence, whose, start = found.string, _whose(owner, me), owner.start()
    tail = o.clause(sentence, found.end())
    kind = o.called if found["called"] else rule.kind
    relation = rule.relation
    if "noun" in found.re.groupindex:
        owning = relation == "has {noun}"
        relation = related(found["noun"]) if owning else relation.replace("{noun}", noun(found["noun"]))
    if owner["kin"] and relation == "is named":
        whose, relation = me, related(owner["kin"])
    event = "became" in found[0] or "changed" in found[0]
    people = rule.relation == "has {noun}"
    for said in kind(tail):
        end = found.end() + max(0, tail.find(said)) + len(said)
        if people and not found["called"] and not _is_name(said, sentence, end):
            continue
        yield Stated(
            whose, relation, said, start, end, single(relation) if people or owner["kin"] else rule.single, event=event
        )


def _is_name(said: str, sentence: str, end: int) -> bool:
    """Whether it is a name and all that is said: not "Greek", not "Anna's friend"."""
    return said.lower() not in DEMONYMS and is_person(said) and _NAME_ENDS.match(sentence, end) is not None


def _whose(match: re.Match[str], me: str) -> str:
    """The owner's name; empty where it is no person."""
    if match["kin"]:
        return f"{me}'s {noun(match['kin'])}"
    if match["whose"].lower() in ("my", "our"):
        return me
    name = " ".join(match["whose"].removesuffix("'s").split())
    return name if is_person(name) else ""


@cache
def _patterns() -> tuple[tuple[Rule, re.Pattern[str]], ...]:
    """The rules of what is owned, to be matched behind the owner."""
    found = []
    for rule in OWNED:
        phrase = rule.phrase.replace(" ", r"\s+")
        found.append((rule, re.compile(rf"(?i:\s+{_NEW}{KIN_ADJECTIVES}{phrase}{_IS})")))
    return tuple(found)


Special = Callable[[re.Match[str], str], Iterator[Stated]]


def special(sentence: str, me: str, greeted: bool = False) -> Iterator[Stated]:
    """Sentences of other forms, each with a function that reads its match."""
    for pattern, read in _SPECIALS:
        for match in pattern.finditer(sentence):
            if pattern is _FIRST_DAY or begins(sentence, match.start()):
                yield from read(match, me)
    for match in _BY_NAME.finditer(sentence):
        name = match["object"]
        if name.lower() not in DEMONYMS and is_person(name) and name.split()[0].lower() != "i":
            relation = related(match["noun"])
            yield Stated(me, relation, name, *match.span(), single(relation))
    if call := _CALLED.search(sentence):
        yield Stated(me, "is named", call["object"], *call.span())
    named = _I_AM.fullmatch(sentence)
    if named and (greeted or named["hi"]) and named["object"].lower() not in DEMONYMS and is_person(named["object"]):
        yield Stated(me, "is named", named["object"], *named.span("object"))


def _holder(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Anna is my manager": what Anna is to me."""
    whose, name = _whose(match, me), " ".join(match["object"].split())
    relation = related(match["noun"])
    if whose and is_person(name):
        yield Stated(whose, relation, name, *match.span(), single(relation), event="became" in match[0])


def _favourite(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Rice is my favourite food"."""
    whose = _whose(match, me)
    for said in o.value(match["object"].strip()):
        if whose and not re.match(r"(?:it|that|this|he|she|they)\b", said, re.IGNORECASE):
            yield Stated(whose, f"has favourite {noun(match['noun'])}", said, *match.span())


def _home(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Lyon is my home"."""
    for said in o.town(match["object"]):
        yield Stated(me, "lives in", said, *match.span())


def _couple(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Anna and I are married", "Anna and Bo broke up"."""
    what = match["what"].split()[-1]
    relation = {"married": "is married to", "divorced": "is married to", "engaged": "is engaged to"}.get(
        what, "is dating"
    )
    one, other = (me, match["object"]) if match["other"] == "I" else (match["object"], match["other"])
    if is_person(match["object"]) and is_person(match["other"] if match["other"] != "I" else me):
        yield Stated(one, relation, other, *match.span(), ends=what in ("up", "divorced"), event=True)


def _employer(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Globex hired me"."""
    who = match["who"] if "who" in match.re.groupindex and match["who"] != "me" else me
    if is_person(match["object"]):
        yield Stated(who, "works at", match["object"], *match.span(), event=True)


def _most_liked(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "the food I like best is rice" and "rice is the food I like best"."""
    for said in o.value((match["object"] or match["first"]).strip(" .!")):
        yield Stated(me, f"has favourite {noun(match['noun'] or match['what'])}", said, *match.span())


def _allergy(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "I have a nut allergy"."""
    if match["object"].lower() not in ("an", "bad", "severe", "mild", "new", "seasonal"):
        yield Stated(me, "is allergic to", match["object"].lower(), *match.span(), single=False)


def _appositive(match: re.Match[str], me: str) -> Iterator[Stated]:
    """Such as "Anna, my sister, ..." and "... and a cat called Tom"."""
    relation = related(match["noun"])
    if is_person(match["object"]):
        yield Stated(me, relation, match["object"], *match.span(), single(relation))


_REPLACED = (
    r"(?:has\s+)?(?:replaced|succeeded|taken\s+over\s+from|took\s+over\s+from)\s[^,.]{1,40}?\sas"
    r"|(?:has\s+)?(?:taken|took)\s+over\s+as"
)
_HOLDER = re.compile(
    rf"\b(?P<object>{PERSON})(?:\s+(?:is|became|has\s+become|{_REPLACED})"
    rf"|'s)\s+{ADVERBS}{_POSSESSOR}\s+{_NEW}{KIN_ADJECTIVES}"
    rf"(?P<noun>{_ANYONE})\b(?!'s|\s+of\b|-)"
)
_FAVOURITE = re.compile(
    rf"(?:^|,\s)(?P<object>[^,]{{2,50}}?)\s+(?:is|are|has\s+become|became)\s+{ADVERBS}{_POSSESSOR}\s+(?:new\s+"
    rf"|all-time\s+)*"
    r"favou?rite\s+(?P<noun>(?!(?:thing|part|bit|one|way|memory|time)s?\b)[a-z]+)(?=\s+(?:now|these|ever"
    r"|of\s+all)\b|[.!,]|\s*$)"
)
_HOME = re.compile(
    rf"\b(?P<object>{o.NAME})\s+is\s+(?:now\s+)?(?:[Mm]y\s+(?:new\s+)?home\b(?!\s*town)|where\s+I\s+(?:now\s+)?live\b)"
)
_COUPLE = re.compile(
    rf"\b(?P<object>{PERSON})\s+and\s+(?P<other>I\b|{PERSON})(?:\s+are|\s+have|'ve)?\s+{ADVERBS}(?P<what>dating|got together"
    rf"|together|going out"
    r"|seeing each other|an? (?:couple|item)|broke up|broken up|split up|(?:got )?(?:married|engaged"
    r"|divorced))(?!\w|\s+(?:to|with)\b)"
)
_HIRED = re.compile(
    rf"\b(?P<object>{o.NAME}(?: & {o.NAME})?)\s+(?:has\s+)?(?:just\s+)?(?:hired|recruited|employed)\s+(?P<who>me\b|{o.NAME})"
)
_IS_WORK = re.compile(
    rf"\b(?P<object>{o.NAME}(?: & {o.NAME})?)\s+is\s+(?:now\s+)?"
    r"(?:[Mm]y\s+(?:new\s+)?employer\b|where\s+I\s+(?:now\s+)?work\b)"
)
_MOST_LIKED = re.compile(
    r"^(?:[Tt]he|[Mm]y)\s+(?P<noun>food|dish|meal|colour|color|film|book|song|sport|drink)\s+(?:that\s+)?I\s+(?:like|love|enjoy)\s+(?:the\s+)?(?:most|best)\s+is\s+(?:now\s+)?(?P<object>[^,]{2,50})"
    r"|^(?P<first>[^,]{2,50}?)\s+is\s+(?:now\s+)?the\s+(?P<what>food|dish|meal|colour|color|film|book|song|sport|drink)\s+(?:that\s+)?I\s+(?:like|love|enjoy)\s+(?:the\s+)?(?:most|best)"
)
_FIRST_DAY = re.compile(rf"\bmy\s+first\s+(?:day|week)\s+(?:at|with)\s+(?P<object>{o.NAME}(?: & {o.NAME})?)")
_ALLERGY = re.compile(
    r"\bI(?:'ve got| have)\s+an?\s+(?:\w+ly\s+|severe\s+|bad\s+|mild\s+)?(?P<object>[\w-]+)\s+allergy\b"
)
_AND_ONE = re.compile(
    r"\b(?:I|[Ww]e)(?:\s+have|'ve\s+got|\s+got|\s+own|\s+adopted)\s[^.;]{3,60}?\sand\s+(?:an?|one)\s+(?:\w+\s+)?"
    rf"(?P<noun>{_ANYONE}),?\s+(?:called|named)\s+(?P<object>{o.NAME})"
)
_MY_KIN_BEHIND = re.compile(rf"\b(?P<object>{o.NAME}),\s+[Mm]y\s+{KIN_ADJECTIVES}(?P<noun>{_ANYONE})(?=,|[.!]?\s*$)")
_CALLED = re.compile(rf"\b[Cc]alls?\s+me\s+(?P<object>{o.NAME})")
_SPECIALS: tuple[tuple[re.Pattern[str], Special], ...] = (
    (_HOLDER, _holder),
    (_FAVOURITE, _favourite),
    (_HOME, _home),
    (_COUPLE, _couple),
    (_ALLERGY, _allergy),
    (_HIRED, _employer),
    (_FIRST_DAY, _employer),
    (_IS_WORK, _employer),
    (_MOST_LIKED, _most_liked),
    (_AND_ONE, _appositive),
    (_MY_KIN_BEHIND, _appositive),
)
_BY_NAME = re.compile(
    rf"\b(?:[Mm]y|[Oo]ur)\s+{KIN_ADJECTIVES}(?P<noun>{_ANYONE}),?\s+(?P<object>{o.NAME})\b(?!\s+(?:says|said)\b)"
)
_I_AM = re.compile(
    rf"(?P<hi>(?i:hi|hello|hey|good \w+|nice to meet you)\b[^.!]{{0,30}}?[,!.]\s*)?(?:I'm|I am|[Tt]his"
    rf" is)\s+(?P<object>{o.NAME})"
    r"(?:[,.!\s].*)?"
)

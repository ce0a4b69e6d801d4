"""Facts that an English sentence states about its speaker or a person it names: patterns of `rules_en_table`, no parser.

A sentence gives a fact where a subject ("I", "my sister", "Anna") stands where a clause begins and a phrase of the table
follows it at once, or follows an "and" that shares the subject. Whatever comes between, such as "never", "almost" or
"would like to", makes the phrase not match, and so no fact. Pronouns of the third person are not resolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from ctxproc.memory.extract import objects_en as o
from ctxproc.memory.extract.owned_en import owned, special
from ctxproc.memory.extract.people_en import (
    ADVERBS,
    KIN,
    KIN_ADJECTIVES,
    PERSON,
    Stated,
    begins,
    is_person,
    noun,
    related,
    single,
)
from ctxproc.memory.extract.rules_en_table import PETS, RELATIVES, STATEMENTS, Rule


class _Subject(NamedTuple):
    """Who; where it starts and ends in the sentence; whether verbs are those of "I"."""

    name: str
    start: int
    end: int
    first: bool


class _Form(NamedTuple):
    """One way to say a rule, for "I" and for others."""

    rule: Rule
    first: re.Pattern[str]
    third: re.Pattern[str]
    ends: bool
    event: bool
    needs: str


_BE = ("(?:am|'m|are|'re)", "(?:is|'s)")
_HAVE = ("(?:have|'ve)", "(?:has|'s)")
_DO_NOT = (r"(?:don't|do\s+not)", r"(?:doesn't|does\s+not)")
_ANY_MORE = r"\bany ?(?:more|longer)\b"
_SUBJECT = re.compile(
    rf"(?P<me>\b(?:I|i|[Ww]e)(?![\w.-]))|{KIN}(?:'s\s+(?P<next>{RELATIVES}|{PETS})\b)?(?:,?\s+(?P<called>{o.NAME})\b,?)?"
    rf"|(?P<person>\b{PERSON}\b)(?:,\s+my\s+{KIN_ADJECTIVES}(?:{RELATIVES}|{PETS}),)?"
)
_JOIN = re.compile(r"(?:,\s*(?:and\s+|but\s+)?|\s(?:and|but)\s+)(?:(?:then|now|also|later|soon)\s+)*")
_ACTS = re.compile(r"'s\s|\s+(?!and\b|or\b|but\b)[a-z]")
_VERB = re.compile(r"\w+/\w+(?:/\w+)?")
_INSTEAD = re.compile(
    r"\s*(?:any ?more|any longer)?(?:,\s*|\s+)(?:but|I'm|I am|we're|we are|he's|she's|he is|she"
    r" is)\s+(?:now\s+)?(?P<with>in|at|for|as)\s+"
)
_ASIDE = re.compile(r"\b(?:who|which|that|whose|where|when|after|before|how|why|while|than|with|because|so)\b")


def stated(sentence: str, me: str, greeted: bool = False) -> list[Stated]:
    """The facts of a sentence, in no certain order, one of each kind.

    Args:
        sentence: what is stated, without quotations; an apostrophe is "'".
        me: who "I" is.
        greeted: a greeting precedes it, so that "I'm Anna" is a name.
    """
    found: dict[tuple[str, str, str, bool], Stated] = {}
    for one in (*_said(sentence, me), *owned(sentence, me), *special(sentence, me, greeted)):
        found.setdefault((one.subject, one.relation, one.object, one.ends), one)
    ended = {(one.subject, one.relation) for one in found.values() if one.ends and one.object}
    return [one for one in found.values() if one.object or (one.subject, one.relation) not in ended]


def _said(sentence: str, me: str) -> Iterator[Stated]:
    """Subject, phrase, object."""
    subjects = list(_subjects(sentence, me))
    for number, subject in enumerate(subjects):
        limit = subjects[number + 1].start if number + 1 < len(subjects) else len(sentence)
        places = [subject.end, *(join.end() for join in _JOIN.finditer(sentence, subject.end, limit))]
        found: list[Stated] = []
        for place in places:
            if place > subject.end and _ASIDE.search(sentence, subject.end, place):
                break
            facts = list(_predicates(sentence, subject, place, limit))
            found += [fact for fact in facts if fact.single or found or place == subject.end]
        yield from found


def _subjects(sentence: str, me: str) -> Iterator[_Subject]:
    """Those with which a clause begins."""
    for match in _SUBJECT.finditer(sentence):
        if not begins(sentence, match.start()):
            continue
        if match["me"]:
            yield _Subject(me, *match.span(), True)
        elif match["kin"]:
            kin = f"{me}'s {noun(match['kin'])}" + (f"'s {noun(match['next'])}" if match["next"] else "")
            yield _Subject(match["called"] or kin, *match.span(), False)
        elif _ACTS.match(sentence, match.end()) and is_person(match["person"]):
            yield _Subject(" ".join(match["person"].split()), *match.span(), False)


def _predicates(sentence: str, subject: _Subject, place: int, limit: int) -> Iterator[Stated]:
    """What the phrases of the table find at a place; of each relation the first."""
    seen = set[str]()
    for form in _forms():
        match = (form.first if subject.first else form.third).match(sentence, place, limit)
        if match is None:
            continue
        rule, tail = form.rule, o.clause(sentence[:limit], match.end())
        relation = _relation(rule, match)
        nameless = relation == "is named" and not subject.first  # "my sister is named Anna": see owned_en
        if relation in seen or nameless or not _has(form.needs, tail):
            continue
        if form.ends and (instead := _INSTEAD.search(sentence, match.end(), limit + 24)):
            yield from _instead(form, sentence, subject, instead)
        for said in rule.kind(tail):
            seen.add(relation)
            end = match.end() + max(0, tail.find(said)) + len(said)
            one = single(relation) if "{" in rule.relation else rule.single
            dated = form.needs == "DATE"
            yield Stated(subject.name, relation, said, subject.start, end, one, form.ends, form.event, dated)


def _instead(form: _Form, sentence: str, subject: _Subject, found: re.Match[str]) -> Iterator[Stated]:
    """Such as "I no longer live in Oslo but in Lyon", "..., I'm in Lyon now": what holds in place of what ended."""
    if form.rule.ends or form.rule.phrase.endswith(found["with"]) is False:
        return
    tail = o.clause(sentence, found.end())
    for said in form.rule.kind(tail):
        end = found.end() + max(0, tail.find(said)) + len(said)
        yield Stated(subject.name, form.rule.relation, said, subject.start, end, form.rule.single, event=True)


def _has(needs: str, tail: str) -> bool:
    return needs in ("", "DATE") or re.search(needs, tail, re.IGNORECASE) is not None


def _relation(rule: Rule, match: re.Match[str]) -> str:
    return related(match["noun"]) if "{noun}" in rule.relation else rule.relation


@cache
def _forms() -> tuple[_Form, ...]:
    """All ways to say all rules, in the order of the table; what ends a fact before what states it."""
    forms = [form for rule in STATEMENTS for form in _ways(rule)]
    return tuple(sorted(forms, key=lambda form: not form.ends))


def _ways(rule: Rule) -> Iterator[_Form]:
    """The forms of a rule's phrase: now, begun, to come, ended. See the table."""
    verb = _VERB.match(rule.phrase)
    if verb is None:
        event = "n't" not in rule.phrase
        yield _form(rule, *[rf"(?:{have}\s+)?{ADVERBS}(?:{rule.phrase})" for have in _HAVE], event=event)
        return
    rest = rule.phrase[verb.end() :]
    words = verb[0].split("/")
    if words[1] == "is":
        rest = rf" {ADVERBS}{rest.lstrip()}"
        yield _form(rule, *[rf"{ADVERBS}{be}{rest}" for be in _BE])
        ended = [rf"(?:{be}\s+no\s+longer|used\s+to\s+be|stopped\s+being){rest}" for be in _BE]
        refused = [rf"(?:{be}\s+not|isn't|aren't){rest}" for be in _BE]
    else:
        base, gerund = words[0], words[2]
        yield _form(rule, *[_present(i, words, rest) for i in (0, 1)])
        begun = rf"{ADVERBS}(?:started|began|begun)\s+(?:{gerund}|to\s+{base}){rest}"
        yield _form(rule, *[rf"(?:{have}\s+)?{begun}" for have in _HAVE], event=True)
        coming = [
            rf"(?:will|'ll|{be}\s+going\s+to)\s+(?:be\s+{gerund}|(?:start|begin)\s+{gerund}|{base}){rest}" for be in _BE
        ]
        yield _form(rule, *coming, event=True, needs="DATE")
        ended = [_ended(i, words, rest) for i in (0, 1)]
        refused = [rf"(?:{_DO_NOT[i]}\s+{ADVERBS}{base}|{_BE[i]}\s+not\s+{gerund}){rest}" for i in (0, 1)]
    if not rule.ends:
        yield _form(rule, *ended, ends=True, event=True)
        yield _form(rule, *refused, ends=True, event=True, needs=_ANY_MORE)


def _present(person: int, words: list[str], rest: str) -> str:
    """Such as "live in", "am living in", "have been living in"."""
    gerund = rf"(?:{_BE[person]}|{_HAVE[person]}\s+been)\s+{ADVERBS}{words[2]}"
    return rf"{ADVERBS}(?:{words[person]}|{gerund}){rest}"


def _ended(person: int, words: list[str], rest: str) -> str:
    """Such as "no longer live in", "used to live in", "stopped living in"."""
    ways = rf"no\s+longer\s+{words[person]}|{_BE[person]}\s+no\s+longer\s+{words[2]}|used\s+to\s+{words[0]}"
    return rf"{ADVERBS}(?:{ways}|(?:{_HAVE[person]}\s+)?(?:stopped|quit)\s+{words[2]}){rest}"


def _form(rule: Rule, first: str, third: str, *, ends: bool = False, event: bool = False, needs: str = "") -> _Form:
    """Compiled: spaces are any white space, case plays no part."""
    ways = (way.strip().replace(" ", r"\s+") for way in (first, third))
    patterns = [re.compile(rf"(?i:\s*{way})\b\s*") for way in ways]
    return _Form(rule, patterns[0], patterns[1], ends or rule.ends, event, needs or rule.needs)

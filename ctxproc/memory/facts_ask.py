"""Answers questions about facts without a model that writes: who, which relation, and of which time.

"Where did Ana live before Lyon?" -> the subject "Ana" by its name, the relation "lives in" by its words or, where none of
them stands there, by the similarity of the question to what its relations mean, and what held before "Lyon" did. Names
match by the longest: "Ana Silva" is not "Ana". A name that fits several people gives an answer for each, and so does "she".
A value or a date that the facts do not know gives no answer, rather than that of another question.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from ctxproc.memory.facts import key
from ctxproc.memory.facts_question import Question, named, place_of, question_of, questions, strange, without
from ctxproc.memory.facts_words import HINTED, NAMED, cued, phrase

if TYPE_CHECKING:
    from ctxproc.memory.facts import Embed, Fact, Facts

Mode = Literal["now", "before", "after", "then", "when"]

VALUED = 0.9
"""Score of a relation of which the question names a value; between a hint and a name."""
LIKE = 0.35
"""Cosine of a question and of what a relation means, from which on it is taken to be meant."""
DOUBT = 0.5
"""Weight of a word that only hints at a relation, beside such cosines."""
NAME = "x"
"""Stands in place of names where the words of a question are looked at."""
OWNER = rf"\bmy|\b{NAME}(?:['’]s?)?|我的?|{NAME}的?"
MOST_QUESTIONS = 3
MOMENT = timedelta(microseconds=1)

_ME = re.compile(r"\b(?:i|me|my|mine|myself|am i)\b|我|本人", re.IGNORECASE)
_OTHERS = re.compile(r"\b(?:she|he|they|her|his|him|their|them)\b|她|他", re.IGNORECASE)
_OWN = re.compile(
    r"\b(?:my|his|her|their) (?!(?:full |first |last |real |own )?name)\w|我的(?!名字|姓名|全名)\w{1,6}?(?:叫|名字)"
)
_WHO = re.compile(r"^\W*(?:who|which of)\b|谁", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FactAnswer:
    """What a fact says to a question.

    Attributes:
        fact: whose; several answers of different subjects mean that the name fits them all.
        mode: which time was asked for: "now", "before" and "after" another, "then" at a date, or "when" itself.
        value: the object; of "when" the day, as 2026-05-01, where it is no day of birth; of "who lives in Lyon"
            the subject.
        score: how surely the question is about this relation, from `LIKE` to a little above 1.
    """

    fact: Fact
    mode: Mode
    value: str
    score: float


@dataclass(frozen=True, slots=True)
class _Group:
    """Subjects whom a question may be about, and the question without the words that stand for them."""

    text: str
    subjects: list[str]


@dataclass(frozen=True, slots=True)
class _Meant:
    """A relation of a subject that a question may be about."""

    subject: str
    relation: str
    score: float


def ask(
    facts: Facts, question: str, embed: Embed | None, *, now: datetime, me: str, as_of: datetime | None = None
) -> list[FactAnswer]:
    """What the facts say to a question: nothing where it is about none of them.

    Args:
        facts: of one owner.
        question: in English or Chinese; of a message of several sentences, the first `MOST_QUESTIONS` that end in a question
            mark, or all of a short message that has none.
        embed: makes vectors of the question and of what relations mean; only called where no word decides.
        now: the time of the question: for "last May", and for what holds.
        me: the subject that the owner's "I" is.
        as_of: what "now" means in the answer; default: ``now``. What begins later is not seen.
    """
    found: list[FactAnswer] = []
    for part in questions(question)[:MOST_QUESTIONS]:
        found += _answers(facts, question_of(part, now), embed, as_of or now, me)
    return list(dict.fromkeys(found))


def _answers(facts: Facts, asked: Question, embed: Embed | None, at: datetime, me: str) -> list[FactAnswer]:
    """What the facts say to one question."""
    if (turned := _subjects_of(facts, asked, at, me)) is not None:
        return turned
    found: list[FactAnswer] = []
    for meant in _meant(facts, asked, embed, at, me):
        runs = [fact for fact in facts.history(meant.subject, meant.relation) if fact.since <= at]
        mode, chosen = _chosen(facts, asked, meant.subject, runs, at)
        found += [FactAnswer(fact, mode, _value(fact, mode, asked), meant.score) for fact in chosen]
    return found


def _value(fact: Fact, mode: Mode, asked: Question) -> str:
    dated = key(fact.relation).startswith("was born") and any(letter.isdigit() for letter in fact.object)
    if mode != "when" or dated:
        return fact.object
    time = fact.until if asked.ending and fact.until else fact.since
    return time.date().isoformat()


def _chosen(facts: Facts, asked: Question, subject: str, runs: Sequence[Fact], at: datetime) -> tuple[Mode, list[Fact]]:
    """Which of the facts of a subject and a relation are asked for; ``runs`` are in order."""
    current = [fact for fact in runs if fact.holds(at)]
    if asked.when:
        return "when", _when(asked, subject, runs, current)
    if asked.clause and (of_clause := _by_clause(facts, asked, subject, runs, current, at)) is not None:
        return of_clause
    if asked.first:
        return "before", list(runs[:1])
    if asked.previous:
        return "before", _before(runs, current)
    if asked.dates:
        return "then", [fact for fact in runs for since, until in asked.dates if _meets(fact, since, until)]
    if asked.past and not asked.present and (earlier := _before(runs, current)):
        return "before", earlier
    return "now", current


def _meets(fact: Fact, since: datetime, until: datetime) -> bool:
    """Whether a fact holds at any time of an interval."""
    return fact.since < until and (fact.until is None or since < fact.until)


def _before(runs: Sequence[Fact], of: Sequence[Fact]) -> list[Fact]:
    """The last of the runs in front of some of them; of none, the last that there is."""
    first = min((fact.since for fact in of), default=None)
    names = {key(fact.object) for fact in of}
    earlier = [fact for fact in runs if (first is None or fact.since < first) and key(fact.object) not in names]
    return earlier[-1:]


def _latest(runs: Sequence[Fact], names: Sequence[str], first: bool = False) -> list[Fact]:
    """The last run of the named values, or the first one."""
    wanted = {key(name) for name in names}
    found = [fact for fact in runs if key(fact.object) in wanted]
    return found[:1] if first else found[-1:]


def _when(asked: Question, subject: str, runs: Sequence[Fact], current: Sequence[Fact]) -> list[Fact]:
    names = named([fact.object for fact in runs], asked.text)
    if names:
        found = _latest(runs, names, asked.first)
        return [fact for fact in found if fact.until] if asked.ending else found
    if strange(asked, asked.main, [subject, *subject.split()]):
        return []
    if asked.ending:
        return [fact for fact in runs if fact.until][-1:]
    return list(runs[:1]) if asked.first else list(current)


def _by_clause(
    facts: Facts, asked: Question, subject: str, runs: Sequence[Fact], current: Sequence[Fact], at: datetime
) -> tuple[Mode, list[Fact]] | None:
    """What the clause asks for: before or after a value, a date, or something else that held; None if it does not say."""
    names = named([fact.object for fact in runs], asked.clause)
    anchor = _latest(runs, names)
    if anchor and asked.kind in ("before", "while"):
        return ("before", _before(runs, anchor)) if asked.kind == "before" else ("then", anchor)
    if anchor:
        return "after", [fact for fact in runs if fact.since > anchor[0].since][:1]
    for since, until in _intervals(facts, asked, subject, at):
        if asked.kind == "while":
            return "then", [fact for fact in runs if _meets(fact, since, until)]
        moment = since - MOMENT if asked.kind == "before" else until
        return asked.kind or "then", [fact for fact in runs if fact.holds(moment)]
    if asked.kind == "while":
        return None
    if strange(asked, asked.clause, [subject, *subject.split()]):
        return "before", []
    return ("before", _before(runs, current)) if asked.kind == "before" else ("after", list(current))


def _intervals(facts: Facts, asked: Question, subject: str, at: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The times of which a clause speaks: dates, or other facts of the subject; "after" those means after they began."""
    yield from asked.dates
    others = [fact for fact in facts.read(subject, history=True) if fact.since <= at]
    for fact in _latest(others, named([fact.object for fact in others], asked.clause)):
        yield fact.since, fact.since if asked.kind == "after" else (fact.until or at + MOMENT)


def _meant(facts: Facts, asked: Question, embed: Embed | None, at: datetime, me: str) -> list[_Meant]:
    """The relations that the question is about: the surest one; several only of different subjects of one name."""
    relatives = list(_relatives(facts, asked.main, at, me))
    by_kinship = _surest([_by_words(facts, group, asked) for group in relatives])
    if by_kinship and by_kinship[0].score >= NAMED:
        return by_kinship
    groups = _subjects(facts, asked, me)
    by_words = _surest([_by_words(facts, group, asked) for group in groups])
    if (by_words and by_words[0].score >= VALUED) or embed is None or asked.chinese:
        return by_words
    return _surest([_by_meaning(facts, group, embed) for group in [*relatives, *groups]]) or by_words


def _surest(found: Sequence[Sequence[_Meant]]) -> list[_Meant]:
    """Of the group with the surest relation, the first of equals: the relation of each subject that is as sure."""
    best = max(found, key=lambda group: max((one.score for one in group), default=0.0), default=())
    top = max((one.score for one in best), default=0.0)
    return list({one.subject: one for one in reversed(best) if one.score == top}.values())[::-1]


def _subjects(facts: Facts, asked: Question, me: str) -> list[_Group]:
    """Whom the question may be about, in the order in which they are named; people of one name are one group."""
    text = asked.main
    names = [name for name in facts.subjects if key(name) != key(me)]
    groups = [[name] for name in named(names, text)] or _partial(names, text)
    if found := _ME.search(text):
        places = [min(place_of(name, text) for name in group) for group in groups]
        groups.insert(sum(place < found.start() for place in places), [me])
    elif not groups and _OTHERS.search(text):
        groups = [names, [me]]
    elif not groups and (_ME.search(asked.clause) or asked.chinese):
        groups = [[me]]
    elif not groups:
        groups = [[name] for name in named(names, asked.clause)]
    return [_Group(text, group) for group in groups]


def _partial(names: Sequence[str], text: str) -> list[list[str]]:
    """People of whose names a part is said, grouped by that part: "Ana" of "Ana Silva" and "Ana from work"."""
    groups: dict[str, list[str]] = {}
    for name in names:
        for part in name.split():
            if part[:1].isupper() and place_of(part, text) >= 0:
                groups.setdefault(key(part), []).append(name)
                break
    return list(groups.values())


def _relatives(facts: Facts, text: str, at: datetime, me: str) -> Iterator[_Group]:
    """People who are called by what they are to the owner, "my sister", and the question without these words."""
    if not (called := re.search(r"\bmy ((?:\w+ )*\w+)", text)):
        return
    names, own = {key(name): name for name in facts.subjects}, f"{key(me)}'s "
    nouns = [(name.removeprefix(own), [names[name]]) for name in names if name.startswith(own)]
    for relation in facts.relations(me):
        if relation.startswith("has "):
            held = [key(fact.object) for fact in facts.read(me, relation, as_of=at)]
            nouns.append((relation[4:], [names[name] for name in held if name in names]))
    for noun, group in nouns:
        found = re.search(rf"\bmy (?:\w+ )?{re.escape(noun)}\b(?:['’]s)?", text) if noun in called[1] else None
        if found and group:
            yield _Group(text[: found.start()] + text[found.end() :], group)


def _by_words(facts: Facts, group: _Group, asked: Question) -> list[_Meant]:
    """The relations that the question means by its words, or by a value of theirs that it names.

    The clause is only looked at where nothing else says what is asked.
    """
    found = []
    for subject in group.subjects:
        for part in (group.text, asked.text.lower()) if asked.clause else (group.text,):
            bare = _bare(facts, subject, part)
            scores = {name: cued(bare, name, OWNER) for name in _relations(facts, subject, part)}
            if asked.when or asked.clause:
                for name in scores:
                    if named([fact.object for fact in facts.history(subject, name)], part):
                        scores[name] = max(scores[name], VALUED) + VALUED - HINTED
            if any(scores.values()):
                found += [_Meant(subject, name, score) for name, score in scores.items() if score]
                break
    return found


def _relations(facts: Facts, subject: str, text: str) -> list[str]:
    """The relations of a subject; without its name where the name of something that is its own is asked for."""
    own = _OWN.search(text)
    return [name for name in facts.relations(subject) if not (own and name == "is named")]


def _bare(facts: Facts, subject: str, text: str) -> str:
    """The question without names, whose words say nothing of the relation: of the subject, and of what is known of it."""
    text = without([fact.object for fact in facts.read(subject, history=True)], text, NAME)
    return without([subject], text, NAME)


def _by_meaning(facts: Facts, group: _Group, embed: Embed) -> list[_Meant]:
    """The relations whose meaning is like the question, or at which it hints."""
    found = []
    for subject in group.subjects:
        relations, bare = _relations(facts, subject, group.text), _bare(facts, subject, group.text)
        vectors = embed([bare, *map(phrase, relations)])
        for relation, likeness in zip(relations, (vectors[1:] @ vectors[0]).tolist(), strict=True):
            score = max(likeness, cued(bare, relation, OWNER) * DOUBT)
            if score >= LIKE:
                found.append(_Meant(subject, relation, score))
    return found


def _subjects_of(facts: Facts, asked: Question, at: datetime, me: str) -> list[FactAnswer] | None:
    """Answers of "who lives in Lyon": subjects with that object; None if it is another question."""
    if not _WHO.search(asked.main) or _ME.search(asked.main) or named(facts.subjects, asked.main) or asked.when:
        return None
    held = facts.read(as_of=at)
    names = named([fact.object for fact in held], asked.main)
    found = []
    for fact in held:
        if fact.object in names and (score := cued(asked.main, key(fact.relation), me)) >= NAMED:
            found.append(FactAnswer(fact, "now", fact.subject, score))
    return found or None

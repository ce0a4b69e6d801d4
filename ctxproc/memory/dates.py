"""Which days a text speaks of, seen from the moment at which it was said: English and Chinese, by rules alone.

``resolve("I moved last May", said in June 2026)`` knows that this was May 2026. Understood are days, weeks (from
Monday), weekends, months, seasons (of the north), years and decades: named ("12 May 2023", "2023-05-12", "in 2019",
"2019年5月"), counted ("three days ago", "三天前"), relative ("yesterday", "last Friday", "上周三"), relative to another day
("the week before 9 June 2023"), and from one to another ("between 3 May and 7 May"). The hour of a day is not looked at.

Where a year is not told, the latest that has begun is meant: memories tell of the past. "last" is the nearest before
this one: "last Friday" said on a Friday is a week ago, "last May" said in May a year. A bare "Friday", which may as well
be the next one, and numbers such as 3/4/2023, of which the world reads either as the month, are no dates here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import NamedTuple

from ctxproc.memory import dates_calendar as calendar
from ctxproc.memory.dates_calendar import Days, Rule, Unit
from ctxproc.memory.dates_zh import RULES as CHINESE

MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sept sep|"
        "october oct|november nov|december dec".split("|"),
        1,
    )
    for name in names.split()
}
WEEKDAYS = {
    name: number
    for number, names in enumerate(
        "monday mon|tuesday tues tue|wednesday wed|thursday thurs thur thu|friday fri|saturday sat|sunday sun".split(
            "|"
        )
    )
    for name in names.split()
}
NUMBERS = {
    word: number
    for number, words in enumerate(
        "one a an|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen".split("|"), 1
    )
    for word in words.split()
} | {"a couple of": 2, "couple of": 2, "a couple": 2}
FEW = ("a few", "few", "several", "some")
"""Two to five."""
STEPS = {"last": -1, "past": -1, "previous": -1, "this": 0, "current": 0, "next": 1, "coming": 1, "following": 1}
DAYS = {
    "the day before yesterday": -2,
    "yesterday": -1,
    "last night": -1,
    "today": 0,
    "tonight": 0,
    "this morning": 0,
    "this afternoon": 0,
    "this evening": 0,
    "tomorrow": 1,
    "the day after tomorrow": 2,
}


class When(NamedTuple):
    """A stretch of time that a text names.

    Attributes:
        start, end: where it stands: characters of the text.
        since: its first moment.
        until: the first moment after it; both in the zone of the moment from which it was seen.
    """

    start: int
    end: int
    since: datetime
    until: datetime


def resolve(text: str, at: datetime) -> list[When]:
    """The stretches of time that a text names, in the order in which they stand there; none overlaps another.

    Args:
        text: in English or Chinese.
        at: when it was said.
    """
    found: list[When] = []
    for one in sorted(_named(text, at), key=lambda one: (one.start, -one.end)):
        if not found or one.start >= found[-1].end:
            found.append(one)
    return _ranges(text, _relative(text, found))


def dated(text: str, at: datetime) -> str:
    """The text with the date behind every stretch of time whose year it does not tell: "yesterday (7 May 2023)".

    So it can be read by someone who does not know when it was said. Arguments as of `resolve`.
    """
    parts, done = [], 0
    for one in resolve(text, at):
        if not _YEAR_TOLD.search(text[one.start : one.end]):
            parts += [text[done : one.end], f" ({_date(one)})"]
            done = one.end
    return "".join([*parts, text[done:]])


def _date(one: When) -> str:
    """7 May 2023; May 2023; 2023; 1 May 2023 to 7 May 2023."""
    first, last = one.since.date(), one.until.date() - timedelta(days=1)
    day = f"{first.day} {first:%B} {first.year}"
    if first == last:
        return day
    if (first, one.until.date()) == calendar.year(first.year):
        return str(first.year)
    if (first, one.until.date()) == calendar.month(first.year, first.month):
        return f"{first:%B} {first.year}"
    return f"{day} to {last.day} {last:%B} {last.year}"


def _named(text: str, at: datetime) -> Iterator[When]:
    """What each rule finds, where it is a day at all."""
    lowered = text.lower()
    lowered = lowered if len(lowered) == len(text) else text  # a few letters are longer in lower case
    rules = [*(ENGLISH if _SOME_ENGLISH.search(lowered) else ()), *(CHINESE if _SOME_CHINESE.search(lowered) else ())]
    for pattern, days in rules:
        for match in pattern.finditer(lowered):
            try:
                yield _when(match, days(match, at.date()), at)
            except (ValueError, OverflowError):
                continue  # 31 February, or the year 12000


def _when(match: re.Match[str], days: Days, at: datetime) -> When:
    """The days that a match names: of its group ``x``, if it has one."""
    start, end = match.span("x" if "x" in match.re.groupindex else 0)
    return _between(start, end, days, at)


def _between(start: int, end: int, days: Days, at: datetime) -> When:
    """These days in the zone of a moment."""
    return When(start, end, *(datetime.combine(day, time(), at.tzinfo) for day in days))


_MONTH = rf"(?P<month>{'|'.join(MONTHS)})\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>[12]\d{3})\b(?![.,]?\d)"
_WEEKDAY = "|".join(WEEKDAYS)
_COUNT = rf"(?P<count>\d{{1,5}}|{'|'.join(sorted([*NUMBERS, *FEW], key=len, reverse=True))})"
_UNIT = r"(?P<unit>day|week|weekend|month|year)s?"
_STEP = rf"(?P<step>{'|'.join(STEPS)})"
_IN = r"(?:in|since|during|of|from|until|till|by|before|after|through|early|mid|late|between)"

_TO = r"(?:and|to|until|till|through|-|–)"


def _full(match: re.Match[str], at: date) -> Days:
    """12 May 2023; without the year, the latest."""
    month, day = MONTHS[match["month"]] if match["month"] in MONTHS else int(match["month"]), int(match["day"])
    if match["year"]:
        return calendar.days(date(int(match["year"]), month, day))
    return calendar.past_day(at, month, day)


def _month(match: re.Match[str], at: date) -> Days:
    """May 2023; or May, the latest that has begun."""
    number = MONTHS[match["month"]]
    if match["year"]:
        return calendar.month(int(match["year"]), number)
    return calendar.past_month(at, number, ended=False)


def _counted(match: re.Match[str], at: date) -> Days:
    """Three days ago; in two weeks."""
    unit, step = _unit(match["unit"]), -1 if match["back"] else 1
    if match["count"] in FEW:
        ends = [calendar.moved(at, unit, step * count) for count in (2, 5)]
        return min(ends)[0], max(ends)[1]
    count = NUMBERS.get(match["count"]) or int(match["count"])
    return calendar.moved(at, unit, step * count)


def _unit(name: str) -> Unit:
    units: dict[str, Unit] = {"day": "day", "week": "week", "weekend": "weekend", "month": "month", "year": "year"}
    return units[name]


def _stepped(match: re.Match[str], at: date) -> Days:
    """Last week, this month, next year; next Friday; last May; this summer."""
    step, name = STEPS[match["step"]], match["name"]
    if name in WEEKDAYS:
        return _weekday(at, WEEKDAYS[name], step)
    if name in MONTHS:
        past = calendar.past_month(at, MONTHS[name], ended=True)
        ahead = MONTHS[name] > at.month
        return past if step < 0 else calendar.month(at.year if step == 0 or ahead else at.year + 1, MONTHS[name])
    if name in calendar.SEASONS:
        return calendar.season_beside(at, name, step)
    return calendar.moved(at, _unit(name), step)


def _weekday(at: date, number: int, step: int) -> Days:
    """This Friday is that of the week; last and next Friday are the nearest."""
    if step:
        return calendar.weekday(at, number, step)
    return calendar.days(calendar.week(at)[0] + (date(1, 1, 1 + number) - date(1, 1, 1)))


def _season(match: re.Match[str], at: date) -> Days:
    """The summer of 2019."""
    return calendar.season(int(match["year"]), match["season"])


def _year(match: re.Match[str], at: date) -> Days:
    """2019."""
    return calendar.year(int(match["year"]))


def _decade(match: re.Match[str], at: date) -> Days:
    """The 1990s, the 90s."""
    first = int(match["decade"]) if len(match["decade"]) == len("1990") else 1900 + int(match["decade"])
    return date(first, 1, 1), date(first + 10, 1, 1)


ENGLISH: Sequence[Rule] = [
    (re.compile(pattern), days)
    for pattern, days in (
        (rf"\b(?:{'|'.join(DAYS)})\b", lambda match, at: calendar.moved(at, "day", DAYS[match[0]])),
        (rf"\b(?:the )?{_DAY} (?:of )?{_MONTH}(?:,? {_YEAR})?", _full),
        (rf"\b{_MONTH} {_DAY}\b(?!:\d)(?:,? {_YEAR})?", _full),
        (r"(?<![\d./-])(?P<year>[12]\d{3})(?P<sign>[-/.])(?P<month>\d{1,2})(?P=sign)(?P<day>\d{1,2})(?![\d/-])", _full),
        (rf"\b{_MONTH},? (?:of )?{_YEAR}", _month),
        (rf"\b{_IN} (?P<x>{_MONTH}(?P<year>))", _month),
        (rf"\b(?:between|from) (?:{'|'.join(MONTHS)}) {_TO} (?P<x>{_MONTH}(?P<year>))", _month),
        (rf"\b(?:between|from) [12]\d{{3}} {_TO} (?P<x>{_YEAR})", _year),
        (rf"\b{_COUNT} {_UNIT} (?P<back>ago|back|earlier|before now)\b", _counted),
        (rf"\bin {_COUNT} {_UNIT}(?:['’]? time)?(?P<back>)\b", _counted),
        (rf"\b{_COUNT} {_UNIT} (?:from now|later)(?P<back>)\b", _counted),
        (
            rf"\b{_STEP} (?P<name>week|weekend|month|year|{_WEEKDAY}|{'|'.join(MONTHS)}|{'|'.join(calendar.SEASONS)})\b",
            _stepped,
        ),
        (rf"\b(?:the )?(?P<season>{'|'.join(calendar.SEASONS)})(?: of|,)? {_YEAR}", _season),
        (rf"\b(?:{_IN}|year) (?P<x>{_YEAR})", _year),
        (r"\b(?:the )?(?P<decade>1\d\d0|20\d0|[2-9]0)['’]?s\b", _decade),
    )
]

_SOME_ENGLISH = re.compile(
    rf"\d|week|month|year|night|noon|morning|evening|{'|'.join([*MONTHS, *WEEKDAYS, *calendar.SEASONS])}|days?\b"
)
_SOME_CHINESE = re.compile("[年月日号天周期拜晚早]")
"""Without any of these no rule finds anything."""
_TO_ANOTHER = re.compile(rf"(?:\bthe )?\b(?P<name>day|week|weekend|month|year|{_WEEKDAY}) (?P<side>before|after) $")
_BETWEEN = re.compile(r"\b(?:between|from) $")
_UNDATED = re.compile(rf"(?!.*\d{{4}})(?:.*\b)?(?:{'|'.join(MONTHS)})\b", re.DOTALL)
_YEAR_TOLD = re.compile(r"\d{4}|[0-9零〇一二三四五六七八九]{4}年|\d0['’]?s")
NEAR = 40
"""Characters before a date that may say how another is meant by it."""


def _relative(text: str, found: Sequence[When]) -> list[When]:
    """The week before 9 June, last weekend before 9 June: where another day is told by one, that one is meant."""
    kept: list[When] = []
    for one in found:
        before = text[max(0, one.start - NEAR) : one.start].lower()
        match = _TO_ANOTHER.search(before)
        if match and not (kept and one.start - len(before) + match.start() < kept[-1].end):
            try:
                days = _beside(match["name"], match["side"] == "after", one)
            except (ValueError, OverflowError):
                continue
            start = one.start - len(before) + match.start()
            kept.append(_between(start, one.end, days, one.since))
        elif kept and text[kept[-1].end : one.start].lower() == " before ":
            again = _again(text, kept[-1], one.since)
            kept[-1:] = [kept[-1], one] if again == kept[-1] else [again._replace(end=one.end)]
        else:
            kept.append(one)
    return kept


def _beside(name: str, after: bool, one: When) -> Days:
    """The day, week, weekend, month, year or weekday next to a stretch; a week is seven days here."""
    first, last = one.since.date(), one.until.date() - timedelta(days=1)
    day, step = (last, 1) if after else (first, -1)
    if name in WEEKDAYS:
        return calendar.weekday(day, WEEKDAYS[name], step)
    if name == "week":
        return calendar.days(last + timedelta(days=1) if after else first - timedelta(days=7), 7)
    return calendar.moved(day, _unit(name), step)


def _ranges(text: str, found: Sequence[When]) -> list[When]:
    """Between 3 May and 7 May, 3 May to 7 May 2023: one stretch, of the year that the end has."""
    kept: list[When] = []
    for one in found:
        if kept and _joined(text, kept[-1], one):
            first = kept[-1]
            if _UNDATED.match(text[first.start : first.end].lower()):
                first = _again(text, first, one.until - timedelta(days=1))
            if first.since <= one.since:
                kept[-1] = When(first.start, one.end, first.since, one.until)
                continue
        kept.append(one)
    return kept


def _joined(text: str, first: When, second: When) -> bool:
    """Whether the text says from one to the other; "and" alone does not."""
    between = text[first.end : second.start].lower()
    told = _BETWEEN.search(text[max(0, first.start - NEAR) : first.start].lower())
    return re.fullmatch(rf" ?{_TO} ?" if told else " ?[-–—] ?| to ", between) is not None


def _again(text: str, one: When, at: datetime) -> When:
    """What a stretch means at another moment."""
    read = resolve("in " + text[one.start : one.end], at)
    return one._replace(since=read[0].since, until=read[0].until) if read else one

"""The rules of `ctxproc.memory.dates` for Chinese."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, timedelta

from ctxproc.memory import dates_calendar as calendar
from ctxproc.memory.dates_calendar import Days, Rule, Unit

DIGITS = {
    digit: number for number, digits in enumerate("零〇 一 二两 三 四 五 六 七 八 九".split()) for digit in digits
}
DAYS = {"大前天": -3, "前天": -2, "昨天": -1, "昨日": -1, "昨晚": -1, "今天": 0, "今日": 0, "今晚": 0, "今早": 0}
DAYS |= {"明天": 1, "后天": 2, "大后天": 3}
YEARS = {"前年": -2, "去年": -1, "今年": 0, "明年": 1, "后年": 2}
UNITS: dict[str, Unit] = {"天": "day", "日": "day", "周": "week", "星期": "week", "礼拜": "week", "月": "month"}
UNITS |= {"年": "year"}
SEASONS = {"春": "spring", "夏": "summer", "秋": "autumn", "冬": "winter"}
FEW = ("几", "数")
"""Two to five."""

_NUMBER = r"(?:\d{1,5}|[一二两三四五六七八九十]{1,3})"
_YEAR = rf"(?P<year>(?<!\d)[12]\d{{3}}年|[一二][零〇一二三四五六七八九]{{3}}年|{'|'.join(YEARS)})"
_MONTH = r"(?P<month>\d{1,2}|[正一二三四五六七八九十]{1,2})月份?"
_DAY = r"(?P<day>\d{1,2}|[一二三四五六七八九十]{1,3})[日号]"
_WEEK = r"(?:周|星期|礼拜)"


def _number(text: str) -> int:
    """三 is 3, 十二 is 12, 二十 is 20; digits are read as they stand.

    Raises:
        ValueError: it is no such number.
    """
    if text.isdigit() and text.isascii():
        return int(text)
    tens, ten, ones = text.rpartition("十")
    if any(part not in DIGITS for part in (tens, ones) if part) or not text:
        raise ValueError(f"{text!r} is no number")
    return (10 * DIGITS.get(tens, 1) if ten else 0) + DIGITS.get(ones, 0)


def _full(match: re.Match[str], at: date) -> Days:
    """2019年5月3日, 去年五月, 5月3号; without the year, the latest that has begun."""
    number = 1 if match["month"] == "正" else _number(match["month"])
    told = match["year"]
    if not told:
        if match["day"]:
            return calendar.past_day(at, number, _number(match["day"]))
        date(1, number, 1)  # refuses 十三月
        return calendar.past_month(at, number, ended=False)
    first = date(_year_of(told, at), number, _number(match["day"]) if match["day"] else 1)
    return calendar.days(first) if match["day"] else calendar.month(first.year, number)


def _year_of(told: str, at: date) -> int:
    """二零一九年 is 2019; 去年 is the one before that of ``at``."""
    return at.year + YEARS[told] if told in YEARS else int("".join(str(DIGITS.get(c, c)) for c in told[:-1]))


def _counted(match: re.Match[str], at: date) -> Days:
    """三天前, 两个月后."""
    unit, step = UNITS[match["unit"]], -1 if match["side"] in ("前", "以前", "之前") else 1
    if match["count"] in FEW:
        ends = [calendar.moved(at, unit, step * count) for count in (2, 5)]
        return min(ends)[0], max(ends)[1]
    return calendar.moved(at, unit, step * _number(match["count"]))


def _steps(match: re.Match[str]) -> int:
    """上 is -1, 上上 -2, 下 is 1, 这 and 本 are 0."""
    return match["step"].count("下") - match["step"].count("上")


def _week(match: re.Match[str], at: date) -> Days:
    """上周, 上周三 (the Wednesday of the week before this one), 下周末."""
    there = calendar.moved(at, "week", _steps(match))
    if not match["name"]:
        return there
    if match["name"] == "末":
        return calendar.weekend(there[0])
    return calendar.days(there[0] + timedelta(days=min(6, "一二三四五六日天".index(match["name"]))))


def _month(match: re.Match[str], at: date) -> Days:
    """上个月, 下个月五号."""
    there = calendar.moved(at, "month", _steps(match))
    return calendar.days(there[0].replace(day=_number(match["day"]))) if match["day"] else there


def _season(match: re.Match[str], at: date) -> Days:
    """去年夏天."""
    return calendar.season(_year_of(match["year"], at), SEASONS[match["season"]])


RULES: Sequence[Rule] = [
    (re.compile(pattern), days)
    for pattern, days in (
        (
            "|".join(sorted(DAYS, key=len, reverse=True)),
            lambda match, at: calendar.moved(at, "day", DAYS[match[0]]),
        ),
        (_YEAR, lambda match, at: calendar.year(_year_of(match["year"], at))),
        (rf"{_YEAR}?的?{_MONTH}{_DAY}", _full),
        (rf"{_YEAR}的?{_MONTH}(?P<day>)", _full),
        (rf"(?<![\d个一二两三四五六七八九十上下这本几数])(?P<year>){_MONTH}(?P<day>)", _full),
        (
            rf"(?P<count>{_NUMBER}|[几数])个?(?P<unit>{'|'.join(UNITS)})(?P<side>前|以前|之前|后|以后|之后)",
            _counted,
        ),
        (rf"(?P<step>上+|下+|这|本)个?{_WEEK}(?P<name>[一二三四五六日天末]?)", _week),
        (rf"(?P<step>上+|下+|这|本)个?月份?(?:{_DAY})?", _month),
        (rf"{_YEAR}的?(?P<season>[春夏秋冬])[天季]?", _season),
    )
]

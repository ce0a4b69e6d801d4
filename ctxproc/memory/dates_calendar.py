"""Stretches of whole days by the calendar: weeks from Monday, months, seasons, years. For `ctxproc.memory.dates`.

A stretch is a pair of days: the first one, and the one after the last. What lies outside the years 1 to 9999 raises
`ValueError` or `OverflowError`, as Python's dates do.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Literal

Days = tuple[date, date]
Rule = tuple[re.Pattern[str], Callable[[re.Match[str], date], Days]]
"""What a stretch looks like in a text, and which days it means on the day on which it is said."""
Unit = Literal["day", "week", "weekend", "month", "year"]

SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""The first month of each: as meteorologists count, in the north."""

MOST = 10_000
"""More units back or ahead than this name no day that anyone remembers."""


def days(first: date, count: int = 1) -> Days:
    """So many days from one on."""
    return first, first + timedelta(days=count)


def week(day: date) -> Days:
    """The week of a day, Monday to Sunday."""
    return days(day - timedelta(days=day.weekday()), 7)


def weekend(day: date) -> Days:
    """Saturday and Sunday of the week of a day."""
    return days(week(day)[0] + timedelta(days=5), 2)


def month(year: int, number: int) -> Days:
    """A month; ``number`` counts from January of the year and may be below 1 or above 12."""
    start, end = ((year + (n - 1) // 12, (n - 1) % 12 + 1) for n in (number, number + 1))
    return date(*start, 1), date(*end, 1)


def year(number: int) -> Days:
    """A year."""
    return date(number, 1, 1), date(number + 1, 1, 1)


def season(number: int, name: str) -> Days:
    """A season that begins in a year; winter goes on into the next one."""
    first = SEASONS[name]
    return month(number, first)[0], month(number, first + 3)[0]


def moved(day: date, unit: Unit, count: int) -> Days:
    """The day, week, weekend, month or year that lies ``count`` of them after that of ``day``; before it, if negative.

    Raises:
        ValueError, OverflowError: too far away.
    """
    if abs(count) > MOST:
        raise ValueError(f"{count} {unit}s are too many")
    if unit == "day":
        return days(day + timedelta(days=count))
    if unit == "month":
        return month(day.year, day.month + count)
    if unit == "year":
        return year(day.year + count)
    there = day + timedelta(weeks=count)
    return week(there) if unit == "week" else weekend(there)


def weekday(day: date, number: int, step: int) -> Days:
    """The day of this number, Monday being 0, that is nearest before ``day`` (``step`` -1) or after it (1), never itself."""
    distance = (number - day.weekday()) * step % 7 or 7
    return days(day + timedelta(days=step * distance))


def past_month(day: date, number: int, *, ended: bool) -> Days:
    """The latest month of this number that has begun by ``day``, or that has ended before it."""
    running = day.month > number or (day.month == number and not ended)
    return month(day.year if running else day.year - 1, number)


def season_beside(day: date, name: str, step: int) -> Days:
    """A season by its name, seen from a day.

    With ``step`` -1 the latest that has ended, with 1 the first that begins later, with 0 the one that runs, and where none
    does that of the year.
    """
    some = [season(day.year + year, name) for year in (-2, -1, 0, 1)]
    if step < 0:
        return [one for one in some if one[1] <= day][-1]
    if step > 0:
        return next(one for one in some if one[0] > day)
    return next((one for one in some if one[0] <= day < one[1]), some[2])


def past_day(day: date, number: int, of_month: int) -> Days:
    """The latest day such as 12 May that is not after ``day``; 29 February is of a leap year.

    Raises:
        ValueError: there is no such day in eight years.
    """
    for back in range(9):
        try:
            found = date(day.year - back, number, of_month)
        except ValueError:
            continue
        if found <= day:
            return days(found)
    raise ValueError(f"no day {of_month} in month {number}")

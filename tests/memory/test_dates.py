"""Dates in a text, seen from the moment at which it was said: tables of values that anyone can check with a calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc.memory.dates import dated, resolve

FRIDAY = "2026-06-12"
"""A Friday in June; 2026 is no leap year, 2024 was."""


def moment(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(hour=15, tzinfo=UTC)


def read(text: str, said: str = FRIDAY) -> list[tuple[str, str, str]]:
    """What stands there, the first day, and the one after the last."""
    return [
        (text[one.start : one.end], one.since.date().isoformat(), one.until.date().isoformat())
        for one in resolve(text, moment(said))
    ]


def only(text: str, said: str = FRIDAY) -> tuple[str, str]:
    """First and last day, the last one included."""
    [one] = resolve(text, moment(said))
    return one.since.date().isoformat(), (one.until - timedelta(days=1)).date().isoformat()


@pytest.mark.parametrize(
    ("text", "said", "first", "last"),
    [
        ("yesterday", "2026-03-01", "2026-02-28", "2026-02-28"),
        ("yesterday", "2024-03-01", "2024-02-29", "2024-02-29"),
        ("the day before yesterday", "2026-01-01", "2025-12-30", "2025-12-30"),
        ("last night", FRIDAY, "2026-06-11", "2026-06-11"),
        ("this morning", FRIDAY, "2026-06-12", "2026-06-12"),
        ("the day after tomorrow", "2026-12-30", "2027-01-01", "2027-01-01"),
        ("last Friday", FRIDAY, "2026-06-05", "2026-06-05"),
        ("last Thursday", FRIDAY, "2026-06-11", "2026-06-11"),
        ("last Saturday", FRIDAY, "2026-06-06", "2026-06-06"),
        ("next Friday", FRIDAY, "2026-06-19", "2026-06-19"),
        ("this Friday", FRIDAY, "2026-06-12", "2026-06-12"),
        ("this Monday", FRIDAY, "2026-06-08", "2026-06-08"),
        ("last week", FRIDAY, "2026-06-01", "2026-06-07"),
        ("this week", "2026-06-14", "2026-06-08", "2026-06-14"),
        ("last weekend", FRIDAY, "2026-06-06", "2026-06-07"),
        ("last weekend", "2026-06-14", "2026-06-06", "2026-06-07"),
        ("this weekend", "2026-06-14", "2026-06-13", "2026-06-14"),
        ("last month", "2026-01-31", "2025-12-01", "2025-12-31"),
        ("last month", "2024-03-31", "2024-02-01", "2024-02-29"),
        ("next month", "2026-12-31", "2027-01-01", "2027-01-31"),
        ("last year", FRIDAY, "2025-01-01", "2025-12-31"),
        ("last May", "2026-06-12", "2026-05-01", "2026-05-31"),
        ("last May", "2026-03-12", "2025-05-01", "2025-05-31"),
        ("last May", "2026-05-12", "2025-05-01", "2025-05-31"),
        ("next May", "2026-03-12", "2026-05-01", "2026-05-31"),
        ("next May", "2026-05-12", "2027-05-01", "2027-05-31"),
        ("this May", "2026-03-12", "2026-05-01", "2026-05-31"),
        ("last February", "2024-03-01", "2024-02-01", "2024-02-29"),
        ("last summer", "2026-06-12", "2025-06-01", "2025-08-31"),
        ("last summer", "2026-10-12", "2026-06-01", "2026-08-31"),
        ("this summer", "2026-10-12", "2026-06-01", "2026-08-31"),
        ("last winter", "2026-06-12", "2025-12-01", "2026-02-28"),
        ("last winter", "2026-01-12", "2024-12-01", "2025-02-28"),
        ("this winter", "2026-01-12", "2025-12-01", "2026-02-28"),
        ("next spring", "2026-04-12", "2027-03-01", "2027-05-31"),
        ("three days ago", "2026-03-02", "2026-02-27", "2026-02-27"),
        ("two weeks ago", FRIDAY, "2026-05-25", "2026-05-31"),
        ("a couple of months ago", "2026-01-31", "2025-11-01", "2025-11-30"),
        ("a month ago", "2026-03-31", "2026-02-01", "2026-02-28"),
        ("a year ago", "2024-02-29", "2023-01-01", "2023-12-31"),
        ("12 years ago", FRIDAY, "2014-01-01", "2014-12-31"),
        ("a few days ago", FRIDAY, "2026-06-07", "2026-06-10"),
        ("in three days", FRIDAY, "2026-06-15", "2026-06-15"),
        ("in two weeks' time", FRIDAY, "2026-06-22", "2026-06-28"),
        ("two weeks later", FRIDAY, "2026-06-22", "2026-06-28"),
        ("in 2019", FRIDAY, "2019-01-01", "2019-12-31"),
        ("in the 1990s", FRIDAY, "1990-01-01", "1999-12-31"),
        ("the 90s", FRIDAY, "1990-01-01", "1999-12-31"),
        ("summer of 2019", FRIDAY, "2019-06-01", "2019-08-31"),
        ("12 May 2023", FRIDAY, "2023-05-12", "2023-05-12"),
        ("the 12th of May, 2023", FRIDAY, "2023-05-12", "2023-05-12"),
        ("May 12th, 2023", FRIDAY, "2023-05-12", "2023-05-12"),
        ("2024-02-29", FRIDAY, "2024-02-29", "2024-02-29"),
        ("May, 2023", FRIDAY, "2023-05-01", "2023-05-31"),
        ("February 2024", FRIDAY, "2024-02-01", "2024-02-29"),
        ("in May", FRIDAY, "2026-05-01", "2026-05-31"),
        ("in December", FRIDAY, "2025-12-01", "2025-12-31"),
        ("June 12", FRIDAY, "2026-06-12", "2026-06-12"),
        ("June 13", FRIDAY, "2025-06-13", "2025-06-13"),
        ("29 February", FRIDAY, "2024-02-29", "2024-02-29"),
        ("the week before 9 June 2023", FRIDAY, "2023-06-02", "2023-06-08"),
        ("the Sunday before 25 May 2023", FRIDAY, "2023-05-21", "2023-05-21"),
        ("the weekend before 22 July 2023", FRIDAY, "2023-07-15", "2023-07-16"),
        ("the month after May 2023", FRIDAY, "2023-06-01", "2023-06-30"),
        ("last weekend before April 10, 2023", FRIDAY, "2023-04-08", "2023-04-09"),
        ("between August 11 and August 15 2023", FRIDAY, "2023-08-11", "2023-08-15"),
        ("from May to July 2023", FRIDAY, "2023-05-01", "2023-07-31"),
        ("between November and February 2024", FRIDAY, "2023-11-01", "2024-02-29"),
        ("between 2019 and 2021", FRIDAY, "2019-01-01", "2021-12-31"),
    ],
)
def test_an_english_date_is_read(text: str, said: str, first: str, last: str) -> None:
    assert only(f"So {text}!", said) == (first, last)
    assert only(text.upper(), said) == (first, last)


@pytest.mark.parametrize(
    ("text", "said", "first", "last"),
    [
        ("昨天", "2024-03-01", "2024-02-29", "2024-02-29"),
        ("前天", FRIDAY, "2026-06-10", "2026-06-10"),
        ("大前天", FRIDAY, "2026-06-09", "2026-06-09"),
        ("明天", "2026-12-31", "2027-01-01", "2027-01-01"),
        ("三天前", "2026-03-02", "2026-02-27", "2026-02-27"),
        ("十二天前", FRIDAY, "2026-05-31", "2026-05-31"),
        ("两周前", FRIDAY, "2026-05-25", "2026-05-31"),
        ("三个月前", "2026-05-31", "2026-02-01", "2026-02-28"),
        ("3年之前", FRIDAY, "2023-01-01", "2023-12-31"),
        ("两个星期后", FRIDAY, "2026-06-22", "2026-06-28"),
        ("几天前", FRIDAY, "2026-06-07", "2026-06-10"),
        ("上周", FRIDAY, "2026-06-01", "2026-06-07"),
        ("上周三", FRIDAY, "2026-06-03", "2026-06-03"),
        ("上周五", FRIDAY, "2026-06-05", "2026-06-05"),
        ("上上周日", FRIDAY, "2026-05-31", "2026-05-31"),
        ("上个星期天", FRIDAY, "2026-06-07", "2026-06-07"),
        ("本周末", FRIDAY, "2026-06-13", "2026-06-14"),
        ("下周一", FRIDAY, "2026-06-15", "2026-06-15"),
        ("上个月", "2026-01-31", "2025-12-01", "2025-12-31"),
        ("上个月五号", FRIDAY, "2026-05-05", "2026-05-05"),
        ("去年", FRIDAY, "2025-01-01", "2025-12-31"),
        ("前年", FRIDAY, "2024-01-01", "2024-12-31"),
        ("去年五月", FRIDAY, "2025-05-01", "2025-05-31"),
        ("去年5月3日", FRIDAY, "2025-05-03", "2025-05-03"),
        ("去年夏天", FRIDAY, "2025-06-01", "2025-08-31"),
        ("2019年", FRIDAY, "2019-01-01", "2019-12-31"),
        ("2024年2月29日", FRIDAY, "2024-02-29", "2024-02-29"),
        ("二零一九年十一月", FRIDAY, "2019-11-01", "2019-11-30"),
        ("五月二十三日", FRIDAY, "2026-05-23", "2026-05-23"),
        ("十二月", FRIDAY, "2025-12-01", "2025-12-31"),
    ],
)
def test_a_chinese_date_is_read(text: str, said: str, first: str, last: str) -> None:
    assert only(f"我{text}搬了家。", said) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "May I go? She may march on Friday.",
        "on 3/4/2023",
        "31 April",
        "100000 days ago",
        "2019 people came",
        "version 2.2019-1-1",
        "十三月",
        "一个月亮",
        "weekly news, lastly, the yearbook",
        "12000年",
    ],
)
def test_what_is_no_date_or_may_be_either_is_left_alone(text: str) -> None:
    assert read(text) == []


def test_spans_are_in_order_and_the_longest_is_taken() -> None:
    text = "Last May, and again on 3 June 2025 at the sea; 去年五月 too."
    assert read(text) == [
        ("Last May", "2026-05-01", "2026-06-01"),
        ("3 June 2025", "2025-06-03", "2025-06-04"),
        ("去年五月", "2025-05-01", "2025-06-01"),
    ]


def test_two_dates_that_are_only_listed_stay_two() -> None:
    assert read("on 3 May 2023 and 7 May 2023") == [
        ("3 May 2023", "2023-05-03", "2023-05-04"),
        ("7 May 2023", "2023-05-07", "2023-05-08"),
    ]
    assert read("in May 2019 before June 2020") == [
        ("May 2019", "2019-05-01", "2019-06-01"),
        ("June 2020", "2020-06-01", "2020-07-01"),
    ]


def test_a_day_begins_at_midnight_where_it_was_said() -> None:
    east = timezone(timedelta(hours=8))
    [one] = resolve("yesterday", datetime(2026, 6, 12, 1, tzinfo=east))
    assert one.since == datetime(2026, 6, 11, tzinfo=east)
    assert one.until == datetime(2026, 6, 12, tzinfo=east)


def test_a_text_is_given_the_dates_that_it_does_not_tell() -> None:
    text = "Yesterday I read; two weeks ago, last May, last year and in May 2023 too. 上周三休息。"
    assert dated(text, moment(FRIDAY)) == (
        "Yesterday (11 June 2026) I read; two weeks ago (25 May 2026 to 31 May 2026), last May (May 2026), last year (2025) "
        "and in May 2023 too. 上周三 (3 June 2026)休息。"
    )
    assert dated("Nothing.", moment(FRIDAY)) == "Nothing."


words = st.sampled_from(
    "last next this two 3 99999 days weeks month ago in before between and from to May 31 2023 9999 monday the "
    "上 下 周 三 个 月 前 年 2019 十 去年 é İ".split()
)


@given(st.lists(words, max_size=12).map(" ".join), st.datetimes(timezones=st.just(UTC)))
def test_any_words_give_stretches_that_are_whole_days_and_do_not_overlap(text: str, at: datetime) -> None:
    reached = 0
    for one in resolve(text, at):
        assert reached <= one.start < one.end <= len(text)
        assert one.since < one.until
        assert (one.since.hour, one.until.hour) == (0, 0)
        reached = one.end

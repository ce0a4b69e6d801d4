"""Facts by rules: what is found, what is not, and since when it holds."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ctxproc.memory.base import Note, Passage
from ctxproc.memory.extract.base import Triple
from ctxproc.memory.extract.rules import RuleExtractor

NOON = datetime(2026, 5, 20, 12, tzinfo=UTC)  # a Wednesday


def extract(text: str, speaker: str = "alice") -> list[Triple]:
    note = Note(text, "turn", NOON, speaker, "chat/1", {"role": "user", "session": "1"})
    return RuleExtractor().extract(Passage(7, note))


def said(text: str) -> set[tuple[str, str, str]]:
    """Subject, relation, object of what holds; an exclamation mark before the relation of what ends."""
    return {(t.subject, "!" * t.ends + t.relation, t.object) for t in extract(text)}


ME = "alice"
ENGLISH: dict[str, set[tuple[str, str, str]]] = {
    "I live in Lyon.": {(ME, "lives in", "Lyon")},
    "i live in lyon": {(ME, "lives in", "lyon")},
    "We're settled in New York now.": {(ME, "lives in", "New York")},
    "I've moved from Paris to Rio de Janeiro.": {(ME, "lives in", "Rio de Janeiro")},
    "I don’t live in Paris any more.": {(ME, "!lives in", "Paris")},
    "I used to live in Paris, but now I live in Rome.": {(ME, "!lives in", "Paris"), (ME, "lives in", "Rome")},
    "I've been living in Ghent since 2019.": {(ME, "lives in", "Ghent")},
    "Lyon is my home now.": {(ME, "lives in", "Lyon")},
    "i work at google and i love sushi": {(ME, "works at", "google"), (ME, "likes", "sushi")},
    "I left Initech and now I work for Birch & Sons.": {(ME, "works at", "Birch & Sons")},
    "Ana from work got a job at Northwind Traders.": {("Ana from work", "works at", "Northwind Traders")},
    "Ana Silva left Initech and joined Globex.": {("Ana Silva", "works at", "Globex")},
    "I quit my job at Acme last week.": {(ME, "!works at", "Acme")},
    "I quit my job.": {(ME, "!works at", "")},
    "I'm a nurse by profession.": {(ME, "works as", "a nurse")},
    "I work as a nurse at St. Mary's.": {(ME, "works as", "a nurse"), (ME, "works at", "St. Mary's")},
    "My manager is now Ana, not Kim any more.": {(ME, "has manager", "Ana")},
    "Ana's new manager is called Tom Baker.": {("Ana", "has manager", "Tom Baker")},
    "Tom Baker is Ana's manager now.": {("Ana", "has manager", "Tom Baker")},
    "My sister Anna lives in Oslo.": {(ME, "has sister", "Anna"), ("Anna", "lives in", "Oslo")},
    "Anna, my sister, moved to Rome.": {(ME, "has sister", "Anna"), ("Anna", "lives in", "Rome")},
    "My sister lives in Oslo.": {("alice's sister", "lives in", "Oslo")},
    "My mum's name is Eve.": {(ME, "has mother", "Eve")},
    "I have a dog called Rex and a cat named Tom.": {(ME, "has dog", "Rex"), (ME, "has cat", "Tom")},
    "My sister's dog is called Rex.": {("alice's sister", "has dog", "Rex")},
    "My girlfriend is Ana.": {(ME, "is dating", "Ana")},
    "Kim and I broke up, I'm seeing Bo now.": {(ME, "!is dating", "Kim"), (ME, "is dating", "Bo")},
    "I got married to Sam.": {(ME, "is married to", "Sam")},
    "Hi, I'm Alice!": {(ME, "is named", "Alice")},
    "Call me Al.": {(ME, "is named", "Al")},
    "I'm 31 years old and live in Lyon.": {(ME, "is aged", "31"), (ME, "lives in", "Lyon")},
    "My birthday is on 12 May.": {(ME, "was born on", "12 May")},
    "I was born on March 3rd, 1990 in Lyon.": {(ME, "was born on", "March 3rd, 1990")},
    "My favourite food used to be pizza, now it's pad thai.": {(ME, "has favourite food", "pad thai")},
    "Fish and chips is my favorite food.": {(ME, "has favourite food", "Fish and chips")},
    "I love hiking and jazz, but I hate coffee.": {
        (ME, "likes", "hiking"),
        (ME, "likes", "jazz"),
        (ME, "dislikes", "coffee"),
    },
    "I don't like olives.": {(ME, "dislikes", "olives")},
    "I don't like olives any more.": {(ME, "!likes", "olives")},
    "I'm allergic to peanuts and shellfish.": {
        (ME, "is allergic to", "peanuts"),
        (ME, "is allergic to", "shellfish"),
    },
    "I became vegan.": {(ME, "is", "vegan")},
    "I am no longer a vegetarian.": {(ME, "!is", "vegetarian")},
    "I study physics at MIT.": {(ME, "studies", "physics"), (ME, "studies at", "MIT")},
    "I speak French and German.": {(ME, "speaks", "French"), (ME, "speaks", "German")},
    "I sold my car, I drive a red Volvo now.": {(ME, "drives", "a red Volvo")},
    "I no longer live in Oslo, I'm in Lyon now.": {(ME, "!lives in", "Oslo"), (ME, "lives in", "Lyon")},
    "I call Lyon home now.": {(ME, "lives in", "Lyon")},
    "Globex hired me!": {(ME, "works at", "Globex")},
    "Today was my first day at Globex.": {(ME, "works at", "Globex")},
    "I earn my living as a nurse.": {(ME, "works as", "a nurse")},
    "Ana has replaced Kim as my boss.": {(ME, "has manager", "Ana")},
    "I have a new manager, Ana.": {(ME, "has manager", "Ana")},
    "I traded in my Seat for a red Volvo.": {(ME, "drives", "a red Volvo")},
    "My favourite dish isn't rice any more, it's ramen.": {(ME, "has favourite food", "ramen")},
    "The food I like most is ramen.": {(ME, "has favourite food", "ramen")},
    "Bo and I got together.": {(ME, "is dating", "Bo")},
    "Ana and Bo are a couple now.": {("Ana", "is dating", "Bo")},
    "My wife is called Eve.": {(ME, "is married to", "Eve")},
    "I plan to visit Japan.": {(ME, "plans to", "visit Japan")},
    "My email is alice@example.com.": {(ME, "has email", "alice@example.com")},
    "My phone number is +33 6 12 34 56 78.": {(ME, "has phone number", "+33 6 12 34 56 78")},
}
CHINESE: dict[str, set[tuple[str, str, str]]] = {
    "我叫李明，住在北京，在华为工作。": {(ME, "is named", "李明"), (ME, "lives in", "北京"), (ME, "works at", "华为")},
    "我从北京搬到了上海。": {(ME, "lives in", "上海")},
    "我以前住在南京，现在住在苏州。": {(ME, "!lives in", "南京"), (ME, "lives in", "苏州")},
    "我不在腾讯工作了。": {(ME, "!works at", "腾讯")},
    "我辞职了。": {(ME, "!works at", "")},
    "我现在是一名护士。": {(ME, "works as", "护士")},
    "我妹妹小红住在上海。": {(ME, "has sister", "小红"), ("小红", "lives in", "上海")},
    "我妹妹住在上海。": {("alice's sister", "lives in", "上海")},
    "我有一只叫咪咪的猫。": {(ME, "has cat", "咪咪")},
    "我养了一只狗，叫旺财。": {(ME, "has dog", "旺财")},
    "我的新经理是王芳。": {(ME, "has manager", "王芳")},
    "我现在和李娜谈恋爱。": {(ME, "is dating", "李娜")},
    "我今年31岁。": {(ME, "is aged", "31")},
    "我喜欢爬山和游泳。": {(ME, "likes", "爬山"), (ME, "likes", "游泳")},
    "我不喜欢香菜。": {(ME, "dislikes", "香菜")},
    "我不喜欢咖啡了。": {(ME, "!likes", "咖啡")},
    "我对花生过敏。": {(ME, "is allergic to", "花生")},
    "我现在最喜欢吃饺子。": {(ME, "has favourite food", "饺子")},
    "我最喜欢的颜色是蓝色。": {(ME, "has favourite colour", "蓝色")},
    "我开的是红色的沃尔沃。": {(ME, "drives", "红色的沃尔沃")},
    "我会说英语和法语。": {(ME, "speaks", "英语"), (ME, "speaks", "法语")},
    "我已经不住北京了,现在住上海。": {(ME, "!lives in", "北京"), (ME, "lives in", "上海")},
    "我从苹果辞职,加入了华为。": {(ME, "!works at", "苹果"), (ME, "works at", "华为")},
    "我现在是华为的员工。": {(ME, "works at", "华为")},
    "我不做厨师了,现在是护士。": {(ME, "!works as", "厨师"), (ME, "works as", "护士")},
    "我的经理换成了王芳。": {(ME, "has manager", "王芳")},
    "我买了一辆红色的沃尔沃。": {(ME, "drives", "红色的沃尔沃")},
    "我交了女朋友,叫李娜。": {(ME, "is dating", "李娜")},
    "我爸爸是医生。": {("alice's father", "works as", "医生")},
    "我哥哥住在上海。": {("alice's brother", "lives in", "上海")},
    "我最喜欢的运动是足球。": {(ME, "has favourite sport", "足球")},
    "我去年到华为上班了。": {(ME, "works at", "华为")},
    "我从腾讯跳槽到华为了。": {(ME, "works at", "华为")},
    "我到上海定居了。": {(ME, "lives in", "上海")},
    "我在厦门买了一套房。": {(ME, "lives in", "厦门")},
    "我改行做律师了。": {(ME, "works as", "律师")},
    "我现在归李娜管。": {(ME, "has manager", "李娜")},
    "我向王总汇报工作。": {(ME, "has manager", "王总")},
    "我的新领导叫王伟。": {(ME, "has manager", "王伟")},
    "我在跟小雪谈恋爱。": {(ME, "is dating", "小雪")},
    "我换了一辆奔驰。": {(ME, "drives", "奔驰")},
    "我最爱吃的就是饺子。": {(ME, "has favourite food", "饺子")},
    "我打算去日本旅行。": {(ME, "plans to", "去日本旅行")},
}
NOTHING = (
    "I almost moved to Lyon.",
    "I'd like to live in Lyon.",
    "I don't live in Lyon.",
    "I hope I live in Lyon.",
    "It's not true that I live in Rome.",
    "The city I live in is big.",
    "I met a guy who quit and moved to Oslo.",
    "I live in fear.",
    "I've lived in Paris.",
    "I'm moving to Berlin.",
    "I work from home.",
    "I work at night.",
    "I joined a gym.",
    "I swapped a shift for a day off.",
    "I swapped Oslo for Lyon.",
    "I am not a doctor.",
    "I'm a bit tired.",
    "I'm a good cook.",
    "I'm Dutch.",
    "My boss is Greek.",
    "My job is stressful.",
    "My name is not Alice.",
    "Everyone lives in fear.",
    "Life is my teacher.",
    "I love it!",
    "I like sunny and warm days.",
    "I like the way you talk.",
    "I love the self-acceptance and love theme.",
    "I never liked tea.",
    "She lives in Rome.",
    "Remember Ana lives in Oslo.",
    "我没有住在北京。",
    "我换了台手机。",
    "我向老师汇报了。",
    "我今天到北京出差。",
    "我在学校租了一间房。",
    "我想住在巴黎。",
    "我从来不喜欢茶。",
    "我对花生不过敏。",
    "我喜欢你。",
    "我开始上班了。",
    "我在家工作。",
    "我最近在考虑换工作。",
    "我今天做了一道番茄炒蛋。",
    "我加入了一个读书俱乐部。",
    "",
    "!?",
)


@pytest.mark.parametrize(("text", "facts"), [*ENGLISH.items(), *CHINESE.items()])
def test_a_statement_gives_its_facts_and_no_other(text: str, facts: set[tuple[str, str, str]]) -> None:
    assert said(text) == facts


@pytest.mark.parametrize("text", NOTHING)
def test_what_states_no_fact_gives_none(text: str) -> None:
    assert said(text) == set()


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("I moved to Lyon last May.", datetime(2025, 5, 1, tzinfo=UTC)),
        ("Since March I live in Lyon.", datetime(2026, 3, 1, tzinfo=UTC)),
        ("Starting next week I work at Globex.", datetime(2026, 5, 25, tzinfo=UTC)),
        ("I'm moving to Berlin next month.", datetime(2026, 6, 1, tzinfo=UTC)),
        ("I quit my job at Acme yesterday.", datetime(2026, 5, 19, tzinfo=UTC)),
        ("I live in Lyon.", None),
        ("I love Lyon in May.", None),
        ("我去年搬到了成都。", datetime(2025, 1, 1, tzinfo=UTC)),
        ("三天前我搬到了成都。", datetime(2026, 5, 17, tzinfo=UTC)),
        ("我从五月起住在杭州。", datetime(2026, 5, 1, tzinfo=UTC)),
    ],
)
def test_a_fact_holds_from_the_date_that_its_statement_names(text: str, since: datetime | None) -> None:
    assert [triple.since for triple in extract(text)] == [since]


def test_each_fact_of_a_sentence_has_its_own_date() -> None:
    found = extract("I quit my job at Acme in March and I moved to Lyon in April.")
    assert [(t.object, t.since) for t in found] == [
        ("Acme", datetime(2026, 3, 1, tzinfo=UTC)),
        ("Lyon", datetime(2026, 4, 1, tzinfo=UTC)),
    ]


def test_one_lives_in_one_place_and_likes_several_things() -> None:
    single = {t.relation: t.single for t in extract("I live in Lyon. I like tea. My boss is Maria. My brother is Leo.")}
    assert single == {"lives in": True, "likes": False, "has manager": True, "has brother": False}


def test_the_span_of_a_fact_holds_its_object_in_the_turn_as_it_was_written() -> None:
    for text in (*ENGLISH, *CHINESE):
        for triple in extract("Well. " + text):
            assert triple.object in ("Well. " + text)[triple.start : triple.end], text


def test_a_fact_is_about_the_turns_speaker_or_the_user_where_it_has_none() -> None:
    assert [t.subject for t in extract("I live in Lyon.", "bob")] == ["bob"]
    assert [t.subject for t in extract("My sister lives in Lyon.", "")] == ["user's sister"]


def test_a_fact_that_is_stated_twice_is_given_once() -> None:
    assert len(extract("I live in Lyon. As you know, I live in Lyon.")) == 1


def test_many_unclosed_marks_and_long_runs_are_no_trouble() -> None:
    for text in ("'a " * 6000, '"' * 19_000, "I live in " * 1900, "我喜欢" * 6000, "My sister " * 1900, "Anna " * 3900):
        assert isinstance(extract(text), list)

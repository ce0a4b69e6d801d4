"""The chats of knowledge_update.py: what somebody told of himself and of others over months, and what then holds."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import ModuleType

from ctxproc.memory.base import Note, Passage
from ctxproc.memory.extract.base import Triple

USER = "alice"
CHINESE_SHARE = 0.2
MOST_CHANGES = 10
OTHER_FACTS = 3
"""Of other relations, told once of whom is asked about, so that a question must find its relation."""
BEGIN = datetime(2024, 1, 8, 9, tzinfo=UTC)
FIRST_NAMES = ("Ana", "Tom", "Mia", "Omar", "Ruth", "Ivan")
LAST_NAMES = ("Silva", "Becker", "Novak", "Okafor", "Haddad", "Moreau")
ENGLISH: dict[str, Sequence[str]] = {
    "lives in": "Lyon Paris Berlin Oslo Madrid Porto Vienna Krakow Dublin Ghent Turin Bergen Leeds Zagreb Malmo".split(),
    "works at": "Acme|Globex|Initech|Umbra Labs|Northwind|Vexel|Halden Bank|Quill Press|Tarn Energy|Orbis|Kestrel Air|"
    "Lumen Foods|Padova Steel|Birch & Sons".split("|"),
    "works as": "a nurse|an architect|a baker|a translator|a plumber|an accountant|a photographer|a gardener|a teacher|"
    "a welder|an editor|a florist|a chemist|a pilot".split("|"),
    "has manager": "Bob Carver|Carla Diaz|Dmitri Petrov|Elena Fontana|Farid Aziz|Grace Lin|Henrik Dahl|Irene Walsh|"
    "Jonas Weber|Karin Holt|Luis Prado|Marta Kral|Nils Berg|Olga Reyes".split("|"),
    "drives": "a red Volvo|a white Fiat|an old Saab|a blue Skoda|a Toyota|a green Mini|a Honda|a Renault|a black Audi|"
    "an electric Nissan|a Mazda|a silver Peugeot|a Subaru|a yellow Beetle".split("|"),
    "has favourite food": "ramen|lasagne|paella|goulash|falafel|sushi|pierogi|curry|risotto|tacos|moussaka|dumplings|"
    "gnocchi|couscous".split("|"),
    "is dating": "Pia|Quentin|Rosa|Stefan|Tilda|Ugo|Vera|Walter|Xenia|Yusuf|Zoe|Bruno|Clara|Dario".split("|"),
}
CHINESE: dict[str, Sequence[str]] = {
    "lives in": "北京 上海 广州 杭州 成都 南京 武汉 西安 苏州 厦门 长沙 青岛".split(),
    "works at": "腾讯 华为 小米 美团 京东 百度 网易 联想 海尔 格力 顺丰 中兴".split(),
    "works as": "护士 老师 厨师 律师 会计 记者 司机 医生 画家 工程师 翻译 设计师".split(),
    "has manager": "王伟 李娜 张敏 刘洋 陈静 杨帆 赵磊 黄丽 周涛 吴霞 徐强 孙悦".split(),
    "drives": "宝马 奔驰 奥迪 丰田 本田 大众 福特 日产 比亚迪 特斯拉 吉利 沃尔沃".split(),
    "has favourite food": "火锅 饺子 面条 烤鸭 豆腐 粽子 汤圆 包子 寿司 披萨 烧烤 馄饨".split(),
    "is dating": "小芳 小雪 晓丽 婷婷 思雨 佳怡 梦洁 欣然 雅琴 文静 若兰 雨桐".split(),
}
NOISE = (
    "The weather is awful today.",
    "I watched a film about {x} last night.",
    "My cousin sent me a postcard about {x}.",
    "Did you know that {x} is in the news?",
    "Can you help me with a crossword?",
    "I slept badly.",
    "Someone at the gym talked about {x} all evening.",
    "Thanks, that was helpful!",
    "If I had the choice, I would take {x}.",
    "What do you think of {x}?",
    "Let's talk about something else.",
    "I read an article on {x}, quite long.",
)
REPLIES = ("Got it, {x}!", "Thanks for telling me about {x}.", "Many people would choose {x}.", "How lovely!", "I see.")
CHINESE_NOISE = (
    "今天天气真差。",
    "昨晚看了一部关于{x}的电影。",
    "你觉得{x}怎么样?",
    "我昨晚没睡好。",
    "谢谢,很有帮助!",
    "有人一直在谈{x}。",
)
CHINESE_REPLIES = ("好的,{x}。", "谢谢你告诉我{x}的事。", "明白了。")


@dataclass
class History:
    """A chat and what is asked after it.

    Attributes:
        relation: the one that changes.
        chinese: in Chinese.
        turns: all passages, in time.
        truth: which triple each turn states, by the turn's id.
        questions: by "now", "before" and "when": the question and its answer.
        asked: when.
    """

    relation: str
    chinese: bool
    turns: list[Passage] = field(default_factory=list)
    truth: dict[int, Triple] = field(default_factory=dict)
    questions: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: datetime = BEGIN


@dataclass(frozen=True)
class _Told:
    """A statement to come: its time, its subject, its relation, the value and the one before it."""

    time: datetime
    person: str
    relation: str
    value: str
    old: str


def history(number: int, seed: int, ways: ModuleType) -> History:
    """One chat.

    Args:
        number: from 0; with ``seed`` it decides everything.
        seed: of all of them.
        ways: knowledge_update_dev or knowledge_update_test.
    """
    rng = random.Random(f"{seed} {number}")
    chinese = rng.random() < CHINESE_SHARE
    pools = CHINESE if chinese else ENGLISH
    relation = rng.choice(list(pools))
    chat = History(relation, chinese)
    told: list[_Told] = []
    for who, person in enumerate([USER] if chinese else _people(rng)):
        changes = rng.randint(1, MOST_CHANGES) if who == 0 else rng.randint(0, 3)
        values = rng.sample(pools[relation], changes + 1)
        times = _times(rng, changes + 1)
        told += [
            _Told(*one)
            for one in zip(times, [person] * len(times), [relation] * len(times), values, ["", *values], strict=False)
        ]
        if who == 0:
            _ask(chat, rng, ways, person, values, times)
            others = rng.sample([name for name in pools if name != relation], OTHER_FACTS)
            told += [
                _Told(rng.choice(times) + timedelta(hours=1), person, one, rng.choice(pools[one]), "") for one in others
            ]
    for one in sorted(told, key=lambda one: one.time):
        _say(chat, rng, ways, one, pools[one.relation])
    chat.asked = chat.turns[-1].note.time + timedelta(days=rng.randint(1, 60))
    return chat


def _people(rng: random.Random) -> list[str]:
    """Of whom the chat tells; the first one is asked about. Others have the same first name."""
    first = rng.choice(FIRST_NAMES)
    others = [first, f"{first} {rng.choice(LAST_NAMES)}", f"{first} from work"]
    rng.shuffle(others)
    return [USER, *others[:2]] if rng.random() < 0.5 else others


def _times(rng: random.Random, count: int) -> list[datetime]:
    """Ascending, on different days."""
    at, times = BEGIN + timedelta(days=rng.randint(0, 40)), []
    for _ in range(count):
        times.append(at + timedelta(minutes=rng.randint(0, 600)))
        at += timedelta(days=rng.randint(4, 90))
    return times


def _ask(
    chat: History, rng: random.Random, ways: ModuleType, person: str, values: list[str], times: list[datetime]
) -> None:
    for kind in ("now", "before", "when"):
        place = rng.randrange(1, len(values)) if kind != "now" else len(values) - 1
        gold = {"now": values[-1], "before": values[place - 1], "when": times[place].date().isoformat()}[kind]
        by_kind = ways.CHINESE_QUESTIONS[chat.relation] if chat.chinese else ways.QUESTIONS[chat.relation]
        texts = by_kind[kind] if chat.chinese else by_kind[kind]["me" if person == USER else "other"]
        chat.questions[kind] = rng.choice(texts).format(p=person, v=values[place]), gold


def _say(chat: History, rng: random.Random, ways: ModuleType, told: _Told, pool: Sequence[str]) -> None:
    """A statement as a turn, a reply, and some noise behind it."""
    texts = (
        ways.CHINESE_STATEMENTS[told.relation]
        if chat.chinese
        else ways.STATEMENTS[told.relation]["me" if told.person == USER else "other"]
    )
    text = rng.choice([text for text in texts if told.old or "{o}" not in text])
    said = text.format(p=told.person, v=told.value, o=told.old)
    said = said[0].upper() + said[1:]
    turn = _turn(chat, said, told.time, "user")
    chat.truth[turn.id] = Triple(told.person, told.relation, told.value, 0, len(said))
    for at, role, noise in _noise(rng, told, pool, chat.chinese):
        _turn(chat, noise, at, role)


def _noise(rng: random.Random, told: _Told, pool: Sequence[str], chinese: bool) -> Iterator[tuple[datetime, str, str]]:
    replies, noise = (CHINESE_REPLIES, CHINESE_NOISE) if chinese else (REPLIES, NOISE)
    yield told.time + timedelta(seconds=20), "assistant", rng.choice(replies).format(x=rng.choice([told.value, *pool]))
    for n in range(rng.randint(1, 3)):
        yield told.time + timedelta(minutes=1 + n), "user", rng.choice(noise).format(x=rng.choice(pool))


def _turn(chat: History, text: str, at: datetime, role: str) -> Passage:
    speaker = USER if role == "user" else role
    session = f"{at:%Y-%m-%d}"
    note = Note(text, "turn", at, speaker, f"chat/{session}", {"role": role, "session": session})
    chat.turns.append(Passage(len(chat.turns) + 1, note))
    return chat.turns[-1]

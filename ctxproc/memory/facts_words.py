"""By which words of a question a relation is meant, in English and Chinese: short lists, no model.

Each relation of `CUES` has words that name it and words that hint at it. A relation "has NOUN" is meant by its noun; any
other relation by its own words.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

NAMED, HINTED = 1.0, 0.8
"""How sure a relation is of which a word stands in the question."""
OWNED = 0.3
"""More of it where the noun stands right behind its owner: "my manager"."""


class Cue(NamedTuple):
    """Words of a relation. Patterns; empty for none.

    Attributes:
        phrase: says it in other words, for an embedding model.
        named: English words that name it.
        hinted: English words that hint at it.
        chinese: what names it in Chinese.
        chinese_hinted: what hints at it in Chinese.
    """

    phrase: str
    named: str
    hinted: str
    chinese: str
    chinese_hinted: str = ""


CUES: dict[str, Cue] = {
    "lives in": Cue(
        "the city where someone lives, their home",
        r"live|lives|lived|(?<!\ba )(?<!\bmy )(?<!\bhis )(?<!\bher )living|resid\w+|mov(?:e|es|ed|ing)|relocat\w+"
        "|home ?town|home city|address",
        r"home|based|settle\w*|city|town|country|place",
        "住|搬|定居|老家",
        r"家\S{0,3}在|城市",
    ),
    "works at": Cue(
        "the company someone works for, their employer",
        r"work(?:s|ed|ing)?(?! as\b| out\b)|employ\w+|company|firm|workplace",
        r"join\w*|jobs?|hired?|office",
        r"上班|公司|就职|任职|在\S{0,6}工作|雇主",
        "工作|入职",
    ),
    "works as": Cue(
        "someone's profession, what they do for a living",
        r"work\w* as|profession\w*|occupation|(?:a|my|his|her|their) living|jobs?|career|job title"
        "|(?:kind|sort|type) of work",
        r"bec[ao]m\w+|position|role|trade",
        "职业|职务|当什么|做什么工作|什么工作",
        "当|做什么|成为",
    ),
    "is named": Cue("someone's name", "named?|called", "who am i", "叫什么|名字", "我是谁"),
    "is aged": Cue("someone's age", "how old|age", "", "几岁|多大|年龄|岁数"),
    "was born on": Cue("someone's birthday", r"birthday|date of birth|when\b.*\bborn", "born", "生日|哪天出生", "出生"),
    "was born in": Cue(
        "where someone was born",
        r"birthplace|where\b.*\bborn",
        "born|comes? from",
        r"出生地|在哪\S*出生",
        "出生|哪里人",
    ),
    "is married to": Cue(
        "whom someone is married to", r"marr\w+|wife|husband|spouse", "partner", "结婚|妻子|丈夫|老婆|老公", "配偶"
    ),
    "is dating": Cue(
        "whom someone is dating, their girlfriend or boyfriend",
        "(?<!which )(?<!what )(?<!the )dates?(?! of)|dated|dating|girlfriend|boyfriend|relationship",
        "partner|seeing|together|going out|sweetheart",
        "女朋友|男朋友|女友|男友|对象|恋爱|约会|交往",
        "在一起",
    ),
    "likes": Cue(
        "what someone likes",
        r"lik(?:e|es|ed|ing)|lov(?:e|es|ed)|enjoy\w*|fond of",
        "into",
        "(?<!不)(?<!最)喜欢|爱好",
        "爱",
    ),
    "dislikes": Cue(
        "what someone dislikes",
        r"dislik\w+|hat(?:e|es|ed)|(?:don|doesn|can)['’]t (?:like|stand|enjoy)",
        "",
        "讨厌|不喜欢|受不了",
    ),
    "is allergic to": Cue("what someone is allergic to", r"allerg\w+", "", "过敏"),
    "studies": Cue(
        "what someone studies",
        r"stud(?:y|ies|ied|ying)|major\w*|degree",
        r"subject|learn\w*",
        "专业|学什么|攻读",
        "学",
    ),
    "studies at": Cue(
        "someone's school",
        r"stud\w+ at|where\b.*\bstud\w+|school|university|college",
        r"stud\w+",
        "学校|大学|上学|读书",
    ),
    "drives": Cue(
        "the car someone drives",
        r"driv\w+|drove|cars?|vehicle",
        "wheel",
        r"开的?\S{0,4}车|座驾|什么车|汽车",
        "车|开",
    ),
    "owns": Cue("what someone owns", "own(?:s|ed|ing)?", "have|has|had", "拥有", "有"),
    "plays": Cue("the instrument or sport someone plays", r"play\w*|instrument|sports?", "", r"弹|打\S*球|乐器|运动"),
    "speaks": Cue("the languages someone speaks", r"speak\w*|spoken?|languages?", "", "会说|语言"),
    "plans to": Cue(
        "what someone plans to do", r"plan(?:s|ned|ning)?|intend\w*", r"going to|want\w* to", "打算|计划", "想"
    ),
    "has phone number": Cue("someone's phone number", "phone|mobile|cell", "number|call", "电话|手机号", "号码"),
    "has email": Cue("someone's e-mail address", "e-?mail", "", "邮箱|邮件"),
    "has favourite food": Cue(
        "the food someone likes best",
        "favou?rite (?:food|dish|meal)",
        r"food|dish|meal|eat\w*",
        "最(?:喜欢|爱)(?:吃|的(?:食物|菜))",
        "吃|菜|食物",
    ),
    "has manager": Cue(
        "someone's boss",
        "managers?|boss|supervisor",
        r"report\w* to|in charge",
        "经理|老板|上司|主管|领导",
    ),
}

CHINESE_NOUNS: dict[str, str] = {
    "sister": "姐姐|妹妹|姐妹",
    "brother": "哥哥|弟弟|兄弟",
    "mother": "妈妈|母亲|妈",
    "father": "爸爸|父亲|爸",
    "son": "儿子",
    "daughter": "女儿",
    "child": "孩子",
    "wife": "妻子|老婆",
    "husband": "丈夫|老公",
    "friend": "朋友",
    "colleague": "同事",
    "doctor": "医生",
    "dentist": "牙医",
    "teacher": "老师",
    "dog": "狗",
    "cat": "猫",
    "favourite colour": "最喜欢的颜色",
    "favourite book": "最喜欢的书",
    "favourite film": "最喜欢的电影",
    "favourite song": "最喜欢的歌",
    "favourite city": "最喜欢的城市",
}

SEVERAL = frozenset(
    "likes|dislikes|is|is allergic to|plays|speaks|owns|plans to|is learning|has sister|has brother|has friend|has child"
    "|has son|has daughter|has dog|has cat|has colleague|has uncle|has aunt|has cousin".split("|")
)
"""Relations that hold of several objects at a time."""

_AMERICAN = {
    "favorite": "favourite",
    "color": "colour",
    "mom": "mother",
    "mum": "mother",
    "dad": "father",
    "movie": "film",
}
_LIGHT = frozenset("a an the is was are to in at on of has with and by for as".split())


def cued(question: str, relation: str, owner: str) -> float:
    """How surely a question is about a relation, by its words: 0 to `NAMED` and a little more for longer nouns.

    Args:
        question: what is asked, lower case; without its clauses.
        relation: in lower case.
        owner: a pattern of how the question calls the subject as an owner: "my", "ana's".
    """
    question = re.sub(r"\b(?:" + "|".join(_AMERICAN) + r")\b", lambda found: _AMERICAN[found[0]], question)
    named, hinted, noun = _patterns(relation)
    if named is not None and (found := named.search(question)):
        score = NAMED
        if noun:
            score += 0.1 * len(noun.split())
            behind = re.search(rf"(?:{owner})\W{{0,2}}(?:\w+\s+){{0,2}}$", question[: found.start()])
            score += OWNED if behind else 0.0
        return score
    return HINTED if hinted is not None and hinted.search(question) else 0.0


def phrase(relation: str) -> str:
    """A relation in words, for an embedding model."""
    known = CUES.get(relation)
    if known is not None:
        return known.phrase
    return f"someone's {relation[4:]}" if relation.startswith("has ") else relation


@lru_cache(maxsize=1024)
def _patterns(relation: str) -> tuple[re.Pattern[str] | None, re.Pattern[str] | None, str]:
    """What names a relation, what hints at it, and its noun if it is of the form "has NOUN"."""
    noun = relation[4:].strip() if relation.startswith("has ") else ""
    known = CUES.get(relation)
    if known is not None:
        return _either(known.named, known.chinese), _either(known.hinted, known.chinese_hinted), noun
    words = [re.escape(word) for word in (noun or relation).split() if word not in _LIGHT]
    return _either(r"\W+(?:\w+\W+)?".join(words), CHINESE_NOUNS.get(noun, "")), None, noun


def _either(english: str, chinese: str) -> re.Pattern[str] | None:
    """English as whole words, with a plural or genitive ending; Chinese anywhere."""
    parts = [rf"\b(?:{english})(?:s|['’]s)?\b" if english else "", chinese]
    return re.compile("|".join(part for part in parts if part)) if any(parts) else None

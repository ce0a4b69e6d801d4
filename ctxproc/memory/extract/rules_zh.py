"""Facts that a Chinese sentence states about its speaker or a person it names: patterns over clauses, no segmenter.

Relations are the English ones of `ctxproc.memory.extract.rules_en_table`, so that a fact told in one language is
superseded in the other; objects stay as they were said. A clause without a subject goes on with that of the clause before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from ctxproc.memory.extract.people_en import Stated, related, single

_H = r"\u4e00-\u9fff"
_KIN = {
    "妈妈": "mother", "母亲": "mother", "爸爸": "father", "父亲": "father", "妹妹": "sister", "姐姐": "sister",
    "哥哥": "brother", "弟弟": "brother", "儿子": "son", "女儿": "daughter", "妻子": "wife", "老婆": "wife", "太太": "wife",
    "丈夫": "husband", "老公": "husband", "男朋友": "boyfriend", "女朋友": "girlfriend", "男友": "boyfriend",
    "女友": "girlfriend", "爷爷": "grandfather", "外公": "grandfather", "奶奶": "grandmother", "外婆": "grandmother",
    "室友": "roommate", "邻居": "neighbour", "同事": "colleague", "老板": "boss", "经理": "manager", "上司": "manager",
    "领导": "boss", "主管": "supervisor", "上级": "boss", "对象": "partner", "伴侣": "partner",
    "老师": "teacher", "医生": "doctor", "牙医": "dentist", "孩子": "child", "朋友": "friend", "狗": "dog", "猫": "cat",
}  # fmt: skip
_FAVOURITES = {
    "食物": "food", "美食": "food", "颜色": "colour", "电影": "film", "书": "book", "歌": "song", "歌手": "singer",
    "运动": "sport", "音乐": "music", "城市": "city", "动物": "animal", "季节": "season", "水果": "fruit", "饮料": "drink",
    "游戏": "game", "作家": "writer", "菜": "dish",
}  # fmt: skip
_ANY_KIN = "|".join(sorted(_KIN, key=len, reverse=True))
_SURNAME = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许邓冯韩曹曾彭萧蔡潘田董袁于余叶蒋杜苏魏"
    "程吕丁沈任姚卢傅钟姜崔谭廖范汪陆金石戴贾韦夏邱方侯邹熊孟秦白江阎薛尹段雷黎史龙陶贺顾毛郝龚"
    "邵万钱严武"
)
_CHINESE_NAME = rf"(?:[{_SURNAME}][{_H}]{{1,2}}?|[小阿老大][{_H}])"
_NAME = rf"(?:[{_H}·]{{1,4}}|[A-Z][\w·-]*(?: [A-Z]\w*)?)"
_TIME = (
    r"(?:(?:去|今|前|明|后)年|(?:上|这|本|下)个?(?:月|周|星期)|昨天|今天|前天|明天|刚才"
    r"|[零〇一二三四五六七八九十两几\d]+(?:年|个?月|天|周|星期|号|日)"
    r"(?:以?前|底|初|份)?|(?:从|自)?从?[\d年月日号一二三四五六七八九十去今上个]+(?:起|开始|以来))"
)
_ADVERB = (
    rf"(?:\s|现在|目前|最近|刚刚|刚|已经|一直|还|也|都|正在|正|真的|其实|从小|平时|终于|确实|仍然|依然|就|又|后来|然后"
    rf"|特别|非常|十分|超级?|很|挺|最|比较|{_TIME})*?"
)
_LEAD = re.compile(
    r"(?:你好|您好|嗨|对了|顺便说一下|其实|因为|所以|但是|但|不过|而且|而|然后|虽然|还有|另外|是的|嗯|好的|记住"
    r"|记得|请记住|你知道|说实话|现在|今天|最近"
    rf"|{_TIME})*\s*"
)
_SUBJECT = re.compile(
    rf"(?P<kin>我(?:的|们)?(?P<noun>{_ANY_KIN}))(?P<called>{_CHINESE_NAME}(?=住|在|是|叫|搬|喜|不|今|现|也|对|从|去"
    rf"|最|有|当|开))?(?!的)"
    rf"|(?P<me>我们?)(?!国)|(?P<person>{_CHINESE_NAME}|[A-Z]\w+)(?=住在|搬到|搬去|在[^,，。]{{2,14}}(?:工作|上班)"
    rf"|喜欢|现在|当上|的)"
)
_PLACE = rf"(?P<object>[{_H}A-Za-z·.& -]{{2,16}}?)"
_END = r"(?=了|去了|来了|[，,。！!；;、\s]|\Z|已经|好几|快|有|和|的时候)"
_JOB = rf"(?:一?[名位个])?(?P<object>[{_H}]{{2,10}}?)(?=[，,。！!；;、\s]|了|\Z)"
_TRADE = (
    rf"(?P<object>[{_H}]{{1,6}}[师员家者手长官士](?<!人士|大家)|[{_H}]{{0,4}}(?:医生|会计|司机|翻译|教授|导游|保安|工人))"
    r"(?=[，,。！!；;、\s]|了|\Z)"
)
_THING = r"(?P<object>[^，,。！!；;？?]{1,24}?)了?(?=[，,。！!；;？?]|\Z)"
_WITH = rf"(?:和|跟|与)(?P<object>{_NAME}?)"


class _Rule(NamedTuple):
    """A row: what follows the subject. Of ``object`` the group is taken."""

    relation: str
    pattern: re.Pattern[str]
    single: bool = True
    ends: bool = False
    event: bool = False


def _rule(relation: str, *patterns: str, single: bool = True, ends: bool = False, event: bool = False) -> list[_Rule]:
    return [_Rule(relation, re.compile(_ADVERB + pattern), single, ends, event) for pattern in patterns]


_RULES: tuple[_Rule, ...] = (
    *_rule(
        "lives in",
        rf"(?:不再|(?:已经)?不)居?住在?{_PLACE}{_END}",
        rf"(?:不再|(?:已经)?不)在{_PLACE}(?:居?住|生活)",
        rf"(?:以前|曾经|原来|过去){_ADVERB}住在{_PLACE}{_END}",
        ends=True,
    ),
    *_rule("lives in", rf"搬离了?{_PLACE}{_END}", ends=True, event=True),
    *_rule(
        "lives in",
        rf"(?:居?住在|定居在|定居于){_PLACE}{_END}",
        rf"在{_PLACE}(?:居?住|定居|生活)",
        rf"家(?:就|住)?在{_PLACE}{_END}",
        rf"住(?![在着过得的了进院校处宿]){_PLACE}{_END}",
    ),
    *_rule(
        "lives in",
        rf"(?:从[^，,。]{{2,12}}?)?(?:搬家?|移居|移民|落户)(?:到|去|回|来)了?{_PLACE}(?:居?住|生活)?{_END}",
        rf"(?:去|到|来)了?{_PLACE}(?:定居|安家|落户)",
        rf"在{_PLACE}(?:安家|落户|(?:买|租)了?(?:一?[套间个])?(?:房|公寓))",
        event=True,
    ),
    *_rule(
        "works at",
        rf"(?:不再|(?:已经)?不)在{_PLACE}(?:工作|上班)",
        rf"(?:以前|曾经|原来|过去){_ADVERB}在{_PLACE}(?:工作|上班)",
        ends=True,
    ),
    *_rule(
        "works at",
        rf"从{_PLACE}(?:辞职|离职|退休)",
        r"(?P<object>)(?:辞职|离职|失业|退休|被裁|被解雇)了",
        ends=True,
        event=True,
    ),
    *_rule(
        "works at",
        rf"在{_PLACE}(?:工作|上班|任职|就职|打工)",
        rf"(?:就职于|任职于){_PLACE}{_END}",
        rf"是{_PLACE}的(?:员工|职员|雇员)",
    ),
    *_rule(
        "works at",
        rf"(?:从[^，,。]{{2,12}}?)?(?:加入|入职|跳槽到|跳槽去|跳到)了?{_PLACE}{_END}",
        rf"(?:去(?!年)|到|来|进)了?{_PLACE}(?:工作|上班)",
        event=True,
    ),
    *_rule("works as", rf"是(?=一?[名位]){_JOB}", rf"的?(?:职业|工作|职务)是{_JOB}", rf"担任{_JOB}"),
    *_rule("works as", rf"(?:不再|(?:已经)?不)[做当是]{_TRADE}", ends=True, event=True),
    *_rule("works as", rf"(?:是|做了?|当(?![上了过])){_TRADE}"),
    *_rule("works as", rf"(?:转行|改行)(?:去|来)?(?:做了?|当了?|成为){_TRADE}", event=True),
    *_rule("has manager", rf"(?:归|[向对](?=[^，,。]*汇报))(?!{_ANY_KIN}|大家|公司)(?P<object>{_NAME}?)(?:管|汇报)"),
    *_rule("works as", rf"(?:当上|成为|当了|升为|升职为)了?{_JOB}", event=True),
    *_rule(
        "is named",
        rf"(?:的名字)?(?:叫做?|名叫){_NAME.join(('(?P<object>', ')'))}(?=[，,。！!；;、\s]|\Z)",
        rf"的名字是(?P<object>{_NAME})",
    ),
    *_rule("is aged", r"(?:刚满|满|都|有)?(?P<object>\d{1,3}|[一二三四五六七八九十]{1,3})岁"),
    *_rule("was born on", r"的?生日是(?P<object>[\d一二三四五六七八九十年月]+[日号])"),
    *_rule("was born in", rf"(?:出生在|出生于|生于){_PLACE}{_END}"),
    *_rule("comes from", rf"来自{_PLACE}{_END}", rf"是(?P<object>[{_H}]{{2,4}})人(?=[，,。！!；;\s]|\Z)"),
    *_rule("is dating", rf"(?:在|开始)?{_WITH}(?:开始)?(?:谈恋爱|交往|在一起|处对象)"),
    *_rule("is dating", rf"{_WITH}分手", ends=True, event=True),
    *_rule("is married to", rf"{_WITH}结婚", rf"(?:嫁给|娶)了(?P<object>{_NAME})(?=[，,。！!；;\s]|\Z)", event=True),
    *_rule("is married to", rf"{_WITH}离婚", r"(?P<object>)离婚了", ends=True, event=True),
    *_rule(
        "likes",
        rf"不再(?:喜欢|爱){_THING}",
        r"(?:已经)?不(?:太|怎么)?(?:喜欢|爱)(?P<object>[^，,。！!；;？?]{1,16}?)了(?=[，,。！!；;]|\Z)",
        rf"(?:以前|曾经){_ADVERB}喜欢{_THING}",
        single=False,
        ends=True,
    ),
    *_rule(
        "dislikes", rf"(?:不太?喜欢(?![^，,。]*了(?:[，,。！!]|\Z))|讨厌|受不了|不爱(?=[吃喝看])){_THING}", single=False
    ),
    *_rule("likes", rf"(?:(?<!最)喜欢(?:上了)?|最喜欢(?!吃|的)|热爱|(?<!最)爱(?=[吃喝看听])){_THING}", single=False),
    *_rule("is allergic to", r"对(?P<object>[^，,。不]{1,10})过敏", single=False),
    *_rule("studies", rf"(?:主修|攻读)(?:的是)?{_JOB}", rf"(?:的专业是|学的是){_JOB}"),
    *_rule(
        "studies at",
        rf"在(?P<object>[{_H}]{{2,12}}(?:大学|学院|中学|学校))(?:读|上|念|学)",
        rf"(?:考上|就读于)了?(?P<object>[{_H}]{{2,12}}(?:大学|学院|中学))",
    ),
    *_rule("speaks", rf"会[说讲](?P<object>[{_H}、和]{{1,12}}[语文话])", single=False),
    *_rule("is learning", rf"(?:在学|学习|开始学)习?(?P<object>[{_H}]{{1,3}}[语文])(?=[，,。！!；;]|\Z)", single=False),
    *_rule(
        "drives",
        r"(?:的车是|开的是|开的车是)(?P<object>[^，,。！!；;]{2,12}?)(?=[，,。！!；;]|\Z)",
        r"(?:(?:换|提)了一?辆|买了(?:辆|一[辆台部]))(?P<object>[^，,。！!；;自电]{2,12}?)(?=[，,。！!；;]|\Z)",
        r"开着?(?:一辆)?(?P<object>[^，,。！!；;始心会店]{0,6}(?:车|沃尔沃|丰田|本田|大众|宝马|奔驰|奥迪|特斯拉"
        r"|比亚迪|福特|菲亚特|日产|别克|马自达|起亚|保时捷)[^，,。！!；;]{0,4}?)(?=[，,。！!；;]|上班|\Z)",
    ),
    *_rule("has favourite food", rf"最(?:喜欢|爱)吃(?:的?就?是)?{_THING}"),
    *_rule("plans to", r"(?:打算|计划)(?P<object>[^，,。！!；;？?]{2,20})", single=False),
    *_rule("has phone number", r"的(?:电话|手机)(?:号码?)?是(?P<object>[\d -]{6,})"),
    *_rule("has email", r"的(?:邮箱|电子邮件)(?:地址)?是(?P<object>[\w.+-]+@[\w.-]+\w)"),
    *_rule(
        "is",
        r"是(?:一个|个)?(?P<object>素食(?:主义)?者)",
        r"(?P<object>怀孕|单身|离异)(?=了|[，,。！!]|\Z)",
        single=False,
    ),
)
_FAVOURITE = re.compile(_ADVERB + rf"最(?:喜欢|爱)的(?P<noun>[{_H}]{{1,4}}?)(?:是|变成了|成了){_THING}")
_BARE_NAME = (
    rf"(?![一个很最我他她你这那谁])[{_H}]{{2,3}}(?<![师员生家者手人工长官民士机板察理计兵友的])(?=[，,。！!；;、\s]|\Z)"
)
_KIN_IS = re.compile(
    rf"我(?:们|现在)?的?(?:新)?(?P<noun>{_ANY_KIN})(?:现在)?(?:换成了?|(?:的名字)?(?:名叫|叫做?)|的名字是"
    rf"|是(?={_BARE_NAME}|[A-Z]))"
    rf"(?P<object>{_NAME})(?=[，,。！!；;、\s]|\Z)"
)
_KIN_HAD = re.compile(
    rf"我(?:们|家)?(?:有|养了?|交了?|来了)(?:一)?[个只条位]?(?P<other>[{_H}]{{0,3}}?)(?P<noun>{_ANY_KIN})[，,"
    rf" ]*(?:她|他|它)?(?:的名字)?(?:名叫|叫)(?P<object>{_NAME})"
)
_KIN_CALLED = re.compile(
    rf"我(?:们|家)?(?:有|养了?)(?:一)?[个只条位]?(?:名叫|叫)(?P<object>{_NAME}?)的(?P<noun>{_ANY_KIN})"
)
_IS_FAVOURITE = re.compile(
    rf"(?:^|[，,])(?P<object>[^，,]{{1,12}})是我(?:现在)?最(?:喜欢|爱)的(?P<noun>[{_H}]{{1,4}})(?=[，,。！!；;]|\Z)"
)
_IS_KIN = re.compile(
    rf"(?P<object>{_CHINESE_NAME}|[A-Z]\w+)(?:是|当了|成了|成为)我(?:的"
    rf"|们)?(?:新)?的?(?P<noun>{_ANY_KIN})(?=[，,。！!；;\s]|\Z)"
)
_I_AM = re.compile(
    rf"(?:你好|您好|大家好|嗨|hi|hello)[^，,。！!]*[，,。！!]\s*我是(?P<object>[{_SURNAME}][{_H}]{{1,2}}"
    rf"|[A-Z]\w+)(?=[，,。！!]|\Z)",
    re.IGNORECASE,
)
_CALL_ME = re.compile(rf"叫我(?P<object>{_NAME})(?:就好|吧|就行|即可)?(?=[，,。！!；;]|\Z)")
_NO_OBJECT = re.compile(
    r"^(?:里面|其中|你|您|他|她|它|我|这|那|哪|其他|什么|怎么|谁|自己|家$|家里|公司$|外地|国外|外面|学校$|单位"
    r"|一起|上了?$|的|和|在|了|着|过|不|没|很|太|一个人|别人|这里|那里)"
    r"|考虑|思考|看到|看见|找了|找一|是否|要不要|努力|当前|目前|(?:^|家|的|新)公司$|俱乐部$"
)
_OTHERS = re.compile(r"[他她它你您]")
_LIKES = re.compile(r"和|、|以及|跟|还有")


def stated(sentence: str, me: str, greeted: bool = False) -> list[Stated]:
    """The facts of a sentence; arguments as in `ctxproc.memory.extract.rules_en.stated`."""
    found: dict[tuple[str, str, str, bool], Stated] = {}
    for one in (*_people(sentence, me, greeted), *_clauses(sentence, me)):
        found.setdefault((one.subject, one.relation, one.object, one.ends), one)
    return list(found.values())


def _clauses(sentence: str, me: str) -> Iterator[Stated]:
    """Subject and rule in each clause."""
    who = ""
    for clause in re.finditer(r"[^，,；;：:]+", sentence):
        text, start = clause[0], clause.start()
        lead = _LEAD.match(text)
        place = lead.end() if lead else 0
        subject = _SUBJECT.match(text, place)
        if subject:
            who, place = _name(subject, me), subject.end()
        if who:
            yield from (one for one in _predicates(text, place, start, who) if subject or one.relation != "is named")
        if _OTHERS.search(text):
            who = ""


def _name(subject: re.Match[str], me: str) -> str:
    """Whom a subject names."""
    if subject["me"]:
        return me
    return subject["person"] or subject["called"] or f"{me}'s {_KIN[subject['noun']]}"


def _predicates(clause: str, place: int, start: int, who: str) -> Iterator[Stated]:
    """What the rules find at a place of a clause that begins at ``start``."""
    favourite = _FAVOURITE.match(clause, place)
    if favourite:
        noun = _FAVOURITES.get(favourite["noun"], favourite["noun"])
        yield Stated(who, f"has favourite {noun}", favourite["object"], start, start + favourite.end())
        return
    seen = set[str]()
    for rule in _RULES:
        match = rule.pattern.match(clause, place)
        if match is None or rule.relation in seen or (rule.relation == "is named" and "'s " in who):
            continue
        listed = rule.relation in ("likes", "dislikes", "speaks", "is allergic to")
        for said in _LIKES.split(match["object"]) if listed else [match["object"]]:
            said = re.sub(r"(?:呢|吧|啊|哦|呀|等.*)$", "", said.strip())
            if _NO_OBJECT.search(said) or (not said and not rule.ends):
                break
            seen.add(rule.relation)
            yield Stated(
                who, rule.relation, said, start, start + match.end("object"), rule.single, rule.ends, rule.event
            )


def _people(sentence: str, me: str, greeted: bool) -> Iterator[Stated]:
    """Who somebody is to the speaker, and what the speaker is called."""
    for pattern in (_KIN_IS, _KIN_HAD, _KIN_CALLED, _IS_KIN):
        for match in pattern.finditer(sentence):
            if not _NO_OBJECT.search(match["object"]) and not match["object"].startswith(("一", "个")):
                relation = related(_KIN[match["noun"]])
                yield Stated(me, relation, match["object"], match.start(), match.end("object"), single(relation))
    for match in _SUBJECT.finditer(sentence):
        if match["called"]:
            relation = related(_KIN[match["noun"]])
            yield Stated(me, relation, match["called"], match.start(), match.end("called"), single(relation))
    for match in _IS_FAVOURITE.finditer(sentence):
        noun = _FAVOURITES.get(match["noun"], match["noun"])
        yield Stated(me, f"has favourite {noun}", match["object"], match.start("object"), match.end())
    hello = "你好。" if greeted else ""
    named = _I_AM.match(hello + sentence) or _CALL_ME.search(sentence)
    if named:
        shift = len(hello) if named.re is _I_AM else 0
        yield Stated(me, "is named", named["object"], max(0, named.start() - shift), named.end("object") - shift)

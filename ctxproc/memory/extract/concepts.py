"""The concepts of a sentence: nouns, names and numbers, as the nodes of a graph of concepts (RecallM).

Rules and lists, no tagger, so it is quick and errs: an unknown verb or adjective in English counts as a noun. Chinese is
not segmented: a run of characters is cut at function words and common verbs, and what is left between them, up to
`LONGEST` characters, is one concept, which may be two words ("红烧牛肉面" is one). In other languages every word counts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

from ctxproc import text as running
from ctxproc.memory.extract import words_en as en
from ctxproc.memory.extract.stems import stem

LONGEST = 8
"""Characters of a Chinese concept; a longer run is no name, and left out."""

_TOKEN = re.compile(
    r"(?P<han>[\u4e00-\u9fff\u3400-\u4dbf]+)|(?P<number>\d+(?:[.,:]\d+)*(?:st|nd|rd|th|s)?)"
    r"|(?P<word>[^\W\d_\u3400-\u9fff]+"
    r"(?:['’\-–][^\W\d_\u3400-\u9fff]+)*)|(?P<stop>[.!?:;\"“]+)"
)
_KIN = (
    "妈妈|爸爸|母亲|父亲|妹妹|姐姐|哥哥|弟弟|儿子|女儿|丈夫|老公|妻子|老婆|爷爷|奶奶|外公|外婆|男朋友|女朋友|朋友"
    "|同事|老板|老师"
)
_NOT_HAN = re.compile(
    f"({_KIN})|一[家间条所份件本辆座部支]|因为|所以|但是|不过|虽然|如果|而且|或者|还是|已经|现在|以前|以后|之前"
    f"|之后|后来|然后|最近|刚刚|正在|一直|总是"
    "|经常|有时|从来|非常|特别|比较|有点|一点|一些|一个|一只|一名|一位|这个|那个|这些|那些|什么|怎么|哪里|哪儿"
    "|自己|我们|你们|他们|她们"
    "|它们|大家|喜欢|讨厌|不再|住在|搬到|搬去|工作|知道|觉得|认为|希望|打算|准备|开始|成为|出生|认识|叫做|可以"
    "|能够|应该|需要|想要|今天"
    "|明天|昨天|时候"
    "|[的了着过是在和与跟及或但而就都也还又再很太最更不没无有我你他她它您这那哪谁吗呢吧啊呀嘛哦把被给让对向从到于为以"
    "之其所会能要想去来说看做叫住吃喝买用个只位名岁点些们]"
)


class Concept(NamedTuple):
    """A noun, name or number of a sentence.

    Attributes:
        surface: as it stands.
        stem: what equal concepts share, in lower case.
        proper: it is a name, as far as capitals tell; of Chinese always False.
    """

    surface: str
    stem: str
    proper: bool


Said = list[tuple[str, list[Concept]]]
"""The sentences of a text and the concepts of each, in order, repeats kept."""

Finder = Callable[[Sequence[str]], list[Said]]
"""Finds the concepts of texts; of each text by itself, so that it does not matter which are read together."""


def by_rules(texts: Sequence[str]) -> list[Said]:
    """The concepts of texts as `concepts` finds them."""
    return [[(sentence, concepts(sentence)) for sentence in sentences(text)] for text in texts]


def sentences(text: str) -> list[str]:
    """The sentences of a text, in order, as `ctxproc.text.sentences` cuts them."""
    return [text[start:end] for start, end in running.sentences(text)]


def concepts(sentence: str) -> list[Concept]:
    """The concepts of a sentence in their order, repeats kept, each a single word."""
    found: list[Concept] = []
    tokens = [(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(sentence)]
    shouted = sentence.isupper()
    for place, (kind, token) in enumerate(tokens):
        if kind == "han":
            found.extend(_chinese(token))
        elif kind == "number":
            found.append(Concept(token, token.lower(), False))
        elif kind == "word":
            word = _bare(token)
            before = tokens[place - 1] if place else ("stop", "")
            first = before[0] == "stop"
            capital = token[0].isupper() and not shouted
            if _noun(word.lower(), _bare(before[1]).lower() if not first else "", capital and not first):
                named = capital and (not first or _named(tokens, place))
                found.append(Concept(word, stem(word), named))
    return found


@lru_cache(maxsize=1 << 16)
def _bare(token: str) -> str:
    """A word without what an apostrophe joins to it, unless that is part of it ("O'Brien", "don't")."""
    token = token.replace("’", "'")
    word, mark, rest = token.rpartition("'")
    return word if mark and rest.lower() in ("s", "ll", "ve", "re", "d", "m") else token


@lru_cache(maxsize=1 << 16)
def _noun(word: str, before: str, capital: bool) -> bool:
    """Whether a word in lower case is a noun after the word ``before`` ("" where a sentence begins)."""
    if (word in en.CLOSED and not (capital and word in en.ALSO_NAMES)) or "n't" in word or len(word) < 2:
        return False
    if capital or word in en.NUMBERS:
        return True
    if word in en.ADVERBS or (word.endswith("ly") and len(word) > 4 and word not in en.LY_NOUNS):
        return False
    fixed = before in en.DETERMINERS
    if word in en.VERB_FORMS:
        return (fixed or before in en.ADJECTIVES or before in en.BEFORE_NOUNS) and not word.endswith(("ing", "ed"))
    if word in en.ADJECTIVES or (word.endswith(en.ADJECTIVE_ENDINGS) and len(word) > 6):
        return False
    if word.endswith("ing") and len(word) > 5:
        return before not in en.BEFORE_ING
    if word.endswith("ed") and not word.endswith("eed") and len(word) > 4:
        return False
    return before not in en.BEFORE_VERBS or before == "to"


def _named(tokens: list[tuple[str, str]], place: int) -> bool:
    """Whether the capitalised first word of a sentence is a name.

    It is where it has a genitive, or another name or a verb in the singular follows.
    """
    if tokens[place][1].endswith(("'s", "’s")):
        return True
    if place + 1 == len(tokens) or tokens[place + 1][0] != "word":
        return False
    following = tokens[place + 1][1]
    low = following.lower()
    return (
        (following[0].isupper() and low != "i") or low in ("is", "was", "has", "and") or low in en.PASTS or _third(low)
    )


def _third(word: str) -> bool:
    """A verb's form such as "lives" or "moved"."""
    return word.endswith(("s", "ed")) and word in en.VERB_FORMS


def _chinese(run: str) -> Iterator[Concept]:
    """What is left of a run of characters between function words; kinship words stand alone."""
    place = 0
    for match in _NOT_HAN.finditer(run):
        yield from _piece(run[place : match.start()])
        if match[1]:
            yield Concept(match[1], match[1], False)
        place = match.end()
    yield from _piece(run[place:])


def _piece(run: str) -> Iterator[Concept]:
    """A concept of the run, if it is as long as a word."""
    if 2 <= len(run) <= LONGEST:
        yield Concept(run, run, False)

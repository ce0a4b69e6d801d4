"""What a question asks of facts: the present, the past, or a date; its clause and its names. Rules, English and Chinese."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

from ctxproc.memory.facts import key
from ctxproc.text import sentences

LONGEST_QUESTION = 500
"""Characters; what is longer is not about one fact."""
_CLOSING = " \n\t\"'”’»)）」』"
Clause = Literal["", "before", "after", "while"]

_CARRIER = re.compile(
    r"^\W*(?:(?:please|so|hey|hi|ok|okay|and|but|well)\b\W*)*"
    r"(?:(?:can|could|would|will) you (?:please )?(?:tell me|remind me|say|recall)|(?:please )?(?:tell|remind) me"
    r"|do you (?:still )?(?:remember|know|recall)|i (?:forgot|forget|wonder|can['’]t remember|don['’]t remember)"
    r"|what did i (?:say|tell you)(?: about)?|did i (?:say|tell you|mention)"
    r"|(?:你|您)?(?:还)?(?:记得|知道)(?:吗[,,]?)?|请?(?:告诉|提醒)我)\b[,:]?\s*",
    re.IGNORECASE,
)
_WHEN = re.compile(
    r"^\W*(?:since |from )?when\b|\bsince when\b|\bwhen (?:did|was|were|has|have|had|do|does|is|am|are)\b|\bhow long\b"
    r"|\b(?:what|which) (?:year|month|date|day|time)\b|\bthe (?:date|day)\b"
    r"|什么时候|何时|哪一?年|几月|哪一?天|几号|多久|啥时候|哪个月",
    re.IGNORECASE,
)
_ENDING = re.compile(
    r"\b(?:le(?:ave|aves|ft|aving)|quit\w*|stop\w*|resign\w*|end(?:s|ed|ing)?|g[ai]ve up|sell|sold|split up"
    r"|br[eo]ak up|broke up|lose|lost|mov\w+ (?:out|away))\b|离开|辞|不再|停止|结束|分手|卖掉",
    re.IGNORECASE,
)
_PREVIOUS = re.compile(
    r"\b(?:previous(?:ly)?|former(?:ly)?|used to|earlier|prior|ex|the last time|before|beforehand|(?<!how )old)\b"
    r"|以前|之前|原来|过去|曾经|先前|上一|前任",
    re.IGNORECASE,
)
_FIRST = re.compile(r"\b(?:first|originally|initially|in the beginning)\b|最初|一开始|第一|最早", re.IGNORECASE)
_PAST = re.compile(r"\bdid\b(?! i (?:say|tell|mention))", re.IGNORECASE)
_PRESENT = re.compile(
    r"\b(?:now|currently|these days|at the moment|at present|nowadays|today|current)\b|现在|目前|如今|眼下",
    re.IGNORECASE,
)
_CLAUSES: tuple[tuple[Clause, re.Pattern[str]], ...] = (
    ("before", re.compile(r"\b(?:right |just )?(?:before|prior to|previous to|until|up to)\b", re.IGNORECASE)),
    ("after", re.compile(r"\b(?:right |just )?after\b", re.IGNORECASE)),
    (
        "while",
        re.compile(
            r"(?<=\w )\b(?:when|while|as long as)\b(?! (?:did|was|were|has|have|do|does|is|am|are) )", re.IGNORECASE
        ),
    ),
)
_AND = re.compile(r",?\s+and\s+(?=(?:where|what|who|whom|when|which|how)\b)", re.IGNORECASE)
_LEFT_FOR = (
    re.compile(
        r"\b(?:leave|left|quit|swap\w*|trade[ds]?|exchange\w*|give up|gave up|sell|sold)\b.*?(?P<to>\bfor\b)", re.I
    ),
    re.compile(r"\bfrom (?:where|which|what)\b.*?(?P<to>\bto\b)", re.I),
)
"""What was left for another value was before it."""
_CHINESE_CLAUSES: tuple[tuple[Clause, re.Pattern[str]], ...] = (
    ("before", re.compile(r"(?:之|以)前")),
    ("after", re.compile(r"(?:之|以)后")),
    ("while", re.compile(r"的?时候|期间")),
)
_BARE_SUBJECT = re.compile("[我你他她的 ,,]")
_CHINESE = re.compile(r"[\u3400-\u9fff]")
_ARTICLE = re.compile(r"^(?:(?:an?|the|my|his|her|their) |一[名个位辆只条部家])")
_INTO = re.compile(
    r"\b(?:to|at|with|for|as|in|into|join(?:ed|ing)?|becom(?:e|ing)|became) (?:an? |the )?"
    r"(?!(?:my|his|her|their|our|here|there|this|that|it|live|work|be|what|which|a living|living)\b)(\w+)",
    re.IGNORECASE,
)
_INTO_CHINESE = re.compile(r"(?:搬到|住在|去|在|和|跟|当上?|开始开|成为)(?!哪|什么|谁|我|的|这|那)([\w·]{2,})")


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart.

    Attributes:
        text: the question: NFKC, single spaces, without "can you tell me".
        main: of it, what is asked, lower case.
        clause: the rest, lower case: what follows "before", "after" or "while"; in Chinese, what stands in front of them.
        kind: of the clause.
        dates: the intervals that the text names, each up to its second time.
        when: it asks for a time.
        ending: of that, for the time when something ended.
        previous, first, past, present: it asks for what was before, for the first, for the past or for now.
    """

    text: str
    main: str
    clause: str
    kind: Clause
    dates: tuple[tuple[datetime, datetime], ...]
    when: bool
    ending: bool
    previous: bool
    first: bool
    past: bool
    present: bool

    @property
    def chinese(self) -> bool:
        """Whether it is Chinese."""
        return bool(_CHINESE.search(self.text))


def questions(message: str) -> list[str]:
    """The sentences of a message that are questions; of a short one without a question mark, all of it.

    "Where do I live, and where did I live before?" is two.
    """
    parts = [message[start:end] for start, end in sentences(message)]
    asked = [part for part in parts if part.rstrip(_CLOSING).endswith(("?", "？"))]
    return [one for part in asked or [message] if len(part) <= LONGEST_QUESTION for one in _AND.split(part)]


def question_of(question: str, now: datetime) -> Question:
    """Take a question apart; dates are resolved against ``now``."""
    from ctxproc.memory.dates import resolve

    text = _CARRIER.sub("", " ".join(unicodedata.normalize("NFKC", question).split()))
    spans = resolve(text, now)
    bare = text
    for span in sorted(spans, key=lambda one: -one.start):
        bare = bare[: span.start] + " " + bare[span.end :]
    main, kind, clause = _split(text)
    dates = tuple((one.since, one.until) for one in spans)
    when = bool(_WHEN.search(main))
    return Question(
        text=text,
        main=main.lower(),
        clause=clause.lower(),
        kind=kind,
        dates=dates,
        when=when,
        ending=bool(_ENDING.search(main)),
        previous=bool(_PREVIOUS.search(bare)),
        first=bool(_FIRST.search(main)),
        past=bool(_PAST.search(main)) and not when,
        present=bool(_PRESENT.search(main)),
    )


def _split(text: str) -> tuple[str, Clause, str]:
    """What is asked, and its clause; a clause without a word in it is none."""
    if _CHINESE.search(text):
        for kind, pattern in _CHINESE_CLAUSES:
            found = pattern.search(text)
            clause = text[: found.start()] if found else ""
            if found and len(_BARE_SUBJECT.sub("", clause)) > 1 and not clause.endswith("什么"):
                return text[found.end() :], kind, clause
        return text, "", ""
    for kind, pattern in _CLAUSES:
        found = pattern.search(text)
        if found and found.start() and re.search(r"\w", text[found.end() :]):
            return text[: found.start()], kind, text[found.end() :]
        if found and not found.start() and "," in text:  # "Before Lyon, where did I live?"
            clause, _, main = text[found.end() :].partition(",")
            return main, kind, clause
    for pattern in _LEFT_FOR:
        if (found := pattern.search(text)) and not _WHEN.search(text):
            return text[: found.start("to")], "before", text[found.end("to") :]
    return text, "", ""


@lru_cache(maxsize=1 << 16)
def spoken(name: str) -> str:
    """A name as it may be said in a question: its key without an article."""
    return _ARTICLE.sub("", key(name)) or key(name)


@lru_cache(maxsize=1 << 10)
def pattern_of(name: str) -> re.Pattern[str]:
    """Matches a name in a text of lower case, as whole words; Chinese has no words to be whole."""
    wanted = spoken(name)
    left = r"(?<![^\W\u3400-\u9fff])" if wanted[:1].isascii() else ""
    right = r"(?![^\W\u3400-\u9fff])" if wanted[-1:].isascii() else ""
    return re.compile(left + re.escape(wanted) + right)


def place_of(name: str, text: str) -> int:
    """Where a name stands in a text, in any case; -1 if nowhere."""
    text = key(text)
    found = pattern_of(name).search(text) if spoken(name) in text else None
    return found.start() if found else -1


def without(names: Iterable[str], text: str, instead: str) -> str:
    """A text of lower case in which something else stands in place of each of the names."""
    for name in named(names, text):
        text = pattern_of(name).sub(instead, text)
    return text


def named(names: Iterable[str], text: str) -> list[str]:
    """The names that stand in a text, in its order; one that is part of a longer one that stands there is left out."""
    folded = key(text)
    there = {name for name in names if spoken(name) in folded}
    found: list[tuple[int, int, str]] = []
    for name in sorted(there, key=lambda name: (-len(spoken(name)), name)):
        at = place_of(name, text)
        end = at + len(spoken(name))
        if at >= 0 and all(end <= low or high <= at for low, high, _ in found):
            found.append((at, end, name))
    return [name for _, _, name in sorted(found)]


def strange(question: Question, text: str, known: Sequence[str]) -> bool:
    """Whether a part of a question names something that is none of the known names, as far as its form shows that.

    In English a word with a capital letter, or what follows "to", "at", "with" and the like; in Chinese what follows "搬到"
    and the like.
    """
    for name in sorted(known, key=len, reverse=True):
        text = re.sub(re.escape(spoken(name)), " ", text, flags=re.IGNORECASE)
    if question.chinese:
        return bool(_INTO_CHINESE.search(text))
    original = question.text
    capitals = {word.lower() for word in re.findall(r"(?<=[\w,'’] )[A-Z][\w'’-]+", original)}
    words = {re.sub(r"['’]s$", "", word) for word in re.findall(r"[\w'’-]+", text)}
    return bool(words & {re.sub(r"['’]s$", "", word) for word in capitals}) or bool(_INTO.search(text))

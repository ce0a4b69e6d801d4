"""The simulated chats of junk.py: thirty days in which a user tells facts among much that is none of them.

Who says what is known, so a stored fact can be checked against what was truly told and not against our own rules.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from junk_forms import Sayings

USER = "alice"
BEGIN = datetime(2026, 4, 1, 8, tzinfo=UTC)
DAYS = 30

Key = tuple[str, str, str]
TOWNS = "Lyon Paris Berlin Oslo Madrid Porto Vienna Krakow Dublin Ghent Turin Bergen Leeds Zagreb".split()
FIRMS = "Acme|Globex|Northwind|Vexel|Halden Bank|Quill Press|Tarn Energy|Orbis|Kestrel Air|Lumen Foods".split("|")
JOBS = "a nurse|a baker|a translator|a plumber|a gardener|a teacher|a welder|a chemist|a pilot".split("|")
FRIENDS = "Mia|Tom|Omar|Ruth|Ivan|Nora|Pavel|Salma".split("|")
THINGS = "tea|chess|hiking|jazz|old maps|swimming|pottery|crosswords|ramen|lasagne".split("|")
STRANGERS = "Zoltan|Kessia|Brunhild|Thaddeus|Oriana|Mordecai|Philippa|Cassius".split("|")

VALUES = {"lives in": TOWNS, "works at": FIRMS, "works as": JOBS, "likes": THINGS}


@dataclass(frozen=True)
class Said:
    """A turn of the log.

    Attributes:
        role, text, time: as a bank takes them.
        sort: "told", "talk", "boilerplate", "reply", "tool", "paste" or "echo".
        states: what the user truly tells in it.
    """

    role: str
    text: str
    time: datetime
    sort: str
    states: tuple[Key, ...] = ()


@dataclass
class Log:
    """Thirty days, in order of time.

    Attributes:
        said: all turns.
        now: what holds at the end of each day, for who tells it again.
    """

    seed: int
    said: list[Said] = field(default_factory=list)
    now: dict[tuple[str, str], str] = field(default_factory=dict)

    @property
    def truth(self) -> set[Key]:
        """All that was ever told by the user."""
        return {key for one in self.said for key in one.states}


Turn = tuple[str, str, str, tuple[Key, ...]]
"""Role, text, sort, and what it states."""


def simulated(seed: int, forms: Sayings) -> Log:
    """One log."""
    log, dice = Log(seed), random.Random(seed)
    for day in range(DAYS):
        turns = [*_told(log, dice, forms), *_noise(dice, forms)]
        dice.shuffle(turns)
        minute = 0.0
        for role, text, sort, states in turns:
            minute += dice.uniform(1, 12)
            log.said.append(Said(role, text, BEGIN + timedelta(days=day, minutes=minute), sort, states))
            if role == "assistant" and dice.random() < 0.25:
                minute += 1
                sent_back = _sent_back(text, dice, forms)
                log.said.append(Said("user", sent_back, BEGIN + timedelta(days=day, minutes=minute), "echo"))
    return log


def _told(log: Log, dice: random.Random, forms: Sayings) -> Iterator[Turn]:
    """What the user tells on a day: one to three new facts, and now and then one that was told before."""
    for _ in range(dice.randint(1, 3)):
        who = USER if dice.random() < 0.6 else dice.choice(FRIENDS)
        relation = dice.choice(list(forms.told if who == USER else forms.of_friends))
        yield _statement(log, dice, forms, (who, relation, dice.choice(VALUES[relation])))
    if log.now and dice.random() < 0.5:
        (who, relation), value = dice.choice(sorted(log.now.items()))
        yield _statement(log, dice, forms, (who, relation, value))


def _statement(log: Log, dice: random.Random, forms: Sayings, fact: Key) -> Turn:
    """One fact, told."""
    who, relation, value = fact
    log.now[who, relation] = value
    form = dice.choice((forms.told if who == USER else forms.of_friends)[relation])
    befriended = ((USER, "has friend", who),) if "my friend" in form.lower() else ()
    talk = dice.choice(("", "", "Hi! ", "By the way: it rained. "))
    return "user", talk + form.format(v=value, p=who), "told", (fact, *befriended)


def _noise(dice: random.Random, forms: Sayings) -> Iterator[Turn]:
    """Everything else of a day: more than nine of ten messages."""
    for texts, role, sort, most in (
        (forms.talk, "user", "talk", 8),
        (forms.boilerplate, "user", "boilerplate", 8),
        (forms.replies, "assistant", "reply", 10),
        (forms.tools, "tool", "tool", 3),
        (forms.pastes, "user", "paste", 4),
    ):
        for _ in range(dice.randint(most // 2, most)):
            yield role, _filled(dice.choice(texts), dice), sort, ()


def _filled(text: str, dice: random.Random) -> str:
    names = {"town": TOWNS, "firm": FIRMS, "thing": THINGS, "stranger": STRANGERS}
    return text.format(n=dice.randint(1, 9), **{name: dice.choice(values) for name, values in names.items()})


def _sent_back(text: str, dice: random.Random, forms: Sayings) -> str:
    """The assistant's words, pasted by the user: all of them or one sentence, with or without a word of his own."""
    sentences = re.split(r"(?<=[.?!]) ", text)
    return dice.choice(forms.sent_back).format(all=text, one=dice.choice(sentences))

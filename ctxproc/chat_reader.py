"""How a chat replies with a model that does not write: by quoting what is recalled, or with a plain sentence.

A question is answered by the facts, where they hold an answer; otherwise by what the reader finds in the other passages,
where it is sure enough. Anything else is acknowledged. English and Chinese; other languages get English sentences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ctxproc.answer import Usage
from ctxproc.chat_recall import Recalled
from ctxproc.chat_stream import ASSISTANT, Said
from ctxproc.chunk import sentence_around
from ctxproc.job import clip
from ctxproc.llm.base import LLM, Sampling
from ctxproc.memory.item import Item
from ctxproc.prompt import template

if TYPE_CHECKING:
    from ctxproc.memory.base import Passage
    from ctxproc.memory.facts import Fact
    from ctxproc.memory.facts_ask import FactAnswer

ASKS = re.compile(
    r"[?？][\s\W]*\Z|[吗呢]\W*\Z|^\W*(?:who|whom|whose|what|which|when|where|why|how|tell me|remind me)\b"
    r"|谁|什么|哪|几[个点时岁号]|多少|多大|怎么|为何|何时",
    re.IGNORECASE,
)
CHINESE = re.compile(r"[\u3400-\u9fff]")

POLITE = {
    "hello": re.compile(
        r"(?:hi|hello|hey|good (?:morning|afternoon|evening))(?: there)?|你好|您好|早上好|晚上好", re.IGNORECASE
    ),
    "welcome": re.compile(
        r"(?:ok(?:ay)?,? |many )?(?:thanks|thank you)(?: (?:a lot|so much|very much))?|谢谢你?|多谢", re.IGNORECASE
    ),
    "goodbye": re.compile(r"(?:good)?bye(?: bye)?|good night|see you|再见|晚安", re.IGNORECASE),
    "reader": re.compile(
        r"(?:(?:hi|hello|hey),? )?(?:who|what|how) are you|what can you do|你是谁|你能做什么", re.IGNORECASE
    ),
}
"""Whole messages that neither ask nor tell, and the saying that replies to them."""
ABOUT_ME = re.compile(
    r"\b(?:what (?:do|did|have) (?:you|i) (?:know|remember|told you|tell you)|tell me(?: everything| all)?)"
    r" (?:about|of) (?:me|myself)\b"
    r"|你(?:知道|记得|了解)我(?:什么|哪些)|关于我",
    re.IGNORECASE,
)

SAYINGS = {
    "hello": ("Hello.", "你好。"),
    "welcome": ("You are welcome.", "不客气。"),
    "goodbye": ("Goodbye.", "再见。"),
    "reader": (
        "I remember what you tell me, and find and quote it when you ask. I cannot write.",
        "我记住你告诉我的话，你问时就找出并引用。我不会写作。",
    ),
    "unknown": ("I do not know: nothing that I remember answers that.", "我不知道：我记得的内容都没有回答这个问题。"),
    "noted": ("Noted.", "记下了。"),
    "facts": ("Noted: {}", "记下了：{}"),
    "said": ("{}. On {} you said: “{}”", "{}。{}你说过：“{}”"),
    "other": ("{}. On {} {} said: “{}”", "{}。{} {}说过：“{}”"),
    "corrected": ("{}. You put that right on {}.", "{}。你在{}更正过。"),
    "source": ("{}. In {}: “{}”", "{}。{}：“{}”"),
}


def asks(message: str) -> bool:
    """Whether a message is a question, by its form."""
    return ASKS.search(message) is not None


def saying(name: str, message: str, *values: str) -> str:
    """One of `SAYINGS` in the language of a message."""
    return SAYINGS[name][CHINESE.search(message) is not None].format(*values)


def polite(message: str) -> Said | None:
    """The reply to a greeting, thanks, a farewell, or the question who replies; None to anything else."""
    bare = message.strip(" \t\r\n.!?。！？~～")
    return next((Said(saying(name, message)) for name, form in POLITE.items() if form.fullmatch(bare)), None)


def of_whom(message: str) -> bool:
    """Whether a message asks for all that is known of its speaker."""
    return ABOUT_ME.search(message) is not None


def about_me(message: str, facts: Sequence[Fact]) -> Said:
    """All that is known of the one who asks."""
    if not facts:
        return Said(saying("unknown", message), abstained=True)
    return Said(" ".join(fact.text for fact in facts), quotes=tuple(fact.turn for fact in facts))


def acknowledged(message: str, facts: Sequence[Item]) -> Said:
    """The reply to what is no question; ``facts`` were learned of it. To Chinese the user's own words: facts are English."""
    if CHINESE.search(message):
        spans = (sentence_around(message, *(int(str(one.metadata[end])) for end in ("start", "end"))) for one in facts)
        told = list(dict.fromkeys(message[start:end].strip() for start, end in spans))
    else:
        told = [one.text for one in facts]
    return Said(saying("facts", message, " ".join(told)) if told else saying("noted", message))


def by_facts(message: str, answers: Sequence[FactAnswer], turn: Passage | None, speaker: str) -> Said:
    """The reply that facts give.

    Args:
        message: the question.
        answers: at least one, the best first; of several subjects where a name fits them all.
        turn: in which the first of them was said, if that is known.
        speaker: who asks.
    """
    best = [one for one in answers if one.mode == answers[0].mode and one.score >= answers[0].score - 1e-9]
    subjects = list(dict.fromkeys(one.fact.subject for one in best))
    values = {
        name: ", ".join(dict.fromkeys(one.value for one in best if one.fact.subject == name)) for name in subjects
    }
    several = len(subjects) > 1
    text = "; ".join(f"{name}: {value}" for name, value in values.items()) if several else values[subjects[0]]
    fact = best[0].fact
    made_of = tuple(one.fact.turn for one in best)
    if fact.by == "correction":
        return Said(saying("corrected", message, text, f"{fact.said:%Y-%m-%d}"), quotes=made_of)
    if turn is None:
        return Said(f"{text}. {fact.text}", quotes=made_of)
    start, end = sentence_around(turn.text, min(fact.start, len(turn.text)), min(fact.end, len(turn.text)))
    quoted = Item.of(turn)
    return Said(cited(message, text, turn.text[start:end], quoted, speaker), quotes=made_of)


def by_reading(message: str, recalled: Sequence[Recalled], llm: LLM, speaker: str, sure: float) -> Said:
    """The reply that the reader finds in what is recalled; it abstains where it is less sure than ``sure``.

    Facts are not read: `by_facts` knows better what they answer. Nor are questions of the user and replies that were made
    here, which answer nothing.
    """
    items = [one.item for one in recalled if one.part not in ("fact", "portrait")]
    items = [item for item in items if not asks(item.text) and item.metadata.get("role") != ASSISTANT]
    ask = template("answer")
    room = llm.context_window - llm.count_tokens(ask.fill([], {"question": message}))
    prompts = [ask.fill([clip(item.text, max(1, room), llm)], {"question": message}) for item in items]
    made = llm.generate(prompts, Sampling()) if prompts else []
    usage = Usage(len(made), sum(one.prompt_tokens for one in made))
    score, place = max(((one.confidence or 0.0, -i) for i, one in enumerate(made) if one.text), default=(0.0, 0))
    if not made or score < sure:
        return Said(saying("unknown", message), abstained=True, usage=usage)
    best, item = made[-place], items[-place]
    return Said(
        cited(message, best.text, best.quote or best.text, item, speaker),
        quotes=(item.id,) if item.id else (),
        usage=usage,
    )


def cited(message: str, text: str, quote: str, item: Item, speaker: str) -> str:
    """An answer, and the words that it rests on with when or where they stand."""
    quote, text = " ".join(quote.split()), text.strip().rstrip(".。")
    if item.kind == "chunk":
        return saying("source", message, text, item.source, quote)
    day = f"{item.time:%Y-%m-%d}"
    if item.speaker in ("", speaker):
        return saying("said", message, text, day, quote)
    return saying("other", message, text, day, item.speaker, quote)

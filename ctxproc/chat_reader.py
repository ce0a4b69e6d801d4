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
    from ctxproc.memory.facts_ask import FactAnswer

ASKS = re.compile(
    r"[?？][\s\W]*\Z|[吗呢]\W*\Z|^\W*(?:who|whom|whose|what|which|when|where|why|how|tell me|remind me)\b"
    r"|谁|什么|哪|几[个点时岁号]|多少|多大|怎么|为何|何时",
    re.IGNORECASE,
)
CHINESE = re.compile(r"[\u3400-\u9fff]")

SAYINGS = {
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


def acknowledged(message: str, facts: Sequence[str]) -> Said:
    """The reply to what is no question; ``facts`` are sentences that were learned of it."""
    return Said(saying("facts", message, " ".join(facts)) if facts else saying("noted", message))


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
    if fact.by == "correction":
        return Said(saying("corrected", message, text, f"{fact.said:%Y-%m-%d}"), quotes=fact.turn)
    if turn is None:
        return Said(f"{text}. {fact.text}")
    start, end = sentence_around(turn.text, min(fact.start, len(turn.text)), min(fact.end, len(turn.text)))
    quoted = Item.of(turn)
    return Said(cited(message, text, turn.text[start:end], quoted, speaker), quotes=turn.id)


def by_reading(message: str, recalled: Sequence[Recalled], llm: LLM, speaker: str, sure: float) -> Said:
    """The reply that the reader finds in what is recalled; it abstains where it is less sure than ``sure``.

    Facts are not read: `by_facts` knows better what they answer. Nor are questions of the user and replies that were made
    here, which answer nothing.
    """
    items = [one.item for one in recalled if one.part not in ("fact", "portrait")]
    items = [item for item in items if not asks(item.text) and item.speaker != ASSISTANT]
    ask = template("answer")
    room = llm.context_window - llm.count_tokens(ask.fill([], {"question": message}))
    prompts = [ask.fill([clip(item.text, max(1, room), llm)], {"question": message}) for item in items]
    made = llm.generate(prompts, Sampling()) if prompts else []
    usage = Usage(len(made), sum(one.prompt_tokens for one in made))
    score, place = max(((one.confidence or 0.0, -i) for i, one in enumerate(made) if one.text), default=(0.0, 0))
    if not made or score < sure:
        return Said(saying("unknown", message), abstained=True, usage=usage)
    best, item = made[-place], items[-place]
    return Said(cited(message, best.text, best.quote or best.text, item, speaker), quotes=item.id, usage=usage)


def cited(message: str, text: str, quote: str, item: Item, speaker: str) -> str:
    """An answer, and the words that it rests on with when or where they stand."""
    quote, text = " ".join(quote.split()), text.strip().rstrip(".。")
    if item.kind == "chunk":
        return saying("source", message, text, item.source, quote)
    day = f"{item.time:%Y-%m-%d}"
    if item.speaker in ("", speaker):
        return saying("said", message, text, day, quote)
    return saying("other", message, text, day, item.speaker, quote)

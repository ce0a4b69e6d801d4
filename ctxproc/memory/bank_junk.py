"""What looks like something the user said and is not: messages of programs, and the assistant's words sent back.

`ctxproc.memory.extract.base.own_words` leaves out what is marked as foreign: quotations, code, pasted documents. These
rules are for what is not marked. They are rules of form; in doubt nothing is learned from a message.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence

from ctxproc.text import words

REPEATS = 3
"""Days on which messages come that are the same but for names and numbers: so many, and they are a program's."""

LONG = 8
"""Words that a message has at least of which repeats are counted: people say short things again."""

ECHO = 4
"""Words of the shortest statement that is an echo."""

HEARD = 32
"""Turns of the assistant and of tools before a turn of which that may be an echo: later, the same words are one's own."""

_MACHINE = re.compile(
    r"^\W*(?:heartbeat|heart-beat|keep-?alive|health ?check|ping|cron(?:job)?|scheduler|watchdog|auto-?(?:reply|response))\b"
    r"|^\W*\[(?:system|cron|heartbeat|automated|auto|bot|scheduler|status|monitor)[^\]\n]*\]"
    r"|^\W*(?!(?:i|i'm|we|my|our|it|day)\b)(?:[a-z][\w-]*\s+){1,3}[(#]?\d+[)\]]?\s*[:*|]"
    r"|\bheartbeat_ok\b|\b(?:this is an|this) (?:automated|automatic|scheduled|auto-generated)\b|\bdo not reply\b"
    r"|\bthe user(?:'s)?\s+(?:name|profile|is|has|lives|works|likes|prefers|wants|said)\b"
    r"|\b(?:system prompt|system message|ignore (?:all )?previous instructions)\b"
    r"|^\W*(?:心跳|定时任务|系统(?:消息|提示|通知))|自动发送|请勿回复",
    re.IGNORECASE | re.MULTILINE,
)
_ROLE = re.compile(
    r"\A\W*(?:act as|pretend|play the (?:role|part)|your (?:role|task|job) is|from now on,? you|you will (?:be|act)"
    r"|you(?: are|'re) (?!(?:right|wrong|welcome|so|very|too|really|quite|not|the best|kind|great|funny|sweet)\b))"
    r"|\byou are (?:now )?(?:an?|the) (?:[\w-]+[ ,]+){0,6}(?:assistant|ai|chatbot|language model|agent|bot)\b"
    r"|\b(?:as|i am|i'm) (?:an? )?(?:[\w-]+ ){0,3}(?:ai|language model|chatbot|assistant bot)\b"
    r"|你是(?:一个|一位|一名)?[^。\n]{0,20}(?:助手|机器人|模型)|扮演",
    re.IGNORECASE,
)
_TO_WRITE = re.compile(
    r"(?:\A|[.!?:\n])\W*(?:(?:can|could|would|will) you |let'?s )?(?:please )?(?:write|compose|draft|make up|invent|create"
    r"|generate|continue|finish|polish|proofread|rewrite|rephrase|translate|role-?play|play)\b"
    r"|写一?(?:篇|个|首|封|段)|续写|润色|翻译",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(?:\b[^\W\d_a-z][\w'-]*(?:[\s&]+(?=[^\W\d_a-z]))?)+|\d+")


def machine(text: str) -> bool:
    """Whether a message tells a model what to be or to write, or was written by a program, as its form says.

    What stands in such a message is not what the user says of himself, or not reliably so.
    """
    return any(pattern.search(text) for pattern in (_MACHINE, _ROLE, _TO_WRITE))


def shape(text: str) -> bytes | None:
    """What messages have in common that differ in names, numbers and white space alone; None of a short one.

    A name is what begins with a capital letter, so scripts without them differ in their numbers alone.
    """
    said = words(_NAMES.sub(" 0 ", text), query=True)
    return hashlib.blake2b(" ".join(said).encode(), digest_size=12).digest() if len(said) >= LONG else None


def echoed(statement: str, others: Iterable[str]) -> bool:
    """Whether a statement of `ECHO` words or more stands in one of some texts, word for word.

    ``others`` are texts as `spoken` gives them. That a user confirms what the assistant said ("Yes, I moved to Lyon") is no
    echo, since the assistant says "you".
    """
    said = spoken(statement)
    return said.count(" ") > ECHO and any(said in other for other in others)


def spoken(text: str) -> str:
    """The words of a text, each between blanks, so that one text holds another where it holds its words in a row."""
    return f" {' '.join(words(text, query=True))} "


def mentioned(name: str, texts: Sequence[str]) -> bool:
    """Whether some texts, as `spoken` gives them, hold every word of a name, or all of it ("alice's sister": "sister")."""
    wanted = [word for word in words(name, query=True) if word != "s"]
    return all(any(f" {word} " in text for text in texts) for word in wanted)

"""The words by which `ctxproc.memory.recollect` compares a message with what was said, and of whom a message speaks."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from ctxproc.memory.extract.stems import stem
from ctxproc.memory.extract.words_en import CLOSED

LONGEST = 2000
"""Characters of a message that are looked at; what follows is left out."""

SLIGHT = frozenset({*CLOSED, "get", "got", "go", "going", "did", "am", "said", "say", "tell", "told"})
"""English words that say nothing of what a turn is about."""

_WORD = re.compile(r"[a-z]+(?:['’][a-z]+)*")
_ASKS = re.compile(
    r"^\W*(?:(?:and|so|but|hey|hi)\W+)?(?:when|where|what|which|who|whom|whose|why|how)\b(?:\W+(?:did|does|do|was|is|are|were|has|have|had)\b)?",
    re.IGNORECASE,
)
_ME = re.compile(r"\b(?:i|me|my|mine|myself)\b|我|咱", re.IGNORECASE)
_YOU = re.compile(r"\b(?:you|your|yours|yourself)\b|[你您]", re.IGNORECASE)


def stemmed(text: str) -> str:
    """The text for an index of words: in lower case, English words as their stems, those that say little left out."""
    return _WORD.sub(_stem, text.lower())


def _stem(match: re.Match[str]) -> str:
    word, *rest = re.split("['’]", match[0])
    slight = len(word) == 1 or word in SLIGHT or (rest == ["t"] and word.endswith("n"))
    return " " if slight else stem(word)


def bare(message: str, names: Collection[str]) -> str:
    """A message without these names and without how it asks: what is left resembles the turns that answer it.

    "When did Ana go to the sea?" is " go to the sea?": a turn of Ana's names neither her nor the time.
    """
    without = _named(names).sub(" ", message) if names else message
    rest = " ".join(_ASKS.sub(" ", without).split())
    return rest if any(map(str.isalnum, rest)) else message


def spoken_of(message: str, speakers: Iterable[str]) -> dict[str, str]:
    """The speakers whom a message names, by their whole name or its first word, and the name that stands there.

    Chinese names stand between characters; all others are whole words, in any case.
    """
    found: dict[str, str] = {}
    for speaker in speakers:
        for name in dict.fromkeys((speaker, *speaker.split()[:1])):
            if name and _named([name]).search(message):
                found[speaker] = name
                break
    return found


def first_person(message: str) -> bool:
    """Whether a message is about the one who says it and not about the one who hears it."""
    return bool(_ME.search(message)) and not _YOU.search(message)


def second_person(message: str) -> bool:
    """The reverse."""
    return bool(_YOU.search(message)) and not _ME.search(message)


def _named(names: Iterable[str]) -> re.Pattern[str]:
    """Finds any of the names, and the genitive of it."""
    parts = [
        rf"\b{re.escape(name)}(?:['’]s)?\b" if name.isascii() else re.escape(name)
        for name in sorted(names, key=len, reverse=True)
    ]
    return re.compile("|".join(parts), re.IGNORECASE)

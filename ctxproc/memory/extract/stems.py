"""The stem of an English word (M. F. Porter, An algorithm for suffix stripping, 1980), so that "moves" meets "moved".

A stem need not be a word ("poni" for "ponies"). Words of other scripts are their own stems.
"""

from __future__ import annotations

import re
from functools import lru_cache

_VOWEL = re.compile(r"[aeiou]|(?<=[^aeiou])y")
_RUN = re.compile(r"(?:[aeiou]|(?<=[^aeiou])y)+(?:[^aeiouy]|(?<=[aeiou])y)+")
_SHORT_END = re.compile(r"[^aeiou](?:[aeiou]|(?<=[^aeiou])y)[^aeiouwxy]$")
_IRREGULAR = {
    "children": "child",
    "feet": "foot",
    "men": "man",
    "mice": "mouse",
    "people": "person",
    "teeth": "tooth",
    "wives": "wife",
    "women": "woman",
}


def _rules(text: str) -> dict[str, str]:
    """Suffixes and what stands in their place, the longest first."""
    pairs = [(suffix, other) for suffix, _, other in (rule.partition(">") for rule in text.split())]
    return dict(sorted(pairs, key=lambda pair: -len(pair[0])))


_DOUBLE = _rules(
    "ational>ate tional>tion enci>ence anci>ance izer>ize abli>able alli>al entli>ent eli>e ousli>ous ization>ize ation>ate"
    " ator>ate alism>al iveness>ive fulness>ful ousness>ous aliti>al iviti>ive biliti>ble"
)
_SINGLE = _rules("icate>ic ative> alize>al iciti>ic ical>ic ful> ness>")
_LAST = _rules(
    "al> ance> ence> er> ic> able> ible> ant> ement> ment> ent> sion>s tion>t ou> ism> ate> iti> ous> ive> ize>"
)


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The stem of a word, in lower case."""
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 3 or not word.isascii() or not word.isalpha():
        return word
    word = _plural(word)
    word = _ended(word)
    if word.endswith("y") and _VOWEL.search(word[:-1]):
        word = word[:-1] + "i"
    word = _replaced(word, _DOUBLE, 0)
    word = _replaced(word, _SINGLE, 0)
    word = _replaced(word, _LAST, 1)
    return _final(word)


def _measure(part: str) -> int:
    """How many runs of vowels are followed by consonants: m in the paper."""
    return len(_RUN.findall(part))


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith(("sses", "ies")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def _ended(word: str) -> str:
    """Step 1b: "-eed", "-ed" and "-ing"."""
    if word.endswith("eed"):
        return word[:-1] if _measure(word[:-3]) else word
    base = word[:-2] if word.endswith("ed") else word[:-3] if word.endswith("ing") else ""
    if not base or not _VOWEL.search(base):
        return word
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if base[-1] == base[-2:-1] and base[-1] not in "aeioulsz":
        return base[:-1]
    return base + "e" if _measure(base) == 1 and _short(base) else base


def _short(part: str) -> bool:
    """Ends in consonant, vowel, consonant, the last no w, x or y: *o in the paper."""
    return _SHORT_END.search(part) is not None


def _replaced(word: str, rules: dict[str, str], least: int) -> str:
    """Steps 2 to 4: the longest suffix that the word has is replaced where what precedes it is longer than ``least``."""
    for suffix, other in rules.items():
        if word.endswith(suffix):
            changed = word[: -len(suffix)] + other
            return changed if _measure(changed if least else word[: -len(suffix)]) > least else word
    return word


def _final(word: str) -> str:
    """Step 5: a last "e", and one "l" of two."""
    if word.endswith("e"):
        measure = _measure(word[:-1])
        if measure > 1 or (measure == 1 and not _short(word[:-1])):
            word = word[:-1]
    return word[:-1] if word.endswith("ll") and _measure(word[:-1]) > 1 else word

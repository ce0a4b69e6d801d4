"""Questions made from plain text: a span of a sentence is replaced by a question word.

No language model and no tagger: patterns find dates, numbers, names and noun phrases, the wh-word follows from the
pattern, and the rest of the sentence is shortened and roughened until it looks like what people type into a search
box. The questions are often ungrammatical; they teach where answers lie and where they end, not how people ask.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Example", "Span", "answers_in", "cloze", "find_spans", "recurring", "sentences"]

MONTH = "January|February|March|April|May|June|July|August|September|October|November|December"
YEAR = r"(?<![\d,.])(?:1[0-9]\d\d|20[0-2]\d)(?!\w|[,.]\d)"
DATE = rf"\b(?:\d{{1,2}} )?(?:{MONTH})\b(?: \d{{1,2}}(?!\d))?(?:,? \d{{4}})?|{YEAR}"
NUMBER = (
    r"(?:[£$€] ?)?\b\d[\d,]*(?:\.\d+)?(?: ?%| percent| million| billion)?(?!\w)"
    r"|\b(?:two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|fifteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred|thousand)\b"
)
NAME = r"[A-ZÀ-Þ][\w'’.-]*(?:(?: (?:of|the|de|von|van|and|for|del|la|in))? [A-ZÀ-Þ][\w'’.-]*)*"
STOP = frozenset(
    "a an the this that these those of in on at by to for from with into as and or but nor so if than "
    "then when where who whom which what why how while because is are was were be been being am has have "
    "had do does did will would shall should can could may might must not no it its he she they him her "
    "them his their i you we me my your our us there here said upon over under about after before between "
    "through during against without within very more most such some any all each every also too just only "
    "even still ever never now again up down out off".split()
)
OPENERS = frozenset(
    "The A An This That These Those He She It They We You I In On At By To For From With As And Or But "
    "Nor So If Than Then When Where Who Which What Why How While Because His Her Its Their My Your Our "
    "There Here After Before During Although Though However Upon Not No Yes Oh Ah Well Now One Some All "
    "Both Each Many Most Such Since Until Let Is Was Are Were Do Did Does Have Had Has Will Would Shall "
    "Should Can Could May Might Must Never Perhaps Once".split()
)
PERSON_CUES = frozenset("mr mrs miss sir lord lady dr king queen president captain uncle aunt prince princess".split())
PLACE_CUES = frozenset("in at near from to through across".split())
PERSON_NEXT = frozenset(
    "said was is had has who replied asked cried would could did went came died thought looked".split()
)

BEFORE_TIME_OR_PLACE = frozenset("in on at since from near to".split())
ARTICLES = frozenset("the a an".split())


@dataclass(frozen=True)
class Span:
    """An answer candidate in a text, with the kind that chooses its question word."""

    start: int
    end: int
    kind: str  # date, number, person, place, name, phrase


@dataclass(frozen=True)
class Example:
    """One question over one context; ``answers`` are character spans, none where the context does not answer."""

    question: str
    context: str
    answers: list[tuple[int, int]] = field(default_factory=list)
    kind: str = ""
    group: str = ""  # examples of one group are passages for the same question


def sentences(text: str) -> list[tuple[int, int]]:
    """Character ranges of the sentences, by full stops followed by a capital; good enough for making data."""
    cuts = [0]
    for stop in re.finditer(r"[.!?][\"'”’)]*\s+(?=[\"'“‘(]?[A-Z0-9À-Þ])", text):
        before = text[max(0, stop.start() - 5) : stop.start()].split()
        if before and (len(before[-1]) == 1 or before[-1] in {"Mr", "Mrs", "Dr", "St", "Jr", "vs", "No"}):
            continue
        cuts.append(stop.end())
    cuts.append(len(text))
    return [(a, b) for a, b in itertools.pairwise(cuts) if b > a]


def find_spans(sentence: str) -> list[Span]:
    """Dates, numbers, names and noun phrases of a sentence; earlier kinds win where they overlap."""
    found: list[Span] = []
    taken = [False] * len(sentence)

    def claim(start: int, end: int, kind: str) -> None:
        if end > start and not any(taken[start:end]):
            taken[start:end] = [True] * (end - start)
            found.append(Span(start, end, kind))

    for spot in re.finditer(DATE, sentence):
        if spot[0] not in {"May", "March"}:
            claim(*spot.span(), "date")
    for spot in re.finditer(NAME, sentence):
        start, end = _trim_name(sentence, *spot.span())
        claim(start, end, _name_kind(sentence, start, end))
    for spot in re.finditer(NUMBER, sentence):
        claim(*spot.span(), "number")
    for start, end in _phrases(sentence):
        claim(start, end, "phrase")
    return found


def _trim_name(sentence: str, start: int, end: int) -> tuple[int, int]:
    """Drop an opening word that is capital only for its place, and closing punctuation."""
    first = re.match(r"[\w'’]+", sentence[start:end])
    if first and first[0] in OPENERS:
        start += first.end()
        while start < end and sentence[start] in " ,":
            start += 1
        rest = sentence[start:end].split(" ")[0]
        if rest.islower():
            start = end
    while end > start and sentence[end - 1] in ".'’-,":
        end -= 1
    if sentence[start:end].endswith(("'s", "’s")):
        end -= 2
    return start, end


def _name_kind(sentence: str, start: int, end: int) -> str:
    before = re.findall(r"[\w']+", sentence[:start])[-1:]
    after = re.findall(r"[\w']+", sentence[end : end + 20])[:1]
    first = sentence[start:end].split(" ")[0].strip(".").lower()
    if first in PERSON_CUES or (before and before[0].lower() in PERSON_CUES | {"by"}):
        return "person"
    if before and before[0] in PLACE_CUES:
        return "place"
    return "person" if after and after[0] in PERSON_NEXT else "name"


def _phrases(sentence: str) -> Iterator[tuple[int, int]]:
    """A determiner or preposition, then one to four words that are not function words, then a border."""
    for spot in re.finditer(r"\b(?:the|a|an|his|her|its|their|of|by|with|in) ((?:[a-z][\w-]* ?){1,4})", sentence):
        words = re.findall(r"[\w-]+", spot[1])
        kept = 0
        while kept < len(words) and words[kept] not in STOP:
            kept += 1
        if kept:
            start = spot.start(1)
            yield start, start + len(" ".join(words[:kept]))


WORDS = {
    "date": ["when", "when", "when", "what year", "in what year", "what date", "when did"],
    "number": ["how many", "how many", "how much", "what number", "how many", "how old", "how long"],
    "person": ["who", "who", "who", "who", "what is the name of", "which person"],
    "place": ["where", "where", "where", "what place", "which country", "what city", "in what"],
    "name": ["who", "what", "what", "which", "who", "what is the name of", "where"],
    "phrase": ["what", "what", "what", "what kind of", "what is", "which", "who"],
}


def cloze(sentence: str, span: Span, rng: random.Random) -> str:
    """A question whose answer is the span of the sentence."""
    left = re.findall(r"[\w'’.-]+", sentence[: span.start])
    right = re.findall(r"[\w'’.-]+", sentence[span.end :])
    reach = rng.randint(4, 12)
    left, right = left[-reach:], right[:reach]
    lost = BEFORE_TIME_OR_PLACE | ARTICLES if span.kind in {"date", "place"} else ARTICLES
    if left and left[-1].lower() in lost:
        left = left[:-1]
    word = rng.choice(WORDS[span.kind])
    drop = rng.choice([0.0, 0.1, 0.2, 0.35])
    left, right = ([w for w in part if rng.random() > _dropping(w, drop)] for part in (left, right))
    if word.startswith("how") and right:
        words = [word, right[0], *left, *right[1:]]
    elif rng.random() < 0.25:
        words = [*left, word, *right]
    elif rng.random() < 0.3:
        words = [word, *right, *left]
    else:
        words = [word, *left, *right]
    if rng.random() < 0.4 and word.split()[0] in {"when", "where", "how", "what"}:
        words = _with_did(words, word)
    question = " ".join(w.rstrip(".") for w in words)
    return question.lower() if rng.random() < 0.75 else question[:1].upper() + question[1:] + "?"


def _dropping(word: str, drop: float) -> float:
    return min(0.9, drop * 1.8) if word.lower() in STOP else drop


def _with_did(words: list[str], word: str) -> list[str]:
    """``when treaty signed`` to ``when did treaty sign``: crude, once."""
    for k, w in enumerate(words):
        if k and w.endswith("ed") and len(w) > 4:
            base = w[:-2] if not w.endswith(("ied", "ved", "sed", "ced", "ged")) else w[:-1]
            head = len(word.split())
            rest = [*words[head:k], base, *words[k + 1 :]]
            return [word, "did", *rest]
    return words


def answers_in(context: str, text: str) -> list[tuple[int, int]]:
    """Every occurrence of the text at word borders, case as given."""
    pattern = r"(?<!\w)" + re.escape(text) + r"(?!\w)"
    return [spot.span() for spot in re.finditer(pattern, context)]


def recurring(passage: str, rng: random.Random) -> Example | None:
    """A name that two sentences share: the question is one of them, the context the passage without it."""
    parts = [passage[a:b] for a, b in sentences(passage)]
    if len(parts) < 3:
        return None
    spots = [(k, span) for k, part in enumerate(parts) for span in find_spans(part) if span.kind != "phrase"]
    rng.shuffle(spots)
    for k, span in spots:
        text = parts[k][span.start : span.end]
        rest = "".join(parts[:k] + parts[k + 1 :]).strip()
        found = answers_in(rest, text) if len(text) > 2 else []
        if 1 <= len(found) <= 3:
            return Example(cloze(parts[k], span, rng), rest, found, "recurring")
    return None

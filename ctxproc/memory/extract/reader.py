"""Facts that the built-in reader finds in sentences of which the rules know no form: English, for work in the background.

The reader (`ctxproc.llm.reader`) answers a question by a span of a text or says that none is there. It is asked where the
speaker lives, for whom he works and so on, of one sentence at a time, in up to three wordings. What it points at is a fact
where it is sure and the span is of the kind that the question asks for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ctxproc.llm.base import Sampling
from ctxproc.memory.base import Passage
from ctxproc.memory.dates import resolve
from ctxproc.memory.extract import objects_en as o
from ctxproc.memory.extract.base import Extractor, Triple, own_words, speaker_of
from ctxproc.memory.extract.people_en import PERSON, Stated, is_person, related
from ctxproc.memory.extract.rules import RuleExtractor, since_of
from ctxproc.memory.extract.rules_en_table import PETS, RELATIVES
from ctxproc.memory.extract.words_en import VERB_FORMS
from ctxproc.prompt import template

if TYPE_CHECKING:
    from ctxproc.llm.base import LLM

SURE = 0.45
"""Confidence of the reader from which on a span is a fact."""
AMBIGUOUS = 0.8
"""Where the question of another relation has the same answer with more than this part of its confidence, it is no fact."""
HOPELESS = 0.03
"""Below it the first wording of a question ends the matter, and the others are not asked."""
LONGEST = 300
"""Characters of a sentence that is read: longer ones tell more than one thing, and may not fit the reader's window."""


@dataclass(frozen=True, slots=True)
class Family:
    """A relation, the questions of the speaker about himself that ask for it, and what may stand as its object."""

    relation: str
    questions: tuple[str, ...]
    kind: o.Kind


FAMILIES = (
    Family("lives in", ("Where do I live now?", "Which city did I move to?", "Where is my home?"), o.town),
    Family(
        "works at",
        ("Which company do I work for now?", "Where did I start working?", "Who is my employer?"),
        o.company,
    ),
    Family("works as", ("What is my job now?", "What do I work as?", "What is my profession?"), o.stated_job),
    Family("has manager", ("Who is my boss now?", "Who do I report to?", "Who is my new manager?"), o.name),
    Family("drives", ("What car do I drive now?", "Which car did I buy?", "What is my new car?"), o.vehicle),
    Family(
        "has favourite food",
        ("What is my favourite food now?", "Which food do I like best?", "Which dish do I love most?"),
        o.value,
    ),
    Family("is dating", ("Who am I dating now?", "Who is my partner?", "Who am I in a relationship with?"), o.name),
)

_THIRD = ((" do I ", " does {} "), (" did I ", " did {} "), (" am I ", " is {} "), (" my ", " {}'s "))
_NOT_OWN = re.compile(r"[\u3400-\u9fff]|\b(?:user|assistant)\b", re.IGNORECASE)
_ME = re.compile(r"\b(?:I|i|me|my|[Ww]e|our|us|My|Our|Me)\b")
_PERSON = re.compile(rf"\b{PERSON}")
_BEHIND = re.compile(r"\b(?:in|at|to|from|for|of|by|about|with|as|on)\s+(?:the\s+)?\Z", re.IGNORECASE)
_OF_MINE = re.compile(rf"\b(?:my|our)\s+(?:\w+\s+){{0,2}}?(?P<noun>{RELATIVES}|{PETS})\b", re.IGNORECASE)
_PARTS = re.compile(r"(?:[^,;:.!]|[.](?=\w))+?(?=$|[,;:.!]|\s(?:but|so|and (?=(?:I|i|we|my|now|he|she|they)\b)))")
_UNSURE = re.compile(
    r"\b(?:not|never|no longer|almost|nearly|wouldn?'?t?|i'd|we'd|might|may|could|should|can|hop(?:e|es|ing)|wants?|wanted"
    r"|thinking|thought|consider\w*|plan\w*|maybe|perhaps|possibly|used to|turned down|refused|declined|rejected|applied"
    r"|apply\w*|interview\w*|dream\w*|need|looking for|would|until|before|ago|once|as a (?:child|kid|student)|school"
    r"|visit\w*|trip|holidays?|vacation|for (?:the|a) (?:weekend|week|day|night)|borrow\w*|rent(?:ed|al)?)\b|n't\b",
    re.IGNORECASE,
)
_ENDED = re.compile(
    r"\b(?:left|leave|leaving|quit|sold|gave up|got rid of|(?:broke|split) up with|stopped|resigned from|goodbye|bye"
    r"|(?<=\bi )was(?! \w+ed\b))\b[^,;]*?(?=[,;.!]|\s(?:and|but|for|to|instead)\s|$)",
    re.IGNORECASE,
)


class ReaderExtractor(Extractor):
    """What the reader finds where `RuleExtractor` finds nothing: it gives no fact that the rules give.

    It knows the relations of `FAMILIES` alone, and never finds that something ended: what takes its place ends it. A
    sentence costs at least one reading for each family, some tens of milliseconds in all: too much while a reply is awaited.

    Args:
        llm: answers by quoting, with a confidence: the built-in reader.
        sure: confidence, 0 to 1, from which on a span is a fact.
    """

    name: ClassVar[str] = "reader"

    def __init__(self, llm: LLM, sure: float = SURE) -> None:
        self._llm = llm
        self._sure = sure
        self._rules = RuleExtractor()

    def extract(self, turn: Passage) -> list[Triple]:
        """The facts in the order in which they stand, at most one of a sentence."""
        own = [span for span in own_words(turn) if _readable(turn.text[slice(*span)])]
        if not own:
            return []
        stated = [one for one in self._rules.extract(turn) if not one.ends]
        found = [
            self._read(turn, start, end)
            for start, end in own
            if not any(start < one.end and one.start < end for one in stated)
        ]
        return [one for one in found if one is not None]

    def _read(self, turn: Passage, start: int, end: int) -> Triple | None:
        """The fact of which the reader is surest in one sentence."""
        sentence = turn.text[start:end].translate(str.maketrans("’‘ʼ`", "''''"))
        text = certain(sentence)
        pairs = [(who, family) for who in people(sentence) for family in FAMILIES if _fits(family, who, sentence)]
        first = self._asked(text, [(who, family, 0) for who, family in pairs])
        again = [(*pair, n) for pair, (score, _) in zip(pairs, first, strict=True) for n in (1, 2) if score >= HOPELESS]
        asked = [*zip(pairs, first, strict=True)]
        asked += [((who, family), made) for (who, family, _), made in zip(again, self._asked(text, again), strict=True)]
        ranked = sorted(((score, answer, *pair) for pair, (score, answer) in asked), key=lambda one: -one[0])
        for score, answer, who, family in ranked:
            subject, said = who or speaker_of(turn), _object(family, text, answer)
            rivals = (other for other, same, _, rival in ranked if rival is not family and said in same)
            if score < self._sure or (said and max(rivals, default=0.0) > AMBIGUOUS * score):
                return None
            if said and not set(said.split()) & set(subject.split()):
                low = text.find(said)
                at = Stated(subject, family.relation, said, 0, low + len(said), event=True)
                since = since_of(sentence, at, [0], resolve(sentence, turn.note.time))
                return Triple(subject, family.relation, said, start, start + low + len(said), since=since)
        return None

    def _asked(self, text: str, asked: list[tuple[str, Family, int]]) -> list[tuple[float, str]]:
        """Each question's answer, after its confidence."""
        ask = template("answer")
        prompts = [ask.fill([text], {"question": question(family.questions[n], who)}) for who, family, n in asked]
        made = self._llm.generate(prompts, Sampling()) if prompts else []
        return [(one.confidence or 0.0, one.text) for one in made]


def question(text: str, who: str) -> str:
    """A question of the speaker about himself, asked about somebody else; of "" as it is."""
    if who:
        for mine, theirs in _THIRD:
            text = text.replace(mine, theirs.format(who))
    return text


def people(sentence: str) -> list[str]:
    """Whom a sentence may be about: "" for its speaker; where he does not speak of himself, the one named first.

    A name that owns something, "Ana's", comes before others.
    """
    if _ME.search(sentence):
        return [""]
    found = [one for one in _PERSON.finditer(sentence) if is_person(one[0]) and not _is_verb(one[0].split()[0])]
    owners = [one[0] for one in found if sentence.startswith("'s ", one.end())]
    return owners[:1] or [one[0] for one in found if not _BEHIND.search(sentence, 0, one.start())][:1]


def certain(sentence: str) -> str:
    """A sentence with blanks in place of what is denied, only possible, or over; everything else keeps its place."""
    text = list(sentence)
    for part in _PARTS.finditer(sentence):
        if _UNSURE.search(part[0]):
            text[part.start() : part.end()] = " " * (part.end() - part.start())
    kept = "".join(text)
    return _ENDED.sub(lambda found: " " * len(found[0]), kept)


def _is_verb(word: str) -> bool:
    """Whether a word with a capital, such as the first of a sentence, is rather a verb or an adverb than a name."""
    return word.lower() in VERB_FORMS or word.lower().endswith("ly")


def _readable(sentence: str) -> bool:
    """Whether a sentence is worth a reading; "the user lives in Paris" is how others speak of him."""
    return not _NOT_OWN.search(sentence) and len(sentence) <= LONGEST and bool(people(sentence))


def _fits(family: Family, who: str, sentence: str) -> bool:
    """Whether what a sentence says of the speaker's relatives leaves room for this relation of his own."""
    nouns: Iterator[re.Match[str]] = _OF_MINE.finditer(sentence)
    return bool(who) or all(related(found["noun"]) == family.relation for found in nouns)


def _object(family: Family, text: str, answer: str) -> str:
    """What an answer names that is of the family's kind, with its article in the text; "hello Lyon" names "Lyon"."""
    with_article = re.search(rf"\b(?:an?|the)\s+{re.escape(answer)}", text)
    whole = with_article[0] if with_article else answer
    for word in re.finditer(r"\S+", whole):
        found = family.kind(whole[word.start() :])
        if found and (family.kind is not o.name or is_person(found[0])):
            return found[0]
    return ""

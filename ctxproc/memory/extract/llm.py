"""Facts that a language model finds, none of which it can have made up: each rests on words that the user wrote.

The model sees only the user's own words of one turn (`own_words`), so that nothing a document says reaches it. Its reply is
JSON of a schema, enforced by a grammar where the model's decoding can be constrained; it begins with a field for reasoning,
so that the facts follow from it and not the other way round. A fact is kept only where its quote stands word for word in one
of the spans the model was shown, its object in the quote, and its subject is the speaker or a person named there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import ClassVar

from ctxproc.errors import ModelError, PromptTooLongError
from ctxproc.llm.base import LLM, Generation, Sampling
from ctxproc.llm.constraint import Constraint
from ctxproc.memory.base import Passage
from ctxproc.memory.dates import resolve
from ctxproc.memory.extract.base import Extractor, Span, Triple, own_words, speaker_of
from ctxproc.memory.extract.people_en import Stated, single
from ctxproc.memory.extract.rules import since_of
from ctxproc.memory.extract.rules_en_table import OWNED, STATEMENTS
from ctxproc.prompt import template

TEMPLATE = "memory.facts"
MOST_FACTS = 12
_TEXT = {"type": "string", "maxLength": 300}
_FIELDS = {"quote": _TEXT, "subject": _TEXT, "relation": _TEXT, "object": _TEXT, "ends": {"type": "boolean"}}
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {
        "reasoning": _TEXT,
        "facts": {
            "type": "array",
            "maxItems": MOST_FACTS,
            "items": {
                "type": "object",
                "properties": _FIELDS,
                "required": list(_FIELDS),
                "additionalProperties": False,
            },
        },
    },
    "required": ["reasoning", "facts"],
    "additionalProperties": False,
}
"""What a reply is."""

_SINGLE = {rule.relation for rule in (*STATEMENTS, *OWNED) if rule.single and "{" not in rule.relation}
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|myself|we|us|our|ours)\b|我", re.IGNORECASE)
_ME = frozenset(("i", "me", "my", "user", "the user", "the speaker", "speaker", "we", "我"))


class LlmExtractor(Extractor):
    """Asks a model once for each turn in which the user says something of his own.

    What it finds depends on the model; what it keeps does not: see the module. A relation that the rules do not know is
    taken to have several values at a time, so that it supersedes nothing.

    Attributes:
        failures: replies that were no JSON of the schema, or were cut, and turns that did not fit the model's window.
        dropped: facts without a quote in the user's own words, or with an object or subject that is not in them.

    Raises:
        ModelError: the model answers by quoting and cannot write JSON.
    """

    name: ClassVar[str] = "llm"

    def __init__(self, llm: LLM, max_new_tokens: int = 600) -> None:
        if not llm.writes:
            raise ModelError(f"{llm.name} answers by quoting and cannot write facts: name a model that writes")
        self._llm = llm
        self._sampling = Sampling(max_new_tokens=max_new_tokens, constraint=Constraint(json_schema=SCHEMA))

    def extract(self, turn: Passage) -> list[Triple]:
        """The facts in the order in which they stand; none, without a call, where a turn has no words of its own."""
        own = own_words(turn)
        if not own:
            return []
        said = "\n".join(turn.text[start:end] for start, end in own)
        prompt = template(TEMPLATE).fill([said], {"speaker": speaker_of(turn)})
        try:
            [made] = self._llm.generate([prompt], self._sampling)
        except PromptTooLongError:
            self.failures += 1
            return []
        replied = parsed(made)
        if replied is None:
            self.failures += 1
            return []
        kept: dict[tuple[str, str, str, bool], Triple] = {}
        for fact in replied:
            triple = supported(fact, turn, own)
            if triple is None:
                self.dropped += 1
            else:
                kept.setdefault((triple.subject, triple.relation, triple.object, triple.ends), triple)
        return sorted(kept.values(), key=lambda triple: (triple.start, triple.end))


def parsed(made: Generation) -> list[Mapping[str, object]] | None:
    """The facts of a reply; None where it is cut, or no JSON of the schema."""
    if made.finish == "length":
        return None
    try:
        reply = json.loads(made.text)
    except (ValueError, RecursionError):
        return None
    facts = reply.get("facts") if isinstance(reply, dict) else None
    if not isinstance(facts, list) or not all(isinstance(fact, dict) for fact in facts):
        return None
    return facts[:MOST_FACTS]


def supported(fact: Mapping[str, object], turn: Passage, own: list[Span]) -> Triple | None:
    """The triple of a fact, or None where the user's own words do not hold it."""
    quote, subject, relation, thing = (_text(fact.get(name)) for name in ("quote", "subject", "relation", "object"))
    place = _found(quote, turn.text, own)
    if place is None or not relation or not thing or not _holds(quote, thing):
        return None
    (low, high), start = place
    who = _subject(subject, speaker_of(turn), turn.text, own)
    if (
        not who
        or who.lower() == thing.lower()
        or (who == speaker_of(turn) and not _FIRST_PERSON.search(turn.text, low, high))
    ):
        return None
    relation = relation.lower()
    one = relation in _SINGLE or relation.startswith("has favourite ") or single(relation)
    ends = fact.get("ends") is True
    at = Stated(who, relation, thing, start - low, start - low + len(quote), one, ends, event=one)
    since = since_of(turn.text[low:high], at, [at.start], resolve(turn.text[low:high], turn.note.time))
    return Triple(who, relation, thing, start, start + len(quote), one, ends, since)


def _text(value: object) -> str:
    return " ".join(value.split()) if isinstance(value, str) else ""


def _found(quote: str, text: str, own: list[Span]) -> tuple[Span, int] | None:
    """The span of the user's own words that holds a quote, and where the quote begins."""
    for start, end in own if len(quote) > 1 else ():
        place = text.find(quote, start, end)
        if place >= 0:
            return (start, end), place
    return None


def _holds(quote: str, thing: str) -> bool:
    """Whether a quote holds a thing as whole words, in any case."""
    return re.search(rf"(?<![a-z\d]){re.escape(thing.lower())}(?![a-z\d])", quote.lower()) is not None


def _subject(subject: str, me: str, text: str, own: list[Span]) -> str:
    """Whom a fact is about; empty where the user named no such person."""
    low = subject.lower()
    if low in _ME or low == me.lower():
        return me
    kin = re.fullmatch(r"(?:my|our) (.+)", low)
    named = any(_holds(text[start:end], subject) for start, end in own) if subject else False
    return f"{me}'s {kin[1]}" if kin and named else subject if named else ""

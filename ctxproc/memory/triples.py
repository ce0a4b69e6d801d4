r"""The text API of RET-LLM: what a model writes to read from a memory, and to propose to it.

    [MEM_WRITE{alice>>lives in>>Lyon}]      proposes a fact
    [MEM_READ{_>>lives in>>Lyon}]           asks; "_" leaves a field open
    [MEM_READ{_>>lives in>>Lyon}: alice; Mia]   with its results, which `Api.run` puts in

In a field or result a backslash takes its meaning from the character behind it, so that any text can be written: ``\>``,
``\{``, ``\}``, ``\[``, ``\]``, ``\;``, ``\\``, and ``\_`` for a field that is an underscore. A bracket behind a backslash
begins no call. White space around fields does not count. What is not exactly of this form is text.

What a model writes is not what the user said (TRUST.md, S15): a document or a recalled text may have told it to. So a
write is a proposal. It is kept only where the caller hands over a turn of the user and a sentence of the user's own words
states the same: see `stated`. Reads change nothing and see only the owner's facts.

Source: Modarressi et al. 2023, "RET-LLM: Towards a General Read-Write Memory for Large Language Models", section 3.2; the
escapes, the limits and the refusal of unsupported writes are ours.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from ctxproc.memory.base import Passage
from ctxproc.memory.facts import Fact, fact_note, key
from ctxproc.memory.facts_question import place_of, without
from ctxproc.memory.facts_words import NAMED, SEVERAL, cued

if TYPE_CHECKING:
    from ctxproc.memory.extract.base import Triple
    from ctxproc.memory.facts import Embed
    from ctxproc.memory.memory import Memory

LONGEST_CALL = 2_000
"""Characters between the braces of a call; a longer one is text."""
MOST_CALLS = 32
"""Calls of one text that are done; further ones are left as they are."""
MOST_RESULTS = 20
"""Results of one read that are put in."""

_ESCAPED = r"\\[\\>{}\[\];_]"
_CALL = re.compile(
    rf"(?<!\\)\[MEM_(?P<what>WRITE|READ)\{{(?P<fields>(?:[^\\{{}}]|{_ESCAPED}){{0,{LONGEST_CALL}}})\}}"
    rf"(?::(?P<results>(?:[^\\\[\]]|{_ESCAPED})*))?\]"
)
_TOKEN = re.compile(rf"{_ESCAPED}|>>|[^\\]")
_CLAUSE = re.compile(r"[,;:，；：、]|\b(?:and|but|while|although|because|so)\b|但|而且|因为")
_DENIED = re.compile(
    r"\b(?:not|never|no|none|neither|nor|without|if|unless|whether|would|could|might|may|maybe|perhaps|almost|nearly"
    r"|wish|hope|want|used to|no longer|anymore|any more|stopped|left|quit)\b|n['’]t\b"
    r"|[不没别未]|如果|要是|可能|也许|希望|想|离开|以前|曾经",
    re.IGNORECASE,
)
_I = re.compile(r"\b(?:i|my|me|we|our)\b|我|咱", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Call:
    """A call in a text.

    Attributes:
        what: "WRITE" or "READ".
        subject, relation, object: its fields; None is an open one, which only a read has.
        start, end: its characters in the text.
        answered: it has results already and is not done again.
    """

    what: Literal["WRITE", "READ"]
    subject: str | None
    relation: str | None
    object: str | None
    start: int
    end: int
    answered: bool = False

    @property
    def fields(self) -> tuple[str | None, str | None, str | None]:
        """Subject, relation and object."""
        return self.subject, self.relation, self.object


@dataclass(frozen=True, slots=True)
class Run:
    """What became of a text.

    Attributes:
        text: with results in its reads; writes are left as they are.
        reads: each read that was done, and the facts it found.
        written: ids of the facts that were kept.
        refused: writes that were not, since no words of the user state them.
    """

    text: str
    reads: tuple[tuple[Call, tuple[Fact, ...]], ...]
    written: tuple[int, ...]
    refused: tuple[Call, ...]


def escape(text: str) -> str:
    """A field or result as it stands in a call."""
    return "\\_" if text.strip() == "_" else re.sub(r"[\\>{}\[\];]", r"\\\g<0>", text)


def unescape(text: str) -> str:
    """What a field of a call says."""
    return re.sub(_ESCAPED, lambda found: found[0][1], text)


def render(what: Literal["WRITE", "READ"], fields: Sequence[str | None], results: Sequence[str] | None = None) -> str:
    """A call as text; `parse` reads the same fields from it, stripped.

    Args:
        what: which.
        fields: subject, relation, object; None is open.
        results: of a read that was done.
    """
    inner = ">>".join("_" if field is None else escape(field) for field in fields)
    shown = "" if results is None else ": " + "; ".join(map(escape, results))
    return f"[MEM_{what}{{{inner}}}{shown}]"


def parse(text: str) -> list[Call]:
    """The calls in a text, in order. Anything is a text; what is malformed is no call."""
    calls = []
    for found in _CALL.finditer(text):
        fields = _fields(found["fields"])
        if fields is None:
            continue
        open_ones = fields.count(None)
        if (found["what"] == "WRITE" and open_ones) or open_ones == 3:
            continue
        what: Literal["WRITE", "READ"] = "WRITE" if found["what"] == "WRITE" else "READ"
        calls.append(Call(what, *fields, found.start(), found.end(), found["results"] is not None))
    return calls


def _fields(inner: str) -> tuple[str | None, str | None, str | None] | None:
    """Three fields that are not empty, or None."""
    parts = [""]
    for token in _TOKEN.findall(inner):
        if token == ">>":
            parts.append("")
        else:
            parts[-1] += token
    parts = [part.strip() for part in parts]
    if len(parts) != 3 or not all(parts):
        return None
    first, second, third = (None if part == "_" else unescape(part) for part in parts)
    return first, second, third


class Api:
    """Does what a model's text asks of a memory.

    Args:
        memory: whose facts are read, and to which stated ones are written.
        embed: finds paraphrased fields, see `Facts.read`; without, only what matches exactly is found.
    """

    def __init__(self, memory: Memory, embed: Embed | None = None) -> None:
        from ctxproc.memory.facts_shelf import FactShelf

        self._memory = memory
        self._embed = embed
        self._shelf = FactShelf(memory.store, memory.owner)

    def run(self, text: str, turn: Passage | None = None, as_of: datetime | None = None) -> Run:
        """Do the first `MOST_CALLS` calls in a text, in order; a read sees what a write before it wrote.

        Args:
            text: what a model wrote.
            turn: the user's turn that it replies to, as stored; without, every write is refused.
            as_of: reads see what held then.

        Raises:
            LimitError: the owner has as many notes as ``limits.memories`` allows.
        """
        pieces, at = [], 0
        reads: list[tuple[Call, tuple[Fact, ...]]] = []
        written: list[int] = []
        refused: list[Call] = []
        for call in [call for call in parse(text) if not call.answered][:MOST_CALLS]:
            if call.what == "WRITE":
                fact = self._write(call, turn)
                written += [fact] if fact else []
                refused += [] if fact else [call]
                continue
            found = self._shelf.facts().read(*call.fields, as_of=as_of, embed=self._embed)[-MOST_RESULTS:]
            reads.append((call, tuple(found)))
            pieces += [text[at : call.start], render("READ", call.fields, _results(call, found))]
            at = call.end
        return Run("".join([*pieces, text[at:]]), tuple(reads), tuple(written), tuple(refused))

    def _write(self, call: Call, turn: Passage | None) -> int:
        """The id of the fact, new or there already; 0 if the user's words do not state it."""
        triple = None if turn is None else stated(call, turn)
        if triple is None or turn is None:
            return 0
        there = self._shelf.facts().read(triple.subject, triple.relation, triple.object)
        return there[0].id if there else self._memory.remember_all([fact_note(triple, turn, by="model")])[0]


def _results(call: Call, found: Sequence[Fact]) -> list[str]:
    """The open fields of what was found, each once; where none is open, or it was found by similarity, as a sentence."""
    shown = []
    for fact in found:
        pairs = list(zip((fact.subject, fact.relation, fact.object), call.fields, strict=True))
        alike = all(asked is None or key(asked) == key(field) for field, asked in pairs)
        shown.append((alike and " ".join(field for field, asked in pairs if asked is None)) or fact.text)
    return list(dict.fromkeys(shown))


def stated(call: Call, turn: Passage) -> Triple | None:
    """The fact that a write proposes, where a sentence of the user's own words states it; else None.

    One clause of `ctxproc.memory.extract.base.own_words` has to name the object and the relation, by words of
    `ctxproc.memory.facts_words`, and its sentence the subject, by name or for the turn's speaker by "I" or "my". A sentence
    that denies, doubts or wishes states nothing. Rules of form: they stop what a document put into a model's mouth, yet
    not a model that takes words of the user for another relation that the same clause names too.
    """
    from ctxproc.memory.extract.base import Triple, own_words, speaker_of

    subject, relation, object = (field or "" for field in call.fields)
    me = speaker_of(turn)
    for start, end in own_words(turn):
        sentence = turn.text[start:end].casefold()
        mine = key(subject) == key(me) and _I.search(sentence)
        if _DENIED.search(sentence) or not (mine or place_of(subject, sentence) >= 0):
            continue
        for clause in _CLAUSE.split(sentence):
            bare = without([subject, object], clause, "x")
            if place_of(object, clause) >= 0 and cued(bare, key(relation), "my") >= NAMED:
                return Triple(subject, key(relation), object, start, end, single=key(relation) not in SEVERAL)
    return None

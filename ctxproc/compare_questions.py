"""The questions of a comparison: one JSON object a line, with what people answered and where it stands, if they did.

A line is ``{"question": TEXT}`` and may have an ``id``; ``answers``, a list of texts, empty for a question that the sources
do not answer; ``evidence`` or ``spans``, a list of passages, each ``{"source", "start", "end"}`` or ``{"quote"}``;
``choices``; and ``kind``, a word of the user's own by which figures are broken down, of which "summary" asks for a summary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from ctxproc.answer import find_normalised
from ctxproc.ask import checked
from ctxproc.errors import ConfigError, UsageError
from ctxproc.textfile import read_text

if TYPE_CHECKING:
    from ctxproc.document import Document

KEYS = ("id", "question", "answers", "evidence", "spans", "choices", "kind")
SUMMARY = "summary"
FORM = 'each line is one object, {"question": "Who ...?", "answers": ["..."]}'
"""What a file of questions looks like, for messages."""

MOST_BYTES, MOST_QUESTIONS = 1 << 26, 100_000
"""Of a file of questions."""


@dataclass(frozen=True, slots=True)
class Place:
    """Characters ``start`` to ``end`` of a document's text."""

    source: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Question:
    """A question of a comparison.

    Attributes:
        id: its name; the number of its line where it has none.
        text: as it is asked.
        answers: what people answered; empty where the sources hold no answer, None where nobody said.
        passages: where the answer stands, as the file has it; None where nobody said.
        choices: the answer is one of these; None for any.
        kind: a word by which figures are broken down; "summary" asks for a summary.
        where: its place in the file, for messages.
    """

    id: str
    text: str
    answers: tuple[str, ...] | None = None
    passages: tuple[Mapping[str, Any], ...] | None = None
    choices: tuple[str, ...] | None = None
    kind: str = ""
    where: str = "the question"

    @property
    def asked(self) -> dict[str, Any]:
        """As arguments of `Library.ask`, its text aside."""
        return {"choices": list(self.choices) if self.choices else None, "summarise": self.kind == SUMMARY}


def read_questions(path: Path) -> list[Question]:
    """The questions of a file, in order.

    Raises:
        UsageError: it cannot be read, or a line is malformed; one line that names the first.
    """
    return questions_of(read_text(path, "questions", MOST_BYTES).split("\n"), str(path))


def questions_of(lines: Sequence[str], name: str) -> list[Question]:
    """The questions of lines of JSON; empty lines are passed over.

    Raises:
        UsageError: a line is malformed, two have one id, or there is none.
    """
    found: dict[str, Question] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{name}, line {number}"
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UsageError(f"{where}: not JSON ({str(error).splitlines()[0]}): {FORM}") from error
        question = question_of(value, where, str(number))
        if question.id in found:
            raise UsageError(f"{where}: the id {question.id!r} was used before, at {found[question.id].where}")
        found[question.id] = question
        if len(found) > MOST_QUESTIONS:
            raise UsageError(f"{name} has more than {MOST_QUESTIONS} questions")
    if not found:
        raise UsageError(f"{name} holds no question: {FORM}")
    return list(found.values())


def question_of(value: object, where: str, number: str) -> Question:
    """The question that one object describes.

    Raises:
        UsageError: it is malformed.
    """
    if not isinstance(value, Mapping):
        raise UsageError(f"{where}: not an object: {FORM}")
    for key in value:
        if key not in KEYS:
            raise UsageError(f"{where}: no key {str(key)[:40]!r}; there are: {', '.join(KEYS)}")
    if "evidence" in value and "spans" in value:
        raise UsageError(f"{where}: evidence and spans are one thing: leave one out")
    text = value.get("question")
    if not isinstance(text, str):
        raise UsageError(f"{where}: the question must be a text")
    try:
        checked(text)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error
    kind, name = value.get("kind", ""), value.get("id", number)
    if not isinstance(kind, str) or isinstance(name, bool) or not isinstance(name, (str, int)):
        raise UsageError(f"{where}: kind must be a text, id a text or a whole number")
    choices = _texts(value.get("choices"), "choices", where)
    _check_task(choices, kind, where)
    passages = value.get("evidence", value.get("spans"))
    return Question(
        str(name),
        text,
        _texts(value.get("answers"), "answers", where),
        _passages(passages, where),
        choices,
        kind,
        where,
    )


def _texts(value: object, key: str, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{where}: {key} must be a list of texts, such as {json.dumps(_as_texts(value))}")
    return tuple(value)


def _as_texts(value: object) -> list[str]:
    """A wrong value as the list of texts that may have been meant."""
    values = value if isinstance(value, list) else [value]
    return [str(one)[:40] for one in values[:3]]


def _check_task(choices: Sequence[str] | None, kind: str, where: str) -> None:
    from ctxproc.task import task_of

    try:
        task_of(choices, None, kind == SUMMARY)
    except ConfigError as error:
        raise UsageError(f"{where}: {error}") from error


def _passages(value: object, where: str) -> tuple[Mapping[str, Any], ...] | None:
    """The passages, their form looked at."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise UsageError(f"{where}: evidence must be a list")
    for one in value:
        if not isinstance(one, Mapping) or not isinstance(one.get("source", ""), str):
            raise UsageError(f"{where}: a passage of evidence is an object, and its source a text")
        start, end, quote = (one.get(key) for key in ("start", "end", "quote"))
        by_place = type(start) is int and type(end) is int and 0 <= start < end
        if by_place == (isinstance(quote, str) and bool(quote.strip())):
            raise UsageError(f'{where}: a passage of evidence has either "start" and "end", or a "quote"')
    return tuple(value) or None


def gold_places(question: Question, documents: Sequence[Document]) -> list[tuple[Place, ...]]:
    """Where each gold passage stands: one place, or every place that holds its quote.

    Raises:
        UsageError: there is no such source or place, or the quote stands nowhere.
    """
    return [_places(one, documents, question.where) for one in question.passages or ()]


def _places(passage: Mapping[str, Any], documents: Sequence[Document], where: str) -> tuple[Place, ...]:
    among = _named(str(passage.get("source", "")), documents, where)
    if "quote" in passage:
        return _quoted(str(passage["quote"]).strip(), among, where)
    if len(among) > 1:
        raise UsageError(f"{where}: there are several sources: say which one the evidence stands in")
    start, end = passage["start"], passage["end"]
    if end > len(among[0].text):
        raise UsageError(
            f"{where}: no characters {start} to {end} in {among[0].source}, which has {len(among[0].text)}"
        )
    return (Place(among[0].source, start, end),)


def _named(source: str, documents: Sequence[Document], where: str) -> Sequence[Document]:
    """The documents of a name: that one, or those whose path ends like it; all where no name is given."""
    if not source:
        return documents
    wanted = PurePath(source).parts
    found = [one for one in documents if one.source == source] or [
        one for one in documents if PurePath(one.source).parts[-len(wanted) :] == wanted
    ]
    if len(found) != 1:
        fault = "is no source" if not found else "is the end of several sources' names"
        raise UsageError(f"{where}: {source} {fault} of this comparison")
    return found


def _quoted(quote: str, documents: Sequence[Document], where: str) -> tuple[Place, ...]:
    """Every place of a quote; where it stands nowhere to the letter, the first but for white space, marks and case."""
    found: list[Place] = []
    for one in documents:
        at = one.text.find(quote)
        while at >= 0:
            found.append(Place(one.source, at, at + len(quote)))
            at = one.text.find(quote, at + len(quote))
    for one in documents if not found else ():
        loose = find_normalised(quote, one.text)
        if loose:
            return (Place(one.source, *loose),)
    if not found:
        raise UsageError(f"{where}: the quote {quote[:40]!r} stands in no source")
    return tuple(found)

"""What is asked of a long context: an answer, a summary, one of given choices, or JSON of a schema.

A task gives the words that end a prompt (``strategies/templates/task.NAME.txt``), what the reply must be, how the reply
is taken apart, and where its evidence is looked for. Strategies know nothing of it: every strategy does every task.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Any, ClassVar

from ctxproc.answer import Quote, normalise
from ctxproc.attribute import nearest
from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import LLM, Generation
from ctxproc.llm.constraint import Constraint

LISTED = 24
"""At most so many choices are listed in a prompt; more are only enforced, as PCW and NBCE do with many classes."""


TRIES = 16
"""Brackets of a reply at which JSON may begin."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's words, taken apart: the answer ("" where it found none), its quote, its confidence.

    ``made`` is False where the limits of the run kept the call from being made.
    """

    answer: str
    quote: str
    confidence: float | None = None
    made: bool = True


UNMADE = Reply("", "", made=False)


@dataclass(frozen=True)
class Task(ABC):
    """What the reply to a strategy's last prompt must be.

    Attributes:
        name: of its templates.
        whole: every chunk is read, not only those that a search finds for the question.
    """

    name: ClassVar[str]
    whole: ClassVar[bool] = False

    @property
    def described(self) -> dict[str, object]:
        """Its name and parameters."""
        return {"name": self.name, **asdict(self)}

    @property
    def constraint(self) -> Constraint | None:
        """What the whole reply must be; None for any text."""
        return None

    @property
    def values(self) -> Mapping[str, str]:
        """What fills the places of its template, the question aside."""
        return {}

    def check(self, llm: LLM) -> None:
        """Ask before the first call whether a model can do this.

        Raises:
            ModelError: it cannot; says what to do instead.
        """
        return

    @abstractmethod
    def parse(self, generation: Generation) -> Reply:
        """A reply, taken apart; forgiving, never raising."""

    @abstractmethod
    def quotes(self, question: str, reply: Reply, chunks: Sequence[Chunk], score: float) -> tuple[Quote, ...]:
        """Where the evidence of a reply is to be looked for: in these chunks, in their order."""


@dataclass(frozen=True)
class Answering(Task):
    """Answer in a few words, with the sentence that says so. Abstains where nothing answers the question."""

    name: ClassVar[str] = "answer"

    def parse(self, generation: Generation) -> Reply:
        """As `parse`."""
        return parse(generation)

    def quotes(self, question: str, reply: Reply, chunks: Sequence[Chunk], score: float) -> tuple[Quote, ...]:
        """The reply's own quote."""
        return (Quote(reply.quote, tuple(chunks), score),) if reply.answer else ()


@dataclass(frozen=True)
class Summarising(Task):
    """A summary of all that is read, as the question asks for.

    Its evidence is found and not given by the model: for each sentence of the summary the passage that shares most
    words with it, scored by the share of the sentence's words that it holds.
    """

    name: ClassVar[str] = "summarise"
    whole: ClassVar[bool] = True

    def check(self, llm: LLM) -> None:
        """Needs a model that writes."""
        writing(llm, "a summary")

    def parse(self, generation: Generation) -> Reply:
        """The text."""
        text = generation.text.strip()
        return Reply("" if NOT_FOUND.match(text) else text, "", generation.confidence)

    def quotes(self, question: str, reply: Reply, chunks: Sequence[Chunk], score: float) -> tuple[Quote, ...]:
        """The passages nearest to its sentences."""
        return nearest(reply.answer, chunks, least=0.3) if reply.answer else ()


@dataclass(frozen=True)
class Choosing(Task):
    """One of given choices: multiple choice, or the class of a text after many examples.

    A model whose decoding can be constrained can reply with nothing else. The reply of any other is the choice it
    equals, names or resembles most; one that resembles none, or might be one as well as another, is an abstention. Its
    evidence is the passage nearest to question and choice.

    Attributes:
        choices: texts, at least one, all different.
    """

    choices: tuple[str, ...] = ()

    name: ClassVar[str] = "choose"

    def __post_init__(self) -> None:
        texts = [choice for choice in self.choices if isinstance(choice, str) and choice.strip()]
        if not texts or len(set(texts)) < len(self.choices):
            raise ConfigError("choices must be a list of one text or more, all different and none empty")

    @property
    def constraint(self) -> Constraint:
        """One of them."""
        return Constraint(choices=self.choices)

    @property
    def values(self) -> Mapping[str, str]:
        """The choices as a list, unless they are too many."""
        if len(self.choices) > LISTED:
            return {"choices": ""}
        return {"choices": "".join(["Choices:\n", *(f"- {choice}\n" for choice in self.choices), "\n"])}

    def parse(self, generation: Generation) -> Reply:
        """The choice that the text is, or resembles; of a text that was cut, the only one that begins so."""
        text = generation.text.strip()
        if text in self.choices:
            choice = text
        elif generation.finish == "length":
            begun = [choice for choice in self.choices if text and choice.startswith(text)]
            choice = begun[0] if len(begun) == 1 else ""
        else:
            choice = self.match(parse(generation).answer)
        return Reply(choice, generation.quote or "", generation.confidence)

    def match(self, text: str) -> str:
        """The one choice that ``text`` equals but for case and spaces, else names, else resembles most; "" if none."""
        folded = [normalise(choice)[0] for choice in self.choices]
        for said in (normalise(text)[0], normalise(text.strip().rstrip("."))[0]):
            equal = [i for i, choice in enumerate(folded) if choice == said]
            if equal:
                return self.choices[equal[0]] if len(equal) == 1 else ""
        named = {choice for choice in folded if re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", said)}
        named = {choice for choice in named if not any(choice in other for other in named - {choice})}
        near = list(named) or get_close_matches(said, folded, n=1) if said else []
        return self.choices[folded.index(near[0])] if len(near) == 1 and folded.count(near[0]) == 1 else ""

    def quotes(self, question: str, reply: Reply, chunks: Sequence[Chunk], score: float) -> tuple[Quote, ...]:
        """The reply's own quote, or the passage nearest to question and choice."""
        if reply.quote:
            return (Quote(reply.quote, tuple(chunks), score),)
        return nearest(f"{question} {reply.answer}", chunks, whole=True) if reply.answer else ()


@dataclass(frozen=True)
class Extracting(Task):
    """JSON of a schema, its values taken from the text. Abstains where it holds no value.

    Its evidence is where the texts and numbers among its values stand; where it has none but holds true or false, the
    passage nearest to question and reply.

    Attributes:
        schema: a JSON Schema as text or mapping; kept as text.
    """

    schema: Mapping[str, Any] | str = "{}"

    name: ClassVar[str] = "extract"

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema", Constraint(json_schema=self.schema).json_schema)

    @property
    def constraint(self) -> Constraint:
        """JSON that the schema accepts."""
        return Constraint(json_schema=self.schema)

    @property
    def values(self) -> Mapping[str, str]:
        """The schema."""
        return {"schema": str(self.schema)}

    def check(self, llm: LLM) -> None:
        """Needs a model that writes."""
        writing(llm, "JSON")

    def parse(self, generation: Generation) -> Reply:
        """The text as JSON, or the first object or list in it; nothing where that is cut, or holds no value."""
        try:
            found = first_json(generation.text, json.loads(str(self.schema)))
            held = any(True for _ in leaves(found, truths=True))
            answer = json.dumps(found, ensure_ascii=False) if held else ""
            answer.encode()
        except (RecursionError, UnicodeEncodeError):  # nested too deeply, or half of a character
            answer = ""
        return Reply(answer, "", generation.confidence)

    def quotes(self, question: str, reply: Reply, chunks: Sequence[Chunk], score: float) -> tuple[Quote, ...]:
        """Each text or number, in any of the chunks."""
        if not reply.answer:
            return ()
        values = dict.fromkeys(leaves(json.loads(reply.answer)))
        if not values:
            return nearest(f"{question} {reply.answer}", chunks, whole=True)
        return tuple(Quote(value, tuple(chunks), score) for value in values)


NOT_FOUND = re.compile(r"\W*not[ _]found\b", re.IGNORECASE)
QUOTE_LABEL = re.compile(r"^[ \t>*-]*quote[*]*[ \t]*[:\uff1a][*]*", re.IGNORECASE | re.MULTILINE)
BLANK_LINE = re.compile(r"\n[^\S\n]*\n")
ANSWER_LABEL = re.compile(r"\A\W*answer\W*[:\uff1a][*]*", re.IGNORECASE)


def parse(generation: Generation) -> Reply:
    """The parts of a reply in the form that the templates ask for; forgiving, never raising.

    The form is an answer, then a line that begins with ``Quote:``; the quote ends at a blank line, since what a model adds
    behind it, such as another question, is none of it. Without that line the answer itself is what is
    looked for in the source.
    """
    if generation.quote is not None or generation.confidence is not None:
        answer = ANSWER_LABEL.sub("", generation.text).strip()
        return Reply(answer, generation.quote or generation.text, generation.confidence)
    answer, *quotes = QUOTE_LABEL.split(generation.text)
    answer = ANSWER_LABEL.sub("", answer).strip()
    if not answer or NOT_FOUND.match(answer):
        return Reply("", "")
    quote = BLANK_LINE.split(quotes[0].strip(), 1)[0] if quotes else ""
    return Reply(answer, unquoted(quote) or answer)


def unquoted(text: str) -> str:
    """``text`` without the pair of quotation marks around it."""
    pairs = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "\u300c": "\u300d"}
    if len(text) > 1 and pairs.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text


def writing(llm: LLM, what: str) -> None:
    """Refuse a model that answers by quoting.

    Raises:
        ModelError: it is one.
    """
    if not llm.writes:
        raise ModelError(
            f"{llm.name} answers by quoting and cannot write {what}: name a model that writes with --model"
        )


def first_json(text: str, schema: object = None) -> Any:  # noqa: ANN401 (a value of any shape)
    """The JSON that a text is, else the first object or list in it; None where there is none, or it is cut or malformed.

    Nothing inside of a malformed value is taken for the whole. At most `TRIES` brackets are looked at.

    Args:
        text: of a model.
        schema: a JSON Schema; where its type is object or array, nothing else is looked for in the text.
    """
    decoder = json.JSONDecoder(parse_constant=_refused)
    try:
        return decoder.decode(text.strip())
    except RecursionError:
        return None
    except ValueError:
        pass
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    brackets = {"object": r"\{", "array": r"\["}.get(str(kind), r"[\[{]")
    for start in (match.start() for match in islice(re.finditer(brackets, text), TRIES)):
        try:
            return decoder.raw_decode(text, start)[0]
        except json.JSONDecodeError as error:
            if text[start + 1 : error.pos].strip():
                return None
        except (ValueError, RecursionError):
            return None
    return None


def _refused(constant: str) -> None:
    """NaN and Infinity are no JSON."""
    raise ValueError(constant)


def leaves(value: object, truths: bool = False) -> Iterator[str]:
    """The texts and numbers in a JSON value, in order, with ``truths`` true and false too; empty texts and null are not."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from leaves(item, truths)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, truths)
    elif isinstance(value, str):
        if value.strip():
            yield value
    elif isinstance(value, (int, float)) and (truths or not isinstance(value, bool)):
        yield str(value)


def task_of(
    choices: Sequence[str] | None = None, schema: Mapping[str, Any] | str | None = None, summarise: bool = False
) -> Task:
    """The task that these describe; an answer where none is given.

    Raises:
        ConfigError: more than one is given, or one is malformed.
    """
    if (choices is not None) + (schema is not None) + summarise > 1:
        raise ConfigError("choices, schema and summarise exclude each other: ask for one of them")
    if choices is not None:
        if isinstance(choices, str):
            raise ConfigError("choices are a list of texts, not one text")
        return Choosing(tuple(choices))
    if schema is not None:
        return Extracting(schema)
    return Summarising() if summarise else Answering()

"""What a strategy is: a way to answer a question over more chunks than one prompt holds.

A strategy is a frozen dataclass: its fields are its parameters, its docstring is its reference. It implements `read`
(chunks in, draft out) and `plan` (an upper bound of what `read` spends); counting, limits and evidence are done here, so
no strategy can forget them. A new strategy is one file in this folder.
"""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

from ctxproc.answer import Answer, Quote, ground_all, normalise
from ctxproc.chunk import Chunk
from ctxproc.errors import PromptTooLongError
from ctxproc.llm.base import LLM, Generation, Sampling
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt, template
from ctxproc.trace import Noted, Trace

JOINT = "\n\n"


@dataclass(frozen=True)
class Job:
    """What a strategy is handed.

    Attributes:
        question: as the user asked it.
        chunks: the chunks to read, in document order, each small enough for every prompt of the strategy.
        llm: the model.
        relevance: of each chunk to the question, from 0 to 1 (ranked first by every searcher); empty if none searched.
        sampling: how to generate.
        min_confidence: below it a draft with a confidence is an abstention.
        require_evidence: abstain where no quote is found in the sources.
        limits: of calls and tokens of this run.
        trace: where events go.
    """

    question: str
    chunks: Sequence[Chunk]
    llm: LLM
    relevance: Sequence[float] = ()
    sampling: Sampling = field(default_factory=Sampling)
    min_confidence: float = 0.0
    require_evidence: bool = True
    limits: Limits = field(default_factory=Limits)
    trace: Trace = field(default_factory=Trace)

    @property
    def by_relevance(self) -> list[int]:
        """Places of the chunks, the most relevant first; equals in document order."""
        relevance = self.relevance or [0.0] * len(self.chunks)
        return sorted(range(len(self.chunks)), key=lambda i: -relevance[i])

    def prompt(self, step: str, contexts: Sequence[str], **values: str) -> Prompt:
        """The prompt of a template, with the question filled in."""
        return template(step).fill(contexts, {"question": self.question, **values}, JOINT)

    def generate(self, prompts: Sequence[Prompt]) -> list[Reply]:
        """What the model replies to each prompt."""
        generations = self.llm.generate(prompts, self.sampling) if prompts else []
        return [parse(generation) for generation in generations]

    def holds(self, reply: Reply) -> bool:
        """Whether a reply has an answer that is sure enough to go on with."""
        return bool(reply.answer) and (reply.confidence is None or reply.confidence >= self.min_confidence)


@dataclass(frozen=True, slots=True)
class Plan:
    """An upper bound: model calls, tokens of all prompts together, tokens generated."""

    calls: int = 0
    prompt_tokens: int = 0
    new_tokens: int = 0

    def __add__(self, other: Plan) -> Plan:
        return Plan(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.new_tokens + other.new_tokens,
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """A strategy's result before its quotes are looked for; an empty text means that nothing was found."""

    text: str = ""
    quotes: tuple[Quote, ...] = ()
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A model's words, taken apart: the answer ("" where it found none), its quote, its confidence."""

    answer: str
    quote: str
    confidence: float | None = None


NOT_FOUND = re.compile(r"\W*not[ _]found\b", re.IGNORECASE)
QUOTE_LABEL = re.compile(r"^[ \t>*-]*quote[*]*[ \t]*[:\uff1a][*]*", re.IGNORECASE | re.MULTILINE)
ANSWER_LABEL = re.compile(r"\A\W*answer\W*[:\uff1a][*]*", re.IGNORECASE)


def parse(generation: Generation) -> Reply:
    """The parts of a reply in the form that the templates ask for; forgiving, never raising.

    The form is an answer, then a line that begins with ``Quote:``. Without that line the answer itself is what is
    looked for in the source.
    """
    if generation.quote is not None or generation.confidence is not None:
        return Reply(generation.text.strip(), generation.quote or generation.text, generation.confidence)
    answer, *quotes = QUOTE_LABEL.split(generation.text)
    answer = ANSWER_LABEL.sub("", answer).strip()
    if not answer or NOT_FOUND.match(answer):
        return Reply("", "")
    quote = quotes[0].strip() if quotes else ""
    return Reply(answer, unquoted(quote) or answer)


def unquoted(text: str) -> str:
    """``text`` without the pair of quotation marks around it."""
    pairs = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb", "\u300c": "\u300d"}
    if len(text) > 1 and pairs.get(text[0]) == text[-1]:
        return text[1:-1].strip()
    return text


def clip(text: str, tokens: int, llm: LLM) -> str:
    """The longest beginning of ``text`` with at most so many tokens, cut where a token begins."""
    starts = llm.tokenizer.starts(text)
    end = len(text) if len(starts) <= tokens else starts[tokens]
    while llm.tokenizer.count(text[:end]) > tokens:
        end -= 1
    return text[:end]


def same(one: str, other: str) -> bool:
    """Whether two answers are the same but for white space, quotation marks, case and a full stop at the end."""
    return normalise(one.rstrip(". "))[0] == normalise(other.rstrip(". "))[0]


@dataclass(frozen=True)
class Strategy(ABC):
    """A way through a long context."""

    name: ClassVar[str]
    steps: ClassVar[Mapping[str, str]]
    """The templates it uses, and what each is for."""

    @abstractmethod
    def plan(self, job: Job) -> Plan:
        """An upper bound of what reading these chunks costs. Needs the tokenizer only.

        Larger chunks never cost less, so a plan over the largest chunks bounds every selection of as many.
        """

    @abstractmethod
    def read(self, job: Job) -> Draft:
        """The draft answer. Spends no more than `plan` says. An empty list of chunks gives an empty draft."""

    def room(self, llm: LLM, question: str, sampling: Sampling) -> int:
        """Tokens of context that fit every step's prompt.

        Raises:
            PromptTooLongError: not even one token fits: the question is too long for the window.
        """
        reserved = llm.reserved(sampling)
        overhead = max(self.overhead(llm, step, question, sampling) for step in self.steps)
        if overhead + reserved >= llm.context_window:
            raise PromptTooLongError(overhead, reserved, llm.context_window)
        return llm.context_window - overhead - reserved

    def overhead(self, llm: LLM, step: str, question: str, sampling: Sampling) -> int:
        """Tokens of a step's prompt around its context; a place for an earlier reply counts as a whole reply."""
        places = template(step).places
        prompt = template(step).fill([""], {**dict.fromkeys(places, ""), "question": question})
        return llm.count_tokens(prompt) + sampling.max_new_tokens * len(places - {"question"})

    def __call__(self, job: Job) -> Answer:
        """The answer, with evidence looked for in the chunks and with what was spent.

        Raises:
            LimitError: the run would exceed its limits.
            ModelError: the model failed.
        """
        began = time.monotonic()
        meter = metered(job.llm, job.limits, job.trace)
        draft = self.read(replace(job, llm=meter))
        evidence = ground_all(draft.quotes)
        supported = any(item.status != "unverified" for item in evidence)
        unsure = draft.confidence is not None and draft.confidence < job.min_confidence
        abstained = not draft.text or unsure or (job.require_evidence and not supported)
        if draft.text and abstained:
            reason = (
                f"confidence {draft.confidence:.2f} is below {job.min_confidence}" if unsure else "no quote was found"
            )
            job.trace.emit(Noted(f"abstained from {draft.text!r}: {reason}"))
        return Answer(
            text="" if abstained else draft.text,
            abstained=abstained,
            strategy=self.name,
            model=job.llm.name,
            run=job.trace.run,
            evidence=() if abstained else evidence,
            usage=meter.usage(time.monotonic() - began),
            confidence=draft.confidence,
        )

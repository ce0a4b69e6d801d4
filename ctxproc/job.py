"""What a strategy is handed, and how it speaks to the model: prompts in, replies taken apart out.

What a strategy needs of memory comes as functions, so that it can be tested with plain lists.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

from ctxproc.answer import normalise
from ctxproc.chunk import Chunk
from ctxproc.llm.base import LLM, Generation, LogLikelihood, Sampling, windowed
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt, does_task, template
from ctxproc.task import ANSWER_LABEL, NOT_FOUND, QUOTE_LABEL, UNMADE, Answering, Reply, Task
from ctxproc.text import words
from ctxproc.trace import Kept, Streamed, Trace

if TYPE_CHECKING:
    from ctxproc.llm.merging import Merge

JOINT = "\n\n"


class Found(NamedTuple):
    """A chunk that a search found, and its relevance from 0 to 1 (ranked first by every searcher)."""

    chunk: Chunk
    score: float


Retriever = Callable[[str, int], Sequence[Found]]
"""Given a query and how many: the most relevant chunks of all sources, best first."""

Similarity = Callable[[str, Sequence[Chunk]], Sequence[float]]
"""Given a query and chunks: how similar each is to it, comparable between queries; in [-1, 1] for cosines."""


class Voice:
    """Passes the text of the answer on as it comes.

    Args:
        trace: where `Streamed` events go.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self.said = ""

    def say(self, text: str) -> None:
        """Pass on so much more."""
        if text:
            self.said += text
            self._trace.emit(Streamed(text))

    def finish(self, text: str) -> None:
        """Pass on what is missing of the whole answer."""
        if text.startswith(self.said):
            self.say(text[len(self.said) :])


@dataclass(frozen=True)
class Job:
    """What a strategy is handed.

    Attributes:
        question: as the user asked it.
        chunks: the chunks to read, in document order, each small enough for every prompt of the strategy.
        llm: the model.
        task: what is asked for.
        relevance: of each chunk to the question, from 0 to 1 (ranked first by every searcher); empty if none searched.
        retriever: searches all sources; None ranks ``chunks`` by shared words.
        similarity: compares a query with chunks; None takes the share of the query's words.
        sampling: how to generate.
        min_confidence: below it a draft with a confidence is an abstention.
        require_evidence: abstain where no quote is found in the sources.
        limits: of calls and tokens of this run.
        trace: where events go.
        voice: where the answer's text goes as it comes; None: nobody listens.
    """

    question: str
    chunks: Sequence[Chunk]
    llm: LLM
    task: Task = field(default_factory=Answering)
    relevance: Sequence[float] = ()
    retriever: Retriever | None = None
    similarity: Similarity | None = None
    sampling: Sampling = field(default_factory=Sampling)
    min_confidence: float = 0.0
    require_evidence: bool = True
    limits: Limits = field(default_factory=Limits)
    trace: Trace = field(default_factory=Trace)
    voice: Voice | None = None

    @property
    def by_relevance(self) -> list[int]:
        """Places of the chunks, the most relevant first; equals in document order."""
        relevance = self.relevance or [0.0] * len(self.chunks)
        return sorted(range(len(self.chunks)), key=lambda i: -relevance[i])

    def of(self, places: Sequence[int]) -> Job:
        """The job with only the chunks at these places, in document order."""
        places = sorted(places)
        relevance = [self.relevance[i] for i in places] if self.relevance else ()
        return replace(self, chunks=[self.chunks[i] for i in places], relevance=relevance)

    def over(self, found: Sequence[Found]) -> Job:
        """The job over chunks that a search found, in document order."""
        order = {id(chunk.document): i for i, chunk in reversed(list(enumerate(self.chunks)))}
        ranked = sorted(found, key=lambda f: (order.get(id(f.chunk.document), len(order)), f.chunk.start))
        return replace(self, chunks=[f.chunk for f in ranked], relevance=[f.score for f in ranked])

    def keep(self, what: str, found: Sequence[Found]) -> None:
        """Tell the trace which chunks were kept, and by what."""
        places = tuple((f.chunk.document.source, f.chunk.start, f.chunk.end, f.score) for f in found)
        self.trace.emit(Kept(what, places))

    def retrieve(self, query: str, k: int) -> list[Found]:
        """At most ``k`` chunks of all sources for a query, the most relevant first; equals in document order."""
        if self.retriever is not None:
            return list(self.retriever(query, k))
        shares = self.similar(query, self.chunks)
        order = sorted(range(len(self.chunks)), key=lambda i: -shares[i])
        return [Found(self.chunks[i], shares[i]) for i in order[:k]]

    def similar(self, query: str, chunks: Sequence[Chunk]) -> list[float]:
        """How similar each chunk is to a query."""
        if self.similarity is not None:
            return list(self.similarity(query, chunks))
        wanted = set(words(query, query=True))
        return [len(wanted & set(words(chunk.text))) / max(1, len(wanted)) for chunk in chunks]

    def prompt(self, step: str, contexts: Sequence[str], **values: str) -> Prompt:
        """The prompt of a template, with the question and what the task brings filled in."""
        filled = {"question": self.question, **self.task.values, **values}
        return template(step, self.task.name).fill(contexts, filled, JOINT)

    def parse(self, step: str, generation: Generation) -> Reply:
        """A reply to a step, taken apart: by the task where the step does it, and otherwise as a note with a quote."""
        return (self.task if does_task(step, self.task.name) or self.task.whole else Answering()).parse(generation)

    def sampling_of(self, step: str) -> Sampling:
        """How to generate the reply to a step: with the task's constraint where the step does the task."""
        constraint = self.task.constraint if does_task(step, self.task.name) else None
        return replace(self.sampling, constraint=constraint) if constraint else self.sampling

    def generate(self, prompts: Sequence[Prompt], first: Sequence[int] = ()) -> list[Reply]:
        """What the model replies to each prompt; all are of one step.

        Prompts beyond the limits of the run are not sent: their replies are empty, as if nothing had been found.

        Args:
            prompts: any number.
            first: their places in the order in which limits spare them; default: as they stand.
        """
        order = list(first) or list(range(len(prompts)))
        if not prompts:
            return []
        sampling = self.sampling_of(prompts[0].step)
        sent = sorted(order[: self.llm.affords([prompts[i] for i in order], self.llm.reserved(sampling))])
        generations = self.llm.generate([prompts[i] for i in sent], sampling) if sent else []
        replies = [UNMADE] * len(prompts)
        for i, generation in zip(sent, generations, strict=True):
            replies[i] = self.parse(prompts[i].step, generation)
        return replies

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """The log-likelihood of each continuation; not a number for those that the limits forbid."""
        reserved = max(map(self.llm.tokenizer.count, continuations), default=0)
        sent = self.llm.affords(prompts, reserved)
        scores = self.llm.score(prompts[:sent], continuations[:sent]) if sent else []
        return scores + [LogLikelihood(math.nan, 0)] * (len(prompts) - sent)

    def finish(self, prompt: Prompt) -> Reply:
        """What the model replies to the prompt whose reply is the answer; passed on as it comes."""
        if self.voice is None or not self.llm.affords([prompt], self.llm.reserved(self.sampling)):
            return self.generate([prompt])[0]
        words = Words(self.voice, self.task)
        stream = self.llm.stream(prompt, self.sampling_of(prompt.step))
        while True:
            try:
                words.hear(next(stream))
            except StopIteration as end:
                return self.parse(prompt.step, end.value)

    def decode_windows(self, prompts: Sequence[Prompt], merge: Merge, final: bool = True) -> tuple[Reply, Generation]:
        """One reply from several prompts, whose logits are merged, and how it came about.

        Args:
            prompts: the windows; of one step.
            merge: makes their logits into one.
            final: the reply is the answer, and may be passed on as it comes.
        """
        sampling = self.sampling_of(prompts[0].step)
        share = -(-self.llm.reserved(sampling) // len(prompts))
        if self.llm.affords(prompts, share) < len(prompts):
            return UNMADE, Generation("", 0, 0)
        made = windowed(self.llm, "merging windows").decode_windows(prompts, merge, sampling, self._tell(final))
        return self.parse(prompts[0].step, made), made

    def decode_parallel(self, prompt: Prompt, indent: Literal["left", "right"] = "left", final: bool = True) -> Reply:
        """The reply to a prompt whose contexts stand side by side."""
        sampling = self.sampling_of(prompt.step)
        if not self.llm.affords([prompt], self.llm.reserved(sampling)):
            return UNMADE
        model = windowed(self.llm, "parallel context windows")
        return self.parse(prompt.step, model.decode_parallel(prompt, sampling, self._tell(final), indent))

    def _tell(self, final: bool) -> Callable[[str], None] | None:
        return Words(self.voice, self.task).hear if self.voice and final else None

    def holds(self, reply: Reply) -> bool:
        """Whether a reply has an answer that is sure enough to go on with."""
        return bool(reply.answer) and (reply.confidence is None or reply.confidence >= self.min_confidence)


class Words:
    """Hears a reply piece by piece and passes on what is surely part of the answer: no label, no quote, no "not found".

    Args:
        voice: where it goes.
        task: by which the whole reply will be taken apart; only an answer in words is passed on before its end.
    """

    def __init__(self, voice: Voice, task: Task) -> None:
        self._voice = voice
        self._heard = "" if isinstance(task, Answering) else None

    def hear(self, piece: str) -> None:
        """One more piece."""
        if self._heard is None:
            return
        self._heard += piece
        sure = certain(self._heard)
        if sure.startswith(self._voice.said):
            self._voice.say(sure[len(self._voice.said) :])


HELD = 24
"""Characters at the beginning of a reply that may turn out to be a label or "not found"."""

QUOTE_BEGUN = re.compile(r"[ \t>*-]*(?:q(?:u(?:o(?:t(?:e[*]*[ \t]*)?)?)?)?)?", re.IGNORECASE)


def certain(heard: str) -> str:
    """The beginning of the answer that stands, however the reply goes on."""
    answer, *quotes = QUOTE_LABEL.split(heard)
    body = ANSWER_LABEL.sub("", answer).lstrip()
    if len(re.sub(r"\A\W+", "", answer)) < HELD or NOT_FOUND.match(body):
        return ""
    settled, _, last = body.rpartition("\n")
    if not quotes and QUOTE_BEGUN.fullmatch(last):
        return settled.rstrip()
    return body.rstrip()


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

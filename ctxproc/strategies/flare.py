"""Retrieve where the next sentence is unsure (FLARE: Jiang et al. 2023, "Active Retrieval Augmented Generation", section 3).

What is repaired here, against the official code: a look-ahead that leads to no new chunk is used and not generated again,
with all that follows its first sentence, so that a sure reply costs one call and is what plain generation gives; a query of
which nothing is left is the question and not empty; ``theta`` is the paper's (1 always retrieves, 0 never; the code's 0
stands for always). A blank line does not end the reply, since a quote may stand behind it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, dropwhile, pairwise
from typing import ClassVar, NamedTuple

from ctxproc.answer import normalise
from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Job, Words
from ctxproc.llm.base import LLM, Generation, Sampling
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.strategies.stuff import Stuff, fitting
from ctxproc.task import NOT_FOUND, Answering, Task
from ctxproc.text import sentences, words
from ctxproc.trace import Noted

GO_ON = "flare.go_on"
END = re.compile(r"\W*END\W*")
SHORTEST = 5
"""Characters of the shortest sentence, as in the source; a shorter one counts to the next."""


@dataclass(frozen=True)
class Flare(Strategy):
    """Looks a few sentences ahead; where the model is unsure of one, retrieves with it and writes it again.

    Good for long replies, whose later sentences need other passages than the question finds; a model that is sure of
    everything never retrieves. It reads the chunks that were selected until a retrieval finds others, which replace them.
    The first sentence written after that stands, as does one for which nothing new is found. It searches all sources, also
    where a selection was made before it. A reply under a constraint is one sentence, and so is that of a model which gives
    a confidence: it stands for every token. Of a model that tells neither, every sentence is unsure and none is masked.

    Attributes:
        theta: a sentence is unsure if a token's probability is at most this; 0 never retrieves, 1 for every sentence.
        mask: tokens whose probability is at most this are left out of the query, which is the sentence; 0 keeps all.
        k: chunks for each retrieval; 2 in the source.
        ahead: tokens of a look-ahead.
        rounds: model calls at most; what the last one gives stands.
    """

    theta: float = 0.8
    mask: float = 0.4
    k: int = 2
    ahead: int = 64
    rounds: int = 8

    name: ClassVar[str] = "flare"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "do the task over the chunks at hand",
        GO_ON: "go on with what is written",
    }

    def __post_init__(self) -> None:
        if not (0 <= self.theta <= 1 and 0 <= self.mask <= 1):
            raise ConfigError("flare: theta and mask are probabilities, from 0 to 1")
        if min(self.k, self.ahead, self.rounds) < 1:
            raise ConfigError("flare: k, ahead and rounds must be 1 or more")

    def room(self, llm: LLM, question: str, sampling: Sampling, task: Task | None = None) -> int:
        """As any strategy's; a reply that is one sentence is never gone on with, so the prompt for that does not count."""
        if one_sentence(llm, task or Answering()):
            return Stuff().room(llm, question, sampling, task)
        return super().room(llm, question, sampling, task)

    def plan(self, job: Job) -> Plan:
        """As if every call had the largest chunks before it and all of the reply behind it."""
        if not job.chunks:
            return Plan()
        joint = job.llm.tokenizer.count(JOINT)
        selected = sum(chunk.tokens + joint for chunk in job.chunks)
        fetched = self.k * (max(chunk.tokens for chunk in job.chunks) + joint)
        context = min(self.room_of(job), max(selected, fetched))
        steps = (ANSWER,) if one_sentence(job.llm, job.task) else (ANSWER, GO_ON)
        return (
            max((self.one_call(job, step, context) for step in steps), key=lambda plan: plan.prompt_tokens)
            * self.rounds
        )

    def read(self, job: Job) -> Draft:
        """The reply, sentence by sentence; what it has where limits end it."""
        if not job.chunks:
            return Draft()
        text, stands, tell = Text(job, self.fitted(job)), False, job.trace.progress("read")
        for left in reversed(range(self.rounds)):
            tell(self.rounds - left - 1, self.rounds)
            ahead = text.look_ahead(self.ahead, last=not left)
            found: list[Chunk] = []
            for number, sentence in enumerate(ahead):
                found = self.fetch(text, sentence) if left and not stands else []
                if found:
                    text.turn(found, ahead[number:])
                    break
                text.write(sentence.text)
                stands = False
            stands = bool(found)
            if text.over and not found:
                break
        tell(self.rounds, self.rounds)
        return text.draft()

    def fitted(self, job: Job) -> list[Chunk]:
        """The most relevant chunks of a job that fit one prompt, in document order."""
        return [job.chunks[i] for i in fitting(job, job.by_relevance, self.room_of(job))]

    def fetch(self, text: Text, sentence: Sentence) -> list[Chunk]:
        """The chunks that a sentence finds, if it is unsure and they are not all at hand; else none."""
        if not sentence.unsure(self.theta):
            return []
        query = sentence.query(self.mask) or text.job.question
        found = text.job.retrieve(query, self.k)
        text.job.keep(f"unsure of {sentence.text.strip()!r}: {query}", found)
        chunks = self.fitted(text.job.over(found))
        held = {id(chunk) for chunk in text.chunks}
        return [] if all(id(chunk) in held for chunk in chunks) else chunks


class Sentence(NamedTuple):
    """A piece of a look-ahead: its text, and (text, probability) of its tokens; not a number where the model tells none."""

    text: str
    tokens: tuple[tuple[str, float], ...]

    def unsure(self, theta: float) -> bool:
        """Whether a probability is at most ``theta`` or unknown; never for 0."""
        return theta > 0 and not all(p > theta for _, p in self.tokens)

    def query(self, mask: float) -> str:
        """Its words without the tokens of at most this probability; "" where no word is left, or it says "not found"."""
        query = " ".join("".join(" " if p <= mask else text for text, p in self.tokens).split())
        return query if words(query) and not NOT_FOUND.match(self.text) else ""


@dataclass
class Text:
    """A reply while it is written.

    Attributes:
        job: what it is for.
        chunks: those at hand.
        written: what stands.
        over: nothing comes after the last look-ahead.
        rest: of the look-ahead that is to be written again.
        made: the last look-ahead, as the model gave it.
        dropped: replies as they would have been without a retrieval.
        read: all chunks that were at hand.
    """

    job: Job
    chunks: Sequence[Chunk]
    written: str = ""
    over: bool = False
    rest: str = ""
    made: Generation = field(default_factory=lambda: Generation("", 0, 0))
    dropped: list[Generation] = field(default_factory=list)
    read: list[Chunk] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.read = list(self.chunks)
        self.whole = one_sentence(self.job.llm, self.job.task)
        self._words = Words(self.job.voice, self.job.task) if self.job.voice and not self.whole else None

    def look_ahead(self, tokens: int, last: bool) -> list[Sentence]:
        """How the reply goes on, in sentences; one that ``tokens`` cut is left to the next call, unless this is the last.

        Where limits forbid the call, what was to be written again stands.
        """
        job, step = self.job, GO_ON if self.written else ANSWER
        left = job.sampling.max_new_tokens - job.llm.tokenizer.count(self.written)
        limit = left if self.whole else min(tokens, left)
        sampling = replace(job.sampling_of(step), max_new_tokens=limit, logprobs=True)
        prompt = job.prompt(step, [chunk.text for chunk in self.chunks], written=self.written)
        self.over = limit < 1 or not job.llm.affords([prompt], job.llm.reserved(sampling))
        if self.over:
            return [Sentence(self.rest, ())]
        [self.made], self.rest = job.llm.generate([prompt], sampling), ""
        pieces = cut(self.made, whole=self.whole)
        self.over = self.made.finish == "stop" or limit == left
        if len(pieces) > 1 and not self.over and not last:
            pieces.pop()
        if self.written:
            pieces = self.new(pieces)
        self.over |= not pieces
        return pieces

    def new(self, pieces: Sequence[Sentence]) -> list[Sentence]:
        """The pieces behind those that are written already, up to one that says that nothing follows."""
        written = {folded(piece) for piece in cut(Generation(self.written, 0, 0))}
        ended = next((i for i, piece in enumerate(pieces) if END.fullmatch(piece.text)), len(pieces))
        self.over |= ended < len(pieces)
        new = list(dropwhile(lambda piece: folded(piece) in written, pieces[:ended]))
        before = self.written[-1]
        if new and before in ".,:;!?\"')]" and new[0].text[0].isalnum():
            new[0] = new[0]._replace(text=f" {new[0].text}")
        return new

    def write(self, text: str) -> None:
        """Let so much more stand."""
        self.written += text
        if self._words:
            self._words.hear(text)

    def turn(self, chunks: Sequence[Chunk], ahead: Sequence[Sentence]) -> None:
        """Go on over other chunks; what was looked ahead is to be written again."""
        self.rest = "".join(sentence.text for sentence in ahead)
        self.dropped.append(replace(self.made, text=self.written + self.rest))
        self.chunks = chunks
        self.read += [chunk for chunk in chunks if all(chunk is not other for other in self.read)]

    def draft(self) -> Draft:
        """What stands; where that says nothing, or a confidence is less, what was dropped."""
        if self.made.text and not self.made.tokens and self.made.confidence is None:
            self.job.trace.emit(
                Noted(f"{self.job.llm.name} tells no probabilities: every sentence is taken for unsure")
            )
        made = [*self.dropped, replace(self.made, text=self.written)]
        replies = [self.job.parse(ANSWER, one) for one in made]
        best = max(enumerate(replies), key=lambda item: (bool(item[1].answer), item[1].confidence or 0.0, item[0]))[1]
        return drafted(self.job, best, self.read) if best.answer else Draft()


def one_sentence(llm: LLM, task: Task) -> bool:
    """Whether a reply is looked at as a whole: a reader's, or one under a constraint."""
    return llm.gives_confidence or task.constraint is not None


def cut(made: Generation, whole: bool = False) -> list[Sentence]:
    """A text in sentences, none of them shorter than `SHORTEST`, or as one; joined they are the text.

    Where the model tells no probabilities, its confidence, or not a number, stands for each sentence. Tokens without a
    text, such as the one that ends the reply, are left out.
    """
    places = [0]
    for start, _ in [] if whole else sentences(made.text)[1:]:
        if start - places[-1] >= SHORTEST:
            places.append(start)
    tokens = [(token.text, math.exp(token.logprob)) for token in made.tokens]
    ends = list(accumulate(len(text) for text, _ in tokens))
    found = []
    for a, b in pairwise([*places, len(made.text)]):
        own = [token for token, end in zip(tokens, ends, strict=True) if token[0] and a < end <= b]
        unknown = math.nan if made.confidence is None else made.confidence
        found.append(Sentence(made.text[a:b], tuple(own or [(made.text[a:b], unknown)])))
    return [sentence for sentence in found if sentence.text.strip()]


def folded(sentence: Sentence) -> str:
    """By which a sentence is known again."""
    return normalise(sentence.text.strip())[0]

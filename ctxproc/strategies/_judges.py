"""Judges of MemRecall: how much each chunk matters to a question, given chunks that were kept before.

A judge is made for one run, so what it computes once is kept no longer. Scores of one call may be compared with each
other; scores of two judges may not.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from ctxproc.catalogue import Spec, split
from ctxproc.errors import ConfigError, ModelError, UnknownNameError
from ctxproc.job import JOINT, Job, clip
from ctxproc.llm.cross_encoder import relevances
from ctxproc.measures import gain, per_token
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import ANSWER, Plan
from ctxproc.strategies.stuff import fitting
from ctxproc.text import words

QUESTION = "memrecall.question"
RAISED, LOWERED = 0.2, -0.05
"""Of an intervention: from which loss of log-likelihood on a chunk is relevant, and below which it harms."""


@dataclass
class Judge(ABC):
    """Scores chunks of a job.

    Attributes:
        job: whose chunks are meant by their places.
        room: tokens of context in one prompt.
    """

    job: Job
    room: int

    name: ClassVar[str]
    fine_only: ClassVar[bool] = False

    def check(self) -> None:
        """Ask before the first call whether this judge can be had.

        Raises:
            ModelError: it cannot; says what to do instead.
        """
        return

    def plan(self, number: int) -> Plan:
        """An upper bound of what it spends on so many chunks; nothing where it needs no language model."""
        return Plan()

    @abstractmethod
    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """How much each chunk of ``asked`` matters, given the question and the chunks ``kept`` (itself left out).

        Not a number, for a chunk that the limits of the run keep from being judged.
        """

    @property
    def context(self) -> int:
        """An upper bound of the tokens of context in one prompt: of all chunks, and of what fits."""
        joint = self.job.llm.tokenizer.count(JOINT)
        return min(self.room, sum(chunk.tokens + joint for chunk in self.job.chunks))

    def beside(self, place: int, kept: Sequence[int]) -> tuple[int, ...]:
        """A chunk and as many of the kept ones, in their order, as one prompt holds; in document order."""
        return tuple(fitting(self.job, [place, *(z for z in kept if z != place)], self.room))

    def prompt(self, step: str, places: Sequence[int]) -> Prompt:
        """The prompt of a step over these chunks."""
        return self.job.prompt(step, [self.job.chunks[i].text for i in sorted(places)])


@dataclass
class Embedding(Judge):
    """What a chunk has in common with the question and with the kept chunks: no call of the language model.

    ``near(x)`` is the similarity of the chunk to the text x (a cosine where sentences are embedded) plus ``names`` times
    the cosine of their words, each weighed by log(chunks / chunks that hold it), divided by the largest of them all. The
    score is ``near(question)``, and with kept chunks ``own * near(question) + (1 - own) * max over kept z of
    near(question and z)`` but for itself, in which the words are those of z that the question lacks: they lead further.

    Attributes:
        own: share of the question by itself, from 0 to 1.
        names: weight of shared rare words.
    """

    own: float = 0.3
    names: float = 0.5

    name: ClassVar[str] = "embedding"

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """As the class says."""
        question = set(words(self.job.question, query=True))
        alone = self._near(self.job.question, question, asked, None)
        if not kept:
            return alone
        led = {
            z: self._near(f"{self.job.question} {self.job.chunks[z].text}", self._words[z] - question, asked, z)
            for z in kept
        }
        best = [max((row[k] for z, row in led.items() if z != i), default=alone[k]) for k, i in enumerate(asked)]
        return [self.own * x + (1 - self.own) * y for x, y in zip(alone, best, strict=True)]

    def _near(self, text: str, terms: set[str], asked: Sequence[int], source: int | None) -> list[float]:
        """Similarity to a text, and words shared with its terms; they are not counted in the chunk that they come from."""
        norm = self._norm(terms)
        shared = [0.0 if i == source else self._shared(terms, i) / (norm or 1) for i in asked]
        most = max(shared, default=0.0) or 1.0
        similar = self.job.similar(text, [self.job.chunks[i] for i in asked])
        return [x + self.names * y / most for x, y in zip(similar, shared, strict=True)]

    def _shared(self, terms: set[str], place: int) -> float:
        """The cosine of two sets of words, each word weighed, times the length of the first; 0 where none weighs."""
        common = sum(self._weight[word] ** 2 for word in terms & self._words[place])
        return common / self._norms[place] if common else 0.0

    def _norm(self, terms: set[str]) -> float:
        return math.sqrt(sum(self._weight[word] ** 2 for word in terms if word in self._weight))

    @cached_property
    def _words(self) -> list[set[str]]:
        return [set(words(chunk.text)) for chunk in self.job.chunks]

    @cached_property
    def _weight(self) -> dict[str, float]:
        holding = Counter(word for held in self._words for word in held)
        return {word: math.log(len(self._words) / n) for word, n in holding.items()}

    @cached_property
    def _norms(self) -> list[float]:
        return [self._norm(held) for held in self._words]


@dataclass
class CrossEncoder(Judge):
    """A cross-encoder reads question and kept chunks together with each chunk; the built-in one is trained for that.

    It reads the best chunks by the judge "embedding"; those have the score ``share * p + (1 - share) * e`` of what the two
    judges say, the others scores below -1 in the order of e.

    Attributes:
        model: "" for the built-in judge, or a folder or hub name of a sentence-transformers CrossEncoder.
        first: how many chunks it reads at most; 0 for all.
        share: its part of the score, from 0 to 1.
    """

    model: str = ""
    first: int = 20
    share: float = 0.5

    name: ClassVar[str] = "cross_encoder"

    def __post_init__(self) -> None:
        if self.first < 0 or not 0 <= self.share <= 1:
            raise ConfigError(
                f"judge cross_encoder: first is at least 0 and share from 0 to 1, not {self.first}, {self.share}"
            )

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """As the class says."""
        near = self._near.scores(kept, asked) if self.share < 1 or 0 < self.first < len(asked) else [0.0] * len(asked)
        order = sorted(range(len(asked)), key=lambda k: -near[k])
        found = {k: -1.0 - rank for rank, k in enumerate(order, 1)}
        together: dict[tuple[int, ...], list[int]] = {}
        for k in order[: self.first or None]:
            together.setdefault(tuple(z for z in kept if z != asked[k]), []).append(k)
        for before, some in together.items():
            texts = [[self.job.chunks[z].text for z in places] for places in (before, [asked[k] for k in some])]
            read = relevances(self.model, self.job.question, *texts)
            found |= {k: self.share * p + (1 - self.share) * near[k] for k, p in zip(some, read, strict=True)}
        return [found[k] for k in range(len(asked))]

    @cached_property
    def _near(self) -> Embedding:
        return Embedding(self.job, self.room)


@dataclass
class Reader(Judge):
    """The confidence of a model that gives one, when it reads the kept chunks and the chunk."""

    name: ClassVar[str] = "reader"

    def check(self) -> None:
        """The model must give confidences."""
        if not self.job.llm.gives_confidence:
            raise ModelError(f"judge reader needs a model with a confidence, and {self.job.llm.name} gives none")

    def plan(self, number: int) -> Plan:
        """A call each."""
        return asking(self.job, self.context) * number

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """Confidences; 0 for a chunk without an answer."""
        prompts = [self.prompt(ANSWER, self.beside(i, kept)) for i in asked]
        return [(reply.confidence or 0.0) if reply.made else math.nan for reply in self.job.generate(prompts)]


@dataclass
class Likelihood(Judge):
    """How much likelier the question becomes: log p(question | kept, chunk) - log p(question | kept), mean per token."""

    name: ClassVar[str] = "likelihood"

    def check(self) -> None:
        """The model must give log-likelihoods of texts that it did not write."""
        self.job.llm.check_scores()
        if not self.job.llm.writes:
            raise ModelError(f"judge likelihood needs a model that writes, and {self.job.llm.name} answers by quoting")

    def plan(self, number: int) -> Plan:
        """Two scores each: with the chunk and without."""
        return scoring(self.job, QUESTION, self.context, self._asked) * (2 * number)

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """The gains; a context that serves several chunks is scored once."""
        having = [self.beside(i, kept) for i in asked]
        lacking = [tuple(z for z in places if z != i) for i, places in zip(asked, having, strict=True)]
        different = list(dict.fromkeys([*having, *lacking]))
        found = self.job.score([self.prompt(QUESTION, places) for places in different], [self._asked] * len(different))
        mean = {places: per_token(score) for places, score in zip(different, found, strict=True)}
        return [gain(mean[more], mean[less]) for more, less in zip(having, lacking, strict=True)]

    @property
    def _asked(self) -> str:
        return f" {self.job.question}"


@dataclass
class Intervention(Judge):
    """How much less likely a draft answer becomes without the chunk (CogLTX's own signal of relevance, section 3.3).

    The draft is made from all chunks that are asked about. A chunk without which it loses 0.2 nats per token or more is
    relevant (1), one without which it gains more than 0.05 harms (-1), every other scores 0. Without a draft all do.
    """

    name: ClassVar[str] = "intervention"
    fine_only: ClassVar[bool] = True

    def check(self) -> None:
        """The model must give log-likelihoods."""
        self.job.llm.check_scores()

    def plan(self, number: int) -> Plan:
        """The draft, and its likelihood with all chunks and without each."""
        scored = scoring(self.job, ANSWER, self.context, "") + Plan(prompt_tokens=self.job.sampling.max_new_tokens)
        return asking(self.job, self.context) + scored * (number + 1)

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """1, 0 or -1; 0 for chunks that do not fit the prompt together with those before them."""
        places = fitting(self.job, asked, self.room)
        [draft] = self.job.generate([self.prompt(ANSWER, places)])
        answer = clip(draft.answer, self.job.sampling.max_new_tokens, self.job.llm)
        if not answer:
            return [0.0] * len(asked)
        contexts = [places, *([z for z in places if z != i] for i in places)]
        scores = self.job.score([self.prompt(ANSWER, context) for context in contexts], [answer] * len(contexts))
        whole, *without = [per_token(score) for score in scores]
        lost = {i: gain(whole, less) for i, less in zip(places, without, strict=True)}
        return [relevance(lost.get(i, 0.0)) for i in asked]


def relevance(lost: float) -> float:
    """What a loss of log-likelihood per token says of the chunk that was left out; 0 where it was not measured."""
    if math.isnan(lost):
        return 0.0
    return 1.0 if lost >= RAISED else -1.0 if lost <= LOWERED else 0.0


def asking(job: Job, context: int) -> Plan:
    """The plan of one reply to so many tokens of context."""
    return Plan(1, job.llm.count_tokens(job.prompt(ANSWER, [])) + context, job.llm.reserved(job.sampling))


def scoring(job: Job, step: str, context: int, continuation: str) -> Plan:
    """The plan of one log-likelihood behind so many tokens of context."""
    tokens = job.llm.count_tokens(job.prompt(step, [])) + job.llm.tokenizer.count(continuation)
    return Plan(1, tokens + context)


JUDGES: Mapping[str, type[Judge]] = {
    made.name: made for made in (Embedding, CrossEncoder, Reader, Likelihood, Intervention)
}


def judge(spec: Spec, job: Job, room: int) -> Judge:
    """The judge that a spec names, for one run.

    Raises:
        UnknownNameError: there is none of that name.
        ConfigError: the spec has another form, or a parameter is unknown.
    """
    name, parameters = split("judge", spec)
    if name not in JUDGES:
        raise UnknownNameError("judge", name, sorted(JUDGES))
    try:
        return JUDGES[name](job, room, **parameters)
    except TypeError as error:
        raise ConfigError(f"judge {name}: {error}") from error

"""Every chunk is asked on its own; the answer with the best score wins (LangChain's "map_rerank").

Repaired here: LangChain reads the score out of the model's prose and fails where it is missing or in another form. Here it
is the confidence of a model that has one; else the log-likelihood of "yes" against "no" when the model is asked whether the
passage supports the answer; else a number that the model can give in one form only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from typing import ClassVar, Literal

from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError, ModelError
from ctxproc.job import Job, clip, same
from ctxproc.llm.base import LLM
from ctxproc.llm.constraint import Constraint
from ctxproc.prompt import Prompt
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy
from ctxproc.task import Reply
from ctxproc.trace import Noted

JUDGE = "map_rerank.judge"
NUMBER = "map_rerank.number"
VERDICTS = (" yes", " no")
FROM_0_TO_100 = Constraint(json_schema={"type": "integer", "minimum": 0, "maximum": 100})
"""A whole number; as a schema, since that is the constraint that servers know too."""
NUMBER_TOKENS = 8

Found = tuple[Chunk, Reply]
"""A chunk and what the model answered to it."""


@dataclass(frozen=True)
class MapRerank(Strategy):
    """One call per chunk; the most confident answer wins, the earliest of equals.

    Good for facts that stand in one place; cheap, parallel, and each answer names its own chunk. It cannot combine two
    chunks. A model without a confidence is asked again about every answer; a number that it gives is no probability, and
    what ``answer.min_confidence`` then means depends on the model. Answers that the limits of the run forbid to ask about
    have no confidence: they come after all others, the most relevant first.

    Attributes:
        prior: weight of what the search thought of a chunk, in log-odds per unit of its relevance, which runs from 0 to
            1 (first in every ranking): ``log-odds of the model + prior * (relevance - neutral)``. 0 leaves it out. It
            plays no part where nothing was searched.
        neutral: the relevance that changes nothing; with it scores stay calibrated.
        score: of a model without a confidence. "likelihood": p(yes) / p(yes or no) to the question whether the chunk
            supports the answer, two calls. "number": a number from 0 to 100 that it gives, divided by 100, one call; a
            reply without a number counts 0. "auto": the likelihood, and the number where the model gives none, as most
            servers do not.
    """

    prior: float = 5.0
    neutral: float = 0.75
    score: Literal["auto", "likelihood", "number"] = "auto"

    name: ClassVar[str] = "map_rerank"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "do the task over one chunk",
        JUDGE: "is that answer supported by the chunk: yes or no",
        NUMBER: "how well it is supported, in a number, where there are no likelihoods",
    }

    def __post_init__(self) -> None:
        if self.score not in ("auto", "likelihood", "number"):
            raise ConfigError(f"map_rerank: score is auto, likelihood or number, not {self.score!r}")

    def plan(self, job: Job) -> Plan:
        """Per chunk: one call to answer it, and the dearest way to judge it where the model gives no confidence."""
        n, chunks = len(job.chunks), sum(chunk.tokens for chunk in job.chunks)
        answers = self.one_call(job, ANSWER, 0) * n + Plan(prompt_tokens=chunks)
        if job.llm.gives_confidence:
            return answers
        ways = []
        if self.score != "number":
            judge = self.one_call(job, JUDGE, 0).prompt_tokens
            verdicts = sum(map(job.llm.tokenizer.count, VERDICTS))
            ways.append(Plan(2 * n, 2 * (n * judge + chunks) + n * verdicts))
        if self.score != "likelihood":
            number = self.one_call(job, NUMBER, 0).prompt_tokens
            ways.append(Plan(n, n * number + chunks, n * job.llm.reserved(numbering(job).sampling)))
        dearest = (max(way[i] for way in map(astuple, ways)) for i in range(3))
        return answers + Plan(*dearest)

    def check(self, job: Job) -> None:
        """A model without a confidence must give log-likelihoods where these are asked for."""
        if self.score == "likelihood" and not job.llm.gives_confidence:
            job.llm.check_scores()

    def read(self, job: Job) -> Draft:
        """The winner's answer; evidence from every chunk that gave the same one."""
        prompts = [job.prompt(ANSWER, [chunk.text]) for chunk in job.chunks]
        replies = job.generate(prompts, first=job.by_relevance)
        places = [i for i, reply in enumerate(replies) if reply.answer]
        if not places:
            return Draft()
        found = [(job.chunks[i], replies[i]) for i in places]
        scores = self.judge(job, found)
        if job.relevance:
            scores = [self.weighed(score, job.relevance[i]) for i, score in zip(places, scores, strict=True)]
        relevance = [job.relevance[i] if job.relevance else 1.0 for i in places]
        ranks = [other if score is None else score for score, other in zip(scores, relevance, strict=True)]
        best = max(range(len(found)), key=lambda i: (scores[i] is not None, ranks[i]))
        answer = found[best][1].answer
        quotes = tuple(
            quote
            for (chunk, reply), rank in zip(found, ranks, strict=True)
            if same(reply.answer, answer)
            for quote in job.task.quotes(job.question, reply, (chunk,), rank)
        )
        return Draft(answer, quotes, scores[best])

    def judge(self, job: Job, found: Sequence[Found]) -> list[float | None]:
        """How sure it is that each answer is supported by its chunk, in [0, 1]: the model's own confidence, or a verdict.

        None where the limits forbid to ask for one.
        """
        unsure = [item for item in found if item[1].confidence is None]
        if not unsure:
            return [reply.confidence for _, reply in found]
        by_score = self.score == "likelihood" or (self.score == "auto" and gives_scores(job.llm))
        if self.score == "auto" and not by_score:
            job.trace.emit(Noted(f"{job.llm.name} gives no likelihoods: it is asked for a number from 0 to 100"))
        verdicts = iter(by_likelihood(job, unsure) if by_score else by_number(job, unsure))
        return [next(verdicts) if reply.confidence is None else reply.confidence for _, reply in found]

    def weighed(self, score: float | None, relevance: float) -> float | None:
        """An answer's probability, where it has one, moved by the relevance of its chunk."""
        if score is None:
            return None
        return sigmoid(logit(score) + self.prior * (relevance - self.neutral))


def judged(job: Job, step: str, found: Found) -> Prompt:
    """The prompt that asks about an answer and its chunk."""
    chunk, reply = found
    return job.prompt(step, [chunk.text], answer=clip(reply.answer, job.sampling.max_new_tokens, job.llm))


def by_likelihood(job: Job, found: Sequence[Found]) -> list[float | None]:
    """p(yes) / p(yes or no) to each answer; None where a limit forbids to ask."""
    prompts = [judged(job, JUDGE, item) for item in found for _ in VERDICTS]
    verdicts = job.score(prompts, VERDICTS * len(found))
    pairs = zip(verdicts[::2], verdicts[1::2], strict=True)
    # The second of a pair is asked for last: where a limit forbids the first, it forbids the second.
    return [None if math.isnan(no.total) else sigmoid(yes.total - no.total) for yes, no in pairs]


def by_number(job: Job, found: Sequence[Found]) -> list[float | None]:
    """The number that the model gives each answer, in [0, 1]; 0 where it gives none, None where a limit forbids to ask."""
    replies = numbering(job).generate([judged(job, NUMBER, item) for item in found])
    return [number(reply.answer) / 100 if reply.made else None for reply in replies]


def numbering(job: Job) -> Job:
    """The job with replies that are a number."""
    longest = min(NUMBER_TOKENS, job.sampling.max_new_tokens)
    return replace(job, sampling=replace(job.sampling, max_new_tokens=longest, constraint=FROM_0_TO_100))


def number(text: str) -> float:
    """The first number in a text, at least 0 and at most 100; 0 where there is none."""
    found = re.search(r"-?\d+(?:[.,]\d+)?", text)
    return min(max(float(found[0].replace(",", ".")), 0.0), 100.0) if found else 0.0


def gives_scores(llm: LLM) -> bool:
    """Whether a model gives log-likelihoods."""
    try:
        llm.check_scores()
    except ModelError:
        return False
    return True


def logit(p: float) -> float:
    """Log-odds of a probability, which is kept a billionth away from 0 and 1."""
    p = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow; 0 where x is not a number, as for a verdict that cannot be given."""
    if math.isnan(x):
        return 0.0
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

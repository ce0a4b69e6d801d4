"""Every chunk is asked on its own; the answer with the best score wins (LangChain's "map_rerank").

The score is never read out of the model's prose: it is the confidence of a model that has one, and otherwise the
log-likelihood of "yes" against "no" when the model is asked whether the passage supports the answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.answer import Quote
from ctxproc.chunk import Chunk
from ctxproc.strategies.base import Draft, Job, Plan, Reply, Strategy, clip, same

ANSWER = "map_rerank.answer"
JUDGE = "map_rerank.judge"
VERDICTS = (" yes", " no")


@dataclass(frozen=True)
class MapRerank(Strategy):
    """One call per chunk; the most confident answer wins, the earliest of equals.

    Good for facts that stand in one place; cheap, parallel, and each answer names its own chunk. It cannot combine two
    chunks. A model without a confidence is asked two more times per chunk (is this supported: yes, no).

    Attributes:
        prior: weight of what the search thought of a chunk, in log-odds per unit of its relevance, which runs from 0 to
            1 (first in every ranking): ``log-odds of the model + prior * (relevance - neutral)``. 0 leaves it out. It
            plays no part where nothing was searched.
        neutral: the relevance that changes nothing; with it scores stay calibrated.
    """

    prior: float = 5.0
    neutral: float = 0.75

    name: ClassVar[str] = "map_rerank"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "answer from one chunk",
        JUDGE: "is that answer supported by the chunk",
    }

    def plan(self, job: Job) -> Plan:
        """Per chunk: one call to answer it, and two to judge where the model gives no confidence."""
        n, chunks = len(job.chunks), sum(chunk.tokens for chunk in job.chunks)
        count = job.llm.count_tokens
        answers = Plan(n, n * count(job.prompt(ANSWER, [""])) + chunks, n * job.llm.reserved(job.sampling))
        if job.llm.gives_confidence:
            return answers
        judge = count(job.prompt(JUDGE, [""], answer="")) + job.sampling.max_new_tokens
        verdicts = sum(map(job.llm.tokenizer.count, VERDICTS))
        return answers + Plan(2 * n, 2 * (n * judge + chunks) + n * verdicts)

    def read(self, job: Job) -> Draft:
        """The winner's answer; evidence from every chunk that gave the same one."""
        if not job.llm.gives_confidence:
            job.llm.check_scores()
        replies = job.generate([job.prompt(ANSWER, [chunk.text]) for chunk in job.chunks])
        places = [i for i, reply in enumerate(replies) if reply.answer]
        if not places:
            return Draft()
        found = [(job.chunks[i], replies[i]) for i in places]
        scores = judge(job, found)
        if job.relevance:
            scores = [self.weighed(score, job.relevance[i]) for i, score in zip(places, scores, strict=True)]
        best = max(range(len(found)), key=lambda i: scores[i])
        answer = found[best][1].answer
        quotes = tuple(
            Quote(reply.quote, (chunk,), score)
            for (chunk, reply), score in zip(found, scores, strict=True)
            if same(reply.answer, answer)
        )
        return Draft(answer, quotes, scores[best])

    def weighed(self, score: float, relevance: float) -> float:
        """An answer's probability, moved by the relevance of its chunk."""
        return sigmoid(logit(score) + self.prior * (relevance - self.neutral))


def judge(job: Job, found: Sequence[tuple[Chunk, Reply]]) -> list[float]:
    """The probability that each answer is supported by its chunk: the model's own confidence, or p(yes) / p(yes or no)."""
    unsure = [i for i, (_, reply) in enumerate(found) if reply.confidence is None]
    prompts = [
        job.prompt(JUDGE, [found[i][0].text], answer=clip(found[i][1].answer, job.sampling.max_new_tokens, job.llm))
        for i in unsure
        for _ in VERDICTS
    ]
    verdicts = job.llm.score(prompts, VERDICTS * len(unsure)) if prompts else []
    scores = [reply.confidence or 0.0 for _, reply in found]
    for i, yes, no in zip(unsure, verdicts[::2], verdicts[1::2], strict=True):
        scores[i] = sigmoid(yes.total - no.total)
    return scores


def logit(p: float) -> float:
    """Log-odds of a probability, which is kept a billionth away from 0 and 1."""
    p = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def sigmoid(x: float) -> float:
    """1 / (1 + exp(-x)), without overflow; 0 where x is not a number, as for a verdict that cannot be given."""
    if math.isnan(x):
        return 0.0
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))

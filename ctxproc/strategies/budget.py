"""A budget of tokens filled with the chunks that cover the question's word pairs best (content selection of LoBART).

Source: Manakul and Gales 2021, "Long-Span Summarization via Local Attention and Content Selection", sections 4.1 (the
oracle) and 4.2 (combining scores), and its code, longsum0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from ctxproc.job import Job
from ctxproc.measures import rouge2_recall
from ctxproc.strategies._selecting import Selecting, by_similarity
from ctxproc.strategies.base import ANSWER, Plan
from ctxproc.strategies.stuff import fitting


@dataclass(frozen=True)
class Budget(Selecting):
    """Fills the capacity with chunks by two rankings at once: ROUGE-2 recall, and the search's relevance.

    In training the source scores text by its ROUGE-2 recall of a reference summary (`oracle` here). There is no reference
    when a question is asked: the reference is the question itself and, with ``draft``, what the model says of the chunks
    that the search ranks first. The ranks, 0 for the worst and 1 for the best, are combined by their geometric mean (MCS),
    where the source combines those of a trained extractor and of attention. Good for summaries and for questions in the
    words of the text; it finds no paraphrase beyond what the search does, and no second hop.

    Repaired against the source: the budget is never exceeded (the source tests it before adding). A chunk that does not
    fit is passed over and a smaller one after it may be taken.

    Attributes:
        draft: draft an answer first, from the chunks that the search ranks first; one call.
    """

    draft: bool = False

    name: ClassVar[str] = "budget"
    steps: ClassVar[Mapping[str, str]] = {ANSWER: "draft an answer to compare chunks with"}

    def plan_choice(self, job: Job, capacity: int) -> Plan:
        """The draft's call, if there is one."""
        if not self.draft:
            return Plan()
        return self.one_call(job, ANSWER, self.room_of(job))

    def choose(self, job: Job, capacity: int) -> list[int]:
        """The chunks that fit, by the mean of their ranks; equals by relevance."""
        order = searched(job)
        relevance = [0.0] * len(order)
        for place, i in enumerate(order):
            relevance[i] = float(-place)
        reference = f"{job.question}\n{self._drafted(job, order, capacity)}"
        overlap = [rouge2_recall(chunk.text, reference) for chunk in job.chunks]
        means = [math.sqrt(a * b) for a, b in zip(ranks(overlap), ranks(relevance), strict=True)]
        return within(job, sorted(order, key=lambda i: -means[i]), capacity)

    def _drafted(self, job: Job, order: Sequence[int], capacity: int) -> str:
        """A first answer; "" where none is wanted or made."""
        if not self.draft:
            return ""
        room = self.room_of(job)
        texts = [job.chunks[i].text for i in fitting(job, order, room)]
        return job.generate([job.prompt(ANSWER, texts)])[0].answer


def searched(job: Job) -> list[int]:
    """The places of all chunks: what a search finds for the question, its best first, then the others by similarity."""
    places = {id(chunk): i for i, chunk in enumerate(job.chunks)}
    found = [places[id(f.chunk)] for f in job.retrieve(job.question, len(job.chunks)) if id(f.chunk) in places]
    return list(dict.fromkeys([*found, *by_similarity(job)]))


def within(job: Job, order: Sequence[int], capacity: int) -> list[int]:
    """The places that fit so many tokens, taken in this order; what does not fit is passed over."""
    taken: list[int] = []
    for i in order:
        if len(fitting(job, [*taken, i], capacity)) > len(taken):
            taken.append(i)
    return taken


def oracle(texts: Sequence[str], tokens: Sequence[int], reference: str, budget: int) -> list[int]:
    """The source's selection in training: the texts of best ROUGE-2 recall of a reference, in their own order.

    Texts are taken greedily, equals from the beginning, where they fit; those that share no pair are taken last.

    Args:
        texts: sentences or chunks.
        tokens: of each text.
        reference: for example a summary that people wrote.
        budget: tokens that are never exceeded.
    """
    scores = [rouge2_recall(text, reference) for text in texts]
    taken: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: -scores[i]):
        if tokens[i] <= budget:
            taken.append(i)
            budget -= tokens[i]
    return sorted(taken)


def ranks(scores: Sequence[float]) -> list[float]:
    """Each score's rank, from 0 (the lowest) to 1: the share of the others that are lower; 1 for a score that is alone."""
    if len(scores) == 1:
        return [1.0]
    below = {score: i for i, score in reversed(list(enumerate(sorted(scores))))}
    return [below[score] / (len(scores) - 1) for score in scores]

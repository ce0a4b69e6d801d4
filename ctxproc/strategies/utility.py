"""Chunks that make the model's words likelier than the mixture of all (REALM's gradient, REPLUG LSR's signal).

Source: Guu et al. 2020, "REALM: Retrieval-Augmented Language Model Pre-Training", section 3.3 and appendix A; Shi et al.
2023, "REPLUG: Retrieval-Augmented Black-Box Language Models", section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from ctxproc.errors import ModelError
from ctxproc.job import Job, clip
from ctxproc.measures import credit, per_token
from ctxproc.strategies._judges import QUESTION
from ctxproc.strategies._selecting import Selecting
from ctxproc.strategies.base import ANSWER, Plan
from ctxproc.strategies.budget import searched
from ctxproc.strategies.stuff import fitting


@dataclass(frozen=True)
class Utility(Selecting):
    """Keeps the chunks with which the model predicts better than with what a search brings on average.

    The credit of a candidate z for words y is ``r(z) = (p(y | z) / p(y) - 1) p(z)``, where ``p(y)`` is the mixture of
    ``p(y | z)`` by ``p(z)``, a softmax of the similarities to the question divided by ``temperature``. It is the gradient
    by which REALM trains its search; nothing is trained here, it only selects. One more candidate, the null document, is
    no text at all, as similar as the candidates are on average: a chunk gets credit only if it beats that mixture. Good
    where the search brings much that is near and useless; it judges each chunk alone and finds no second hop, and a wrong
    draft keeps what supports it.

    p(y | z) is the mean per token (its geometric mean), so long words do not make one chunk take all.

    Attributes:
        words: y. "answer": a draft from the best candidates, which favours chunks that support it; "question": the question
            itself, for a model that writes.
        candidates: how many chunks the search brings; each costs one score.
        temperature: of p(z), above 0; REPLUG's is 0.1.
    """

    words: Literal["answer", "question"] = "answer"
    candidates: int = 16
    temperature: float = 0.1

    name: ClassVar[str] = "utility"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "draft an answer, and how likely it is after each candidate",
        QUESTION: "how likely the question is after each candidate",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.words not in ("answer", "question") or self.candidates < 1 or not self.temperature > 0:
            raise ValueError(f"needs words answer or question, candidates >= 1, temperature > 0, not {self}")

    def check(self, job: Job) -> None:
        """The model must give log-likelihoods, and of texts that it did not write where they are the question's."""
        super().check(job)
        job.llm.check_scores()
        if self.words == "question" and not job.llm.writes:
            raise ModelError(
                f"utility of the question needs a model that writes, and {job.llm.name} answers by quoting"
            )

    def plan_choice(self, job: Job, capacity: int) -> Plan:
        """A draft, and a score for each candidate and the null document."""
        n = min(self.candidates, len(job.chunks))
        largest = sum(sorted((chunk.tokens for chunk in job.chunks), reverse=True)[:n])
        if self.words == "question":
            asked = self.one_call(job, QUESTION, job.llm.tokenizer.count(f" {job.question}")).prompt_tokens
            return Plan(n + 1, (n + 1) * asked + largest)
        scored = self.one_call(job, ANSWER, job.sampling.max_new_tokens).prompt_tokens
        return self.one_call(job, ANSWER, self.room_of(job)) + Plan(n + 1, (n + 1) * scored + largest)

    def choose(self, job: Job, capacity: int) -> list[int]:
        """The candidates with credit, the most first; where none has any, all as the search ranked them."""
        order = searched(job)[: self.candidates]
        wanted, step = f" {job.question}", QUESTION
        if self.words == "answer":
            places = fitting(job, order, self.room_of(job))
            [draft] = job.generate([job.prompt(ANSWER, [job.chunks[i].text for i in places])])
            wanted, step = clip(draft.answer, job.sampling.max_new_tokens, job.llm), ANSWER
        if not wanted:
            return order
        prompts = [job.prompt(step, [job.chunks[i].text] if i is not None else []) for i in (*order, None)]
        found = job.score(prompts, [wanted] * len(prompts))
        near = job.similar(job.question, [job.chunks[i] for i in order])
        prior = [x / self.temperature for x in (*near, sum(near) / len(near))]
        given = credit([per_token(score) for score in found], prior)[:-1]
        useful = [k for k in range(len(order)) if given[k] > 0]
        return [order[k] for k in sorted(useful, key=lambda k: -given[k])] or order

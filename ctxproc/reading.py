"""How retrieval criteria ask the language model: through the job of a run, within its limits and into its trace."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from ctxproc.errors import ModelError
from ctxproc.job import Job, clip
from ctxproc.measures import per_token
from ctxproc.strategies.base import ANSWER, Plan

QUESTION = "memrecall.question"


class JobReader:
    """A `ctxproc.memory.criteria.Reader`: what the job's model makes of its question.

    Args:
        job: with a metered model, so that what is asked here counts.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def check(self, question: bool) -> None:
        """As the seam says.

        Raises:
            ModelError: the model gives no such likelihoods.
        """
        llm = self.job.llm
        llm.check_scores()
        if question and not llm.writes:
            raise ModelError(f"the likelihood of the question needs a model that writes; {llm.name} answers by quoting")

    def draft(self, contexts: Sequence[str]) -> str:
        """As the seam says; one call."""
        llm, sampling = self.job.llm, self.job.sampling

        def size(number: int) -> int:
            return llm.count_tokens(self.job.prompt(ANSWER, contexts[:number])) + llm.reserved(sampling)

        fits = bisect_right(range(1, len(contexts) + 1), llm.context_window, key=size)
        [reply] = self.job.generate([self.job.prompt(ANSWER, contexts[: max(1, fits)])])
        return clip(reply.answer, sampling.max_new_tokens, llm)

    def likelihoods(self, contexts: Sequence[str], draft: str = "") -> list[float]:
        """As the seam says; a call for each context."""
        step, wanted = (ANSWER, draft) if draft else (QUESTION, f" {self.job.question}")
        prompts = [self.job.prompt(step, [text] if text else []) for text in contexts]
        return [per_token(score) for score in self.job.score(prompts, [wanted] * len(prompts))]


def planned(job: Job, candidates: int) -> Plan:
    """An upper bound of what one criterion that reads spends on so many of the job's chunks, whichever its words."""
    llm, most = job.llm, job.sampling.max_new_tokens
    largest = sum(sorted((chunk.tokens for chunk in job.chunks), reverse=True)[:candidates])
    n = 1 + min(candidates, len(job.chunks))
    question = llm.count_tokens(job.prompt(QUESTION, [])) + llm.tokenizer.count(f" {job.question}")
    scored = Plan(n, n * max(question, llm.count_tokens(job.prompt(ANSWER, [])) + most) + largest)
    return scored + Plan(1, llm.context_window, llm.reserved(job.sampling))

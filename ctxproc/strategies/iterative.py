"""Search, reply, search again with the reply (RepoCoder: Zhang et al. 2023, section 2; ITER-RETGEN: Shao et al. 2023).

What is repaired here: a model that may abstain writes no draft to search with, so it is asked what the text says that
leads on; a later "not found" never replaces an answer; and a search that finds the same chunks again ends the run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from ctxproc.chunk import Chunk
from ctxproc.errors import ConfigError
from ctxproc.job import JOINT, Job
from ctxproc.strategies.base import ANSWER, Draft, Plan, Strategy, drafted
from ctxproc.strategies.stuff import fitting
from ctxproc.task import Reply

HINT = "iterative.hint"


@dataclass(frozen=True)
class Iterative(Strategy):
    """Retrieve with the question, draft; retrieve with question and draft, reply again.

    Good for questions whose answer stands in a passage that shares words with a first reply and not with the question: two
    hops, code. A wrong draft leads the search astray. It searches all sources, also where a selection was made before it.
    Chunks are read in document order, where RepoCoder puts the most similar last; what does not fit one prompt is left out.

    Attributes:
        rounds: at most so many searches, each with a reply; 2 in RepoCoder. Between two rounds an abstaining model is
            called once more.
        k: chunks for each search.
    """

    rounds: int = 2
    k: int = 8

    name: ClassVar[str] = "iterative"
    steps: ClassVar[Mapping[str, str]] = {
        ANSWER: "do the task over what was found",
        HINT: "what leads on, where nothing answers the question yet",
    }
    reads: ClassVar[Literal["selected", "all"]] = "all"

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.k < 1:
            raise ConfigError("iterative: rounds and k must be 1 or more")

    def plan(self, job: Job) -> Plan:
        """As if every search found the largest chunks, and every round but the last asked for a hint."""
        if not job.chunks:
            return Plan()
        context = widest(job, self.k, self.room_of(job))
        replies, hints = (self.one_call(job, step, context) for step in (ANSWER, HINT))
        return replies * self.rounds + hints * (self.rounds - 1)

    def affordable(self, job: Job) -> Job:
        """The whole job: to leave chunks out would not shorten a prompt; limits end the rounds."""
        return job

    def read(self, job: Job) -> Draft:
        """The last reply that answers; of a model that gives a confidence, the surest."""
        best, query, seen = Draft(), job.question, list[Chunk]()
        for number in range(self.rounds if job.chunks else 0):
            chunks = self.search(job, query, number)
            if chunks == seen:
                break
            prompt = job.prompt(ANSWER, [chunk.text for chunk in chunks])
            last = number + 1 == self.rounds and not (job.llm.gives_confidence and best.text)
            reply = job.finish(prompt) if last else job.generate([prompt])[0]
            if reply.answer and (reply.confidence or 0) >= (best.confidence or 0):
                best = drafted(job, reply, chunks)
            if not reply.made or number + 1 == self.rounds:
                break
            seen, query = chunks, f"{job.question} {hint(job, reply, chunks)}"
        return best

    def search(self, job: Job, query: str, number: int) -> list[Chunk]:
        """The chunks for a query that fit one prompt, in document order; the trace is told."""
        found = job.retrieve(query, self.k)
        ranked = job.over(found)
        taken = [ranked.chunks[i] for i in fitting(ranked, ranked.by_relevance, self.room_of(job))]
        kept = {id(chunk) for chunk in taken}
        job.keep(f"round {number + 1}: {query}", [item for item in found if id(item.chunk) in kept])
        return taken


def widest(job: Job, k: int, room: int) -> int:
    """Tokens that ``k`` chunks take at most in one prompt."""
    return min(room, k * (max(chunk.tokens for chunk in job.chunks) + job.llm.tokenizer.count(JOINT)))


def hint(job: Job, reply: Reply, chunks: Sequence[Chunk]) -> str:
    """What to search with next: the reply and its quote, or what an abstaining model says that leads on."""
    if not reply.answer and job.llm.writes:
        [reply] = job.generate([job.prompt(HINT, [chunk.text for chunk in chunks])])
    return reply.answer if reply.quote == reply.answer else f"{reply.answer} {reply.quote}"

"""A job: what reaches the model is as the task and the limits of the run have it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers import job_of

from ctxproc import ScriptedLLM
from ctxproc.job import Job, Voice
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.merging import Mixture
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies._notes import COLLAPSE, MAP
from ctxproc.strategies.base import ANSWER, NOTES
from ctxproc.strategies.map_rerank import JUDGE
from ctxproc.task import Answering, Choosing, Extracting, Summarising, Task
from ctxproc.trace import Trace

RED_OR_BLUE = Choosing(("red", "blue"))
OBJECT = Extracting({"type": "object"})


class Noting(ScriptedLLM):
    """A scripted model that keeps how it was asked to generate."""

    def __init__(self) -> None:
        super().__init__(["red"])
        self.asked: list[Sampling] = []

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        self.asked.append(sampling)
        return super().generate(prompts, sampling)

    def _generate(self, prompt: Prompt, prompt_tokens: int, sampling: Sampling) -> Generation:
        self.asked.append(sampling)
        return super()._generate(prompt, prompt_tokens, sampling)


def limited(job: Job, limits: Limits) -> Job:
    return replace(job, llm=metered(job.llm, limits, Trace()))


@pytest.mark.parametrize("task", [RED_OR_BLUE, OBJECT], ids=["choose", "extract"])
def test_replies_that_do_the_task_are_bound_by_it_and_notes_are_not(task: Task) -> None:
    job = job_of(["red. "], task=task)
    assert task.constraint is not None
    for step in (ANSWER, NOTES):
        assert job.sampling_of(step) == replace(job.sampling, constraint=task.constraint)
    for step in (MAP, COLLAPSE, JUDGE):
        assert job.sampling_of(step) == job.sampling
    for free in (Answering(), Summarising()):
        assert job_of(["red. "], task=free).sampling_of(ANSWER).constraint is None


def test_the_tasks_constraint_reaches_the_model_by_every_way_of_generating() -> None:
    llm = Noting()
    job = job_of(["red. ", "blue. "], llm, task=RED_OR_BLUE)
    prompts = [job.prompt(ANSWER, [chunk.text]) for chunk in job.chunks]
    job.generate(prompts)
    job.finish(prompts[0])
    replace(job, voice=Voice(Trace())).finish(prompts[0])
    job.decode_windows(prompts, Mixture())
    job.decode_parallel(prompts[0])
    assert len(llm.asked) > 6
    assert {sampling.constraint for sampling in llm.asked} == {RED_OR_BLUE.constraint}
    llm.asked.clear()
    job.generate([job.prompt(MAP, ["red. "])])
    assert [sampling.constraint for sampling in llm.asked] == [None, None]


def test_limits_spare_the_prompts_that_are_named_first_and_the_others_get_no_reply() -> None:
    llm = ScriptedLLM(lambda prompt: prompt.contexts[0].strip())
    job = limited(job_of(["one. ", "two. ", "three. ", "four. "], llm), Limits(calls=2))
    replies = job.generate([job.prompt(ANSWER, [chunk.text]) for chunk in job.chunks], first=[3, 1, 0, 2])
    assert [(reply.answer, reply.made) for reply in replies] == [
        ("", False),
        ("two.", True),
        ("", False),
        ("four.", True),
    ]


def test_windows_that_the_limits_do_not_allow_for_are_not_decoded_and_raise_nothing() -> None:
    job = job_of(["red. ", "blue. "], ScriptedLLM(["a b c d e f"]), sampling=Sampling(max_new_tokens=5))
    prompts = [job.prompt(ANSWER, [chunk.text]) for chunk in job.chunks]
    needed = sum(map(job.llm.count_tokens, prompts)) + 5
    for tokens in range(needed - 4, needed + 3):
        reply, made = limited(job, Limits(tokens=tokens)).decode_windows(prompts, Mixture())
        assert reply.made == bool(made.text) and made.prompt_tokens + made.new_tokens <= tokens
        assert reply.made or tokens < needed + 1

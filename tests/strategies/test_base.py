"""What every strategy inherits: chunks are left out as the limits have it, and the answer and the trace say so truly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from helpers import job_of

from ctxproc import Answer, ScriptedLLM
from ctxproc.job import Job
from ctxproc.llm.meter import CALLS, TOKENS, Limits
from ctxproc.strategies import Strategy, make
from ctxproc.strategies.base import Plan
from ctxproc.strategies.cascade import Cascade
from ctxproc.strategies.map_reduce import MapReduce
from ctxproc.strategies.recurrent import Recurrent
from ctxproc.trace import Event, Noted, Trace

TEXTS = [f"{i} is it. " for i in range(6)]
RANKED = (0.1, 0.2, 0.3, 0.2, 0.9, 0.1)


def run(strategy: Strategy, job: Job) -> tuple[Answer, list[str], list[str]]:
    """The answer, the first chunk of each prompt, and what the trace notes."""
    llm, events = ScriptedLLM(lambda prompt: f"it\nQuote: {prompt.contexts[0].strip()}"), list[Event]()
    answer = strategy(replace(job, llm=llm, trace=Trace(listeners=[events.append])))
    notes = [event.text for event in events if isinstance(event, Noted)]
    return answer, [prompt.contexts[0] for prompt in llm.prompts], notes


def test_a_plan_is_beyond_the_limits_that_it_passes_and_no_others() -> None:
    plan = Plan(3, 10, 5)
    assert plan.beyond(Limits()) == plan.beyond(Limits(3, 15)) == set()
    assert plan.beyond(Limits(calls=2)) == plan.beyond(Limits(2, 15)) == {CALLS}
    assert plan.beyond(Limits(tokens=14)) == plan.beyond(Limits(3, 14)) == {TOKENS}
    assert plan.beyond(Limits(0, 0)) == {CALLS, TOKENS}


@pytest.mark.parametrize(
    ("relevance", "places", "which"), [(RANKED, (2, 4), "best ranked"), ((), (0, 1), "first")], ids=["ranked", "not"]
)
def test_limits_leave_chunks_out_and_the_trace_says_which_were_read(
    relevance: Sequence[float], places: Sequence[int], which: str
) -> None:
    answer, read, notes = run(MapReduce(), job_of(TEXTS, relevance=relevance, limits=Limits(calls=3)))
    assert read[:-1] == [TEXTS[i] for i in places] and answer.usage.calls == 3
    assert notes == [f"the limits allow for 2 of 6 chunks: the {which} are read"]
    assert answer.stopped == "limits.calls 3 reached"


def test_the_limit_that_leaves_chunks_out_is_named_and_none_where_all_are_read() -> None:
    job = job_of(TEXTS)
    four = MapReduce().plan(job.of(range(4)))
    tokens = four.prompt_tokens + four.new_tokens
    for limits, phrase, number in (
        (Limits(calls=9, tokens=tokens), f"limits.run_tokens {tokens} reached", 4),
        (Limits(calls=4, tokens=tokens), "limits.calls 4 reached", 3),
        (Limits(calls=5, tokens=tokens), f"limits.calls 5 and limits.run_tokens {tokens} reached", 4),
        (Limits(calls=7, tokens=10**6), "", 6),
    ):
        answer, read, _ = run(MapReduce(), replace(job, limits=limits))
        assert (answer.stopped, read[:-1]) == (phrase, TEXTS[:number])


def test_a_limit_of_which_nothing_was_asked_is_not_named() -> None:
    answer, read, _ = run(MapReduce(), job_of(TEXTS, limits=Limits(calls=9, tokens=0)))
    assert (answer.stopped, answer.abstained, read) == ("limits.run_tokens 0 reached", True, [])


@pytest.mark.parametrize(
    "strategy",
    [Recurrent(), make("memrecall+map_reduce"), Cascade(tries=("map_reduce",))],
    ids=["recurrent", "memrecall+map_reduce", "cascade"],
)
def test_an_answer_from_some_of_the_chunks_says_so_where_nothing_was_searched(strategy: Strategy) -> None:
    whole, _, none = run(strategy, job_of(TEXTS))
    assert (whole.stopped, none) == ("", [])
    answer, _, notes = run(strategy, job_of(TEXTS, limits=Limits(calls=4)))
    assert answer.stopped == "limits.calls 4 reached"
    assert [note.split(": ")[1] for note in notes] == ["the first are read"]

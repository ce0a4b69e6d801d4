"""Strategies over strategies: named with a plus, planned, checked and read as one."""

from __future__ import annotations

import pytest
from helpers import job_of

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError, ModelError
from ctxproc.strategies import make
from ctxproc.strategies.budget import Budget
from ctxproc.strategies.memrecall import MemRecall
from ctxproc.strategies.stuff import Stuff
from ctxproc.trace import Event, Kept, Trace


def test_names_with_a_plus_are_a_selection_and_what_reads_it() -> None:
    assert make("memrecall+nbce") == MemRecall(then="nbce")
    assert make(" budget + memrecall+refine") == Budget(then="memrecall+refine")
    assert make("budget+memrecall+refine").title == "budget+memrecall+refine"
    assert make({"memrecall": {"then": {"refine": {"order": "relevance"}}}}).title == "memrecall+refine"
    strategy = Stuff()
    assert make(strategy) is strategy


def test_what_selects_nothing_is_refused_before_a_plus() -> None:
    with pytest.raises(ConfigError, match="stuff selects nothing for nbce"):
        make("stuff+nbce")


def test_what_the_reader_of_a_selection_needs_is_asked_before_the_first_call() -> None:
    llm = ScriptedLLM(["a"])

    def refuse() -> None:
        raise ModelError("no scores here")

    llm.check_scores = refuse  # type: ignore[method-assign]
    with pytest.raises(ModelError, match="no scores here"):
        make({"budget": {"then": {"map_rerank": {"score": "likelihood"}}}})(job_of(["a. "] * 9, llm))
    assert not llm.prompts


def test_only_what_every_selection_kept_is_read_and_the_trace_names_it() -> None:
    events: list[Event] = []
    texts = [f"The lamp number {i} is lit. " for i in range(20)]
    llm = ScriptedLLM(lambda prompt: prompt.contexts[0].strip())
    strategy = make({"budget": {"capacity": 40, "then": {"memrecall": {"capacity": 16, "then": "map_reduce"}}}})
    strategy(job_of(texts, llm, trace=Trace(listeners=[events.append])))
    kept = {
        event.by: {(start, end) for _, start, end, _ in event.chunks} for event in events if isinstance(event, Kept)
    }
    assert kept["memrecall"] < kept["budget"]
    whole = "".join(texts)
    read = {text for prompt in llm.prompts if prompt.step == "map_reduce.map" for text in prompt.contexts}
    assert read == {whole[start:end] for start, end in kept["memrecall"]}

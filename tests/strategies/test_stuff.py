"""The window is filled by relevance, to the last token; and strategies are made by name."""

from __future__ import annotations

import pytest
from helpers import job_of

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.llm.base import Sampling
from ctxproc.strategies import catalogue
from ctxproc.strategies.map_rerank import MapRerank
from ctxproc.strategies.stuff import Stuff
from ctxproc.trace import Event, Noted, Trace


def test_the_most_relevant_chunks_that_fit_are_read_in_document_order_and_the_others_told() -> None:
    llm = ScriptedLLM(["x"], context_window=150)
    strategy, sampling = Stuff(), Sampling(max_new_tokens=12)
    size = strategy.room(llm, "Who keeps the lamp?", sampling) // 2 - 2
    texts = [f"{letter} " * size for letter in "abc"]
    events: list[Event] = []
    trace = Trace(listeners=[events.append])
    strategy(job_of(texts, llm, relevance=[0.1, 0.9, 0.5], sampling=sampling, trace=trace))
    assert llm.prompts[0].contexts == (texts[1], texts[2])
    assert Noted("1 of 3 chunks do not fit the window") in events


def test_the_window_is_filled_to_the_last_token_and_not_beyond() -> None:
    llm, sampling = ScriptedLLM(["x"], context_window=200), Sampling(max_new_tokens=12)
    room = Stuff().room(llm, "Who keeps the lamp?", sampling) - llm.tokenizer.count("\n\n")
    for excess, chunks in ((0, 2), (1, 1)):
        llm.prompts.clear()
        Stuff()(job_of([("a " * 10).strip(), ("b " * (room - 10 + excess)).strip()], llm, sampling=sampling))
        assert len(llm.prompts[0].contexts) == chunks
        assert llm.count_tokens(llm.prompts[0]) + 12 <= 200
        assert excess or llm.count_tokens(llm.prompts[0]) + 12 == 200


def test_the_catalogue_makes_strategies_from_specs_and_names_what_is_wrong() -> None:
    assert catalogue.make("map_rerank") == MapRerank()
    assert catalogue.make({"map_rerank": {"prior": 2.0}}) == MapRerank(prior=2.0)
    assert catalogue.make({"stuff": {}}) == Stuff()
    with pytest.raises(UnknownNameError, match=r"map_reduce, map_rerank.*stuff"):
        catalogue.make("nonesuch")
    with pytest.raises(ConfigError, match="has no parameter 'x'; it has: none"):
        catalogue.make({"stuff": {"x": 1}})
    with pytest.raises(ConfigError, match="a strategy is a name or"):
        catalogue.make({"stuff": {}, "map_rerank": {}})

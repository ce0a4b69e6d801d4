"""The shipped fake keeps the promises of the seam, and the meter counts what passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.answer import Usage
from ctxproc.errors import PromptTooLongError
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits, Meter
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.prompt import parse
from ctxproc.trace import Called, Event, Progress, Scored, Trace

TEMPLATE = parse("t", "Read. {context} Ask. {question}")


@given(st.text())
def test_the_word_tokenizer_counts_the_tokens_it_starts(text: str) -> None:
    tokenizer = WordTokenizer()
    starts = tokenizer.starts(text)
    assert tokenizer.count(text) == len(starts)
    assert starts == sorted(starts) and (not text or starts[0] == 0)
    assert bool(starts) == bool(text)


def test_replies_are_cut_at_stop_strings_and_at_the_longest_length() -> None:
    llm = ScriptedLLM(["one two STOP three", "a b c d e"])
    prompt = TEMPLATE.fill(["c"], {"question": "q"})
    first, second, third = llm.generate([prompt] * 3, Sampling(max_new_tokens=3, stop=("STOP",)))
    assert first == Generation("one two ", llm.count_tokens(prompt), 3)
    assert second == third == Generation("a b c", llm.count_tokens(prompt), 3, finish="length")
    assert "".join(llm.stream(prompt, Sampling())) == "a b c d e"


def test_a_prompt_over_the_window_is_refused_before_anything_is_generated() -> None:
    llm = ScriptedLLM(context_window=20)
    small, large = (TEMPLATE.fill(["w " * n], {"question": "q"}) for n in (1, 30))
    with pytest.raises(PromptTooLongError) as caught:
        llm.generate([small, large], Sampling(max_new_tokens=5))
    assert caught.value.excess == llm.count_tokens(large) + 5 - 20
    assert not llm.prompts


def test_the_meter_counts_and_tells_every_call() -> None:
    events: list[Event] = []
    shown: list[Event] = []
    llm = ScriptedLLM(["one two"], likelihood=lambda _, text: -float(len(text)))
    listener = lambda event: (shown if isinstance(event, Progress) else events).append(event)  # noqa: E731
    meter = Meter(llm, Limits(), Trace(listeners=[listener]))
    prompt = TEMPLATE.fill(["c"], {"question": "q"})
    n = llm.count_tokens(prompt)
    meter.generate([prompt, prompt], Sampling())
    assert [score.total for score in meter.score([prompt], ["yes"])] == [-3.0]
    assert list(meter.stream(prompt, Sampling())) == ["one", " two"]
    assert meter.usage(1.5) == Usage(4, 4 * n + 1, 0, 6, 1.5)
    assert [type(event) for event in events] == [Called, Called, Scored, Called]
    assert shown == [Progress("read", 0, 2), Progress("read", 2, 2)]
    assert isinstance(events[0], Called) and events[0].segments == (
        ("prefix", None, "Read. "), ("context", "context", "c"), ("task", None, " Ask. "), ("task", "question", "q"),
    )  # fmt: skip


def test_a_stream_ended_early_is_counted() -> None:
    meter = Meter(ScriptedLLM(["one two three"]), Limits(), Trace())
    stream = meter.stream(TEMPLATE.fill(["c"], {"question": "q"}), Sampling())
    assert next(stream) == "one"
    stream.close()  # type: ignore[attr-defined]
    assert (meter.usage(0).calls, meter.usage(0).new_tokens) == (1, 1)

"""The shipped fake keeps the promises of the seam, and the meter counts what passes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.answer import Usage
from ctxproc.errors import ConfigError, PromptTooLongError
from ctxproc.llm.base import Generation, Sampling, Token, finished
from ctxproc.llm.merging import NBCE
from ctxproc.llm.meter import Limits, Meter
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.prompt import Prompt, parse
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


def test_a_stream_returns_what_generate_gives_with_its_tokens() -> None:
    prompt = TEMPLATE.fill(["c"], {"question": "q"})
    cut, whole = Sampling(max_new_tokens=3, logprobs=True), Sampling(stop=("d",), logprobs=True)
    for sampling, tokens in ((cut, ["a", " b", " c"]), (whole, ["a", " b", " c", " "])):
        llm, told = ScriptedLLM(["a b c d e"]), list[str]()
        made = finished(llm.stream(prompt, sampling), told.append)
        assert [made] == llm.generate([prompt], sampling)
        assert told == tokens and made.tokens == tuple(Token(text, 0.0) for text in tokens)
        assert made.new_tokens == len(tokens) and not llm.generate([prompt], Sampling())[0].tokens
    own = Generation("x y", 0, 2, tokens=(Token("x y", -2.0), Token("", -1.0)))
    made = finished(ScriptedLLM(lambda _: own).stream(prompt, Sampling()))
    assert made == replace(own, prompt_tokens=ScriptedLLM().count_tokens(prompt))


def window(*contexts: str) -> Prompt:
    return TEMPLATE.fill(contexts, {"question": "q"})


@pytest.mark.parametrize(
    ("replies", "text", "weights"),
    [
        ({"": "guess", "a": "", "b": "one two", "c": "three"}, "one two", (0.0, 0.0, 1.0, 0.0)),
        ({"": "guess", "a": "Not found.", "b": " NOT FOUND here", "c": "three"}, "three", (0.0, 0.0, 0.0, 1.0)),
        ({"": "guess", "a": "not found", "b": "", "c": ""}, "not found", (0.0, 1.0, 0.0, 0.0)),
    ],
)
def test_of_several_windows_the_first_with_an_answer_speaks(
    replies: dict[str, str], text: str, weights: tuple[float, ...]
) -> None:
    llm, told = ScriptedLLM(lambda prompt: replies[prompt.part("context")]), list[str]()
    prompts = [window(), window("a"), window("b"), window("c")]
    made = llm.decode_windows(prompts, NBCE(), Sampling(logprobs=True), told.append)
    assert (made.text, "".join(told), made.prompt_tokens) == (text, text, sum(map(llm.count_tokens, prompts)))
    assert made.new_tokens == llm.tokenizer.count(text) == len(made.tokens)
    assert made.weights == (weights,) * made.new_tokens
    assert llm.prompts == [*prompts[1:], prompts[0]]


def test_priors_speak_only_among_themselves_and_windows_are_checked() -> None:
    llm = ScriptedLLM(["", "two", "three"])
    assert llm.decode_windows([window(), window()], NBCE(), Sampling()).weights == ((0.0, 1.0),)
    with pytest.raises(ConfigError, match="there is none"):
        llm.decode_windows([], NBCE(), Sampling())
    small = ScriptedLLM(context_window=20)
    with pytest.raises(PromptTooLongError):
        small.decode_windows([window("w"), window("w " * 30)], NBCE(), Sampling(5))
    assert not small.prompts


def test_parallel_contexts_are_one_prompt_whose_longest_context_must_fit() -> None:
    llm, told = ScriptedLLM(lambda prompt: " ".join(prompt.contexts), context_window=30), list[str]()
    many = window(*["w w w"] * 9)
    assert llm.count_tokens(many) > 30
    made = llm.decode_parallel(many, Sampling(5), told.append, indent="right")
    assert (made.text, made.prompt_tokens, made.finish) == ("w w w w w", llm.count_tokens(many), "length")
    assert told == ["w", *[" w"] * 4] and llm.prompts == [many]
    for wrong in (window("w", "w " * 30), TEMPLATE.fill([], {"question": "q " * 30})):
        with pytest.raises(PromptTooLongError):
            llm.decode_parallel(wrong, Sampling(5))
    assert llm.prompts == [many]


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

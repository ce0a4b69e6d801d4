"""The meter: limits are kept to the token, only those that were reached are named, and nothing goes uncounted."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.errors import LimitError
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import AT_ONCE, CALLS, TOKENS, Limits, Meter
from ctxproc.prompt import Prompt, Segment
from ctxproc.trace import Called, Event, Trace

SHORT = Sampling(max_new_tokens=5)


def prompt_of(tokens: int) -> Prompt:
    return Prompt((Segment("w " * tokens, "task"),), "step")


def metered(limits: Limits, llm: ScriptedLLM | None = None) -> Meter:
    return Meter(llm or ScriptedLLM(["one two three"]), limits, Trace())


@given(
    sizes=st.lists(st.integers(1, 6), max_size=8),
    reserved=st.integers(0, 4),
    spent=st.integers(0, 3),
    calls=st.none() | st.integers(0, 9),
    tokens=st.none() | st.integers(0, 60),
)
def test_so_many_prompts_are_allowed_for_as_can_be_paid_one_after_the_other(
    sizes: Sequence[int], reserved: int, spent: int, calls: int | None, tokens: int | None
) -> None:
    meter = metered(Limits(calls, tokens), ScriptedLLM(["one two"]))
    before = 0
    for _ in range(spent):
        try:
            [made] = meter.generate([prompt_of(3)], Sampling(max_new_tokens=2))
        except LimitError:
            break
        before += made.prompt_tokens + made.new_tokens
    made_calls = meter.usage(0).calls
    allowed, paid, reason = 0, before, set[str]()
    for size in sizes:
        paid += meter.count_tokens(prompt_of(size)) + reserved
        if calls is not None and made_calls + allowed + 1 > calls:
            reason = {CALLS}
            break
        if tokens is not None and paid > tokens:
            reason = {TOKENS}
            break
        allowed += 1
    assert meter.affords([prompt_of(size) for size in sizes], reserved) == allowed
    assert meter.reached == reason


def test_a_call_that_takes_the_last_token_is_made_and_one_token_less_forbids_it() -> None:
    needed = metered(Limits()).count_tokens(prompt_of(4)) + 5
    for tokens, number in ((needed, 1), (needed - 1, 0)):
        meter = metered(Limits(tokens=tokens))
        assert meter.affords([prompt_of(4)], meter.reserved(SHORT)) == number
    meter = metered(Limits(tokens=needed))
    assert meter.generate([prompt_of(4)], SHORT)[0].text == "one two three"
    with pytest.raises(LimitError, match=f"up to {needed} tokens, limits.run_tokens is {needed - 1}"):
        metered(Limits(tokens=needed - 1)).generate([prompt_of(4)], SHORT)


def test_only_limits_that_were_reached_are_named() -> None:
    for limit, phrase in (
        (Limits(), ""),
        (Limits(calls=2, tokens=999), ""),
        (Limits(calls=1, tokens=999), "limits.calls 1 reached"),
        (Limits(calls=9, tokens=0), "limits.run_tokens 0 reached"),
        (Limits(calls=0, tokens=0), "limits.calls 0 reached"),
    ):
        meter = metered(limit)
        meter.affords([prompt_of(4)] * 2, 5)
        assert meter.stopped == phrase
    meter = metered(Limits(calls=1, tokens=3))
    meter.affords([prompt_of(1)] * 2, 0)
    meter.affords([prompt_of(9)], 0)
    assert meter.stopped == "limits.calls 1 and limits.run_tokens 3 reached"


def test_a_stream_that_is_left_is_counted_by_what_came_and_its_call_is_marked_interrupted() -> None:
    events: list[Event] = []
    meter = Meter(ScriptedLLM(["one two three"]), Limits(), Trace(listeners=[events.append]))
    prompt = prompt_of(4)
    stream = meter.stream(prompt, SHORT)
    assert [next(stream), next(stream)] == ["one", " two"]
    stream.close()
    usage = meter.usage(0)
    assert (usage.calls, usage.prompt_tokens, usage.new_tokens) == (1, meter.count_tokens(prompt), 2)
    [event] = events
    assert isinstance(event, Called)
    assert (event.text, event.finish, event.way, event.new_tokens) == ("one two", "interrupted", "stream", 2)


def test_prompts_of_later_batches_draw_from_streams_of_their_own() -> None:
    asked: list[tuple[int, int]] = []

    class Noting(ScriptedLLM):
        def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
            asked.append((sampling.stream, len(prompts)))
            return super().generate(prompts, sampling)

    made = metered(Limits(), Noting(["one"])).generate([prompt_of(1)] * (2 * AT_ONCE + 3), Sampling(stream=7))
    assert len(made) == 2 * AT_ONCE + 3
    assert asked == [(7, AT_ONCE), (7 + AT_ONCE, AT_ONCE), (7 + 2 * AT_ONCE, 3)]

"""A second search with the first reply finds what the question alone does not.

Holds RepoCoder's proof of ALGORITHMS.md, section 5.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from helpers import chunks_of, job_of

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError
from ctxproc.job import Found, Job, Voice
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt
from ctxproc.strategies.iterative import HINT, Iterative
from ctxproc.task import Choosing
from ctxproc.trace import Event, Kept, Streamed, Trace

NOISE = [f"Gulls were counted on day {i}. " for i in range(30)]
BRIDGE = "The lamp is kept by Maren Oduya. "
TARGET = "Maren Oduya was born in Quillhaven. "
TEXTS = [*NOISE[:15], BRIDGE, *NOISE[15:], TARGET]
QUESTION = "From which town comes she who keeps the lamp?"


def reader(prompt: Prompt) -> str:
    """Answers where it reads both facts, gives a hint where it reads the first."""
    context = prompt.part("context")
    if prompt.step == HINT:
        return f"Maren Oduya keeps the lamp\nQuote: {BRIDGE.strip()}" if "lamp" in context else "NOT FOUND"
    if BRIDGE in context and TARGET in context:
        return f"Quillhaven\nQuote: {TARGET.strip()}"
    return "NOT FOUND"


def two_hops(reply: Callable[[Prompt], str | Generation] = reader, **values: object) -> Job:
    values.setdefault("llm", ScriptedLLM(reply))
    return Job(QUESTION, chunks_of(*TEXTS), sampling=Sampling(max_new_tokens=30), **values)  # type: ignore[arg-type]


def rounds_of(events: list[Event]) -> list[list[int]]:
    """Where the chunks that each round kept begin."""
    return [[start for _, start, _, _ in event.chunks] for event in events if isinstance(event, Kept)]


def test_proof_a_planted_duplicate_of_the_target_is_retrieved_in_round_2_and_not_in_round_1() -> None:
    code = [f"line {i} of another file {i}. " for i in range(30)]
    code[4] = "def keep lamp opens the tower. "
    code[21] = "frobnicate glass then quench wick. "
    draft = "frobnicate glass then quench"
    llm = ScriptedLLM([f"{draft}\nQuote: def keep lamp opens the tower.", "quench wick\nQuote: quench wick."])
    events: list[Event] = []
    chunks = chunks_of(*code)
    job = Job("keep lamp opens tower", chunks, llm, sampling=Sampling(20), trace=Trace(listeners=[events.append]))
    answer = Iterative(k=2)(job)
    first, second = rounds_of(events)
    assert chunks[21].start not in first
    assert sorted(second) == [chunks[4].start, chunks[21].start]
    assert (answer.text, answer.evidence[0].status) == ("quench wick", "verified")
    assert answer.usage.calls == 2


def test_the_second_hop_is_found_with_what_the_first_round_says_though_it_abstains() -> None:
    events: list[Event] = []
    job = two_hops(trace=Trace(listeners=[events.append]))
    target = job.chunks[-1].start
    assert job.retrieve(QUESTION, 2)[0].chunk.text == BRIDGE
    answer = Iterative(k=2)(job)
    assert (answer.text, answer.evidence[0].quote) == ("Quillhaven", TARGET.strip())
    first, second = rounds_of(events)
    assert target not in first and target in second
    assert [prompt.step for prompt in job.llm.prompts] == ["answer", HINT, "answer"]  # type: ignore[attr-defined]


def test_one_round_is_a_single_retrieval_and_misses_the_second_hop() -> None:
    answer = Iterative(rounds=1, k=2)(two_hops())
    assert (answer.abstained, answer.usage.calls) == (True, 1)


def test_no_further_call_is_made_where_the_chunks_do_not_change() -> None:
    job = job_of(
        ["Salt came. ", "The lamp is kept by Maren. "], ScriptedLLM(["Maren\nQuote: The lamp is kept by Maren."])
    )
    answer = Iterative(rounds=5)(job)
    assert (answer.text, answer.usage.calls) == ("Maren", 1)


def test_the_second_query_is_the_question_and_the_reply_with_its_quote() -> None:
    queries: list[str] = []

    def retriever(query: str, k: int) -> list[Found]:
        queries.append(query)
        return [Found(job.chunks[len(queries)], 1.0)]

    llm = ScriptedLLM(["Maren\nQuote: The lamp is kept by Maren.", "NOT FOUND"])
    job = job_of(["Salt came. ", "The lamp is kept by Maren. ", "Rain fell. "], llm, retriever=retriever)
    Iterative()(job)
    assert queries == ["Who keeps the lamp?", "Who keeps the lamp? Maren The lamp is kept by Maren."]


def test_a_later_not_found_never_replaces_an_answer() -> None:
    turns = iter([f"Maren Oduya\nQuote: {BRIDGE.strip()}", "NOT FOUND"])
    answer = Iterative(k=2)(two_hops(lambda _: next(turns)))
    assert (answer.text, answer.usage.calls) == ("Maren Oduya", 2)


def test_of_a_model_with_a_confidence_the_surest_reply_stands() -> None:
    sure = iter([0.9, 0.3])

    def reply(_: Prompt) -> Generation:
        p = next(sure)
        return Generation(f"said with {p}", 0, 3, confidence=p, quote=BRIDGE)

    job = two_hops(llm=ScriptedLLM(reply, gives_confidence=True))
    assert Iterative(k=2)(job).text == "said with 0.9"


def test_only_the_last_round_is_streamed_and_the_pieces_are_the_answer() -> None:
    pieces: list[str] = []
    trace = Trace(listeners=[lambda event: pieces.append(event.text) if isinstance(event, Streamed) else None])
    long = f"It was, as is well known, in Quillhaven\nQuote: {TARGET.strip()}"
    turns = iter([f"Perhaps it was in a town by the sea\nQuote: {BRIDGE.strip()}", long])
    answer = Iterative(k=2)(two_hops(lambda _: next(turns), trace=trace, voice=Voice(trace)))
    assert answer.text == "".join(pieces) == "It was, as is well known, in Quillhaven"
    assert len(pieces) > 1


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_limits_end_the_rounds_and_what_was_found_stands(calls: int) -> None:
    turns = iter([f"Maren Oduya\nQuote: {BRIDGE.strip()}", f"Quillhaven\nQuote: {TARGET.strip()}"])
    answer = Iterative(k=2)(two_hops(lambda _: next(turns), limits=Limits(calls=calls)))
    assert answer.text == ["", "Maren Oduya", "Quillhaven"][calls]
    assert answer.usage.calls == calls and bool(answer.stopped) == (calls < 2)


def test_a_choice_is_made_with_what_both_rounds_found() -> None:
    def reply(prompt: Prompt) -> str:
        return "Quillhaven" if TARGET in prompt.part("context") else reader(prompt)

    job = two_hops(reply, task=Choosing(("Tarn", "Quillhaven")))
    assert Iterative(k=2)(job).text == "Quillhaven"


@pytest.mark.parametrize("values", [{"rounds": 0}, {"k": 0}])
def test_numbers_below_one_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="must be 1 or more"):
        Iterative(**values)

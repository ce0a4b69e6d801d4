"""Every strategy through the same behaviour: fits, plans, stays in budget, shows its passage, abstains, streams."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from every import EVERY, every_strategy
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.catalogue import split
from ctxproc.errors import PromptTooLongError
from ctxproc.job import Job, Voice
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt
from ctxproc.strategies import Strategy, catalogue
from ctxproc.task import Answering, Choosing, Extracting, Summarising, Task
from ctxproc.trace import Called, Decoded, Event, Scored, Streamed, Trace

texts = st.lists(st.text("ab c.\n", min_size=1, max_size=60), max_size=12)
replies = st.sampled_from(
    ["a", "NOT FOUND", "b\nQuote: b", "a b c " * 30, "", "Quote:", "a\n\n", "c. " * 9, "yes", "70"]
)
tasks = st.sampled_from([Answering(), Summarising(), Choosing(("a", "b c")), Extracting('{"type": "object"}')])
LAMP = ["Salt came. ", "The lamp is kept by Maren. ", "Rain fell. "]


def keeper(prompt: Prompt) -> str:
    """A model that knows who keeps the lamp where it reads the name."""
    return "Maren\nQuote: The lamp is kept by Maren." if "Maren" in prompt.part("context") else "NOT FOUND"


def keeping(**values: object) -> ScriptedLLM:
    return ScriptedLLM(keeper, likelihood=lambda _, words: 0.0 if "no" not in words else -3.0, **values)  # type: ignore[arg-type]


def fits(strategy: Strategy, job: Job) -> bool:
    """Whether the chunks are as small as `ask` would make them for this window."""
    try:
        room = strategy.room_of(job)
    except PromptTooLongError:
        return False
    return all(chunk.tokens <= room for chunk in job.chunks)


def test_every_strategy_of_the_catalogue_is_tested_here() -> None:
    assert set(catalogue.names()) == {split("strategy", spec)[0] for spec in EVERY}


@every_strategy
@settings(deadline=None, max_examples=60)
@given(
    texts=texts,
    replies=st.lists(replies, min_size=1, max_size=5),
    window=st.integers(160, 500),
    sure=st.booleans(),
    task=tasks,
)
def test_every_prompt_fits_and_nothing_is_spent_beyond_the_plan(
    strategy: Strategy, texts: Sequence[str], replies: Sequence[str], window: int, sure: bool, task: Task
) -> None:
    turn = itertools.cycle(replies)

    def reply(_: Prompt) -> str | Generation:
        text = next(turn)
        return Generation(text, 0, 3, confidence=0.5, quote=text) if sure else text

    llm = ScriptedLLM(reply, context_window=window, gives_confidence=sure)
    job = job_of(texts, llm, sampling=Sampling(max_new_tokens=12), task=task)
    if not fits(strategy, job):
        return
    plan = strategy.plan(job)
    usage = strategy(job).usage
    assert usage.calls <= plan.calls
    assert usage.prompt_tokens <= plan.prompt_tokens
    assert usage.new_tokens <= plan.new_tokens
    for prompt in llm.prompts:
        assert llm.count_tokens(prompt) <= window


@every_strategy
def test_an_empty_document_gives_an_abstention_without_a_call(strategy: Strategy) -> None:
    job = job_of([])
    answer = strategy(job)
    assert (answer.abstained, answer.text, answer.evidence, answer.usage.calls) == (True, "", (), 0)
    assert strategy.plan(job).calls == 0


@every_strategy
@pytest.mark.parametrize("texts", [LAMP[1:2], LAMP], ids=["one chunk", "three chunks"])
def test_an_answer_carries_its_quote_from_the_document(strategy: Strategy, texts: list[str]) -> None:
    answer = strategy(job_of(texts, keeping()))
    assert (answer.text, answer.abstained, answer.model) == ("Maren", False, "scripted")
    best = answer.evidence[0]
    assert (best.status, best.quote) == ("verified", "The lamp is kept by Maren.")
    assert best.start == "".join(texts).index("The lamp")
    assert all(item.quote in "".join(texts) for item in answer.evidence)


@every_strategy
def test_500_chunks_are_got_through_within_the_plan_and_the_window(strategy: Strategy) -> None:
    llm = keeping(context_window=400)
    texts = [f"Nothing of note {i}. " for i in range(500)]
    texts[0] = LAMP[1]
    job = job_of(texts, llm)
    plan, answer = strategy.plan(job), strategy(job)
    assert answer.usage.calls <= plan.calls <= 4000
    assert answer.usage.prompt_tokens <= plan.prompt_tokens
    assert max(map(llm.count_tokens, llm.prompts), default=0) + 20 <= 400
    if not answer.abstained:
        assert answer.text == "Maren"


@every_strategy
@pytest.mark.parametrize(
    "words", ["", "NOT FOUND", "la la " * 99, "Score: N/A\nScore: 8.5", "{}[", "Quote:\nQuote:\nQuote:", "\x00\ud7ff "]
)
def test_a_model_that_answers_nothing_repeats_or_ignores_the_format_gives_an_abstention(
    strategy: Strategy, words: str
) -> None:
    llm = ScriptedLLM([words])
    job = job_of(LAMP * 4, llm)
    answer, plan = strategy(job), strategy.plan(job)
    assert (answer.abstained, answer.text) == (True, "")
    assert answer.usage.calls <= plan.calls and answer.usage.new_tokens <= plan.new_tokens


@every_strategy
def test_an_echo_of_the_context_ends_and_is_evidence_of_itself(strategy: Strategy) -> None:
    llm = ScriptedLLM(lambda prompt: prompt.part("context"), context_window=300)
    answer = strategy(job_of([f"The word {i} is here. " for i in range(40)], llm))
    assert all(item.status == "unverified" or "The word" in item.quote for item in answer.evidence)


@every_strategy
def test_an_answer_whose_quote_is_nowhere_is_an_abstention_unless_allowed(strategy: Strategy) -> None:
    llm = ScriptedLLM(["Zed\nQuote: Zed keeps it."])
    assert strategy(job_of(LAMP[1:2], llm)).abstained
    answer = strategy(job_of(LAMP[1:2], llm, require_evidence=False))
    assert (answer.text, answer.evidence[0].status) == ("Zed", "unverified")


@every_strategy
def test_a_question_too_long_for_the_window_says_by_how_much(strategy: Strategy) -> None:
    llm = ScriptedLLM(context_window=150)
    with pytest.raises(PromptTooLongError, match="more than the model's window of 150"):
        strategy.room(llm, "why " * 200, Sampling(max_new_tokens=12))


@every_strategy
@pytest.mark.parametrize(
    "limits", [Limits(calls=0), Limits(calls=1), Limits(calls=2), Limits(tokens=9), Limits(tokens=300)], ids=repr
)
def test_a_budget_stops_the_run_cleanly_with_what_it_has(strategy: Strategy, limits: Limits) -> None:
    llm = keeping()
    job = job_of(LAMP * 3, llm, limits=limits, relevance=[0.1, 0.9, 0.2] * 3)
    answer = strategy(job)
    assert limits.calls is None or answer.usage.calls <= limits.calls
    assert limits.tokens is None or answer.usage.prompt_tokens + answer.usage.new_tokens <= limits.tokens
    assert answer.abstained or answer.text == "Maren"
    unlimited = strategy(replace(job, limits=Limits()))
    if answer.usage.calls < unlimited.usage.calls and not answer.stopped:
        assert answer.text == "Maren"


@every_strategy
def test_a_budget_of_one_call_names_the_limit_where_it_was_not_enough(strategy: Strategy) -> None:
    job = job_of(LAMP * 3, keeping())
    limited = strategy(replace(job, limits=Limits(calls=1)))
    assert limited.usage.calls <= 1
    assert strategy(job).usage.calls > 1 or limited.stopped == ""
    if limited.stopped:
        assert limited.stopped == "limits.calls 1 reached"


@every_strategy
@pytest.mark.parametrize("after", [0, 1, 3])
def test_an_interruption_comes_through_and_a_second_run_is_as_if_there_had_been_none(
    strategy: Strategy, after: int
) -> None:
    calls = itertools.count()

    def interrupted(prompt: Prompt) -> str:
        if next(calls) == after:
            raise KeyboardInterrupt
        return keeper(prompt)

    whole = strategy(job_of(LAMP * 3, keeping()))
    job = job_of(LAMP * 3, ScriptedLLM(interrupted, likelihood=lambda _, words: 0.0 if "no" not in words else -3.0))
    try:
        first = strategy(job)
    except KeyboardInterrupt:
        first = strategy(job)
    assert (first.text, first.evidence, first.usage.calls) == (whole.text, whole.evidence, whole.usage.calls)


@every_strategy
def test_the_same_job_gives_the_same_answer_and_is_not_altered(strategy: Strategy) -> None:
    job = job_of(LAMP * 3, keeping(), relevance=[0.2, 0.9, 0.1] * 3)
    before = replace(job)
    first, second = strategy(job), strategy(job)
    assert job == before
    assert replace(first, usage=second.usage) == second


def heard(strategy: Strategy, reply: Callable[[Prompt], str], texts: list[str]) -> tuple[str, str]:
    """The answer's text, and the streamed pieces joined."""
    pieces: list[str] = []
    trace = Trace(listeners=[lambda event: pieces.append(event.text) if isinstance(event, Streamed) else None])
    llm = ScriptedLLM(reply, likelihood=lambda _, words: 0.0 if "no" not in words else -3.0)
    answer = strategy(job_of(texts, llm, trace=trace, voice=Voice(trace), sampling=Sampling(max_new_tokens=50)))
    return answer.text, "".join(pieces)


@every_strategy
@pytest.mark.parametrize(
    "words",
    [
        "Maren\nQuote: The lamp is kept by Maren.",
        "Answer: it is Maren who keeps the lamp there\n\nQuote: The lamp is kept by Maren.",
        "The lamp is kept by Maren.",
        "It is kept by Maren, I think, who came\nin spring\n> quote : 'The lamp is kept by Maren.'",
    ],
)
def test_the_streamed_pieces_are_the_answer(strategy: Strategy, words: str) -> None:
    text, joined = heard(strategy, lambda p: words if "Maren" in p.part("context") else "NOT FOUND", LAMP)
    assert text and joined == text


@every_strategy
def test_listening_changes_nothing(strategy: Strategy) -> None:
    trace = Trace()
    silent, loud = (strategy(job_of(LAMP, keeping(), voice=voice)) for voice in (None, Voice(trace)))
    assert (silent.text, silent.evidence, silent.usage.calls) == (loud.text, loud.evidence, loud.usage.calls)


@every_strategy
def test_every_call_is_in_the_trace(strategy: Strategy) -> None:
    events: list[Event] = []
    answer = strategy(job_of(LAMP, keeping(), trace=Trace(listeners=[events.append])))
    calls = sum(isinstance(event, (Called, Scored)) for event in events)
    calls += sum(len(event.windows) for event in events if isinstance(event, Decoded))
    assert calls == answer.usage.calls > 0


@every_strategy
def test_a_choice_is_one_of_the_choices(strategy: Strategy) -> None:
    choices = ("Oduya", "Maren")
    answer = strategy(job_of(LAMP, keeping(), task=Choosing(choices)))
    assert answer.text == "Maren"
    assert answer.evidence[0].status == "verified" and "Maren" in answer.evidence[0].quote
    assert strategy(job_of(LAMP, ScriptedLLM(["something else entirely"]), task=Choosing(choices))).abstained


@every_strategy
def test_an_extraction_is_json_whose_values_stand_in_the_text(strategy: Strategy) -> None:
    def reply(prompt: Prompt) -> str:
        if "Schema:" not in str(prompt):
            return keeper(prompt)
        return '{"keeper": "Maren", "age": null}' if "Maren" in prompt.part("context") else "NOT FOUND"

    llm = ScriptedLLM(reply, likelihood=lambda _, words: 0.0 if "no" not in words else -3.0)
    answer = strategy(job_of(LAMP, llm, task=Extracting({"type": "object"})))
    assert json.loads(answer.text) == {"keeper": "Maren", "age": None}
    assert [(item.status, item.quote) for item in answer.evidence] == [("verified", "Maren")]
    assert strategy(job_of(LAMP, ScriptedLLM(["{}"]), task=Extracting({"type": "object"}))).abstained


@every_strategy
def test_a_summary_shows_the_passages_it_resembles(strategy: Strategy) -> None:
    llm = ScriptedLLM(["Maren keeps the lamp. Rain fell."])
    answer = strategy(job_of(LAMP, llm, task=Summarising()))
    assert answer.text == "Maren keeps the lamp. Rain fell."
    assert {item.quote for item in answer.evidence} <= {"The lamp is kept by Maren.", "Rain fell."}
    assert answer.evidence[0].status == "verified"

"""A cheap strategy is asked first, and a dearer one only where it abstains or is unsure."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from helpers import job_of

from ctxproc import ScriptedLLM
from ctxproc.catalogue import Spec
from ctxproc.errors import ConfigError, ModelError, UnknownNameError
from ctxproc.job import Job, Voice
from ctxproc.llm.base import LLM, Generation
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt
from ctxproc.strategies import make
from ctxproc.strategies.base import Plan
from ctxproc.strategies.cascade import Cascade
from ctxproc.strategies.map_rerank import MapRerank
from ctxproc.strategies.stuff import Stuff
from ctxproc.task import Summarising
from ctxproc.trace import Noted, Streamed, Trace

TEXTS = ["Salt came. ", "The lamp is kept by Maren. ", "Rain fell. "]
MAREN = "Maren\nQuote: The lamp is kept by Maren."
CHEAP_THEN_DEAR: Sequence[Spec] = ("stuff", "map_rerank")


def by_width(together: str | Generation, alone: str | Generation, confident: bool = False) -> ScriptedLLM:
    """Replies one thing where several chunks stand in the prompt, another where Maren's stands alone."""

    def reply(prompt: Prompt) -> str | Generation:
        if len(prompt.contexts) > 1:
            return together
        nothing: str | Generation = Generation("", 0, 0, confidence=0.0, quote="") if confident else "NOT FOUND"
        return alone if "Maren" in prompt.part("context") else nothing

    return ScriptedLLM(
        reply, likelihood=lambda _, words: 0.0 if "no" not in words else -3.0, gives_confidence=confident
    )


def sure(text: str, confidence: float) -> Generation:
    return Generation(text, 0, 3, confidence=confidence, quote="The lamp is kept by Maren.")


def asked(llm: LLM) -> int:
    """Calls whose prompt held one chunk: those of map_rerank."""
    assert isinstance(llm, ScriptedLLM)
    return sum(len(prompt.contexts) == 1 for prompt in llm.prompts)


def test_a_sure_first_answer_costs_what_the_first_strategy_costs() -> None:
    cheap = Stuff()(job_of(TEXTS, by_width(MAREN, "Zed")))
    answer = Cascade(CHEAP_THEN_DEAR)(job_of(TEXTS, by_width(MAREN, "Zed")))
    assert (answer.text, answer.evidence, answer.usage.calls) == (cheap.text, cheap.evidence, 1)


@pytest.mark.parametrize(
    "together",
    ["NOT FOUND", "", "Zed\nQuote: Zed keeps the lamp."],
    ids=["says so", "says nothing", "its quote is nowhere"],
)
def test_an_abstention_by_the_rules_of_the_job_brings_on_the_next(together: str) -> None:
    notes: list[str] = []
    trace = Trace(listeners=[lambda event: notes.append(event.text) if isinstance(event, Noted) else None])
    job = job_of(TEXTS, by_width(together, MAREN), trace=trace)
    answer = Cascade(CHEAP_THEN_DEAR)(job)
    assert (answer.text, asked(job.llm) > 0) == ("Maren", True)
    assert answer.usage.calls == 1 + MapRerank()(job_of(TEXTS, by_width(together, MAREN))).usage.calls
    assert len(notes) == 1 and notes[0].startswith("stuff is not sure (") and "map_rerank is tried" in notes[0]


def test_a_quote_that_is_nowhere_is_enough_where_evidence_is_not_required() -> None:
    job = job_of(TEXTS, by_width("Zed\nQuote: Zed keeps the lamp.", MAREN), require_evidence=False)
    assert (Cascade(CHEAP_THEN_DEAR)(job).text, asked(job.llm)) == ("Zed", 0)


@pytest.mark.parametrize(
    ("confidence", "bound", "calls"), [(0.6, 0.5, 1), (0.5, 0.5, 1), (0.49, 0.5, 4), (0.49, 0.0, 1)]
)
def test_a_confidence_below_sure_brings_on_the_next(confidence: float, bound: float, calls: int) -> None:
    llm = by_width(sure("Maren", confidence), sure("Maren", 0.9), confident=True)
    answer = Cascade(CHEAP_THEN_DEAR, sure=bound)(job_of(TEXTS, llm))
    assert (answer.text, answer.usage.calls) == ("Maren", calls)
    assert answer.confidence == pytest.approx(confidence if calls == 1 else 0.9)


def test_the_best_so_far_is_kept_where_the_last_abstains_or_is_less_sure() -> None:
    for alone, expected in ((sure("", 0.0), 0.4), (sure("Zed", 0.2), 0.4), (sure("Maren", 0.45), 0.45)):
        answer = Cascade(CHEAP_THEN_DEAR)(job_of(TEXTS, by_width(sure("Maren", 0.4), alone, confident=True)))
        assert (answer.text, answer.abstained) == ("Maren", False)
        assert answer.confidence == pytest.approx(expected)


def test_a_confidence_below_the_least_of_the_job_is_an_abstention_even_of_the_last() -> None:
    llm = by_width(sure("Maren", 0.05), sure("Maren", 0.06), confident=True)
    answer = Cascade(CHEAP_THEN_DEAR)(job_of(TEXTS, llm, min_confidence=0.08))
    assert (answer.abstained, answer.usage.calls) == (True, 4)


def test_the_plan_is_the_sum_of_the_plans() -> None:
    job = job_of(TEXTS, by_width("NOT FOUND", MAREN))
    one, two = Stuff().plan(job), MapRerank().plan(job)
    summed = Plan(one.calls + two.calls, one.prompt_tokens + two.prompt_tokens, one.new_tokens + two.new_tokens)
    assert Cascade(CHEAP_THEN_DEAR).plan(job) == summed


@pytest.mark.parametrize(("calls", "text"), [(0, ""), (1, ""), (2, "Maren"), (4, "Maren"), (6, "Maren"), (10, "Maren")])
def test_one_budget_holds_for_all_and_a_later_try_gets_what_is_left(calls: int, text: str) -> None:
    job = job_of(TEXTS, by_width("NOT FOUND", MAREN), limits=Limits(calls=calls), relevance=[0.0, 1.0, 0.5])
    answer = Cascade(CHEAP_THEN_DEAR)(job)
    assert answer.text == text and answer.usage.calls <= calls
    if calls in (4, 6):
        assert [prompt.contexts for prompt in job.llm.prompts[1:]] == [("The lamp is kept by Maren. ",)] * 3  # type: ignore[attr-defined]


def heard(job: Job, strategy: Cascade) -> tuple[str, list[str]]:
    pieces: list[str] = []
    job.trace.listeners.append(lambda event: pieces.append(event.text) if isinstance(event, Streamed) else None)
    return strategy(job).text, pieces


@pytest.mark.parametrize(
    ("together", "alone"),
    [
        ("Perhaps it is someone of the name of Zed\nQuote: Zed keeps the lamp.", MAREN),
        (MAREN, "NOT FOUND"),
        ("It is, as everybody knows, kept by Maren\nQuote: The lamp is kept by Maren.", "NOT FOUND"),
    ],
)
def test_what_is_streamed_is_the_answer_and_nothing_of_a_try_that_was_dropped(together: str, alone: str) -> None:
    for tries in (CHEAP_THEN_DEAR, ("map_rerank", "stuff"), ("truncate", "map_rerank")):
        trace = Trace()
        text, pieces = heard(job_of(TEXTS, by_width(together, alone), trace=trace, voice=Voice(trace)), Cascade(tries))
        assert "".join(pieces) == text


def test_only_a_last_try_that_nothing_precedes_speaks_as_it_goes() -> None:
    long = "It is, as everybody knows, kept by Maren\nQuote: The lamp is kept by Maren."
    for tries, at_once in ((("map_rerank", "stuff"), False), (("stuff", "map_rerank"), True)):
        trace = Trace()
        job = job_of(TEXTS, by_width(long, "NOT FOUND"), trace=trace, voice=Voice(trace))
        text, pieces = heard(job, Cascade(tries))
        assert text == "".join(pieces) == "It is, as everybody knows, kept by Maren"
        assert (len(pieces) == 1) == at_once


def test_a_last_try_is_not_heard_before_it_is_known_to_be_surer_than_the_one_before_it() -> None:
    long = Generation("It is, as everybody knows, kept by Zed", 0, 9, confidence=0.2, quote="Rain fell.")
    for first, expected in ((0.4, "Maren"), (0.1, long.text)):
        trace = Trace()
        llm = by_width(long, sure("Maren", first), confident=True)
        text, pieces = heard(job_of(TEXTS, llm, trace=trace, voice=Voice(trace)), Cascade(("map_rerank", "stuff")))
        assert "".join(pieces) == text == expected and len(pieces) == 1


def test_a_try_that_reads_a_selection_gets_one_where_another_reads_everything() -> None:
    texts = [*(f"Gulls were counted on day {i}. " for i in range(30)), "The lamp is kept by Maren. "]
    job = job_of(texts, by_width("NOT FOUND", "NOT FOUND"))
    strategy = Cascade(("stuff", "tail"), top=3)
    assert strategy.reads == "all" and Cascade(CHEAP_THEN_DEAR).reads == "selected"
    plan = strategy.plan(job)
    strategy(job)
    first, last = (prompt.contexts for prompt in job.llm.prompts)  # type: ignore[attr-defined]
    assert len(first) == 3 and first[-1] == texts[-1]
    assert last == tuple(texts)
    spent = sum(map(job.llm.count_tokens, job.llm.prompts))  # type: ignore[attr-defined]
    assert spent <= plan.prompt_tokens


def test_a_summary_is_of_everything_whoever_makes_it() -> None:
    texts = [f"Gulls were counted on day {i}. " for i in range(12)]
    job = job_of(texts, ScriptedLLM(["Gulls were counted."]), task=Summarising())
    Cascade(("stuff", "tail"), top=3)(job)
    assert job.llm.prompts[0].contexts == tuple(texts)  # type: ignore[attr-defined]


class Scoreless(ScriptedLLM):
    def check_scores(self) -> None:
        raise ModelError("it gives no log-probabilities")


def test_what_a_later_try_needs_is_asked_before_the_first_call() -> None:
    llm = Scoreless([MAREN])
    with pytest.raises(ModelError, match="no log-probabilities"):
        Cascade(("stuff", {"map_rerank": {"score": "likelihood"}}))(job_of(TEXTS, llm))
    assert llm.prompts == []


def test_the_room_is_the_least_and_the_steps_are_those_of_all() -> None:
    job = job_of(TEXTS)
    strategy = Cascade(CHEAP_THEN_DEAR)
    assert strategy.room_of(job) == min(Stuff().room_of(job), MapRerank().room_of(job))
    assert dict(strategy.steps).keys() == Stuff.steps.keys() | MapRerank.steps.keys()
    assert strategy.title == "cascade(stuff, map_rerank)"


def test_it_is_made_from_a_spec_and_refuses_one_that_means_nothing() -> None:
    made = make({"cascade": {"tries": ["truncate", {"map_rerank": {"prior": 0.0}}], "sure": 0.7}})
    assert isinstance(made, Cascade) and made.inner[1] == MapRerank(prior=0.0)
    bad: list[dict[str, object]] = [{"tries": []}, {"tries": "stuff"}, {"sure": 1.5}, {"top": 0}]
    for values in bad:
        with pytest.raises(ConfigError):
            make({"cascade": values})
    with pytest.raises(UnknownNameError):
        make({"cascade": {"tries": ["stuf"]}})

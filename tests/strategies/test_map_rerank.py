"""The surest chunk wins, however its score is had; no score is an error.

Holds the proofs of ALGORITHMS.md, section 4 on permuted chunks and on score strings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import models
import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM, TransformersLLM
from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Generation
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies.map_rerank import NUMBER, MapRerank, by_number, logit, number, sigmoid
from ctxproc.task import Reply
from ctxproc.trace import Called, Event, Noted, Trace

BY_NUMBER = MapRerank(score="number")


class Silent(ScriptedLLM):
    """A model without log-likelihoods."""

    def check_scores(self) -> None:
        raise ModelError("no log-probabilities here")


def sure(confidence: Callable[[str], float]) -> ScriptedLLM:
    """Answers every chunk with its words and a confidence."""
    return ScriptedLLM(
        lambda p: Generation(p.contexts[0].strip(), 0, 0, confidence=confidence(p.contexts[0]), quote=p.contexts[0]),
        gives_confidence=True,
    )


def rating(score: Callable[[str], str], kind: type[ScriptedLLM] = ScriptedLLM) -> ScriptedLLM:
    """Answers every chunk with its words and, asked for a number, with ``score`` of the chunk."""
    return kind(lambda p: score(p.contexts[0]) if p.step == NUMBER else p.contexts[0].strip())


def test_each_chunk_is_asked_once_and_the_surest_wins() -> None:
    confidences = {"one. ": 0.3, "two. ": 0.9, "three. ": 0.5}
    answer = MapRerank()(job_of(list(confidences), sure(confidences.__getitem__)))
    assert (answer.text, answer.confidence, answer.usage.calls) == ("two.", 0.9, 3)


@pytest.mark.parametrize("strategy", [MapRerank(), BY_NUMBER], ids=["confidence", "number"])
@settings(deadline=None, max_examples=50)
@given(order=st.permutations(range(5)), scores=st.lists(st.sampled_from([10, 50, 90]), min_size=5, max_size=5))
def test_proof_permuting_the_chunks_does_not_change_the_winner_but_for_ties_which_the_earliest_wins(
    strategy: MapRerank, order: Sequence[int], scores: Sequence[int]
) -> None:
    names = [f"name{i}. " for i in order]
    score = {f"name{i}. ": scores[i] for i in range(5)}
    llm = rating(lambda name: str(score[name])) if strategy == BY_NUMBER else sure(lambda name: score[name] / 100)
    answer = strategy(job_of(names, llm))
    assert answer.text == next(name for name in names if score[name] == max(scores)).strip()
    assert answer.confidence == max(scores) / 100


def test_without_a_confidence_the_score_is_the_likelihood_of_yes_against_no() -> None:
    def likelihood(prompt: Prompt, verdict: str) -> float:
        yes = {"red": -0.2, "blue": -2.0}[prompt.field("answer")]
        return yes if verdict == " yes" else math.log1p(-math.exp(yes))

    llm = ScriptedLLM(lambda p: p.contexts[0].split()[0], likelihood=likelihood)
    answer = MapRerank()(job_of(["blue sky. ", "red sky. "], llm))
    assert answer.text == "red"
    assert answer.confidence == pytest.approx(math.exp(-0.2))
    assert answer.usage.calls == 2 + 4


def test_equal_answers_of_several_chunks_are_all_evidence() -> None:
    llm = ScriptedLLM(lambda p: Generation("Maren", 7, 0, confidence=len(p.contexts[0]) / 100, quote=p.contexts[0]))
    answer = MapRerank()(job_of(["Maren kept it. ", "It was Maren who kept it. "], llm))
    assert [item.quote for item in answer.evidence] == ["It was Maren who kept it.", "Maren kept it."]


def test_the_search_is_weighed_as_a_prior() -> None:
    confidences = {"one. ": 0.6, "two. ": 0.5}
    llm = sure(confidences.__getitem__)
    job = job_of(list(confidences), llm)
    assert MapRerank()(job).confidence == pytest.approx(0.6)
    answer = MapRerank(prior=2, neutral=0.5)(replace(job, relevance=[0.5, 1.0]))
    assert (answer.text, answer.confidence) == ("two.", pytest.approx(1 / (1 + math.exp(-2 * 0.5))))
    assert MapRerank(prior=0)(replace(job, relevance=[0.5, 1.0])).text == "one."
    assert MapRerank(neutral=0.5)(replace(job, relevance=[0.5, 0.5])).confidence == pytest.approx(0.6)


def test_a_number_scores_an_answer_with_one_more_call_each() -> None:
    llm = rating({"one. ": "20", "two. ": "85", "three. ": "40"}.__getitem__)
    answer = BY_NUMBER(job_of(["one. ", "two. ", "three. "], llm))
    assert (answer.text, answer.confidence, answer.usage.calls) == ("two.", 0.85, 6)
    assert [prompt.field("answer") for prompt in llm.prompts[3:]] == ["one.", "two.", "three."]


def test_the_plan_counts_the_calls_and_tokens_of_every_way_of_scoring() -> None:
    job = job_of(["one. ", "two. ", "three. "])
    answers = 3 * 20
    assert (BY_NUMBER.plan(job).calls, BY_NUMBER.plan(job).new_tokens) == (6, answers + 3 * 8)
    by_likelihood = MapRerank(score="likelihood").plan(job)
    assert (by_likelihood.calls, by_likelihood.new_tokens) == (9, answers)
    either = MapRerank().plan(job)
    assert (either.calls, either.new_tokens) == (9, answers + 3 * 8)
    assert either.prompt_tokens == max(by_likelihood.prompt_tokens, BY_NUMBER.plan(job).prompt_tokens)
    assert MapRerank().plan(job_of(["one. ", "two. "], ScriptedLLM(gives_confidence=True))).calls == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("85", 85),
        ("Score: 90", 90),
        ("red. Score: 90", 90),
        ("score: 7", 7),
        ("8.5", 8.5),
        ("8,5", 8.5),
        ("70\n\nQuestion: another?\nScore: 100", 70),
        ("101", 100),
        ("-5", 0),
        ("9" * 500, 100),
        ("٤٢", 42),
        ("²", 0),
        ("N/A", 0),
        ("nan", 0),
        ("", 0),
        ("0<|im_end|>", 0),
    ],
)
def test_the_first_number_counts_within_0_and_100_and_a_missing_one_is_0(text: str, expected: float) -> None:
    assert number(text) == expected


@given(st.text() | st.text("0123456789.,-+eE% "))
def test_proof_no_score_string_raises(text: str) -> None:
    assert 0 <= number(text) <= 100


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(), min_size=3, max_size=3))
def test_proof_no_score_string_ends_a_run(scores: Sequence[str]) -> None:
    score = dict(zip(["one. ", "two. ", "three. "], scores, strict=True))
    answer = BY_NUMBER(job_of(list(score), rating(score.__getitem__)))
    assert answer.text in ("one.", "two.", "three.")
    assert 0 <= (answer.confidence or 0) <= 1


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_likelihood_raises(x: float) -> None:
    assert 0 <= sigmoid(x) <= 1


@given(st.floats(0, 1))
def test_log_odds_and_back(p: float) -> None:
    assert sigmoid(logit(p)) == pytest.approx(p, abs=1e-8)


def test_a_model_without_likelihoods_is_asked_for_numbers_unless_likelihoods_were_demanded() -> None:
    scores = {"one. ": "20", "two. ": "85"}
    events: list[Event] = []
    llm = rating(scores.__getitem__, Silent)
    job = job_of(list(scores), llm, trace=Trace(listeners=[events.append]))
    answer = MapRerank()(job)
    assert (answer.text, answer.confidence) == ("two.", 0.85)
    assert Noted("scripted gives no likelihoods: it is asked for a number from 0 to 100") in events
    llm.prompts.clear()
    with pytest.raises(ModelError, match="no log-probabilities here"):
        MapRerank(score="likelihood")(job)
    assert not llm.prompts


@pytest.mark.parametrize("strategy", [BY_NUMBER, MapRerank(score="likelihood")], ids=["number", "likelihood"])
def test_answers_that_a_limit_forbids_to_judge_have_no_confidence_and_the_most_relevant_stands(
    strategy: MapRerank,
) -> None:
    job = job_of(["one. ", "two. "], rating(lambda _: "99"), min_confidence=0.5)
    for relevance, text in (((), "one."), ((0.2, 1.0), "two."), ((1.0, 0.2), "one.")):
        some = replace(job, relevance=relevance, llm=metered(job.llm, Limits(calls=2), Trace()))
        draft = strategy.read(some)
        assert (draft.text, draft.confidence) == (text, None)
        assert [quote.score for quote in draft.quotes] == [1.0]


@pytest.mark.parametrize("calls", [1, 2])
def test_a_quote_that_was_found_is_not_thrown_away_where_no_call_is_left_to_judge_it(calls: int) -> None:
    llm = ScriptedLLM(["Maren\nQuote: kept by Maren"])
    job = job_of(["The lamp is kept by Maren. "], llm, relevance=[1.0], min_confidence=0.08)
    answer = MapRerank()(replace(job, limits=Limits(calls=calls)))
    assert (answer.text, answer.confidence, answer.stopped) == ("Maren", None, f"limits.calls {calls} reached")
    assert [(item.quote, item.status, item.score) for item in answer.evidence] == [("kept by Maren", "verified", 1.0)]


def test_an_answer_that_was_judged_comes_before_a_more_relevant_one_that_was_not() -> None:
    job = job_of(["one. ", "two. ", "three. "], rating(lambda _: "20"), relevance=[0.75, 1.0, 0.5])
    draft = BY_NUMBER.read(replace(job, llm=metered(job.llm, Limits(calls=4), Trace())))
    assert (draft.text, draft.confidence) == ("one.", pytest.approx(0.2))


def test_an_unknown_way_of_scoring_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, likelihood or number, not 'prose'"):
        MapRerank(score="prose")  # type: ignore[arg-type]


def test_a_model_with_logits_can_reply_with_nothing_but_a_number_from_0_to_100(tmp_path: Path) -> None:
    llm = TransformersLLM(
        str(models.build(tmp_path, "qwen3", max_position_embeddings=2048)),
        device="cpu",
        dtype="float32",
        context_window=2048,
    )
    job = job_of(["one. ", "two. ", "three. ", "a lamp. "], llm)
    said: list[str] = []
    listening = replace(
        job,
        llm=metered(llm, Limits(), Trace(listeners=[lambda e: said.append(e.text) if isinstance(e, Called) else None])),
    )
    scores = by_number(listening, [(chunk, Reply("one", "one")) for chunk in job.chunks])
    assert all(0 <= json.loads(text) <= 100 for text in said) and len(said) == 4
    assert scores == [json.loads(text) / 100 for text in said]

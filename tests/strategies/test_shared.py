"""Every strategy keeps the contract: prompts fit, no more is spent than planned, and the proofs of each one."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError, LimitError, PromptTooLongError, UnknownNameError
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt
from ctxproc.strategies import Strategy, catalogue
from ctxproc.strategies.base import Reply, clip, parse, same
from ctxproc.strategies.map_reduce import MapReduce
from ctxproc.strategies.map_rerank import MapRerank, logit, sigmoid
from ctxproc.strategies.stuff import Stuff

STRATEGIES: tuple[Strategy, ...] = (Stuff(), MapRerank(), MapReduce())
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
texts = st.lists(st.text("ab c.\n", min_size=1, max_size=60), max_size=12)
replies = st.sampled_from(["a", "NOT FOUND", "b\nQuote: b", "a b c " * 30, "", "Quote:", "a\n\n", "c. " * 9])


def test_every_strategy_of_the_catalogue_is_tested_here() -> None:
    assert catalogue.names() == sorted(strategy.name for strategy in STRATEGIES)


@every_strategy
@settings(deadline=None, max_examples=60)
@given(texts=texts, replies=st.lists(replies, min_size=1, max_size=5), window=st.integers(120, 400), sure=st.booleans())
def test_every_prompt_fits_and_nothing_is_spent_beyond_the_plan(
    strategy: Strategy, texts: Sequence[str], replies: Sequence[str], window: int, sure: bool
) -> None:
    turn = iter(range(10_000))

    def reply(_: Prompt) -> str | Generation:
        text = replies[next(turn) % len(replies)]
        return Generation(text, 0, 3, confidence=0.5, quote=text) if sure else text

    llm = ScriptedLLM(reply, context_window=window, gives_confidence=sure)
    job = job_of(texts, llm, sampling=Sampling(max_new_tokens=12))
    if any(chunk.tokens > strategy.room(llm, job.question, job.sampling) for chunk in job.chunks):
        return
    plan = strategy.plan(job)
    usage = strategy(job).usage
    assert usage.calls <= plan.calls
    assert usage.prompt_tokens <= plan.prompt_tokens
    assert usage.new_tokens <= plan.new_tokens
    for prompt in llm.prompts:
        assert llm.count_tokens(prompt) <= window


@every_strategy
def test_no_chunks_give_an_abstention_without_a_call(strategy: Strategy) -> None:
    job = job_of([])
    answer = strategy(job)
    assert (answer.abstained, answer.text, answer.evidence, answer.usage.calls) == (True, "", (), 0)
    assert strategy.plan(job).calls == 0


@every_strategy
def test_an_answer_carries_its_quote_from_the_document(strategy: Strategy) -> None:
    llm = ScriptedLLM(
        lambda prompt: "Maren\nQuote: The lamp is kept by Maren." if "Maren" in prompt.part("context") else "NOT FOUND",
        likelihood=lambda _, verdict: 0.0 if "yes" in verdict else -3.0,
    )
    answer = strategy(job_of(["Salt came. ", "The lamp is kept by Maren. ", "Rain fell."], llm))
    assert (answer.text, answer.abstained, answer.model) == ("Maren", False, "scripted")
    [item] = answer.evidence
    assert (item.status, item.quote, item.start) == ("verified", "The lamp is kept by Maren.", 11)


@every_strategy
def test_an_answer_whose_quote_is_nowhere_is_an_abstention_unless_allowed(strategy: Strategy) -> None:
    llm = ScriptedLLM(["Zed\nQuote: Zed keeps it."])
    texts = ["The lamp is kept by Maren. "]
    assert strategy(job_of(texts, llm)).abstained
    answer = strategy(job_of(texts, llm, require_evidence=False))
    assert (answer.text, answer.evidence[0].status) == ("Zed", "unverified")


@every_strategy
def test_a_question_too_long_for_the_window_says_by_how_much(strategy: Strategy) -> None:
    llm = ScriptedLLM(context_window=150)
    with pytest.raises(PromptTooLongError, match="more than the model's window of 150"):
        strategy.room(llm, "why " * 200, Sampling(max_new_tokens=12))


@every_strategy
def test_a_limit_of_calls_stops_before_the_call(strategy: Strategy) -> None:
    llm = ScriptedLLM(["a"])
    with pytest.raises(LimitError, match=r"limits\.calls is 0"):
        strategy(job_of(["a "] * 5, llm, limits=Limits(calls=0)))
    with pytest.raises(LimitError, match=r"limits\.tokens is 9"):
        strategy(job_of(["a "] * 5, llm, limits=Limits(tokens=9)))
    assert not llm.prompts


def test_stuff_takes_the_most_relevant_that_fit_in_document_order() -> None:
    llm = ScriptedLLM(["x"], context_window=150)
    strategy, sampling = Stuff(), Sampling(max_new_tokens=12)
    room = strategy.room(llm, "Who keeps the lamp?", sampling)
    size = room // 2 - 2
    texts = [f"{letter} " * size for letter in "abc"]
    job = job_of(texts, llm, relevance=[0.1, 0.9, 0.5], sampling=sampling)
    strategy(job)
    assert llm.prompts[0].contexts == (texts[1], texts[2])


def test_map_rerank_asks_each_chunk_once_and_takes_the_surest() -> None:
    sure = {"one. ": 0.3, "two. ": 0.9, "three. ": 0.5}
    llm = ScriptedLLM(
        lambda p: Generation(p.contexts[0].strip(), 7, 0, confidence=sure[p.contexts[0]], quote=p.contexts[0])
    )
    answer = MapRerank()(job_of(list(sure), llm))
    assert (answer.text, answer.confidence, answer.usage.calls) == ("two.", 0.9, 3)


@settings(deadline=None, max_examples=50)
@given(st.permutations(range(5)), st.lists(st.sampled_from([0.1, 0.5, 0.9]), min_size=5, max_size=5))
def test_map_rerank_does_not_depend_on_the_order_but_for_ties(order: Sequence[int], scores: Sequence[float]) -> None:
    names = [f"name{i}. " for i in order]
    score = {f"name{i}. ": scores[i] for i in range(5)}
    llm = ScriptedLLM(
        lambda p: Generation(p.contexts[0].strip(), 7, 0, confidence=score[p.contexts[0]], quote=p.contexts[0])
    )
    winner = MapRerank()(job_of(names, llm)).text
    assert winner == next(name for name in names if score[name] == max(scores)).strip()


def test_map_rerank_scores_by_the_likelihood_of_yes_against_no() -> None:
    def likelihood(prompt: Prompt, verdict: str) -> float:
        yes = {"red": -0.2, "blue": -2.0}[prompt.field("answer")]
        return yes if verdict == " yes" else math.log1p(-math.exp(yes))

    llm = ScriptedLLM(lambda p: p.contexts[0].split()[0], likelihood=likelihood)
    answer = MapRerank()(job_of(["blue sky. ", "red sky. "], llm))
    assert answer.text == "red"
    assert answer.confidence == pytest.approx(math.exp(-0.2))
    assert answer.usage.calls == 2 + 4


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_score_raises(x: float) -> None:
    assert 0 <= sigmoid(x) <= 1


def test_equal_answers_of_several_chunks_are_all_evidence() -> None:
    llm = ScriptedLLM(lambda p: Generation("Maren", 7, 0, confidence=len(p.contexts[0]) / 100, quote=p.contexts[0]))
    answer = MapRerank()(job_of(["Maren kept it. ", "It was Maren who kept it. "], llm))
    assert [item.quote for item in answer.evidence] == ["It was Maren who kept it.", "Maren kept it."]


def test_map_reduce_makes_as_many_calls_as_notes_and_groups_need() -> None:
    llm = ScriptedLLM(
        lambda p: "note\nQuote: word" if p.step != "map_reduce.reduce" else "end\nQuote: word", context_window=4096
    )
    answer = MapReduce()(job_of([f"word {i}. " for i in range(7)], llm))
    assert (answer.text, answer.usage.calls) == ("end", 8)
    assert [prompt.step for prompt in llm.prompts] == ["map_reduce.map"] * 7 + ["map_reduce.reduce"]


def test_map_reduce_skips_chunks_without_a_note_and_returns_a_single_note() -> None:
    llm = ScriptedLLM(lambda p: "red\nQuote: red" if "red" in p.part("context") else "not found.")
    answer = MapReduce()(job_of(["blue. ", "red. ", "green. "], llm))
    assert (answer.text, answer.usage.calls) == ("red", 3)
    assert MapReduce()(job_of(["blue. ", "green. "], llm)).usage.calls == 2


@settings(deadline=None, max_examples=40)
@given(n=st.integers(1, 60), length=st.integers(1, 40), window=st.integers(160, 300))
def test_map_reduce_ends_on_a_model_that_only_echoes(n: int, length: int, window: int) -> None:
    llm = ScriptedLLM(lambda prompt: prompt.part("context"), context_window=window)
    job = job_of(["w " * length] * n, llm, sampling=Sampling(max_new_tokens=16))
    answer = MapReduce()(job)
    assert answer.usage.calls <= MapReduce().plan(job).calls
    assert answer.usage.calls <= 2 * n + 1


@pytest.mark.parametrize(
    ("text", "answer", "quote"),
    [
        (" Maren Oduya\nQuote: “She keeps it.”", "Maren Oduya", "She keeps it."),
        ("Answer: red\nquote : 'a b'", "red", "a b"),
        ("**Answer:** red\n**Quote:** it is red", "red", "it is red"),
        ("红色\nQuote：“门是红色的。”", "红色", "门是红色的。"),
        ("two\nlines\nQuote: q\nQuote: r", "two\nlines", "q"),
        ("just words", "just words", "just words"),
        ("NOT FOUND", "", ""),
        (" not found. Quote: x", "", ""),
        ("", "", ""),
        ("\n\n", "", ""),
        ("Quote: only", "", ""),
    ],
)
def test_a_reply_is_taken_apart_forgivingly(text: str, answer: str, quote: str) -> None:
    assert parse(Generation(text, 1, 1)) == Reply(answer, quote)


@given(st.text())
def test_no_reply_raises(text: str) -> None:
    parse(Generation(text, 1, 1))


@given(st.text(), st.integers(0, 20))
def test_clipping_keeps_the_longest_beginning_of_so_many_tokens(text: str, tokens: int) -> None:
    llm = ScriptedLLM()
    clipped = clip(text, tokens, llm)
    assert text.startswith(clipped) and llm.tokenizer.count(clipped) <= tokens
    assert clipped == text or llm.tokenizer.count(clipped) == tokens


def test_same_answers() -> None:
    assert same("“Maren Oduya”.", '"maren  oduya"')
    assert not same("Maren", "Oduya")


def test_the_catalogue_makes_strategies_from_specs_and_names_what_is_wrong() -> None:
    assert catalogue.make("map_rerank") == MapRerank()
    assert catalogue.make({"stuff": {}}) == Stuff()
    with pytest.raises(UnknownNameError, match="map_reduce, map_rerank, stuff"):
        catalogue.make("nonesuch")
    with pytest.raises(ConfigError, match="has no parameter 'x'; it has: none"):
        catalogue.make({"stuff": {"x": 1}})
    with pytest.raises(ConfigError, match="a strategy is a name or"):
        catalogue.make({"stuff": {}, "map_rerank": {}})


def test_map_rerank_weighs_the_search_as_a_prior() -> None:
    sure = {"one. ": 0.6, "two. ": 0.5}
    llm = ScriptedLLM(
        lambda p: Generation(p.contexts[0].strip(), 0, 0, confidence=sure[p.contexts[0]], quote=p.contexts[0])
    )
    assert MapRerank()(job_of(list(sure), llm)).confidence == pytest.approx(0.6)
    answer = MapRerank(prior=2, neutral=0.5)(job_of(list(sure), llm, relevance=[0.5, 1.0]))
    assert (answer.text, answer.confidence) == ("two.", pytest.approx(1 / (1 + math.exp(-2 * 0.5))))
    assert MapRerank(prior=0)(job_of(list(sure), llm, relevance=[0.5, 1.0])).text == "one."
    assert MapRerank(neutral=0.5)(job_of(list(sure), llm, relevance=[0.5, 0.5])).confidence == pytest.approx(0.6)


@given(st.floats(0, 1))
def test_log_odds_and_back(p: float) -> None:
    assert sigmoid(logit(p)) == pytest.approx(p, abs=1e-8)


def test_stuff_fills_the_window_to_the_last_token_and_not_beyond() -> None:
    llm, sampling = ScriptedLLM(["x"], context_window=200), Sampling(max_new_tokens=12)
    room = Stuff().room(llm, "Who keeps the lamp?", sampling) - llm.tokenizer.count("\n\n")
    for excess, chunks in ((0, 2), (1, 1)):
        llm.prompts.clear()
        Stuff()(job_of([("a " * 10).strip(), ("b " * (room - 10 + excess)).strip()], llm, sampling=sampling))
        assert len(llm.prompts[0].contexts) == chunks
    assert llm.count_tokens(llm.prompts[0]) + 12 <= 200

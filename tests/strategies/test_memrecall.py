"""MemRecall: rounds, decay, every judge against its definition, and the proofs of ALGORITHMS.md, section 3.

These are two hops, capacity, order and whole documents; those of its block split are in `test_block_split.py`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from helpers import job_of
from hypothesis import given, settings
from hypothesis import strategies as st
from models import cross_encoder
from rows import loader

from ctxproc import Chunk, ScriptedLLM
from ctxproc.catalogue import Spec
from ctxproc.errors import ConfigError, ModelError, UnknownNameError
from ctxproc.job import Job
from ctxproc.llm.base import Generation, Sampling
from ctxproc.llm.meter import Limits
from ctxproc.prompt import Prompt
from ctxproc.strategies import make
from ctxproc.strategies._judges import Embedding, Judge, judge, relevance
from ctxproc.strategies.memrecall import MemRecall, best_first
from ctxproc.text import words
from ctxproc.trace import Event, Kept, Trace

ROOM = 10_000


def texts_of(strategy: MemRecall, job: Job) -> list[str]:
    """What is selected, in document order."""
    return [chunk.text for chunk in job.over(strategy.select(job)).chunks]


def tokens_of(job: Job, texts: Sequence[str]) -> int:
    """What these texts take of a prompt."""
    return sum(map(job.llm.tokenizer.count, texts)) + max(0, len(texts) - 1) * job.llm.tokenizer.count("\n\n")


# The proof of section 3: two hops.


def two_hops(seed: int) -> tuple[list[str], str, str]:
    """Sixty blocks of noise, "A ... B" and "B ... C" among them; the question mentions A only."""
    rng = random.Random(seed)
    noise = [f"w{i} " + " ".join(f"n{rng.randrange(400)}" for _ in range(6)) + ". " for i in range(60)]
    e1, e2 = "alpha and his folk went into beta. ", "beta now belongs under the great gamma. "
    blocks = [*noise, e1, e2]
    rng.shuffle(blocks)
    return blocks, e1, e2


OVERLAP: Spec = {"embedding": {"own": 0.0, "names": 0.0}}


def recall_of_both(strategy: MemRecall) -> float:
    """The share of 40 documents in which both hops are selected; blocks of noise have equal scores, so chance decides."""
    found = []
    for seed in range(40):
        blocks, e1, e2 = two_hops(seed)
        job = replace(job_of(blocks), question="alpha")
        chosen = texts_of(strategy, job)
        assert len(chosen) == 6
        found.append(e1 in chosen and e2 in chosen)
    return sum(found) / len(found)


SIX = 6 * 9 + 5
"""Tokens of six blocks, each of seven words, a full stop and a space, and of the joints between them."""


def test_proof_the_second_hop_is_recalled_and_by_one_search_it_is_not() -> None:
    assert recall_of_both(MemRecall(capacity=SIX, coarse=OVERLAP, increments=(1,))) == 1.0
    assert recall_of_both(MemRecall(capacity=SIX, coarse=OVERLAP, increments=())) < 0.25


def test_proof_without_the_kept_block_in_the_query_the_second_round_finds_nothing_more() -> None:
    alone: Spec = {"embedding": {"own": 1.0, "names": 0.0}}
    assert recall_of_both(MemRecall(capacity=SIX, coarse=alone, increments=(1,))) < 0.25


def test_three_hops_need_three_rounds() -> None:
    blocks, e1, e2 = two_hops(0)
    job = replace(job_of([*blocks, "gamma was where all of it ended. "]), question="alpha")
    chain = {e1, e2, "gamma was where all of it ended. "}
    three = MemRecall(capacity=SIX, coarse=OVERLAP, increments=(1, 1))
    assert chain <= set(texts_of(three, job))
    assert not chain <= set(texts_of(replace(three, increments=(1,)), job))


# Capacity, order, whole documents, rounds.

some_texts = st.lists(st.text("ab c.", min_size=1, max_size=20), min_size=1, max_size=10)


@settings(deadline=None, max_examples=150)
@given(some_texts, st.integers(2, 30), st.lists(st.integers(1, 3), max_size=3), st.booleans())
def test_proof_the_capacity_is_never_exceeded_order_is_preserved_and_nothing_is_altered(
    texts: list[str], capacity: int, increments: list[int], fine: bool
) -> None:
    job = job_of(texts, ScriptedLLM(["a"]))
    before = replace(job, chunks=list(job.chunks))
    strategy = MemRecall(increments, fine="likelihood" if fine else None, capacity=capacity)
    found = strategy.select(job)
    assert tokens_of(job, [f.chunk.text for f in found]) <= capacity
    assert len({f.chunk.start for f in found}) == len(found)
    read = job.over(found).chunks
    assert [chunk.start for chunk in read] == sorted(chunk.start for chunk in read)
    assert (job.question, job.chunks, job.relevance) == (before.question, before.chunks, before.relevance)
    assert increments == list(strategy.increments)


@settings(deadline=None)
@given(some_texts)
def test_proof_a_document_that_fits_is_returned_whole_and_without_a_call(texts: list[str]) -> None:
    llm = ScriptedLLM()
    job = job_of(texts, llm)
    strategy = MemRecall(coarse="likelihood", fine="intervention", capacity=tokens_of(job, texts))
    assert texts_of(strategy, job) == texts
    assert llm.prompts == []
    smaller = replace(strategy, capacity=tokens_of(job, texts) - 1) if len(texts) > 1 else strategy
    assert texts_of(smaller, job) == texts or llm.prompts


def marked(scores: Sequence[float]) -> Callable[[str, Sequence[Chunk]], list[float]]:
    """Chunks have these similarities to any query."""
    return lambda _query, chunks: [scores[chunk.index] for chunk in chunks]


FIVE = ["one. ", "two two two two. ", "three. ", "four. ", "five. "]
PLAIN: Spec = {"embedding": {"own": 1.0, "names": 0.0}}


def test_filling_stops_at_the_first_that_does_not_fit_and_skips_none() -> None:
    job = job_of(FIVE, similarity=marked([0.9, 0.8, 0.7, 0.6, 0.5]))
    assert [chunk.tokens for chunk in job.chunks] == [3, 6, 3, 3, 3]
    assert texts_of(MemRecall((), coarse=PLAIN, capacity=8), job) == ["one. "]
    assert texts_of(MemRecall((), coarse=PLAIN, capacity=10), job) == ["one. ", "two two two two. "]


def rounds(strategy: MemRecall, job: Job) -> list[tuple[str, list[int]]]:
    """What the trace tells of each step: which chunks were in the buffer, which were kept."""
    events: list[Event] = []
    job = replace(job, trace=Trace(listeners=[events.append]))
    starts = [chunk.start for chunk in job.chunks]
    strategy.select(job)
    return [(e.by, [starts.index(start) for _, start, _, _ in e.chunks]) for e in events if isinstance(e, Kept)]


def test_the_trace_tells_each_round() -> None:
    job = job_of(FIVE, similarity=marked([0.5, 0.1, 0.7, 0.6, 0.9]))
    assert rounds(MemRecall((2,), coarse=PLAIN, capacity=11), job) == [
        ("memrecall: buffer of round 1", [4, 2, 3]),
        ("memrecall: kept after round 1", [4, 2]),
        ("memrecall: buffer of round 2", [4, 2, 3]),
    ]


def test_a_buffer_that_holds_no_more_than_is_to_be_kept_ends_the_rounds() -> None:
    job = job_of(FIVE, similarity=marked([0.5, 0.1, 0.7, 0.6, 0.9]))
    told = [by for by, _ in rounds(MemRecall((3, 1, 1), coarse=PLAIN, capacity=11), job)]
    assert told == ["memrecall: buffer of round 1"]


class Fixed(Judge):
    """Given scores."""

    table: Sequence[float] = ()

    def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
        """By place."""
        return [self.table[i] for i in asked]


def test_rehearsal_decides_what_is_kept_and_may_forget_what_was_kept_before(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(FIVE, similarity=marked([0.5, 0.1, 0.7, 0.6, 0.9]))
    turns = iter([[0.0, 0, 5, 4, 1], [9.0, 0, 1, 0, 0]])

    class Turning(Fixed):
        def scores(self, kept: Sequence[int], asked: Sequence[int]) -> list[float]:
            self.table = next(turns)
            return super().scores(kept, asked)

    monkeypatch.setattr(MemRecall, "_judges", lambda _, job: (judge(PLAIN, job, ROOM), Turning(job, ROOM)))
    assert rounds(MemRecall((1, 1), capacity=15), job) == [
        ("memrecall: buffer of round 1", [4, 2, 3, 0]),
        ("memrecall: kept after round 1", [2]),
        ("memrecall: buffer of round 2", [2, 4, 3, 0]),
        ("memrecall: kept after round 2", [0, 2]),
        ("memrecall: buffer of round 3", [0, 2, 4, 3]),
    ]


def test_what_was_not_judged_comes_last_and_equals_stay() -> None:
    assert best_first([3, 1, 2, 0], [0.5, math.nan, 0.7, 0.5]) == [2, 3, 0, 1]


def test_the_selection_is_read_by_the_strategy_after_the_plus() -> None:
    blocks, e1, e2 = two_hops(3)
    llm = ScriptedLLM(
        lambda p: (
            "gamma\nQuote: beta now belongs under the great gamma." if e1 in p.contexts and e2 in p.contexts else ""
        )
    )
    strategy = make({"memrecall": {"capacity": SIX, "then": "stuff"}})
    answer = strategy(replace(job_of(blocks, llm), question="Where did alpha go to?"))
    assert (answer.text, answer.strategy, len(llm.prompts)) == ("gamma", "memrecall+stuff", 1)
    assert answer.evidence[0].quote == "beta now belongs under the great gamma."
    assert make("memrecall+map_rerank").title == "memrecall+map_rerank"


# The judges.


def slow_near(question: str, texts: Sequence[str], job: Job, kept: int | None, i: int) -> float:
    """Similarity and rare words in common, worked out for one pair at a time."""
    held = [set(words(text)) for text in texts]
    weight = {w: math.log(len(texts) / sum(w in one for one in held)) for one in held for w in one}
    asked = set(words(question, query=True))
    terms = asked if kept is None else held[kept] - asked

    def cosine(j: int) -> float:
        left, right = (math.sqrt(sum(weight.get(w, 0) ** 2 for w in one)) for one in (terms, held[j]))
        return sum(weight[w] ** 2 for w in terms & held[j]) / (left * right) if left * right else 0.0

    query = question if kept is None else f"{question} {texts[kept]}"
    most = max(cosine(j) for j in range(len(texts)) if j != kept) or 1.0
    return job.similar(query, [job.chunks[i]])[0] + 0.5 * cosine(i) / most


def test_the_embedding_judge_adds_rare_words_in_common_to_the_similarity() -> None:
    texts = [
        "The lamp is old. ",
        "Maren keeps the lamp. ",
        "Maren came from Oslo. ",
        "The sea is cold. ",
        "Oslo is far. ",
    ]
    job = job_of(texts)
    places = range(len(texts))
    alone = [slow_near(job.question, texts, job, None, i) for i in places]
    made = Embedding(job, ROOM)
    assert made.scores((), places) == pytest.approx(alone, abs=1e-12)
    given_two = [
        0.3 * alone[i] + 0.7 * max(slow_near(job.question, texts, job, z, i) for z in (1, 2) if z != i) for i in places
    ]
    assert made.scores((1, 2), places) == pytest.approx(given_two, abs=1e-12)
    assert made.scores((1,), (1,)) == pytest.approx([alone[1]], abs=1e-12)
    assert max(range(5), key=lambda i: made.scores((1,), places)[i] if i != 1 else -9) == 2


def test_similarity_is_asked_with_the_kept_block_behind_the_question() -> None:
    asked: list[str] = []

    def similarity(query: str, chunks: Sequence[Chunk]) -> list[float]:
        asked.append(query)
        return [1.0 - chunk.index / 10 for chunk in chunks]

    texts_of(MemRecall((1,), coarse=PLAIN, capacity=11), job_of(FIVE, similarity=similarity))
    assert asked == ["Who keeps the lamp?", "Who keeps the lamp?", "Who keeps the lamp? one. "]


def test_a_reader_judges_a_chunk_beside_the_kept_ones_in_document_order() -> None:
    def reply(prompt: Prompt) -> Generation:
        return Generation("x", 0, 1, confidence=len("".join(prompt.contexts)) / 100, quote="x")

    llm = ScriptedLLM(reply, gives_confidence=True)
    job = job_of(FIVE, llm)
    found = judge("reader", job, ROOM).scores((2,), (0, 2, 4))
    assert [prompt.contexts for prompt in llm.prompts] == [(FIVE[0], FIVE[2]), (FIVE[2],), (FIVE[2], FIVE[4])]
    assert found == pytest.approx([0.12, 0.07, 0.13])
    judge("reader", job, 4).scores((2, 3), (0,))
    assert llm.prompts[-1].contexts == (FIVE[0],)


def test_the_likelihood_gain_is_the_difference_of_the_question_s_log_likelihoods_per_token() -> None:
    worth = dict(zip(FIVE, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))

    def likelihood(prompt: Prompt, continuation: str) -> float:
        assert continuation == " Who keeps the lamp?"
        return sum(worth[text] for text in prompt.contexts) - 30

    llm = ScriptedLLM(likelihood=likelihood)
    job = job_of(FIVE, llm)
    assert judge("likelihood", job, ROOM).scores((2,), (0, 2, 4)) == pytest.approx([1 / 5, 3 / 5, 5 / 5])
    assert len(llm.prompts) == 4
    assert all("Who keeps" not in str(prompt) for prompt in llm.prompts)


def test_the_likelihood_gain_of_a_real_model_is_that_of_its_softmax(tmp_path: Path) -> None:
    llm = loader(tmp_path)("gpt2")
    job = job_of(FIVE, llm)
    own = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "gpt2").double()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "gpt2")

    def slow(*contexts: str) -> float:
        pieces = ["Read this text, then reply.\n\nText:\n", *"\0\n\n\0".join(contexts).split("\0"), "\n\nQuestion:"]
        ids = [i for piece in pieces if piece for i in tokenizer(piece, add_special_tokens=False).input_ids]
        asked = tokenizer(" Who keeps the lamp?", add_special_tokens=False).input_ids
        with torch.no_grad():
            logs = own(torch.tensor([ids + asked])).logits[0].log_softmax(-1)
        return float(sum(logs[len(ids) - 1 + k, token] for k, token in enumerate(asked))) / len(asked)

    found = judge("likelihood", job, ROOM).scores((2,), (0, 2))
    assert found == pytest.approx([slow(FIVE[0], FIVE[2]) - slow(FIVE[2]), slow(FIVE[2]) - slow()], abs=2e-6)
    assert abs(found[0]) > 1e-2


def test_an_intervention_is_the_loss_of_the_draft_without_the_chunk() -> None:
    worth = dict(zip(FIVE, (1.0, -1.0, 0.0, 0.21, -0.04), strict=True))

    def likelihood(prompt: Prompt, continuation: str) -> float:
        assert continuation == "Maren"
        return sum(worth[text] for text in prompt.contexts) - 9

    llm = ScriptedLLM(["Maren\nQuote: Maren"], likelihood=likelihood)
    job = job_of(FIVE, llm)
    assert judge("intervention", job, ROOM).scores((), (4, 3, 2, 1, 0)) == [0.0, 1.0, 0.0, -1.0, 1.0]
    assert [len(prompt.contexts) for prompt in llm.prompts] == [5, 5, 4, 4, 4, 4, 4]
    assert judge("intervention", job_of(FIVE, ScriptedLLM(["NOT FOUND"])), ROOM).scores((), (0, 1)) == [0.0, 0.0]


@pytest.mark.parametrize(
    ("lost", "found"),
    [(0.2, 1), (0.199, 0), (0.0, 0), (-0.049, 0), (-0.05, -1), (math.inf, 1), (-math.inf, -1), (math.nan, 0)],
)
def test_the_thresholds_of_an_intervention_are_those_of_the_source(lost: float, found: int) -> None:
    assert relevance(lost) == found


def test_a_chunk_that_harms_is_forgotten_and_one_that_supports_is_kept() -> None:
    worth = dict(zip(FIVE, (0.0, 0.0, 2.0, 0.0, -2.0), strict=True))
    llm = ScriptedLLM(["Maren\nQuote: Maren"], likelihood=lambda p, _: sum(worth[text] for text in p.contexts) - 9)
    job = job_of(FIVE, llm, similarity=marked([0.5, 0.1, 0.7, 0.6, 0.9]))
    strategy = MemRecall((1,), coarse=PLAIN, fine="intervention", capacity=11)
    assert rounds(strategy, job)[1:] == [
        ("memrecall: kept after round 1", [2]),
        ("memrecall: buffer of round 2", [2, 4, 3]),
    ]


def test_a_cross_encoder_reads_the_kept_chunks_with_the_question(tmp_path: Path) -> None:
    cross_encoder(tmp_path, [*FIVE, "Who keeps the lamp?"])
    job = job_of(FIVE)
    spec: Spec = {"cross_encoder": {"model": str(tmp_path), "share": 1.0}}
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    own = transformers.BertForSequenceClassification.from_pretrained(tmp_path).eval()

    def slow(one: str, other: str) -> float:
        with torch.no_grad():
            return float(own(**tokenizer(one, other, return_tensors="pt")).logits.sigmoid())

    found = judge(spec, job, ROOM).scores((2,), (0, 2))
    assert found == pytest.approx([slow(f"{job.question} {FIVE[2]}", FIVE[0]), slow(job.question, FIVE[2])], abs=1e-5)
    assert found[0] != pytest.approx(slow(job.question, FIVE[0]), abs=1e-4)
    assert len(texts_of(MemRecall((1,), coarse=spec, capacity=11), job)) in (2, 3)


def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], list[str]]]:
    """What the cross-encoder is asked from now on; it says how many letters a text has, divided by 100."""
    asked: list[tuple[tuple[str, ...], list[str]]] = []

    def relevances(model: str, query: str, kept: Sequence[str], texts: Sequence[str]) -> list[float]:
        assert (model, query) == ("", "Who keeps the lamp?")
        asked.append((tuple(kept), list(texts)))
        return [len(text) / 100 for text in texts]

    monkeypatch.setattr("ctxproc.strategies._judges.relevances", relevances)
    return asked


def test_a_cross_encoder_reads_the_first_chunks_of_the_embedding_judge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(monkeypatch)
    job = replace(job_of(FIVE, similarity=marked([0.1, 0.9, 0.3, 0.8, 0.2])), question="Who keeps the lamp?")
    spec: Spec = {"cross_encoder": {"first": 2, "share": 1.0}}
    near = Embedding(job, ROOM).scores((), range(5))
    order = sorted(range(5), key=lambda i: -near[i])
    found = judge(spec, job, ROOM).scores((), range(5))
    assert asked == [((), [FIVE[i] for i in order[:2]])]
    assert [found[i] for i in order] == [*(len(FIVE[i]) / 100 for i in order[:2]), -4, -5, -6]
    assert min(found[i] for i in order[:2]) >= 0


def test_a_cross_encoder_and_the_embedding_judge_share_the_score(monkeypatch: pytest.MonkeyPatch) -> None:
    told(monkeypatch)
    job = replace(job_of(FIVE, similarity=marked([0.1, 0.9, 0.3, 0.8, 0.2])), question="Who keeps the lamp?")
    near = Embedding(job, ROOM).scores((), range(5))
    found = judge({"cross_encoder": {"share": 0.25, "first": 0}}, job, ROOM).scores((), range(5))
    assert found == pytest.approx([0.25 * len(FIVE[i]) / 100 + 0.75 * near[i] for i in range(5)])
    with pytest.raises(ConfigError, match="share from 0 to 1"):
        judge({"cross_encoder": {"share": 1.5}}, job, ROOM)


def test_a_cross_encoder_reads_a_kept_chunk_beside_the_other_kept_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = told(monkeypatch)
    job = replace(job_of(FIVE), question="Who keeps the lamp?")
    found = judge({"cross_encoder": {"first": 0, "share": 1.0}}, job, ROOM).scores((3, 1), (0, 1, 2, 3))
    assert found == [len(FIVE[i]) / 100 for i in range(4)]
    assert asked == [
        ((FIVE[3], FIVE[1]), [FIVE[0], FIVE[2]]),
        ((FIVE[3],), [FIVE[1]]),
        ((FIVE[1],), [FIVE[3]]),
    ]


# What is refused.


def test_a_cross_encoder_that_cannot_be_loaded_is_refused_in_one_line() -> None:
    with pytest.raises(ModelError, match="cannot be loaded") as caught:
        judge({"cross_encoder": {"model": "/nowhere/at/all"}}, job_of(FIVE), ROOM).scores((), (0,))
    assert "\n" not in str(caught.value)


def test_judges_that_the_model_cannot_serve_are_refused_before_the_first_call() -> None:
    llm = ScriptedLLM()
    with pytest.raises(ModelError, match="needs a model with a confidence, and scripted gives none"):
        MemRecall(coarse="reader")(job_of(FIVE, llm))
    llm.writes = False
    with pytest.raises(ModelError, match="needs a model that writes"):
        MemRecall(fine="likelihood")(job_of(FIVE, llm))
    assert llm.prompts == []


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"coarse": "intervention"}, "can only be the fine one"),
        ({"increments": [0]}, "at least 1 chunk"),
        ({"capacity": 0}, "at least 1 token"),
        ({"width": 3}, "no parameter 'width'"),
    ],
)
def test_parameters_out_of_range_are_refused(values: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        make({"memrecall": values})


def test_unknown_judges_and_parameters_of_judges_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="embeding"):
        make({"memrecall": {"coarse": "embeding"}})
    with pytest.raises(ConfigError, match="judge embedding"):
        judge({"embedding": {"width": 1}}, job_of(FIVE), ROOM)


# Plans and limits, with judges that call the model.

JUDGED = [
    (MemRecall((1, 2), coarse="reader"), True),
    (MemRecall((1, 2), coarse="likelihood", then="map_rerank"), False),
    (MemRecall((3,), coarse="reader", fine="likelihood", capacity=60), True),
    (MemRecall((2, 1), fine="reader", capacity=30), True),
    (MemRecall((1, 1), coarse="likelihood", fine="intervention", then="map_reduce"), False),
]
judged = pytest.mark.parametrize(("strategy", "sure"), JUDGED, ids=repr)


@judged
@settings(deadline=None, max_examples=40)
@given(
    texts=st.lists(st.text("ab c.\n", min_size=1, max_size=60), max_size=12),
    said=st.lists(st.sampled_from(["a", "NOT FOUND", "b c\nQuote: b", "a b c " * 30, ""]), min_size=1, max_size=4),
    window=st.integers(160, 400),
)
def test_judging_keeps_within_the_plan_and_every_prompt_fits(
    strategy: MemRecall, sure: bool, texts: list[str], said: list[str], window: int
) -> None:
    turn = itertools.cycle(said)

    def reply(_: Prompt) -> str | Generation:
        text = next(turn)
        return Generation(text, 0, 3, confidence=0.5, quote=text) if sure else text

    llm = ScriptedLLM(reply, context_window=window, gives_confidence=sure)
    job = job_of(texts, llm, sampling=Sampling(max_new_tokens=12))
    if any(chunk.tokens > strategy.room_of(job) for chunk in job.chunks):
        return
    plan, usage = strategy.plan(job), strategy(job).usage
    assert usage.calls <= plan.calls
    assert usage.prompt_tokens <= plan.prompt_tokens
    assert usage.new_tokens <= plan.new_tokens
    assert all(llm.count_tokens(prompt) <= window for prompt in llm.prompts)


@judged
@pytest.mark.parametrize("limits", [Limits(calls=1), Limits(calls=9), Limits(tokens=700)], ids=repr)
def test_limits_stop_judging_and_not_the_run(strategy: MemRecall, sure: bool, limits: Limits) -> None:
    def reply(prompt: Prompt) -> str | Generation:
        text = "Maren" if "Maren" in prompt.part("context") else ""
        return Generation(text, 0, 1, confidence=0.9 * bool(text), quote=text) if sure else text

    llm = ScriptedLLM(reply, gives_confidence=sure, context_window=250)
    job = job_of([*(f"Rain fell on day {i}. " for i in range(20)), "Maren keeps the lamp. "], llm, limits=limits)
    answer = strategy(job)
    assert limits.calls is None or answer.usage.calls <= limits.calls
    assert limits.tokens is None or answer.usage.prompt_tokens + answer.usage.new_tokens <= limits.tokens
    assert answer.abstained or answer.text == "Maren"


def test_counts_of_words_in_the_oracle_are_those_of_the_judge() -> None:
    job = job_of(FIVE)
    held = Counter(word for text in FIVE for word in set(words(text)))
    assert Embedding(job, ROOM)._weight == {word: math.log(5 / n) for word, n in held.items()}

"""Selection by ROUGE-2 under a budget of tokens, with LoBART's proofs of ALGORITHMS.md, section 5."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace

import pytest
from helpers import job_of
from hypothesis import given
from hypothesis import strategies as st

from ctxproc import ScriptedLLM
from ctxproc.job import Found, Job
from ctxproc.prompt import Prompt
from ctxproc.strategies.budget import Budget, oracle, ranks, rouge2_recall, within


@pytest.mark.parametrize(
    ("text", "reference", "recall"),
    [
        ("the cat sat on the mat", "the cat sat", 1.0),
        ("the cat", "the cat sat on", 1 / 3),
        ("sat cat the", "the cat sat", 0.0),
        ("The CAT, sat.", "the cat sat", 1.0),
        ("a b", "a b a b", 1 / 3),
        ("a b a b", "a b a b", 1.0),
        ("a b a b a b", "a b", 1.0),
        ("", "a b", 0.0),
        ("a b", "a", 0.0),
        ("a b", "", 0.0),
        ("灯塔守护人", "守护人", 1.0),
    ],
)
def test_rouge_2_recall_is_what_one_counts_by_hand(text: str, reference: str, recall: float) -> None:
    assert rouge2_recall(text, reference) == pytest.approx(recall, abs=1e-15)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_rouge_2_recall_is_that_of_crossing_off_pairs_one_by_one(text: list[str], reference: list[str]) -> None:
    left, hits = list(itertools.pairwise(text)), 0
    for pair in itertools.pairwise(reference):
        if pair in left:
            left.remove(pair)
            hits += 1
    assert rouge2_recall(" ".join(text), " ".join(reference)) == hits / max(1, len(reference) - 1)


def distinct(seed: int) -> tuple[list[str], str]:
    """Twelve sentences of six words each, no pair in two of them, and a reference made of parts of some."""
    rng = random.Random(seed)
    sentences = [[f"w{i}x{j}" for j in range(6)] for i in range(12)]
    parts = [sentence[: rng.randint(2, 6)] for sentence in rng.sample(sentences, 5)]
    return [" ".join(sentence) for sentence in sentences], " . ".join(" ".join(part) for part in parts)


@pytest.mark.parametrize("seed", range(20))
def test_proof_the_oracle_has_rouge_2_recall_of_at_least_lead_and_random_at_the_same_budget(seed: int) -> None:
    texts, reference = distinct(seed)
    chosen = oracle(texts, [6] * 12, reference, 20)

    def recall(places: list[int]) -> float:
        return rouge2_recall(" ; ".join(texts[i] for i in places), reference)

    every = [recall(list(places)) for places in itertools.combinations(range(12), 3)]
    assert len(chosen) == 3 and chosen == sorted(chosen)
    assert recall(chosen) >= recall([0, 1, 2])
    assert recall(chosen) >= recall(sorted(random.Random(seed).sample(range(12), 3)))
    assert recall(chosen) == pytest.approx(max(every), abs=1e-12)
    assert max(every) > sum(every) / len(every)


@given(st.lists(st.tuples(st.text("ab ", max_size=9), st.integers(0, 9)), max_size=9), st.integers(0, 20))
def test_proof_the_oracle_keeps_its_budget_and_the_order_of_the_texts(rows: list[tuple[str, int]], budget: int) -> None:
    texts, tokens = [text for text, _ in rows], [size for _, size in rows]
    chosen = oracle(texts, tokens, "a b a b b", budget)
    assert sum(tokens[i] for i in chosen) <= budget
    assert chosen == sorted(set(chosen))
    assert all(tokens[i] > budget - sum(tokens[j] for j in chosen) for i in set(range(len(rows))) - set(chosen))


def test_proof_testing_the_budget_before_adding_as_the_source_does_overshoots_where_the_oracle_does_not() -> None:
    texts, tokens, reference, budget = ["a b", "c d e f g", "x y"], [2, 5, 2], "a b c d e f", 6
    order = sorted(range(3), key=lambda i: -rouge2_recall(texts[i], reference))
    source: list[int] = []
    for i in order:
        if sum(tokens[j] for j in source) >= budget:
            break
        source.append(i)
    assert sum(tokens[i] for i in source) == 7 > budget
    assert oracle(texts, tokens, reference, budget) == [1]


def test_equals_are_taken_from_the_beginning() -> None:
    assert oracle(["p q", "a b", "r s", "a b"], [2, 2, 2, 2], "a b", 4) == [1, 3]
    assert oracle(["p q", "r s", "t u"], [2, 2, 2], "a b", 4) == [0, 1]


@given(st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=2, max_size=8))
def test_a_rank_is_the_share_of_the_others_that_are_lower(scores: list[float]) -> None:
    slow = [sum(other < score for other in scores) / (len(scores) - 1) for score in scores]
    assert ranks(scores) == pytest.approx(slow, abs=1e-15)
    assert ranks([3.0]) == [1.0] and ranks([]) == []


TEXTS = ["Who keeps the goat here. ", "The lamp is old now. ", "Who keeps the lamp there. ", "Salt came in today. "]


def searching(order: list[int], chunks: list[str], **values: object) -> Job:
    """A job whose search ranks the chunks so."""
    job = job_of(chunks, **values)  # type: ignore[arg-type]
    found = [Found(job.chunks[i], 1 / (1 + rank)) for rank, i in enumerate(order)]
    return replace(job, retriever=lambda _query, k: found[:k])


def test_chunks_are_ranked_by_the_geometric_mean_of_both_ranks() -> None:
    assert [rouge2_recall(text, "Who keeps the lamp?") for text in TEXTS] == pytest.approx([2 / 3, 1 / 3, 1.0, 0.0])
    means = [math.sqrt(a * b) for a, b in zip([2 / 3, 1 / 3, 1.0, 0.0], [2 / 3, 1.0, 0.0, 1 / 3], strict=True)]
    assert sorted(range(4), key=lambda i: -means[i])[:2] == [0, 1]
    job = searching([1, 0, 3, 2], TEXTS)
    strategy = Budget(capacity=sum(chunk.tokens for chunk in job.chunks[:2]) + 1)
    assert [found.chunk.text for found in strategy.select(job)] == [TEXTS[0], TEXTS[1]]


def test_a_draft_brings_the_chunks_that_hold_its_words() -> None:
    def reply(prompt: Prompt) -> str:
        return "Maren of the far north coast\nQuote: Maren" if "old" in prompt.part("context") else "NOT FOUND"

    texts = ["The lamp is old. ", "Goats eat grass. ", "Sheep eat grass. ", "She of the far north coast came. "]
    order = [0, 2, 3, 1]
    plain, drafted = Budget(capacity=16), Budget(capacity=16, draft=True)
    assert {f.chunk.text for f in plain.select(searching(order, texts))} == {texts[0], texts[2]}
    job = searching(order, texts, llm=ScriptedLLM(reply))
    assert {f.chunk.text for f in drafted.select(job)} == {texts[0], texts[3]}


@given(st.lists(st.text("ab .", min_size=1, max_size=12), max_size=8), st.integers(1, 20), st.permutations(range(8)))
def test_the_capacity_is_never_exceeded_and_order_is_restored(
    texts: list[str], capacity: int, order: list[int]
) -> None:
    llm = ScriptedLLM(["a"])
    job = searching([i for i in order if i < len(texts)], texts, llm=llm)
    chosen = Budget(capacity=capacity).select(job)
    joints = max(0, len(chosen) - 1) * llm.tokenizer.count("\n\n")
    assert sum(found.chunk.tokens for found in chosen) + joints <= capacity
    read = job.over(chosen).chunks
    assert [chunk.start for chunk in read] == sorted(chunk.start for chunk in read)


def test_a_chunk_that_does_not_fit_is_passed_over() -> None:
    job = job_of(["one two ", "one two three four five six seven ", "one "])
    assert [chunk.tokens for chunk in job.chunks] == [3, 8, 2]
    assert within(job, [0, 1, 2], 6) == [0, 2]
    assert within(job, [0, 1, 2], 5) == [0]

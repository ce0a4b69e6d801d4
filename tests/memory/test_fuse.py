"""Fusions against their formulas, computed the slow way."""

from __future__ import annotations

import random

import pytest
from corpora import corpus_of, random_texts

from ctxproc.errors import ConfigError, UnknownNameError
from ctxproc.memory.criteria import Hit, Searcher, criterion
from ctxproc.memory.fuse import ReciprocalRank, Weighted, calibrated, fusion

ONE = [Hit(4, 9.0), Hit(2, 8.0), Hit(7, 1.0)]
TWO = [Hit(2, 0.5), Hit(9, 0.4)]


def test_proof_reciprocal_rank_is_the_formula() -> None:
    expected = {2: 61 / 2 * (1 / 62 + 1 / 61), 4: 1 / 2, 9: 61 / 2 / 62, 7: 61 / 2 / 63}
    fused = ReciprocalRank()({"a": ONE, "b": TWO})
    assert [hit.index for hit in fused] == list(expected)
    assert [hit.score for hit in fused] == pytest.approx(list(expected.values()), abs=1e-15)
    assert fused[0].shares == pytest.approx({"a": 61 / 2 / 62, "b": 1 / 2}) and fused[3].shares == {"a": 61 / 2 / 63}
    assert ReciprocalRank()({}) == ReciprocalRank()({"a": [], "b": []}) == []
    assert [hit.index for hit in ReciprocalRank()({"a": [Hit(5, 1.0)], "b": [Hit(1, 1.0)]})] == [1, 5]
    assert ReciprocalRank(0).parts(ONE, "a") == pytest.approx([1, 1 / 2, 1 / 3])
    # with k = 0 a first place is worth two second ones: 4 before 2, whose relevance is not told by k
    first = ReciprocalRank(0)({"a": ONE, "b": [*TWO[1:], *TWO[:1]], "c": [Hit(4, 1.0)]})
    assert [hit.index for hit in first] == [4, 2, 9, 7]
    assert first[0].score == pytest.approx(61 / 3 * 2 / 61) and first[1].score == pytest.approx(61 / 3 * 2 / 62)


def test_proof_the_weighted_fusion_ranks_by_the_mean_of_scores_from_0_to_1() -> None:
    weighted = Weighted({"a": 3.0, "b": 1.0})
    assert weighted.parts(ONE, "a") == pytest.approx([0.75, 0.75 * 7 / 8, 0.0])
    fused = weighted({"a": ONE, "b": TWO})
    assert [hit.index for hit in fused] == [2, 4, 7, 9]  # 0.75 * 7 / 8 + 0.25, 0.75, 0, 0
    whole = 0.75 * 7 / 8 + 0.25
    assert fused[0].shares == pytest.approx(
        {"a": fused[0].score * 0.75 * 7 / 8 / whole, "b": fused[0].score * 0.25 / whole}
    )
    assert fused[2].shares == {"a": fused[2].score}


@pytest.mark.parametrize("seed", range(30))
def test_proof_fusions_rank_by_the_sum_of_parts_and_their_scores_are_the_agreements_sorted(seed: int) -> None:
    rng = random.Random(seed)
    rankings = {}
    for name in "abc":
        scores = sorted((rng.gauss(0, 5) for _ in range(rng.randint(0, 9))), reverse=True)
        places = rng.sample(range(12), len(scores))
        rankings[name] = [Hit(place, score) for place, score in zip(places, scores, strict=True)]
    everything = {hit.index for some in rankings.values() for hit in some}
    agreements = [
        sum(
            61 / (61 + [hit.index for hit in some].index(i))
            for some in rankings.values()
            if i in {h.index for h in some}
        )
        / 3
        for i in everything
    ]
    weights = {name: rng.random() for name in "abc"}
    for fused in (ReciprocalRank(rng.choice([0, 5, 60])), Weighted(weights)):
        strength = dict.fromkeys(everything, 0.0)
        for name, some in rankings.items():
            for hit, part in zip(some, fused.parts(some, name), strict=True):
                strength[hit.index] += part
        found = fused(rankings)
        assert [hit.index for hit in found] == sorted(everything, key=lambda i: (-strength[i], i))
        assert [hit.score for hit in found] == pytest.approx(sorted(agreements, reverse=True))
        assert [hit.score for hit in found] == pytest.approx([sum(hit.shares.values()) for hit in found])
    scaled = Weighted({name: 7 * weight for name, weight in weights.items()})(rankings)
    assert [hit.index for hit in scaled] == [hit.index for hit in Weighted(weights)(rankings)]


def test_calibration_moves_the_lowest_to_0_and_the_highest_to_1() -> None:
    assert calibrated([5.0, -3.0, 1.0]) == [1.0, 0.0, 0.5]
    assert calibrated([2.0, 2.0]) == [1.0, 1.0] and calibrated([]) == []


def test_a_weight_of_1_is_that_searcher_alone() -> None:
    corpus = corpus_of(random_texts(5, 30))
    searcher = criterion("cosine")
    assert isinstance(searcher, Searcher)
    alone = [hit.index for hit in searcher.search(corpus, "abc ab", 100)]
    fused = corpus.select("abc ab", 30, fuse={"weighted": {"cosine": 1, "bm25": 0}})
    assert [hit.index for hit in fused] == alone


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("sum", UnknownNameError, "there are: rrf, weighted"),
        ({"sum": {}}, UnknownNameError, "there are: rrf, weighted"),
        ({"weighted": {}}, ConfigError, "give a weight to bm25, cosine as well"),
        ({"weighted": {"cosine": float("inf"), "bm25": 0}}, ConfigError, "at least 0 and not all 0"),
        ({"weighted": {"cosine": 1, "bm52": 1}}, ConfigError, "give a weight to bm25 as well"),
        ({"weighted": {"cosine": -1, "bm25": 2}}, ConfigError, "at least 0 and not all 0"),
        ({"weighted": {"cosine": 0, "bm25": 0}}, ConfigError, "at least 0 and not all 0"),
        ({"weighted": {"cosine": "much", "bm25": 0}}, ConfigError, "takes numbers by name"),
        ({"weighted": {"cosine": True, "bm25": 0}}, ConfigError, "takes numbers by name"),
        ({"weighted": {"cosine": float("nan"), "bm25": 0}}, ConfigError, "at least 0 and not all 0"),
        ({"weighted": None}, ConfigError, "takes numbers by name"),
        ({"rrf": {"k": -1}}, ConfigError, "one parameter, k, at least 0"),
        ({"rrf": {"c": 1}}, ConfigError, "one parameter, k, at least 0"),
    ],
)
def test_wrong_fusions_are_refused_in_one_line(spec: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        fusion(spec, ["cosine", "bm25"])  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_fusions_are_made_from_settings() -> None:
    assert fusion("rrf", ["a"]) == ReciprocalRank(60) and fusion({"rrf": {"k": 5}}, ["a"]) == ReciprocalRank(5)
    assert fusion("weighted", ["a", "bm25"]) == Weighted({"a": 3, "bm25": 2}) and fusion("weighted", [])({}) == []
    assert fusion({"weighted": {"b": 1, "a": 3}}, ["a", "b"]) == Weighted({"a": 3, "b": 1})
    assert fusion({"weighted": {"b": 1, "a": 3}}, ["b"]) == Weighted({"b": 1})

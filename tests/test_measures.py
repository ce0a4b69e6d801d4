"""The measures of answers, against slow definitions written down from the reference scorers' descriptions."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from fractions import Fraction
from functools import cache

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctxproc.measures import answer_f1, auroc, calibration_error, exact_match, logistic, rouge_l

ENGLISH = st.text(alphabet="abtheAN. ,'-12 $é", max_size=14)
CHINESE = st.text(alphabet="三国演义《》，。a1 B", max_size=10)
ANSWERS = st.one_of(ENGLISH, CHINESE)


def squad(text: str) -> list[str]:
    """SQuAD 2.0: lower case; ASCII punctuation deleted; articles replaced by a space; split at white space."""
    kept = ""
    for character in text.lower():
        if character not in set(string.punctuation):
            kept += character
    return [word for word in re.sub(r"\b(a|an|the)\b", " ", kept).split() if word]


def mlqa(text: str) -> list[str]:
    """MLQA for Chinese: lower case; punctuation of any script deleted; each ideograph a token, other runs at white space."""
    tokens, run = [], ""
    for character in text.lower():
        if character in string.punctuation or unicodedata.category(character)[0] == "P":
            continue
        if "\u4e00" <= character <= "\u9fa5":
            tokens += [*run.split(), character]
            run = ""
        else:
            run += character
    return tokens + run.split()


def tokens_of(one: str, other: str) -> tuple[list[str], list[str]]:
    way = mlqa if re.search("[\u4e00-\u9fa5]", one + other) else squad
    return way(one), way(other)


def slow_exact(answer: str, gold: list[str]) -> float:
    known = [one for one in gold if tokens_of(one, one)[0]] or [""]
    return max(float(tokens_of(answer, one)[0] == tokens_of(answer, one)[1]) for one in known)


def slow_f1(answer: str, gold: list[str]) -> float:
    scores = []
    for one in [one for one in gold if tokens_of(one, one)[0]] or [""]:
        mine, theirs = tokens_of(answer, one)
        if not mine or not theirs:
            scores.append(Fraction(int(mine == theirs)))
            continue
        left, common = list(theirs), 0
        for token in mine:
            if token in left:
                left.remove(token)
                common += 1
        precision, recall = Fraction(common, len(mine)), Fraction(common, len(theirs))
        scores.append(2 * precision * recall / (precision + recall) if common else Fraction(0))
    return float(max(scores))


def slow_rouge(answer: str, gold: str) -> float:
    """ROUGE-L of rouge_score: lower case, all but a-z and 0-9 to spaces; F of the longest common subsequence, beta 1."""
    mine, theirs = (re.sub("[^a-z0-9]+", " ", text.lower()).split() for text in (answer, gold))

    @cache
    def longest(i: int, j: int) -> int:
        if i == len(mine) or j == len(theirs):
            return 0
        if mine[i] == theirs[j]:
            return 1 + longest(i + 1, j + 1)
        return max(longest(i + 1, j), longest(i, j + 1))

    if not mine or not theirs:
        return float(mine == theirs)
    precision, recall = Fraction(longest(0, 0), len(mine)), Fraction(longest(0, 0), len(theirs))
    return float(2 * precision * recall / (precision + recall)) if precision else 0.0


@given(ANSWERS, st.lists(ANSWERS, max_size=3))
@example("The Lamp.", ["a lamp"])
@example("", [])
@example("", ["the", "x"])
@example("1945", ["1945年"])
def test_exact_match_and_f1_are_those_of_the_reference_scorers(answer: str, gold: list[str]) -> None:
    assert exact_match(answer, gold) == slow_exact(answer, gold)
    assert math.isclose(answer_f1(answer, gold), slow_f1(answer, gold))


@given(st.text(alphabet="ab c1_B.", max_size=12), st.text(alphabet="ab c1_B.", max_size=12))
def test_rouge_l_is_that_of_the_reference_scorer_on_ascii(answer: str, gold: str) -> None:
    assert math.isclose(rouge_l(answer, [gold]), slow_rouge(answer, gold))


@pytest.mark.parametrize(
    ("answer", "gold", "exact", "f1", "rouge"),
    [
        ("The Lamp-House!", ["lamphouse"], 1.0, 1.0, 0.0),
        ("Maren Oduya of the point", ["Maren Oduya"], 0.0, 2 * 2 / (4 + 2), 2 * 2 / (5 + 2)),
        ("q p r", ["p q r"], 0.0, 1.0, 2 * 2 / 6),
        ("《三国演义》", ["三国演义"], 1.0, 1.0, 1.0),
        ("三国志", ["三国演义"], 0.0, 2 * 2 / 7, 2 * 2 / 7),
        ("café au lait", ["Café au lait."], 1.0, 1.0, 1.0),
        ("", [], 1.0, 1.0, 1.0),
        ("something", [], 0.0, 0.0, 0.0),
        ("x", ["y", "x"], 1.0, 1.0, 1.0),
    ],
)
def test_values_that_can_be_worked_out_by_hand(
    answer: str, gold: list[str], exact: float, f1: float, rouge: float
) -> None:
    assert exact_match(answer, gold) == exact
    assert math.isclose(answer_f1(answer, gold), f1)
    assert math.isclose(rouge_l(answer, gold), rouge)


def slow_calibration(confidences: list[float], right: list[float], bins: int) -> float:
    total = 0.0
    for number in range(bins):
        low, high = number / bins, (number + 1) / bins
        inside = [i for i, c in enumerate(confidences) if low < c <= high or (number == 0 and c == 0)]
        if inside:
            share = sum(right[i] for i in inside) / len(inside)
            sure = sum(confidences[i] for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(share - sure)
    return total


@given(
    st.lists(st.tuples(st.integers(0, 64).map(lambda n: n / 64), st.sampled_from([0.0, 1.0])), min_size=1, max_size=9)
)
def test_the_calibration_error_is_the_mean_gap_of_the_bins(pairs: list[tuple[float, float]]) -> None:
    confidences, right = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = calibration_error(confidences, right, bins=8)
    assert math.isclose(found, slow_calibration(confidences, right, 8), abs_tol=1e-12)


@pytest.mark.parametrize("level", [-800.0, -2.0, 0.0, 0.5, 800.0])
def test_the_logistic_function_is_the_inverse_of_the_log_odds(level: float) -> None:
    found = logistic(level)
    assert 0 < found <= 1
    if abs(level) < 10:
        assert math.isclose(math.log(found / (1 - found)), level, abs_tol=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.lists(st.integers(-3, 3), min_size=1, max_size=8))
@example([0], [0])
def test_auroc_is_the_share_of_pairs_in_order(positive: list[float], negative: list[float]) -> None:
    won = sum((one > other) + 0.5 * (one == other) for one in positive for other in negative)
    assert auroc(positive, negative) == won / (len(positive) * len(negative))


def test_a_calibration_error_by_hand() -> None:
    assert math.isclose(calibration_error([0.95, 0.95, 0.25], [1.0, 0.0, 0.0]), 2 / 3 * 0.45 + 1 / 3 * 0.25)

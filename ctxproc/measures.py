"""Measures: of texts and log-likelihoods, for strategies and retrieval criteria; of answers, for comparisons."""

from __future__ import annotations

import math
import re
import string
import unicodedata
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.llm.base import LogLikelihood


def rouge2_recall(text: str, reference: str) -> float:
    """The share of the reference's pairs of neighbouring words that the text holds, in [0, 1].

    A pair counts as often as both hold it. 0 where the reference has no pair. Words are case-folded, not stemmed.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 2, n = 2.
    """
    wanted, held = pairs(reference), pairs(text)
    return sum((wanted & held).values()) / wanted.total() if wanted else 0.0


def pairs(text: str) -> Counter[tuple[str, str]]:
    """How often each pair of neighbouring words stands in a text."""
    found = words(text, query=True)
    return Counter(pairwise(found))


def per_token(score: LogLikelihood) -> float:
    """The mean log-likelihood of a token; not a number where the limits of the run kept it from being computed."""
    return math.nan if math.isnan(score.total) else score.mean


def logistic(level: float) -> float:
    """The probability of which ``level`` is the log-odds; from 0 to 1, for any finite level."""
    return 1 / (1 + math.exp(min(-level, 700.0)))


def gain(having: float, lacking: float) -> float:
    """The difference of two log-likelihoods; 0 where both are minus infinity; not a number where one is not."""
    return 0.0 if having == lacking else having - lacking


def credit(log_p: Sequence[float], prior: Sequence[float]) -> list[float]:
    """r(z) of each document: the gradient of log p(y) by its prior score; they sum to 0.

    ``r(z) = (p(y | z) / p(y) - 1) p(z)``, where ``p(y)`` is the mixture of ``p(y | z)`` by ``p(z)``: a document gets credit
    exactly where it predicts y better than the mixture does.

    Args:
        log_p: log p(y | z) of each document, in nats; minus infinity is none, and what was not scored (not a number) too.
        prior: scores of which p(z) is the softmax, finite.

    Returns:
        All 0 where no document predicts y at all.

    Source: Guu et al. 2020, "REALM: Retrieval-Augmented Language Model Pre-Training", section 3.3 and appendix A.
    """
    most = max(prior)
    weights = [math.exp(score - most) for score in prior]
    share = [weight / sum(weights) for weight in weights]
    known = [-math.inf if math.isnan(value) else value for value in log_p]
    top = max(known)
    if top == -math.inf:
        return [0.0] * len(known)
    p = [math.exp(value - top) for value in known]
    mixture = sum(a * b for a, b in zip(p, share, strict=True))
    return [(a / mixture - 1) * b for a, b in zip(p, share, strict=True)]


def exact_match(answer: str, gold: Sequence[str]) -> float:
    """1 where the answer is one of the gold answers but for case, punctuation, articles and white space, else 0.

    Where the answer or a gold answer holds a Chinese character, the two are compared character by character. No gold answer,
    or empty ones alone, stand for a question that has none: then the empty answer is right.

    Source: Rajpurkar et al. 2018, "Know What You Don't Know", evaluation script of SQuAD 2.0; for Chinese Lewis et al. 2020,
    "MLQA", evaluation script.
    """
    return float(any(_pair(answer, one)[0] == _pair(answer, one)[1] for one in _known(gold)))


def answer_f1(answer: str, gold: Sequence[str]) -> float:
    """The best F1 of the answer's tokens and a gold answer's, in [0, 1]; normalised as in `exact_match`.

    Tokens are words, in Chinese characters; one counts as often as both hold it. Two empty lists agree.

    Source: as `exact_match`.
    """
    return max(_token_f1(*_pair(answer, one)) for one in _known(gold))


def rouge_l(answer: str, gold: Sequence[str]) -> float:
    """The best ROUGE-L F1 of the answer against a gold answer: by their longest common subsequence of words, in [0, 1].

    Words are runs of letters and digits in lower case, not stemmed; with a Chinese character in either, as in `exact_match`.
    On ASCII text this is Google's ``rouge_score``, which drops every other letter; here such letters count. Two texts
    without a word agree.

    Source: Lin 2004, "ROUGE: A Package for Automatic Evaluation of Summaries", section 3, with beta = 1.
    """

    def one(reference: str) -> float:
        pair = answer, reference
        mine, theirs = map(_characters, pair) if _chinese(*pair) else (RUN.findall(text.lower()) for text in pair)
        if not mine or not theirs:
            return float(mine == theirs)
        return 2 * _common_subsequence(mine, theirs) / (len(mine) + len(theirs))

    return max(map(one, gold or [""]))


def calibration_error(confidences: Sequence[float], right: Sequence[float], bins: int = 10) -> float:
    """The expected calibration error, in [0, 1]: how far confidence and share of right answers lie apart on average.

    Answers are sorted into ``bins`` of equal width, each open below and closed above; 0 counts to the first.

    Args:
        confidences: of each answer, from 0 to 1; at least one.
        right: 1 where it is right, else 0; or how right it is, such as its F1.
        bins: how many.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", section 2.
    """
    gaps: dict[int, float] = {}
    for confidence, value in zip(confidences, right, strict=True):
        place = max(0, math.ceil(confidence * bins) - 1)
        gaps[place] = gaps.get(place, 0.0) + value - confidence
    return sum(map(abs, gaps.values())) / len(confidences)


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The area under the ROC curve: the share of pairs in which the positive is above the negative, ties counting half.

    Args:
        positive: scores of what should be above; at least one.
        negative: scores of what should be below; at least one.

    Source: Hanley and McNeil 1982, "The Meaning and Use of the Area under a Receiver Operating Characteristic Curve".
    """
    below = sorted(negative)
    pairs = sum(bisect_left(below, score) + bisect_right(below, score) for score in positive)
    return pairs / 2 / (len(positive) * len(below))


HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
RUN = re.compile(r"[^\W_]+")
_ARTICLES = re.compile(r"\b(?:a|an|the)\b")


def _known(gold: Sequence[str]) -> Sequence[str]:
    """The gold answers that say something; one empty answer where none does."""
    return [one for one in gold if _pair(one, one)[0]] or [""]


def _pair(answer: str, gold: str) -> tuple[list[str], list[str]]:
    """The tokens of both, in the way that suits them."""
    cut = _characters if _chinese(answer, gold) else bare_words
    return cut(answer), cut(gold)


def _chinese(*texts: str) -> bool:
    return any(map(HAN.search, texts))


def bare_words(text: str) -> list[str]:
    """The words of an English answer as SQuAD counts them: lower case, without ASCII punctuation, without articles."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", bare).split()


def _characters(text: str) -> list[str]:
    """Lower case, without punctuation of any script; Chinese characters one by one, the rest between white space."""
    bare = "".join(
        c for c in text.lower() if c not in string.punctuation and not unicodedata.category(c).startswith("P")
    )
    return HAN.sub(r" \g<0> ", bare).split()


def _token_f1(mine: Sequence[str], theirs: Sequence[str]) -> float:
    if not mine or not theirs:
        return float(mine == theirs)
    return 2 * (Counter(mine) & Counter(theirs)).total() / (len(mine) + len(theirs))


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence, in bits of whole numbers: one per place of ``other``.

    Source: Hyyrö 2004, "Bit-Parallel LCS-length Computation Revisited", figure 2.
    """
    places: dict[str, int] = {}
    for k, word in enumerate(other):
        places[word] = places.get(word, 0) | 1 << k
    every = row = (1 << len(other)) - 1
    for word in one:
        met = row & places.get(word, 0)
        row = (row + met | row - met) & every
    return len(other) - row.bit_count()

"""From answers to measures: of each answer, of each way with its interval, and against the first way.

Every measure is the mean over questions of a number from 0 to 1. Intervals are 95 % intervals of a bootstrap over questions;
a difference is taken question by question, over those that both ways answered. Where many ways are compared, one in twenty
differences lies outside of its interval by chance.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ctxproc.measures import answer_f1, calibration_error, exact_match, rouge_l

if TYPE_CHECKING:
    from ctxproc.compare_ledger import Row
    from ctxproc.compare_questions import Place, Question
    from ctxproc.compare_results import Comparison, Ran
    from ctxproc.document import Document

QUALITY = {
    "exact_match": "the answer is a gold answer but for case, punctuation and articles",
    "f1": "words (in Chinese, characters) in common with the best gold answer",
    "rouge_l": "longest common subsequence of words with the best gold answer",
    "evidence_precision": "share of cited passages that overlap a gold passage by half of the shorter one",
    "evidence_recall": "share of gold passages that are overlapped so by a cited one",
    "verified": "share of cited passages that stand in the source to the letter, looked up again",
    "abstained": "share of questions with no answer given",
    "agreement": "F1 with the answers of the other ways, on average; no measure of being right",
}
"""The measures of an answer, and what they are."""

GOLD = ("exact_match", "f1", "rouge_l")
COST = ("calls", "prompt_tokens", "new_tokens", "reused_share", "seconds", "first", "memory", "gpu_memory")
"""Calls, tokens and seconds are means of a question; of ``memory`` the most; ``reused_share`` is of all prompt tokens."""

DRAWS = 2000

Values = Mapping[int, float]
"""A measure by the question's place; without those that it says nothing of."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over ``n`` questions and its 95 % interval, None for a single question."""

    mean: float
    low: float | None
    high: float | None
    n: int

    @property
    def apart(self) -> bool:
        """Of a difference: 0 lies outside of the interval."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high


@dataclass(frozen=True)
class Scored:
    """One way measured.

    Attributes:
        ran: it.
        values: the measures of each answer.
        quality: their means; those are missing of which nothing is known.
        differences: each mean minus the first way's, over the questions that both answered; empty for the first.
        calibration: the expected calibration error by exact match, of answers with a confidence; None where there is none.
        cost: see `COST`; None where not known.
        kinds: the means over the questions of each kind, in the order of the file; empty where all are of one kind.
    """

    ran: Ran
    values: Mapping[str, Values]
    quality: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    calibration: Estimate | None
    cost: Mapping[str, float | None]
    kinds: Mapping[str, Mapping[str, Estimate]]


def scored(comparison: Comparison, seed: int = 0) -> list[Scored]:
    """The measures of each way, in order.

    Args:
        comparison: run.
        seed: of the bootstrap.
    """
    texts = {document.source: document for document in comparison.documents}
    everything = [_values(comparison, ran, texts) for ran in comparison.ran]
    kinds = places_by_kind(comparison.questions)
    made: list[Scored] = []
    for ran, values in zip(comparison.ran, everything, strict=True):
        first = everything[0] if made else {}
        paired = {
            name: {place: value - first[name][place] for place, value in own.items() if place in first[name]}
            for name, own in values.items()
            if name in first
        }
        made.append(
            Scored(
                ran,
                values,
                _means(values, seed),
                _means(paired, seed),
                _calibration(ran, values.get("exact_match", {}), seed),
                _cost(ran),
                {kind: _means(values, seed, places) for kind, places in kinds.items()},
            )
        )
    return made


def places_by_kind(questions: Sequence[Question]) -> dict[str, set[int]]:
    """The places of the questions of each kind, "" of those without one; empty where all are of one kind."""
    kinds: dict[str, set[int]] = {}
    for place, question in enumerate(questions):
        kinds.setdefault(question.kind, set()).add(place)
    return kinds if len(kinds) > 1 else {}


def _means(values: Mapping[str, Values], seed: int, places: Collection[int] | None = None) -> dict[str, Estimate]:
    """The mean of each measure, over these places or all; those are missing of which nothing is known."""
    known = {
        name: [value for place, value in own.items() if places is None or place in places]
        for name, own in values.items()
    }
    return {name: estimate(own, seed) for name, own in known.items() if own}


def estimate(values: Sequence[float], seed: int = 0, draws: int = DRAWS) -> Estimate:
    """The mean and its 95 % interval, by bootstrap: the 2.5 and 97.5 percentiles of means of as many values drawn anew."""
    known = np.asarray(values, dtype=np.float64)
    mean = float(known.mean())
    if len(known) < 2:
        return Estimate(mean, None, None, len(known))
    places = np.random.default_rng(seed).integers(len(known), size=(draws, len(known)))
    low, high = np.percentile(known[places].mean(axis=1), [2.5, 97.5])
    return Estimate(mean, float(low), float(high), len(known))


def _values(comparison: Comparison, ran: Ran, texts: Mapping[str, Document]) -> dict[str, dict[int, float]]:
    """The measures of each answer of a way."""
    values: dict[str, dict[int, float]] = {name: {} for name in QUALITY}
    for place, row in sorted(ran.rows.items()):
        told = answer_values(row, comparison.questions[place], comparison.gold[place], texts)
        others = [
            answer_f1(str(row.answer["answer"]), [str(other.rows[place].answer["answer"])])
            for other in comparison.ran
            if other is not ran and place in other.rows
        ]
        if others:
            told["agreement"] = sum(others) / len(others)
        for name, value in told.items():
            values[name][place] = value
    return values


def answer_values(
    row: Row, question: Question, gold: Sequence[Sequence[Place]], texts: Mapping[str, Document]
) -> dict[str, float]:
    """The measures of one answer but for its agreement with others; those are missing of which nothing can be said.

    Args:
        row: the answer.
        question: with gold answers or not.
        gold: where each gold passage may stand.
        texts: the sources by name.
    """
    text, cited = str(row.answer["answer"]), row.answer["evidence"]
    told = {"abstained": float(bool(row.answer["abstained"]))}
    if question.answers is not None:
        measures = zip(GOLD, (exact_match, answer_f1, rouge_l), strict=True)
        told.update({name: measure(text, question.answers) for name, measure in measures})
    if cited:
        told["verified"] = sum(stands(item, texts) for item in cited) / len(cited)
    if gold:
        found = [item for item in cited if item["status"] != "unverified"]
        hit = [any(overlap(item, place) for places in gold for place in places) for item in found]
        if hit:
            told["evidence_precision"] = sum(hit) / len(hit)
        met = [any(overlap(item, place) for item in found for place in places) for places in gold]
        told["evidence_recall"] = sum(met) / len(met)
    return told


def stands(item: Mapping[str, Any], texts: Mapping[str, Document]) -> bool:
    """Whether a cited passage is the source's own text at that place; what the run said of it is not believed."""
    document = texts.get(item["source"])
    if document is None or item["status"] == "unverified":
        return False
    return bool(document.sha256 == item["sha256"] and document.text[item["start"] : item["end"]] == item["quote"])


def overlap(item: Mapping[str, Any], place: Place) -> bool:
    """Whether a cited passage and a gold one have at least half of the shorter one in common."""
    start, end = int(item["start"]), int(item["end"])
    common, shorter = min(end, place.end) - max(start, place.start), min(end - start, place.end - place.start)
    return bool(item["source"] == place.source) and 2 * common >= shorter > 0


def _calibration(ran: Ran, right: Values, seed: int) -> Estimate | None:
    """The calibration error of the answers that were given with a confidence, and its interval by bootstrap."""
    pairs = [
        (float(row.answer["confidence"]), right[place])
        for place, row in sorted(ran.rows.items())
        if place in right and row.answer["confidence"] is not None and not row.answer["abstained"]
    ]
    if not pairs:
        return None
    surely, rightly = zip(*pairs, strict=True)
    error = calibration_error(surely, rightly)
    if len(pairs) < 2:
        return Estimate(error, None, None, len(pairs))
    drawn = np.random.default_rng(seed).integers(len(pairs), size=(DRAWS // 4, len(pairs)))
    errors = [calibration_error([surely[i] for i in draw], [rightly[i] for i in draw]) for draw in drawn]
    low, high = np.percentile(errors, [2.5, 97.5])
    return Estimate(error, float(low), float(high), len(pairs))


def _cost(ran: Ran) -> dict[str, float | None]:
    """What a question cost on average, and the most memory."""
    rows = list(ran.rows.values())

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) / len(known) if known else None

    def most(name: str) -> float | None:
        return max((value for row in rows if (value := row.measured[name]) is not None), default=None)

    usage = {name: [float(row.answer["usage"][name]) for row in rows] for name in COST[:3]}
    read = sum(usage["prompt_tokens"])
    reused = sum(row.measured["reused_tokens"] or 0.0 for row in rows)
    return {
        **{name: mean(values) for name, values in usage.items()},
        "reused_share": reused / read if read else None,
        "seconds": mean([row.measured["seconds"] for row in rows]),
        "first": mean([row.measured["first"] for row in rows]),
        "memory": most("memory"),
        "gpu_memory": most("gpu_memory"),
    }

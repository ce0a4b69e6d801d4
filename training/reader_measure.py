"""Figures on a development set during training; the benchmark of the shipped reader is benchmarks/reader.py."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ctxproc.llm.span_model import Batch, SpanModel, choose
from ctxproc.measures import answer_f1, auroc
from training.reader_batches import Row

__all__ = ["f1", "measure", "readings", "summarise"]


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Token F1 of SQuAD, best over the answers; 0 where there is none, whatever is said."""
    return answer_f1(prediction, answers) if answers else 0.0


@torch.no_grad()
def readings(model: SpanModel, rows: Sequence[Row], size: int = 32) -> list[tuple[str, float, float]]:
    """Per row: the best answer as text, its score, and the log-odds that there is any answer."""
    order = sorted(range(len(rows)), key=lambda k: len(rows[k].encoded))
    out: dict[int, tuple[str, float, float]] = {}
    for begin in range(0, len(order), size):
        part = order[begin : begin + size]
        for k, scores in zip(part, model(Batch.of([rows[k].encoded for k in part])), strict=True):
            choice = choose(scores, rows[k].encoded, rows[k].question, rows[k].context)
            out[k] = (rows[k].context[choice.start : choice.end], choice.best, choice.any_span)
    return [out[k] for k in range(len(rows))]


def measure(model: SpanModel, groups: Sequence[list[Row]]) -> dict[str, float]:
    """Read all groups and `summarise`."""
    return summarise(groups, readings(model, [row for group in groups for row in group]))


def summarise(groups: Sequence[list[Row]], read_rows: Sequence[tuple[str, float, float]]) -> dict[str, float]:
    """F1 on the gold passage (the first of each group), AUROC of gold against the others, F1 of the group's winner."""
    read = iter(read_rows)
    gold_f1, winner_f1 = 0.0, 0.0
    gold: list[float] = []
    other: list[float] = []
    for group in groups:
        found = [next(read) for _ in group]
        gold_f1 += f1(found[0][0], group[0].answers)
        winner_f1 += f1(max(found, key=lambda r: r[1])[0], group[0].answers)
        gold.append(found[0][1])
        other.extend(r[1] for r in found[1:])
    figures = {"f1": gold_f1 / len(groups), "winner": winner_f1 / len(groups)}
    figures["auroc"] = auroc(gold, other) if other else 0.0
    return {"score": figures["f1"] + 0.5 * figures["winner"] + 0.5 * figures["auroc"], **figures}

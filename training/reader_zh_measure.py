"""Figures of the Chinese reader: F1 and exact match as CMRC 2018 defines them, and whether the answer is there."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from ctxproc.llm.reader import Calibration, Reading
from ctxproc.llm.reader_zh import ChineseReader
from ctxproc.llm.reader_zh_model import ZhModel
from ctxproc.measures import auroc
from training.reader_zh_data import Question
from training.reader_zh_rows import Collection

__all__ = ["Asked", "common_run", "f1", "measure", "pieces", "sample"]

RAW = Calibration(0.0, 1.0, 1.0, -1e9)
_PIECE = re.compile(r"[a-z0-9\u00c0-\u024f]+|.")


def pieces(text: str) -> list[str]:
    """Characters, and words of Latin letters and digits, without punctuation and white space, in small letters."""
    bare = "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LNM" or c.isspace())
    return [piece for piece in _PIECE.findall(bare) if not piece.isspace()]


def common_run(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest run of pieces that both have."""
    best, before = 0, [0] * (len(right) + 1)
    for one in left:
        now = [0] * (len(right) + 1)
        for k, two in enumerate(right):
            if one == two:
                now[k + 1] = before[k] + 1
        best, before = max(best, *now), now
    return best


def f1(said: str, answer: str) -> float:
    """Character F1 of Cui et al. 2019 (CMRC 2018): by the longest run that both have."""
    mine, theirs = pieces(said), pieces(answer)
    common = common_run(mine, theirs) if mine and theirs else 0
    return 2 * common / (len(mine) + len(theirs)) if common else 0.0


@dataclass(frozen=True)
class Asked:
    """A question, its passage, the answers, and the nearest passage that has none."""

    question: str
    context: str
    answers: list[str]
    other: str


def sample(source: Collection, name: str, count: int) -> list[Asked]:
    """The first so many questions of a part, by number of their hash, that have a near passage."""
    chosen: list[Question] = [q for q in source.questions(name) if q.near]
    chosen = [chosen[k] for k in np.random.default_rng(1).permutation(len(chosen))[:count]]
    plain = source.plain
    return [
        Asked(q.question, plain[q.passage], [plain[q.passage][a:b] for a, b in q.answers], plain[q.near[0]])
        for q in chosen
    ]


def score(readings: Sequence[Reading], asked: Sequence[Asked]) -> NDArray[np.float64]:
    """F1 of each reading of the right passage."""
    said = (item.context[reading.start : reading.end] for reading, item in zip(readings, asked, strict=True))
    return np.array([max(f1(text, a) for a in item.answers) for text, item in zip(said, asked, strict=True)])


@torch.no_grad()
def measure(source: Collection, model: ZhModel, count: int = 120) -> dict[str, float]:
    """F1 and AUROC on the development part."""
    asked = sample(source, "dev", count)
    reader = ChineseReader(model, source.characters, RAW)
    questions = [item.question for item in asked]
    right = reader.read(questions, [item.context for item in asked], always=True)
    wrong = reader.read(questions, [item.other for item in asked], always=True)
    figures = {"f1": float(score(right, asked).mean())}
    figures["auroc"] = auroc([-reading.null for reading in right], [-reading.null for reading in wrong])
    return {"score": figures["f1"] + 0.5 * figures["auroc"], **figures}

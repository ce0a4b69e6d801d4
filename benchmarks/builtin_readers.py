"""The sections of builtin.py on the two readers: are answers found, and is it known when there is none."""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from builtin_spread import Figures, Size, needs, spread, training
from common import Item, exact_match, f1, half, open_questions, percent
from numpy.typing import NDArray
from open_book import book, row
from reader import NEAREST, SEED, nearest, span

import ctxproc
from ctxproc.llm.hardware import choose_device, choose_dtype
from ctxproc.llm.reader import SpanReader
from ctxproc.measures import auroc, calibration_error

OPEN = 300
"""Questions over the one large document."""

Numbers = NDArray[np.float64]


def reader(size: Size) -> Figures:
    """English: real questions with their passage, questions of our own, one large document. The number format is "auto"."""
    needs("reader")
    size.folder("lost_in_middle")
    model, every = (
        SpanReader.load(dtype=choose_dtype("auto", choose_device("cpu"))),
        half(open_questions(size.data), "odd"),
    )
    items = size.of(every)
    near = dict(zip((item.line for item in every), nearest(every, NEAREST), strict=True))
    shift = random.Random(SEED).randrange(1, len(items))
    others = [item.passage for item in (*items[shift:], *items[:shift])]
    sets = [[item.passage for item in items], others, *zip(*(near[item.line] for item in items), strict=True)]
    read = [model.read([item.question for item in items], passages, always=True) for passages in sets]
    sure = np.array([[one.confidence for one in some] for some in read])  # (passages, questions): its own is the first
    texts = [[span(*pair) for pair in zip(*both, strict=True)] for both in zip(read, sets, strict=True)]
    scores = [f1(text, item.answers) for text, item in zip(texts[0], items, strict=True)]
    found = sure[[0, *range(2, len(sets))]].argmax(0)  # among its own and the nearest
    winners = [texts[k + bool(k)][i] for i, k in enumerate(found)]
    right = np.zeros_like(sure)
    right[0] = scores
    eight = [0, *range(2, len(sets))]
    return {
        "natural questions, F1": percent(scores),
        "natural questions, exact match": percent(
            [exact_match(t, i.answers) for t, i in zip(texts[0], items, strict=True)]
        ),
        "natural questions, F1 over 8 passages": percent(
            [f1(t, i.answers) for t, i in zip(winners, items, strict=True)]
        ),
        "AUROC, unrelated passage": spread(auroc_of(sure[0], sure[1]), len(items)),
        "AUROC, nearest passage": spread(auroc_of(sure[0], sure[2]), len(items)),
        "calibration error": spread(error_of(sure[eight], right[eight]), len(items)),
        "calibration error, gold passages alone": spread(error_of(sure[:1], right[:1]), len(items)),
        **own_questions(model, size),
        **open_book(size),
    }


def auroc_of(sure: Numbers, unsure: Numbers) -> Callable[[NDArray[np.intp]], float]:
    """AUROC of the confidence on the questions of some places: on their passages, and on passages without the answer."""
    return lambda places: auroc(sure[places].tolist(), unsure[places].tolist())


def error_of(sure: Numbers, right: Numbers) -> Callable[[NDArray[np.intp]], float]:
    """Calibration error over some questions with all their passages; both are (passages, questions)."""
    return lambda places: calibration_error(sure[:, places].ravel().tolist(), right[:, places].ravel().tolist())


def own_questions(model: SpanReader, size: Size) -> Figures:
    """Questions that we wrote on passages that we wrote, in the manner of XQuAD."""
    path = Path(__file__).parent / "own_questions.json"
    if not path.exists():
        return {}
    items = size.of(written(path))
    gold = model.read([item.question for item in items], [item.passage for item in items], always=True)
    texts = [span(reading, item.passage) for reading, item in zip(gold, items, strict=True)]
    return {"own questions, F1": percent([f1(text, item.answers) for text, item in zip(texts, items, strict=True)])}


def written(path: Path) -> list[Item]:
    """The questions of own_questions.json."""
    passages = json.loads(path.read_text(encoding="utf-8"))
    rows = [(entry["passage"], asked) for entry in passages for asked in entry["questions"]]
    return [
        Item(asked["question"], tuple(asked["answers"]), passage, i)
        for i, (passage, asked) in enumerate(rows, 1)
        if asked["answers"]
    ]


def open_book(size: Size) -> Figures:
    """The default strategy over one document of all passages."""
    items = open_questions(size.data)
    asked = size.of(half(items, "odd"), OPEN)
    with tempfile.TemporaryDirectory() as folder:
        path, spans = book(items, 0, Path(folder))
        settings, _ = ctxproc.resolve(sets=[f"cache.folder={size.cache or folder}", "cache.runs=0"])
        library = ctxproc.Library([path], settings)
        rows = [row(item, library.ask(item.question), spans[item.line]) for item in asked]
    return {f"open book, {name}": percent([one[key] for one in rows]) for name, key in OUTCOMES.items()}


OUTCOMES = {"F1": "f1", "exact match": "exact_match", "evidence in gold passage": "evidence_in_gold"}


def reader_zh(size: Size) -> Figures:
    """Chinese: the trial questions of CMRC 2018, each with its passage and the nearest one without the answer."""
    needs("reader_zh")
    size.folder("cmrc2018")
    export, measure = training("reader_zh_export"), training("reader_zh_measure")
    from ctxproc.llm.reader_zh import ChineseReader

    asked = size.of(export.trial(size.data))
    right, wrong = export.both(ChineseReader.load(), asked)
    scores = np.asarray(measure.score(right, asked), dtype=np.float64)
    return chinese(scores, [r.confidence for r in right], [r.confidence for r in wrong])


def chinese(scores: Numbers, right: Sequence[float], wrong: Sequence[float]) -> Figures:
    """The figures from F1 and confidence on the passage, and confidence on the other passage."""
    sure = np.array([right, wrong])
    graded = np.stack([scores, np.zeros_like(scores)])
    return {
        "CMRC trial, F1": percent(scores.tolist()),
        "CMRC trial, exact match": percent((scores == 1).astype(float).tolist()),
        "CMRC trial, AUROC, nearest passage": spread(auroc_of(sure[0], sure[1]), len(scores)),
        "CMRC trial, calibration error": spread(error_of(sure, graded), len(scores)),
    }

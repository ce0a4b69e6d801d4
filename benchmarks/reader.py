"""How well the built-in reader reads: real questions with their Wikipedia passage, lost_in_middle.

    python benchmarks/reader.py --data ../shared/data

The odd lines (counted from 1) are the test half; the even lines were trained on, except for a development set.
Passages are read without their title. Figures, with 95 % intervals: F1 and exact match of the best span on the gold
passage; AUROC of the confidence, gold passage against another question's passage, drawn at random (``unrelated``) or
the nearest by BM25 without an answer (``hard``); F1 of the most confident answer over the gold passage and its seven
nearest; the share that abstains at the default ``answer.min_confidence``; the calibration error over these eight
passages of each question, and on the gold passages alone, where the confidence is too low: it is fitted on the eight.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from common import Item, exact_match, f1, half, machine, open_questions, percent
from rank_bm25 import BM25Okapi

from ctxproc import Settings
from ctxproc.llm.reader import Reading, SpanReader
from ctxproc.measures import auroc, calibration_error

SEED = 7
NEAREST = 7


def words(text: str) -> list[str]:
    """Lower-case words, for BM25 and for finding answers."""
    return re.findall(r"\w+", text.lower())


def nearest(items: Sequence[Item], count: int) -> list[list[str]]:
    """Per question, the ``count`` passages nearest to it by BM25 that are not its own and hold none of its answers."""
    bare = [f" {' '.join(words(item.passage))} " for item in items]
    index = BM25Okapi([text.split() for text in bare])
    found = []
    for own, item in zip(bare, items, strict=True):
        answers = [f" {' '.join(words(answer))} " for answer in item.answers]
        order = np.argsort(-index.get_scores(words(item.question)), kind="stable")
        others = (k for k in order if bare[k] != own and not any(answer in bare[k] for answer in answers))
        found.append([items[k].passage for _, k in zip(range(count), others, strict=False)])
    return found


def figures(reader: SpanReader, items: Sequence[Item]) -> dict[str, Any]:
    """All figures on some questions."""
    questions, passages = [item.question for item in items], [item.passage for item in items]
    began = time.perf_counter()
    gold = reader.read(questions, passages, always=True)
    seconds = time.perf_counter() - began
    shift = random.Random(SEED).randrange(1, len(items))
    unrelated = reader.read(questions, passages[shift:] + passages[:shift], always=True)
    near = nearest(items, NEAREST)
    asked = [question for question in questions for _ in range(NEAREST)]
    others = iter(reader.read(asked, [passage for texts in near for passage in texts], always=True))
    groups = [[next(others) for _ in range(NEAREST)] for _ in items]
    said = [span(reading, passage) for reading, passage in zip(gold, passages, strict=True)]
    won = [
        span(*max(zip([own, *group], [passage, *texts], strict=True), key=lambda pair: pair[0].confidence))
        for own, group, passage, texts in zip(gold, groups, passages, near, strict=True)
    ]
    sure, least = [reading.confidence for reading in gold], Settings().answer.min_confidence
    scores = [f1(text, item.answers) for text, item in zip(said, items, strict=True)]
    rest = [reading.confidence for group in groups for reading in group]
    graded = [*sure, *rest], [*scores, *[0.0] * len(rest)]
    return {
        "questions": len(items),
        "f1": percent(scores),
        "exact_match": percent([exact_match(text, item.answers) for text, item in zip(said, items, strict=True)]),
        "f1_of_8": percent([f1(text, item.answers) for text, item in zip(won, items, strict=True)]),
        "auroc_unrelated": auroc(sure, [reading.confidence for reading in unrelated]),
        "auroc_hard": auroc(sure, [group[0].confidence for group in groups]),
        "abstained_gold": float(np.mean([c < least for c in sure])),
        "abstained_unrelated": float(np.mean([reading.confidence < least for reading in unrelated])),
        "abstained_hard": float(np.mean([group[0].confidence < least for group in groups])),
        "calibration_error": calibration_error(*graded),
        "calibration_error_gold": calibration_error(sure, scores),
        "seconds_per_100": 100 * seconds / len(items),
    }


def span(reading: Reading, passage: str) -> str:
    """The text of a reading."""
    return passage[reading.start : reading.end]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--half", "which", type=click.Choice(["odd", "even"]), default="odd", show_default=True)
@click.option("--bf16", is_flag=True, help="Run the encoder in bf16, as the command line does where that is faster.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Other weights than the shipped ones.")
def main(data: Path, which: str, bf16: bool, weights: Path | None) -> None:
    """Measure the reader and print one JSON object."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    reader = SpanReader.load(dtype=dtype, **({"weights": weights} if weights else {}))
    result = {"half": which, "dtype": str(dtype), **figures(reader, half(open_questions(data), which)), **machine()}
    click.echo(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}, indent=1))


if __name__ == "__main__":
    main()

"""How well the built-in reader reads: real questions with their Wikipedia passage, lost_in_middle.

    python benchmarks/reader.py --data ../shared/data

The odd lines (counted from 1) are the test half; the even lines were trained on, except for a development set.
Passages are read without their title. Figures: F1 and exact match on the gold passage as the reader answers it
(abstaining counts as wrong) and with the best span taken always; AUROC of the confidence, gold passage against
another question's passage, drawn at random (``unrelated``) or the nearest by BM25 without an answer (``hard``); F1
of the most confident answer over the gold passage and its seven nearest; and how far confidence is from being right
over those eight.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import random
import re
import string
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rank_bm25 import BM25Okapi

from ctxproc.llm.reader import WEIGHTS, Reading, SpanReader

SEED = 7
NEAREST = 7


def tokens(text: str) -> list[str]:
    """Words as SQuAD compares them: lower case, no punctuation, no articles."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def f1(prediction: str, answers: Sequence[str]) -> float:
    """Token F1, best over the answers."""

    def one(left: list[str], right: list[str]) -> float:
        common = sum((Counter(left) & Counter(right)).values())
        return 2 * common / (len(left) + len(right)) if common else float(left == right)

    return max(one(tokens(prediction), tokens(answer)) for answer in answers)


def exact(prediction: str, answers: Sequence[str]) -> float:
    """1 where the prediction is one of the answers."""
    return float(any(tokens(prediction) == tokens(answer) for answer in answers))


def auroc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Probability that a positive is above a negative; ties count half."""
    left, right = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return float(((left > right) + 0.5 * (left == right)).mean())


def nearest(records: Sequence[dict[str, Any]], count: int) -> list[list[int]]:
    """Per question, the ``count`` records whose passages are nearest by BM25 and hold none of its answers."""
    bare = [" " + " ".join(re.findall(r"\w+", r["ctxs"][0]["text"].lower())) + " " for r in records]
    index = BM25Okapi([text.split() for text in bare])
    found = []
    for own, record in enumerate(records):
        answers = [" " + " ".join(re.findall(r"\w+", a.lower())) + " " for a in record["answers"]]
        order = np.argsort(-index.get_scores(re.findall(r"\w+", record["question"].lower())), kind="stable")
        clean = [int(k) for k in order if k != own and bare[k] != bare[own] and not any(a in bare[k] for a in answers)]
        found.append(clean[:count])
    return found


def figures(reader: SpanReader, records: Sequence[dict[str, Any]]) -> dict[str, float]:
    """All figures on some records."""
    questions = [r["question"] for r in records]
    passages = [r["ctxs"][0]["text"] for r in records]
    answers = [r["answers"] for r in records]
    near = nearest(records, NEAREST)
    begun = time.perf_counter()
    gold = reader.read(questions, passages)
    seconds = time.perf_counter() - begun
    always = reader.read(questions, passages, always=True)
    shift = random.Random(SEED).randrange(1, len(records))
    moved = passages[shift:] + passages[:shift]
    unrelated = reader.read(questions, moved)
    asked = [q for q, ks in zip(questions, near, strict=True) for _ in ks]
    read = [passages[k] for ks in near for k in ks]
    others, forced_others = (iter(reader.read(asked, read, always=both)) for both in (False, True))
    groups = [[next(others) for _ in ks] for ks in near]
    forced_groups = [[next(forced_others) for _ in ks] for ks in near]
    texts = [passage[r.start : r.end] for r, passage in zip(gold, passages, strict=True)]
    forced = [passage[r.start : r.end] for r, passage in zip(always, passages, strict=True)]
    winners, forced_winners = (
        [
            winner([reading, *group], [passage, *(passages[k] for k in ks)])
            for reading, group, passage, ks in zip(first, rest, passages, near, strict=True)
        ]
        for first, rest in ((gold, groups), (always, forced_groups))
    )

    def mean(score: Callable[[str, Sequence[str]], float], said: Sequence[str]) -> float:
        return 100 * float(np.mean([score(text, a) for text, a in zip(said, answers, strict=True)]))

    sure = [r.confidence for r in gold]
    return {
        "questions": len(records),
        "f1": mean(f1, texts),
        "exact": mean(exact, texts),
        "f1_always": mean(f1, forced),
        "exact_always": mean(exact, forced),
        "abstained_gold": float(np.mean([not text for text in texts])),
        "abstained_unrelated": float(np.mean([r.end == 0 for r in unrelated])),
        "abstained_hard": float(np.mean([group[0].end == 0 for group in groups])),
        "auroc_unrelated": auroc(sure, [r.confidence for r in unrelated]),
        "auroc_hard": auroc(sure, [group[0].confidence for group in groups]),
        "f1_of_8": mean(f1, winners),
        "exact_of_8": mean(exact, winners),
        "f1_of_8_always": mean(f1, forced_winners),
        "calibration_error_of_8": calibration_error(
            [*sure, *(r.confidence for group in groups for r in group)],
            [*(f1(t, a) for t, a in zip(forced, answers, strict=True)), *(0.0 for group in groups for _ in group)],
        ),
        "seconds_per_100": 100 * seconds / len(records),
    }


def winner(readings: Sequence[Reading], passages: Sequence[str]) -> str:
    """The most confident answer, "" where every reading abstains."""
    answered = [(r.confidence, -k) for k, r in enumerate(readings) if r.end]
    if not answered:
        return ""
    k = -max(answered)[1]
    return passages[k][readings[k].start : readings[k].end]


def calibration_error(confidence: Sequence[float], right: Sequence[float], bins: int = 10) -> float:
    """Mean distance between confidence and F1 over bins of confidence, weighted by their size."""
    place = np.minimum((np.asarray(confidence) * bins).astype(int), bins - 1)
    gaps = [
        (place == b).mean() * abs(np.asarray(confidence)[place == b].mean() - np.asarray(right)[place == b].mean())
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))


def hardware() -> str:
    """Processor, cores, threads used and torch's version."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return f"{name}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}"


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"))
@click.option("--half", type=click.Choice(["odd", "even"]), default="odd")
@click.option("--bf16", is_flag=True, help="Run the encoder in bf16.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True), default=WEIGHTS, help="Folder.")
@click.option("--out", type=click.Path(path_type=Path), help="Also write the JSON here.")
def main(data: Path, half: str, bf16: bool, weights: Path, out: Path | None) -> None:
    """Measure the reader and write JSON."""
    with (data / "eval/lost_in_middle/nq-open-oracle.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    dtype = torch.bfloat16 if bf16 else torch.float32
    reader = SpanReader.load(dtype=dtype, weights=weights)
    begun = time.perf_counter()
    result: dict[str, Any] = figures(reader, records[0 if half == "odd" else 1 :: 2])
    result |= {"half": half, "dtype": str(dtype), "seconds": time.perf_counter() - begun, "hardware": hardware()}
    result["date"] = datetime.datetime.now(datetime.UTC).date().isoformat()
    text = json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}, indent=1)
    if out:
        out.write_text(text + "\n", encoding="utf-8")
    click.echo(text)


if __name__ == "__main__":
    main()

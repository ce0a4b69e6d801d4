"""Turn a checkpoint of the Chinese reader into the shipped weights, and measure them.

    python -m training.reader_zh_export --data build/reader_zh --checkpoint build/reader_zh/two/best.safetensors
    python -m training.reader_zh_export --data build/reader_zh --test ../shared/data

The calibration is a logistic regression on development questions, each with its passage and the nearest one without the
answer: its target is the F1 of the best span, 0 on passages without an answer.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file

from ctxproc.compare_scores import estimate
from ctxproc.llm.delta import write_model
from ctxproc.llm.reader import Calibration, Reading
from ctxproc.llm.reader_zh import NAME, ChineseReader
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.measures import auroc, calibration_error
from training.calibration import calibrate
from training.loop import load_weights
from training.reader_zh import fresh_model
from training.reader_zh_data import Question, squad, with_near
from training.reader_zh_measure import RAW, Asked, sample, score
from training.reader_zh_rows import Collection

LICENCE = "CC BY-SA 4.0 (trained on CMRC 2018, CC BY-SA 4.0, and DRCD, CC BY-SA 3.0)"

log = logging.getLogger("training.reader_zh_export")


def both(reader: ChineseReader, asked: Sequence[Asked]) -> tuple[list[Reading], list[Reading]]:
    """What is read in the right passages, and in the nearest others; the reader always answers."""
    questions = [item.question for item in asked]
    right = reader.read(questions, [item.context for item in asked], always=True)
    return right, reader.read(questions, [item.other for item in asked], always=True)


def calibrated(right: Sequence[Reading], wrong: Sequence[Reading], figures: NDArray[np.float64]) -> Calibration:
    """The calibration from F1 and readings of the right passages, and readings of others, which `RAW` gave."""
    readings = [*right, *wrong]
    sure = [reading.confidence for reading in readings]
    best = [math.log(max(value, 1e-300)) - math.log1p(-min(value, 1 - 1e-12)) for value in sure]
    answered = [True] * len(right) + [False] * len(wrong)
    return calibrate([-r.null for r in readings], best, [*figures.tolist(), *[0.0] * len(wrong)], answered)


def export(source: Collection, checkpoint: Path, out: Path, count: int) -> None:
    """Write the weights and the facts."""
    model = fresh_model(source)
    load_weights(model, load_file(checkpoint))
    asked = sample(source, "dev", count)
    right, wrong = both(ChineseReader(model, source.characters, RAW), asked)
    figures = score(right, asked)
    calibration = calibrated(right, wrong, figures)
    text = "\n".join(source.characters.entries).encode()
    tensors = {**model.state_dict(), "vocabulary": torch.frombuffer(bytearray(text), dtype=torch.uint8)}
    tensors["rarity"] = torch.from_numpy(source.characters.rarity)
    facts = {
        "licence": LICENCE,
        "shape": asdict(model.shape),
        "calibration": {name: round(value, 5) for name, value in asdict(calibration).items()},
        "development": {"questions": len(asked), "f1": round(float(figures.mean()), 4)},
    }
    write_model(NAME, tensors, facts, out)
    log.info("%s", json.dumps(facts))


def interval(values: Sequence[float] | NDArray[np.float64]) -> dict[str, float]:
    """Mean with its 95 % interval in percent, by bootstrap; of a single value it is that value."""
    found = estimate([100 * float(value) for value in values], seed=1)
    low, high = (found.mean if end is None else end for end in (found.low, found.high))
    return {"mean": round(found.mean, 1), "low": round(low, 1), "high": round(high, 1)}


def trial(data: Path) -> list[Asked]:
    """CMRC's trial questions, each with the nearest other passage of the trial that has no answer; in random order."""
    passages: list[str] = []
    questions: list[Question] = []
    text = (data / "eval/cmrc2018/cmrc2018_trial.json").read_text(encoding="utf-8")
    answers: list[str] = []
    for _, passage, asked in squad(text):
        passages.append(passage)
        for question, answer, start in asked:
            questions.append(Question(question, len(passages) - 1, [(start, start + len(answer))], []))
            answers.append(answer)
    rows = zip(with_near(passages, questions, 1), answers, strict=True)
    found = [Asked(q.question, passages[q.passage], [answer], passages[q.near[0]]) for q, answer in rows]
    return [found[k] for k in np.random.default_rng(1).permutation(len(found))]


def test(reader: ChineseReader, asked: Sequence[Asked], others: int = 400) -> dict[str, Any]:
    """All figures on a set; those that compare with the nearest other passage on its first ``others`` questions."""
    began = time.process_time()
    right = reader.read([item.question for item in asked], [item.context for item in asked], always=True)
    seconds = time.process_time() - began
    figures = score(right, asked)
    near = reader.read([a.question for a in asked[:others]], [a.other for a in asked[:others]], always=True)
    pairs = list(zip(right, near, figures.tolist(), strict=False))
    confidence = [one.confidence for one, _, _ in pairs] + [two.confidence for _, two, _ in pairs]
    target = [figure for _, _, figure in pairs] + [0.0] * len(pairs)
    return {
        "questions": len(asked),
        "questions_near": len(pairs),
        "f1": interval(figures),
        "exact_match": interval((figures == 1).astype(float)),
        "f1_of_2": interval([figure if one.confidence >= two.confidence else 0.0 for one, two, figure in pairs]),
        "auroc": round(auroc(confidence[: len(pairs)], confidence[len(pairs) :]), 4),
        "calibration_error": round(calibration_error(confidence, target), 4),
        "seconds_per_100_passages": round(100 * seconds / len(asked), 2),
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/reader_zh"))
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), help="What to export.")
@click.option("--test", "shared", type=click.Path(path_type=Path, exists=True), help="The data folder to measure on.")
@click.option("--count", default=500, help="Development questions to calibrate on.")
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS)
def main(data: Path, checkpoint: Path | None, shared: Path | None, count: int, out: Path) -> None:
    """Export a checkpoint, or measure what was exported, or both."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    source = Collection(data)
    if checkpoint:
        export(source, checkpoint, out, count)
    if shared:
        reader = ChineseReader.load(weights=out, dtype=torch.bfloat16)
        cmrc = test(reader, trial(shared))
        log.info("%s", json.dumps(cmrc))
        drcd = test(reader, sample(source, "held", 300), 200)
        path = out / f"{NAME}.json"
        facts = json.loads(path.read_text(encoding="utf-8"))
        names = ("f1", "exact_match", "calibration_error", "seconds_per_100_passages")
        facts["test"] = {name: cmrc[name] for name in names} | {"auroc_near": cmrc["auroc"], "cmrc": cmrc, "drcd": drcd}
        path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        log.info("%s", json.dumps(facts["test"]))


if __name__ == "__main__":
    main()

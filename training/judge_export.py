"""Turn a checkpoint into the shipped weights: difference to the trunk in int8, calibration, facts.

    python -m training.judge_export --checkpoint build/judge/run/best.safetensors --data build/judge

The calibration is a logistic regression on the development groups: a needed block and six that look like it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import click
import torch
from safetensors.torch import load_file
from torch import nn

from ctxproc.llm.delta import read_model, write_model
from ctxproc.llm.judge import Calibration, Judge
from ctxproc.llm.judge_model import JudgeModel, Rows, Words
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.trunk import trunk_folder
from ctxproc.measures import calibration_error
from training.calibration import logistic
from training.judge import Asked, batches, fresh, load_groups
from training.loop import load_weights

log = logging.getLogger("training.judge_export")
ROWS = 7  # of a development group


@torch.inference_mode()
def scored(model: JudgeModel, groups: Sequence[Asked], budget: int = 4096) -> list[list[float]]:
    """The scores of every group's rows, that of the needed block first."""
    found = []
    for batch in batches(groups, budget, 0):
        scores = model(Rows.of([row for group in batch for row in group.rows]))
        found += [part.tolist() for part in scores.split([len(group.rows) for group in batch])]
    return found


def calibrate(found: Sequence[tuple[float, bool]]) -> Calibration:
    """Offset and slope of the likeliest logistic function."""
    scores, needed = torch.tensor(found, dtype=torch.float64).unbind(1)
    features = torch.stack([torch.ones_like(scores), scores], 1)
    offset, slope = logistic(features, needed, start=[0.0, 1.0], decay=0.0)
    return Calibration(round(offset, 5), round(slope, 5))


def error_of(calibration: Calibration, found: Sequence[tuple[float, bool]]) -> float:
    """The expected calibration error of the probabilities that the scores become."""
    return calibration_error([calibration.probability(score) for score, _ in found], [right for _, right in found])


@click.command()
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/judge"))
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="as in training")
@click.option("--frozen", default=3, show_default=True, help="as in training")
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS)
def main(checkpoint: Path, data: Path, init: Path | None, frozen: int, out: Path) -> None:
    """Write judge.safetensors and judge.json; the figures under "test" are measured afterwards."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = fresh(frozen, init).eval()
    load_weights(model, load_file(checkpoint))
    whole = {name: value.clone() for name, value in model.state_dict().items()}
    groups = load_groups(data / "dev.jsonl", Words(trunk_folder()), ROWS)
    nn.Module.to(model.trunk, torch.bfloat16)
    scores = scored(model, groups)
    found = [(score, k == 0) for group in scores for k, score in enumerate(group)]
    calibration = calibrate(found)
    facts = {
        "licence": "Apache-2.0",
        "calibration": {"offset": calibration.offset, "slope": calibration.slope},
        "development": {
            "reciprocal_rank": round(mean(1 / (1 + sum(o >= first for o in rest)) for first, *rest in scores), 4),
            "calibration_error": round(error_of(calibration, found), 4),
        },
        "test": {},
    }
    write_model("judge", whole, facts, out)
    Judge.load(weights=out)
    log.info("%s", json.dumps(read_model("judge", out)[0]))


if __name__ == "__main__":
    main()

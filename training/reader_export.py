"""Turn checkpoints into the shipped weights: the difference to the trunk in int8, calibration, facts.

    python -m training.reader_export --checkpoint build/reader/four/mean.safetensors --dev build/reader/dev.jsonl

The calibration is a logistic regression on the development groups (gold passage and nearest others): was the best
answer right? Its target is the token F1 of the answer, 0 on passages without one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from ctxproc.llm.delta import write_model
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.span_head import RANK
from ctxproc.llm.span_model import MAX_SPAN, Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.calibration import calibrate
from training.reader import fresh_model, put
from training.reader_batches import load_groups
from training.reader_measure import f1, readings, summarise

log = logging.getLogger("training.reader_export")


def blend(paths: Sequence[Path], shares: Sequence[float]) -> SpanModel:
    """A model whose weights are the weighted mean of those of checkpoints or folders of shipped weights."""
    total: dict[str, Tensor] = {}
    for path, share in zip(paths, shares, strict=True):
        model = fresh_model()
        put(model, path)
        for name, value in model.state_dict().items():
            total[name] = total.get(name, 0) + value * share / sum(shares)
    model.load_state_dict(total)
    return model.eval()


@click.command()
@click.option("--checkpoint", "checkpoints", type=click.Path(path_type=Path, exists=True), required=True, multiple=True)
@click.option(
    "--share", "shares", type=float, multiple=True, help="Of each checkpoint in the mean; equal if not given."
)
@click.option("--dev", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS)
def main(checkpoints: tuple[Path, ...], shares: tuple[float, ...], dev: Path, out: Path) -> None:
    """Write reader.safetensors and reader.json: the mean of the checkpoints, calibrated as it is read back."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = blend(checkpoints, shares or [1.0] * len(checkpoints))
    facts: dict[str, Any] = {
        "licence": "Apache-2.0",
        "max_span": MAX_SPAN,
        "rank": RANK,
        "calibration": {"offset": 0.0, "present": 1.0, "share": 1.0, "threshold": 0.0},
    }
    write_model("reader", model.state_dict(), facts, out)
    put(model, out)
    groups = load_groups(dev, Encoder(trunk_folder()), 512)
    rows = [row for group in groups for row in group]
    read = readings(model, rows)
    said, best, any_span = zip(*read, strict=True)
    scores = [f1(text, row.answers) for text, row in zip(said, rows, strict=True)]
    gold = [row is group[0] for group in groups for row in group]
    calibration = calibrate(any_span, best, scores, gold)
    facts["calibration"] = {name: round(value, 5) for name, value in asdict(calibration).items()}
    facts["development"] = {name: round(value, 4) for name, value in summarise(groups, read).items()}
    write_model("reader", model.state_dict(), facts, out)
    log.info("%s", json.dumps(facts))


if __name__ == "__main__":
    main()

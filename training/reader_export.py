"""Turn checkpoints into the shipped weights: the difference to the trunk in int8, calibration, facts.

    python -m training.reader_export --checkpoint build/reader/four/mean.safetensors --dev build/reader/dev.jsonl

The calibration is a logistic regression on the development groups (gold passage and nearest others): was the best
answer right? Its target is the token F1 of the answer, 0 on passages without one.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from ctxproc.llm.delta import write_model
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.span_model import MAX_SPAN, RANK, Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.reader import fresh_model, put
from training.reader_batches import Row, load_groups
from training.reader_measure import f1, readings, summarise

KEPT = 0.95  # of the F1 on gold passages that abstaining may not touch

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


def calibrate(groups: list[list[Row]], read: list[tuple[str, float, float]]) -> dict[str, float]:
    """Fit the confidence and the threshold of abstaining on the development groups."""
    rows = [row for group in groups for row in group]
    features = torch.tensor([[1.0, any_span, best - any_span] for _, best, any_span in read], dtype=torch.float64)
    target = torch.tensor([f1(text, row.answers) for (text, _, _), row in zip(read, rows, strict=True)])
    weights = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> float:
        solver.zero_grad()
        level = features @ weights
        loss = torch.nn.functional.binary_cross_entropy_with_logits(level, target.double())
        loss = loss + 1e-4 * weights.square().sum()
        torch.autograd.backward(loss)
        return float(loss.detach())

    solver.step(closure)  # type: ignore[no-untyped-call]
    offset, present, share = weights.tolist()
    return {"offset": offset, "present": present, "share": share, "threshold": threshold(groups, read)}


def threshold(groups: list[list[Row]], read: list[tuple[str, float, float]]) -> float:
    """Log-odds up to which to abstain: the highest that keeps ``KEPT`` of the F1 on gold passages."""
    found = iter(read)
    gold = []
    for group in groups:
        mine = [next(found) for _ in group]
        gold.append((mine[0][2], f1(mine[0][0], group[0].answers)))
    total, lost = sum(score for _, score in gold), 0.0
    for level, score in sorted(gold):
        lost += score
        if lost > (1 - KEPT) * total:
            return level - 1e-3
    return -math.inf


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
    read = readings(model, [row for group in groups for row in group])
    facts["calibration"] = {name: round(value, 5) for name, value in calibrate(groups, read).items()}
    facts["development"] = {name: round(value, 4) for name, value in summarise(groups, read).items()}
    write_model("reader", model.state_dict(), facts, out)
    log.info("%s", json.dumps(facts))


if __name__ == "__main__":
    main()

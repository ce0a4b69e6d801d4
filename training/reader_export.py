"""Turn a checkpoint into the shipped weights: differences to the trunk in fp16, calibration, facts.

    python -m training.reader_export --checkpoint build/reader/three/best.safetensors --dev build/reader/dev.jsonl

The calibration is a logistic regression on the development groups (gold passage and nearest others): was the best span
right? Its target is the token F1 of the span, 0 on passages without an answer.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ctxproc.llm.reader import FORMAT, WEIGHTS
from ctxproc.llm.span_model import MAX_SPAN, RANK, Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.reader import fresh_model, load_weights
from training.reader_batches import Row, load_groups
from training.reader_measure import f1, readings, summarise

KEPT = 0.95  # of the F1 on gold passages that abstaining may not touch

log = logging.getLogger("training.reader_export")


def difference(model: SpanModel, trunk: dict[str, Tensor]) -> dict[str, Tensor]:
    """What changed, in fp16: the head in full, the trunk's trained weights less the installed ones."""
    changed = {}
    for name, value in model.state_dict().items():
        base = trunk[name.removeprefix("trunk.")] if name.startswith("trunk.") else torch.zeros_like(value)
        if not torch.equal(value, base):
            changed[name] = (value - base).half().contiguous()
    return changed


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
@click.option("--checkpoint", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--dev", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), default=WEIGHTS)
def main(checkpoint: Path, dev: Path, out: Path) -> None:
    """Write reader.safetensors and reader.json."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    model = fresh_model()
    load_weights(model, load_file(checkpoint))
    trunk = trunk_folder() / "model.safetensors"
    groups = load_groups(dev, Encoder(trunk_folder()), 512)
    with torch.no_grad():
        changed = difference(model, load_file(trunk))
    read = readings(model, [row for group in groups for row in group])
    calibration = calibrate(groups, read)
    save_file(changed, out / "reader.safetensors", {"format": str(FORMAT)})
    (out / "reader.safetensors").chmod(0o644)
    facts = {
        "format": FORMAT,
        "trunk_sha256": hashlib.sha256(trunk.read_bytes()).hexdigest(),
        "max_span": MAX_SPAN,
        "rank": RANK,
        "calibration": {name: round(value, 5) for name, value in calibration.items()},
        "development": {name: round(value, 4) for name, value in summarise(groups, read).items()},
    }
    (out / "reader.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    log.info("%s", json.dumps(facts))


if __name__ == "__main__":
    main()

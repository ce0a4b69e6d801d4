r"""Train what the judge's head makes of kept blocks; all other weights stay, and so do scores where nothing is kept.

    python -m training.judge_lead --data build/judge --init ctxproc/llm/weights/reader.safetensors \
        --start build/judge/run/last.safetensors --out build/judge/lead.safetensors

The states of the groups that have kept blocks are computed once and read in several passes.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ctxproc.llm.judge_model import JudgeModel, Rows, Words
from ctxproc.llm.trunk import trunk_folder
from training.judge import ALONE, Asked, batches, fresh, load_groups
from training.loop import load_weights

log = logging.getLogger("training.judge_lead")
Known = tuple[Tensor, Tensor, Tensor, list[int]]
"""Of a batch: states in bf16, parts, scores without the kept blocks, rows of each group."""


@torch.inference_mode()
def known(model: JudgeModel, groups: Sequence[Asked], budget: int = 4096) -> list[Known]:
    """The batches of groups as the frozen weights see them."""
    found = []
    for batch in batches(groups, budget, 0):
        rows = Rows.of([row for group in batch for row in group.rows])
        hidden = model.encode(rows)
        sizes = [len(group.rows) for group in batch]
        found.append((hidden.bfloat16(), rows.parts, model.alone(hidden, rows.parts), sizes))
    return found


def loss_of(model: JudgeModel, batch: Known) -> tuple[Tensor, float]:
    """The loss of training.judge, and the mean reciprocal rank of the needed blocks."""
    hidden, parts, alone, sizes = (part.clone() if isinstance(part, Tensor) else part for part in batch)
    scores = alone + model.led(hidden.float(), parts)
    split = scores.split(sizes)
    listed = torch.stack([cross_entropy(part, torch.zeros((), dtype=torch.long)) for part in split]).mean()
    needed = torch.cat([torch.eye(size)[0] for size in sizes])
    ranks = [1 / (1 + int((part[1:] >= part[0]).sum())) for part in split]
    return listed + ALONE * binary_cross_entropy_with_logits(scores, needed), sum(ranks) / len(ranks)


def train(model: JudgeModel, some: Sequence[Known], test: Sequence[Known], passes: int, rate: float) -> None:
    """Adam over the head's last part."""
    with torch.no_grad():
        model.lead.copy_(torch.tensor([6.0, -2.0, -4.0]))
    optimizer = torch.optim.Adam([*model.weigh.parameters(), model.lead], lr=rate)
    rng, order = random.Random(0), list(range(len(some)))
    for number in range(passes):
        with torch.no_grad():
            seen = [loss_of(model, batch) for batch in test]
        losses, ranks = ([float(one[k]) for one in seen] for k in (0, 1))
        log.info("pass %d: dev loss %.4f, rank %.4f", number, sum(losses) / len(seen), sum(ranks) / len(seen))
        rng.shuffle(order)
        for k in order:
            optimizer.zero_grad()
            torch.autograd.backward(loss_of(model, some[k])[0])
            optimizer.step()
    log.info("lead %s", model.lead.tolist())


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/judge"))
@click.option("--init", type=click.Path(path_type=Path, exists=True))
@click.option("--start", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
@click.option("--frozen", default=3, show_default=True, help="as in training")
@click.option("--most", default=260, show_default=True, help="groups")
@click.option("--passes", default=8, show_default=True)
@click.option("--rate", default=0.02, show_default=True)
def main(
    data: Path, init: Path | None, start: Path, out: Path, frozen: int, most: int, passes: int, rate: float
) -> None:
    """Train, and write the checkpoint with the new part in it."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = fresh(frozen, init).eval()
    load_weights(model, load_file(start))
    trained = {f"model.{name}": weight for name, weight in model.named_parameters() if weight.requires_grad}
    whole = {name: weight.detach().clone() for name, weight in trained.items()}
    nn.Module.to(model.trunk, torch.bfloat16)
    words = Words(trunk_folder())
    groups = [group for group in load_groups(data / "train.jsonl", words) if group.rows[0].kept and group.kind != "nq"]
    test = [group for group in load_groups(data / "dev.jsonl", words) if group.rows[0].kept]
    random.Random(1).shuffle(groups)
    train(model, known(model, groups[:most]), known(model, test), passes, rate)
    head = {
        f"model.{name}": weight.detach().clone() for name, weight in model.named_parameters() if "trunk" not in name
    }
    save_file({**whole, **head}, out)


if __name__ == "__main__":
    main()

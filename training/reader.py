r"""Train the reader: one stage, from the trunk or from an earlier stage's checkpoint.

    python -m training.reader --train build/reader/pretrain.jsonl --save build/reader/one --alone
    python -m training.reader --train build/reader/tune.jsonl --init build/reader/one/best.safetensors \
        --save build/reader/two
    python -m training.reader --train build/reader/third.jsonl --init WEIGHTS --save build/reader/three --dropout 0.1

WEIGHTS is a folder with the shipped ``reader.safetensors`` of the first two stages; a checkpoint will do as well.

The loss of a passage is minus the log-probability of its answer spans (or of null); the loss of a group is the same
with one softmax over all passages of the question. Work happens in bf16, the weights are kept in fp32. Stopped runs
go on from ``last.safetensors``. ``mean.safetensors`` is the running mean of the weights; it is what is measured.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ctxproc.llm.reader import SpanReader
from ctxproc.llm.span_model import Batch, Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.loop import Plan, Trainer, fresh_trunk, load_weights, passes, steps_of, train
from training.reader_batches import Row, batches, load_groups
from training.reader_mean import Mean
from training.reader_measure import measure

log = logging.getLogger("training.reader")


class Options(NamedTuple):
    """Of this stage."""

    budget: int = 8192  # padded tokens in a batch
    longest: int = 384
    group_share: float = 0.5  # weight of the group loss; the passage loss has the rest
    stop: int | None = None  # step at which the plan is cut


def fresh_model(dropout: float = 0.0) -> SpanModel:
    """The installed trunk with a new head; dropout of the hidden states only, the attention has none."""
    model = SpanModel(fresh_trunk())
    for name, part in model.trunk.named_modules():
        if isinstance(part, nn.Dropout) and not name.endswith("attention.self.dropout"):
            part.p = dropout
    return model.train()


def put(model: SpanModel, start: Path) -> None:
    """Weights of a checkpoint, or of a folder of shipped ones, into the model."""
    if start.is_dir():
        model.load_state_dict(SpanReader.load(weights=start).weights())
    else:
        load_weights(model, load_file(start))


def loss_of(model: SpanModel, groups: list[list[Row]], share: float) -> Tensor:
    """Mean loss of a batch: ``share`` of it by groups, the rest by passages."""
    rows = list(itertools.chain.from_iterable(groups))
    scores = model(Batch.of([row.encoded for row in rows]))
    every = scores.flatten(1).logsumexp(1)
    right = torch.stack([_gold(scores[k], row.gold) for k, row in enumerate(rows)])
    null = torch.zeros(())
    answered = torch.tensor([bool(row.gold) for row in rows])
    alone = torch.logaddexp(every, null) - torch.where(answered, right, null)
    loss = alone.mean() * (1 - share)
    if share:
        together, begin = [], 0
        for group in groups:
            part = slice(begin, begin := begin + len(group))
            gold = right[part][answered[part]].logsumexp(0) if answered[part].any() else null
            together.append(torch.cat([every[part], null[None]]).logsumexp(0) - gold)
        loss = loss + torch.stack(together).mean() * share
    return loss


def _gold(scores: Tensor, spans: list[tuple[int, int]]) -> Tensor:
    if not spans:
        return torch.zeros(())
    starts, ends = (torch.tensor(side) for side in zip(*spans, strict=True))
    return scores[starts, ends].logsumexp(0)


@click.command()
@click.option("--train", "train_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--dev", "dev_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--init", type=click.Path(path_type=Path, exists=True))
@click.option("--save", type=click.Path(path_type=Path), required=True)
@click.option("--epochs", default=1.0)
@click.option("--rate", default=1.5e-4)
@click.option("--head-rate", default=1e-3)
@click.option("--every", default=200)
@click.option("--stop", type=int, help="Cut the plan at this step, a multiple of --every.")
@click.option("--seed", default=1)
@click.option("--budget", default=8192, help="Padded tokens in a batch.")
@click.option("--dropout", default=0.0)
@click.option("--alone", is_flag=True, help="Train each passage by itself: no group loss, less padding.")
def main(
    train_file: Path,
    dev_file: Path,
    init: Path | None,
    save: Path,
    epochs: float,
    rate: float,
    head_rate: float,
    every: int,
    stop: int | None,
    seed: int,
    budget: int,
    dropout: float,
    alone: bool,
) -> None:
    """Train one stage."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    options = Options(budget, group_share=0.0 if alone else 0.5)
    encoder, model = Encoder(trunk_folder()), fresh_model(dropout)
    if init:
        put(model, init)
    groups = load_groups(train_file, encoder, options.longest)
    if alone:
        groups = [[row] for group in groups for row in group]
    log.info("%d groups, %d rows", len(groups), sum(map(len, groups)))
    make = partial(batches, groups, options.budget)
    plan = Plan(steps_of(make, seed, epochs), {"trunk.": rate, "": head_rate}, every=every, seed=seed)
    run(Trainer(model, plan), make, load_groups(dev_file, encoder, 512), save, options._replace(stop=stop))


def run(
    trainer: Trainer[SpanModel],
    make: Callable[[int], Iterator[list[list[Row]]]],
    dev: list[list[Row]],
    save: Path,
    options: Options,
) -> None:
    """Train, and keep the running mean of the weights in ``mean.safetensors``."""
    save.mkdir(parents=True, exist_ok=True)
    mean, file = Mean(trainer.model, trainer.work), save / "mean.safetensors"
    if file.exists():
        mean.restore(file)

    def loss(model: SpanModel, batch: list[list[Row]]) -> Tensor:
        mean.add()
        return loss_of(model, batch, options.group_share)

    def figures(_: SpanModel) -> dict[str, float]:
        mean.save(file)
        return measure(mean.model(), dev)

    every_step = passes(make, trainer.plan.seed)

    def stream(step: int) -> Iterator[list[list[Row]]]:
        return itertools.islice(every_step(step), max(0, (options.stop or trainer.plan.steps) - step))

    train(trainer, stream, loss, save, measure=figures, size=lambda batch: sum(map(len, batch)))


if __name__ == "__main__":
    main()

"""Train the Chinese reader from scratch.

    python -m training.reader_zh_data --data ../shared/data --out build/reader_zh
    python -m training.reader_zh --data build/reader_zh --save build/reader_zh/run

Stopped runs go on from ``last.safetensors``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import click
import torch

from ctxproc.llm.reader_zh_model import Shape, ZhModel, alike
from training.loop import Plan, Trainer, passes, train
from training.reader_zh_data import Question
from training.reader_zh_measure import measure
from training.reader_zh_rows import Collection, Row, batches, loss_of, real_rows

BUDGET = 4096  # padded tokens in a batch


def fresh_model(source: Collection, shape: Shape | None = None) -> ZhModel:
    """A model whose embeddings are the first vectors."""
    model = ZhModel(shape or Shape(len(source.characters.entries)))
    alike(model)
    with torch.no_grad():
        model.body.vectors.weight.copy_(source.vectors)
    return model


def one_pass(source: Collection, questions: Sequence[Question], seed: int) -> Iterator[list[Row]]:
    """The batches of one pass in random order."""
    generator = torch.Generator().manual_seed(seed)
    asked = [questions[k] for k in torch.randperm(len(questions), generator=generator).tolist()]
    return batches(real_rows(source, asked, seed), BUDGET, seed)


def run(source: Collection, model: ZhModel, plan: Plan, save: Path, count: int = 120) -> Path:
    """Train by a plan, or what is left of it, and return the file of the best weights.

    Args:
        source: What `training.reader_zh_data` wrote.
        model: From `fresh_model`.
        plan: Steps are batches of `BUDGET` padded tokens.
        save: Folder of the checkpoints.
        count: Development questions that are read at each measurement.
    """
    make = partial(one_pass, source, source.questions("train"))
    return train(
        Trainer(model, plan), passes(make, plan.seed), loss_of, save, measure=partial(measure, source, count=count)
    )


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/reader_zh"))
@click.option("--save", type=click.Path(path_type=Path), default=Path("build/reader_zh/run"))
@click.option("--steps", default=1500)
@click.option("--rate", default=1e-3)
@click.option("--every", default=400)
@click.option("--seed", default=1)
def main(data: Path, save: Path, steps: int, rate: float, every: int, seed: int) -> None:
    """Train the reader."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    source = Collection(data)
    run(source, fresh_model(source), Plan(steps, {"": rate}, ("body",), every=every, seed=seed), save)


if __name__ == "__main__":
    main()

r"""Train the judge: from the trunk, or from a difference to it such as the reader's.

    python -m training.judge --data build/judge --save build/judge/run --init ctxproc/llm/weights/reader.safetensors

The loss of a group is minus the log-probability of the block that is needed under a softmax over the group's scores, and
half of the binary cross-entropy of each score by itself, so that scores are log-odds that can be compared across
queries. A stopped run goes on from ``last.safetensors``.
"""

from __future__ import annotations

import json
import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import click
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from ctxproc.llm.delta import load_delta, trunk_weights
from ctxproc.llm.judge_model import JudgeModel, Row, Rows, Words
from ctxproc.llm.trunk import trunk_folder
from training.loop import Plan, Trainer, fresh_trunk, load_weights, passes, steps_of, train

log = logging.getLogger("training.judge")
LONGEST = {"query": 40, "kept": 96, "block": 128}
POOL = 40  # batches that are sorted by length together
ALONE = 0.5  # weight of the binary cross-entropy


@dataclass(frozen=True)
class Asked:
    """A group as token ids: the first row is the block that is needed."""

    rows: tuple[Row, ...]
    kind: str

    @property
    def longest(self) -> int:
        """Tokens of its longest row."""
        return max(map(len, self.rows))


def load_groups(path: Path, words: Words, most: int = 5) -> list[Asked]:
    """Read a file of groups; texts are cut at ``LONGEST``, groups at ``most`` rows."""
    with path.open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    made = []
    for record in records:
        query, *blocks = words.ids([record["query"], record["block"], *record["others"][: most - 1]])
        kept = words.ids([" ".join(record["kept"])])[0] if record["kept"] else []
        cut = (query[: LONGEST["query"]], kept[: LONGEST["kept"]])
        made.append(Asked(tuple(Row(*cut, block[: LONGEST["block"]]) for block in blocks), record["kind"]))
    return made


def batches(groups: Sequence[Asked], budget: int, seed: int) -> Iterator[list[Asked]]:
    """One pass: batches of at most ``budget`` padded tokens, of groups of about equal length."""
    rng = random.Random(seed)
    order = list(groups)
    rng.shuffle(order)
    tokens = [group.longest * len(group.rows) for group in order]
    begin = 0
    while begin < len(order):
        end, total = begin, 0
        while end < len(order) and total < POOL * budget:
            total += tokens[end]
            end += 1
        yield from _cut(order[begin:end], budget, rng)
        begin = end


def _cut(pool: list[Asked], budget: int, rng: random.Random) -> list[list[Asked]]:
    made: list[list[Asked]] = [[]]
    rows = 0
    for group in sorted(pool, key=lambda one: one.longest):
        if made[-1] and (rows + len(group.rows)) * group.longest > budget:
            made.append([])
            rows = 0
        made[-1].append(group)
        rows += len(group.rows)
    rng.shuffle(made)
    return made


def loss_of(model: JudgeModel, groups: Sequence[Asked]) -> Tensor:
    """As the module says."""
    scores = model(Rows.of([row for group in groups for row in group.rows]))
    split = scores.split([len(group.rows) for group in groups])
    first = torch.zeros((), dtype=torch.long)
    listed = torch.stack([cross_entropy(part, first) for part in split]).mean()
    needed = torch.cat([torch.eye(len(part))[0] for part in split])
    return listed + ALONE * binary_cross_entropy_with_logits(scores, needed)


def measure(model: JudgeModel, groups: Sequence[Asked], budget: int = 8192) -> dict[str, float]:
    """The mean reciprocal rank of the block that is needed, by kind and over kinds ("score"); the binary loss."""
    by_kind: dict[str, list[float]] = defaultdict(list)
    losses: list[float] = []
    for batch in batches(groups, budget, 0):
        scores = model(Rows.of([row for group in batch for row in group.rows]))
        for group, part in zip(batch, scores.split([len(group.rows) for group in batch]), strict=True):
            by_kind[group.kind].append(1 / (1 + int((part[1:] >= part[0]).sum())))
            losses.append(float(binary_cross_entropy_with_logits(part, torch.eye(len(part))[0])))
    figures = {kind: mean(some) for kind, some in sorted(by_kind.items())}
    return {"score": mean(figures.values()), "binary": mean(losses), **figures}


def fresh(frozen: int, init: Path | None) -> JudgeModel:
    """A judge on the trunk, with a difference added if there is one; the lowest ``frozen`` layers are not trained."""
    trunk = fresh_trunk()
    if init:
        changed = load_delta(init, trunk_weights())
        trunk.load_state_dict({name: changed[f"trunk.{name}"] for name in trunk.state_dict()})
    model = JudgeModel(trunk)
    for part in [model.trunk.embeddings, *model.trunk.encoder.layer[:frozen]] if frozen else []:
        part.requires_grad_(False)
    return model


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/judge"))
@click.option("--save", type=click.Path(path_type=Path), required=True)
@click.option("--init", type=click.Path(path_type=Path, exists=True), help="difference to the trunk to begin from")
@click.option(
    "--start", type=click.Path(path_type=Path, exists=True), help="checkpoint of an earlier run to begin from"
)
@click.option("--frozen", default=3, show_default=True, help="lowest layers that are not trained")
@click.option("--epochs", default=1.0, show_default=True)
@click.option("--steps", type=int, help="instead of epochs")
@click.option("--rate", default=1e-4, show_default=True)
@click.option("--budget", default=4096, show_default=True, help="padded tokens in a batch")
@click.option("--every", default=75, show_default=True)
@click.option("--seed", default=1, show_default=True)
def main(
    data: Path,
    save: Path,
    init: Path | None,
    start: Path | None,
    frozen: int,
    epochs: float,
    steps: int | None,
    rate: float,
    budget: int,
    every: int,
    seed: int,
) -> None:
    """Train."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    words = Words(trunk_folder())
    groups, dev = (load_groups(data / f"{name}.jsonl", words) for name in ("train", "dev"))

    def make(number: int) -> Iterator[list[Asked]]:
        return batches(groups, budget, number)

    count = steps or steps_of(make, seed, epochs)
    rates = {"trunk.": rate, "whole.": 1e-3, "near": 1e-2}
    torch.manual_seed(seed)
    model = fresh(frozen, init)
    for head in (*model.weigh.parameters(), model.lead):
        head.requires_grad_(False)  # judge_lead trains them
    if start:
        load_weights(model, load_file(start))
    trainer = Trainer(model, Plan(steps=count, rates=rates, every=every, seed=seed))
    log.info("%d groups, %d rows, %d steps", len(groups), sum(len(group.rows) for group in groups), count)

    def rows_in(batch: list[Asked]) -> int:
        return sum(len(group.rows) for group in batch)

    train(trainer, passes(make, seed), loss_of, save, measure=lambda work: measure(work, dev), size=rows_in)


if __name__ == "__main__":
    main()

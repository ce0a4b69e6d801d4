r"""Train the reader: one stage, from the trunk or from an earlier stage's checkpoint.

    python -m training.reader --train build/reader/pretrain.jsonl --save build/reader/one --alone
    python -m training.reader --train build/reader/tune.jsonl --init build/reader/one/best.safetensors \
        --save build/reader/two

The loss of a passage is minus the log-probability of its answer spans (or of null); the loss of a group is the same
with one softmax over all passages of the question. Work happens in bf16, the weights are kept in fp32. Stopped runs
go on from ``last.safetensors``.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import math
import time
from dataclasses import dataclass
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AttentionInterface, BertModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from ctxproc.llm.span_model import Batch, Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.reader_batches import Row, batches, load_groups
from training.reader_measure import measure

log = logging.getLogger("training.reader")


@dataclass(frozen=True)
class Plan:
    """How to train; learning rates are those at the end of the warm-up."""

    epochs: float = 1.0
    rate: float = 1.5e-4
    head_rate: float = 1e-3
    warmup: float = 0.06
    budget: int = 8192  # padded tokens in a batch
    longest: int = 384
    group_share: float = 0.5  # weight of the group loss; the passage loss has the rest
    decay: float = 0.01
    every: int = 200  # steps between measurements
    seed: int = 1


def plain_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float = 1.0,
    **_: object,
) -> tuple[Tensor, None]:
    """Attention by two matrix products: in bf16 on CPU its backward is half again as fast as the fused one."""
    scores = (query * scaling) @ key.transpose(-1, -2)
    if attention_mask is not None:
        shade = torch.zeros_like(attention_mask, dtype=scores.dtype).masked_fill(~attention_mask, -1e9)
        scores = scores + shade
    return (scores.softmax(-1) @ value).transpose(1, 2).contiguous(), None


def fresh_model() -> SpanModel:
    """The installed trunk with a new head, without dropout."""
    AttentionInterface.register("plain", plain_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register("plain", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])
    trunk = BertModel.from_pretrained(
        trunk_folder(),
        add_pooling_layer=False,
        attn_implementation="plain",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    trunk.embeddings.word_embeddings.weight.requires_grad_(False)
    return SpanModel(trunk)


class Trainer:
    """Weights in fp32, a working copy in bf16, and the optimizer between them."""

    def __init__(self, model: SpanModel, plan: Plan) -> None:
        """Start at step 0 of the plan."""
        self.model, self.plan, self.step = model, plan, 0
        self.work = copy.deepcopy(model)
        nn.Module.to(self.work.trunk, torch.bfloat16)
        self.pairs = [
            (name, mine, theirs)
            for (name, mine), theirs in zip(model.named_parameters(), self.work.parameters(), strict=True)
            if mine.requires_grad
        ]
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, mine, _ in self.pairs:
            rate = plan.rate if name.startswith("trunk.") else plan.head_rate
            groups.setdefault((rate, plan.decay if mine.dim() > 1 else 0.0), []).append(mine)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": rate, "top": rate, "weight_decay": d} for (rate, d), params in groups.items()],
            betas=(0.9, 0.98),
            fused=True,
        )

    def update(self, loss: Tensor, scale: float) -> float:
        """One step at ``scale`` times the learning rates; returns the gradient's norm."""
        torch.autograd.backward(loss)
        for _, mine, theirs in self.pairs:
            mine.grad = theirs.grad.float() if theirs.grad is not None else None
            theirs.grad = None
        norm = float(nn.utils.clip_grad_norm_([mine for _, mine, _ in self.pairs], 1.0))
        for group in self.optimizer.param_groups:
            group["lr"] = group["top"] * scale
        self.optimizer.step()
        with torch.no_grad():
            for _, mine, theirs in self.pairs:
                theirs.copy_(mine)
        self.step += 1
        return norm

    def save(self, path: Path) -> None:
        """Weights, optimizer state and step, for `restore`."""
        tensors = {f"model.{name}": mine.detach() for name, mine, _ in self.pairs}
        for name, mine, _ in self.pairs:
            for key, value in self.optimizer.state.get(mine, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value.detach().clone()
        save_file(tensors, path.with_suffix(".part"), {"step": str(self.step)})
        path.with_suffix(".part").rename(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        tensors = load_file(path)
        load_weights(self.model, tensors)
        for name, mine, theirs in self.pairs:
            theirs.data.copy_(mine.data)
            keys = ("step", "exp_avg", "exp_avg_sq")
            self.optimizer.state[mine] = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}
            self.step = int(tensors[f"optimizer.step.{name}"].item())


def load_weights(model: SpanModel, tensors: dict[str, Tensor]) -> None:
    """Put a checkpoint's ``model.`` tensors in place."""
    named = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    missing = model.load_state_dict(named, strict=False)
    if missing.unexpected_keys:
        raise ValueError(f"the checkpoint has unknown weights: {missing.unexpected_keys[:3]}")


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


def train(trainer: Trainer, groups: list[list[Row]], dev: list[list[Row]], save: Path) -> None:
    """Run the plan; measure and keep the best by the development set."""
    plan = trainer.plan
    per_epoch = [sum(1 for _ in batches(groups, plan.budget, plan.seed + k)) for k in range(math.ceil(plan.epochs))]
    total = int(sum(per_epoch) * plan.epochs / math.ceil(plan.epochs))
    stream = itertools.chain.from_iterable(batches(groups, plan.budget, plan.seed + k) for k in itertools.count())
    started, losses, seen = time.monotonic(), [], 0
    kept = save / "best.json"
    best = json.loads(kept.read_text())["score"] if trainer.step and kept.exists() else 0.0
    for batch in itertools.islice(stream, trainer.step, total):
        progress = trainer.step / total
        scale = min(progress / plan.warmup, (1 - progress) / (1 - plan.warmup), 1.0) if plan.warmup else 1 - progress
        loss = loss_of(trainer.work, batch, plan.group_share)
        trainer.update(loss, max(scale, 0.01))
        losses.append(float(loss.detach()))
        seen += sum(map(len, batch))
        if trainer.step % 20 == 0:
            speed = seen / (time.monotonic() - started)
            log.info("step %d of %d loss %.3f rows/s %.1f", trainer.step, total, sum(losses[-20:]) / 20, speed)
        if trainer.step % plan.every == 0 or trainer.step == total:
            figures = measure(trainer.work, dev)
            log.info("dev %s", json.dumps(figures))
            trainer.save(save / "last.safetensors")
            if figures["score"] > best:
                best = figures["score"]
                (save / "best.safetensors").write_bytes((save / "last.safetensors").read_bytes())
                kept.write_text(json.dumps({"step": trainer.step, **figures}))


@click.command()
@click.option("--train", "train_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--dev", "dev_file", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--init", type=click.Path(path_type=Path, exists=True))
@click.option("--save", type=click.Path(path_type=Path), required=True)
@click.option("--epochs", default=1.0)
@click.option("--rate", default=1.5e-4)
@click.option("--every", default=200)
@click.option("--seed", default=1)
@click.option("--alone", is_flag=True, help="Train each passage by itself: no group loss, less padding.")
def main(
    train_file: Path,
    dev_file: Path,
    init: Path | None,
    save: Path,
    epochs: float,
    rate: float,
    every: int,
    seed: int,
    alone: bool,
) -> None:
    """Train one stage."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    plan = Plan(epochs=epochs, rate=rate, every=every, seed=seed, group_share=0.0 if alone else 0.5)
    save.mkdir(parents=True, exist_ok=True)
    encoder, model = Encoder(trunk_folder()), fresh_model()
    if init:
        load_weights(model, load_file(init))
    groups = load_groups(train_file, encoder, plan.longest)
    if alone:
        groups = [[row] for group in groups for row in group]
    log.info("%d groups, %d rows", len(groups), sum(map(len, groups)))
    trainer = Trainer(model, plan)
    if (save / "last.safetensors").exists():
        trainer.restore(save / "last.safetensors")
    train(trainer, groups, load_groups(dev_file, encoder, 512), save)


if __name__ == "__main__":
    main()

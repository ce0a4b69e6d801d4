r"""Train the small causal model, from the data that `causal_questions`, `causal_text` and `causal_near` wrote.

    python -m training.causal --data build/causal --save build/causal/run

The loss is that of replies, see `causal_tasks`; to it comes that of the pointing heads (`causal_pointing`), which are
told where in the context the next token stands. Work happens in bf16, the weights are kept in
fp32; matrices are moved by Muon (Jordan 2024), the rest by AdamW. A stopped run goes on from ``last.safetensors``, with
the same examples: those of a step depend on the seed and the step alone. ``model/`` is the last state in the form of
transformers.
"""

from __future__ import annotations

import copy
import json
import logging
import random
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import GenerationConfig, Qwen2ForCausalLM

from ctxproc.llm.tokenizer import HfTokenizer
from training.causal_batches import FAR, FAR_CLOSING, Batch, Tokens, encode, pack
from training.causal_facts import facts, pairs
from training.causal_model import Shape, as_llama, fresh_model
from training.causal_pointing import Pointing
from training.causal_questions import load_asked
from training.causal_reading import reading, real
from training.causal_shots import shots
from training.causal_tasks import Source, examples, mixture
from training.causal_text import load_pools
from training.loop import register_plain_attention

log = logging.getLogger("training.causal")
MAKERS = {"facts": facts, "pairs": pairs, "shots": shots, "cloze": reading, "real": real}
LENGTHS = ((0.3, 256), (0.55, 384), (1.01, 512))  # of rows, up to a share of the training


@dataclass(frozen=True)
class Plan:
    """How to train.

    ``rate`` is that of the matrices inside, and half of it that of all else; it holds from the warm-up on and falls to
    nothing in the last ``fall`` of the steps. Then come ``more`` steps of mostly look-up in whole pages, at a third of the
    rate, which falls to nothing again.
    """

    steps: int = 2600
    more: int = 600
    rate: float = 1.5e-3
    warmup: int = 20
    fall: float = 0.5
    budget: int = 5120  # tokens in a step
    pointing: float = 0.5  # weight of the pointing heads' loss
    decay: float = 0.05
    every: int = 200  # steps between measurements
    seed: int = 1

    def progress(self, step: int) -> float:
        """The share of the steps that is done; 1 in those that follow."""
        return min(1.0, step / self.steps)

    @property
    def total(self) -> int:
        """All steps."""
        return self.steps + self.more

    def scale(self, step: int) -> float:
        """Of the rates at a step."""
        if step >= self.steps:
            return (self.total - step) / self.more / 3
        return min(1.0, (step + 1) / self.warmup, max((1 - self.progress(step)) / self.fall, 0.01))

    def length(self, step: int) -> int:
        """Of the rows of a step."""
        return next(length for share, length in LENGTHS if self.progress(step) < share)


class Steps(Dataset[Batch]):
    """The batches of a plan by their step: the seed and the step tell which examples are in it."""

    def __init__(self, plan: Plan, source: Source, tokenizer: HfTokenizer) -> None:
        self._plan, self._source, self._tokenizer = plan, source, tokenizer

    def __len__(self) -> int:
        return self._plan.total

    def __getitem__(self, step: int) -> Batch:
        return batch_of(step, self._plan, self._source, self._tokenizer)

    def after(self, step: int) -> DataLoader[Batch]:
        """The batches from a step on, made beside by a process of their own."""
        left = range(step, len(self))
        return DataLoader(self, batch_size=None, sampler=left, num_workers=1 if left else 0)  # type: ignore[arg-type]


class Trainer:
    """Weights in fp32, a working copy in bf16, and the optimizers between them."""

    def __init__(self, model: Qwen2ForCausalLM, plan: Plan) -> None:
        self.model, self.plan, self.step = model, plan, 0
        self.work = copy.deepcopy(model).to(torch.bfloat16)
        register_plain_attention()
        self.work.set_attn_implementation("plain")
        self.pointing = Pointing(self.work)
        theirs = dict(self.work.named_parameters())
        self.pairs = [(name, mine, theirs[name]) for name, mine in model.named_parameters()]
        matrices = [mine for name, mine, _ in self.pairs if inside(name, mine)]
        others = [mine for name, mine, _ in self.pairs if not inside(name, mine)]
        self.optimizers: list[torch.optim.Optimizer] = [
            torch.optim.Muon(
                matrices, lr=plan.rate, weight_decay=plan.decay, adjust_lr_fn="match_rms_adamw", ns_steps=3
            ),
            torch.optim.AdamW(others, lr=plan.rate / 2, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
        ]

    def compile(self) -> None:
        """Compile the layers of the working copy."""
        for layer in self.work.model.layers:
            layer.forward = torch.compile(layer.forward)

    def update(self, loss: Tensor) -> None:
        """One step."""
        torch.autograd.backward(loss)
        for _, mine, theirs in self.pairs:
            mine.grad = theirs.grad.float() if theirs.grad is not None else None
            theirs.grad = None
        nn.utils.clip_grad_norm_([mine for _, mine, _ in self.pairs], 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group.setdefault("top", group["lr"])
                group["lr"] = group["top"] * self.plan.scale(self.step)
            optimizer.step()
        with torch.no_grad():
            for _, mine, theirs in self.pairs:
                theirs.copy_(mine)
        self.step += 1

    def save(self, path: Path) -> None:
        """Weights, optimizer state and step, for `restore`."""
        tensors = {f"model.{name}": mine.detach() for name, mine, _ in self.pairs}
        tensors["step"] = torch.tensor(self.step)
        for name, mine, _ in self.pairs:
            for optimizer in self.optimizers:
                for key, value in optimizer.state.get(mine, {}).items():
                    tensors[f"optimizer.{key}.{name}"] = value.detach().clone()
        save_file(tensors, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint."""
        tensors = load_file(path)
        self.step = int(tensors["step"])
        for name, mine, theirs in self.pairs:
            mine.data.copy_(tensors[f"model.{name}"])
            theirs.data.copy_(mine.data)
            moved_by = self.optimizers[0 if inside(name, mine) else 1]
            keys = ("momentum_buffer",) if moved_by is self.optimizers[0] else ("step", "exp_avg", "exp_avg_sq")
            moved_by.state[mine] = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}

    def export(self, folder: Path, tokenizer: HfTokenizer) -> None:
        """Write the model as transformers reads it, in bf16, in place of an earlier one."""
        new, old = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
        model = as_llama(self.work)
        model.generation_config = GenerationConfig(
            do_sample=False, bos_token_id=model.config.bos_token_id, eos_token_id=model.config.eos_token_id
        )
        model.save_pretrained(new)
        tokenizer.inner.save_pretrained(new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)


def inside(name: str, weight: Tensor) -> bool:
    """Whether a weight is a matrix between the embeddings and the head."""
    return weight.dim() == 2 and "layers" in name


def logits_of(model: Qwen2ForCausalLM, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits (targets, entries) of the tokens that have a weight, and where they stand as (row, place), (targets, 2)."""
    places = batch.weights.nonzero()
    hidden = model.model(input_ids=batch.ids, position_ids=batch.positions, attention_mask=batch.mask).last_hidden_state
    return model.lm_head(hidden[places[:, 0], places[:, 1] - 1]), places


def loss_of(trainer: Trainer, batch: Batch) -> tuple[Tensor, Tensor]:
    """The weighted mean of the targets' losses, and the mean of the pointing heads'."""
    logits, places = logits_of(trainer.work, batch)
    rows, columns = places.unbind(1)
    weights = batch.weights[rows, columns]
    losses = nn.functional.cross_entropy(logits.float(), batch.ids[rows, columns], reduction="none")
    return (losses * weights).sum() / weights.sum(), trainer.pointing.loss(batch)


@torch.no_grad()
def right(model: Qwen2ForCausalLM, batch: Batch) -> tuple[int, int]:
    """Tasks of which every token of full weight is the most likely one, given those before; and all tasks."""
    logits, places = logits_of(model, batch)
    rows, columns = places.unbind(1)
    full = batch.weights[rows, columns] > 0.09
    task = (rows * 100_000 + batch.tasks[rows, columns])[full]
    wrong = (logits.argmax(-1) != batch.ids[rows, columns])[full]
    count = len(task.unique())
    return count - len(task[wrong].unique()), count


def stream(source: Source, shares: dict[str, float], tokenizer: HfTokenizer, rng: random.Random) -> Iterator[Tokens]:
    """Encoded examples without end, with as many tasks as fit."""
    for _, example in examples(source, MAKERS, shares, rng):
        yield encode(example, tokenizer, source.longest, FAR_CLOSING if source.closing else FAR)


def measure(trainer: Trainer, source: Source, tokenizer: HfTokenizer) -> dict[str, float]:
    """Share of development tasks of which every token that matters is right, by kind."""
    figures = {}
    for kind in ("facts", "pairs", "shots", "cloze", "real"):
        made = stream(replace(source, longest=500, progress=0.9), {kind: 1.0}, tokenizer, random.Random(5))
        found = [right(trainer.work, pack(made, 10, 512)) for _ in range(3)]
        figures[kind] = round(sum(good for good, _ in found) / sum(count for _, count in found), 3)
    return figures


def batch_of(step: int, plan: Plan, source: Source, tokenizer: HfTokenizer) -> Batch:
    """The examples of a step: the seed and the step tell which."""
    rng = random.Random(f"{plan.seed}-{step}")
    length = plan.length(step)
    drawn = replace(source, longest=length - 12, progress=plan.progress(step))
    return pack(stream(drawn, mixture(drawn), tokenizer, rng), plan.budget // length, length)


def train(trainer: Trainer, source: Source, dev: Source, tokenizer: HfTokenizer, out: Path) -> None:
    """Run the plan, or what is left of it; ``curve.jsonl`` gets a line with every measurement."""
    plan, losses = trainer.plan, []
    began, seen = time.monotonic(), 0
    for batch in Steps(plan, source, tokenizer).after(trainer.step):
        loss, pointing = loss_of(trainer, batch)
        trainer.update(loss + plan.pointing * pointing)
        losses.append((float(loss.detach()), float(pointing.detach())))
        seen += int((batch.tasks > 0).sum())
        means = [sum(column) / len(column) for column in zip(*losses[-20:], strict=True)]
        if trainer.step % 20 == 0:
            speed = seen / (time.monotonic() - began)
            log.info("step %d loss %.3f pointing %.3f tokens/s %.0f", trainer.step, *means, speed)
        if trainer.step % plan.every == 0 or trainer.step == plan.total:
            figures = measure(trainer, dev, tokenizer)
            line = {"step": trainer.step, "loss": round(means[0], 4), "pointing": round(means[1], 4), **figures}
            log.info("dev %s", json.dumps(line))
            with (out / "curve.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            trainer.save(out / "last.safetensors")
            trainer.export(out / "model", tokenizer)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/causal"))
@click.option("--save", type=click.Path(path_type=Path), default=Path("build/causal/run"))
@click.option("--steps", default=Plan.steps, show_default=True)
@click.option("--more", default=Plan.more, show_default=True)
@click.option("--rate", default=Plan.rate, show_default=True)
@click.option("--every", default=Plan.every, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--compiled", is_flag=True, help="half again as fast; needs a C++ compiler")
def main(data: Path, save: Path, steps: int, more: int, rate: float, every: int, seed: int, compiled: bool) -> None:
    """Train one model."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(seed)
    save.mkdir(parents=True, exist_ok=True)
    tokenizer, near = HfTokenizer.load(data), load_file(data / "near.safetensors")
    pool, apart = load_pools(data / "pool.json")
    asked, unseen, wiki = load_asked(data / "questions.json")
    begin, end = int(tokenizer.inner.bos_token_id), int(tokenizer.inner.eos_token_id)
    model = fresh_model(len(tokenizer.inner), near["tokens"], Shape(), begin, end)
    log.info("%d weights", sum(weight.numel() for weight in model.parameters()))
    trainer = Trainer(model, Plan(steps=steps, more=more, rate=rate, every=every, seed=seed))
    if compiled:
        trainer.compile()
    if (save / "last.safetensors").exists():
        trainer.restore(save / "last.safetensors")
    dev = Source(apart, near["dev"], unseen, [entry.context for entry in unseen])
    train(trainer, Source(pool, near["train"], asked, wiki), dev, tokenizer, save)


if __name__ == "__main__":
    main()

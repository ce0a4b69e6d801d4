"""The loop that trains every built-in model on the trunk: weights in fp32, work in bf16, AdamW, stops and goes on.

A training is a model, a loss of a batch, and a stream of batches that depends on the seed and the step alone, so that a
stopped run goes on exactly where it was (`train`). The loop knows nothing of texts; it evaluates by a callable, keeps
the weights with the best score, and writes a learning curve.
"""

from __future__ import annotations

import copy
import itertools
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AttentionInterface, BertModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS

from ctxproc.llm.trunk import trunk_folder

__all__ = [
    "Plan",
    "Trainer",
    "fresh_trunk",
    "load_weights",
    "passes",
    "plain_attention",
    "register_plain_attention",
    "steps_of",
    "train",
]

log = logging.getLogger("training")
Model = TypeVar("Model", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        steps: Batches in all.
        rates: Learning rate at the end of the warm-up by the beginning of a weight's name; the longest that fits holds.
        half: The parts of the model that work in bf16, "" for all of it; the others work in fp32.
        warmup: Share of the steps in which the rates rise from 0; from there they fall to 0 in a straight line.
        decay: Weight decay of the matrices; vectors have none.
        clip: Largest norm of the gradient.
        every: Steps between measurements, each of which is also a checkpoint.
        seed: Of whatever the model draws; the stream of batches has its own.
    """

    steps: int
    rates: Mapping[str, float] = field(default_factory=lambda: {"trunk.": 1.5e-4, "": 1e-3})
    half: tuple[str, ...] = ("trunk",)
    warmup: float = 0.06
    decay: float = 0.01
    clip: float = 1.0
    every: int = 200
    seed: int = 1

    def scale(self, step: int) -> float:
        """Of the rates at a step, a hundredth at least."""
        progress = step / self.steps
        rise = progress / self.warmup if self.warmup else 1.0
        return max(min(rise, (1 - progress) / (1 - self.warmup), 1.0), 0.01)

    def rate(self, name: str) -> float:
        """Of the weight of this name."""
        return self.rates[max((start for start in self.rates if name.startswith(start)), key=len)]


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


def register_plain_attention() -> None:
    """Make `plain_attention` known to transformers as "plain"."""
    AttentionInterface.register("plain", plain_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register("plain", ALL_MASK_ATTENTION_FUNCTIONS["sdpa"])


def fresh_trunk(*, words: bool = False) -> BertModel:
    """The installed trunk without dropout; its word embeddings are trained only with ``words``."""
    register_plain_attention()
    trunk = BertModel.from_pretrained(
        trunk_folder(),
        add_pooling_layer=False,
        attn_implementation="plain",
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    trunk.embeddings.word_embeddings.weight.requires_grad_(words)
    return trunk


class Trainer(Generic[Model]):
    """Weights in fp32, a working copy in bf16, and the optimizer between them; frozen weights are left alone."""

    def __init__(self, model: Model, plan: Plan) -> None:
        """Start at step 0 of the plan."""
        self.model, self.plan, self.step = model, plan, 0
        self.work = copy.deepcopy(model)
        for part in plan.half:
            self.work.get_submodule(part).to(torch.bfloat16)
        self.pairs = [
            (name, mine, theirs)
            for (name, mine), theirs in zip(model.named_parameters(), self.work.parameters(), strict=True)
            if mine.requires_grad
        ]
        groups: dict[tuple[float, float], list[Tensor]] = {}
        for name, mine, _ in self.pairs:
            groups.setdefault((plan.rate(name), plan.decay if mine.dim() > 1 else 0.0), []).append(mine)
        self.optimizer = torch.optim.AdamW(
            [{"params": params, "lr": rate, "top": rate, "weight_decay": d} for (rate, d), params in groups.items()],
            betas=(0.9, 0.98),
            fused=True,
        )

    def update(self, loss: Tensor) -> float:
        """One step against the loss of the working copy; returns the gradient's norm before clipping."""
        torch.autograd.backward(loss)
        for _, mine, theirs in self.pairs:
            mine.grad = theirs.grad.float() if theirs.grad is not None else None
            theirs.grad = None
        norm = float(nn.utils.clip_grad_norm_([mine for _, mine, _ in self.pairs], self.plan.clip))
        for group in self.optimizer.param_groups:
            group["lr"] = group["top"] * self.plan.scale(self.step)
        self.optimizer.step()
        with torch.no_grad():
            for _, mine, theirs in self.pairs:
                theirs.copy_(mine)
        self.step += 1
        return norm

    def save(self, path: Path, *, whole: bool = True) -> None:
        """Trained weights, and with ``whole`` all that `restore` needs; a crash leaves the earlier file."""
        tensors = {f"model.{name}": mine.detach() for name, mine, _ in self.pairs}
        tensors["step"] = torch.tensor(self.step)
        for name, mine, _ in self.pairs if whole else []:
            for key, value in self.optimizer.state.get(mine, {}).items():
                tensors[f"optimizer.{key}.{name}"] = value.detach().clone()
        save_file(tensors, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            ValueError: It is one of another model.
        """
        tensors = load_file(path)
        load_weights(self.model, tensors)
        self.step = int(tensors["step"])
        for name, mine, theirs in self.pairs:
            theirs.data.copy_(mine.data)
            if f"optimizer.step.{name}" in tensors:  # absent where the loss has never reached the weight
                keys = ("step", "exp_avg", "exp_avg_sq")
                self.optimizer.state[mine] = {key: tensors[f"optimizer.{key}.{name}"] for key in keys}


def load_weights(model: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put a checkpoint's ``model.`` tensors in place; weights it does not have stay as they are.

    Raises:
        ValueError: It has weights that the model does not have.
    """
    named = {key.removeprefix("model."): value for key, value in tensors.items() if key.startswith("model.")}
    missing = model.load_state_dict(named, strict=False)
    if missing.unexpected_keys:
        raise ValueError(f"the checkpoint has unknown weights: {missing.unexpected_keys[:3]}")


def passes(make: Callable[[int], Iterable[Batch]], seed: int) -> Callable[[int], Iterator[Batch]]:
    """A stream for `train` from ``make(seed)``, the batches of one pass over the data: pass k has ``seed + k``."""

    def stream(step: int) -> Iterator[Batch]:
        endless = itertools.chain.from_iterable(make(seed + k) for k in itertools.count())
        return itertools.islice(endless, step, None)

    return stream


def steps_of(make: Callable[[int], Iterable[Batch]], seed: int, epochs: float) -> int:
    """Batches in so many passes of `passes`; at least one."""
    whole, rest = divmod(epochs, 1)
    counts = [sum(1 for _ in make(seed + k)) for k in range(int(whole) + bool(rest))]
    return max(1, sum(counts[: int(whole)]) + (int(counts[-1] * rest) if rest else 0))


class Curve:
    """The learning curve ``curve.jsonl``: lines of step, rows seen, seconds, loss, and what was measured."""

    def __init__(self, path: Path, step: int) -> None:
        """Go on from ``step``: later lines, of steps that will be taken again, are dropped."""
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        last = json.loads(kept[-1]) if kept else {"seen": 0, "seconds": 0.0}
        self._path, self._losses = path, list[float]()
        self._seen, self._began = last["seen"], time.monotonic() - last["seconds"]

    def add(self, loss: float, seen: int) -> None:
        """Note a step."""
        self._losses.append(loss)
        self._seen += seen

    def write(self, step: int, figures: Mapping[str, float]) -> None:
        """A line with the mean loss since the last one."""
        loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        seconds = round(time.monotonic() - self._began, 1)
        line = json.dumps({"step": step, "seen": self._seen, "seconds": seconds, "loss": round(loss, 5), **figures})
        log.info("%s", line)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def train(
    trainer: Trainer[Model],
    stream: Callable[[int], Iterator[Batch]],
    loss_of: Callable[[Model, Batch], Tensor],
    save: Path,
    *,
    measure: Callable[[Model], Mapping[str, float]] | None = None,
    size: Callable[[Batch], int] = len,  # type: ignore[assignment]
) -> Path:
    """Run the plan, or what is left of it where the folder has a checkpoint.

    What the folder holds of later steps than the one that is begun from, the best weights and lines of the curve, is
    dropped: those steps are taken again. So a training that begins at step 0 has no best weights yet.

    Args:
        trainer: At step 0; it is restored here.
        stream: Gives the batches from a step on, the same ones each time: see `passes`.
        loss_of: The loss of a batch, to be lowered; it is given the working copy.
        save: Folder of ``last.safetensors``, ``best.safetensors``, ``best.json`` and ``curve.jsonl``.
        measure: Figures of the working copy on development data, with "score", of which more is better. Without it
            the last weights are the best.
        size: Rows in a batch, for the curve.

    Returns:
        The file of the best weights.
    """
    plan, last = trainer.plan, save / "last.safetensors"
    save.mkdir(parents=True, exist_ok=True)
    if last.exists():
        trainer.restore(last)
    _drop_later(save, trainer.step)
    curve = Curve(save / "curve.jsonl", trainer.step)
    for batch in itertools.islice(stream(trainer.step), max(0, plan.steps - trainer.step)):
        torch.manual_seed(plan.seed * 1_000_003 + trainer.step)
        loss = loss_of(trainer.work, batch)
        trainer.update(loss)
        curve.add(float(loss.detach()), size(batch))
        due = trainer.step % plan.every == 0 or trainer.step == plan.steps
        figures = _measured(trainer, measure) if due else {}
        if due or trainer.step % 20 == 0:
            curve.write(trainer.step, figures)
        if due:
            _keep(trainer, figures, save)
    return save / "best.safetensors"


def _measured(trainer: Trainer[Model], measure: Callable[[Model], Mapping[str, float]] | None) -> dict[str, float]:
    if measure is None:
        return {}
    trainer.work.eval()
    with torch.no_grad():
        figures = dict(measure(trainer.work))
    trainer.work.train()
    return {name: round(value, 5) for name, value in figures.items()}


def _drop_later(save: Path, step: int) -> None:
    """Remove the best weights if they are of a later step."""
    best = save / "best.json"
    if best.exists() and json.loads(best.read_text(encoding="utf-8"))["step"] > step:
        best.unlink()
        best.with_suffix(".safetensors").unlink(missing_ok=True)


def _keep(trainer: Trainer[Model], figures: dict[str, float], save: Path) -> None:
    """Write the checkpoint; where it is the best one so far, as that too, and first, so that a crash loses neither."""
    best = save / "best.json"
    top = json.loads(best.read_text(encoding="utf-8")) if best.exists() else {}
    if top.get("score") is None or figures.get("score", float("inf")) > top["score"]:
        trainer.save(save / "best.safetensors", whole=False)
        best.write_text(json.dumps({"step": trainer.step, **figures}) + "\n", encoding="utf-8")
    trainer.save(save / "last.safetensors")

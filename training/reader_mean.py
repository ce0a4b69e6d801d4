"""The running mean of the weights over the steps of a training: steadier than the last ones, at no cost."""

from __future__ import annotations

import copy
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

__all__ = ["Mean"]


class Mean:
    """Exponential mean of a model's trained weights, as a model of its own in the dtypes of a working copy."""

    def __init__(self, model: nn.Module, work: nn.Module, decay: float = 0.99) -> None:
        """Begin with the model's weights; ``decay`` is the share of the mean that stays in a step."""
        self._pairs = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        self.weights = {name: value.detach().clone() for name, value in self._pairs}
        self._work, self._decay = copy.deepcopy(work), decay

    @torch.no_grad()
    def add(self) -> None:
        """Take in the model's weights of now."""
        for name, value in self._pairs:
            self.weights[name].lerp_(value, 1 - self._decay)

    @torch.no_grad()
    def model(self) -> nn.Module:
        """The working copy with the mean's weights, for reading only."""
        for name, value in self._work.named_parameters():
            if name in self.weights:
                value.copy_(self.weights[name])
        return self._work.eval()

    def save(self, path: Path) -> None:
        """Write the weights as ``model.NAME``, as checkpoints have them; a crash leaves the earlier file."""
        part = path.with_suffix(".part")
        save_file({f"model.{name}": value for name, value in self.weights.items()}, part)
        part.rename(path)

    def restore(self, path: Path) -> None:
        """Go on from a file that `save` wrote."""
        for name, value in load_file(path).items():
            self.weights[name.removeprefix("model.")].copy_(value)

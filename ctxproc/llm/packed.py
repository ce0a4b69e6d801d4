"""Weights in the layout that the CPU's matrix product reads fastest, laid out once at load instead of at every product.

oneDNN takes weights in blocks; given plain rows it reorders them within each call, which costs about half of a product of
few rows. The numbers are the same to the bit. Only bfloat16 on a CPU gains; everything else is left alone.
"""

from __future__ import annotations

from typing import Any

import torch

SMALL = 1 << 14
"""Weights of fewer numbers are left as they are."""


class PackedLinear(torch.nn.Module):
    """A linear layer, its weight in oneDNN's layout; ``weight`` is a stand-in of the right shape without numbers.

    Raises:
        RuntimeError, AttributeError: this build of torch has no such product.
    """

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features, self.bias = layer.in_features, layer.out_features, layer.bias
        self.weight = torch.full((), float("nan"), dtype=layer.weight.dtype).expand(layer.weight.shape)
        self._blocks = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """As the layer's: (..., in) to (..., out)."""
        out: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._blocks, self.bias, "none", [], "")
        return out


def pack(model: Any) -> int:  # noqa: ANN401  (models share only Module)
    """Lay out the weights of a model's linear layers, one after another; how many.

    Layers whose weight another part of the model shares (an output layer tied to the embedding) stay as they are, and so
    does a layer for which a trial shows another result.
    """
    if model.device.type != "cpu" or not torch._C._has_mkldnn:
        return 0
    owners: dict[int, int] = {}
    for module in model.modules():
        for weight in module.parameters(recurse=False):
            owners[id(weight)] = owners.get(id(weight), 0) + 1
    packed = 0
    with torch.inference_mode():
        for parent in list(model.modules()):
            for name, layer in list(parent.named_children()):
                if suits(layer) and owners[id(layer.weight)] == 1 and (new := laid_out(layer)):
                    setattr(parent, name, new)
                    packed += 1
    if packed:
        let_go_of_files(model)
    return packed


def let_go_of_files(model: Any) -> None:  # noqa: ANN401
    """Copy what is left out of the mapped weight files, which else stay in memory as long as one tensor lies in them."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def suits(layer: Any) -> bool:  # noqa: ANN401
    """Whether a layer is a plain linear one in bfloat16, and no one looks on."""
    return (
        type(layer) is torch.nn.Linear
        and type(layer.weight) is torch.nn.Parameter
        and layer.weight.dtype == torch.bfloat16
        and layer.weight.numel() >= SMALL
        and not (layer._forward_hooks or layer._forward_pre_hooks)
    )


def laid_out(layer: torch.nn.Linear) -> PackedLinear | None:
    """The layer packed; None where this build of torch cannot, or computes something else with it."""
    trial = torch.linspace(-1, 1, 3 * layer.in_features, dtype=torch.bfloat16).view(3, -1)
    try:
        new = PackedLinear(layer)
        return new if torch.equal(new(trial), layer(trial)) else None
    except (RuntimeError, AttributeError):
        return None

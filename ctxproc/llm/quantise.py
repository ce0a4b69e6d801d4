"""Weights in 8 or 4 bits: by which library on which device, and whether it is installed.

Weights are quantised while a model loads; keys, values and activations keep the model's number format, so nothing else
changes. On a CPU it is torchao's weight-only int8 (one scale per row) and int4 (groups of 32; the product reads the packed
weights, in bfloat16 at speed); on CUDA bitsandbytes' LLM.int8 and NF4. Embeddings, the output layer and everything that is
no linear layer (norms, fused experts, GPT-2's convolutions) stay as they are.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ConfigError, ModelError

if TYPE_CHECKING:
    import torch

QUANTISATIONS = ("none", "int8", "int4")
GROUP = 32  # weights that share a scale in int4; a layer whose width is no multiple stays as it is
PACKAGES = {"cpu": ("torchao",), "cuda": ("bitsandbytes", "accelerate")}
GGUF_PACKAGES = ("gguf", "accelerate")


def check_quantise(setting: str) -> None:
    """Refuses an unknown name; needs no torch.

    Raises:
        ConfigError: ``setting`` is not one of `QUANTISATIONS`.
    """
    if setting not in QUANTISATIONS:
        raise ConfigError(f"quantise {setting!r} is unknown: use one of {', '.join(QUANTISATIONS)}")


def missing(packages: tuple[str, ...]) -> list[str]:
    """Those of ``packages`` that are not installed; none is imported."""
    return [name for name in packages if find_spec(name) is None]


def quantising(setting: str, device: torch.device) -> dict[str, Any]:
    """What ``from_pretrained`` gets to quantise: nothing for "none".

    Raises:
        ConfigError: no library quantises on this kind of device.
        ModelError: the library is not installed; names the command.
    """
    if setting == "none":
        return {}
    if device.type not in PACKAGES:
        raise ConfigError(f"quantise {setting} is for cpu and cuda, not {device.type}: leave it out, or set device cpu")
    if lacking := missing(PACKAGES[device.type]):
        raise ModelError(
            f"quantise {setting} on {device.type} needs {' and '.join(lacking)}: pip install 'ctxproc[quant]'"
        )
    if device.type == "cuda":
        return {"quantization_config": _bitsandbytes(setting), "device_map": {"": device}}
    return {"quantization_config": _torchao(setting)}


def _torchao(setting: str) -> object:
    from transformers import TorchAoConfig

    if setting == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig(set_inductor_config=False))
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig

    return TorchAoConfig(PrototypeInt4WeightOnlyConfig(group_size=GROUP, set_inductor_config=False))


def _bitsandbytes(setting: str) -> object:
    from transformers import BitsAndBytesConfig

    made: Any = BitsAndBytesConfig
    return made(load_in_8bit=setting == "int8", load_in_4bit=setting == "int4", bnb_4bit_quant_type="nf4")


def quantised_layers(model: torch.nn.Module) -> int:
    """The number of layers whose weight is of a quantised kind."""
    from torch.nn import Parameter

    weights = (getattr(module, "weight", None) for module in model.modules())
    return sum(isinstance(weight, Parameter) and type(weight) is not Parameter for weight in weights)


@contextmanager
def no_hub_kernels() -> Iterator[None]:
    """Keeps libraries from fetching native code: inside, the package ``kernels`` cannot be imported.

    Where it is installed, transformers' GGUF loader and bitsandbytes would use it to download and run programs from a hub.
    """
    held = sys.modules.get("kernels")
    sys.modules["kernels"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["kernels"]
        if held is not None:
            sys.modules["kernels"] = held


@contextmanager
def hushed() -> Iterator[None]:
    """No log message of any library inside: torchao and bitsandbytes tell of extensions they lack, to nobody's use."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def describe() -> str:
    """What quantising would use on each kind of device, or the command that installs it, in one line."""
    lines = []
    for device, packages in PACKAGES.items():
        lacking = missing(packages)
        lines.append(f"{device} by {packages[0]}" + (f" (missing: {' and '.join(lacking)})" if lacking else ""))
    hint = "; pip install 'ctxproc[quant]'" if any(map(missing, PACKAGES.values())) else ""
    return f"int8, int4: {', '.join(lines)}{hint}"

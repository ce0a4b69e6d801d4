"""Models kept as their difference to the trunk, and the trunk's weights, read once and shared by all of them.

A file of format 2 holds, by the model's own names: of each matrix that has a counterpart in the trunk the difference in
int8, row by row, with one fp32 scale per row under ``NAME.scale`` (the row's largest difference over 127); of every
other changed or new tensor the difference, or the tensor, in fp16. What equals the trunk is left out. Names of the model
that begin with ``trunk.`` are the trunk's own without it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import BertConfig, BertModel

from ctxproc.errors import ModelError
from ctxproc.llm.shelf import FORMATS, WEIGHTS, built_in, digest, trunk_digest
from ctxproc.llm.trunk import trunk_folder

TRUNK = "trunk."
SCALE = ".scale"
LEVELS = 127


def trunk_weights() -> Mapping[str, Tensor]:
    """The installed trunk's tensors by their own names, fp32, mapped from the file; not to be written to.

    Raises:
        ModelError: it is not installed, or its file cannot be read.
    """
    return _mapped(trunk_folder() / "model.safetensors")


@cache
def _mapped(path: Path) -> Mapping[str, Tensor]:
    try:
        return MappingProxyType(load_file(path))
    except (OSError, SafetensorError) as error:
        raise ModelError(f"the weights of all-MiniLM-L6-v2 cannot be read: {error}") from error


def save_delta(path: Path, base: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> None:
    """Write what differs from the base; see the module's docstring for the form.

    Args:
        path: The file to write.
        base: Usually `trunk_weights`; empty for a model of its own, which is then kept in fp16.
        tensors: The model's state, all of it.
    """
    kept: dict[str, Tensor] = {}
    for name, value in tensors.items():
        value = value.detach().float().cpu()
        start = _start(base, name)
        change = value if start is None else value - start
        if start is not None and not change.any():
            continue
        if start is None or change.dim() != 2:
            kept[name] = change.half().contiguous()
            continue
        scale = change.abs().amax(1) / LEVELS
        kept[name] = (change / scale.clamp_min(1e-30)[:, None]).round().to(torch.int8)
        kept[name + SCALE] = scale
    save_file(kept, path, {"format": str(FORMATS[-1])})
    path.chmod(0o644)


def load_delta(path: Path, base: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's tensors in fp32; those that equal the base are the base's own, shared and not copied.

    Raises:
        ModelError: The file cannot be read, or does not fit the base.
    """
    try:
        kept = load_file(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error
    weights = {TRUNK + name: value for name, value in base.items()}
    for name, value in kept.items():
        if name.endswith(SCALE):
            continue
        start, scale = _start(base, name), kept.get(name + SCALE)
        if start is not None and start.shape != value.shape:
            raise ModelError(f"{path.name} does not fit all-MiniLM-L6-v2: another shape at {name}")
        if (value.dtype == torch.int8) != (scale is not None) or (scale is not None and scale.shape != value.shape[:1]):
            raise ModelError(f"{path.name} is damaged: the scale of {name} does not fit")
        change = value.float() if scale is None else value * scale[:, None]
        weights[name] = change if start is None else change.add_(start)
    return weights


def _start(base: Mapping[str, Tensor], name: str) -> Tensor | None:
    return base.get(name.removeprefix(TRUNK)) if name.startswith(TRUNK) else None


def write_model(name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], folder: Path = WEIGHTS) -> None:
    """Write ``NAME.safetensors`` as the difference to the trunk, and ``NAME.json``: the facts with format and hashes.

    A model none of whose names begins with ``trunk.`` is kept whole, and its facts name no trunk.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.safetensors"
    on_trunk = any(key.startswith(TRUNK) for key in tensors)
    save_delta(path, trunk_weights() if on_trunk else {}, tensors)
    known = {"format": FORMATS[-1], "sha256": digest(path), **({"trunk_sha256": trunk_digest()} if on_trunk else {})}
    text = json.dumps({**known, **{key: value for key, value in facts.items() if key not in known}}, indent=1)
    (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def read_model(name: str, folder: Path = WEIGHTS) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The facts and the tensors (fp32) of a built-in model, after checking that its file and the trunk are its own.

    Raises:
        ModelError: Something is missing, damaged, or has changed since it was made.
    """
    model = built_in(name)
    model.check(folder)
    facts = model.facts(folder)
    base = trunk_weights() if "trunk_sha256" in facts else {}
    return facts, load_delta(folder / f"{name}.safetensors", base)


def empty_trunk() -> BertModel:
    """The trunk's layers without pooler and without weights (on the device "meta"), to be put into a model for `fill`.

    Raises:
        ModelError: it is not installed, or its configuration cannot be read.
    """
    try:
        config = BertConfig.from_pretrained(trunk_folder(), attn_implementation="sdpa")
    except (OSError, ValueError) as error:
        raise ModelError(f"the configuration of all-MiniLM-L6-v2 cannot be read: {error}") from error
    with torch.device("meta"):
        trunk = BertModel(config, add_pooling_layer=False)
    places = torch.arange(config.max_position_embeddings)[None]
    trunk.embeddings.register_buffer("position_ids", places, persistent=False)
    trunk.embeddings.register_buffer("token_type_ids", torch.zeros_like(places), persistent=False)
    return trunk


def share_trunk(model: nn.Module) -> None:
    """Give a model on the CPU that is the trunk the shared weights, which are the same numbers, in place of its copy."""
    own, shared = model.state_dict(), trunk_weights()
    same = {name: value for name, value in shared.items() if name in own and own[name].dtype == value.dtype}
    model.load_state_dict(same, strict=False, assign=True)


def fill(model: nn.Module, weights: Mapping[str, Tensor], name: str) -> None:
    """Give a model its weights; tensors of the trunk that it does not change stay shared with every other model.

    The trunk inside may be that of `empty_trunk`, which saves the time of random weights. What the trunk has and the
    model has not (its pooler) is left out.

    Raises:
        ModelError: A weight is missing, unknown, or of another shape.
    """
    wanted = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    kept = set(model.state_dict())
    for key in sorted(kept):
        if key not in weights:
            raise ModelError(f"the built-in model {name} lacks the weight {key}")
        if weights[key].shape != wanted[key].shape:
            raise ModelError(f"the built-in model {name} has another shape at {key}")
    unknown = sorted(key for key in weights if key not in kept and not key.startswith(TRUNK))
    if unknown:
        raise ModelError(f"the built-in model {name} has an unknown weight: {unknown[0]}")
    model.load_state_dict({key: weights[key] for key in kept}, assign=True)
    model.requires_grad_(False)

"""What names an entry of the key-value store: a hash chain from the model over the token ids that came before.

``root = fingerprint(model, ...)``, ``first = key(root, ids)``, ``second = key(first, more)``: equal keys mean the same
model that reads the same tokens at the same positions, so the same keys and values up to rounding.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

LAYOUT_VERSION = 1
"""Of an entry and of its keys; a change of either makes every older entry unknown."""

PIECE = 1 << 24  # bytes of a tensor that one thread digests at a time
ELSEWHERE = frozenset({"_name_or_path", "_commit_hash", "transformers_version"})  # where a model came from


def key(parent: str, ids: Sequence[int]) -> str:
    """The key of a segment, 64 hex digits.

    Args:
        parent: the key of the segment before it, or the model's fingerprint.
        ids: its token ids; may be empty.
    """
    return hashlib.sha256(bytes.fromhex(parent) + array("q", ids).tobytes()).hexdigest()


def placed(root: str, start: int) -> str:
    """The root of chains whose first token stands at position ``start`` and not at 0, 64 hex digits."""
    return hashlib.sha256(bytes.fromhex(root) + f"at {start}".encode()).hexdigest()


def fingerprint(model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, dtype: torch.dtype) -> str:
    """What a model's keys and values depend on, as 64 hex digits: equal for the same model in another place.

    All weights and buffers as they are in memory (so quantised, GGUF and altered ones differ), the configuration, rotary
    scaling, number format, tokenizer, version of transformers, and layout of entries. Weights are digested with
    XXH3-128: any change shows, but two models built on purpose to collide might not be told apart.

    Args:
        model: loaded, of transformers or any other.
        tokenizer: its own, fast or slow.
        dtype: of the keys and values.

    Raises:
        ModelError: a weight is not in memory (on the meta device).
    """
    import transformers

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        words = pool.submit(_tokenizer_text, tokenizer)
        tensors = [(name, part) for name, value in _values(model) for part in _parts(name, value)]
        pieces = [piece for name, tensor in tensors for piece in _pieces(name, tensor)]
        digests = list(pool.map(lambda item: _digest(item[1]), pieces))
        about = {
            "layout": LAYOUT_VERSION,
            "transformers": transformers.__version__,
            "model": type(model).__qualname__,
            "config": _config(model),
            "rotary": [
                (n, repr(m.attention_scaling)) for n, m in model.named_modules() if hasattr(m, "attention_scaling")
            ],
            "dtype": str(dtype),
            "tensors": [(name, str(tensor.dtype), list(tensor.shape)) for name, tensor in tensors],
            "weights": [(name, digest) for (name, _), digest in zip(pieces, digests, strict=True)],
        }
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        digest.update(words.result().encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _values(model: torch.nn.Module) -> Iterator[tuple[str, Any]]:
    """Parameters, buffers (those that are not saved too) and other saved state by name; shared tensors once."""
    seen: set[int] = set()
    named = {**model.state_dict(keep_vars=True), **dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, value in sorted(named.items()):
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value


def _parts(name: str, value: Any) -> list[torch.Tensor]:  # noqa: ANN401  (quantised weights are of many kinds)
    """The plain tensors that a value consists of; other objects as the bytes of their text."""
    import torch

    if isinstance(value, (tuple, list)):
        return [part for item in value for part in _parts(name, item)]
    if not isinstance(value, torch.Tensor):
        return [torch.frombuffer(bytearray(repr(value).encode()), dtype=torch.uint8)]
    if value.is_meta:
        raise ModelError(f"the weight {name} is not in memory: load the whole model, or set reuse.grade=full")
    if hasattr(value, "__tensor_flatten__"):  # a subclass that wraps plain tensors
        names, context = value.__tensor_flatten__()
        return [part for inner in names for part in _parts(name, getattr(value, inner))] + _parts(name, repr(context))
    return [value.detach().as_subclass(torch.Tensor)]


def _pieces(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """The bytes of a tensor in parts of at most `PIECE`, on its device."""
    import torch

    flat = tensor.contiguous().reshape(-1).view(torch.uint8)
    for start in range(0, len(flat), PIECE):
        yield name, flat[start : start + PIECE]


def _digest(piece: torch.Tensor) -> str:
    import xxhash

    buffer: Any = piece.cpu().numpy()
    return xxhash.xxh3_128_hexdigest(buffer)


def _config(model: torch.nn.Module) -> Any:  # noqa: ANN401  (JSON)
    config: Any = getattr(model, "config", None)
    return _without_origin(json.loads(config.to_json_string(use_diff=False))) if config is not None else None


def _without_origin(value: Any) -> Any:  # noqa: ANN401  (JSON)
    """A configuration without the names of folders and versions, at any depth."""
    if isinstance(value, dict):
        return {name: _without_origin(item) for name, item in value.items() if name not in ELSEWHERE}
    return [_without_origin(item) for item in value] if isinstance(value, list) else value


def _tokenizer_text(tokenizer: PreTrainedTokenizerBase) -> str:
    """All of a tokenizer that turns text into ids; not its settings for cutting and padding."""
    if tokenizer.is_fast:
        text: str = tokenizer.backend_tokenizer.to_str()
        return text[text.index('"added_tokens"') :]
    return json.dumps([type(tokenizer).__qualname__, sorted(tokenizer.get_vocab().items())])

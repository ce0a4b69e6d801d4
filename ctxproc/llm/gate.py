"""Whether a model may be read by the engine: decided when it is loaded, by what its configuration says and by a trial.

A model that does not pass is read plainly, whole prompts at a time, and the reason is told. Nothing here is a matter of
speed: the trial compares logits of the engine with those of the model's own attention.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ModelError
from ctxproc.llm.attention import NAME, register, using, windows_of
from ctxproc.llm.batch import Row, open_batch
from ctxproc.llm.engine import Engine, Layout
from ctxproc.llm.pretrained import quiet, rope_parameters

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.kernels import Kernel
    from ctxproc.llm.packing import Ragged

TOLERANCE = {"torch.float64": 1e-6, "torch.float32": 1e-3}
TOLERANCE_16_BITS = 0.1
"""Largest distance of two rows of logits, relative to their spread, that rounding may explain."""


class Refused(Exception):
    """The engine does not read this model; the text says why."""


@dataclass
class Probe:
    """A plan that looks at the shapes of keys and values; its attention is plain causal."""

    shapes: dict[int, tuple[tuple[int, ...], tuple[int, ...], torch.dtype]] = field(default_factory=dict)
    heads: int = 0
    scale: float = 0.0

    def attend(
        self,
        layer: int,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        scale: float,
        kernel: Kernel | None = None,
    ) -> torch.Tensor:
        """As `Pass.attend` for one sequence."""
        from ctxproc.llm.kernels import MathKernel

        self.shapes[layer] = (tuple(key.shape), tuple(value.shape), key.dtype)
        self.heads, self.scale = query.shape[1], scale
        out, _ = (kernel or MathKernel()).attend(query, key, value, causal=True, scale=scale)
        return out.transpose(1, 2).contiguous()


@dataclass(frozen=True)
class Admission:
    """A model that the engine may read.

    Attributes:
        layout: of its keys and values.
        kernel: the fastest that is right.
        reach: the longest sequence that is read exactly, in tokens; None: as long as the model's window.
        ragged: reads several cached blocks at once, where that is faster and right.
    """

    layout: Layout
    kernel: Kernel
    reach: int | None
    ragged: Ragged | None = None


def admit(model: Any, kernel: Kernel | None = None) -> Admission:  # noqa: ANN401  (models share only Module)
    """Try a loaded model and leave its attention set to the engine's.

    Args:
        model: a causal language model of transformers.
        kernel: instead of the fastest that is right on its device.

    Raises:
        Refused: it may not be read by the engine; its attention is then as it was.
    """
    from ctxproc.llm.kernels import choose
    from ctxproc.llm.kv import KVStore

    config = model.config.get_text_config(decoder=True)
    if reason := known_obstacle(config):
        raise Refused(reason)
    own = model.config._attn_implementation
    ragged = None
    rows = trial_rows(config.vocab_size)
    wanted = plain_logits(model, rows)
    try:
        register()
        set_attention(model, NAME)
        layout, windows, asked = probe(model, config)
        longest = max(row.start + len(row.tail) + 1 for row in rows)
        if windows and min(windows) < longest:
            raise Refused(f"its sliding window of {min(windows)} tokens is too short")
        if kernel is None:
            shape = (layout.device, layout.dtype, layout.head_dim, asked.heads, layout.kv_heads, asked.scale)
            kernel, ragged = choose(*shape).kernel, choose_ragged(*shape)
        store = KVStore(None, ram_bytes=1 << 30, disk_bytes=0, device=layout.device, report=lambda _: None)
        compare(engine_logits(Engine(model, layout, kernel, store, "", ragged), rows), wanted, layout.dtype)
    except Refused:
        set_attention(model, own)
        raise
    except (ModelError, RuntimeError, TypeError, ValueError, AttributeError, IndexError, KeyError) as error:
        set_attention(model, own)
        raise Refused(" ".join(str(error).split())[:160] or type(error).__name__) from error
    return Admission(layout, kernel, min([*windows, *switches(config)], default=None), ragged)


def choose_ragged(
    device: torch.device, dtype: torch.dtype, head_dim: int, heads: int, kv_heads: int, scale: float
) -> Ragged | None:
    """What reads several cached blocks at once on a CUDA device, if Triton is there and it is right; else None."""
    if device.type != "cuda":
        return None
    try:
        from ctxproc.llm.triton_kernel import find_fault, plan
    except ImportError:
        return None
    return None if find_fault(device, dtype, head_dim, heads, kv_heads, scale) else plan


def known_obstacle(config: Any) -> str | None:  # noqa: ANN401
    """What in a configuration makes reuse wrong, where a trial of a few tokens might not show it."""
    kinds = {rope.get("rope_type") for rope in rope_parameters(config)}
    if "dynamic" in kinds:
        return "its rotary base changes with the length (dynamic NTK)"
    if getattr(config, "alibi", False):
        return "it has ALiBi positions"
    if getattr(config, "kv_lora_rank", None):
        return "it has latent attention (MLA)"
    if getattr(config, "attention_chunk_size", None):
        return "it attends in chunks"
    if getattr(config, "use_bidirectional_attention", False):
        return "its attention looks ahead"
    layers = set(getattr(config, "layer_types", None) or ())
    if other := layers - {"full_attention", "sliding_attention", "attention"}:
        return f"it has layers of another kind ({', '.join(sorted(other))})"
    return None


def switches(config: Any) -> list[int]:  # noqa: ANN401
    """Lengths at which a model's rotary base changes: nothing longer is read (longrope)."""
    lengths = []
    for rope in rope_parameters(config):
        if rope.get("rope_type") == "longrope":
            original = rope.get("original_max_position_embeddings") or getattr(
                config, "original_max_position_embeddings", None
            )
            lengths.append(int(original or config.max_position_embeddings))
    return lengths


def trial_rows(vocabulary: int) -> list[Row]:
    """Rows of random tokens: a shared prefix, chunks of different lengths, different tails; 16 tokens at most."""
    draw = random.Random(0)

    def some(count: int) -> tuple[int, ...]:
        return tuple(draw.randrange(vocabulary) for _ in range(count))

    prefix = some(3)
    return [Row(((prefix, some(7)),), some(4)), Row(((prefix, some(9)),), some(3))]


def plain_logits(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:  # noqa: ANN401
    """Of each row's last token, and of that token once more: the model's own attention over the whole sequence."""
    import torch

    found = []
    with torch.inference_mode(), quiet():
        for row in rows:
            ids = [token for segment in row.chains[0] for token in segment] + list(row.tail)
            for longer in (ids, [*ids, ids[-1]]):
                whole = torch.tensor([longer], device=model.device)
                found.append(model(input_ids=whole, use_cache=False).logits[0, -1].float())
    return found


def engine_logits(engine: Engine, rows: Sequence[Row]) -> list[torch.Tensor]:
    """What `plain_logits` computes, by the engine."""
    batch = open_batch(engine, rows, new_tokens=1)
    first = batch.extend([row.tail for row in rows])
    again = batch.extend([row.tail[-1:] for row in rows])
    return [logits.float() for pair in zip(first, again, strict=True) for logits in pair]


def compare(found: Sequence[torch.Tensor], wanted: Sequence[torch.Tensor], dtype: torch.dtype) -> None:
    """Refuse where logits differ by more than rounding explains."""
    limit = TOLERANCE.get(str(dtype), TOLERANCE_16_BITS)
    for one, other in zip(found, wanted, strict=True):
        distance = float((one - other).norm() / (other - other.mean()).norm().clamp(min=1e-6))
        if not distance <= limit:
            raise Refused(f"its logits differ from those of its own attention (by {distance:.2g}, allowed {limit:.2g})")


def probe(model: Any, config: Any) -> tuple[Layout, set[int], Probe]:  # noqa: ANN401
    """The layout of a model's keys and values, the lengths of its sliding windows, and what its attention was asked."""
    import torch

    plan = Probe()
    ids = torch.zeros(1, 2, dtype=torch.long, device=model.device)
    with torch.inference_mode(), using(plan), windows_of() as windows:
        model(input_ids=ids, position_ids=torch.arange(2, device=model.device)[None], use_cache=False)
    layers = config.num_hidden_layers
    if set(plan.shapes) != set(range(layers)):
        raise Refused(f"only {len(plan.shapes)} of its {layers} layers attend through transformers' interface")
    if len(set(plan.shapes.values())) > 1:
        raise Refused("its layers have keys and values of different shapes")
    key, value, dtype = plan.shapes[0]
    if key != value:
        raise Refused("its keys and values have different shapes")
    return Layout(layers, key[1], key[3], dtype, model.device), windows, plan


def set_attention(model: Any, name: str) -> None:  # noqa: ANN401
    """Set the attention of a model.

    Raises:
        Refused: it cannot be set.
    """
    with quiet():
        model.set_attn_implementation(name)
    if model.config._attn_implementation != name:
        raise Refused("its attention does not go through transformers' interface")

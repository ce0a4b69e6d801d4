"""Attention that also returns its log-sum-exp: the backends, how one is chosen for a model, how results are merged.

A fused backend is used only after a self-test against `MathKernel` in the model's own number format, head sizes and
scale. Dropout, masks other than causal, and gradients are not offered.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import Tensor

SCORES = 2**24  # scores that plain math holds at once
FEW = 3  # up to so many parts are merged pair by pair, which is quicker; more at once, which rounds less
TOLERANCES = {"float64": 1e-10, "float32": 1e-5, "float16": 4e-3, "bfloat16": 2e-2}  # relative to 1 + |value|
LENGTHS = (3, 1, 40)
SHAPES = (  # of the self-test: batch, queries, keys, causal; the last is a packed row of segments of `LENGTHS`
    (1, 1, 1, False),
    (1, 1, 33, False),
    (2, 5, 33, False),
    (1, 3, 300, False),
    (1, 1, 1, True),
    (2, 7, 7, True),
    (1, 130, 130, True),
    (1, sum(LENGTHS), sum(LENGTHS), None),
)


class Kernel(ABC):
    """One way to compute attention.

    Attributes:
        name: what `ctxproc models hardware` shows.
    """

    name: str

    @abstractmethod
    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        """Attention of the queries to all keys, or to those up to their own place.

        Args:
            q: queries (B, H, Tq, D); any view whose last axis is contiguous, as for ``k`` and ``v``.
            k: keys (B, Hkv, Tk, D), Tk >= 1; H is a multiple of Hkv and head h reads key head h // (H // Hkv).
            v: values (B, Hkv, Tk, D).
            causal: query i sees keys 0..i; only with Tq == Tk.
            scale: factor of the scores.

        Returns:
            Output (B, H, Tq, D) in ``q``'s dtype, and the natural log of the sum of the exponentiated scores
            (B, H, Tq), float32 (float64 for float64).
        """

    def attend_packed(
        self, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int], *, scale: float
    ) -> tuple[Tensor, Tensor]:
        """Causal attention of each segment of one packed row to itself alone.

        Args:
            q: queries (1, H, T, D).
            k: keys (1, Hkv, T, D).
            v: values (1, Hkv, T, D).
            lengths: tokens of each segment, at least 1; their sum is T.
            scale: factor of the scores.

        Returns:
            As `attend`, with Tq = T.
        """
        import torch

        cuts = list(accumulate(lengths))[:-1]
        split = zip(*(x.tensor_split(cuts, 2) for x in (q, k, v)), strict=True)
        parts = [self.attend(*part, causal=True, scale=scale) for part in split]
        return torch.cat([out for out, _ in parts], 2), torch.cat([lse for _, lse in parts], 2)


@dataclass(frozen=True)
class MathKernel(Kernel):
    """Plain math in float32 (float64 for float64): works everywhere, and what every other kernel must equal.

    Args:
        softcap: if given, a score s becomes softcap * tanh(s / softcap) before the mask, as in Gemma 2.
    """

    softcap: float | None = None

    @property
    def name(self) -> str:  # type: ignore[override]
        """What `ctxproc models hardware` shows."""
        return "math" if self.softcap is None else "math with softcap"

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        """As `Kernel.attend`; holds at most `SCORES` scores, or one query's, at a time."""
        import torch

        wide = torch.promote_types(q.dtype, torch.float32)
        keys, values = k.to(wide), v.to(wide)
        step = max(1, SCORES // (q.shape[0] * q.shape[1] * k.shape[2]))
        parts = [
            self._some(q[:, :, first : first + step].to(wide), keys, values, first if causal else None, scale)
            for first in range(0, q.shape[2], step)
        ]
        return torch.cat([out for out, _ in parts], 2).to(q.dtype), torch.cat([lse for _, lse in parts], 2)

    def _some(self, q: Tensor, k: Tensor, v: Tensor, first: int | None, scale: float) -> tuple[Tensor, Tensor]:
        """The same for some of the queries; ``first`` is the place of the first of them if the call is causal."""
        import torch

        batch, heads, queries, _ = q.shape
        scores = (pack_group(q, k.shape[1]) @ k.mT).mul_(scale).view(batch, heads, queries, -1)
        if self.softcap is not None:
            scores = torch.tanh(scores / self.softcap) * self.softcap
        if first is not None:
            seen = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(first)
            scores = scores.masked_fill(~seen, -torch.inf)
        out = pack_group(scores.softmax(-1), k.shape[1]) @ v
        return out.view(batch, heads, queries, -1), scores.logsumexp(-1)


class FlashCpuKernel(Kernel):
    """The fused kernel of torch for CPUs: every float format and head size, keys and values read in place."""

    name = "flash (CPU)"

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        """As `Kernel.attend`."""
        import torch

        fused = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default
        out, lse = fused(q if causal else pack_group(q, k.shape[1]), k, v, 0.0, causal, scale=scale)
        return out.reshape(q.shape), lse.reshape(q.shape[:3])


class FlashCudaKernel(Kernel):
    """FlashAttention as torch brings it for CUDA: float16 and bfloat16, head sizes up to 256 in steps of 8."""

    name = "flash (CUDA)"

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        """As `Kernel.attend`."""
        queries = q if causal else pack_group(q, k.shape[1])
        rows = (queries.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        out, lse = _flash_cuda(*rows, None, queries.shape[2], k.shape[2], causal, scale)
        return out.transpose(1, 2).reshape(q.shape), lse.reshape(q.shape[:3])

    def attend_packed(
        self, q: Tensor, k: Tensor, v: Tensor, lengths: Sequence[int], *, scale: float
    ) -> tuple[Tensor, Tensor]:
        """As `Kernel.attend_packed`, in one launch."""
        rows = (q[0].transpose(0, 1), k[0].transpose(0, 1), v[0].transpose(0, 1))
        borders, longest = _borders(tuple(lengths), q.device), max(lengths)
        out, lse = _flash_cuda(*rows, borders, longest, longest, True, scale)
        return out.transpose(0, 1)[None], lse[None]


def _flash_cuda(
    q: Tensor, k: Tensor, v: Tensor, borders: Tensor | None, queries: int, keys: int, causal: bool, scale: float
) -> tuple[Tensor, Tensor]:
    """Dense (B, T, H, D) with lse (B, H, T), or with ``borders`` ragged (T, H, D) with lse (H, T)."""
    import torch

    fused = torch.ops.aten._flash_attention_forward.default
    out, lse, *_ = fused(q, k, v, borders, borders, queries, keys, 0.0, causal, False, scale=scale)
    return out, lse


@lru_cache(maxsize=4)  # every layer of a forward pass asks for the same
def _borders(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    """Where segments begin and the last ends: int32 (segments + 1)."""
    import torch

    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32, device=device)


class EfficientCudaKernel(Kernel):
    """The memory-efficient kernel of torch for CUDA: float32 too, and cards too old for FlashAttention."""

    name = "memory-efficient (CUDA)"

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        """As `Kernel.attend`; a causal call copies keys and values once per query head of their group."""
        import torch

        fused = torch.ops.aten._scaled_dot_product_efficient_attention.default
        group = q.shape[1] // k.shape[1]
        if causal:
            queries, keys, values = q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        else:
            queries, keys, values = pack_group(q, k.shape[1]), k, v
        out, lse, *_ = fused(queries, keys, values, None, True, 0.0, causal, scale=scale)
        return out.reshape(q.shape), lse[..., : queries.shape[2]].reshape(q.shape[:3])  # lse comes padded


def pack_group(x: Tensor, kv_heads: int) -> Tensor:
    """(B, H, T, D) as (B, Hkv, H // Hkv * T, D), so that the heads that share keys are more queries of one head."""
    return x.reshape(x.shape[0], kv_heads, -1, x.shape[-1])


def merge(outs: Sequence[Tensor] | Tensor, lses: Sequence[Tensor] | Tensor) -> tuple[Tensor, Tensor]:
    """Attention over a union of keys from the attention over each part.

    Args:
        outs: outputs (S, ..., D) of the S >= 1 parts, stacked or as a sequence; not changed.
        lses: their log-sum-exps (S, ...), float32. A part that sees no key has -inf here and output 0.

    Returns:
        Output (..., D) in the dtype of ``outs``, computed in that of ``lses``, and log-sum-exp (...).
    """
    import torch

    if len(outs) > FEW:
        stacked = lses if isinstance(lses, torch.Tensor) else torch.stack(tuple(lses))
        weights = stacked.clamp(min=torch.finfo(stacked.dtype).min).softmax(0).unsqueeze(-1)
        if isinstance(outs, torch.Tensor) and outs.is_cuda:  # two launches for all parts
            return (outs * weights).sum(0).to(outs.dtype), stacked.logsumexp(0)
        out = outs[0] * weights[0]
        for part, weight in zip(outs[1:], weights[1:], strict=True):
            out.addcmul_(part, weight)
        return out.to(outs[0].dtype), stacked.logsumexp(0)
    lse = lses[0]
    out = outs[0].to(lse.dtype)
    for part, its in zip(outs[1:], lses[1:], strict=True):
        share = torch.sigmoid(lse - its).nan_to_num_(0)  # nan: neither sees a key
        out = torch.lerp(part.to(lse.dtype), out, share.unsqueeze(-1))
        lse = torch.logaddexp(lse, its)
    return out.to(outs[0].dtype), lse


class Choice(NamedTuple):
    """The kernel for a model, and for each better one why it is not that.

    Attributes:
        kernel: the first that passed.
        passed_over: one line each, such as "flash (CPU) is off by 0.3".
    """

    kernel: Kernel
    passed_over: tuple[str, ...]

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.kernel.name, "; ".join(self.passed_over))))


@cache
def choose(
    device: torch.device,
    dtype: torch.dtype,
    head_dim: int,
    heads: int,
    kv_heads: int,
    scale: float,
    softcap: float | None = None,
) -> Choice:
    """The first kernel for ``device`` that passes the self-test, else plain math; tested once per set of arguments."""
    if softcap is not None:
        return Choice(MathKernel(softcap), ("no fused kernel caps scores",))
    candidates: dict[str, list[Kernel]] = {
        "cpu": [FlashCpuKernel()],
        "cuda": [FlashCudaKernel(), EfficientCudaKernel()],
    }
    passed_over: list[str] = []
    for kernel in candidates.get(device.type, []):
        fault = find_fault(kernel, device, dtype, head_dim, heads, kv_heads, scale)
        if fault is None:
            return Choice(kernel, tuple(passed_over))
        passed_over.append(f"{kernel.name} {fault}")
    return Choice(MathKernel(), tuple(passed_over))


def find_fault(
    kernel: Kernel, device: torch.device, dtype: torch.dtype, head_dim: int, heads: int, kv_heads: int, scale: float
) -> str | None:
    """What is wrong with ``kernel`` in one line, against `MathKernel` on the CPU; None if nothing.

    The queries are transposed and the keys and values are views of a larger buffer, as in a model.
    """
    import torch

    generator = torch.Generator().manual_seed(0)
    wide = torch.promote_types(dtype, torch.float32)
    worst = 0.0
    for batch, queries, keys, causal in SHAPES:
        q = torch.randn(batch, queries, heads, head_dim, generator=generator).to(device, dtype).transpose(1, 2)
        kv = torch.randn(2, batch, kv_heads, keys + 5, head_dim, generator=generator).to(device, dtype)
        k, v = kv[:, :, :, 2 : 2 + keys]
        try:
            got = _try(kernel, q, k, v, causal, scale)
        except (RuntimeError, AttributeError) as error:  # not for this device, dtype or shape; not in this torch
            return f"does not run here ({' '.join(str(error).split())[:80]})"
        right = _try(MathKernel(), q.cpu().to(wide), k.cpu().to(wide), v.cpu().to(wide), causal, scale)
        for one, other in zip(got, right, strict=True):
            if one.shape != other.shape:
                return f"gives {tuple(one.shape)} for {tuple(other.shape)}"
            worst = max(worst, ((one.cpu() - other).abs() / (1 + other.abs())).nan_to_num(torch.inf).max().item())
    return None if worst <= TOLERANCES[str(dtype).removeprefix("torch.")] else f"is off by {worst:.1g}"


def _try(kernel: Kernel, q: Tensor, k: Tensor, v: Tensor, causal: bool | None, scale: float) -> tuple[Tensor, Tensor]:
    """One call of the self-test."""
    if causal is None:
        return kernel.attend_packed(q, k, v, LENGTHS, scale=scale)
    return kernel.attend(q, k, v, causal=causal, scale=scale)

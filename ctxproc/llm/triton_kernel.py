"""Attention over many cached blocks in one launch per layer, for CUDA; needs Triton, which torch brings for CUDA.

What a pass reads is laid down once in tables of addresses (`Reads`), which all layers use. Work is cut into like shares
of keys (split-KV), so that a few queries over long contexts fill the card; the shares are merged by log-sum-exp.
No causal mask: the tokens' own keys are another part, which the caller merges. No gradients.

The module is imported only where it is used: it needs Triton at import.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from subprocess import SubprocessError
from typing import TYPE_CHECKING, NamedTuple

import torch
import triton
import triton.language as tl
from triton.errors import TritonError

from ctxproc.errors import ModelError
from ctxproc.llm.kernels import TOLERANCES, MathKernel, merge

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 256  # keys of a block that are not split any further
SHARES = 3  # programs per multiprocessor that are aimed at
MOST_DIM = 256
COLUMNS = 6  # of both tables


@dataclass(frozen=True)
class Reads:
    """The tables of a pass, made by `plan`.

    Attributes:
        tokens: queries of the pass.
        group: query heads per key head.
        tile: queries times ``group`` of one program.
        slots: parts that are merged at the end.
        pieces: int64 (pieces, 6): address of the keys of layer 0, strides in elements from layer to layer, from keys to
            values, from head to head and from token to token, and length.
        work: int32 (programs per head, 6): first query, end of the queries, tile, first piece, end of the pieces, slot.
        blocks: what the addresses point to.
    """

    tokens: int
    group: int
    tile: int
    slots: int
    pieces: Tensor
    work: Tensor
    blocks: tuple[Tensor, ...]

    def attend(self, q: Tensor, *, layer: int, scale: float) -> tuple[Tensor, Tensor]:
        """Attention of every query to the blocks that it sees.

        Args:
            q: queries (tokens, H, D), any view whose last axis is contiguous.
            layer: from 0.
            scale: factor of the scores.

        Returns:
            Output (tokens, H, D) in ``q``'s dtype and log-sum-exp (tokens, H) in float32; 0 and -inf for a query that
            sees no block.

        Raises:
            ModelError: ``q`` or ``layer`` is not of this plan.
        """
        layers, _, kv_heads, _, size = self.blocks[0].shape
        shape = (self.tokens, kv_heads * self.group, size)
        kind, needed = (q.dtype, q.device), (self.blocks[0].dtype, self.blocks[0].device)
        if q.shape != shape or kind != needed or q.stride(2) != 1 or not 0 <= layer < layers:
            raise ModelError(f"queries {tuple(q.shape)} of layer {layer} do not belong to blocks for {shape}, {needed}")
        outs = torch.zeros(self.slots, *shape, device=q.device)
        lses = torch.full((self.slots, *shape[:2]), -torch.inf, device=q.device)
        wide = max(16, triton.next_power_of_2(size))
        with torch.cuda.device_of(q):  # type: ignore[no-untyped-call]  # Triton launches on the current one
            _attend[(len(self.work), kv_heads)](
                *(q, outs, lses, self.pieces, self.work),
                *(layer, scale * math.log2(math.e), q.stride(0), q.stride(1), self.tokens),
                GROUP=self.group,
                D=size,
                WIDE=wide,
                TILE=self.tile,
                KEYS=64 if wide * q.element_size() <= 256 else 32,
                STEP=16 // q.element_size(),
                COLUMNS=COLUMNS,
                num_warps=4,
                num_stages=2,
                enable_fp_fusion=True,
            )
        out, lse = merge(outs, lses)
        return out.to(q.dtype), lse


@triton.jit(do_not_specialize=["layer", "tokens"])  # type: ignore[untyped-decorator]
def _attend(
    q_at: tl.tensor,
    outs_at: tl.tensor,
    lses_at: tl.tensor,
    pieces_at: tl.tensor,
    work_at: tl.tensor,
    layer: tl.tensor,
    scale: tl.tensor,  # of scores in base 2
    q_token: tl.tensor,
    q_head: tl.tensor,
    tokens: tl.tensor,
    GROUP: tl.constexpr,
    D: tl.constexpr,
    WIDE: tl.constexpr,
    TILE: tl.constexpr,
    KEYS: tl.constexpr,
    STEP: tl.constexpr,
    COLUMNS: tl.constexpr,
) -> None:
    """One tile of queries, the heads that share keys side by side, over some pieces of one head."""
    item = work_at + tl.program_id(0) * COLUMNS
    start, stop, tile = tl.load(item), tl.load(item + 1), tl.load(item + 2)
    first, end, slot = tl.load(item + 3), tl.load(item + 4), tl.load(item + 5)
    head = tl.program_id(1)

    place = tile * TILE + tl.arange(0, TILE)
    token = start + place // GROUP
    heads = head * GROUP + place % GROUP
    live = token < stop
    dim = tl.arange(0, WIDE)
    inside = dim < D
    q_place = token[:, None].to(tl.int64) * q_token + heads[:, None] * q_head + dim[None, :]
    q = tl.load(q_at + q_place, mask=live[:, None] & inside[None, :], other=0.0)

    best = tl.full([TILE], float("-inf"), tl.float32)
    total = tl.zeros([TILE], tl.float32)
    out = tl.zeros([TILE, WIDE], tl.float32)
    for piece in range(first, end):
        row = pieces_at + piece * COLUMNS
        head_stride = tl.multiple_of(tl.load(row + 3), STEP)
        token_stride = tl.multiple_of(tl.load(row + 4), STEP)
        k_at = tl.load(row).to(tl.pointer_type(q_at.dtype.element_ty))
        k_at = tl.multiple_of(k_at + layer * tl.load(row + 1) + head * head_stride, 16)
        v_at = tl.multiple_of(k_at + tl.load(row + 2), 16)
        length = tl.load(row + 5)
        for low in range(0, length, KEYS):
            key = low + tl.arange(0, KEYS)
            there = key < length
            k_place = key[None, :] * token_stride + dim[:, None]
            k = tl.load(k_at + k_place, mask=there[None, :] & inside[:, None], other=0.0)
            scores = tl.dot(q, k, input_precision="ieee") * scale
            scores = tl.where(there[None, :], scores, float("-inf"))
            higher = tl.maximum(best, tl.max(scores, 1))
            fade = tl.exp2(best - higher)
            weights = tl.exp2(scores - higher[:, None])
            total = total * fade + tl.sum(weights, 1)
            v_place = key[:, None] * token_stride + dim[None, :]
            v = tl.load(v_at + v_place, mask=there[:, None] & inside[None, :], other=0.0)
            out = tl.dot(weights.to(v.dtype), v, out * fade[:, None], input_precision="ieee")
            best = higher

    at = (slot.to(tl.int64) * tokens + token) * (GROUP * tl.num_programs(1)) + heads
    tl.store(outs_at + at[:, None] * D + dim[None, :], out / total[:, None], mask=live[:, None] & inside[None, :])
    tl.store(lses_at + at, (best + tl.log2(total)) * 0.6931471805599453, mask=live)


def plan(reads: Sequence[tuple[int, int, Tensor]], tokens: int, heads: int, programs: int | None = None) -> Reads:
    """The tables for some reads.

    Args:
        reads: at least one (start, stop, block): the queries ``start`` to ``stop`` see all keys of the block, which holds
            keys and values (layers, 2, Hkv, keys, D). Rows side by side that see one block are best given as one read:
            it is then fetched once for them.
        tokens: queries of the pass.
        heads: query heads, a multiple of the blocks' heads.
        programs: how many the work is cut into, about; None: as many as fill the device.

    Raises:
        ModelError: a read without queries or keys, or a block that the kernel does not take.
    """
    ranges: dict[tuple[int, int], list[Tensor]] = {}
    blocks = tuple(block for _, _, block in reads)
    for start, stop, block in reads:
        if not 0 <= start < stop <= tokens:
            raise ModelError(f"queries {start} to {stop} of {tokens} cannot read a block")
        _check(block, blocks[0])
        ranges.setdefault((start, stop), []).append(block)
    kv_heads, device = blocks[0].shape[2], blocks[0].device
    group = heads // kv_heads
    tile = min(64, max(16, triton.next_power_of_2(group * max(stop - start for start, stop in ranges))))
    pieces: list[list[int]] = []
    jobs: list[Job] = []
    for (start, stop), seen in ranges.items():
        first = len(pieces)
        pieces += [piece for block in seen for piece in _pieces(block)]
        jobs.append(Job(start, stop, first, len(pieces), -(-(stop - start) * group // tile)))
    load = kv_heads * sum(job.tiles * (job.end - job.first) for job in jobs)
    work, slots = _share_out(jobs, max(1, load // (programs or _room(device))))
    return Reads(
        tokens,
        group,
        tile,
        slots,
        torch.tensor(pieces, dtype=torch.int64).to(device),
        torch.tensor(work, dtype=torch.int32).to(device),
        blocks,
    )


class Job(NamedTuple):
    """The queries ``start`` to ``stop``, in ``tiles`` tiles, over the pieces ``first`` to ``end``."""

    start: int
    stop: int
    first: int
    end: int
    tiles: int


def _share_out(jobs: Sequence[Job], share: int) -> tuple[list[list[int]], int]:
    """The table of work in shares of at most ``share`` pieces, and how many slots keep their results apart."""
    work: list[list[int]] = []
    taken: list[tuple[Job, int]] = []  # each with the slot after its own
    for job in jobs:
        slot = max((after for other, after in taken if other.start < job.stop and job.start < other.stop), default=0)
        for first, end in pairwise([*range(job.first, job.end, share), job.end]):
            work += [[job.start, job.stop, tile, first, end, slot] for tile in range(job.tiles)]
            slot += 1
        taken.append((job, slot))
    return work, max(after for _, after in taken)


def _pieces(block: Tensor) -> Iterator[list[int]]:
    """The rows of a block in the table of pieces."""
    layer, part, head, token, _ = block.stride()
    length = block.shape[3]
    for first in range(0, length, PIECE):
        address = block.data_ptr() + first * token * block.element_size()
        yield [address, layer, part, head, token, min(PIECE, length - first)]


def _check(block: Tensor, first: Tensor) -> None:
    """Refuses what the kernel would read wrongly."""
    aligned = 16 // block.element_size()
    kind, needed = ((x.dtype, x.device, *x.shape[:3], x.shape[4]) for x in (block, first))
    if kind != needed or block.shape[1] != 2 or block.shape[3] == 0:
        raise ModelError(f"blocks of {tuple(block.shape)} and {tuple(first.shape)} cannot be read together")
    odd = block.data_ptr() % 16 or any(stride % aligned for stride in block.stride()[:4])
    if odd or block.stride(4) != 1 or block.shape[4] > MOST_DIM:
        raise ModelError(f"a block with strides {block.stride()} is not laid out in steps of 16 bytes")


def _room(device: torch.device) -> int:
    """How many programs fill a device."""
    return SHARES * torch.cuda.get_device_properties(device).multi_processor_count


def find_fault(
    device: torch.device, dtype: torch.dtype, head_dim: int, heads: int, kv_heads: int, scale: float
) -> str | None:
    """What is wrong with this kernel in one line, against `MathKernel` on the CPU; None if nothing."""
    if dtype not in (torch.float16, torch.bfloat16):
        return "is for 16-bit formats"
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype)

    q = normal(heads, 9, head_dim).transpose(0, 1)
    blocks = [normal(2, 2, kv_heads, length, head_dim) for length in (300, 1, 70)]
    ranges = ((0, 9), (0, 8), (2, 8))
    reads = [(start, stop, block) for (start, stop), block in zip(ranges, blocks, strict=True)]
    wide = [block[1, :, None].cpu().float() for block in blocks]
    worst = 0.0
    try:
        for programs in (1, 1000):
            out, lse = plan(reads, 9, heads, programs).attend(q, layer=1, scale=scale)
            for token in range(9):
                seen = [kv for kv, (start, stop) in zip(wide, ranges, strict=True) if start <= token < stop]
                k, v = torch.cat(seen, 3)
                one = q[token, :, None][None].cpu().float()
                right_out, right_lse = MathKernel().attend(one, k, v, causal=False, scale=scale)
                for got, right in ((out[token], right_out[0, :, 0]), (lse[token], right_lse[0, :, 0])):
                    off = (got.cpu() - right).abs() / (1 + right.abs())
                    worst = max(worst, off.nan_to_num(torch.inf).max().item())
    except (TritonError, RuntimeError, ModelError, ValueError, OSError, SubprocessError, AssertionError) as error:
        return f"does not run here ({' '.join(str(error).split())[:80]})"
    return None if worst <= TOLERANCES[str(dtype).removeprefix("torch.")] else f"is off by {worst:.1g}"

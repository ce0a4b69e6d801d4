"""The Triton kernel, value by value under Triton's interpreter, and compiled for cards that are not here.

Triton reads TRITON_INTERPRET when it is imported, so both run in processes of their own: the checks below, which pytest
collects only there.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor

from ctxproc.errors import ModelError
from ctxproc.llm.kernels import MathKernel

if TYPE_CHECKING:
    from ctxproc.llm.triton_kernel import Reads

HERE = Path(__file__)
Read = tuple[int, int, Tensor]
EXACT = {torch.float32: 1e-5, torch.float16: 4e-3, torch.bfloat16: 2e-2}


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize("prefix", ["interpret", "compile"])
def test_in_a_process_of_its_own(prefix: str, tmp_path: Path) -> None:
    env = os.environ | {"TRITON_INTERPRET": str(int(prefix == "interpret")), "TRITON_CACHE_DIR": str(tmp_path)}
    env["OMP_NUM_THREADS"] = "1"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", f"python_functions={prefix}_"]
    done = subprocess.run([*command, str(HERE)], env=env, cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.fixture(autouse=True)
def bfloat16(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The interpreter multiplies bfloat16 matrices as if their bits were integers; here as numbers."""
    if os.environ.get("TRITON_INTERPRET") == "1":
        import numpy as np
        import triton.language as tl
        from triton.runtime.interpreter import InterpreterBuilder, TensorHandle

        product = InterpreterBuilder.create_dot

        def wide(handle: TensorHandle) -> TensorHandle:
            if handle.dtype.scalar != tl.bfloat16:
                return handle
            return TensorHandle((handle.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

        def create_dot(self: InterpreterBuilder, a: TensorHandle, b: TensorHandle, *others: object) -> TensorHandle:
            return product(self, wide(a), wide(b), *others)

        monkeypatch.setattr(InterpreterBuilder, "create_dot", create_dot)
    yield


def made(lengths: Sequence[int], kv_heads: int, size: int, dtype: torch.dtype) -> list[Tensor]:
    """A block per length, (3 layers, 2, kv heads, length, size): every other one is a slice of a larger buffer."""
    generator = torch.Generator().manual_seed(sum(lengths))
    blocks = []
    for i, length in enumerate(lengths):
        spare = 8 * (i % 2)
        buffer = torch.randn(3, 2, kv_heads, length + 2 * spare, size, generator=generator).to(dtype)
        buffer[:, :, :, :spare], buffer[:, :, :, spare + length :] = torch.nan, torch.nan  # not to be read
        blocks.append(buffer[:, :, :, spare : spare + length])
    return blocks


def assert_right(q: Tensor, reads: Sequence[Read], layer: int, got: tuple[Tensor, Tensor]) -> None:
    """Every token's row against plain math over the blocks that it sees, one after the other."""
    out, lse = got
    assert (out.dtype, lse.dtype) == (q.dtype, torch.float32)
    for token in range(len(q)):
        seen = [block[layer, :, None] for start, stop, block in reads if start <= token < stop]
        if not seen:
            assert torch.equal(out[token], torch.zeros_like(out[token]))
            assert (lse[token] == -torch.inf).all()
            continue
        k, v = torch.cat(seen, 3).double()
        right, its = MathKernel().attend(q[None, token, :, None].double(), k, v, causal=False, scale=0.2)
        for one, other in ((out[token], right[0, :, 0]), (lse[token], its[0, :, 0])):
            torch.testing.assert_close(one.double(), other, rtol=EXACT[q.dtype], atol=EXACT[q.dtype])


def check(
    ranges: Sequence[tuple[int, int]],
    lengths: Sequence[int],
    programs: int,
    heads: int = 4,
    kv_heads: int = 2,
    size: int = 64,
    dtype: torch.dtype = torch.float32,
) -> Reads:
    from ctxproc.llm import triton_kernel

    blocks = made(lengths, kv_heads, size, dtype)
    reads = [(start, stop, block) for (start, stop), block in zip(ranges, blocks, strict=True)]
    tokens = max(stop for _, stop in ranges)
    q = torch.randn(heads, tokens, size, generator=torch.Generator().manual_seed(1)).to(dtype).transpose(0, 1)
    plan = triton_kernel.plan(reads, tokens, heads, programs)
    assert_right(q, reads, 2, plan.attend(q, layer=2, scale=0.2))
    return plan


@pytest.mark.parametrize("dtype", list(EXACT), ids=str)
@pytest.mark.parametrize(
    ("heads", "kv_heads", "size"), [(2, 2, 64), (4, 2, 128), (7, 1, 80), (14, 2, 64), (2, 1, 8), (1, 1, 256)]
)
@pytest.mark.parametrize("tokens", [1, 33])
def interpret_heads_and_formats(tokens: int, heads: int, kv_heads: int, size: int, dtype: torch.dtype) -> None:
    check([(0, tokens)] * 2, [65, 7], 1, heads, kv_heads, size, dtype)


@pytest.mark.parametrize("programs", [1, 8, 10_000])
@pytest.mark.parametrize("blocks", range(1, 10))
def interpret_many_blocks(blocks: int, programs: int) -> None:
    check([(0, 5)] * blocks, [1, 300, 64, 63, 2, 513, 31, 256, 5][:blocks], programs)


@pytest.mark.parametrize("programs", [1, 20, 10_000])
def interpret_rows_of_their_own_and_shared_blocks(programs: int) -> None:
    """A prefix for all, a block for each of three rows, one for the last two, one for a token within a row."""
    check([(0, 40), (0, 7), (7, 8), (8, 40), (7, 40), (3, 4)], [5, 300, 40, 70, 33, 9], programs)


def interpret_tokens_that_see_nothing() -> None:
    check([(2, 3), (5, 9)], [20, 30], 1)


def interpret_work_is_shared_out() -> None:
    one, many = (check([(0, 5)] * 3, [600, 300, 100], programs) for programs in (1, 10_000))
    assert (one.slots, many.slots) == (1, 6)  # pieces of at most 256 keys: 3 + 2 + 1
    apart = check([(0, 5), (5, 9)], [600, 300], 10_000)
    assert apart.slots == 3


def interpret_the_self_test() -> None:
    from ctxproc.llm import triton_kernel

    cpu = torch.device("cpu")
    for dtype in (torch.float16, torch.bfloat16):
        assert triton_kernel.find_fault(cpu, dtype, 64, 14, 2, 0.125) is None
    assert triton_kernel.find_fault(cpu, torch.float32, 64, 14, 2, 0.125) == "is for 16-bit formats"
    assert str(triton_kernel.find_fault(cpu, torch.float16, 20, 4, 2, 0.2)).startswith("does not run here (a block")


def interpret_the_self_test_sees_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from ctxproc.llm import triton_kernel

    def last_piece_lost(block: Tensor) -> Iterator[list[int]]:
        return iter(list(pieces(block))[:1])

    pieces = triton_kernel._pieces
    monkeypatch.setattr(triton_kernel, "_pieces", last_piece_lost)
    fault = triton_kernel.find_fault(torch.device("cpu"), torch.float16, 64, 2, 2, 0.125)
    assert str(fault).startswith("is off by")


REFUSED = {
    "no queries": (lambda block: (2, 2, block), "cannot read a block"),
    "behind the last query": (lambda block: (2, 9, block), "cannot read a block"),
    "no keys": (lambda block: (0, 4, block[:, :, :, :0]), "cannot be read together"),
    "other heads": (lambda block: (0, 4, block[:, :, :1]), "cannot be read together"),
    "other dtype": (lambda block: (0, 4, block.half()), "cannot be read together"),
    "transposed": (lambda block: (0, 4, block.mT.contiguous().mT), "not laid out"),
    "spread out": (lambda block: (0, 4, torch.zeros(3, 2, 2, 5, 128)[..., ::2]), "not laid out"),
    "odd strides": (lambda block: (0, 4, torch.zeros(3, 2, 2, 5, 65)[..., :64]), "not laid out"),
    "odd address": (lambda block: (0, 4, torch.zeros(3 * 2 * 2 * 5 * 64 + 1)[1:].view(3, 2, 2, 5, 64)), "not laid"),
}


@pytest.mark.parametrize("name", list(REFUSED))
def interpret_what_is_refused(name: str) -> None:
    from ctxproc.llm import triton_kernel

    (block,) = made([5], 2, 64, torch.float32)
    make, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        triton_kernel.plan([(0, 4, block), make(block)], 8, 4, 1)


@pytest.mark.parametrize("shape", [(9, 4, 64), (8, 2, 64), (8, 4, 32)])
def interpret_queries_of_another_plan_are_refused(shape: tuple[int, int, int]) -> None:
    from ctxproc.llm import triton_kernel

    plan = triton_kernel.plan([(0, 4, made([5], 2, 64, torch.float32)[0])], 8, 4, 1)
    right, spread_out = torch.zeros(8, 4, 64), torch.zeros(8, 4, 128)[..., ::2]
    for q, layer in ((torch.zeros(shape), 0), (right.half(), 0), (right, 3), (spread_out, 0)):
        with pytest.raises(ModelError, match="do not belong"):
            plan.attend(q, layer=layer, scale=1.0)


@pytest.mark.parametrize("card", [80, 90])
@pytest.mark.parametrize(("dtype", "size"), [("bf16", 64), ("fp16", 80)])
def compile_for_a_card(card: int, dtype: str, size: int) -> None:
    """What the interpreter lets pass and the compiler does not; keys must come in copies of 16 bytes."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from ctxproc.llm import triton_kernel

    kernel = triton_kernel._attend
    fixed = {
        "GROUP": 7,
        "D": size,
        "WIDE": triton.next_power_of_2(size),
        "TILE": 64,
        "KEYS": 64,
        "STEP": 8,
        "COLUMNS": 6,
    }
    types = {"q_at": f"*{dtype}", "outs_at": "*fp32", "lses_at": "*fp32", "pieces_at": "*i64", "work_at": "*i32"}
    types |= {"layer": "i32", "scale": "fp32", "q_token": "i32", "q_head": "i32", "tokens": "i32"}
    source = ASTSource(kernel, types | dict.fromkeys(fixed, "constexpr"), constexprs=fixed)
    done = triton.compile(source, GPUTarget("cuda", card, 32), options={"num_warps": 4, "num_stages": 2})
    assert "cp.async.cg.shared.global" in done.asm["ptx"]
    assert "wgmma" in done.asm["ptx"] or "mma.sync" in done.asm["ptx"]
    assert done.asm["cubin"]

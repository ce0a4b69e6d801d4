"""Attention kernels against sums written out by hand, the merge against attention over everything, the choice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from ctxproc.llm import kernels
from ctxproc.llm.kernels import (
    EfficientCudaKernel,
    FlashCpuKernel,
    FlashCudaKernel,
    Kernel,
    MathKernel,
    choose,
    find_fault,
    merge,
)

CPU = torch.device("cpu")
SCALE = 0.3
EXACT = {torch.float64: 1e-12, torch.float32: 5e-6, torch.bfloat16: 2e-2, torch.float16: 3e-3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    choose.cache_clear()
    yield
    choose.cache_clear()
    torch.set_num_threads(threads)


def inputs(
    queries: int, keys: int, heads: int = 6, kv_heads: int = 2, size: int = 16, batch: int = 1, **options: torch.dtype
) -> tuple[Tensor, Tensor, Tensor]:
    """Queries as a transposed view, keys and values as slices of a larger buffer."""
    generator = torch.Generator().manual_seed(queries * 1000 + keys)
    dtype = options.get("dtype", torch.float64)
    q = torch.randn(batch, queries, heads, size, generator=generator, dtype=torch.float64).to(dtype).transpose(1, 2)
    arena = torch.randn(3, 2, batch, kv_heads, keys + 9, size, generator=generator, dtype=torch.float64).to(dtype)
    k, v = arena[1, :, :, :, 4 : 4 + keys]
    return q, k, v


def by_hand(
    q: Tensor, k: Tensor, v: Tensor, causal: bool = False, cap: Callable[[float], float] = float
) -> tuple[Tensor, Tensor]:
    """The definition, one query and one key at a time."""
    batch, heads, queries, size = q.shape
    out = torch.zeros(batch, heads, queries, size, dtype=torch.float64)
    lse = torch.zeros(batch, heads, queries, dtype=torch.float64)
    for b in range(batch):
        for h in range(heads):
            for i in range(queries):
                total = 0.0
                for j in range(i + 1 if causal else k.shape[2]):
                    at = h * k.shape[1] // heads
                    weight = math.exp(cap(SCALE * sum(q[b, h, i].double() * k[b, at, j].double()).item()))
                    total += weight
                    out[b, h, i] += weight * v[b, at, j].double()
                out[b, h, i] /= total
                lse[b, h, i] = math.log(total)
    return out, lse


def assert_close(got: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], dtype: torch.dtype) -> None:
    wide = torch.promote_types(dtype, torch.float32)
    for one, other, its in zip(got, right, (dtype, wide), strict=True):
        assert one.dtype == its
        torch.testing.assert_close(one.double(), other.double(), rtol=EXACT[dtype], atol=EXACT[dtype])


SMALL = [(1, 1, False), (1, 1, True), (1, 9, False), (5, 9, False), (7, 7, True)]


@pytest.mark.parametrize("dtype", list(EXACT), ids=str)
@pytest.mark.parametrize(("queries", "keys", "causal"), SMALL)
@pytest.mark.parametrize("kernel", [MathKernel(), FlashCpuKernel()], ids=lambda kernel: kernel.name)
def test_a_kernel_computes_the_definition(
    kernel: Kernel, queries: int, keys: int, causal: bool, dtype: torch.dtype
) -> None:
    q, k, v = inputs(queries, keys, batch=2, size=6, dtype=dtype)
    assert_close(kernel.attend(q, k, v, causal=causal, scale=SCALE), by_hand(q, k, v, causal), dtype)


def test_plain_math_caps_scores() -> None:
    q, k, v = inputs(4, 4)
    cap = 0.7
    got = MathKernel(cap).attend(q, k, v, causal=True, scale=SCALE)
    assert_close(got, by_hand(q, k, v, True, lambda score: cap * math.tanh(score / cap)), torch.float64)


@pytest.mark.parametrize("causal", [False, True])
def test_plain_math_in_small_steps_is_the_same(causal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = inputs(11, 11)
    whole = MathKernel(2.0).attend(q, k, v, causal=causal, scale=SCALE)
    monkeypatch.setattr(kernels, "SCORES", 4 * 6 * 11)  # four queries at a time
    torch.testing.assert_close(MathKernel(2.0).attend(q, k, v, causal=causal, scale=SCALE), whole)


@pytest.mark.parametrize("dtype", list(EXACT), ids=str)
@pytest.mark.parametrize(("heads", "kv_heads", "size"), [(14, 2, 64), (4, 4, 80), (7, 1, 128), (4, 2, 256), (6, 3, 20)])
def test_flash_on_the_cpu_is_plain_math(heads: int, kv_heads: int, size: int, dtype: torch.dtype) -> None:
    for queries, keys, causal in [(1, 700, False), (37, 513, False), (150, 150, True)]:
        q, k, v = inputs(queries, keys, heads, kv_heads, size, dtype=dtype)
        right = MathKernel().attend(q.double(), k.double(), v.double(), causal=causal, scale=size**-0.5)
        assert_close(FlashCpuKernel().attend(q, k, v, causal=causal, scale=size**-0.5), right, dtype)


@pytest.mark.parametrize("kernel", [MathKernel(), FlashCpuKernel()], ids=lambda kernel: kernel.name)
def test_a_packed_row_is_its_segments(kernel: Kernel) -> None:
    q, k, v = inputs(9, 9)
    out, lse = kernel.attend_packed(q, k, v, [2, 1, 6], scale=SCALE)
    for first, stop in ((0, 2), (2, 3), (3, 9)):
        right = by_hand(q[:, :, first:stop], k[:, :, first:stop], v[:, :, first:stop], causal=True)
        assert_close((out[:, :, first:stop], lse[:, :, first:stop]), right, torch.float64)


@pytest.mark.parametrize("cuts", [[], [4], [4, 5], [1, 2, 30], [3, 5, 8, 13, 21, 22, 23, 40]])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_parts_merge_into_the_whole(cuts: list[int], stacked: bool, dtype: torch.dtype) -> None:
    q, k, v = inputs(5, 50)
    whole = MathKernel().attend(q, k, v, causal=False, scale=2.0)
    q, k, v = q.to(dtype), k.to(dtype), v.to(dtype)
    split = zip(k.tensor_split(cuts, 2), v.tensor_split(cuts, 2), strict=True)
    outs, lses = zip(*(FlashCpuKernel().attend(q, *part, causal=False, scale=2.0) for part in split), strict=True)
    got = merge(torch.stack(outs), torch.stack(lses)) if stacked else merge(outs, lses)
    assert_close(got, whole, dtype)


@pytest.mark.parametrize("parts", [2, 3, 9])
def test_merging_in_float32_is_exact_and_changes_nothing_given(parts: int) -> None:
    generator = torch.Generator().manual_seed(parts)
    outs = torch.rand(parts, 4, 50, 8, generator=generator)
    lses = 8 + 3 * torch.randn(parts, 4, 50, generator=generator)
    before = outs.clone(), lses.clone()
    out, lse = merge(outs, lses)
    assert (out.double() - (outs.double() * lses.double().softmax(0)[..., None]).sum(0)).abs().max() < 1e-6
    assert (lse.double() - lses.double().logsumexp(0)).abs().max() < 4e-6
    assert torch.equal(outs, before[0])
    assert torch.equal(lses, before[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("parts", [2, 3, 9])
def test_merging_16_bits_rounds_once(parts: int, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(parts)
    outs = torch.rand(parts, 200, 8, generator=generator).to(dtype)
    lses = torch.randn(parts, 200, generator=generator)
    out, lse = merge(outs, lses)
    right = (outs.double() * lses.double().softmax(0)[..., None]).sum(0)
    assert (out.dtype, lse.dtype) == (dtype, torch.float32)
    assert ((out.double() - right).abs() <= 0.51 * torch.finfo(dtype).eps * right).all()


@pytest.mark.parametrize("parts", [2, 3, 5])
@pytest.mark.parametrize("absent", [0, 1])
def test_an_absent_part_has_no_weight(parts: int, absent: int) -> None:
    generator = torch.Generator().manual_seed(parts)
    outs, lses = torch.randn(parts, 6, 8, generator=generator), torch.randn(parts, 6, generator=generator)
    outs[absent, :3], lses[absent, :3] = 0, -torch.inf
    outs[:, 5], lses[:, 5] = 0, -torch.inf
    out, lse = merge(outs, lses)
    rest = [i for i in range(parts) if i != absent]
    right = (outs[rest] * lses[rest].softmax(0)[..., None]).sum(0)
    torch.testing.assert_close(out[:3], right[:3])
    torch.testing.assert_close(lse[:3], lses[rest].logsumexp(0)[:3])
    assert torch.equal(out[5], torch.zeros(8))
    assert lse[5] == -torch.inf


@pytest.mark.parametrize("parts", [2, 3, 5])
def test_a_damaged_part_is_not_hidden(parts: int) -> None:
    outs, lses = torch.ones(parts, 1, 8), torch.zeros(parts, 1)
    outs[1], lses[1] = torch.nan, torch.nan
    assert merge(outs, lses)[0].isnan().all()


def test_the_cpu_gets_its_fused_kernel() -> None:
    choice = choose(CPU, torch.float32, 64, 14, 2, 0.125)
    assert isinstance(choice.kernel, FlashCpuKernel)
    assert str(choice) == "flash (CPU)"


def test_no_fused_kernel_is_chosen_where_scores_are_capped() -> None:
    choice = choose(CPU, torch.float32, 64, 14, 2, 0.125, softcap=50.0)
    assert choice.kernel == MathKernel(50.0)
    assert str(choice) == "math with softcap: no fused kernel caps scores"


def test_a_device_without_a_fused_kernel_gets_plain_math() -> None:
    choice = choose(torch.device("meta"), torch.float32, 64, 14, 2, 0.125)
    assert choice.kernel == MathKernel()
    assert str(choice) == "math"


Fault = Callable[[Callable[..., tuple[Tensor, Tensor]], Kernel, Tensor, Tensor, Tensor, bool, float], object]
FAULTS: dict[str, Fault] = {
    "log-sum-exp off": lambda right, *a: (right(*a)[0], right(*a)[1] + 0.3),
    "in base 2": lambda right, *a: (right(*a)[0], right(*a)[1] / math.log(2)),
    "output off": lambda right, *a: (right(*a)[0] + 0.1, right(*a)[1]),
    "not a number": lambda right, *a: (right(*a)[0] * torch.nan, right(*a)[1]),
    "not causal": lambda right, self, q, k, v, causal, scale: right(self, q, k, v, False, scale),
    "no scale": lambda right, self, q, k, v, causal, scale: right(self, q, k, v, causal, 1.0),
    "heads interleaved": lambda right, self, q, k, v, causal, scale: right(
        self, q, k.repeat(1, q.shape[1] // k.shape[1], 1, 1), v.repeat(1, q.shape[1] // k.shape[1], 1, 1), causal, scale
    ),
    "strides ignored": lambda right, self, q, k, v, causal, scale: right(
        self, q, *(x.as_strided(x.shape, x.new_empty(x.shape).stride()) for x in (k, v)), causal, scale
    ),
    "lse padded": lambda right, *a: (right(*a)[0], torch.nn.functional.pad(right(*a)[1], (0, 3))),
}


@pytest.mark.parametrize("fault", list(FAULTS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_kernel_that_computes_something_else_is_passed_over(
    fault: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = FlashCpuKernel.attend

    def by_place(self: Kernel, q: Tensor, k: Tensor, v: Tensor, causal: bool, scale: float) -> tuple[Tensor, Tensor]:
        return right(self, q, k, v, causal=causal, scale=scale)  # type: ignore[arg-type]

    def wrong(self: Kernel, q: Tensor, k: Tensor, v: Tensor, *, causal: bool, scale: float) -> object:
        return FAULTS[fault](by_place, self, q, k, v, causal, scale)

    monkeypatch.setattr(FlashCpuKernel, "attend", wrong)
    choice = choose(CPU, dtype, 16, 6, 2, 0.25)
    assert choice.kernel == MathKernel()
    assert str(choice).startswith(
        "math: flash (CPU) gives (" if fault == "lse padded" else "math: flash (CPU) is off by"
    )


def test_a_kernel_that_is_wrong_for_packed_rows_alone_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def leaks(self: Kernel, q: Tensor, k: Tensor, v: Tensor, lengths: object, *, scale: float) -> object:
        return self.attend(q, k, v, causal=True, scale=scale)

    monkeypatch.setattr(FlashCpuKernel, "attend_packed", leaks)
    assert choose(CPU, torch.float32, 16, 6, 2, 0.25).kernel == MathKernel()


@pytest.mark.parametrize("error", [RuntimeError("no\n kernel image"), NotImplementedError("no  kernel image")])
def test_a_kernel_that_does_not_run_is_passed_over(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> object:
        raise error

    monkeypatch.setattr(FlashCpuKernel, "attend", fail)
    assert str(choose(CPU, torch.float32, 16, 6, 2, 0.25)) == "math: flash (CPU) does not run here (no kernel image)"


def test_a_mistake_in_a_kernel_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FlashCpuKernel, "attend", lambda *_, **__: {}["no such key"])
    with pytest.raises(KeyError):
        choose(CPU, torch.float32, 16, 6, 2, 0.25)


def test_the_self_test_runs_once_and_leaves_the_global_random_state(monkeypatch: pytest.MonkeyPatch) -> None:
    state = torch.random.get_rng_state()
    first = choose(CPU, torch.float32, 16, 6, 2, 0.25)
    monkeypatch.setattr(kernels, "find_fault", None)
    assert choose(CPU, torch.float32, 16, 6, 2, 0.25) is first
    assert torch.equal(torch.random.get_rng_state(), state)


def as_cuda_flash(  # what aten::_flash_attention_forward takes and gives on CUDA, in plain math
    q: Tensor, k: Tensor, v: Tensor, starts: Tensor | None, key_starts: Tensor | None, *others: object, scale: float
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    max_q, max_k, dropout, causal, debug = others
    assert (dropout, debug) == (0.0, False)
    assert all(x.stride(-1) == 1 for x in (q, k, v))
    none = torch.empty(0)
    if starts is None or key_starts is None:
        assert starts is key_starts
        assert (max_q, max_k) == (q.shape[1], k.shape[1])
        rows = [x.transpose(1, 2) for x in (q, k, v)]
        out, lse = MathKernel().attend(*rows, causal=bool(causal), scale=scale)
        return out.transpose(1, 2).contiguous(), lse, none, none, none
    assert starts.dtype == key_starts.dtype == torch.int32
    lengths = starts.diff().tolist()
    assert max_q == max_k == max(lengths)
    assert causal
    rows = [x.transpose(0, 1)[None] for x in (q, k, v)]
    out, lse = MathKernel().attend_packed(*rows, lengths, scale=scale)
    return out[0].transpose(0, 1).contiguous(), lse[0], none, none, none


def as_cuda_efficient(  # what aten::_scaled_dot_product_efficient_attention takes and gives on CUDA
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bias: Tensor | None,
    with_lse: bool,
    dropout: float = 0.0,
    causal: bool = False,
    *,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    assert bias is None
    assert with_lse
    assert dropout == 0.0
    assert q.shape[1] == k.shape[1] == v.shape[1]
    out, lse = MathKernel().attend(q, k, v, causal=causal, scale=scale)
    padded = torch.nn.functional.pad(lse, (0, -lse.shape[2] % 32), value=torch.inf)
    return out.transpose(1, 2).contiguous().transpose(1, 2), padded, torch.empty(0), torch.empty(0)


@contextmanager
def on_the_cpu(name: str, stand_in: Callable[..., object]) -> Iterator[None]:
    with torch.library._scoped_library("aten", "IMPL") as library:
        library.impl(name, stand_in, "CPU")
        yield


@pytest.mark.parametrize(
    ("kernel", "name", "stand_in"),
    [
        (FlashCudaKernel(), "_flash_attention_forward", as_cuda_flash),
        (EfficientCudaKernel(), "_scaled_dot_product_efficient_attention", as_cuda_efficient),
    ],
    ids=["flash", "efficient"],
)
@pytest.mark.parametrize(("heads", "kv_heads"), [(6, 2), (4, 4), (7, 1)])
def test_cuda_kernels_are_called_as_torch_documents_them(
    kernel: Kernel, name: str, stand_in: Callable[..., object], heads: int, kv_heads: int
) -> None:
    with torch.inference_mode(), on_the_cpu(name, stand_in):
        assert find_fault(kernel, CPU, torch.float32, 16, heads, kv_heads, 0.25) is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32], ids=str)
def test_cuda_gets_a_fused_kernel(dtype: torch.dtype) -> None:
    for heads, kv_heads, size in [(14, 2, 64), (8, 1, 128), (8, 4, 256), (4, 4, 80)]:
        choice = choose(torch.device("cuda"), dtype, size, heads, kv_heads, size**-0.5)
        assert choice.kernel != MathKernel(), str(choice)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_parts_merge_on_cuda_as_on_the_cpu() -> None:
    outs, lses = torch.rand(9, 4, 50, 8), 3 * torch.randn(9, 4, 50)
    for got, right in zip(merge(outs.cuda(), lses.cuda()), merge(outs, lses), strict=True):
        torch.testing.assert_close(got.cpu(), right, rtol=1e-6, atol=1e-6)

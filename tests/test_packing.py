"""What a pass attends to, against one dense softmax per token over the keys that it may see."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from ctxproc.llm.kernels import FlashCpuKernel, Kernel, MathKernel
from ctxproc.llm.packing import Blend, Block, Pass, Read, Span, joined, place

torch.set_num_threads(1)
HEADS, KV_HEADS, SIZE = 6, 2, 8
SCALE = 0.3


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Case:
    """A random pass: some spans of rows with a past, some blocks that ranges of tokens see."""

    def __init__(self, seed: int, dtype: torch.dtype = torch.float64, spans: list[Span] | None = None) -> None:
        draw = random.Random(seed)
        self.dtype = dtype
        self.spans = self.some_spans(draw, seed) if spans is None else spans
        self.tokens = at = self.spans[-1].stop
        self.reads: list[Read] = []
        for i in range(draw.randint(0, 5)):
            start = draw.randrange(at)
            block = normal(2, 2, KV_HEADS, draw.randint(1, 9), SIZE, seed=100 + seed + i).to(dtype)
            self.reads.append(Read(start, draw.randint(start + 1, at), block, context=draw.random() < 0.5))
        self.query, self.key, self.value = (
            normal(1, at, heads, SIZE, seed=200 + seed + i).to(dtype).transpose(1, 2)
            for i, heads in enumerate((HEADS, KV_HEADS, KV_HEADS))
        )

    def some_spans(self, draw: random.Random, seed: int) -> list[Span]:
        spans: list[Span] = []
        at = 0
        for i in range(draw.randint(1, 3)):
            rows, length, past = draw.randint(1, 3), draw.choice([1, 1, 2, 5]), draw.choice([0, 0, 1, 4])
            size = past + length + draw.randint(0, 3)
            spans.append(Span(at, length, past, normal(2, 2, rows, KV_HEADS, size, SIZE, seed=seed + i).to(self.dtype)))
            at = spans[-1].stop
        return spans

    def own(self, token: int, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values (kv heads, seen, size) of the token's own sequence up to itself."""
        span = next(span for span in self.spans if token < span.stop)
        row, place = divmod(token - span.start, span.length)
        first = token - place
        return tuple(  # type: ignore[return-value]
            torch.cat([span.buffer[layer, i, row, :, : span.past], new[0, :, first : token + 1]], dim=1)
            for i, new in enumerate((self.key, self.value))
        )

    def dense(self, layer: int, blend: Blend | None = None) -> torch.Tensor:
        """The oracle (1, tokens, heads, size)."""
        out = []
        for token in range(self.tokens):
            parts = [(self.own(token, layer), False)]
            parts += [(tuple(r.block[layer]), r.context) for r in self.reads if r.start <= token < r.stop]
            scores, values = [], []
            for (keys, vals), context in parts:
                keys = keys.double().repeat_interleave(HEADS // KV_HEADS, 0)
                warm = SCALE / blend.temperature if blend and context else SCALE
                scores.append((keys @ self.query[0, :, token, :, None].double())[..., 0] * warm)
                values.append(vals.double().repeat_interleave(HEADS // KV_HEADS, 0))
            if blend and any(context for _, context in parts):
                whole = torch.cat([s for s, (_, context) in zip(scores, parts, strict=True) if context], 1).logsumexp(1)
                for s, (_, context) in zip(scores, parts, strict=True):
                    if context:
                        s += ((blend.scale - 1) * whole)[:, None]
            weights = torch.cat(scores, 1).softmax(1)
            out.append((weights[:, None] @ torch.cat(values, 1))[:, 0])
        return torch.stack(out)[None]

    def run(self, kernel: Kernel, blend: Blend | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Both layers, after each other through the same pass."""
        plan = Pass(self.spans, self.reads, kernel, blend)
        assert plan.tokens == self.tokens
        first, second = (plan.attend(layer, self.query, self.key, self.value, SCALE) for layer in (0, 1))
        return first, second


@pytest.mark.parametrize("seed", range(14))
@pytest.mark.parametrize("blend", [None, Blend(0.7, 0.8)])
def test_a_pass_is_one_softmax_over_what_each_token_sees(seed: int, blend: Blend | None) -> None:
    case = Case(seed)
    wanted = [case.dense(layer, blend) for layer in (0, 1)]
    for kernel in (MathKernel(), FlashCpuKernel()):
        for out, want in zip(case.run(kernel, blend), wanted, strict=True):
            torch.testing.assert_close(out, want, atol=1e-6, rtol=0)


class Counting(FlashCpuKernel):
    """Counts the sequences of its packed calls."""

    def __init__(self) -> None:
        self.packed: list[list[int]] = []

    def attend_packed(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: Sequence[int], *, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.packed.append(list(lengths))
        return super().attend_packed(q, k, v, lengths, scale=scale)


@pytest.mark.parametrize("seed", range(14))
@pytest.mark.parametrize("blend", [None, Blend(0.7, 0.8)])
def test_sequences_that_begin_are_read_in_one_call_as_one_by_one(seed: int, blend: Blend | None) -> None:
    draw, at, spans = random.Random(seed), 0, list[Span]()
    for i in range(draw.randint(2, 4)):
        length = draw.choice([1, 2, 5])
        spans.append(Span(at, length, 0, normal(2, 2, 1, KV_HEADS, length + i, SIZE, seed=seed + i)))
        at += length
    case = Case(seed, spans=spans)
    wanted = [case.dense(layer, blend) for layer in (0, 1)]
    kernel, one_by_one = Counting(), Pass(case.spans, case.reads, FlashCpuKernel(), blend)
    one_by_one._fresh = False
    for layer, out in enumerate(case.run(kernel, blend)):
        torch.testing.assert_close(out, wanted[layer], atol=1e-6, rtol=0)
        slow = one_by_one.attend(layer, case.query, case.key, case.value, SCALE)
        torch.testing.assert_close(out, slow, atol=1e-12, rtol=0)
    assert kernel.packed == [[span.length for span in spans]] * 2
    past = [*spans[:-1], replace(spans[-1], past=1, buffer=normal(2, 2, 1, KV_HEADS, 9, SIZE, seed=seed))]
    Case(seed, spans=past).run(kernel, blend)
    assert len(kernel.packed) == 2  # no sequence of that pass may go on


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.bfloat16, 0.03)])
def test_other_number_formats_differ_by_rounding_only(dtype: torch.dtype, tolerance: float) -> None:
    for seed in range(10):
        case = Case(seed, dtype)
        out = case.run(FlashCpuKernel())[1]
        assert out.dtype == dtype
        torch.testing.assert_close(out.double(), case.dense(1), atol=tolerance, rtol=0)


@pytest.mark.parametrize("seed", range(10))
def test_new_keys_and_values_are_written_behind_the_past(seed: int) -> None:
    case = Case(seed)
    before = [span.buffer.clone() for span in case.spans]
    case.run(MathKernel())
    for span, old in zip(case.spans, before, strict=True):
        for row in range(span.rows):
            first = span.start + row * span.length
            for i, new in enumerate((case.key, case.value)):
                old[:, i, row, :, span.past : span.past + span.length] = new[0, :, first : first + span.length]
        torch.testing.assert_close(span.buffer, old, atol=0, rtol=0)


def test_a_neutral_blend_changes_nothing() -> None:
    for seed in range(10):
        plain, blended = Case(seed).run(MathKernel()), Case(seed).run(MathKernel(), Blend(1.0, 1.0))
        torch.testing.assert_close(plain[0], blended[0], atol=1e-6, rtol=0)


def test_ranges_in_one_slot_never_overlap() -> None:
    draw = random.Random(1)
    for _ in range(100):
        ranges = [(start, start + draw.randint(1, 5)) for start in (draw.randrange(20) for _ in range(12))]
        slots = place(ranges, 2)
        assert min(slots) == 2
        for i, (low, high) in enumerate(ranges):
            assert all(slots[i] != slots[j] or high <= ranges[j][0] or ranges[j][1] <= low for j in range(i))


def test_a_block_that_neighbours_see_is_read_once() -> None:
    entry = torch.zeros(1)
    shared, own = Block("shared", entry), [Block(f"own {i}", entry) for i in range(3)]
    seen = [(4 * i, 4 * i + 4, block) for i in range(3) for block in (shared, own[i])]
    assert sorted((read.start, read.stop) for read in joined(seen)) == [(0, 4), (0, 12), (4, 8), (8, 12)]
    gap = [(0, 4, shared), (8, 12, shared)]
    assert sorted((read.start, read.stop) for read in joined(gap)) == [(0, 4), (8, 12)]

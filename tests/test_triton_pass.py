"""A pass that reads its blocks with the Triton kernel, against the same pass without it.

The checks with Triton run under its interpreter, in a process of their own, as in test_triton.py.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
import torch
from test_engine import CHUNKS, PREFIX, SIZED, TAILS, build, close
from test_packing import SCALE, Case
from test_triton import bfloat16 as bfloat16
from torch import Tensor

from ctxproc.cli import models
from ctxproc.errors import ModelError
from ctxproc.llm import gate
from ctxproc.llm.batch import Row, open_batch
from ctxproc.llm.engine import Engine
from ctxproc.llm.kernels import FlashCpuKernel, MathKernel
from ctxproc.llm.kv import KVStore
from ctxproc.llm.packing import Blend, Pass

if TYPE_CHECKING:
    from ctxproc.llm.triton_kernel import Reads

HERE = Path(__file__)
ROUNDING = {torch.float16: 4e-3, torch.bfloat16: 3e-2}
BLENDS = [None, Blend(0.7, 0.8), Blend(1.0, 1.0)]


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_in_a_process_of_its_own() -> None:
    env = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "python_functions=interpret_"]
    done = subprocess.run([*command, str(HERE)], env=env, cwd=HERE.parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]


class Ragged:
    """`triton_kernel.plan` where there is no device to fill; counts its calls."""

    def __init__(self, programs: int = 1) -> None:
        self.programs = programs
        self.reads: list[int] = []

    def __call__(self, reads: Sequence[tuple[int, int, Tensor]], tokens: int, heads: int) -> Reads:
        from ctxproc.llm import triton_kernel

        self.reads.append(len(reads))
        return triton_kernel.plan(reads, tokens, heads, self.programs)


@pytest.mark.parametrize("dtype", list(ROUNDING), ids=str)
@pytest.mark.parametrize("blend", BLENDS, ids=str)
@pytest.mark.parametrize("seed", range(14))
def interpret_a_pass_is_the_same(seed: int, blend: Blend | None, dtype: torch.dtype) -> None:
    case, ragged = Case(seed, dtype), Ragged(1 + 99 * (seed % 2))
    with_it = Pass(case.spans, case.reads, FlashCpuKernel(), blend, ragged)
    for layer, plain in enumerate(case.run(FlashCpuKernel(), blend)):
        out = with_it.attend(layer, case.query, case.key, case.value, SCALE)
        assert (out.shape, out.dtype, out.is_contiguous()) == (plain.shape, dtype, True)
        for right in (plain.double(), case.dense(layer, blend)):
            torch.testing.assert_close(out.double(), right, atol=ROUNDING[dtype], rtol=0)
    context = sum(read.context for read in case.reads)
    kinds = [len(case.reads) - context, context] if blend else [len(case.reads)]
    assert ragged.reads == ([count for count in kinds if count] if len(case.reads) > 1 else [])


def interpret_layers_of_both_kinds_do_not_disturb_each_other() -> None:
    case = Case(next(seed for seed in range(99) if len(Case(seed).reads) == 5), torch.float16)
    mixed = Pass(case.spans, case.reads, MathKernel(), None, Ragged())
    for layer in (0, 1, 0, 1):
        for kernel in (None, MathKernel()):
            out = mixed.attend(layer, case.query, case.key, case.value, SCALE, kernel)
            torch.testing.assert_close(out.double(), case.dense(layer), atol=4e-3, rtol=0)


def interpret_the_engine_is_the_same() -> None:
    """Segments behind several cached ones, then rows that see several blocks, some side by side."""
    model = build("llama", SIZED, torch.float16)
    admission = gate.admit(model)
    rows = [Row(((PREFIX, *CHUNKS[: i + 2]),), tail) for i, tail in enumerate(TAILS[:3])]
    rows.append(Row(tuple((PREFIX, chunk) for chunk in CHUNKS), TAILS[0]))
    found = []
    for ragged in (None, Ragged()):
        store = KVStore(None, ram_bytes=1 << 30, disk_bytes=0, report=pytest.fail)
        engine = Engine(model, admission.layout, admission.kernel, store, "00", ragged)
        open_batch(engine, rows[:1], new_tokens=1)  # so that the others' segments come behind cached ones
        batch = open_batch(engine, rows, new_tokens=1)
        first = batch.extend([row.tail for row in rows])
        found.append(torch.cat([first, batch.extend([[5]] * len(rows))]).float())
        if ragged:
            assert max(ragged.reads) > 6
    close(found[1], found[0], 1e-2)


def interpret_a_card_without_a_compiler_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    from ctxproc.llm import triton_kernel

    for error in (subprocess.CalledProcessError(1, "gcc"), FileNotFoundError("libcuda"), ValueError("no address")):
        monkeypatch.setattr(triton_kernel, "plan", Mock(side_effect=error))
        fault = triton_kernel.find_fault(torch.device("cpu"), torch.float16, 64, 2, 2, 0.125)
        assert str(fault).startswith("does not run here (")


def refuse(*_: object) -> Reads:
    raise ModelError("not to be asked")


def test_it_is_not_asked_for_one_block_or_in_place_of_a_given_kernel() -> None:
    case = next(case for case in map(Case, range(99)) if len(case.reads) == 1)
    out = Pass(case.spans, case.reads, MathKernel(), None, refuse).attend(0, case.query, case.key, case.value, SCALE)
    torch.testing.assert_close(out, case.dense(0), atol=1e-6, rtol=0)
    many = next(case for case in map(Case, range(99)) if len(case.reads) > 1)
    plan = Pass(many.spans, many.reads, MathKernel(), None, refuse)
    plain = Pass(many.spans, many.reads, MathKernel(2.0)).attend(1, many.query, many.key, many.value, SCALE)
    capped = plan.attend(1, many.query, many.key, many.value, SCALE, MathKernel(2.0))
    torch.testing.assert_close(capped, plain, atol=0, rtol=0)
    with pytest.raises(ModelError, match="not to be asked"):
        plan.attend(1, many.query, many.key, many.value, SCALE)


def test_it_is_for_cuda_alone() -> None:
    assert gate.choose_ragged(torch.device("cpu"), torch.bfloat16, 64, 8, 2, 0.125) is None
    assert gate.admit(build("llama", SIZED)).ragged is None


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
@pytest.mark.parametrize("fault", [None, "is off by 1"])
def test_it_is_taken_on_cuda_where_it_is_right(fault: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    from ctxproc.llm import triton_kernel

    monkeypatch.setattr(triton_kernel, "find_fault", lambda *_: fault)
    found = gate.choose_ragged(torch.device("cuda"), torch.bfloat16, 64, 8, 2, 0.125)
    assert found is (None if fault else triton_kernel.plan)


def test_it_is_not_taken_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctxproc.llm.triton_kernel", None)
    assert gate.choose_ragged(torch.device("cuda"), torch.bfloat16, 64, 8, 2, 0.125) is None


def test_the_list_of_models_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Triton" not in models.attention()
    monkeypatch.setattr(gate, "choose_ragged", lambda *_: refuse)
    assert models.attention().endswith("; Triton for several cached blocks")

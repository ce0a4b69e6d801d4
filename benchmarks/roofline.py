"""What a machine could do at best: its arithmetic, its memory and its disk, measured, and what the workload needs of them.

F flop/s, B bytes/s of memory, D bytes/s of disk; N parameters without embeddings, W bytes of weights (embeddings once: the
head reads them), T document tokens, Q question tokens, n windows, k bytes of one token's keys and values:

    cold    2 N T / F + 2 L H d T C / F
    ask     max(2 N Q' / F, W / B) + max(4 L H d Q T / F, k T / B)      Q' = Q, or n Q where n windows are asked at once
    decode  (W + k T) / B
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from peers.client import drop_from_page_cache
from peers.workload import Size

BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
READ = 1 << 22


@dataclass(frozen=True)
class Machine:
    """Best seen: floating point operations, bytes of memory and bytes of disk in a second."""

    flops: float
    memory: float
    disk: float

    def best(self, other: Machine) -> Machine:
        """The better of two measurements, each for itself."""
        return Machine(*(max(pair) for pair in zip(asdict(self).values(), asdict(other).values(), strict=True)))


def measure(size: Size, threads: int, folder: Path, seconds: float = 0.5) -> Machine:
    """Products of the model's own shapes, a stream of reads larger than the caches, a file read from a cold disk."""
    import torch

    torch.set_num_threads(threads)
    shape, dtype = size.shape, getattr(torch, size.dtype)
    flops = 0.0
    for tokens in (size.question, size.windows * size.question, 512, 2048):
        left = torch.randn(tokens, shape.hidden).to(dtype)
        for width in (shape.intermediate, shape.hidden):
            right = torch.randn(width, shape.hidden).to(dtype)
            spent = quickest(lambda a=left, b=right: torch.nn.functional.linear(a, b), seconds / 8)
            flops = max(flops, 2 * tokens * shape.hidden * width / spent)
    data = torch.ones(min(1 << 28, 64 * shape.parameters), dtype=torch.float32)
    memory = data.nbytes / quickest(data.sum, seconds)
    return Machine(flops, memory, disk_speed(folder))


def quickest(call: Callable[[], Any], seconds: float) -> float:
    """Seconds of the quickest call, of three at least."""
    best, calls, end = float("inf"), 0, time.perf_counter() + seconds
    while calls < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        call()
        best, calls = min(best, time.perf_counter() - began), calls + 1
    return best


def disk_speed(folder: Path, size: int = 1 << 27) -> float:
    """Bytes a second of a file that is not in the page cache, read from its beginning to its end; two tries."""
    file, best = folder / "disk.bin", 0.0
    with file.open("wb") as out:
        for _ in range(size // READ):
            out.write(os.urandom(READ))
    for _ in range(2):
        drop_from_page_cache([str(file)])
        began = time.perf_counter()
        with file.open("rb", buffering=0) as data:
            while data.read(READ):
                pass
        best = max(best, size / (time.perf_counter() - began))
    file.unlink()
    return best


def cold(size: Size, machine: Machine) -> float:
    """Seconds in which the document could be read, each window by itself."""
    shape, tokens = size.shape, size.tokens
    attention = 2 * shape.layers * shape.hidden * tokens * size.window
    return (2 * shape.inner * tokens + attention) / machine.flops


def ask(size: Size, machine: Machine, rows: int = 1, windows: int | None = None) -> float:
    """Seconds in which a question over ``windows`` windows could be answered; ``rows`` times, one window each."""
    shape, bytes_ = size.shape, BYTES[size.dtype]
    tokens = size.prefix + (size.windows if windows is None else windows) * size.window
    attention = 4 * shape.layers * shape.hidden * size.question * tokens
    dense = max(2 * shape.inner * rows * size.question / machine.flops, shape.parameters * bytes_ / machine.memory)
    return dense + max(attention / machine.flops, shape.kv_numbers * bytes_ * tokens / machine.memory)


def decode(size: Size, machine: Machine) -> float:
    """Seconds in which one more token could be given over the whole document."""
    return (size.shape.parameters + size.shape.kv_numbers * size.tokens) * BYTES[size.dtype] / machine.memory

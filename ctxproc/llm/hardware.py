"""Which device, number format and threads a model runs in: measured or as set, never a silent substitute."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from ctxproc.errors import ConfigError
from ctxproc.llm.threads import choose_threads

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
WORTHWHILE = 1.2  # bfloat16 must be this much faster than float32 on a CPU to be chosen


class Speedup(NamedTuple):
    """How many times faster than float32 a CPU is in bfloat16: on many tokens at once, and on one."""

    reading: float
    writing: float

    @property
    def overall(self) -> float:
        """The geometric mean: twice as fast in one and half as fast in the other is no gain."""
        return math.sqrt(self.reading * self.writing)


def choose_device(setting: str = "auto") -> torch.device:
    """The device for ``setting``: "auto" (CUDA, else MPS, else CPU), or a name of torch's such as "cuda:1".

    Raises:
        ConfigError: no such device here.
    """
    import torch

    if setting == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    counts = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    kind, _, index = setting.partition(":")
    known = kind in counts and (index.isdecimal() or setting == kind)
    if not known or int(index or 0) >= counts[kind]:
        here = ", ".join(name for name, count in counts.items() if count)
        raise ConfigError(f"device {setting!r} cannot be had on this machine: use auto or one of {here}")
    return torch.device(setting)


def check_dtype(setting: str) -> None:
    """Refuses an unknown name; needs no torch.

    Raises:
        ConfigError: ``setting`` is neither "auto" nor one of `DTYPES`.
    """
    if setting not in ("auto", *DTYPES):
        raise ConfigError(f"dtype {setting!r} is unknown: use auto or one of {', '.join(DTYPES)}")


def choose_dtype(setting: str, device: torch.device, quantise: str = "none") -> torch.dtype:
    """The number format for ``setting``: "auto", "float32", "bfloat16" or "float16".

    "auto" takes bfloat16 where the device is made for it (on a CPU: where short products of matrices are faster),
    float16 on older CUDA devices, else float32. With ``quantise`` "int4" on a CPU it takes bfloat16, the format that the
    product with packed weights is fast in.

    Raises:
        ConfigError: an unknown name.
    """
    import torch

    check_dtype(setting)
    if setting != "auto":
        dtype: torch.dtype = getattr(torch, setting)
        return dtype
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    if quantise == "int4":
        return torch.bfloat16
    return torch.bfloat16 if bfloat16_speedup() >= WORTHWHILE else torch.float32


def bfloat16_speedup() -> float:
    """How many times faster this CPU is in bfloat16 than in float32, reading and writing together."""
    return measured_speedup().overall


@cache
def measured_speedup() -> Speedup:
    """Times products with 16 MB of float32 weights, for 64 tokens and for one; once in a process, in about 0.1 s.

    On one thread: others would wait for each other on a busy machine, and that would be measured instead.
    """
    import torch

    def seconds(dtype: torch.dtype, tokens: int) -> float:
        inputs = torch.ones(tokens, 1024, dtype=dtype)
        weights = [torch.ones(1024, 1024, dtype=dtype) for _ in range(4)]  # more than a core's own cache
        times = []
        for _ in range(4):
            begin = time.perf_counter()
            for weight in weights:
                torch.nn.functional.linear(inputs, weight)
            times.append(time.perf_counter() - begin)
        return min(times)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            reading, writing = (seconds(torch.float32, n) / seconds(torch.bfloat16, n) for n in (64, 1))
    finally:
        torch.set_num_threads(threads)
    return Speedup(reading, writing)


def use_threads(setting: int | None) -> None:
    """Sets torch's threads for the whole process: as set, else what `choose_threads` finds."""
    import torch

    torch.set_num_threads(setting or choose_threads().number)


def describe() -> str:
    """What "auto" chooses on this machine, and why, in one line."""
    import torch

    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    if device.type == "cpu":
        found = measured_speedup()
        dtype += (
            f" (measured: bfloat16 reads {found.reading:.1f} and writes {found.writing:.1f} times as fast as float32)"
        )
    threads = choose_threads()
    return f"{name}, {dtype}, {threads.number} threads ({threads.reason}), torch {torch.__version__}"

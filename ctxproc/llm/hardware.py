"""Which device and which number format a model runs in: measured or as set, never a silent substitute."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from ctxproc.errors import ConfigError

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "bfloat16", "float16")
WORTHWHILE = 1.2  # bfloat16 must be this much faster than float32 on a CPU to be chosen


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


def choose_dtype(setting: str, device: torch.device) -> torch.dtype:
    """The number format for ``setting``: "auto", "float32", "bfloat16" or "float16".

    "auto" takes bfloat16 where the device is made for it (on a CPU: where a short product of matrices is faster),
    float16 on older CUDA devices, else float32.

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
    return torch.bfloat16 if bfloat16_speedup() >= WORTHWHILE else torch.float32


@cache
def bfloat16_speedup() -> float:
    """How many times faster this CPU multiplies in bfloat16 than in float32; measured once, in about 50 ms."""
    import torch

    def seconds(dtype: torch.dtype) -> float:
        left, right = torch.ones(128, 1024, dtype=dtype), torch.ones(1024, 1024, dtype=dtype)
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            left @ right
            times.append(time.perf_counter() - begin)
        return min(times)

    with torch.inference_mode():
        return seconds(torch.float32) / seconds(torch.bfloat16)


def describe() -> str:
    """What "auto" chooses on this machine, in one line."""
    import torch

    device = choose_device()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    dtype = str(choose_dtype("auto", device)).removeprefix("torch.")
    parts = [name, dtype, f"{torch.get_num_threads()} threads", f"torch {torch.__version__}"]
    if device.type == "cpu":
        parts[1] += f" (measured: {bfloat16_speedup():.1f} times float32's speed in bfloat16)"
    return ", ".join(parts)

"""Arrays in one file, to be mapped: a line of JSON that says what lies where, then raw numbers. No code, no pickle.

The file holds: eight bytes that name the format, the length of the JSON as a little-endian uint64, the JSON, and each
array at a multiple of 64 bytes.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAGIC = b"ctxarr01"
TYPES = {"<i8", "<i4", "<f8", "<f4", "|b1", "|u1"}
BLOCK = 1 << 26
_JSON_AT = len(MAGIC) + 8


def write(path: Path, about: Mapping[str, str | int | float], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays of the types `TYPES`, and what is to be known about them. Not synced, not renamed."""
    entries, at = [], 0
    for name, array in arrays.items():
        if array.dtype.str not in TYPES:
            raise ValueError(f"arrays of the type {array.dtype} are not written")
        entries.append([name, array.dtype.str, list(array.shape), at])
        at += _round(array.nbytes)
    head = json.dumps({"about": dict(about), "arrays": entries}).encode()
    with path.open("wb") as file:
        file.write(MAGIC + len(head).to_bytes(8, "little") + head)
        file.write(bytes(_round(file.tell()) - file.tell()))
        for array in arrays.values():
            raw = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
            for start in range(0, len(raw), BLOCK):
                file.write(raw[start : start + BLOCK].data)
            file.write(bytes(_round(len(raw)) - len(raw)))


def read(path: Path) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What `write` was given; the arrays are mapped, read-only.

    Raises:
        ValueError: the file is not what `write` writes.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    if mapped[: len(MAGIC)] != MAGIC:
        raise ValueError("not a file of arrays")
    length = int.from_bytes(mapped[len(MAGIC) : _JSON_AT], "little")
    if length > len(mapped):
        raise ValueError("cut off")
    try:
        head = json.loads(mapped[_JSON_AT : _JSON_AT + length])
        first = _round(_JSON_AT + length)
        arrays = {str(name): _array(mapped, kind, shape, first + at) for name, kind, shape, at in head["arrays"]}
        return dict(head["about"]), arrays
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("not a header of arrays") from error


def _array(mapped: mmap.mmap, kind: object, shape: list[int], at: int) -> NDArray[Any]:
    """One array of the file."""
    if kind not in TYPES or not all(isinstance(n, int) and n >= 0 for n in [*shape, at]):
        raise ValueError("no such array")
    return np.frombuffer(mapped, np.dtype(str(kind)), math.prod(shape), at).reshape(shape)


def _round(size: int) -> int:
    """The next multiple of 64."""
    return -(-size // 64) * 64

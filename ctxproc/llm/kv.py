"""The store of keys and values: what a model computed of a segment is kept on the device, in memory and on disk.

An entry is one segment's keys and values of all layers, a contiguous tensor ``[layers, 2 (K, V), kv_heads, tokens,
head_dim]`` in the model's number format, keys after RoPE; it is the same in every tier. Keys: kv_key.py. Files: kv_disk.py.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.llm.kv_disk import DamagedEntryError, DiskTier

if TYPE_CHECKING:
    import torch

READERS = 4  # threads that read and check files


@dataclass
class KVStats:
    """What happened to the entries that were asked for, one in a call counted once; the first four add up to all.

    Attributes:
        device: found on the device.
        memory: found in main memory.
        disk: found on disk, and checked.
        misses: not found; damaged ones too.
        damaged: found on disk and not used.
    """

    device: int = 0
    memory: int = 0
    disk: int = 0
    misses: int = 0
    damaged: int = 0


class KVStore:
    """Entries by key, in tiers of which each keeps the most recently used ones within its budget of bytes.

    What is found in a lower tier goes into the upper ones; an entry that is larger than a tier's budget just does not
    enter it. Tensors handed out stay valid after their eviction; nobody may write to them. One thread at a time; any
    number of processes may share a folder.

    Args:
        folder: of the disk tier; None for none.
        ram_bytes: budget of main memory; what is mapped from disk counts too.
        disk_bytes: budget of the folder, for all processes together; 0 for no disk tier.
        device: where entries are handed out.
        device_bytes: budget of the device; on a CPU there is no such tier.
        report: told in one line of each damaged entry, and once of a folder that cannot be written.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        ram_bytes: int,
        disk_bytes: int,
        device: str | torch.device = "cpu",
        device_bytes: int = 0,
        report: Callable[[str], None],
    ) -> None:
        self.stats = KVStats()
        self._device = device
        self._memory = Tier(ram_bytes)
        self._upper = Tier(device_bytes) if str(device).partition(":")[0] != "cpu" else None
        self._disk = DiskTier(folder, disk_bytes, report) if folder and disk_bytes else None
        self._report = report

    def get(self, key: str, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor | None:
        """The entry, on the device; None where there is none that is right."""
        return self.get_many([key], [shape], dtype)[0]

    def get_many(
        self, keys: Sequence[str], shapes: Sequence[Sequence[int]], dtype: torch.dtype
    ) -> list[torch.Tensor | None]:
        """`get` of each key with its shape, in order; files are read and checked in several threads."""
        wanted = {key: tuple(shape) for key, shape in zip(keys, shapes, strict=True)}
        held = {key: self._held(key, shape, dtype) for key, shape in wanted.items()}
        absent = {key: wanted[key] for key, entry in held.items() if entry is None}
        if self._disk and absent:
            held.update(self._from_disk(self._disk, absent, dtype))
        self.stats.misses += sum(held[key] is None for key in absent)
        if self._disk:
            for key, entry in held.items():
                if entry is not None:
                    self._disk.touch(key)
        return [held[key] for key in keys]

    def put(self, key: str, entry: torch.Tensor) -> None:
        """Keep an entry, in place of one of the same key; it is on disk when this returns.

        The tensor itself is kept where it owns its memory and is contiguous, so nobody may write to it any more; a view
        into a larger one is copied.
        """
        entry = entry.detach().contiguous()
        if entry.untyped_storage().nbytes() > entry.nbytes:
            entry = entry.clone()
        host = entry.cpu()
        self._memory.put(key, host)
        if self._upper is not None:
            self._upper.put(key, entry.to(self._device))
        if self._disk:
            self._disk.write(key, host)

    def _held(self, key: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
        """The entry from the device or main memory; a hit makes it the latest in both."""
        below = _fitting(self._memory.get(key), shape, dtype)
        above = _fitting(self._upper.get(key), shape, dtype) if self._upper is not None else None
        if above is not None:
            self.stats.device += 1
        elif below is not None:
            self.stats.memory += 1
            above = self._handed_out(key, below)
        return above

    def _from_disk(
        self, disk: DiskTier, wanted: dict[str, tuple[int, ...]], dtype: torch.dtype
    ) -> dict[str, torch.Tensor]:
        """The entries that the disk has, now in the tiers above; damaged ones are removed and reported."""
        found = {}
        with ThreadPoolExecutor(min(READERS, len(wanted), os.cpu_count() or 1)) as pool:
            reading = {key: pool.submit(disk.read, key, shape, dtype) for key, shape in wanted.items()}
            for key, future in reading.items():
                entry = self._checked(disk, key, future)
                if entry is not None:
                    self.stats.disk += 1
                    self._memory.put(key, entry)
                    found[key] = self._handed_out(key, entry)
        return found

    def _checked(self, disk: DiskTier, key: str, future: Future[torch.Tensor]) -> torch.Tensor | None:
        """What reading an entry gave, where it is right."""
        try:
            return future.result()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except DamagedEntryError as error:
            self.stats.damaged += 1
            disk.remove(key)
            self._report(f"damaged cache: {error}; removed, its keys and values are computed again")
        except OSError as error:
            self._report(f"cache: {disk.path(key)} cannot be read ({error}); it is computed again")
        return None

    def _handed_out(self, key: str, entry: torch.Tensor) -> torch.Tensor:
        """An entry of main memory on the device, and kept there."""
        if self._upper is None:
            return entry
        raised = entry.to(self._device)
        self._upper.put(key, raised)
        return raised


class Tier:
    """Tensors in one memory, the least recently used ones dropped first.

    Args:
        budget: bytes.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.bytes = 0
        self._entries: OrderedDict[str, torch.Tensor] = OrderedDict()

    def get(self, key: str) -> torch.Tensor | None:
        """The tensor, now the latest."""
        if key not in self._entries:
            return None
        self._entries.move_to_end(key)
        return self._entries[key]

    def put(self, key: str, entry: torch.Tensor) -> None:
        """Keep a tensor as the latest, unless it alone exceeds the budget."""
        if key in self._entries:
            self.bytes -= self._entries.pop(key).nbytes
        if entry.nbytes > self.budget:
            return
        self._entries[key] = entry
        self.bytes += entry.nbytes
        while self.bytes > self.budget:
            self.bytes -= self._entries.popitem(last=False)[1].nbytes


def _fitting(entry: torch.Tensor | None, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """The entry if it has this shape and number format."""
    return entry if entry is not None and entry.shape == shape and entry.dtype == dtype else None

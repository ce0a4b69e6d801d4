"""The most memory that a piece of work takes, as far as the system tells."""

from __future__ import annotations

import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Peak:
    """Measures from the moment it is made: the most memory of this process, what it had before included.

    Linux alone can begin anew; elsewhere the figure is None, since it would be that of the process's whole life.
    """

    def __init__(self) -> None:
        self._fresh = False
        try:
            CLEAR.write_text("5")
            self._fresh = True
        except OSError:
            pass
        if _cuda():
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def memory(self) -> float | None:
        """Bytes in main memory; None where that is not known."""
        if not self._fresh:
            return None
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * int(line.split()[1])
        return None

    @property
    def gpu_memory(self) -> float | None:
        """Bytes in the memory of the current CUDA device; None where none is in use."""
        if not _cuda():
            return None
        import torch

        return float(torch.cuda.max_memory_allocated())


def _cuda() -> bool:
    """Whether torch is loaded and has used CUDA."""
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.cuda.is_initialized())

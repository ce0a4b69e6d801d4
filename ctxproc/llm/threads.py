"""How many threads torch gets: one for each core that this process may really use.

torch takes a thread for each processor that it sees. Two that share a core run such work no faster than one, and threads
above a container's quota of processor time are stopped in the middle of a product while the others wait for them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple


class Threads(NamedTuple):
    """A number of threads, and what it was derived from."""

    number: int
    reason: str


def choose_threads(
    root: Path = Path("/"), allowed: Collection[int] | None = None, environment: Mapping[str, str] = os.environ
) -> Threads:
    """The cores that this process may use: ``OMP_NUM_THREADS`` where it is set, else the least of what is found.

    Args:
        root: of the file system that tells of cores (``/sys``) and of the quota of a container (cgroups 1 and 2).
        allowed: numbers of the processors that the process may run on; None asks the system.
        environment: the variables of the process.
    """
    asked = environment.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked):
        return Threads(int(asked), "OMP_NUM_THREADS")
    processors = _allowed() if allowed is None else set(allowed)
    cores = physical_cores(root, processors)
    quota = processor_quota(root)
    if quota < cores:
        return Threads(max(1, math.floor(quota)), f"quota of {quota:g} processors")
    count = len(processors)
    return Threads(cores, f"{cores} cores" if cores == count else f"{cores} cores of {count} processors")


def _allowed() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return set(os.sched_getaffinity(0))
    return set(range(os.cpu_count() or 1))


def physical_cores(root: Path, processors: Collection[int]) -> int:
    """How many cores these processors are of; each counts as one where the system does not tell."""
    topology = "sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    return len({_text(root / topology.format(number)) or str(number) for number in processors}) or 1


def processor_quota(root: Path) -> float:
    """Processors' worth of time that the process and the groups above it may use; infinity without a limit."""
    limits = [math.inf]
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2) if line.count(":") >= 2 else ("", "", "/")
        if not controllers:
            limits += [_ratio(*_text(place / "cpu.max").split()) for place in _upwards(root / "sys/fs/cgroup", group)]
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                for place in _upwards(root / "sys/fs/cgroup" / mount, group):
                    limits.append(_ratio(_text(place / "cpu.cfs_quota_us"), _text(place / "cpu.cfs_period_us")))
    return min(limits)


def _upwards(mount: Path, group: str) -> Iterator[Path]:
    """The folder of a group and of all above it; in a container the group's own may be the mount itself."""
    parts = [part for part in PurePosixPath(group).parts if part not in ("/", "..")]
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def _ratio(quota: str = "", period: str = "") -> float:
    """Quota by period; infinity for "max", -1 or nothing."""
    if not (quota.isdecimal() and period.isdecimal() and int(quota) and int(period)):
        return math.inf
    return int(quota) / int(period)


def _text(path: Path) -> str:
    """What stands in a small file of the system; "" where it cannot be read."""
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""

"""Figures in one form, whatever measured them: a JSON object a line.

    {"benchmark": "open_book", "figure": "f1", "value": 39.5, "low": 34.4, "high": 45.0, "n": 300, "unit": "%",
     "commit": "3c1378a", "hardware": "AMD EPYC 9B14, 2 cores", "versions": {"python": "3.11.7", ...}, "seed": 0,
     "date": "2026-11-21", "command": "python -m benchmarks open_book"}

``low`` and ``high`` are the ends of a 95 % interval, ``n`` how many cases a value is the mean of, ``commit`` that of the
code (with + where files had been changed since); each is null where it is not known. A script calls `record` with the
object that it prints; lines are written only where ``python -m benchmarks --results FILE`` asked for them.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILE = "CTXPROC_BENCHMARK_RESULTS"
"""Environment variable with the file that lines go to."""

PACKAGES = ("ctxproc", "torch", "transformers", "numpy", "faiss-cpu", "faiss-gpu")
UNITS = {"seconds": "s", "milliseconds": "ms", "ms": "ms", "mb": "MB", "bytes": "bytes", "tokens": "tokens"}
"""Units by the last word of a figure's name; figures of any other name have the unit that is given."""

MIDDLES = ("mean", "all")
"""What a value is called beside the ends of its interval."""

ABOUT = ("cpu", "cores", "gpu", "torch", "python", "date")
"""What `common.machine` adds to the printed object: no figures."""


@dataclass(frozen=True)
class Figure:
    """One number; ``name`` says what it is, its parts joined by dots."""

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str = ""


def record(benchmark: str, result: Mapping[str, Any], n: int | None = None, seed: int | None = None) -> None:
    """Append the figures of a printed object to the file that was asked for; does nothing where none was.

    Args:
        benchmark: the script's name.
        result: what it printed; see `figures`.
        n: cases, for figures that do not say so themselves.
        seed: of what was drawn; None where nothing was.
    """
    if not (file := os.environ.get(FILE)):
        return
    about = {
        "commit": commit(),
        "hardware": hardware(result),
        "versions": versions(),
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "command": shlex.join(["python", "-m", "benchmarks", benchmark, *sys.argv[1:]]),
    }
    lines = ({"benchmark": benchmark, **line(figure, n), **about} for figure in figures(result))
    with Path(file).open("a", encoding="utf-8") as out:
        out.write("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines))


def line(figure: Figure, n: int | None) -> dict[str, Any]:
    """A figure's own part of a line."""
    values = asdict(figure)
    return {"figure": values.pop("name"), **values, "n": n if figure.n is None else figure.n}


def figures(result: Mapping[str, Any], at: str = "") -> Iterator[Figure]:
    """Every number of an object, named by its keys.

    ``{"mean": ..., "low": ..., "high": ...}``, as `common.percent` gives it, is one figure in percent. Texts, lists and
    truth values are no figures, nor is what is said of the machine.
    """
    for key, value in result.items():
        name = f"{at}{key}"
        middle = next((value[word] for word in MIDDLES if word in value), None) if isinstance(value, Mapping) else None
        if middle is not None and {"low", "high"} <= value.keys():
            yield Figure(name, middle, value["low"], value["high"], value.get("n"), value.get("unit", "%"))
        elif isinstance(value, Mapping):
            yield from figures(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool) and (at or key not in ABOUT):
            yield Figure(name, value, unit=unit_of(name))


def unit_of(name: str) -> str:
    """The unit that the last word of a name tells, "" for a count or a share."""
    words = name.lower().replace("_", " ").replace(".", " ").replace(",", " ").split()
    return next((UNITS[word] for word in reversed(words) if word in UNITS), "")


def commit() -> str | None:
    """The commit of the code, with + where tracked files differ from it; None outside of a repository."""
    try:
        head = git("rev-parse", "--short", "HEAD")
        return head + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def git(*arguments: str) -> str:
    """What git says of this repository."""
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def hardware(result: Mapping[str, Any]) -> str:
    """The processor, its cores and the GPU, as the printed object has them."""
    gpu = f", {result['gpu']}" if result.get("gpu") else ""
    return f"{result.get('cpu') or platform.machine()}, {result.get('cores') or os.cpu_count()} cores{gpu}"


def versions() -> dict[str, str]:
    """Of Python and the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found

"""Reading and splitting long texts: ten million bytes of English, and two whole Chinese novels.

    python benchmarks/split.py --data ../shared/data

Prints one JSON object: per text its bytes, characters and chunks, the seconds to read and to split it (smallest and
median of the runs), with the built-in reader's tokenizer and the default chunk size; and the peak memory of the process.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click
from common import open_questions, publish

from ctxproc import BuiltinReader, Settings
from ctxproc.chunk import split
from ctxproc.document import load


def measure(path: Path, runs: int) -> dict[str, Any]:
    """Figures of one file."""
    tokenizer, budget = BuiltinReader().tokenizer, Settings().chunk.tokens
    reading, splitting, chunks = [], [], 0
    for _ in range(runs):
        began = time.perf_counter()
        [document] = load([path])
        read = time.perf_counter()
        chunks = len(split(document, tokenizer, budget))
        reading.append(read - began)
        splitting.append(time.perf_counter() - read)
    return {
        "bytes": path.stat().st_size,
        "characters": len(document.text),
        "chunks": chunks,
        "read_seconds": {"min": round(min(reading), 2), "median": round(median(reading), 2)},
        "split_seconds": {"min": round(min(splitting), 2), "median": round(median(splitting), 2)},
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--runs", default=3, show_default=True)
def main(data: Path, runs: int) -> None:
    """Measure and print."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        large = Path(folder, "ten_million_bytes.txt")
        book = "\n\n".join(item.passage for item in open_questions(data)).encode()
        large.write_bytes(b"\n\n".join([book] * (10_000_000 // len(book) + 1)))
        novels = sorted((data / "eval" / "classics_zh").glob("[!S]*.txt"))  # not SOURCE.txt
        for path in (large, *novels):
            figures[path.name] = measure(path, runs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    publish("split", {"texts": figures, "peak_memory_mb": peak})


if __name__ == "__main__":
    main()

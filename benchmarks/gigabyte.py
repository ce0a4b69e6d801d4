"""A gigabyte of text into a memory: seconds, highest memory, and a search in it by words.

    python benchmarks/gigabyte.py --megabytes 1000
    python benchmarks/gigabyte.py --megabytes 50 --one

The text is that of English novels, again and again, a number before every 5,000 characters, so that no two are alike; as
files of a megabyte, or as one file. One sentence is put into the last of it, which a search must find. Nothing is embedded.
Memory is the process's highest resident memory beyond what it had before; "longest_silence" is the longest time between two
reports of progress. The default limits refuse a source above ``limits.source_bytes`` and more than ``limits.chunks``
chunks; here both are as high as they need be.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import click
from common import publish
from needle_facts import novels
from peers.protocol import Clock, forget_peak, memory

from ctxproc.config import resolve
from ctxproc.llm.load import load_llm
from ctxproc.memory.intake import add
from ctxproc.memory.memory import Memory
from ctxproc.trace import Event, Progress

MB, PIECE = 1_000_000, 5_000
FACT = "The lamp at Skerry Point is kept by Maren Oduya, who rows there each evening."
QUESTION = "Who keeps the lamp at Skerry Point?"


def write_files(data: Path, megabytes: int, one: bool, folder: Path) -> None:
    """Write about so many megabytes, as files of one each or as one file, `FACT` last."""
    folder.mkdir()
    books, left = list(novels(data)), megabytes * MB
    file = (folder / "00000.txt").open("wb")
    for repeat in count():
        for book in books:
            for at in range(0, len(book), PIECE):
                raw = f"({repeat}.{at}) {book[at : at + PIECE]}\n\n".encode()
                left -= file.write(raw)
                if left <= 0:
                    file.write(FACT.encode())
                    file.close()
                    return
                if not one and file.tell() >= MB:
                    file.close()
                    file = (folder / f"{megabytes - left // MB:05}.txt").open("wb")


class Silence:
    """Listens to progress: how often it was told, and the longest time in between, in seconds."""

    def __init__(self) -> None:
        self.told, self.longest, self.last = 0, 0.0, time.perf_counter()

    def __call__(self, event: Event) -> None:
        """An event of the run."""
        if isinstance(event, Progress):
            now = time.perf_counter()
            self.told, self.longest, self.last = self.told + 1, max(self.longest, now - self.last), now


def timed(figures: dict[str, Any], name: str) -> Clock:
    """A clock for a step, of which the highest memory counts from now."""
    forget_peak()
    figures[name] = {"before": memory()["rss"]}
    return Clock()


def ended(figures: dict[str, Any], name: str, clock: Clock) -> None:
    """Put down what a step has cost, in seconds and megabytes."""
    used = memory()
    grown = {"peak_mb": (used["peak"] - figures[name].pop("before")) // MB, "resident_mb": used["rss"] // MB}
    figures[name] |= {key: round(value, 2) for key, value in clock.seconds().items()} | grown


def measure(folder: Path, store: Path) -> dict[str, Any]:
    """Add a folder, and search it."""
    settings, _ = resolve(
        sets=[
            "retrieval.search=[bm25]",
            f"limits.chunks={10 * MB}",
            f"limits.source_bytes={2 << 30}",
            "limits.files=100000",
        ]
    )
    tokenizer, silence, figures = load_llm(settings).tokenizer, Silence(), dict[str, Any]()
    tokenizer.count("read the tokenizer's file now")
    with Memory(store, "ann", settings=settings, listeners=[silence]) as kept:
        clock = timed(figures, "add")
        silence.last = time.perf_counter()
        counts = add(kept.library, [folder], tokenizer)
        ended(figures, "add", clock)
        figures["progress"] = {"told": silence.told, "longest_silence": round(silence.longest, 2)}
        for name in ("first search", "second search"):
            clock = timed(figures, name)
            found = kept.library.search(QUESTION, 5)
            ended(figures, name, clock)
        state = kept.store.state(kept.owner, "library")
    size = sum(file.stat().st_size for file in folder.iterdir())
    return {
        "megabytes": size / MB,
        "documents": asdict(counts),
        "chunks": state.count,
        "store_mb": store.stat().st_size / MB,
        **figures,
        "megabytes_per_second": round(size / MB / figures["add"]["seconds"], 2),
        "found": bool(found) and FACT in found[0].text,
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--megabytes", default=1000, show_default=True)
@click.option("--one", is_flag=True, help="As one file.")
def main(data: Path, megabytes: int, one: bool) -> None:
    """Measure and print one JSON object."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, "books")
        apart = multiprocessing.get_context("spawn").Process(target=write_files, args=(data, megabytes, one, folder))
        apart.start()
        apart.join()  # the novels were in its memory, not in ours
        found = measure(folder, Path(scratch, "store.ctxproc"))
    publish("gigabyte", {"one file": one, **found})


if __name__ == "__main__":
    main()

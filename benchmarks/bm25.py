"""BM25 over many chunks: building, asking, adding, opening; beside rank-bm25, or at a size that it cannot take.

    python benchmarks/bm25.py --chunks 20000
    python benchmarks/bm25.py --chunks 1000000 --alone

Chunks are 60 words of English novels; a million are more than the novels hold, so they are cut again, a few words further
on. Questions are real users' (lost_in_middle). One thread. Ours ranks the best 100; of rank-bm25 the scores alone are
timed, from the same words, the two taking turns at each question. CPU seconds are told beside those of the clock: on a
machine that does other work they are the steadier ones. Memory is that of the process beyond what it had before.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from common import open_questions, publish
from needle_facts import novels
from peers.protocol import forget_peak, memory
from rank_bm25 import BM25Okapi

from ctxproc.memory.lexical import USUAL, LexicalIndex
from ctxproc.text import words

T = TypeVar("T")
WORDS, SHIFT, BATCH, K = 60, 17, 20_000, 100


class Clock:
    """Wall and CPU seconds of calls."""

    def __init__(self) -> None:
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def __call__(self, call: Callable[..., T], *given: object) -> T:
        """What the call gives."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = call(*given)
        self.cpu.append(time.process_time() - cpu)
        self.wall.append(time.perf_counter() - wall)
        return result

    def seconds(self) -> dict[str, float]:
        """Of all calls together."""
        return {"wall": round(sum(self.wall), 4), "cpu": round(sum(self.cpu), 4)}

    def milliseconds(self) -> dict[str, float]:
        """Median and 99th percentile of a call."""
        return {
            f"{name} p{share}": round(1000 * float(np.percentile(values, share)), 3)
            for name, values in (("wall", self.wall), ("cpu", self.cpu))
            for share in (50, 99)
        }


def cut(data: Path, chunks: int, path: Path) -> None:
    """Write that many chunks of 60 words, a line each."""
    books, first, left = list(novels(data)), 0, chunks
    with path.open("w", encoding="utf-8") as file:
        while left:
            for book in books:
                found = book.split()
                starts = range(first, len(found) - WORDS, WORDS)[:left]
                file.writelines(f"{' '.join(found[i : i + WORDS])}\n" for i in starts)
                left -= len(starts)
            first += SHIFT


def built(path: Path) -> tuple[LexicalIndex, dict[str, Any]]:
    """The index of a file's lines, added in batches; only the adding is timed."""
    index, clock, chunks = LexicalIndex(), Clock(), 0
    forget_peak()
    before = memory()["rss"]
    with path.open(encoding="utf-8") as file:
        while batch := list(islice(file, BATCH)):
            clock(index.add, range(chunks, chunks + len(batch)), batch)
            chunks += len(batch)
    used = memory()
    return index, {
        "chunks": chunks,
        "build_seconds": clock.seconds(),
        "build_peak_mb": (used["peak"] - before) // 1_000_000,
        "built_mb": (used["rss"] - before) // 1_000_000,
    }


def asked(index: LexicalIndex, questions: list[str]) -> dict[str, Any]:
    """Milliseconds of a question: over all, over one chunk in a hundred, and after a chunk was added."""
    everywhere, scoped, adding, last = Clock(), Clock(), Clock(), int(index.ids[-1])
    some = index.ids[::100]
    for number, question in enumerate(questions, 1):
        everywhere(index.search, question, K)
        scoped(index.search, question, K, USUAL, some)
        adding(index.add, [last + number], [question])
    return {
        "question_ms": everywhere.milliseconds(),
        "question_ms_among_1_percent": scoped.milliseconds(),
        "add_one_ms": adding.milliseconds(),
    }


def filed(index: LexicalIndex, path: Path) -> tuple[LexicalIndex, dict[str, Any]]:
    """Written and read again."""
    writing, opening = Clock(), Clock()
    writing(index.write, path)
    again = opening(LexicalIndex.read, path)
    size = path.stat().st_size // 1_000_000
    return again, {"file_mb": size, "write_seconds": writing.seconds(), "open_seconds": opening.seconds()}


def compared(index: LexicalIndex, texts: list[str], questions: list[str]) -> dict[str, Any]:
    """Against rank-bm25 over the same words."""
    building, ours, theirs, apart = Clock(), Clock(), Clock(), 0.0
    okapi = building(lambda: BM25Okapi([words(text) for text in texts]))
    for question in questions:
        ours(index.search, question, K)
        scores = theirs(lambda asked: okapi.get_scores(words(asked, query=True)), question)
        apart = max(apart, float(np.abs(index.scores(question) - scores).max()))
    return {
        "rank_bm25_build_seconds": building.seconds(),
        "rank_bm25_question_ms": theirs.milliseconds(),
        "ours_beside_it_ms": ours.milliseconds(),
        "times_faster": {
            name: round(float(np.median(getattr(theirs, name)) / np.median(getattr(ours, name))), 1)
            for name in ("wall", "cpu")
        },
        "largest_difference": apart,
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--chunks", default=20_000, show_default=True)
@click.option("--questions", default=300, show_default=True)
@click.option("--alone", is_flag=True, help="Without rank-bm25.")
def main(data: Path, chunks: int, questions: int, alone: bool) -> None:
    """Measure and print one JSON object."""
    asking = [item.question for item in open_questions(data)[:questions]]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "chunks")
        apart = multiprocessing.get_context("spawn").Process(target=cut, args=(data, chunks, path))
        apart.start()
        apart.join()  # the novels were in its memory, not in ours
        index, figures = built(path)
        index, more = filed(index, Path(folder, "words"))
        figures |= more
        if not alone:
            figures |= compared(index, path.read_text(encoding="utf-8").splitlines(), asking)
        figures |= asked(index, asking)
    publish("bm25", {"chunks": chunks, **figures}, n=len(asking))


if __name__ == "__main__":
    main()

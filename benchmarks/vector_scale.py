"""Adding and searching vectors: ctxproc's store and index beside raw faiss, Chroma, LanceDB, Qdrant's local mode and mem0.

    python -m venv VENV && VENV/bin/pip install chromadb==1.5.9 lancedb==0.40.0 qdrant-client==1.20.0 mem0ai==2.2.1 faiss-cpu
    python benchmarks/vector_scale.py --rows 10000 --rows 100000 --python VENV/bin/python --out FILE

Unit vectors of 384 dimensions around random centres, seeded; cosine; ten nearest. Every program runs in a process of its
own, and all take turns: a batch of 1,000 rows each, then one row at a time, then rounds of single queries, alone and
beside a thread that adds. A program that would need longer than ``--limit`` seconds to add its rows is left out from
there on. "Open" is a new process that opens what is on disk and answers one query; the files are in the page cache,
imports are not counted. Recall is against brute force in numpy. "faiss alike" is raw faiss with the kind of index that
ctxproc chose, its parameters and its depth of search.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
import results
from common import machine
from numpy.typing import NDArray
from peers.client import Worker, WorkerError
from peers.protocol import Setup

DIMENSIONS, QUERIES, BATCH, K = 384, 200, 1000, 10
SPARE = 20_000  # rows that are added one by one or beside searches
SINGLE = 30  # rows that are added one by one
ROUNDS = 3  # of all queries


@dataclass(frozen=True)
class Contestant:
    """A program with its settings; ``most`` rows that it is tried with."""

    name: str
    module: str
    options: dict[str, Any] = field(default_factory=dict)
    most: int = 100_000


CONTESTANTS = (
    Contestant("ctxproc", "vector_ours", most=10**7),
    Contestant("faiss alike", "vector_faiss", most=10**7),
    Contestant("faiss flat", "vector_faiss", {"kind": "flat"}, most=10**7),
    Contestant("Chroma", "vector_chroma", most=10**7),
    Contestant("LanceDB", "vector_lancedb"),
    Contestant("LanceDB IVF_PQ", "vector_lancedb", {"index": "IVF_PQ", "refine": 10}, most=10**7),
    Contestant("Qdrant local", "vector_qdrant", most=10_000),
    Contestant("mem0", "vector_mem0", most=10**7),
)


def alike(rows: int) -> dict[str, Any]:
    """Options of raw faiss that make the index that ctxproc makes of so many rows."""
    from ctxproc.memory.vector_frozen import MANY, TOO_MANY
    from ctxproc.memory.vector_kinds import lists_for

    if rows <= MANY:
        return {"kind": "flat"}
    if rows <= TOO_MANY:
        return {"kind": "hnsw", "links": 16, "construction": 40}
    return {"kind": "ivf", "lists": lists_for(rows)}


@dataclass
class Running:
    """A contestant at work, and what was measured of it."""

    contestant: Contestant
    worker: Worker
    added: int = 0
    seconds: float = 0.0
    ids: list[list[int]] = field(default_factory=list)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)


class Run:
    """All contestants over as many rows.

    Args:
        rows: how many.
        folder: for data and files.
        python: interpreter of the other programs; ctxproc and faiss run in this one.
        threads: of each program.
        limit: seconds that adding may take.
    """

    def __init__(self, rows: int, folder: Path, python: str, threads: int, limit: float) -> None:
        self.rows, self.folder, self.python, self.threads, self.limit = rows, folder, python, threads, limit
        self.truth = draw(folder, rows)

    def measure(self, contestants: Sequence[Contestant]) -> list[dict[str, Any]]:
        """The record of each."""
        records: list[dict[str, Any]] = []
        with ExitStack() as stack:
            running: list[Running] = []
            for one in contestants:
                try:
                    running.append(Running(one, stack.enter_context(self.start(one))))
                except WorkerError as error:
                    records.append({"name": one.name, "absent": str(error).splitlines()[-1]})
            for step in (self.add, self.build, self.search, self.single, self.search_beside):
                click.echo(f"{self.rows} rows: {step.__name__}", err=True)
                step([one for one in running if one.added == self.rows or step == self.add])
            for one in running:
                one.worker.close()
        return records + [self.finished(one) for one in running]

    def start(self, contestant: Contestant) -> Worker:
        """A new process over the files that an earlier one left, if any; opened, the time of which is its ``opened``.

        Raises:
            WorkerError: it cannot be started.
        """
        import sys

        scratch = self.folder / "".join(c if c.isalnum() else "-" for c in contestant.name)
        scratch.mkdir(exist_ok=True)
        options = alike(self.rows) if contestant.name == "faiss alike" else contestant.options
        setup = Setup(str(self.folder), str(scratch), threads=self.threads, options=options)
        ours = contestant.module in ("vector_ours", "vector_faiss")
        return Worker(
            contestant.module, setup, sys.executable if ours else self.python, self.folder / f"{scratch.name}.log"
        )

    def add(self, running: Sequence[Running]) -> None:
        """Batches in turn; who is over the limit stops."""
        for one in running:
            one.worker.call("open")
        for start in range(0, self.rows, BATCH):
            for one in running:
                if one.added == start and one.seconds < self.limit:
                    one.seconds += one.worker.call("add", start, start + BATCH)["seconds"]
                    one.added += BATCH
        for one in running:
            one.record["rows_per_second"] = round(one.added / one.seconds)

    def build(self, running: Sequence[Running]) -> None:
        """Indexes and files; raw faiss is then searched as deep as ctxproc is."""
        depth = 0
        for one in running:
            one.record["build_seconds"] = round(one.worker.call("build")["seconds"], 2)
            one.record["build_peak_mb"] = round(one.worker.call("size")["peak"] / 1e6)
            if one.contestant.module == "vector_ours":
                one.record["index"] = one.worker.call("about")["value"]
                depth = one.record["index"]["depth"]
            if one.contestant.name == "faiss alike" and depth:
                one.worker.call("deepen", depth)

    def single(self, running: Sequence[Running]) -> None:
        """One row at a time, each durable where the library offers that."""
        spent: dict[str, list[float]] = {one.contestant.name: [] for one in running}
        for row in range(self.rows, self.rows + SINGLE):
            for one in running:
                spent[one.contestant.name].append(one.worker.call("add", row, row + 1)["seconds"])
        for one in running:
            one.record["single_add_ms"] = round(1000 * float(np.median(spent[one.contestant.name])), 2)

    def search(self, running: Sequence[Running]) -> None:
        """Single queries, some of each program in turn; the first of a program are not counted."""
        for one in running:
            one.worker.call("search", 0, 10, K)
        for _ in range(ROUNDS):
            for start in range(0, QUERIES, 20):
                for one in running:
                    found = one.worker.call("search", start, start + 20, K)
                    one.alone += found["value"]["ms"]
                    one.ids += found["value"]["ids"]
                    one.record["rss_mb"] = round(found["rss"] / 1e6)
        for one in running:
            pairs = zip(one.ids, list(self.truth) * ROUNDS, strict=True)
            hits = [len({i for i in mine if i < self.rows} & set(best.tolist())) for mine, best in pairs]
            one.record["recall"] = round(sum(hits) / (K * len(hits)), 4)

    def search_beside(self, running: Sequence[Running]) -> None:
        """The same beside a thread that adds batches of 100."""
        first = self.rows + SINGLE
        for one in running:
            found = one.worker.call("beside", 0, QUERIES, K, first, 100)["value"]
            one.beside = found["ms"]
            one.record["rows_per_second_beside"] = round(found["added"] / found["seconds"])

    def finished(self, one: Running) -> dict[str, Any]:
        """What was measured, with the time of opening it anew."""
        if one.added < self.rows:
            return {"name": one.contestant.name, "stopped_at": one.added, **one.record}
        opened = []
        for _ in range(ROUNDS):
            with self.start(one.contestant) as worker:
                began = time.perf_counter()
                worker.call("open")
                worker.call("search", 0, 1, K)
                opened.append(time.perf_counter() - began)
                disk = worker.call("size")["value"]
        tails = {"alone": one.alone, "beside": one.beside}
        latency = {
            f"{name}_p{p}_ms": round(float(np.percentile(ms, p)), 2) for name, ms in tails.items() for p in (50, 99)
        }
        facts = one.worker.started["value"]
        record = {
            **one.record,
            **latency,
            "open_s": round(min(opened), 3),
            "disk_mb": round(disk / 1e6),
            "facts": facts,
        }
        return {"name": one.contestant.name, **record}


def draw(folder: Path, rows: int, seed: int = 0) -> NDArray[np.int64]:
    """Writes vectors and queries; the nearest rows of each query, shape (queries, K), in no order."""
    dice = np.random.default_rng(seed)
    centres = dice.standard_normal((max(16, rows // 100), DIMENSIONS), dtype=np.float32)

    def some(count: int) -> NDArray[np.float32]:
        near = centres[dice.integers(len(centres), size=count)]
        drawn = near + dice.standard_normal((count, DIMENSIONS), dtype=np.float32)
        return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)

    queries = some(QUERIES)
    np.save(folder / "queries.npy", queries)
    total = rows + SPARE
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", "w+", np.float32, (total, DIMENSIONS))
    scores = np.empty((QUERIES, rows), np.float32)
    for start in range(0, total, 10_000):
        block = some(min(10_000, total - start))
        vectors[start : start + len(block)] = block
        if start < rows:
            scores[:, start : start + len(block)] = (queries @ block.T)[:, : rows - start]
    vectors.flush()
    return np.argpartition(-scores, K, axis=1)[:, :K]


@click.command()
@click.option("--rows", type=int, multiple=True, default=(10_000,), help="Vectors; may be repeated.")
@click.option("--only", multiple=True, help="Names of the programs; default: all.")
@click.option("--python", default="python3", help="Interpreter that has the other programs.")
@click.option("--threads", default=2, help="Of each program.")
@click.option("--limit", default=600.0, help="Seconds that adding may take.")
@click.option(
    "--scratch", type=click.Path(path_type=Path), default=None, help="Folder for files; default: a temporary one."
)
@click.option("--out", type=click.Path(path_type=Path), default=None, help="JSON of all figures.")
def main(
    rows: tuple[int, ...],
    only: tuple[str, ...],
    python: str,
    threads: int,
    limit: float,
    scratch: Path | None,
    out: Path | None,
) -> None:
    """Run the comparison."""
    found: dict[str, Any] = {"machine": machine(), "threads": threads, "runs": {}}
    for count in rows:
        chosen = [one for one in CONTESTANTS if count <= one.most and (not only or one.name in only)]
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            records = Run(count, folder, python, threads, limit).measure(chosen)
        finally:
            shutil.rmtree(folder)
        found["runs"][str(count)] = records
        for one in records:
            click.echo(json.dumps({"rows": count, **one}))
        results.record("vector_scale", {**machine(), f"{count} rows": {one["name"]: one for one in records}}, n=count)
        if out:
            out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

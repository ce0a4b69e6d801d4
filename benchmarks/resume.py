"""What adding documents to a memory does twice where it is interrupted half-way, and whether anything differs afterwards.

    python benchmarks/resume.py
    python benchmarks/resume.py --embedder builtin

10,000 chunks of words drawn at random are added by a process that is stopped once half of the documents are read, and in
another file once half of the chunks are embedded: by SIGKILL, and by Ctrl-C (SIGINT). Then it is run again, to its end.
Counted is what was read and embedded in both runs together, beyond what one run reads and embeds. All texts, their places
and vectors, and what searches find, are compared with those of a run that nobody stopped. The default embedder needs no
model: its vectors follow from the texts, so a wrong one would be seen.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import click
import numpy as np
from common import publish
from peers.process import environment
from peers.resume_child import TOKENS, opened

WAYS = {"kill": signal.SIGKILL, "ctrl-c": signal.SIGINT}
PHASES = ("load", "embed")
FILE = 20
"""Chunks of a document."""
K = 10


def write_documents(folder: Path, chunks: int, seed: int) -> None:
    """Documents of `FILE` chunks or so: paragraphs of words of which some are rare."""
    dice = random.Random(seed)
    folder.mkdir()
    for number in range(-(-chunks // FILE)):
        paragraphs = (
            " ".join(f"w{int(dice.paretovariate(0.3)) % 100_000}" for _ in range(TOKENS - 5)) for _ in range(FILE)
        )
        (folder / f"{number:05}.txt").write_text("\n\n".join(paragraphs), encoding="utf-8")


def counts(log: Path) -> Counter[str]:
    """How many documents and passages were read and embedded so far."""
    found: Counter[str] = Counter()
    for line in log.read_text(encoding="utf-8").splitlines() if log.exists() else ():
        what, number = line.split()
        found[what] += int(number)
    return found


def run(store: Path, folder: Path, embedder: str, stop: tuple[str, int, int] | None = None) -> Counter[str]:
    """Add the documents, in a process of its own; what it read and embedded.

    Args:
        store: the memory file.
        folder: of the documents.
        embedder: name of the model.
        stop: the signal ``stop[2]`` is sent once so many (``stop[1]``) are read or embedded (``stop[0]``).

    Raises:
        ChildProcessError: it failed, or was done before it could be stopped.
    """
    log = store.with_suffix(".log")
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "peers.resume_child", str(store), str(folder), embedder, str(log)]
    with subprocess.Popen(command, env=environment()) as child:
        while stop and child.poll() is None and counts(log)[stop[0]] < stop[1]:
            time.sleep(0.002)
        if stop:
            child.send_signal(stop[2])
        code = child.wait()
    if code not in ((130, -signal.SIGKILL) if stop else (0,)):
        raise ChildProcessError(f"adding ended with {code}")
    return counts(log)


def content(store: Path, embedder: str, seed: int) -> dict[str, Any]:
    """All passages with their vectors, by place; what 20 searches find; and what is wrong with the store."""
    with opened(store, embedder) as memory:
        kept, owner, dice = memory.store, memory.owner, random.Random(seed)
        passages = kept.passages(owner, "library")
        rows = {
            int(key): vector
            for ids, vectors in kept.changed_vectors(owner, "library").added
            for key, vector in zip(ids, np.asarray(vectors), strict=True)
        }
        queries = [" ".join(dice.sample(passage.text.split(), 3)) for passage in dice.sample(passages, 20)]
        found = {query: memory.library.search(query, K) for query in queries}
        return {
            "passages": {(one.note.source, one.start, one.end): (one.text, rows.get(one.id)) for one in passages},
            "found": {query: [(item.text, item.score) for item in items] for query, items in found.items()},
            "wrong": kept.check(),
        }


def differences(whole: dict[str, Any], resumed: dict[str, Any]) -> dict[str, Any]:
    """How a store differs from one whose making nobody stopped."""
    ours, theirs = whole["passages"], resumed["passages"]
    both = ours.keys() & theirs.keys()
    lacking = [key for key in both if ours[key][1] is None or theirs[key][1] is None]
    apart = [float(np.abs(ours[key][1] - theirs[key][1]).max()) for key in both - set(lacking)]
    return {
        "passages that differ": len(ours.keys() ^ theirs.keys()) + sum(ours[key][0] != theirs[key][0] for key in both),
        "without a vector": len(lacking),
        "largest difference of a vector": max(apart, default=0.0),
        "searches that differ": sum(found != resumed["found"].get(query) for query, found in whole["found"].items()),
        "damage": len(resumed["wrong"]),
    }


def measure(scratch: Path, chunks: int, embedder: str, seed: int) -> dict[str, Any]:
    """Both phases, stopped in both ways."""
    folder = scratch / "documents"
    write_documents(folder, chunks, seed)
    once = run(scratch / "whole.ctxproc", folder, embedder)
    whole = content(scratch / "whole.ctxproc", embedder, seed)
    stopped: dict[str, Any] = {}
    for phase in PHASES:
        for way, number in WAYS.items():
            store = scratch / f"{phase}-{way}.ctxproc"
            first = run(store, folder, embedder, (phase, once[phase] // 2, number))
            rest = run(store, folder, embedder)
            again = {what: first[what] + rest[what] - once[what] for what in PHASES}
            stopped[f"{phase}, {way}"] = {
                "before": dict(first),
                "after": dict(rest),
                "read twice": again["load"],
                "embedded twice": again["embed"],
                **differences(whole, content(store, embedder, seed)),
            }
    return {"documents": once["load"], "chunks": once["embed"], "stopped": stopped}


@click.command()
@click.option("--chunks", default=10_000, show_default=True)
@click.option(
    "--embedder", default="drawn", show_default=True, help="a model; drawn: vectors that follow from the texts"
)
@click.option("--seed", default=1, show_default=True)
def main(chunks: int, embedder: str, seed: int) -> None:
    """Measure and print one JSON object."""
    os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        found = measure(Path(scratch), chunks, embedder, seed)
    publish("resume", {"embedder": embedder, **found}, seed=seed)


if __name__ == "__main__":
    main()

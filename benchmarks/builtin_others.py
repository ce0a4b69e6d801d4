"""The sections of builtin.py on the judge, the causal model, the tagger, and on loading them all."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import causal as writer
import icl
import multihop
from builtin_spread import Figures, Size, SkippedError, needs, training
from common import open_questions, percent
from icl_sets import read
from retrieval_bench import Bench, Remembering, Way
from retrieval_sets import SETS, Cutting

from ctxproc.job import Found, Job
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.shelf import shelf
from ctxproc.strategies.memrecall import MemRecall

__all__ = ["SkippedError", "causal", "judge", "loading", "tagger"]

BUDGET = 512
"""Tokens of passages that are read for a question of several hops."""

ASKED, SHOTS = 200, 8
RUNS = 3
LOADING = """
import json, resource, time
began = time.perf_counter()
import torch, transformers
from ctxproc.llm.quantise import hushed
with hushed():
    from transformers import BertModel
seconds = {"imports": time.perf_counter() - began}
from ctxproc.llm.hardware import choose_device, choose_dtype
began = time.perf_counter()
device = choose_device("cpu")
dtype = choose_dtype("auto", device)
seconds["number format, measured"] = time.perf_counter() - began
def load(name):
    if name == "reader":
        from ctxproc.llm.reader import SpanReader as kind
    elif name == "reader_zh":
        from ctxproc.llm.reader_zh import ChineseReader as kind
    elif name == "judge":
        from ctxproc.llm.judge import Judge as kind
    elif name == "tagger":
        from ctxproc.llm.tagger import Tagger as kind
    else:
        from ctxproc import TransformersLLM
        return TransformersLLM("builtin:causal", device="cpu")._loaded
    return kind.load(device=device, dtype=dtype)
from ctxproc.llm.shelf import shelf
kept = []
for model in shelf():
    began = time.perf_counter()
    kept.append(load(model.name))
    seconds[model.name] = time.perf_counter() - began
seconds["memory, MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps(seconds))
"""


def judge(size: Size) -> Figures:
    """Order of the abstracts of Cranfield, both passages of MuSiQue, and speed."""
    needs("judge")
    size.folder("cranfield")
    return {**cranfield(size), **hops(size), "pairs per second": speed(size)}


def cranfield(size: Size) -> Figures:
    """The nDCG of the test half, with the judge and without; ``gain`` is over the fusion, query by query."""
    name, tokenizer = "cranfield", BuiltinReader().tokenizer
    bench = Bench(SETS[name][1](size.data), Cutting.of("200"), tokenizer, Remembering(), size.cache)
    queries = size.of([query for query in bench.queries if query.line % 2])
    ways = {
        "bm25": Way(("bm25",)),
        "bi-encoder": Way(("cosine",)),
        "fused": Way(("cosine", "bm25")),
        "fused, judge": Way(("cosine", "bm25"), rescore=("cross_encoder",)),
    }
    rows = {way: [bench.measure(query, how)["ndcg@10"] for query in queries] for way, how in ways.items()}
    gains = [a - b for a, b in zip(rows["fused, judge"], rows["fused"], strict=True)]
    found = {f"cranfield, nDCG@10, {way}": percent(some) for way, some in rows.items()}
    return found | {"cranfield, nDCG@10, gain": percent(gains)}


def hops(size: Size) -> Figures:
    """Whether all supporting passages of a question are among those of `BUDGET` tokens; MuSiQue's odd questions."""
    if not (size.data / "eval/multihop").is_dir():
        return {}
    texts, items = multihop.musique(size.data)
    bench, rows = multihop.Bench(texts, BuiltinReader(), size.cache), dict[str, list[float]]()
    ways: dict[str, Callable[[Job], list[Found]]] = {
        **{name: bench.ways(BUDGET)[name] for name in multihop.SEARCHES},
        "memrecall": replace(MemRecall(), capacity=BUDGET).select,
        "memrecall, judge": MemRecall(coarse="cross_encoder", capacity=BUDGET).select,
    }
    for item in size.of([item for item in items if item.line % 2]):
        job = bench.job(item.question)
        for name, select in ways.items():
            rows.setdefault(name, []).append(multihop.row(item, job, select(job), None)["all_passages"])
    gains = [a - b for a, b in zip(rows["memrecall, judge"], rows["fused"], strict=True)]
    found = {f"musique, all passages, {way}": percent(some) for way, some in rows.items()}
    return found | {"musique, all passages, gain": percent(gains)}


def speed(size: Size) -> dict[str, float]:
    """Pairs per second with passages of about 100 words, over blocks of 64 pairs of one query."""
    from ctxproc.llm.hardware import use_threads
    from ctxproc.llm.judge import built_in_judge

    use_threads(None)
    items, model = open_questions(size.data), built_in_judge("cpu")
    model.score(items[0].question, [], [item.passage for item in items[:8]])
    rates = []
    for number in range(RUNS):
        passages = [item.passage for item in items[64 * number : 64 * (number + 1)]]
        began = time.perf_counter()
        model.score(items[number].question, [], passages)
        rates.append(len(passages) / (time.perf_counter() - began))
    return between(rates)


def causal(size: Size) -> Figures:
    """Look-up of keys and of facts in a novel within one window; reading; classes from eight shots. See causal.py."""
    needs("causal")
    from ctxproc.llm.local import TransformersLLM

    for name in ("lost_in_middle", "icl"):
        size.folder(name)
    if not (size.data / "train").is_dir():
        raise SkippedError(f"there are no novels in {size.data / 'train'}")
    llm = TransformersLLM("builtin:causal", device="cpu", dtype="float32")
    count, window = min(size.most or ASKED, ASKED), llm.context_window
    passages = writer.questions(llm, size.data, count)
    classes = icl.Bench(llm, "shots", count, [0], SHOTS, window, 1)
    return {
        "key-value look-up": percent(writer.key_values(llm, size.data, count, window)),
        "needle look-up": percent(writer.hidden(llm, size.data, count, window)),
        "gold passage, F1": passages["f1"],
        "gold passage, F1, short prompt": passages["f1_short"],
        "TREC, 8 shots, accuracy": classes.measure(read(size.data / "eval/icl", "trec"), "one", 1)["accuracy"],
        "TREC, chance": round(100 / 6, 1),
    }


def tagger(size: Size) -> Figures:
    """Mentions and relations on the test halves of Re-DocRED and LitBank, texts as they are written."""
    needs("tagger")
    size.folder("redocred"), size.folder("litbank_annot")
    data, test = training("tagger_data"), training("tagger_test")
    from ctxproc.llm.hardware import choose_device, choose_dtype
    from ctxproc.llm.tagger import Tagger

    device, found = choose_device(), Figures()
    model = Tagger.load(device=device, dtype=choose_dtype("auto", device))
    sets = {"redocred": [[one] for one in data.redocred(size.data, "test")], "litbank": data.litbank(size.data, "test")}
    for name, documents in sets.items():
        some: list[Any] = size.of(documents)
        reads = [list(zip(texts, model.tag([one.text for one in texts]), strict=True)) for texts in some]
        found |= {f"{name}, mentions, {way}": bare(value) for way, value in test.mention_figures(reads).items()}
        if name == "redocred":
            relations = test.relation_figures([one for texts in reads for one in texts])
            found["relations"] = bare(relations["all"])
            found |= {f"relation {kind}": bare(value) for kind, value in relations["by relation"].items()}
    return found


def bare(figure: dict[str, float]) -> dict[str, float]:
    """F1 with its interval, without what is told besides."""
    return {key: figure[key] for key in ("mean", "low", "high")}


def loading(size: Size) -> Figures:
    """Seconds to load every model of the shelf in a new process, one after the other; medians with least and most."""
    runs: list[dict[str, float]] = []
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)
        if done.returncode:
            raise SkippedError(f"a model cannot be loaded: {done.stderr.splitlines()[-1]}")
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    for run in runs:
        run["all"] = sum(run[model.name] for model in shelf())
    bytes_ = sum(model.size() for model in shelf())
    return {
        **{f"seconds for {key}": between([run[key] for run in runs]) for key in runs[0] if "memory" not in key},
        "memory after all, MB": between([run["memory, MB"] for run in runs]),
        "package, MB": round(bytes_ / 1e6, 1),
    }


def between(values: Sequence[float]) -> dict[str, float]:
    """The median, the least, the most."""
    ends = {"least": round(min(values), 2), "most": round(max(values), 2)}
    return {"median": round(statistics.median(values), 2), **ends}

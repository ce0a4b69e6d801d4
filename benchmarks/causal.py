"""How well a causal model looks up, reads and classifies within one window; by default the built-in one.

    python benchmarks/causal.py --data ../shared/data

Greedy replies, figures in percent with 95 % intervals (bootstrap over questions), none of it trained on:

- ``key_value``: lost_in_middle's look-ups of a UUID among 75, cut to as many keys as the window holds, the one that is
  asked for at a random place; right where the whole value is in the reply.
- ``needle``: a made-up fact (needle_facts.py, "single") in a page of a novel that fills the window.
- ``look_up``: both together.
- ``f1``: Natural Questions, odd lines of lost_in_middle, each with its passage, asked by the shipped template ``answer``
  and, as ``f1_short``, by "Question: ... Answer:"; ``not_found`` is the share of the former that finds no answer.
- ``trec``: TREC's six classes from eight shots of one window, as icl.py asks; chance is 16.7.
"""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import click
from common import f1, half, open_questions, percent, publish
from icl import Bench
from icl_sets import read
from needle_facts import SINGLE, hide, needles, novels

from ctxproc import Sampling, TransformersLLM
from ctxproc.prompt import Prompt, Segment, template

REPLY = 48  # tokens of a reply at most
PAGES = 8_000  # characters of a novel, behind as many, of which the beginning is taken
NOVELS = 40  # that are read
BATCH = 16  # prompts given to the model together
SPARE = 20  # tokens by which one pair of UUIDs may be longer than another


def shown(context: str, task: str) -> Prompt:
    """A context and what is asked of it, with nothing else."""
    return Prompt((Segment(context, "context", "context"), Segment(task, "task", "question")), "causal")


def replies(llm: TransformersLLM, prompts: Sequence[Prompt], reply: int = REPLY) -> list[str]:
    """What the model says, greedily."""
    said: list[str] = []
    for begin in range(0, len(prompts), BATCH):
        said += [made.text for made in llm.generate(prompts[begin : begin + BATCH], Sampling(reply))]
    return said


def table(pairs: Sequence[Sequence[str]], key: str) -> Prompt:
    """The prompt for one of these keys."""
    rows = ",\n ".join(f'"{k}": "{v}"' for k, v in pairs)
    return shown(f"JSON data:\n{{{rows}}}", f'\n\nKey: "{key}"\nCorresponding value:')


def key_values(llm: TransformersLLM, data: Path, count: int, window: int) -> list[float]:
    """1 for every value that is found."""
    rng, prompts, wanted = random.Random(0), [], []
    with gzip.open(data / "eval/lost_in_middle/kv-retrieval-75_keys.jsonl.gz", "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file][:count]
    for record in records:
        pairs, key = record["ordered_kv_records"], record["key"]
        others = [pair for pair in pairs if pair[0] != key]
        kept: list[list[str]] = []
        while others and llm.count_tokens(table([*kept, others[-1], others[-1]], key)) + SPARE + REPLY <= window:
            kept.append(others.pop())
        kept.insert(rng.randrange(len(kept) + 1), [key, record["value"]])
        prompts.append(table(kept, key))
        wanted.append(record["value"])
    return [float(value in said) for value, said in zip(wanted, replies(llm, prompts), strict=True)]


def hidden(llm: TransformersLLM, data: Path, count: int, window: int) -> list[float]:
    """1 for every fact that is found in a page of a novel."""
    made = [needle for needle in needles(5, -(-count // 5)) if len(needle.facts) == 1][:count]
    empty = template("answer").fill([""], {"question": SINGLE[0][1]})
    room = window - REPLY - llm.count_tokens(empty) - 60
    pages = []
    for needle, novel in zip(made, cycle(islice(novels(data), NOVELS)), strict=False):
        words = novel[PAGES : 2 * PAGES].split(" ")
        while llm.tokenizer.count(" ".join(words)) > room:
            words = words[: int(0.95 * len(words))]
        pages.append(hide(" ".join(words), [needle]))
    prompts = [
        template("answer").fill([page], {"question": needle.question}) for needle, page in zip(made, pages, strict=True)
    ]
    said = [text.partition("\n")[0] for text in replies(llm, prompts)]
    return [float(needle.right(text)) for needle, text in zip(made, said, strict=True)]


def questions(llm: TransformersLLM, data: Path, count: int) -> dict[str, Any]:
    """F1 on passages that hold the answer."""
    items = half(open_questions(data), "odd")[:count]
    framed = [template("answer").fill([item.passage], {"question": item.question}) for item in items]
    short = [shown(item.passage, f"\n\nQuestion: {item.question}\nAnswer:") for item in items]
    said = [text.partition("\n")[0].strip() for text in replies(llm, framed, 16)]
    brief = [text.partition("\n")[0].strip() for text in replies(llm, short, 16)]
    return {
        "questions": len(items),
        "f1": percent([f1(text, item.answers) for text, item in zip(said, items, strict=True)]),
        "f1_short": percent([f1(text, item.answers) for text, item in zip(brief, items, strict=True)]),
        "not_found": round(100 * sum("NOT FOUND" in text for text in said) / len(items), 1),
    }


@click.command()
@click.option("--model", default="builtin:causal", show_default=True, help="or a folder of transformers")
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--count", default=200, show_default=True, help="questions of each kind")
@click.option("--window", type=click.IntRange(256), help="tokens of a prompt and its reply; by default the model's")
@click.option("--dtype", default="float32", show_default=True)
@click.option("--threads", type=click.IntRange(1))
def main(model: str, data: Path, count: int, window: int | None, dtype: str, threads: int | None) -> None:
    """Measure, and print the figures as JSON."""
    llm = TransformersLLM(model, dtype=dtype, threads=threads)
    length = min(window or llm.context_window, llm.context_window)
    values, facts = key_values(llm, data, count, length), hidden(llm, data, count, length)
    figures = {
        "window": length,
        "dtype": dtype,
        "key_value": percent(values),
        "needle": percent(facts),
        "look_up": percent([*values, *facts]),
        **questions(llm, data, count),
    }
    bench = Bench(llm, "shots", count, [0], 8, length, 1)
    figures["trec"] = bench.measure(read(data / "eval" / "icl", "trec"), "one", 1)["accuracy"]
    publish("causal", figures, n=count, seed=0)


if __name__ == "__main__":
    main()

"""Development figures of an exported model, read as users read it: by `TransformersLLM`, greedily.

    python -m training.causal_measure --data build/causal --model build/causal/run/model --shared ../shared/data

Look-up, formats and reading come from books apart; TREC, whose questions are not trained on, gives in-context
classification: eight shots of each window, one per coarse class and two more, drawn anew for every query.
"""

from __future__ import annotations

import json
import logging
import math
import random
import re
from pathlib import Path

import click
from safetensors.torch import load_file

from ctxproc import TransformersLLM
from ctxproc.llm.base import Sampling
from ctxproc.prompt import Prompt, Segment
from training.causal import MAKERS
from training.causal_tasks import Example, Source
from training.causal_text import load_pools

log = logging.getLogger(__name__)


def prompts_of(example: Example) -> list[tuple[Prompt, str]]:
    """Each task of an example as a prompt of its own, with the reply that is wanted."""
    found = []
    for task in example.tasks:
        asked = [part.text for part in task if not part.weight]
        wanted = "".join(part.text for part in task if part.weight)
        segments = [Segment(part.text, "context", "context") for part in example.context if part.text]
        found.append((Prompt((*segments, *(Segment(text, "task") for text in asked))), wanted.strip()))
    return found


def generated(llm: TransformersLLM, source: Source, kind: str, count: int) -> dict[str, float]:
    """Shares of replies that are wholly right, whose answer is, whose quotation stands in the context; of NOT FOUND."""
    rng, pairs = random.Random(7), list[tuple[Prompt, str]]()
    while len(pairs) < count:
        pairs += prompts_of(MAKERS[kind](source, rng))
    pairs = [(p, w) for p, w in pairs[:count] if llm.count_tokens(p) + 90 < llm.context_window]
    made = llm.generate([prompt for prompt, _ in pairs], Sampling(90))
    tallies: dict[str, list[float]] = {}
    for (prompt, wanted), generation in zip(pairs, made, strict=True):
        text = generation.text.strip()
        answer, _, quote = text.partition("\nQuote:")
        right, _, quoted = wanted.partition("\nQuote:")
        group = "not found" if right == "NOT FOUND" else "verdict" if right in ("yes", "no") else "answer"
        tallies.setdefault(group, []).append(float(answer.strip() == right))
        tallies.setdefault("format", []).append(float(bool(quote) == bool(quoted) or answer.strip() == "NOT FOUND"))
        if quoted:
            tallies.setdefault("quote in context", []).append(
                float(bool(quote) and quote.strip() in prompt.part("context"))
            )
            tallies.setdefault("quote right", []).append(float(quote.strip() == quoted.strip()))
    return {name: round(sum(values) / len(values), 3) for name, values in sorted(tallies.items())}


def trec(folder: Path, name: str) -> list[tuple[str, str]]:
    """Questions and coarse classes of TREC's file."""
    found = []
    for line in (folder / f"{name}.txt").read_text(encoding="latin-1").splitlines():
        label, _, question = line.partition(" ")
        if question:
            found.append(
                (re.sub(r" (?=[?,.'])", "", question.replace("`` ", '"').replace(" ''", '"')), label.split(":")[0])
            )
    return found


def classify(llm: TransformersLLM, shared: Path, count: int, shots: int = 8) -> dict[str, float]:
    """Accuracy by the likeliest label among those of the shots' file, and of the word-overlap nearest shot."""
    rng = random.Random(11)
    pool, queries = trec(shared / "eval/icl/trec_qc", "train"), trec(shared / "eval/icl/trec_qc", "test")
    by_class = {label: [text for text, its in pool if its == label] for label in sorted({label for _, label in pool})}
    labels = list(by_class)
    good = near = 0
    for question, gold in rng.sample(queries, count):
        drawn = [
            (rng.choice(by_class[label]), label) for label in [*labels, *rng.choices(labels, k=shots - len(labels))]
        ]
        rng.shuffle(drawn)
        context = "\n\n".join(f"Input: {text}\nLabel: {label}" for text, label in drawn)
        prompt = Prompt(
            (Segment(context, "context", "context"), Segment(f"\n\nInput: {question}\nLabel:", "task", "question"))
        )
        scores = llm.score([prompt] * len(labels), [f" {label}" for label in labels])
        good += labels[max(range(len(labels)), key=lambda k: scores[k].total)] == gold
        words = set(question.lower().split())
        near += max(drawn, key=lambda shot: len(words & set(shot[0].lower().split())))[1] == gold
    spread = 1.96 * math.sqrt(good / count * (1 - good / count) / count)
    return {"accuracy": round(good / count, 3), "half width": round(spread, 3), "overlap": round(near / count, 3)}


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("build/causal"))
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=Path("build/causal/run/model"))
@click.option("--shared", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"))
@click.option("--count", default=200)
def main(data: Path, model: Path, shared: Path, count: int) -> None:
    """Log the figures."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    llm = TransformersLLM(str(model), dtype="float32")
    _, apart = load_pools(data / "pool.json")
    groups = load_file(data / "near.safetensors")["dev"]
    for longest in (250, 500, 900):
        log.info("facts %d %s", longest, json.dumps(generated(llm, Source(apart, groups, longest), "facts", count)))
    for kind in ("shots", "reading"):
        log.info("%s %s", kind, json.dumps(generated(llm, Source(apart, groups, 500), kind, count)))
    log.info("trec, 8 shots: %s", json.dumps(classify(llm, shared, count)))


if __name__ == "__main__":
    main()

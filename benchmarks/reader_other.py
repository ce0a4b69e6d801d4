"""How well the built-in reader reads what it was not trained for; none of these sets is in its training data.

    python benchmarks/reader_other.py --data ../shared/data

``steps``: the single steps of MuSiQue's 50 questions (from SQuAD, Natural Questions and relations), each with the
Wikipedia paragraph that answers it. ``own``: 57 questions written for this benchmark about eight paragraphs, in the
manner of SQuAD: in other words than the paragraph's, and why, how and what as often as who and when. ``dialogue``: 250
questions of FriendsQA over scenes of a series; scenes that are too long are read in parts, the surest answer counts.
F1 and exact match are SQuAD's, with 95 % intervals.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from common import exact_match, f1, percent, publish

from ctxproc.llm.reader import SpanReader

SEED = 5
WORDS = 260  # of a scene read at once
Question = tuple[str, list[str], list[str]]  # question, passages, accepted answers


def steps(data: Path) -> Iterator[Question]:
    """Steps of MuSiQue, the answers of earlier ones put in."""
    for record in json.loads((data / "eval/multihop/musique50.json").read_text(encoding="utf-8")):
        earlier: list[str] = []
        for step in record["question_decomposition"]:
            question = step["question"].replace(" >> ", ": ")
            for number, answer in enumerate(earlier, 1):
                question = question.replace(f"#{number}", answer)
            paragraph = record["paragraphs"][step["paragraph_support_idx"]]["paragraph_text"]
            earlier.append(step["answer"])
            if step["answer"].lower() in paragraph.lower():
                yield question, [paragraph], [step["answer"]]


def own(_: Path) -> Iterator[Question]:
    """The questions beside this file."""
    for entry in json.loads((Path(__file__).parent / "own_questions.json").read_text(encoding="utf-8")):
        for asked in entry["questions"]:
            yield asked["question"], [entry["passage"]], asked["answers"]


def dialogue(data: Path) -> Iterator[Question]:
    """Questions of FriendsQA; a scene is lines of speaker and words."""
    scenes = json.loads((data / "eval/friendsqa/friendsqa_dev.json").read_text(encoding="utf-8"))["data"]
    found: list[Question] = []
    for scene in (part for entry in scenes for part in entry["paragraphs"]):
        parts = [""]
        for said in scene["utterances:"]:
            line = f"{', '.join(said['speakers'])}: {said['utterance']}"
            if parts[-1] and len(parts[-1].split()) + len(line.split()) > WORDS:
                parts.append("")
            parts[-1] += line + "\n"
        found += [(qa["question"], parts, [a["answer_text"] for a in qa["answers"]]) for qa in scene["qas"]]
    yield from random.Random(SEED).sample(found, 250)


def figures(reader: SpanReader, questions: list[Question]) -> dict[str, Any]:
    """F1 and exact match of the surest answer over a question's passages."""
    said = []
    for question, passages, _ in questions:
        readings = reader.read([question] * len(passages), passages, always=True)
        best, passage = max(zip(readings, passages, strict=True), key=lambda pair: pair[0].confidence)
        said.append(passage[best.start : best.end])
    pairs = [(text, answers) for text, (_, _, answers) in zip(said, questions, strict=True)]
    return {
        "questions": len(pairs),
        "f1": percent([f1(*pair) for pair in pairs]),
        "exact_match": percent([exact_match(*pair) for pair in pairs]),
    }


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"), show_default=True)
@click.option("--bf16", is_flag=True, help="Run the encoder in bf16.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Other weights than the shipped ones.")
def main(data: Path, bf16: bool, weights: Path | None) -> None:
    """Measure the reader on the three sets and print one JSON object."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    reader = SpanReader.load(dtype=dtype, **({"weights": weights} if weights else {}))
    sets = {"steps": steps, "own": own, "dialogue": dialogue}
    result = {name: figures(reader, list(make(data))) for name, make in sets.items()}
    publish("reader_other", {"dtype": str(dtype), **result}, seed=SEED)


if __name__ == "__main__":
    main()

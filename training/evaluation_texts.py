"""What no model may be trained on: the texts of every evaluation set, read from the data folder.

`training.overlap` compares training rows with them. Of LitBank and Re-DocRED the documents of odd index (counted from
0, in the order of the file names or of the file) are for testing; of Natural Questions the odd lines (counted from 1)
and 120 of the even ones.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from training.reader_text import dev_split, nq

__all__ = ["evaluation_texts"]


def evaluation_texts(data: Path) -> dict[str, Iterator[str]]:
    """Texts by evaluation set; each is read when its iterator is used. Sets that the folder lacks are left out."""
    eval_sets: dict[str, tuple[str, Callable[[Path], Iterator[str]]]] = {
        "natural questions": ("lost_in_middle", _natural_questions),
        "key-value look-ups": ("lost_in_middle", _look_ups),
        "multihop": ("multihop", _strings),
        "cranfield": ("cranfield", _cranfield),
        "chunking": ("chunking_eval", _chunking),
        "locomo": ("locomo", _strings),
        "qmsum": ("qmsum", _strings),
        "squality": ("squality", _strings),
        "friendsqa": ("friendsqa", _strings),
        "chinese classics": ("classics_zh", _plain),
        "cmrc trial": ("cmrc2018", _strings),
        "in-context learning": ("icl", _labelled),
        "litbank": ("litbank_annot", _litbank),
        "redocred": ("redocred", _redocred),
    }
    folder = data / "eval"
    return {name: read(folder / part) for name, (part, read) in eval_sets.items() if (folder / part).exists()}


def _natural_questions(folder: Path) -> Iterator[str]:
    odd, even = nq(folder.parents[1])
    for record in [*odd, *dev_split(even)[0]]:
        yield record["question"]
        yield record["ctxs"][0]["text"]
        yield record["nq_annotated_gold"]["long_answer"]


def _look_ups(folder: Path) -> Iterator[str]:
    with gzip.open(folder / "kv-retrieval-75_keys.jsonl.gz", "rt", encoding="utf-8") as file:
        for line in file:
            yield from (f"{key} {value}" for key, value in json.loads(line)["ordered_kv_records"])


def _strings(folder: Path) -> Iterator[str]:
    """Every string of every JSON file, but for keys; a list of sentences is one text."""
    for path in sorted([*folder.rglob("*.json"), *folder.rglob("*.jsonl")]):
        text = path.read_text(encoding="utf-8")
        for record in [json.loads(text)] if path.suffix == ".json" else map(json.loads, text.splitlines()):
            yield from _leaves(record)


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        yield " ".join(value)
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)


def _plain(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.txt")):
        if path.name != "SOURCE.txt":
            yield path.read_text(encoding="utf-8")


def _cranfield(folder: Path) -> Iterator[str]:
    for record in (folder / "cran.all.1400").read_text(encoding="utf-8").split("\n.I ")[0:]:
        yield record.split("\n.W\n")[-1]
    for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        yield json.loads(line)["text"]


def _chunking(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "corpora").glob("*.md")):
        yield path.read_text(encoding="utf-8")
    with (folder / "questions_df.csv").open(encoding="utf-8") as file:
        yield from (row["question"] for row in csv.DictReader(file))


def _labelled(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "trec_qc").glob("t*.txt")):
        for line in path.read_text(encoding="latin-1").splitlines():
            yield line.partition(" ")[2]
    for path in sorted((folder / "banking77").glob("*.csv")):
        with path.open(encoding="utf-8") as file:
            yield from (row["text"] for row in csv.DictReader(file))
    parts = json.loads((folder / "clinc150/data_full.json").read_text(encoding="utf-8"))
    yield from (text for part in parts.values() for text, _ in part)


def _litbank(folder: Path) -> Iterator[str]:
    for path in sorted((folder / "entities/brat").glob("*.txt"))[1::2]:
        yield re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))


def _redocred(folder: Path) -> Iterator[str]:
    for document in json.loads((folder / "dev_revised.json").read_text(encoding="utf-8"))[1::2]:
        yield " ".join(word for sentence in document["sents"] for word in sentence)

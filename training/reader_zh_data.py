"""Data of the Chinese reader: questions, passages that look right and are not, the vocabulary and its first vectors.

    python -m training.reader_zh_data --data ../shared/data --out build/reader_zh

Read are CMRC 2018's training questions, DRCD (a part of whose articles is held out) and the Chinese training books;
CMRC's trial questions only to leave out passages that overlap with theirs.
"""

from __future__ import annotations

import json
import logging
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ctxproc.llm.reader_zh_text import SPECIALS, Characters
from training.overlap import Overlap, evaluation_texts

log = logging.getLogger("training.reader_zh_data")

ENTRIES = 6400  # of the vocabulary
SIDES = (-2, -1, 1, 2)  # the neighbours that the first vectors of characters are made from
KNOWN = 2000  # most frequent entries that count as neighbours
PIECE = 500  # characters of a book that count as one document


@dataclass(frozen=True)
class Question:
    """A question and its passage; ``answers`` are (start, end) characters of it, ``near`` numbers of other passages."""

    question: str
    passage: int
    answers: list[tuple[int, int]]
    near: list[int]


def squad(text: str) -> Iterator[tuple[str, str, list[tuple[str, str, int]]]]:
    """Title, passage, and (question, answer, start) of every paragraph of a file in SQuAD's form."""
    for article in json.loads(text)["data"]:
        for paragraph in article["paragraphs"]:
            asked = [
                (q["question"], q["answers"][0]["text"], q["answers"][0]["answer_start"]) for q in paragraph["qas"]
            ]
            yield article["title"], paragraph["context"], asked


def member(path: Path, suffix: str) -> Iterator[tuple[str, str]]:
    """Name and text of the files of an archive that end so."""
    with tarfile.open(path) as tar:
        for info in tar:
            if info.isfile() and info.name.endswith(suffix) and (file := tar.extractfile(info)):
                yield info.name, file.read().decode("utf-8", errors="replace")


def books(data: Path) -> Iterator[str]:
    """The Chinese training books."""
    for name, text in member(data / "train/train_pg_zh.tar.xz", ".txt"):
        if not name.endswith("SOURCE.txt"):
            yield "".join(text.split())


def part(title: str) -> str:
    """Which part an article belongs to, by its title: one in twenty "dev", four in twenty "held", else "train"."""
    number = zlib.crc32(title.encode()) % 20
    return "dev" if number == 0 else "held" if number < 5 else "train"


def runs(text: str, size: int = 8) -> set[str]:
    """The runs of ``size`` characters, white space left out."""
    bare = "".join(text.split())
    return {bare[k : k + size] for k in range(len(bare) - size + 1)}


def occurrences(text: str, answer: str, start: int) -> list[tuple[int, int]]:
    """The answer at its place and up to four more; where it is not at its place, where it stands."""
    places = [start] if text[start : start + len(answer)] == answer else []
    at = text.find(answer)
    while at >= 0 and len(places) < 5:
        if at != start:
            places.append(at)
        at = text.find(answer, at + 1)
    return [(place, place + len(answer)) for place in places]


def read_sets(data: Path) -> tuple[list[str], dict[str, list[Question]], Overlap]:
    """Passages, the questions of each part, and the report of what overlaps with evaluation sets and was left out.

    Of CMRC more is left out than `Overlap` asks for: articles whose title the trial has, and passages of which over a
    tenth of the runs of eight characters are the trial's. "train" and "dev" are CMRC and DRCD mixed, "held" is DRCD
    alone: CMRC's articles of that part are trained on, for there is the trial set.
    """
    cmrc = next(text for _, text in member(data / "train/cmrc2018_train.tar.xz", "cmrc2018.json"))
    drcd = [(data / f"eval/drcd/DRCD_{name}.json").read_text(encoding="utf-8") for name in ("dev", "test")]
    trial = list(squad((data / "eval/cmrc2018/cmrc2018_trial.json").read_text(encoding="utf-8")))
    titles = {title for title, _, _ in trial}
    known = set().union(*(runs(passage) for _, passage, _ in trial))
    articles = [("cmrc", *article) for article in squad(cmrc)]
    articles += [("drcd", *article) for text in drcd for article in squad(text)]
    articles = [a for a in articles if a[1] not in titles and len(runs(a[2]) & known) <= 0.1 * len(runs(a[2]))]
    passages: list[str] = []
    sets: dict[str, list[Question]] = {"train": [], "dev": [], "held": []}
    keep = Overlap.of(evaluation_texts(data))
    for source, title, passage, asked in keep.filter(articles, text=lambda a: a[2], source=lambda a: a[0]):
        place = part(title)
        place = "train" if source == "cmrc" and place == "held" else place
        passages.append(passage)
        for question, answer, start in asked:
            if spans := occurrences(passage, answer.strip(), start):
                sets[place].append(Question(question, len(passages) - 1, spans, []))
    return passages, sets, keep


def with_near(passages: Sequence[str], questions: Sequence[Question], count: int = 4) -> list[Question]:
    """The questions with their nearest passages that do not hold the answer, by inverse document frequency of pairs."""
    bits = 16
    table = np.zeros((len(passages), 1 << bits), dtype=np.float32)
    for row, passage in enumerate(passages):
        table[row, pairs(passage, bits)] = 1
    idf = np.log(len(passages) / (1 + table.sum(0)))
    found = []
    for q in questions:
        asked = pairs(q.question, bits)
        scores = table[:, asked] @ idf[asked]
        answer = passages[q.passage][slice(*q.answers[0])]
        near: list[int] = []
        for k in np.argsort(-scores)[: 12 * count].tolist():
            if k != q.passage and answer not in passages[k] and len(near) < count:
                near.append(k)
        found.append(Question(q.question, q.passage, q.answers, near))
    return found


def pairs(text: str, bits: int) -> NDArray[np.int64]:
    """Pairs of neighbouring characters as places in a table of ``2 ** bits``, each once."""
    codes = np.array([ord(c) for c in text], dtype=np.int64)
    return np.unique((codes[:-1] * 0x9E3779B1 + codes[1:] * 0x85EBCA6B) >> 7 & ((1 << bits) - 1))


def vocabulary(passages: Sequence[str], stories: Iterable[str]) -> tuple[list[str], NDArray[np.float32], Tensor]:
    """Entries by frequency, their rarity in [0, 1], and their first vectors (entries, 128).

    A passage counts ten times as much as the same length of a book. The vectors are the singular vectors of the
    positive pointwise mutual information of an entry and its neighbours (Levy and Goldberg 2014).
    """
    blank = Characters(SPECIALS, [0.0] * len(SPECIALS))
    shelf = [blank.tokens(text).forms for text in stories]
    cards = [blank.tokens(text).forms for text in passages]
    count: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    documents = [(piece, 10) for piece in cards]
    documents += [(book[k : k + PIECE], 1) for book in shelf for k in range(0, len(book), PIECE)]
    for piece, weight in documents:
        for form, times in Counter(piece).items():
            count[form] += times * weight
            spread[form] += weight
    frequent = [form for form, times in count.most_common() if times >= 20 and (len(form) == 1 or times >= 50)]
    entries = [*SPECIALS, *frequent[: ENTRIES - len(SPECIALS)]]
    whole = sum(weight for _, weight in documents)
    rarity = np.array([np.log(whole / (1 + spread[entry])) / np.log(whole) for entry in entries], dtype=np.float32)
    rarity[: len(SPECIALS)] = 0
    return entries, rarity.clip(0, 1), first_vectors(entries, rarity, [*cards * 10, *shelf])


def first_vectors(
    entries: list[str], rarity: NDArray[np.float32], texts: Sequence[list[str]], size: int = 128
) -> Tensor:
    """Singular vectors of the entries' neighbourhoods, of the length that suits an embedding (mean square 1)."""
    ids = {entry: k for k, entry in enumerate(entries)}
    flat = np.concatenate([np.array([*map(ids.get, text, [3] * len(text)), 0, 0]) for text in texts])
    table = np.zeros((len(entries), len(SIDES) * KNOWN), dtype=np.float32)
    for k, side in enumerate(SIDES):
        left, right = (flat[:-side], flat[side:]) if side > 0 else (flat[-side:], flat[:side])
        kept = (right < KNOWN) & (left >= len(SPECIALS))
        cells = np.bincount(left[kept] * KNOWN + right[kept], minlength=len(entries) * KNOWN)
        table[:, k * KNOWN : (k + 1) * KNOWN] = cells.reshape(len(entries), KNOWN)
    expected = table.sum(1, keepdims=True) * table.sum(0, keepdims=True) ** 0.75
    expected *= table.sum() / np.maximum(expected.sum(), 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        information = np.nan_to_num(np.log(table / expected), nan=0.0, neginf=0.0, posinf=0.0).clip(0)
    torch.manual_seed(1)
    left_vectors, values, _ = torch.svd_lowrank(torch.from_numpy(information), q=min(size + 16, len(entries)), niter=3)
    vectors = left_vectors[:, :size] * values[:size].sqrt()
    vectors = torch.nn.functional.pad(vectors, (0, size - vectors.shape[1]))
    vectors = vectors / vectors.square().mean(1, keepdim=True).sqrt().clamp(min=1e-6)
    vectors[0] = 0
    return vectors.contiguous()


def write(folder: Path, passages: list[str], sets: dict[str, list[Question]], stories: Iterable[str]) -> None:
    """Write passages.json, train.json, dev.json, held.json, vocab.txt and first.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "passages.json").write_text(json.dumps(passages, ensure_ascii=False), encoding="utf-8")
    for name, rows in sets.items():
        lines = [asdict(row) for row in with_near(passages, rows)]
        (folder / f"{name}.json").write_text(json.dumps(lines, ensure_ascii=False), encoding="utf-8")
    trained = sorted({row.passage for row in sets["train"]})
    entries, rarity, vectors = vocabulary([passages[k] for k in trained], stories)
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    save_file({"rarity": torch.from_numpy(rarity), "vectors": vectors}, folder / "first.safetensors")
    log.info("%d entries", len(entries))


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/reader_zh"))
def main(data: Path, out: Path) -> None:
    """Write what the training reads; see `write`."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    passages, sets, keep = read_sets(data)
    keep.write("reader_zh")
    log.info("%d passages; %s", len(passages), {name: len(rows) for name, rows in sets.items()})
    write(out, passages, sets, books(data))


if __name__ == "__main__":
    main()

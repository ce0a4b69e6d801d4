"""Reading the data folder: passages with their questions, and what must never be trained on.

The test half is the odd lines (counted from 1) of lost_in_middle; a development set is split off the even lines.
`Held` knows the questions and the passages of both and refuses them, whatever data set they come back in.
"""

from __future__ import annotations

import csv
import json
import random
import re
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "Held",
    "Item",
    "books",
    "covid",
    "detokenise",
    "fairytales",
    "normal",
    "nq",
    "qed",
    "redocred",
    "stories",
    "windows",
]

DEV = 120  # questions split off the even lines
SHINGLE = 8  # words that make two passages alike
ALIKE = 0.3  # share of common shingles from which on a passage counts as held out


@dataclass(frozen=True)
class Item:
    """A question with its passage and all answer spans, from a data set of real questions."""

    question: str
    context: str
    answers: list[tuple[int, int]]
    source: str
    title: str = ""


def normal(text: str) -> str:
    """Lower case, letters and digits only, single spaces: two spellings of one question become equal."""
    return " ".join(re.findall(r"\w+", text.lower()))


def nq(data: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The records of lost_in_middle: the odd lines (test) and the even lines, counted from 1."""
    with (data / "eval/lost_in_middle/nq-open-oracle.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return records[0::2], records[1::2]


def dev_split(even: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Development and training records of the even lines; seeded, so the same in every run."""
    order = list(range(len(even)))
    random.Random(20).shuffle(order)
    return [even[k] for k in sorted(order[:DEV])], [even[k] for k in sorted(order[DEV:])]


class Held:
    """What must not be trained on: questions by their normal form, passages by their shingles."""

    def __init__(self, records: Iterable[dict[str, Any]]) -> None:
        """Hold out these records of lost_in_middle."""
        self._questions: set[str] = set()
        self._passages: set[str] = set()
        self._shingles: set[str] = set()
        for record in records:
            self._questions.add(normal(record["question"]))
            for text in (record["ctxs"][0]["text"], record["nq_annotated_gold"]["long_answer"]):
                self._passages.add(normal(text))
                self._shingles.update(_shingles(text))

    @classmethod
    def from_data(cls, data: Path) -> Held:
        """The test half and the development questions."""
        odd, even = nq(data)
        return cls([*odd, *dev_split(even)[0]])

    def question(self, text: str) -> bool:
        """Whether this is a held-out question."""
        return normal(text) in self._questions

    def same_passage(self, text: str) -> bool:
        """Whether this text is a held-out passage, but for case and punctuation."""
        return normal(text) in self._passages

    def passage(self, text: str) -> bool:
        """Whether a good part of this text is in a held-out passage."""
        shingles = _shingles(text)
        return bool(shingles) and len(shingles & self._shingles) > ALIKE * len(shingles)


def _shingles(text: str) -> set[str]:
    words = normal(text).split()
    return {" ".join(words[k : k + SHINGLE]) for k in range(max(1, len(words) - SHINGLE + 1))}


NO_SPACE_BEFORE = re.compile(r"[,.;:!?)\]%]+$|'s$|n't$|'$|'(?:re|ve|ll|d|m)$|’s$")


def detokenise(tokens: list[str]) -> tuple[str, list[int]]:
    """Join words that were split off their punctuation.

    Returns:
        The text, and for each token the character at which it starts there.
    """
    text, starts, glue, quoted = "", [], True, False
    for token in tokens:
        word = {"--": "–", "``": '"', "''": '"', "-LRB-": "(", "-RRB-": ")"}.get(token, token)
        close = word == '"' and quoted
        if not (glue or close or word in {"-", "–", "/"} or NO_SPACE_BEFORE.fullmatch(word)):
            text += " "
        starts.append(len(text))
        text += word
        glue = word in {"(", "[", "$", "£", "-", "–", "/", "#"} or (word == '"' and not quoted)
        quoted ^= word == '"'
    return text, starts


def nq_items(records: list[dict[str, Any]]) -> Iterator[Item]:
    """Real questions: every occurrence of every accepted answer in the gold passage."""
    for record in records:
        context = record["ctxs"][0]["text"]
        found = {span for answer in record["answers"] for span in occurrences(context, answer)}
        if found:
            yield Item(record["question"], context, sorted(found), "nq", record["ctxs"][0]["title"])


def occurrences(context: str, answer: str) -> list[tuple[int, int]]:
    """Where the answer stands in the context, at word borders, in any case."""
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, answer.split())) + r"(?!\w)"
    return [spot.span() for spot in re.finditer(pattern, context, re.IGNORECASE)]


def qed(data: Path, held: Held) -> Iterator[Item]:
    """QED without the held-out questions and passages, its text put back together."""
    with (data / "eval/qed/qed-dev-without-heldout.jsonlines").open(encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            tokens = record["paragraph_text"].split(" ")
            text, starts = detokenise(tokens)
            borders = [0]
            for token in tokens:
                borders.append(borders[-1] + len(token) + 1)
            spans = set()
            for answer in (a for answers in record["original_nq_answers"] for a in answers):
                inside = [k for k in range(len(tokens)) if answer["start"] <= borders[k] < answer["end"]]
                if inside:
                    last = inside[-1]
                    end = starts[last + 1] if last + 1 < len(starts) else len(text)
                    spans.add((starts[inside[0]], len(text[:end].rstrip())))
            if spans and not held.question(record["question_text"]) and not held.passage(text):
                yield Item(record["question_text"], text, sorted(spans), "qed", record["title_text"])


def stories(data: Path) -> Iterator[tuple[str, dict[str, str], list[dict[str, str]]]]:
    """Per story of FairytaleQA: its name, its sections by number, and the rows of its questions."""
    for split in ("train", "val"):
        for file in sorted((data / "eval/fairytaleqa/questions" / split).glob("*.csv")):
            story = data / "eval/fairytaleqa/section-stories" / split / file.name.replace("-questions", "-story")
            if not story.exists():
                continue
            with story.open(encoding="utf-8-sig") as lines:
                sections = {row["section"].strip(): row["text"] for row in csv.DictReader(lines)}
            with file.open(encoding="utf-8-sig") as lines:
                yield file.stem, sections, list(csv.DictReader(lines))


def fairytales(data: Path) -> Iterator[tuple[list[Item], list[str]]]:
    """Per story: the questions whose answer stands word for word in the section they cite; and all sections."""
    for name, texts, rows in stories(data):
        sections = {number: text.strip() for number, text in texts.items()}
        items = []
        for row in rows:
            context = sections.get(row["cor_section"].strip(), "")
            answers = [row.get(f"answer{k}") or "" for k in range(1, 5)]
            found = {s for a in answers if a.strip(" .") for s in occurrences(context, a.strip(" ."))}
            if found:
                items.append(Item(row["question"], context, sorted(found), "fairytale", name))
        yield items, list(sections.values())


def covid(data: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Per paper: its text, and pairs of question and answer text."""
    papers = json.loads((data / "eval/covidqa/covidqa.json").read_text(encoding="utf-8"))["data"]
    for paper in (part for entry in papers for part in entry["paragraphs"]):
        pairs = [(qa["question"], qa["answers"][0]["text"].strip(" .\n")) for qa in paper["qas"] if qa["answers"]]
        yield paper["context"], pairs


def redocred(data: Path) -> list[dict[str, Any]]:
    """The 500 documents with entities and relations."""
    documents: list[dict[str, Any]] = json.loads((data / "eval/redocred/dev_revised.json").read_text(encoding="utf-8"))
    return documents


def books(data: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every book and speech, without the Gutenberg frame."""
    for archive in ("us_speeches", "train_litbank_books", "train_novels_en"):
        with tarfile.open(data / f"train/{archive}.tar.xz") as tar:
            for member in tar:
                if member.isfile() and member.name.endswith(".txt") and (file := tar.extractfile(member)):
                    text = file.read().decode("utf-8", errors="replace")
                    text = re.split(r"\*\*\* ?START OF[^\n]*", text)[-1]
                    yield member.name, re.split(r"\*\*\* ?END OF", text)[0]


def windows(text: str, cuts: list[tuple[int, int]], low: int, high: int, rng: random.Random) -> Iterator[str]:
    """Runs of whole sentences of about ``low`` to ``high`` words, one after the other."""
    aim, begin = rng.randint(low, high), 0
    for k, (_, end) in enumerate(cuts):
        piece = text[cuts[begin][0] : end]
        if len(piece.split()) >= aim or k == len(cuts) - 1:
            if low // 2 <= len(piece.split()) <= high * 2:
                yield " ".join(piece.split())
            aim, begin = rng.randint(low, high), k + 1

"""Make the reader's training sets from the data folder.

    python -m training.reader_data --data ../shared/data --out build/reader

writes ``pretrain.jsonl`` (questions made from plain text), ``broad.jsonl`` (stories, papers, relations), ``real.jsonl``
(questions people typed, in groups of passages for one question), ``tune.jsonl`` and ``last.jsonl`` (mixtures), and
``dev.jsonl``. Nothing of the test half gets in: see `Held`, and `check`, which reads the files back and compares.
Rows with evaluation text go (`training.overlap`; ``reader_plain.json`` says how many); the shipped first two stages were
made before that filter and had `Held` alone.
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import click

from training.evaluation_texts import evaluation_texts
from training.overlap import Overlap
from training.reader_cloze import Example, answers_in, cloze, find_spans, recurring, sentences
from training.reader_neighbours import Neighbours
from training.reader_text import (
    Held,
    books,
    covid,
    detokenise,
    dev_split,
    fairytales,
    nq,
    nq_items,
    qed,
    redocred,
    windows,
)
from training.reader_tuning import broad, real

log = logging.getLogger(__name__)
KEPT = 6000  # questions of pre-training that stay in the tuning set
PER_PASSAGE = {"wiki": 14, "covid": 4, "fairytale": 2, "book": 1}


def plain_passages(data: Path, held: Held, rng: random.Random) -> Iterator[tuple[str, str, str]]:
    """Source, document and passage of every plain text that may be used."""
    for name, text in wiki_texts(data, held):
        yield "wiki", name, text
    for number, (text, _) in enumerate(covid(data)):
        text = " ".join(text.split())
        for piece in windows(text, sentences(text), 60, 160, rng):
            yield "covid", f"covid{number}", piece
    for number, (_, sections) in enumerate(fairytales(data)):
        for section in sections:
            text = " ".join(section.split())
            for piece in windows(text, sentences(text), 60, 160, rng):
                yield "fairytale", f"tale{number}", piece
    for name, text in books(data):
        cut = rng.randrange(max(1, len(text) - 60_000))
        text = " ".join(text[cut : cut + 60_000].split())
        for piece in windows(text, sentences(text), 60, 180, rng):
            yield "book", name, piece


def wiki_texts(data: Path, held: Held) -> Iterator[tuple[str, str]]:
    """Encyclopedia passages: even lines, QED, Re-DocRED; without what is held out."""
    for number, record in enumerate(dev_split(nq(data)[1])[1]):
        passage, paragraph = record["ctxs"][0]["text"], record["nq_annotated_gold"]["long_answer"]
        text = paragraph if 60 < len(paragraph.split()) < 250 and "<" not in paragraph else passage
        for part in {passage, text}:
            if not held.passage(part):
                yield f"nq{number}", part
    for item in qed(data, held):
        if len(item.context.split()) < 280:
            yield item.title, item.context
    for document in redocred(data):
        text = detokenise([word for sentence in document["sents"] for word in sentence])[0]
        if not held.passage(text):
            yield document["title"], text


def pretraining(data: Path, held: Held, rng: random.Random) -> Iterator[Example]:
    """Questions from plain text, a third of them also (or only) with a passage that does not answer."""
    passages = list(plain_passages(data, held, rng))
    log.info("plain passages: %s", Counter(source for source, _, _ in passages))
    documents: dict[str, list[str]] = {}
    for source, name, text in passages:
        documents.setdefault(name if source != "wiki" else "wiki", []).append(text)
    number = 0
    for source, name, text in passages:
        neighbours = documents[name if source != "wiki" else "wiki"]
        for example in questions_of(text, source, rng):
            number += 1
            group, draw = f"p{number}", rng.random()
            if draw < 0.75:
                yield Example(example.question, example.context, example.answers, f"{source}-{example.kind}", group)
            if draw > 0.6:
                other = rng.choice(neighbours)
                answer = example.context[slice(*example.answers[0])]
                if not answers_in(other.lower(), answer.lower()):
                    yield Example(example.question, other, [], f"{source}-none", group)


def questions_of(text: str, source: str, rng: random.Random) -> Iterator[Example]:
    """Some questions of one passage, a quarter of them of the recurring kind."""
    cuts = sentences(text)
    spots = [(a, b, span) for a, b in cuts for span in find_spans(text[a:b]) if 8 <= len(text[a:b].split()) <= 60]
    weights = [0.35 if span.kind == "phrase" else 1.0 for _, _, span in spots]
    chosen = sorted(range(len(spots)), key=lambda k: rng.random() ** (1 / weights[k]), reverse=True)
    for k in chosen[: PER_PASSAGE[source]]:
        if rng.random() < 0.25 and (example := recurring(text, rng)):
            yield example
            continue
        a, b, span = spots[k]
        question = cloze(text[a:b], span, rng)
        if len(question.split()) >= 3:
            yield Example(question, text, [(a + span.start, a + span.end)], span.kind)


def development(data: Path) -> Iterator[Example]:
    """Development questions, each with its gold passage first and its seven nearest among the even lines."""
    even = nq(data)[1]
    near = Neighbours([record["ctxs"][0]["text"] for record in even])
    for number, item in enumerate(nq_items(dev_split(even)[0])):
        texts = [item.context[a:b] for a, b in item.answers]
        yield Example(item.question, item.context, item.answers, "dev", f"d{number}")
        for passage in near.of(item.question, texts, 7, besides=item.context):
            yield Example(item.question, passage, [], "dev", f"d{number}")


def write(path: Path, examples: Iterable[Example], held: Held | None) -> dict[str, int]:
    """Write one example a line, held-out questions left out; returns how many of each kind."""
    counts: Counter[str] = Counter()
    with path.open("w", encoding="utf-8") as file:
        for example in examples:
            if held and held.question(example.question):
                counts["held out"] += 1
                continue
            counts[example.kind] += 1
            file.write(json.dumps(asdict(example), ensure_ascii=False) + "\n")
    return dict(counts)


def mix(out: Path, rng: random.Random) -> list[str]:
    """The lines of the tuning set: everything broad and real, and some of the questions from encyclopedia text."""
    kinds = tuple(f"wiki-{kind}" for kind in ("name", "date", "number", "place", "person", "phrase", "recurring"))
    made = [line for line in _lines(out / "pretrain.jsonl") if json.loads(line)["kind"] in kinds]
    return [*rng.sample(made, min(KEPT, len(made))), *_lines(out / "broad.jsonl"), *_lines(out / "real.jsonl")]


def last(out: Path, rng: random.Random) -> list[str]:
    """The lines of the last stage: everything real, and a fifth of the broad groups so that they are not forgotten."""
    broad_lines = _lines(out / "broad.jsonl")
    names = sorted({json.loads(line)["group"] for line in broad_lines})
    kept = set(rng.sample(names, len(names) // 5))
    return [*_lines(out / "real.jsonl"), *(line for line in broad_lines if json.loads(line)["group"] in kept)]


def _lines(path: Path) -> list[str]:
    with path.open(encoding="utf-8") as file:
        return list(file)


def check(path: Path, held: Held) -> None:
    """Read a training file back.

    Raises:
        ValueError: A held-out question or passage is in it.
    """
    for number, line in enumerate(_lines(path), 1):
        record = json.loads(line)
        if held.question(record["question"]) or held.same_passage(record["context"]):
            raise ValueError(f"{path.name}, line {number} is held out")


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/reader"))
@click.option("--only", multiple=True, help="Make only these sets.")
def main(data: Path, out: Path, only: tuple[str, ...]) -> None:
    """Write the training sets."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    held, keep = Held.from_data(data), Overlap.of(evaluation_texts(data))
    log.info("dev: %s", write(out / "dev.jsonl", development(data), None))
    makers = {"pretrain": pretraining, "broad": broad, "real": real}
    for name, maker in makers.items():
        if not only or name in only:
            made = keep.filter(
                maker(data, held, random.Random(1)), text=lambda e: [e.question, e.context], source=lambda e: e.kind
            )
            log.info("%s: %s", name, write(out / f"{name}.jsonl", made, held))
    (out / "tune.jsonl").write_text("".join(mix(out, random.Random(1))), encoding="utf-8")
    (out / "last.jsonl").write_text("".join(last(out, random.Random(2))), encoding="utf-8")
    for name in (*makers, "tune", "last"):
        check(out / f"{name}.jsonl", held)
    keep.write("reader_plain", out)


if __name__ == "__main__":
    main()

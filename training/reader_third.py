"""Make the sets of the reader's third and fourth stage, with the help of the weights of the first two.

    python -m training.reader_third --data ../shared/data --out build/reader

writes ``dev.jsonl``; ``third.jsonl``: FairytaleQA with answers that stand only nearly in the text, the steps of
StrategyQA answered by the reader itself, some relations, real questions (even lines and QED) over changed passages; and
``fourth.jsonl``: half of the real questions with three near passages each, questions written from encyclopedia text,
sifted by the reader, some with the answer's sentence taken out of the passage, and the steps again. Evaluation texts
are kept out by `Held` and by `training.overlap`; its report is ``overlap/reader.json``.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click
import torch

from ctxproc.llm.reader import SpanReader
from ctxproc.llm.span_model import Encoder, SpanModel
from ctxproc.llm.trunk import trunk_folder
from training.evaluation_texts import evaluation_texts
from training.overlap import Overlap
from training.reader_aligned import tales
from training.reader_cloze import Example, answers_in, sentences
from training.reader_data import check, development, write
from training.reader_neighbours import Neighbours
from training.reader_questions import written_questions
from training.reader_relations import relation_examples
from training.reader_sift import agreed, opinions, worth
from training.reader_steps import candidates, crowded
from training.reader_text import (
    Held,
    Item,
    covid,
    detokenise,
    dev_split,
    nq,
    nq_items,
    occurrences,
    qed,
    redocred,
)
from training.reader_tuning import around, plain, version

log = logging.getLogger(__name__)
WRITTEN = 4  # drafts of questions per passage
KINDS = frozenset("subject agent definition clause when lead how list".split())  # of these more than half are good
SEED = 3


def wiki(data: Path, held: Held) -> list[tuple[str, str]]:
    """Title and passage: even lines (the passage and the paragraph it was cut from), QED, even Re-DocRED documents."""
    pairs = []
    for record in dev_split(nq(data)[1])[1]:
        paragraph = record["nq_annotated_gold"]["long_answer"]
        whole = 50 < len(paragraph.split()) < 240 and "<" not in paragraph
        pairs.append((record["ctxs"][0]["title"], paragraph if whole else record["ctxs"][0]["text"]))
    pairs += [(item.title, item.context) for item in qed(data, held) if len(item.context.split()) < 240]
    pairs += [(document["title"], _text(document)) for document in redocred(data)[0::2]]
    return [(title, text) for title, text in dict.fromkeys(pairs) if not held.passage(text)]


def drafts(data: Path, held: Held, rng: random.Random) -> Iterator[Example]:
    """Questions written from statements, each its own group."""
    made = (e for title, text in wiki(data, held) for e in written_questions(text, title, WRITTEN, rng))
    for number, example in enumerate(made):
        if example.kind.removeprefix("written-") in KINDS:
            yield replace(example, group=f"w{number}")


def sifted(model: SpanModel, encoder: Encoder, made: list[Example], rng: random.Random) -> Iterator[Example]:
    """The drafts that are worth training on, three in ten with their passage without the answer's sentence."""
    for k, opinion in opinions(model, encoder, made):
        if worth(made[k], opinion):
            yield made[k]
            if rng.random() < 0.3 and (without := emptied(made[k])):
                yield without


def some(examples: list[Example], share: float) -> list[Example]:
    """The examples of a share of the groups, drawn at random, the same ones each time."""
    names = sorted({example.group for example in examples})
    kept = set(random.Random(SEED).sample(names, int(share * len(names))))
    return [example for example in examples if example.group in kept]


def emptied(example: Example) -> Example | None:
    """The passage less the sentences with the answer, as one that does not answer; None where little is left."""
    answer = example.context[slice(*example.answers[0])]
    parts = [example.context[a:b] for a, b in sentences(example.context)]
    left = "".join(part for part in parts if not answers_in(part, answer)).strip()
    if len(left.split()) < 30 or answers_in(left.lower(), answer.lower()):
        return None
    return Example(example.question, left, [], "emptied", example.group)


def steps(data: Path, held: Held, model: SpanModel, encoder: Encoder, rng: random.Random) -> Iterator[Example]:
    """The reader's own answers to steps of StrategyQA, where two readings agree, among facts of other records."""
    found = list(candidates(data, held))
    made = [Example(step.question, text) for step in found for text in step.readings()]
    read = dict(opinions(model, encoder, made))
    pool = Neighbours([fact for step in found for fact in step.facts])
    for k, step in enumerate(found):
        if 2 * k not in read or 2 * k + 1 not in read:
            continue
        answer = agreed(step.readings(), (read[2 * k], read[2 * k + 1]), step.question)
        if not answer:
            continue
        others = [fact for fact in pool.of(step.question, [answer], 9) if fact not in step.facts]
        others = rng.sample(others, min(len(others), rng.randint(2, 6)))
        if example := crowded(step, answer, others, f"s{k}", rng):
            yield example
            if rng.random() < 0.25 and len(others) > 2:
                yield Example(step.question, " ".join(others), [], "step-other", f"s{k}")


def real(data: Path, held: Held, rng: random.Random) -> Iterator[Example]:
    """Questions people typed, twice: the passage with three near ones, and a changed version or another cut with one."""
    even = dev_split(nq(data)[1])[1]
    paragraphs = {record["question"]: record["nq_annotated_gold"]["long_answer"] for record in even}
    items = [i for i in [*nq_items(even), *qed(data, held)] if len(i.context.split()) < 260]
    items = [i for i in items if not held.question(i.question) and not held.passage(i.context)]
    near = Neighbours([text for _, text in wiki(data, held) if len(text.split()) < 200])
    for number, item in enumerate(items):
        texts = [item.context[a:b] for a, b in item.answers]
        others = near.of(item.question, texts, 8, besides=item.context)
        rng.shuffle(others)
        yield plain(item, f"q{number}")
        yield from (Example(item.question, text, [], "real-other", f"q{number}") for text in others[:3])
        if cut := _recut(item, paragraphs.get(item.question, ""), texts):
            yield plain(cut, f"v{number}")
        else:
            yield version(item, others[4], rng, f"v{number}")
        yield Example(item.question, others[3], [], "real-other", f"v{number}")


def _recut(item: Item, paragraph: str, answers: list[str]) -> Item | None:
    """The item over the paragraph its passage was cut from, where that is another text and holds the answer."""
    found = sorted({span for answer in answers for span in occurrences(paragraph, answer)})
    fits = 20 < len(paragraph.split()) < 220 and "<" not in paragraph and paragraph not in item.context
    return Item(item.question, paragraph, found, item.source) if found and fits else None


def told(data: Path, held: Held, rng: random.Random, old: float = 0.35) -> Iterator[Example]:
    """FairytaleQA and COVID-QA: answers found by likeness, and a share of those that stand in the text to the letter."""
    for number, (items, sections) in enumerate(tales(data)):
        near = Neighbours(sections)
        for k, item in enumerate(items):
            short = len(item.context.split()) < 230
            if not short or rng.random() > (old if len(item.answers) == 1 and len(_answer(item).split()) < 3 else 0.6):
                continue
            yield plain(item, f"t{number}-{k}")
            if rng.random() < 0.15:
                for text in near.of(item.question, [_answer(item)], 1, besides=item.context):
                    yield Example(item.question, text, [], "fairytale-other", f"t{number}-{k}")
    for number, (text, pairs) in enumerate(covid(data)):
        for k, (question, answer) in enumerate(pairs):
            if (cut := around(question, text, answer, rng)) and not held.question(question):
                yield plain(cut, f"c{number}-{k}")


def _answer(item: Item) -> str:
    return item.context[slice(*item.answers[0])]


def related(data: Path, held: Held, rng: random.Random, count: int = 700) -> list[Example]:
    """Some questions from the relations of the even Re-DocRED documents; several tails make several answers."""
    documents = [d for d in redocred(data)[0::2] if not held.passage(_text(d))]
    return rng.sample(list(relation_examples(documents, rng)), count)


def _text(document: dict[str, list[list[str]]]) -> str:
    return detokenise([word for sentence in document["sents"] for word in sentence])[0]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/reader"))
@click.option("--weights", type=click.Path(path_type=Path, exists=True), help="Folder of the reader that helps.")
def main(data: Path, out: Path, weights: Path | None) -> None:
    """Write both sets."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    held, keep, rng = Held.from_data(data), Overlap.of(evaluation_texts(data)), random.Random(SEED)
    write(out / "dev.jsonl", development(data), None)
    model = SpanReader.load(dtype=torch.bfloat16, **({"weights": weights} if weights else {}))._model
    encoder = Encoder(trunk_folder())

    def allowed(examples: Iterator[Example] | list[Example]) -> list[Example]:
        return list(keep.filter(examples, text=lambda e: [e.question, e.context], source=lambda e: e.kind))

    asked = allowed(real(data, held, rng))
    told_ones, relations = allowed(told(data, held, rng)), allowed(related(data, held, rng))
    log.info("real, told, related: %d, %d, %d", len(asked), len(told_ones), len(relations))
    own = allowed(steps(data, held, model, encoder, rng))
    again = [example for example in asked if example.group.startswith("v")]
    log.info("third: %s", write(out / "third.jsonl", [*again, *told_ones, *relations, *own], held))
    made = allowed(drafts(data, held, rng))
    log.info("drafts: %s", Counter(example.kind for example in made))
    first = [example for example in asked if example.group.startswith("q")]
    written = list(sifted(model, encoder, made, rng))
    last = [*some(first, 0.5), *some(written, 0.45), *own]
    log.info("fourth: %s", write(out / "fourth.jsonl", last, held))
    for name in ("third", "fourth"):
        check(out / f"{name}.jsonl", held)
    keep.write("reader")


if __name__ == "__main__":
    main()

"""Questions with their passages for the small causal model: typed, asked of stories and papers, made from relations.

    python -m training.causal_questions --data ../shared/data --out build/causal

writes ``questions.json``: passages, each with all its questions, and the development questions of the reader. Nothing of
the test half gets in (`Held`); every second document of Re-DocRED is left to the tagger's test.
"""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import click

from training.overlap import Overlap, evaluation_texts
from training.reader_relations import relation_examples
from training.reader_text import Held, Item, covid, detokenise, dev_split, fairytales, nq, nq_items, qed, redocred
from training.reader_tuning import around

log = logging.getLogger(__name__)
LONGEST = 60  # characters of an answer


@dataclass
class Asked:
    """A passage and what is asked of it: (question, answer as it stands there)."""

    context: str
    source: str
    pairs: list[tuple[str, str]] = field(default_factory=list)


def items(data: Path, held: Held, rng: random.Random) -> Iterator[Item]:
    """All questions for training."""
    yield from nq_items(dev_split(nq(data)[1])[1])
    yield from qed(data, held)
    for own, _ in fairytales(data):
        yield from own
    for text, pairs in covid(data):
        for question, answer in pairs:
            if cut := around(question, text, answer, rng):
                yield cut
    documents = redocred(data)[0::2]
    for example in relation_examples(documents, rng):
        if example.answers:
            yield Item(example.question, example.context, example.answers, "relation")


def shortest(item: Item) -> str:
    """The shortest answer of an item; fairy tales have some of a whole clause."""
    return min((item.context[a:b] for a, b in item.answers), key=len)


def gathered(found: Iterator[Item], held: Held | None) -> list[Asked]:
    """Questions by their passage, short answers only, white space made single spaces."""
    passages: dict[str, Asked] = {}
    for item in found:
        answer, context = " ".join(shortest(item).split()), " ".join(item.context.split())
        if len(answer) > LONGEST or answer not in context:
            continue
        if held and (held.question(item.question) or held.passage(context)):
            continue
        entry = passages.setdefault(context, Asked(context, item.source))
        if (item.question, answer) not in entry.pairs:
            entry.pairs.append((item.question, answer))
    return list(passages.values())


def plain_wiki(data: Path, held: Held) -> list[str]:
    """Encyclopedia passages to make questions from."""
    texts = [item.context for item in nq_items(dev_split(nq(data)[1])[1])]
    texts += [item.context for item in qed(data, held)]
    texts += [detokenise([w for s in document["sents"] for w in s])[0] for document in redocred(data)[0::2]]
    return [text for text in dict.fromkeys(" ".join(text.split()) for text in texts) if not held.passage(text)]


def load_asked(path: Path) -> tuple[list[Asked], list[Asked], list[str]]:
    """Training passages with their questions, development ones, and passages to make questions from."""
    found = json.loads(path.read_text(encoding="utf-8"))
    train, dev = (
        [Asked(e["context"], e["source"], [(q, a) for q, a in e["pairs"]]) for e in found[k]] for k in ("train", "dev")
    )
    return train, dev, found["wiki"]


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/causal"))
def main(data: Path, out: Path) -> None:
    """Write questions.json."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    held = Held.from_data(data)
    train = gathered(items(data, held, random.Random(4)), held)
    keep = Overlap.of(evaluation_texts(data))
    train = list(keep.filter(train, text=lambda row: row.context, source=lambda row: row.source))
    wiki = [text for _, text in keep.filter([("wiki", text) for text in plain_wiki(data, held)])]
    keep.write("causal_questions")
    dev = gathered(nq_items(dev_split(nq(data)[1])[0]), None)
    for name, part in (("train", train), ("dev", dev)):
        counts = Counter(asked.source for asked in part for _ in asked.pairs)
        log.info("%s: %d passages, questions %s", name, len(part), dict(counts))
    both = {name: [asdict(asked) for asked in part] for name, part in (("train", train), ("dev", dev))}
    (out / "questions.json").write_text(json.dumps({**both, "wiki": wiki}), encoding="utf-8")


if __name__ == "__main__":
    main()

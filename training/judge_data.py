"""Make the judge's training sets from the data folder.

    python -m training.judge_data --data ../shared/data --out build/judge

writes ``train.jsonl``, ``dev.jsonl`` and the report ``training/overlap/judge.json``. A line is a group: a query, the blocks
kept so far, a block that is needed and blocks that are not (`Group`). Questions come with their passages (Natural
Questions, QED, FairytaleQA, COVID-QA, PubMedQA, Re-DocRED, StrategyQA) or are made from plain text: a sentence's key
phrases, a question or a conclusion, to be found in the text that they were taken from. Two-hop groups are made in
judge_hops.py, negatives found in judge_near.py.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import click

from ctxproc.memory.embed import Embedder
from training.judge_hops import Group, facts, named, related
from training.judge_near import Pool
from training.overlap import Overlap, evaluation_texts
from training.reader_cloze import STOP, cloze, find_spans, sentences
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

log = logging.getLogger(__name__)
OTHERS = 6  # negatives of a query
TALES, BOOKS, WIKI, HOPS, NAMES, PAPERS, FACTS = 500, 350, 350, 900, 350, 700, 1000  # groups at most
DEV = {"nq": 40, "hop-2": 40, "paper": 20}


def documents(data: Path, held: Held) -> list[dict[str, object]]:
    """The documents of Re-DocRED at even places (the odd ones test the tagger) that hold nothing held out."""
    return [d for d in redocred(data)[::2] if not held.passage(_text(d))]


def real(data: Path, held: Held, wiki: Pool, rng: random.Random) -> Iterator[Group]:
    """Questions people typed: even lines and QED, some with a block kept that does not help."""
    items = [*nq_items(dev_split(nq(data)[1])[1]), *qed(data, held)]
    for item in items:
        if held.question(item.question) or held.passage(item.context) or len(item.context.split()) > 260:
            continue
        texts = [item.context[a:b] for a, b in item.answers]
        others = wiki.of(item.question, texts, OTHERS + 1, [item.context], rng)
        kept = (others.pop(),) if rng.random() < 0.15 else ()
        if rng.random() < 0.3:  # as passages of a corpus with titles
            yield Group(item.question, f"{item.title}\n{item.context}", others[:OTHERS], "nq", kept)
        else:
            yield Group(item.question, item.context, others[:OTHERS], "nq", kept)


def tales(data: Path, rng: random.Random) -> Iterator[Group]:
    """Questions on stories: the section that answers, among the others of its story."""
    found: list[Group] = []
    for items, sections in fairytales(data):
        blocks = [" ".join(section.split()) for section in sections]
        if len(blocks) < 4:
            continue
        near = Pool(blocks)
        for item in rng.sample(items, min(len(items), 8)):
            texts = [item.context[a:b] for a, b in item.answers]
            block = " ".join(item.context.split())
            others = near.of(item.question, texts, OTHERS, [block], rng)
            if len(others) > 2:
                found.append(Group(item.question, block, others, "tale"))
    yield from rng.sample(found, min(TALES, len(found)))


def abstracts(data: Path) -> list[tuple[str, str, str]]:
    """Question, conclusion and abstract of each paper of PubMedQA."""
    papers = json.loads((data / "eval/pubmedqa/pqal.json").read_text(encoding="utf-8"))
    return [(paper["QUESTION"], paper["LONG_ANSWER"], " ".join(paper["CONTEXTS"])) for paper in papers.values()]


def papers(data: Path, held: Held, embedder: Embedder, rng: random.Random) -> Iterator[Group]:
    """Questions, titles and conclusions against abstracts, questions and key phrases against pieces of papers."""
    known = abstracts(data)
    near = Pool([text for _, _, text in known], embedder)
    for question, conclusion, text in known:
        query = question if rng.random() < 0.6 else first_sentence(conclusion)
        yield typed(Group(query, text, near.of(query, [], OTHERS, [text], rng), "paper"), rng)
    cut = [(list(windows(_line(text), sentences(_line(text)), 80, 160, rng)), pairs) for text, pairs in covid(data)]
    near = Pool([piece for pieces, _ in cut for piece in pieces])
    made: list[Group] = []
    for pieces, pairs in cut:
        for question, answer in pairs:
            bare = f" {normal_words(answer)} "
            holding = [piece for piece in pieces if bare in f" {normal_words(piece)} "]
            if len(holding) == 1 and not held.question(question):
                made.append(Group(question, holding[0], near.of(question, [answer], OTHERS, holding, rng), "covid"))
        for piece in rng.sample(pieces, min(8, len(pieces))):
            if found := inverse(piece, rng):
                query, rest = found
                made.append(typed(Group(query, rest, near.of(query, [], OTHERS, [piece], rng), "paper-cloze"), rng))
    yield from rng.sample(made, min(PAPERS, len(made)))


def plain(passages: Iterable[str], near: Pool, kind: str, most: int, rng: random.Random) -> Iterator[Group]:
    """Queries from plain text: a cloze or the key phrases of a sentence that is then taken out of its block."""
    some = list(passages)
    for passage in rng.sample(some, min(most, len(some))):
        if found := inverse(passage, rng):
            query, rest = found
            yield Group(query, rest, near.of(query, [], OTHERS, [passage], rng), kind)


def inverse(passage: str, rng: random.Random) -> tuple[str, str] | None:
    """A query from one sentence, and the passage, from which the sentence is taken out half the time."""
    cuts = [(a, b) for a, b in sentences(passage) if len(passage[a:b].split()) > 7]
    if len(cuts) < 3:
        return None
    a, b = rng.choice(cuts)
    sentence, spans = passage[a:b], find_spans(passage[a:b])
    if spans and rng.random() < 0.5:
        query = cloze(sentence, rng.choice(spans), rng)
    else:
        words = [w for w in re.findall(r"[\w'-]+", sentence) if w.lower() not in STOP or rng.random() < 0.3]
        query = " ".join(words[: rng.randint(5, 16)])
    rest = passage if rng.random() < 0.5 else f"{passage[:a]}{passage[b:]}".strip()
    return query, rest


def typed(group: Group, rng: random.Random) -> Group:
    """The group, half the time as old collections spell: lower case, marks apart, titles on lines of their own."""
    if rng.random() < 0.5:
        return group

    def old(text: str) -> str:
        return re.sub(r"([.,;:?!()])", r" \1 ", text.lower()).replace("  ", " ").strip()

    return Group(old(group.query), old(group.block), [old(o) for o in group.others], group.kind)


def first_sentence(text: str) -> str:
    """Up to the first end of a sentence."""
    return text[slice(*sentences(text)[0])].strip() if text else ""


def normal_words(text: str) -> str:
    """Lower case, words only."""
    return " ".join(re.findall(r"\w+", text.lower()))


def tuning(data: Path, held: Held, embedder: Embedder, rng: random.Random) -> Iterator[Group]:
    """All training groups."""
    records = documents(data, held)
    pieces = [(str(d["title"]), piece) for d in records for piece in _pieces(_text(d), rng)]
    items = [*nq_items(dev_split(nq(data)[1])[1]), *qed(data, held)]
    items = [i for i in items if not held.passage(i.context) and len(i.context.split()) < 260]
    passages = [(item.title, item.context) for item in items] + pieces
    wiki = Pool([text for _, text in passages], embedder)
    log.info("%d passages", len(wiki.blocks))
    yield from real(data, held, wiki, rng)
    yield from tales(data, rng)
    yield from papers(data, held, embedder, rng)
    yield from islice(facts(data, rng), FACTS)
    near = Pool([text for _, text in passages])
    log.info("real questions done")
    yield from related(records, near, rng, HOPS)  # type: ignore[arg-type]
    yield from named(passages, near, rng, NAMES)
    yield from plain([text for _, text in passages], near, "wiki-cloze", WIKI, rng)
    read = [piece for name, text in books(data) if "litbank" not in name for piece in _read(text, rng)]
    near = Pool(read)
    yield from plain(read, near, "book-cloze", BOOKS, rng)


def development(data: Path, embedder: Embedder, rng: random.Random) -> Iterator[Group]:
    """Development questions of Natural Questions, with their nearest passages among the even lines."""
    even = nq(data)[1]
    near = Pool([record["ctxs"][0]["text"] for record in even], embedder)
    for item in list(nq_items(dev_split(even)[0]))[: DEV["nq"]]:
        texts = [item.context[a:b] for a, b in item.answers]
        yield Group(item.question, item.context, near.of(item.question, texts, OTHERS, [item.context], rng), "nq")


def _pieces(text: str, rng: random.Random) -> list[str]:
    return list(windows(text, sentences(text), 60, 120, rng))


def _read(text: str, rng: random.Random) -> list[str]:
    cut = rng.randrange(max(1, len(text) - 20_000))
    return _pieces(_line(text[cut : cut + 20_000]), rng)[:12]


def _line(text: str) -> str:
    return " ".join(text.split())


def _text(document: dict[str, object]) -> str:
    sents: list[list[str]] = document["sents"]  # type: ignore[assignment]
    return detokenise([word for sentence in sents for word in sentence])[0]


def split_off(groups: list[Group], rng: random.Random) -> tuple[list[Group], list[Group]]:
    """Training groups and development groups, no block of the latter's needed ones being in the former."""
    dev: list[Group] = []
    for kind, count in DEV.items():
        some = [group for group in groups if group.kind == kind] if kind != "nq" else []
        dev += rng.sample(some, min(count, len(some)))
    blocks, queries = {group.block for group in dev}, {group.query for group in dev}
    return [g for g in groups if g.block not in blocks and g.query not in queries], dev


def clean(groups: Sequence[Group], keep: Overlap) -> Iterator[Group]:
    """The groups without evaluation text: negatives that have some are left out, and groups whose other texts do."""
    kinds = {text: group.kind for group in groups for text in (*group.others, group.query, group.block, *group.kept)}
    fine = {text for _, text in keep.filter((kind, text) for text, kind in kinds.items())}
    for group in groups:
        others = [other for other in group.others if other in fine]
        if others and fine.issuperset((group.query, group.block, *group.kept)):
            yield replace(group, others=others)


def write(path: Path, groups: Iterable[Group]) -> dict[str, int]:
    """One group a line; returns how many of each kind."""
    counts: Counter[str] = Counter()
    with path.open("w", encoding="utf-8") as file:
        for group in groups:
            counts[group.kind] += 1
            file.write(json.dumps(asdict(group), ensure_ascii=False) + "\n")
    return dict(counts)


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/judge"))
def main(data: Path, out: Path) -> None:
    """Write the training and the development groups."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    rng, held, embedder = random.Random(1), Held.from_data(data), Embedder()
    made = [group for group in tuning(data, held, embedder, rng) if not held.question(group.query)]
    keep = Overlap.of(evaluation_texts(data))
    groups, dev = split_off(list(clean(made, keep)), rng)
    keep.write("judge")
    log.info("train: %s", write(out / "train.jsonl", groups))
    log.info("dev: %s", write(out / "dev.jsonl", [*development(data, embedder, rng), *dev]))


if __name__ == "__main__":
    main()

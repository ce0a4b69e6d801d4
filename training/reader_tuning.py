"""The tuning set: real questions and templated ones, each with its passage and passages that do not answer it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from training.reader_cloze import Example, sentences
from training.reader_neighbours import Neighbours
from training.reader_relations import relation_examples
from training.reader_text import (
    Held,
    Item,
    covid,
    detokenise,
    dev_split,
    fairytales,
    nq,
    nq_items,
    occurrences,
    qed,
    windows,
)
from training.reader_text import redocred as redocred_documents

__all__ = ["broad", "real"]


def broad(data: Path, held: Held, rng: random.Random) -> Iterator[Example]:
    """Stories, papers and relations: many questions, of other kinds than people search for."""
    for number, (items, sections) in enumerate(fairytales(data)):
        near = Neighbours(sections)
        for k, item in enumerate(items):
            if any(b - a < 90 for a, b in item.answers):
                yield from with_neighbours(item, near, f"t{number}-{k}", 1 if rng.random() < 0.4 else 0)
    for number, (text, pairs) in enumerate(covid(data)):
        near = Neighbours(list(windows(text, sentences(text), 80, 160, rng)))
        for k, (question, answer) in enumerate(pairs):
            if (cut := around(question, text, answer, rng)) and not held.question(question):
                yield from with_neighbours(cut, near, f"c{number}-{k}", 1)
    documents = [d for d in redocred_documents(data) if not held.passage(_text(d))]
    near = Neighbours([_text(d) for d in documents])
    for example in relation_examples(documents, rng):
        yield example
        if example.answers and rng.random() < 0.3:
            texts = [example.context[a:b] for a, b in example.answers]
            for passage in near.of(example.question, texts, 1, besides=example.context):
                yield Example(example.question, passage, [], "relation-other", example.group)


def real(data: Path, held: Held, rng: random.Random, copies: int = 3, negatives: int = 2) -> Iterator[Example]:
    """Questions people typed: even lines and QED, in several versions, each with near passages of all of theirs."""
    even = dev_split(nq(data)[1])[1]
    items = [i for i in [*nq_items(even), *qed(data, held)] if len(i.context.split()) < 260]
    items = [i for i in items if not held.question(i.question) and not held.passage(i.context)]
    pool = [item.context for item in items] + [_text(d) for d in redocred_documents(data)]
    near = Neighbours([passage for passage in pool if not held.passage(passage)])
    for number, item in enumerate(items):
        texts = [item.context[a:b] for a, b in item.answers]
        others = near.of(item.question, texts, negatives * copies + 3, besides=item.context)
        rng.shuffle(others)
        for copy in range(copies):
            group = f"q{number}-{copy}"
            yield version(item, others[-1], rng, group) if copy else plain(item, group)
            for passage in others[copy * negatives : (copy + 1) * negatives]:
                yield Example(item.question, passage, [], f"{item.source}-other", group)


def plain(item: Item, group: str) -> Example:
    """The item as it is."""
    return Example(item.question, item.context, item.answers, item.source, group)


def version(item: Item, other: str, rng: random.Random, group: str) -> Example:
    """The item with its question or its passage a little changed: a word less, a capital, text before or after."""
    words, draw = item.question.split(), rng.random()
    if draw < 0.3 and len(words) > 5:
        words.pop(rng.randrange(1, len(words)))
    question = " ".join(words)
    if draw > 0.85:
        question = question[:1].upper() + question[1:] + "?"
    context, answers = item.context, item.answers
    if rng.random() < 0.4:
        cuts = sentences(other)
        piece = " ".join(other[slice(*cuts[k])].strip() for k in range(min(len(cuts), rng.randint(1, 3))))
        if rng.random() < 0.5:
            context = f"{context} {piece}"
        else:
            context = f"{piece} {context}"
            answers = [(a + len(piece) + 1, b + len(piece) + 1) for a, b in answers]
    return Example(question, context, answers, item.source, group)


def with_neighbours(item: Item, near: Neighbours, group: str, count: int) -> Iterator[Example]:
    """The item and the nearest ``count`` passages without its answer."""
    yield plain(item, group)
    texts = [item.context[a:b] for a, b in item.answers]
    for passage in near.of(item.question, texts, count, besides=item.context) if count else []:
        yield Example(item.question, passage, [], f"{item.source}-other", group)


def around(question: str, text: str, answer: str, rng: random.Random) -> Item | None:
    """A passage of about 130 words cut around the answer, at spaces."""
    if not answer or len(answer) > 150 or not (found := occurrences(text, answer)):
        return None
    start, end = found[0]
    left = max(0, start - rng.randint(50, 750))
    right = min(len(text), end + rng.randint(50, 750))
    left = text.find(" ", left) + 1 if left else 0
    right = text.rfind(" ", end, right) if right < len(text) else right
    passage = text[left : max(right, end)]
    return Item(question, passage, [(a, b) for a, b in occurrences(passage, answer)], "covid")


def _text(document: dict[str, list[list[str]]]) -> str:
    return detokenise([word for sentence in document["sents"] for word in sentence])[0]

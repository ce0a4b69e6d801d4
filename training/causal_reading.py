"""Reading: questions made from a passage, answered in a few words with a quotation; verdicts; plain and repeated text."""

from __future__ import annotations

import random

from training.causal_tasks import SHORT, Example, Part, Source, asked, brief, missing, prefix, reply
from training.reader_cloze import Span, cloze, find_spans, sentences


def reading(source: Source, rng: random.Random) -> Example:
    """A passage, some questions that it answers and perhaps one that it does not."""
    passage = rng.choice(source.pool.passages)
    if rng.random() < 0.5 and source.longest > 400:
        passage = f"{passage} {rng.choice(source.pool.passages)}"
    spots = places(passage, rng)
    if len(spots) < 2:
        return Example([])
    framed = rng.random() < 0.75
    form = rng.randrange(len(SHORT))
    example = Example([prefix(), Part(passage)] if framed else [Part(passage)])
    step = rng.choice(["answer", "answer", "map_reduce.map"])
    for sentence, span in spots[: rng.randint(2, 4)]:
        question, answer = cloze(sentence, span, rng), sentence[span.start : span.end]
        if len(question.split()) < 4:
            continue
        if framed and rng.random() < 0.2:
            example.tasks.append(verdict(question, answer, span, spots, rng))
        elif framed:
            example.tasks.append([*asked(step, question), *reply(answer, sentence.strip())])
        else:
            example.tasks.append([*brief(question, form), *reply(answer)])
    if rng.random() < 0.5:
        other = places(rng.choice(source.pool.passages), rng)
        if other and len(question := cloze(*other[0], rng)) > 15:
            example.tasks.append([*(asked(step, question) if framed else brief(question, form)), *missing()])
    return example


def places(passage: str, rng: random.Random) -> list[tuple[str, Span]]:
    """Sentences of a passage, each with one span to ask for, in random order; names and numbers before phrases."""
    found = []
    for a, b in sentences(passage):
        sentence = passage[a:b]
        spans = find_spans(sentence) if 6 <= len(sentence.split()) <= 45 else []
        if spans:
            span = max(spans, key=lambda span: rng.random() * (0.4 if span.kind == "phrase" else 1.0))
            found.append((sentence, span))
    rng.shuffle(found)
    return found


def verdict(question: str, answer: str, span: Span, spots: list[tuple[str, Span]], rng: random.Random) -> list[Part]:
    """Whether a proposed answer is the one: half of them are, the others are other spans of the passage."""
    others = [sentence[s.start : s.end] for sentence, s in spots if sentence[s.start : s.end] != answer]
    wrong = bool(others) and rng.random() < 0.5
    proposed = rng.choice(others) if wrong else answer
    return [*asked("map_rerank.judge", question, answer=proposed), Part(" no" if wrong else " yes", 1.0)]


def plain(source: Source, rng: random.Random) -> Example:
    """A passage to be continued word by word, from its beginning."""
    return Example([Part(rng.choice(source.pool.passages), 0.2)])


def repeated(source: Source, rng: random.Random) -> Example:
    """Words in no order, and the same again, from a place in between."""
    count = rng.randint(8, max(9, source.longest // 4))
    bag = source.pool.words[:9000] if rng.random() < 0.7 else source.pool.names
    words = [rng.choice(bag) for _ in range(count)]
    begin = rng.randrange(count // 2)
    return Example(
        [
            Part(" ".join(words[: begin + 2]) + " " + " ".join(words[begin + 2 :]) + "\n" + words[begin]),
            Part("".join(f" {word}" for word in words[begin + 1 :]), 1.0),
        ]
    )

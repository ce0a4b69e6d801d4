"""Reading: questions that people asked or that are made from a passage, answered in a few words; verdicts."""

from __future__ import annotations

import itertools
import random

from training.causal_questions import Asked
from training.causal_tasks import (
    COPYING,
    READING,
    SHORT,
    Example,
    Part,
    Source,
    Task,
    asked,
    brief,
    missing,
    prefix,
    replied,
)
from training.reader_cloze import Span, cloze, find_spans, sentences
from training.reader_questions import written_questions

KEPT = {"qed": 0.8, "fairytale": 0.2, "covid": 0.3}  # how often a passage that is drawn is used; else always
STEPS = ["answer", "answer", "answer", "map_reduce.map", "refine.improve"]


def real(source: Source, rng: random.Random) -> Example:
    """A passage that people asked questions of, with questions made from it besides."""
    entry = rng.choice(source.asked)
    while rng.random() > KEPT.get(entry.source, 1.0):
        entry = rng.choice(source.asked)
    passage, pairs = excerpt(entry, int(source.longest * rng.uniform(0.3, 0.5)), rng)
    spots = places(passage, rng)[:3]
    told = [(question, answer, sentence_of(passage, answer)) for question, answer in pairs]
    told += made(passage, spots, source, rng)
    return questioned(passage, told[:7], spots, source, rng)


def reading(source: Source, rng: random.Random) -> Example:
    """A passage and questions made from it."""
    share = 0.3 if source.progress < COPYING else 0.45
    passage = rng.choice(source.wiki if rng.random() < share else source.pool.passages)
    passage = excerpt(Asked(passage, ""), int(source.longest * rng.uniform(0.25, 0.5)), rng)[0]
    spots = places(passage, rng)
    return questioned(passage, made(passage, spots[:5], source, rng), spots, source, rng)


def made(passage: str, spots: list[tuple[str, Span]], source: Source, rng: random.Random) -> list[tuple[str, str, str]]:
    """Questions made from a passage with their answers and sentences: in whole sentences where that can be, or rough."""
    told = [(cloze(sentence, span, rng), sentence[span.start : span.end], sentence) for sentence, span in spots]
    if source.progress < COPYING:
        return told
    written = []
    for example in written_questions(passage, "", 4, rng):
        answer = passage[slice(*example.answers[0])]
        bare = example.question.rstrip("?")
        question = bare.lower() if rng.random() < 0.6 else f"{bare}?"
        written.append((question, answer, sentence_of(passage, answer)))
    return [pair for both in itertools.zip_longest(written, told) for pair in both if pair]


def questioned(
    passage: str, told: list[tuple[str, str, str]], spots: list[tuple[str, Span]], source: Source, rng: random.Random
) -> Example:
    """An example of questions with their answers and the sentences that give them, framed as a strategy does, or not."""
    framed, form, step = source.framed(rng), rng.randrange(len(SHORT)), rng.choice(STEPS)
    example = Example([prefix(), Part(passage)] if framed else [Part(passage)])

    def ask(question: str) -> list[Part]:
        if not framed:
            return brief(question, form)
        values = {"answer": "NOT FOUND"} if step == "refine.improve" else {}
        return asked(step, question, **values)

    for question, answer, sentence in told:
        if len(question.split()) < 4:
            continue
        if framed and rng.random() < 0.08:
            example.tasks.append(verdict(question, answer, spots, rng))
        elif framed:
            draw = rng.random()
            example.tasks.append(replied(ask(question), answer, sentence.strip(), open_end=draw < 0.75))
        else:
            example.tasks.append(replied(ask(question), answer))
    if source.progress > READING and rng.random() < (0.06 if source.closing else 0.2) and example.tasks:
        other = rng.choice(source.asked)
        if other.pairs and not set(other.context.split()[:3]) & set(passage.split()[:3]):
            example.tasks.insert(1, missing(ask(rng.choice(other.pairs)[0])))
    return example


def excerpt(entry: Asked, tokens: int, rng: random.Random) -> tuple[str, list[tuple[str, str]]]:
    """Whole sentences of about so many tokens, the answer of one of the questions among them; what they answer."""
    passage, pairs = entry.context, list(entry.pairs)
    words = max(30, int(tokens / 1.4))
    rng.shuffle(pairs)
    if len(passage.split()) > words:
        cuts = sentences(passage)
        at = passage.find(pairs[0][1]) if pairs else rng.randrange(len(passage))
        first = last = next(k for k, (_, b) in enumerate(cuts) if at < b)
        size = len(passage[slice(*cuts[first])].split())
        while size < words and (first > 0 or last + 1 < len(cuts)):
            down = first > 0 and (last + 1 == len(cuts) or rng.random() < 0.5)
            first, last = (first - 1, last) if down else (first, last + 1)
            size += len(passage[slice(*cuts[first if down else last])].split())
        passage = passage[cuts[first][0] : cuts[last][1]].strip()
    return passage, [(question, answer) for question, answer in pairs if answer in passage]


def sentence_of(passage: str, answer: str) -> str:
    """The sentence in which an answer first stands."""
    at = passage.find(answer)
    return next((passage[a:b].strip() for a, b in sentences(passage) if a <= at < b), passage)


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


def verdict(question: str, answer: str, spots: list[tuple[str, Span]], rng: random.Random) -> Task:
    """Whether a proposed answer is the one: half of them are, the others are other spans of the passage."""
    others = [sentence[s.start : s.end] for sentence, s in spots if sentence[s.start : s.end] != answer]
    wrong = bool(others) and rng.random() < 0.5
    proposed = rng.choice(others) if wrong else answer
    return Task(asked("map_rerank.judge", question, answer=proposed), [Part(" no" if wrong else " yes", 0.5)])

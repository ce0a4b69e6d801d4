"""The tagger's training rows as token ids: texts are altered anew in each pass, and batched by length."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from ctxproc.llm.tagger_model import LONGEST, Thing
from ctxproc.llm.tagger_words import Splitter, Words
from training.tagger_chat import lower
from training.tagger_data import Record

__all__ = ["Row", "altered", "batches", "rows"]

ROOM = 510
POOL = 24  # batches that are sorted by length together
LOW, HIGH, RENAMED = 0.2, 0.04, 0.3
"""Shares of texts that are read in lower case, in capitals, and with other names for people."""


@dataclass(frozen=True)
class Row:
    """A text as it is read, and what is to be found, by words.

    Attributes:
        words: the text.
        mentions: first word, last word, number of the kind.
        record: the text, and what is known of it, by characters.
        things: what the relations are between.
        related: head, tail, number of the relation.
        nouns: words that are concepts by themselves.
    """

    words: Words
    mentions: list[tuple[int, int, int]]
    record: Record
    things: list[Thing]
    related: list[tuple[int, int, int]]
    nouns: list[int]


def rows(records: Sequence[Record], splitter: Splitter) -> list[Row]:
    """As they are; what lies beyond the first `ROOM` tokens of a text is left out."""
    split = splitter.split([record.text for record in records])
    return [_row(record, words) for record, words in zip(records, split, strict=True)]


def _row(record: Record, words: Words) -> Row:
    fit = sum(last < ROOM for last in words.last)
    words = words.slice(0, fit)
    begins = {start: k for k, (start, _) in enumerate(words.spans)}
    ends = {end: k for k, (_, end) in enumerate(words.spans)}
    placed = []
    for start, end, kind in record.mentions:
        first, last = begins.get(start), ends.get(end)
        fits = first is not None and last is not None and 0 <= last - first < LONGEST
        placed.append((first, last, kind) if fits else None)
    things, numbers = [], dict[int, int]()
    for number, mentions in enumerate(record.things):
        here = [one for k in mentions if (one := placed[k]) is not None]
        if here:
            numbers[number] = len(things)
            things.append(Thing([(a, b) for a, b, _ in here], here[0][2]))  # type: ignore[misc]
    related = [(numbers[h], numbers[t], r) for h, t, r in record.relations if h in numbers and t in numbers]
    nouns = [begins[start] for start, _ in record.nouns if start in begins]
    found = [
        (a, b, kind) for one in placed if one is not None for a, b, kind in [one] if a is not None and b is not None
    ]
    return Row(words, sorted(set(found)), record, things, related, nouns)


def altered(record: Record, people: Sequence[str], rng: random.Random) -> Record:
    """A text in lower case, in capitals, or with other names for people, or as it is, at random."""
    if record.source != "chat" and rng.random() < RENAMED:
        record = renamed(record, people, rng)
    draw = rng.random()
    if record.source == "chat" or draw > LOW + HIGH:
        return record
    text = lower(record.text) if draw < LOW else _upper(record.text)
    return replace(record, text=text)


def _upper(text: str) -> str:
    return "".join(high if len(high := letter.upper()) == 1 else letter for letter in text)


def renamed(record: Record, people: Sequence[str], rng: random.Random) -> Record:
    """Each word of a person's name that has a capital becomes another one, the same wherever it stands in such a name."""
    other: dict[str, str] = {}
    cuts: dict[int, tuple[int, str]] = {}
    for start, end, kind in record.mentions:
        place = start
        for word in record.text[start:end].split(" ") if kind == 0 else []:
            if word.isalpha() and word[0].isupper() and len(word) > 2 and not word.isupper():
                cuts[place] = (place + len(word), other.setdefault(word, rng.choice(people)))
            place += len(word) + 1
    pieces, moved, place, shift = [], dict[int, int](), 0, 0
    for start in sorted(cuts):
        end, word = cuts[start]
        if start < place:
            continue
        pieces += [record.text[place:start], word]
        moved[end] = len(word) - (end - start)
        place = end
    pieces.append(record.text[place:])
    borders = sorted(moved)
    shifts = [0, *accumulate(moved[border] for border in borders)]

    def at(character: int) -> int:
        nonlocal shift
        shift = shifts[sum(border <= character for border in borders)]
        return character + shift

    return replace(
        record,
        text="".join(pieces),
        mentions=[(at(a), at(b), kind) for a, b, kind in record.mentions],
        nouns=[(at(a), at(b)) for a, b in record.nouns],
    )


def batches(
    records: Sequence[Record],
    people: Sequence[str],
    splitter: Splitter,
    *,
    budget: int,
    weights: Mapping[str, float],
    seed: int,
) -> Iterator[list[Row]]:
    """One pass over shuffled, altered texts in batches of ``budget`` padded tokens; a text longer than that is alone.

    Args:
        records: of training.
        people: words of names.
        splitter: of the trunk.
        budget: tokens.
        weights: share of each source's texts that a pass has.
        seed: draws everything.
    """
    rng = random.Random(seed)
    chosen = [record for record in records if rng.random() < weights.get(record.source, 1.0)]
    rng.shuffle(chosen)
    pool: list[Row] = []
    size = 0
    for begin in range(0, len(chosen), 64):
        for row in rows([altered(record, people, rng) for record in chosen[begin : begin + 64]], splitter):
            if len(row.words):
                pool.append(row)
                size += len(row.words.ids)
        if size > POOL * budget:
            yield from _cut(pool, budget, rng)
            pool, size = [], 0
    yield from _cut(pool, budget, rng)


def _cut(pool: list[Row], budget: int, rng: random.Random) -> list[list[Row]]:
    cut: list[list[Row]] = [[]]
    for row in sorted(pool, key=lambda row: len(row.words.ids)):
        if cut[-1] and (len(cut[-1]) + 1) * len(row.words.ids) > budget:
            cut.append([])
        cut[-1].append(row)
    cut = [batch for batch in cut if batch]
    rng.shuffle(cut)
    return cut

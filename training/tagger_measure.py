"""How well a tagger finds mentions and relations: exact spans, by source; relations between annotated things."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence

import torch

from ctxproc.llm.tagger_choice import chosen
from ctxproc.llm.tagger_model import Batch, TaggerModel
from training.tagger_batches import Row

__all__ = ["Counts", "f1", "figures", "interval", "mention_counts", "tagged"]

Counts = tuple[int, int, int]
"""Right, found, to be found."""

Mention = tuple[int, int, int]
SIZE = 8


@torch.no_grad()
def figures(model: TaggerModel, dev: Sequence[Row]) -> dict[str, float]:
    """F1 of mentions with and without kinds by source, of concepts and relations; "score" is a mean of them."""
    found: dict[str, float] = {}
    counts: dict[str, list[Counts]] = {}
    for row, mentions, nouns, related in tagged(model, dev):
        source = row.record.source
        counts.setdefault(f"{source} typed", []).append(mention_counts(mentions, row, True))
        counts.setdefault(f"{source} spans", []).append(mention_counts(mentions, row, False))
        counts.setdefault("nouns", []).append(_counts(nouns, row.nouns))
        if row.things:
            counts.setdefault("relations", []).append(_counts(related, row.related))
    found = {name: f1(some) for name, some in counts.items()}
    parts = {"redocred typed": 0.5, "litbank typed": 0.3, "relations": 0.2}
    return {**found, "score": sum(weight * found.get(name, 0.0) for name, weight in parts.items())}


@torch.no_grad()
def tagged(
    model: TaggerModel, rows: Sequence[Row]
) -> Iterator[tuple[Row, list[Mention], list[int], list[tuple[int, int, int]]]]:
    """Of each row its mentions, concepts, and the relations between its annotated things, shortest row first."""
    order = sorted(rows, key=lambda row: len(row.words.ids))
    for begin in range(0, len(order), SIZE):
        part = order[begin : begin + SIZE]
        batch = Batch.of([row.words for row in part])
        read = model.read(batch)
        spans, nouns = model.spans(read, batch.words), model.nouns(read)
        for k, row in enumerate(part):
            mentions = [(a, b, kind) for a, b, kind, _ in chosen(spans[k], 0.0)]
            words = (nouns[k, : len(row.words)] > 0).nonzero().flatten().tolist()
            related = []
            if len(row.things) > 1:
                scores = model.related(read, k, batch, row.things)
                above = (scores > scores[..., :1]).nonzero().tolist()
                related = [(h, t, r - 1) for h, t, r in above if h != t]
            yield row, mentions, words, related


def mention_counts(found: Iterable[Mention], row: Row, typed: bool) -> Counts:
    """Of a row: spans of kinds that are known there; without ``typed`` the kinds need not agree."""
    known = set(row.record.known)
    mine = {one if typed else one[:2] for one in found if one[2] in known}
    theirs = {one if typed else one[:2] for one in row.mentions if one[2] in known}
    return len(mine & theirs), len(mine), len(theirs)


def _counts(found: Iterable[object], gold: Iterable[object]) -> Counts:
    mine, theirs = set(found), set(gold)
    return len(mine & theirs), len(mine), len(theirs)


def f1(rows: Iterable[Counts]) -> float:
    """Of the sums, in percent."""
    right, found, gold = (sum(part) for part in zip(*rows, strict=True))
    return 200 * right / max(1, found + gold)


def interval(rows: Sequence[Counts], draws: int = 1000, seed: int = 0) -> tuple[float, float]:
    """95 % of the F1 by a bootstrap over documents."""
    rng = random.Random(seed)
    values = sorted(f1(rng.choices(rows, k=len(rows))) for _ in range(draws))
    return values[int(0.025 * draws)], values[int(0.975 * draws)]

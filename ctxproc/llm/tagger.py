"""The built-in tagger: mentions of people, places and other things in a text, relations between them, single concepts.

It runs on the embeddings of the trunk of all-MiniLM-L6-v2, with layers of its own above them (tagger_model.py). It
knows English; it does not say which thing of the world a mention stands for, and relates only what stands in one window
of the text and is called by a name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from ctxproc.errors import ModelError
from ctxproc.llm.delta import empty_trunk, fill, read_model
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.tagger_choice import chosen, clashes, named_things, nearest
from ctxproc.llm.tagger_model import KINDS, NAMES, Batch, Read, TaggerModel, unpacked
from ctxproc.llm.tagger_words import Splitter, Words
from ctxproc.llm.trunk import trunk_folder
from ctxproc.measures import logistic

ROOM = 510
"""Tokens of a text that is read in one piece."""

WINDOW = 384
"""Tokens of each piece of a longer text, at most."""

OVERLAP = 48
"""Words that neighbouring pieces share, half a piece at most: on each side of the border as many as a mention may have."""

THINGS = 64
"""Of a piece that are related with each other: the first ones."""


class Mention(NamedTuple):
    """Where a text names something: its characters, one of `KINDS`, and the probability that this is right."""

    start: int
    end: int
    kind: str
    score: float


class Relation(NamedTuple):
    """What holds between two mentions: their places in the list of mentions, a phrase, and its probability."""

    head: int
    tail: int
    name: str
    score: float


class Tagged(NamedTuple):
    """What was found in a text.

    Attributes:
        mentions: in order. Names do not overlap; a phrase may hold others.
        relations: each between the two nearest mentions of a pair of things, in order.
        concepts: the characters of the words that are nouns, names or numbers, each by itself, in order.
    """

    mentions: list[Mention]
    relations: list[Relation]
    concepts: list[tuple[int, int]]


@dataclass(frozen=True)
class Calibration:
    """Fitted on development texts.

    Attributes:
        least: of each kind, the score above which a span is a mention of it.
        offset, slope: a mention's probability is the logistic function of offset + slope * score.
        margin: by how much a relation's score must be above the pair's threshold.
        relation_offset, relation_slope: a relation's probability, of its score less the pair's threshold.
    """

    least: tuple[float, ...]
    offset: float
    slope: float
    margin: float
    relation_offset: float
    relation_slope: float


class Window(NamedTuple):
    """A piece of a text: its first word and one past its last, and those of the words that it answers for."""

    start: int
    end: int
    low: int
    high: int


class _Found(NamedTuple):
    """Of a window, by words of the text: mentions with scores, and related pairs of mentions."""

    mentions: list[tuple[int, int, int, float]]
    related: list[tuple[tuple[int, int], tuple[int, int], int, float]]
    concepts: list[int]


class Tagger:
    """Reads texts with the shipped weights. Holds no state between calls; texts do not influence each other."""

    def __init__(
        self, model: TaggerModel, splitter: Splitter, relations: Sequence[str], calibration: Calibration
    ) -> None:
        """Use a model as it is; `load` makes one from the shipped weights."""
        self._model = model.eval()
        self._splitter = splitter
        self.relations = tuple(relations)
        self._calibration = calibration
        self._device = model.border.weight.device
        self._least = torch.tensor(calibration.least, device=self._device)

    @classmethod
    def load(
        cls, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, weights: Path = WEIGHTS
    ) -> Tagger:
        """The installed trunk's first layers plus the shipped ones.

        Args:
            device: where to run.
            dtype: of the layers; fp32 unless given. The heads always run in fp32.
            weights: folder with ``tagger.safetensors`` and ``tagger.json``.

        Raises:
            ModelError: the trunk is not installed, is not the one trained on, or the weights do not fit it.
        """
        facts, tensors = read_model("tagger", weights)
        shared, own, relations = _parts(facts)
        trunk = empty_trunk()
        del trunk.encoder.layer[shared:]
        model = TaggerModel(trunk, own, len(relations))
        fill(model, unpacked(tensors, shared, own), "tagger")
        nn.Module.to(trunk, dtype or torch.float32)
        model.layers.to(dtype or torch.float32)
        return cls(model.to(device), Splitter(trunk_folder()), relations, _calibration(facts))

    def tag(self, texts: Sequence[str], *, relations: bool = True, batch_size: int = 8) -> list[Tagged]:
        """Find mentions, relations and concepts.

        A text of more than `ROOM` tokens is read in pieces that overlap; each mention is taken from the piece in which it
        stands farther from the border, and relations are found within a piece.

        Args:
            texts: any length, any language, though the vocabulary is English.
            relations: look for them as well.
            batch_size: pieces read together.

        Returns:
            One for each text, with characters of the text as given.
        """
        words = self._splitter.split(texts)
        pieces = [(number, window) for number, one in enumerate(words) for window in windows(one)]
        items = [words[number].slice(window.start, window.end) for number, window in pieces]
        found: list[_Found] = [_Found([], [], [])] * len(pieces)
        order = sorted((k for k, item in enumerate(items) if _legible(item)), key=lambda k: len(items[k].ids))
        for begin in range(0, len(order), batch_size):
            part = order[begin : begin + batch_size]
            for k, one in zip(part, self._read([items[k] for k in part], texts, pieces, part, relations), strict=True):
                found[k] = one
        parts: list[list[tuple[Window, _Found]]] = [[] for _ in texts]
        for (number, window), one in zip(pieces, found, strict=True):
            parts[number].append((window, one))
        return [self._joined(one, some) for one, some in zip(words, parts, strict=True)]

    @torch.inference_mode()
    def _read(
        self,
        items: Sequence[Words],
        texts: Sequence[str],
        pieces: Sequence[tuple[int, Window]],
        part: Sequence[int],
        relations: bool,
    ) -> Iterator[_Found]:
        """What is found in each of the items, which are pieces by number in ``part``."""
        batch = Batch.of(items).to(self._device)
        read = self._model.read(batch)
        spans = self._model.spans(read, batch.words)
        nouns = self._model.nouns(read) > 0
        for row, (item, k) in enumerate(zip(items, part, strict=True)):
            number, window = pieces[k]
            mentions = chosen(spans[row], self._least)
            related = self._related(read, row, batch, mentions, item, texts[number]) if relations else []
            at = window.start
            yield _Found(
                [(a + at, b + at, kind, score) for a, b, kind, score in mentions],
                [((a + at, b + at), (c + at, d + at), name, score) for (a, b), (c, d), name, score in related],
                [at + word for word in nouns[row, : len(item)].nonzero().flatten().tolist()],
            )

    def _related(
        self,
        read: Read,
        row: int,
        batch: Batch,
        mentions: Sequence[tuple[int, int, int, float]],
        item: Words,
        text: str,
    ) -> list[tuple[tuple[int, int], tuple[int, int], int, float]]:
        """Pairs of mentions, the number of their relation, and its score less the pair's threshold."""
        things = named_things(mentions, item, text)[:THINGS]
        if len(things) < 2:
            return []
        scores = self._model.related(read, row, batch, things)
        above = scores[..., 1:] - scores[..., :1]
        found = []
        for head, tail, name in (above > self._calibration.margin).nonzero().tolist():
            if head != tail:
                one, other = nearest(things[head], things[tail])
                found.append((one, other, name, float(above[head, tail, name])))
        return found

    def _joined(self, words: Words, parts: Sequence[tuple[Window, _Found]]) -> Tagged:
        """What the pieces of a text say together: each of the words it answers for."""
        kept: list[tuple[int, int, int, float]] = []
        concepts: list[tuple[int, int]] = []
        for window, found in parts:
            last = kept[-2 * OVERLAP :]
            kept += [one for one in found.mentions if window.low <= one[0] < window.high and not clashes(one, last)]
            concepts += [words.spans[word] for word in found.concepts if window.low <= word < window.high]
        kept.sort()
        places = {(a, b): place for place, (a, b, kind, _) in enumerate(kept) if kind < len(NAMES)}
        related: dict[tuple[int, int, int], float] = {}
        for _, found in parts:
            for one, other, name, score in found.related:
                if one in places and other in places:
                    key = places[one], places[other], name
                    related[key] = max(score, related.get(key, -math.inf))
        c = self._calibration
        return Tagged(
            [
                Mention(words.spans[a][0], words.spans[b][1], KINDS[kind], logistic(c.offset + c.slope * score))
                for a, b, kind, score in kept
            ],
            [
                Relation(h, t, self.relations[r], logistic(c.relation_offset + c.relation_slope * related[h, t, r]))
                for h, t, r in sorted(related)
            ],
            concepts,
        )


def windows(words: Words) -> list[Window]:
    """The pieces in which a text is read: one, unless it has more than `ROOM` tokens."""
    count = len(words)
    if len(words.ids) <= ROOM:
        return [Window(0, count, 0, count)] if count else []
    cuts: list[tuple[int, int]] = []
    start = 0
    while not cuts or cuts[-1][1] < count:
        end = start + 1
        while end < count and words.last[end] - words.first[start] < WINDOW:
            end += 1
        cuts.append((start, end))
        start = end - min(OVERLAP, (end - start) // 2)
        while end < count and words.last[end] - words.first[start] >= WINDOW:
            start += 1
    borders = [0, *((after[0] + before[1]) // 2 for before, after in pairwise(cuts)), count]
    return [Window(*cut, low, high) for cut, (low, high) in zip(cuts, pairwise(borders), strict=True)]


def _parts(facts: dict[str, Any]) -> tuple[int, int, list[str]]:
    try:
        return int(facts["shared"]), int(facts["own"]), [str(name) for name in facts["relations"].values()]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"the built-in model tagger: tagger.json lacks its parts: {error}") from error


def _calibration(facts: dict[str, Any]) -> Calibration:
    try:
        found = Calibration(**{**facts["calibration"], "least": tuple(map(float, facts["calibration"]["least"]))})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the built-in model tagger: the calibration in tagger.json is malformed: {error}") from error
    if len(found.least) != len(KINDS):
        raise ModelError(f"the built-in model tagger: tagger.json knows {len(found.least)} kinds, not {len(KINDS)}")
    return found


def _legible(words: Words) -> bool:
    """Whether a piece has a letter or a digit; without one nothing is there to be found."""
    return any(shape % 10 != 8 for shape in words.shapes)


__all__ = ["Calibration", "Mention", "Relation", "Tagged", "Tagger", "windows"]

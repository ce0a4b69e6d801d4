"""Document -> Chunks: exact slices that tile the text, none above a token budget, cut where a reader would cut.

The cuts are optimal: dynamic programming over the places where the text may be cut (`ctxproc.text.breaks`), after
the block split of CogLTX (Ding et al. 2020, "CogLTX: Applying BERT to Long Texts", MemRecall's blocks), with one price
per chunk and one for a chunk that is not full, so that chunks are few and of like size. Time and memory grow with the
length of the text and nothing bounds it. Chunks know no layout: a table may be cut between two of its lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ctxproc.document import Document
from ctxproc.errors import ConfigError
from ctxproc.llm.base import Tokenizer
from ctxproc.text import breaks, is_grapheme_border, sentence_around

__all__ = ["Chunk", "sentence_around", "split"]

WORD, GRAPHEME, INSIDE = 8.0, 12.0, 100.0
"""What a forced cut costs: between words, within a word, within a user-perceived character."""

CHUNK, SLACK = 4.0, 2.0
"""What a chunk costs, and an empty one on top; half full costs a quarter of SLACK."""

BLOCK = 1 << 15
"""Characters that are tokenised at once."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """``document.text[start:end]``, at most the token budget it was split by.

    Attributes:
        document: where it comes from.
        start, end: characters of the document's text.
        tokens: tokens of ``text`` on its own, by the model's tokenizer.
        index: its place among the chunks of its document, from 0.
    """

    document: Document
    start: int
    end: int
    tokens: int
    index: int

    @property
    def text(self) -> str:
        """The exact slice of the document."""
        return self.document.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Cuts:
    """Where a text may be cut: its two ends and the breaks between, in order.

    Attributes:
        places: characters, shape (cuts,).
        costs: of cutting there; 0 at the two ends.
        ends: tokens before the cut, as the last token of a chunk that ends here sees it.
        starts: the same for a chunk that begins here: one less where a token with leading white space lies across the
            cut, because its visible part is a token of the new chunk.
    """

    places: NDArray[np.int64]
    costs: NDArray[np.float64]
    ends: NDArray[np.int64]
    starts: NDArray[np.int64]


def split(document: Document, tokenizer: Tokenizer, budget: int, overlap: int = 0) -> list[Chunk]:
    """The chunks of a document, in order; none for an empty text.

    Without overlap they tile the text. With it every chunk but the first begins up to ``overlap`` tokens earlier, at
    the best break there is and never before the previous chunk. Every chunk is counted on its own and holds at most
    ``budget`` tokens; a user-perceived character is cut only if it is longer than that.

    Args:
        document: its text is not altered.
        tokenizer: of the model that will read the chunks.
        budget: tokens, at least 1.
        overlap: tokens, less than ``budget``.

    Raises:
        ConfigError: budget or overlap are out of range, or one character has more tokens than the budget.
    """
    if budget < 1 or not 0 <= overlap < budget:
        raise ConfigError(
            f"chunks need a budget of at least 1 token and an overlap below it, not {budget} and {overlap}"
        )
    text = document.text
    if not text:
        return []
    cuts = find_cuts(text, token_starts(text, tokenizer), budget - overlap)
    tiles = _tiles(text, cuts, tokenizer, budget - overlap)
    if overlap:
        tiles = _widen(text, cuts, tiles, tokenizer, budget, overlap)
    return [Chunk(document, start, end, tokens, i) for i, (start, end, tokens) in enumerate(tiles)]


def token_starts(text: str, tokenizer: Tokenizer) -> NDArray[np.int64]:
    """The character at which each token begins; the text is tokenised in blocks that end with a paragraph if it can."""
    found = [
        np.asarray(tokenizer.starts(text[start:end]), dtype=np.int64) + start for start, end in _blocks(text, BLOCK)
    ]
    return np.concatenate(found)


def _blocks(text: str, size: int) -> Iterator[tuple[int, int]]:
    """Slices of at most ``size`` characters that tile the text."""
    start = 0
    while len(text) - start > size:
        for joint in ("\n\n", "\n", "\u3002", " "):
            end = text.rfind(joint, start + size // 2, start + size) + len(joint)
            if end >= len(joint):
                break
        else:
            end = _grapheme_before(text, start, start + size)
        yield start, end
        start = end
    yield start, len(text)


def find_cuts(text: str, tokens: NDArray[np.int64], budget: int) -> Cuts:
    """The places where a text may be cut; where natural breaks are more than ``budget`` tokens apart, forced ones too.

    Args:
        text: not empty.
        tokens: the character at which each token begins.
        budget: of a chunk.
    """
    natural, costs = breaks(text)
    places = np.array([0, *natural, len(text)], dtype=np.int64)
    prices = np.array([0.0, *costs, 0.0])
    ends = np.searchsorted(tokens, places)
    ends[-1] = len(tokens)
    forced: list[int] = []
    for gap in np.flatnonzero(np.diff(ends) > budget):
        forced.extend(_forced(text, tokens[ends[gap] : ends[gap + 1]], int(places[gap]), int(places[gap + 1]), budget))
    if forced:
        places = np.concatenate([places, np.array(forced, dtype=np.int64)])
        prices = np.concatenate([prices, [_price(text, place) for place in forced]])
        order = np.argsort(places, kind="stable")
        places, prices = places[order], prices[order]
        ends = np.searchsorted(tokens, places)
        ends[-1] = len(tokens)
    before = tokens[np.maximum(ends - 1, 0)].tolist() if len(tokens) else [0] * len(places)
    across = np.array([text[place].isspace() for place in before]) & (ends > 0)
    across[-1] = False
    return Cuts(places, prices, ends, ends - across)


def _forced(text: str, tokens: NDArray[np.int64], low: int, high: int, budget: int) -> Iterator[int]:
    """Places between ``low`` and ``high`` every sixteenth of the budget: after white space, else between graphemes."""
    last = low
    for wanted in tokens[:: max(1, budget // 16)].tolist():
        if wanted <= last:
            continue
        place = wanted
        while place > last and not (text[place - 1].isspace() and not text[place].isspace()):
            place -= 1
        place = place if place > last else _grapheme_before(text, last, wanted)
        if place < high:
            yield place
            last = place


def _grapheme_before(text: str, low: int, wanted: int) -> int:
    """The last border of a user-perceived character in (low, wanted]; ``wanted`` itself if there is none."""
    place = wanted
    while place > low and not is_grapheme_border(text, place):
        place -= 1
    return place if place > low else wanted


def _price(text: str, place: int) -> float:
    """What a forced cut costs."""
    if not is_grapheme_border(text, place):
        return INSIDE
    return WORD if text[place - 1].isspace() else GRAPHEME


def best_path(cuts: Cuts, first: int, last: int, budget: int) -> list[int]:
    """The cheapest way from cut ``first`` to cut ``last``: the cuts at which chunks end, ``last`` among them.

    A chunk of n tokens costs ``cost of its end + CHUNK + SLACK * (1 - n / budget) ** 2``. Chunks above the budget are
    allowed only between neighbouring cuts, where nothing else is possible. Of equal ways the one with the longest last
    chunk is taken, and so on backwards.
    """
    ends, starts = cuts.ends[first : last + 1], cuts.starts[first : last + 1]
    prices = cuts.costs[first : last + 1] + CHUNK
    number = np.arange(len(ends))
    earliest = np.minimum(np.searchsorted(starts, ends - budget), number - 1).tolist()
    full = (starts / budget) + 1.0
    level, price_list = (ends / budget).tolist(), prices.tolist()
    best = np.zeros(len(ends))
    previous = [0] * len(ends)
    for i in range(1, len(ends)):
        low = earliest[i]
        slack = full[low:i] - level[i]
        slack *= slack
        slack *= SLACK
        slack += best[low:i]
        chosen = int(slack.argmin())
        previous[i] = low + chosen
        best[i] = slack[chosen] + price_list[i]
    path = [len(ends) - 1]
    while previous[path[-1]]:
        path.append(previous[path[-1]])
    return [first + i for i in reversed(path)]


def _tiles(text: str, cuts: Cuts, tokenizer: Tokenizer, budget: int) -> list[tuple[int, int, int]]:
    """(start, end, tokens) of the best chunks that keep the budget when each is counted on its own.

    The tokens of a slice may differ from the slice of the tokens. A chunk that turns out too long is split anew,
    together with the next, by a budget that is smaller by the excess; below half the budget it is halved.
    """
    done: list[tuple[int, int, int]] = []
    regions = [(0, len(cuts.places) - 1, budget)]
    while regions:
        spans: list[tuple[int, int, int]] = []
        for first, last, allowed in regions:
            path = best_path(cuts, first, last, allowed)
            spans.extend((i, j, allowed) for i, j in zip([first, *path], path, strict=False))
        counts = tokenizer.count_batch([text[cuts.places[i] : cuts.places[j]] for i, j, _ in spans])
        regions, k = [], 0
        while k < len(spans):
            (first, last, allowed), excess = spans[k], counts[k] - budget
            k += 1
            if excess <= 0:
                done.append((int(cuts.places[first]), int(cuts.places[last]), counts[k - 1]))
            elif last == first + 1 or allowed - excess < max(1, budget // 2):
                done.extend(_halves(text, int(cuts.places[first]), int(cuts.places[last]), tokenizer, budget))
            elif k < len(spans) and spans[k][0] == last:
                regions.append((first, spans[k][1], min(allowed, spans[k][2]) - excess))
                k += 1
            else:
                regions.append((first, last, allowed - excess))
    return sorted(done)


def _halves(text: str, start: int, end: int, tokenizer: Tokenizer, budget: int) -> list[tuple[int, int, int]]:
    """A slice cut in two, and each half again, until every piece keeps the budget."""
    tokens = tokenizer.count(text[start:end])
    if tokens <= budget:
        return [(start, end, tokens)]
    if end - start == 1:
        raise ConfigError(
            f"one character has {tokens} tokens, more than the {budget} of a chunk: raise the chunk budget"
        )
    middle = _grapheme_before(text, start, (start + end) // 2)
    if not is_grapheme_border(text, middle):
        later = (place for place in range(middle + 1, end) if is_grapheme_border(text, place))
        middle = next(later, middle)
    return _halves(text, start, middle, tokenizer, budget) + _halves(text, middle, end, tokenizer, budget)


def _widen(
    text: str, cuts: Cuts, tiles: Sequence[tuple[int, int, int]], tokenizer: Tokenizer, budget: int, overlap: int
) -> list[tuple[int, int, int]]:
    """The tiles with their starts moved back by at most ``overlap`` tokens, counted on their own."""
    options = [_earlier(text, cuts, before, tile, overlap) for before, tile in pairwise(tiles)]
    wide = list(tiles)
    open_tiles = [i for i, option in enumerate(options, 1) if option]
    while open_tiles:
        trials = [(options[i - 1].pop(0), tiles[i][1]) for i in open_tiles]
        counts = tokenizer.count_batch([text[start:end] for start, end in trials])
        left = tokenizer.count_batch(
            [text[start : tiles[i][0]] for i, (start, _) in zip(open_tiles, trials, strict=True)]
        )
        again = []
        for i, (start, end), count, extra in zip(open_tiles, trials, counts, left, strict=True):
            if count <= budget and extra <= overlap:
                wide[i] = (start, end, count)
            elif options[i - 1]:
                again.append(i)
        open_tiles = again
    return wide


def _earlier(
    text: str, cuts: Cuts, before: tuple[int, int, int], tile: tuple[int, int, int], overlap: int
) -> list[int]:
    """Starts to try for a tile that is to reach back into the one before: the cheapest break first, then words."""
    start = tile[0]
    here = int(np.searchsorted(cuts.places, start))
    low = int(np.searchsorted(cuts.ends, cuts.ends[min(here, len(cuts.ends) - 1)] - overlap))
    near = [i for i in range(low, here) if before[0] < cuts.places[i] < start]
    starts = [int(cuts.places[i]) for i in sorted(near, key=lambda i: (cuts.costs[i], cuts.places[i]))]
    reach, place = 0, start
    while len(starts) < 8 and place > before[0] + 1 and reach < 4 * overlap + 16:
        place, reach = place - 1, reach + 1
        if text[place - 1].isspace() and not text[place].isspace() and place not in starts:
            starts.append(place)
    return starts[:8]

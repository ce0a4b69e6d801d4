"""Which passage a text rests on, where the model did not say: the one that shares most words with it.

This finds passages by words and does not judge whether they support the text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from ctxproc.answer import Quote
from ctxproc.chunk import Chunk
from ctxproc.text import sentences, words


def nearest(text: str, chunks: Sequence[Chunk], *, least: float = 0.0, whole: bool = False) -> tuple[Quote, ...]:
    """For each sentence of ``text`` the sentence of the chunks that shares most of its words, as a quote of its chunk.

    Words count less the more passages hold them. The score is the weighted share of the sentence's words that the
    passage holds, in [0, 1]; the first of equals is taken, the shorter of those that begin alike.

    Args:
        text: any text.
        chunks: where to look; their order decides between equals.
        least: passages that hold less are left out; those that share no word always are.
        whole: take ``text`` as one sentence.
    """
    passages = [(chunk, start, end) for chunk in chunks for start, end in sentences(chunk.text)]
    holding: dict[str, set[int]] = defaultdict(set)
    for i, (chunk, start, end) in enumerate(passages):
        for word in words(chunk.text[start:end]):
            holding[word].add(i)
    parts = [text] if whole else [text[start:end] for start, end in sentences(text)]
    found: list[Quote] = []
    for part in parts:
        weights = {word: 1 / len(holding[word]) if word in holding else 1.0 for word in words(part, query=True)}
        shares: dict[int, float] = defaultdict(float)
        for word in weights.keys() & holding.keys():
            for i in holding[word]:
                shares[i] += weights[word]
        if not shares:
            continue
        best = max(shares, key=lambda i: (shares[i], -i))
        share = shares[best] / sum(weights.values())
        if share >= least:
            chunk, start, end = passages[best]
            found.append(Quote(chunk.text[start:end], (chunk,), share))
    return tuple(found)

"""Human answers that do not stand in the text word for word: the stretch of the text that is most like them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from training.reader_text import Item, stories

__all__ = ["best_stretch", "tales"]

ALIKE = 0.72  # token F1 from which on a stretch counts as the answer
OPENERS = re.compile(r"^(?:because|since|so that|in order to|to|by|that|for|of)\s+", re.IGNORECASE)
ARTICLES = frozenset("a an the".split())


def best_stretch(text: str, answer: str) -> tuple[float, int, int]:
    """Token F1 (lower case, no articles) of the stretch most like the answer, and its characters; the first of equals."""
    spots = list(re.finditer(r"\w+(?:['’]\w+)?", text))
    words = [spot[0].lower() for spot in spots]
    wanted = Counter(w for w in re.findall(r"\w+(?:['’]\w+)?", answer.lower()) if w not in ARTICLES)
    size = wanted.total()
    best = (0.0, 0, 0)
    for start, word in enumerate(words):
        if word not in wanted:
            continue
        left, common, length = wanted.copy(), 0, 0
        for end in range(start, min(len(words), start + 2 * size + 2)):
            if words[end] in ARTICLES:
                continue
            length += 1
            if left[words[end]] > 0:
                left[words[end]] -= 1
                common += 1
                score = 2 * common / (length + size)
                if score > best[0] + 1e-9:
                    best = (score, spots[start].start(), spots[end].end())
    return best


def tales(data: Path) -> Iterator[tuple[list[Item], list[str]]]:
    """Per story of FairytaleQA: the questions of which the cited section holds an answer nearly; and all sections."""
    for name, texts, rows in stories(data):
        sections = {number: " ".join(text.split()) for number, text in texts.items()}
        items = []
        for row in rows:
            context = sections.get(row["cor_section"].strip(), "")
            spans = _spans(context, [row.get(f"answer{k}") or "" for k in range(1, 7)])
            if spans:
                items.append(Item(row["question"], context, spans, "fairytale", name))
        yield items, list(sections.values())


def _spans(context: str, answers: Sequence[str]) -> list[tuple[int, int]]:
    """Stretches of the context alike enough to one of the answers."""
    found = set()
    for answer in answers:
        bare = OPENERS.sub("", answer.strip(" .\n"))
        if bare and context:
            score, start, end = best_stretch(context, bare)
            if score >= ALIKE:
                found.add((start, end))
    return sorted(found)

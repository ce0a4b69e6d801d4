"""What needle.py hides and where: facts of our own making, in novels that stay where they are.

Names are invented from syllables, so no model knows them and no novel holds them. Every fact is a sentence; it is put behind
the end of a sentence of the novel, so nothing but its content tells it from its surroundings.
"""

from __future__ import annotations

import random
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ctxproc.text import words

ARCHIVES = ("train_novels_en.tar.xz", "train_litbank_books.tar.xz")
SYLLABLES = "bar dor fen gal hes jor kil lum mar nev oth pel quin ras sol tav ulm ver wyn yar zed bri cro dun".split()
END = re.compile(r"[.!?][\"”’']?\s+(?=[A-Z])")

SINGLE = (
    ("The master of the harbour at {a} is called {b}.", "What is the master of the harbour at {a} called?"),
    ("The stone bridge of {a} was built by {b}.", "Who built the stone bridge of {a}?"),
    ("The old mill of {a} belongs to {b}.", "To whom does the old mill of {a} belong?"),
    ("The great bell of {a} was cast in the town of {b}.", "In which town was the great bell of {a} cast?"),
)
TWO_HOP = (
    (
        "The lighthouse of {a} is kept by {m}.",
        "{m} was born in the village of {b}.",
        "In which village was the keeper of the lighthouse of {a} born?",
    ),
    (
        "The school of {a} was founded by {m}.",
        "{m} lies buried in the town of {b}.",
        "In which town does the founder of the school of {a} lie buried?",
    ),
)
UPDATE = (
    (
        "The lord of {a} lives in the castle of {x}.",
        "The lord of {a} has moved and now lives in the castle of {b}.",
        "In which castle does the lord of {a} live now?",
    ),
    (
        "The ferry at {a} is steered by {x}.",
        "The ferry at {a} has changed hands and is now steered by {b}.",
        "Who steers the ferry at {a} now?",
    ),
)


@dataclass(frozen=True)
class Needle:
    """A question and the sentences that answer it.

    Attributes:
        kind: "single", "two-hop" (both facts are needed) or "update" (the later of two facts holds).
        number: among those of its kind and depth, from 0.
        facts: sentences, in the order in which they stand.
        depth: of the fact that holds the answer, as a share of the text; the middle of its bin.
        places: where each fact is put, as shares of the text.
        stale: what was so before an update.
    """

    kind: str
    number: int
    question: str
    answer: str
    facts: tuple[str, ...]
    depth: float
    places: tuple[float, ...]
    stale: str = ""

    def right(self, text: str) -> bool:
        """Whether a text gives the answer, and not what held before it."""
        said = words(text)
        return holds(said, words(self.answer)) and not (self.stale and holds(said, words(self.stale)))


def holds(text: Sequence[str], part: Sequence[str]) -> bool:
    """Whether these words stand in the text, one behind the other."""
    return any(text[i : i + len(part)] == list(part) for i in range(len(text) - len(part) + 1))


def names(rng: random.Random) -> Iterator[str]:
    """Invented names, all different, of three syllables."""
    seen: set[str] = set()
    while True:
        name = "".join(rng.choices(SYLLABLES, k=3)).capitalize()
        if name not in seen:
            seen.add(name)
            yield name


def needles(depths: int, each: int, seed: int = 0) -> list[Needle]:
    """For every kind and each of ``depths`` bins of the text, ``each`` needles.

    The answer lies at a random place of its bin. Of a pair the first fact lies anywhere; that which an update replaces
    lies anywhere before it.
    """
    rng = random.Random(seed)
    name = names(rng)
    made: list[Needle] = []
    for slot in range(depths):
        for number in range(each):
            for kind, forms in (("single", SINGLE), ("two-hop", TWO_HOP), ("update", UPDATE)):
                *facts, question = forms[(slot * each + number) % len(forms)]
                terms = {"a": next(name), "b": next(name), "m": f"{next(name)} {next(name)}", "x": next(name)}
                place = (slot + rng.random()) / depths
                before = rng.random() * (place if kind == "update" else 1)
                made.append(
                    Needle(
                        kind,
                        number,
                        question.format(**terms),
                        terms["b"],
                        tuple(fact.format(**terms) for fact in facts),
                        (slot + 0.5) / depths,
                        (before, place)[-len(facts) :],
                        terms["x"] if kind == "update" else "",
                    )
                )
    return made


def novels(data: Path, seed: int = 0) -> Iterator[str]:
    """The novels of the shared data in a random order, each archive read once it is needed.

    Raises:
        FileNotFoundError: there is none.
    """
    rng = random.Random(seed)
    for archive in ARCHIVES:
        with tarfile.open(data / "train" / archive) as tar:
            texts = {
                item.name: file.read().decode("utf-8", errors="replace")
                for item in tar
                if item.name.endswith(".txt") and (file := tar.extractfile(item)) is not None
            }
        for name in rng.sample(sorted(texts), len(texts)):
            yield texts[name]


def haystack(texts: Iterator[str], tokens: int, count: Callable[[str], int]) -> str:
    """The beginning of the texts, joined, with about so many tokens (to within a thousandth).

    Raises:
        ValueError: the texts have fewer.
    """
    parts: list[str] = []
    for text in texts:
        size = count(text)
        if size >= tokens:
            share = text[: int(len(text) * tokens / size)]
            while abs(off := count(share) - tokens) > max(1, tokens // 1000):
                share = text[: max(1, int(len(share) - off * len(text) / size))]
            return "\n\n".join([*parts, share])
        parts.append(text)
        tokens -= size
    raise ValueError(f"the novels are {tokens} tokens short")


def hide(text: str, hidden: Sequence[Needle]) -> str:
    """The text with every fact behind the end of the sentence that stands at its place."""
    ends = [match.end() for match in END.finditer(text)] or [len(text)]
    facts = sorted((place, fact) for needle in hidden for place, fact in zip(needle.places, needle.facts, strict=True))
    parts, at = [], 0
    for place, fact in facts:
        spot = ends[min(int(place * len(ends)), len(ends) - 1)]
        parts += [text[at:spot], f"{fact} "]
        at = spot
    return "".join([*parts, text[at:]])

"""No evaluation text in training text: runs of 8 words that a training row shares with an evaluation set.

    keep = Overlap.of(evaluation_texts(data))
    rows = list(keep.filter(rows, text=lambda row: row.context, source=lambda row: row.source))
    keep.write("reader")

A row is dropped where more than a tenth of its 8-grams stand in an evaluation text, or, if it has fewer than 40 of
them, any 2. Words are compared without case and punctuation; a row of fewer than 8 words is one gram. In texts mostly of
Chinese or Japanese characters a gram is 16 characters. Paraphrases and single shared sentences of a long row stay: the
report ``overlap/NAME.json`` counts the 8-grams that do.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.evaluation_texts import evaluation_texts

__all__ = ["GRAM", "Overlap", "evaluation_texts", "grams"]

GRAM = 8  # words
GRAM_CJK = 16  # characters, about eight words
SHARE = 0.1
SHORT = 40  # 8-grams; a row with fewer may share one only
FOLDER = Path(__file__).parent / "overlap"
BLOCK = 4096  # rows looked up together
_WORD = re.compile(r"\w+")
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that multiplying by it loses nothing modulo 2^64
Row = TypeVar("Row")


def grams(text: str) -> NDArray[np.uint64]:
    """A 64-bit hash of every gram of a text, in order; none where it has no words. Valid in this process only."""
    characters = _CJK.findall(text)
    if 2 * len(characters) > sum(map(len, words := _WORD.findall(text.lower()))):
        words, size = characters, GRAM_CJK
    else:
        size = GRAM
    codes = np.fromiter(map(hash, words), dtype=np.int64, count=len(words)).view(np.uint64)
    size = min(size, len(codes))
    total = np.zeros(len(codes) - size + 1 if size else 0, dtype=np.uint64)
    for k in range(size):
        total = total * np.uint64(_FACTOR) + codes[k : k + len(total)]
        total ^= total >> np.uint64(29)
    return total


class Overlap:
    """The grams of the evaluation sets, and counts of what has been compared with them."""

    def __init__(self, known: NDArray[np.uint64], sets: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Sorted distinct grams, the number of a set that each stands in, and the sets' names; `of` makes them."""
        self._known, self._sets, self._names = known, sets, list(names)
        self._likely = np.zeros(1 << 27, dtype=bool)  # by the upper bits: spares most of the searches
        self._likely[known >> np.uint64(37)] = True
        self._rows: dict[str, Counter[str]] = {}
        self._dropped_by: Counter[str] = Counter()
        self._left: Counter[str] = Counter()

    @classmethod
    def of(cls, texts: Mapping[str, Iterable[str]]) -> Overlap:
        """Read the evaluation texts by set; a gram of several sets counts for the first of them."""
        parts = [(number, grams(text)) for number, name in enumerate(texts) for text in texts[name]]
        whole = np.concatenate([np.zeros(0, np.uint64), *(part for _, part in parts)])
        numbers = np.repeat(np.array([n for n, _ in parts], np.uint8), [len(part) for _, part in parts])
        known, first = np.unique(whole, return_index=True)
        return cls(known, numbers[first], list(texts))

    def filter(
        self,
        rows: Iterable[Row],
        *,
        text: Callable[[Row], str | Sequence[str]] = lambda row: row[1],  # type: ignore[index]
        source: Callable[[Row], str] = lambda row: row[0],  # type: ignore[index]
    ) -> Iterator[Row]:
        """The rows that may be trained on, in order.

        Args:
            rows: Examples of any kind, (source, text) unless the functions below say otherwise.
            text: The text of a row, or several that are looked at one by one: the row goes if one of them has to.
            source: What a row is counted under in the report.
        """
        stream = iter(rows)
        while block := list(itertools.islice(stream, BLOCK)):
            texts = [[found] if isinstance(found := text(row), str) else list(found) for row in block]
            shared = self._shared([grams(part) for parts in texts for part in parts])
            for row, parts in zip(block, texts, strict=True):
                verdicts = [next(shared) for _ in parts]
                counts = self._rows.setdefault(source(row), Counter())
                counts["rows"] += 1
                guilty = [Counter(where) for size, where in verdicts if _too_many(len(where), size)]
                if guilty:
                    counts["dropped"] += 1
                    self._dropped_by[self._names[sum(guilty, Counter()).most_common(1)[0][0]]] += 1
                    continue
                self._left.update(self._names[number] for _, where in verdicts for number in where)
                yield row

    def _shared(self, texts: Sequence[NDArray[np.uint64]]) -> Iterator[tuple[int, list[int]]]:
        """Per text its number of grams, and the sets of those that stand in one."""
        whole = np.concatenate([np.zeros(0, np.uint64), *texts])
        likely = np.flatnonzero(self._likely[whole >> np.uint64(37)])
        place = np.searchsorted(self._known, whole[likely])
        place[place == len(self._known)] = 0
        hit = self._known[place] == whole[likely] if len(self._known) else np.zeros(len(likely), bool)
        at, sets = likely[hit], self._sets[place[hit]]
        ends = np.cumsum([len(one) for one in texts])
        cuts = np.searchsorted(at, [0, *ends])
        for k, one in enumerate(texts):
            yield len(one), sets[cuts[k] : cuts[k + 1]].tolist()

    def report(self) -> dict[str, object]:
        """What has been filtered so far: rows and dropped rows by source, and per evaluation set what was left."""
        sizes = Counter(self._names[number] for number in self._sets.tolist())
        return {
            "sources": {name: {"rows": c["rows"], "dropped": c["dropped"]} for name, c in sorted(self._rows.items())},
            "sets": {
                name: {"grams": sizes[name], "rows_dropped": self._dropped_by[name], "grams_left": self._left[name]}
                for name in self._names
            },
        }

    def write(self, name: str, folder: Path = FOLDER) -> None:
        """Write the report as ``NAME.json``."""
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"gram_words": GRAM, "share": SHARE, **self.report()}, indent=1, ensure_ascii=False)
        (folder / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def _too_many(shared: int, size: int) -> bool:
    return shared > SHARE * size or (shared >= 2 and size < SHORT)

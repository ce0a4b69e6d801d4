"""Questions made of the sources' own sentences, for a first look where nobody has written any.

A name or number of a sentence is replaced by a question word; it is the answer, and the sentence is the evidence. No model
and no tagger: patterns find them, in Latin script and in Chinese. Such questions are often odd, and they use the words of
the passage that answers them: a search by words finds it more easily than it does for what people ask. They tell which ways
work at all, not which is best for real questions.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.errors import UsageError
from ctxproc.measures import HAN
from ctxproc.text import sentences

if TYPE_CHECKING:
    from ctxproc.document import Document

KIND = "cloze"
REACH = 12
"""Words of the sentence on each side of the answer that a question keeps."""

LETTERS = (40, 320)
HANS = (12, 120)
"""Characters of a sentence that a question is made of."""

ODD = re.compile(r"[\"“”„«»*#|_<>{}\[\]]")
"""What a sentence of which a question is made does not hold: quotation marks and marks of layout."""

NAME = re.compile(
    r"(?<=[a-z,;] )(?<!\bthe )(?<!\ban )(?<!\ba )(?!(?:I|Mr|Mrs|Ms|Dr|St|Sir|Lady|Lord)\b)"
    r"[A-Z][a-z][\w-]*(?: [A-Z][a-z][\w-]*)*(?![\w’'.-]|\s+[A-Z])"
)
YEAR = re.compile(r"(?<![\w.,])(?:1[0-9]{3}|20[0-9]{2})(?![\w]|[.,]\d)")
YEARS = re.compile(r"\b(?:the )?year\s*$")
NUMBER = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?![\w]|[.,]\d)")
TITLE = re.compile(r"(?<=《)[^《》]{1,20}(?=》)")
FIGURE = re.compile(r"[0-9〇一二三四五六七八九十百千万]{2,}(?=[年月日个人岁里尺两元名次])")
WORDS = ((YEAR, "which year"), (NUMBER, "how many"), (NAME, "who or what"))
HAN_WORDS = ((TITLE, "什么"), (FIGURE, "多少"))
"""What is asked for, the first that a sentence holds, and the word that stands for it in the question."""


@dataclass(frozen=True, slots=True)
class Cloze:
    """A question, its answer, and the sentence that it was made of."""

    question: str
    answer: str
    source: str
    start: int
    end: int


def cloze(documents: Sequence[Document], number: int, seed: int = 0) -> list[Cloze]:
    """So many questions, or as many as the sources allow for, in the order of the sources; drawn by chance from all.

    What two sentences would ask in the same words is not asked.

    Args:
        documents: the sources.
        number: at least 1.
        seed: of the draw; the same sources and seed give the same questions.
    """
    found = [one for document in documents for one in clozes(document)]
    often = Counter(one.question for one in found)
    every = [one for one in found if often[one.question] == 1]
    chosen = random.Random(seed).sample(range(len(every)), min(number, len(every)))
    return [every[i] for i in sorted(chosen)]


def clozes(document: Document) -> Iterator[Cloze]:
    """The questions that a document's sentences give, one each at most."""
    for start, end in sentences(document.text):
        text = document.text[start:end]
        chinese = HAN.search(text) is not None
        least, most = HANS if chinese else LETTERS
        if not least <= end - start <= most or (ODD.search(text) and not chinese):
            continue
        for pattern, word in HAN_WORDS if chinese else WORDS:
            spot = pattern.search(text)
            if spot and spot.start() and text.count(spot[0]) == 1:
                yield Cloze(_asked(text, *spot.span(), word, chinese), spot[0], document.source, start, end)
                break


def _asked(text: str, start: int, end: int, word: str, chinese: bool) -> str:
    """The sentence as a question."""
    if chinese:
        return f"{text[:start]}{word}{text[end:].rstrip('。！；，…')}？"
    before, after = YEARS.sub("", text[:start]).split(), text[end:].split()
    kept = f"{' '.join(before[-REACH:])} {word}{'' if text[end : end + 1].strip() else ' '}{' '.join(after[:REACH])}"
    kept = kept.strip().rstrip(".,;:!?\"'”’)")
    return f"{kept[:1].upper()}{kept[1:]}?"


def write_cloze(documents: Sequence[Document], number: int, path: Path, seed: int = 0) -> int:
    """Write cloze questions into a new file, and say how many they are.

    Raises:
        UsageError: the file is there already or cannot be written, or no sentence of the sources gives a question.
    """
    made = cloze(documents, number, seed)
    if not made:
        raise UsageError("no sentence of the sources holds a name or number to ask for: write questions yourself")
    try:
        with path.open("x", encoding="utf-8") as file:
            for i, one in enumerate(made, 1):
                place = {"source": one.source, "start": one.start, "end": one.end}
                line = {"id": f"{KIND}-{i}", "question": one.question, "answers": [one.answer], "evidence": [place]}
                file.write(json.dumps({**line, "kind": KIND}, ensure_ascii=False) + "\n")
    except FileExistsError as error:
        raise UsageError(f"{path} is there already: leave out --generate to ask it, or name a new file") from error
    except OSError as error:
        raise UsageError(f"cannot write the questions {path}: {error.strerror}") from error
    return len(made)

"""The concepts of texts as the built-in tagger finds them, for graphs of concepts; and which finders there are.

What is found here, its relations too, is said of documents and of anyone's words alike, and so never becomes a fact about
a user: facts come from `ctxproc.memory.extract.base.Extractor` alone, which reads a user's own words (TRUST.md, S15).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from typing import TYPE_CHECKING, Literal, get_args

from ctxproc.memory.extract.concepts import Concept, Finder, Said, by_rules
from ctxproc.memory.extract.stems import stem
from ctxproc.text import sentences

if TYPE_CHECKING:
    from ctxproc.llm.tagger import Tagged, Tagger

By = Literal["rules", "tagger"]
WAYS: tuple[str, ...] = get_args(By)


@cache
def finder(by: By, device: str = "auto") -> Finder:
    """The finder of this name, the same one at every call; the tagger's weights are loaded when it is first used."""
    return by_rules if by == "rules" else TaggerConcepts(device)


class TaggerConcepts:
    """Finds concepts: single words as the rules do, but by their place in the sentence, and whole names besides.

    Args:
        device: ``auto`` or a torch device, as in the settings.
    """

    def __init__(self, device: str = "auto") -> None:
        self._device = device

    def __call__(self, texts: Sequence[str]) -> list[Said]:
        """The concepts of each text by sentences.

        Raises:
            ModelError: the tagger cannot be loaded.
        """
        found = self._tagger.tag(texts, relations=False)
        return [said(text, one) for text, one in zip(texts, found, strict=True)]

    @cached_property
    def _tagger(self) -> Tagger:
        from ctxproc.llm.hardware import choose_device, choose_dtype
        from ctxproc.llm.quantise import hushed

        with hushed():
            from ctxproc.llm.tagger import Tagger

        device = choose_device(self._device)
        return Tagger.load(device=device, dtype=choose_dtype("auto", device))


def said(text: str, tagged: Tagged) -> Said:
    """The sentences of a text, and in each its single words that are concepts; those within a name are proper."""
    names = [(one.start, one.end) for one in tagged.mentions if one.kind in NAMED]
    found: list[Concept] = []
    starts: list[int] = []
    for start, end in tagged.concepts:
        word = text[start:end]
        starts.append(start)
        found.append(Concept(word, stem(word), any(low <= start < high for low, high in names)))
    made: Said = []
    place = 0
    for low, high in sentences(text):
        first = place
        while place < len(starts) and starts[place] < high:
            place += 1
        made.append((text[low:high], found[first:place]))
    return made


NAMED = frozenset({"person", "place", "organisation", "other"})

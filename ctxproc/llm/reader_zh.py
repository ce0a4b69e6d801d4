"""The built-in reader of Chinese: finds the answer to a question as a span of a passage, or says that it is not there.

It has the interface of `ctxproc.llm.reader.SpanReader` and a network of its own (reader_zh_model.py), whose weights are
in the package. `TwoReaders` sends each question to the reader of its language.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from ctxproc.errors import ModelError
from ctxproc.llm.delta import fill, read_model
from ctxproc.llm.reader import Calibration, Reading, SpanReader
from ctxproc.llm.reader_zh_model import MAX_SPAN, Shape, ZhBatch, ZhModel
from ctxproc.llm.reader_zh_text import Characters, Pair, Text
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.span_head import occurrences
from ctxproc.text import is_grapheme_border

NAME = "reader_zh"
WINDOW, STEP, LEAD = 256, 128, 28
"""Tokens of a window and between the starts of two; a window answers for the spans that begin from its token LEAD on,
so that each span of at most `MAX_SPAN` tokens is scored once, with what comes before it and to its end."""

MAX_QUESTION = 512

_HAN = re.compile(r"[\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_WORD = re.compile(
    r"[\u3040-\u30ff]|[^\W\d_\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def is_chinese(text: str) -> bool:
    """Whether a text has more Chinese characters than words of other scripts; each kana, or run of other letters, is one."""
    return sum(1 for _ in _HAN.finditer(text)) > sum(1 for _ in _WORD.finditer(text))


def reads_chinese(question: str, context: str) -> bool:
    """Whether a pair is for the Chinese reader: if its question or its context is Chinese.

    The English reader knows few Chinese characters, so it can read neither half of such a pair; where one half is in
    another language, the Chinese one at least sees the names and numbers that both have, and has a low confidence.
    """
    return is_chinese(question) or is_chinese(context)


@dataclass(frozen=True)
class Window:
    """Tokens ``start`` to ``end`` of context ``number``; it answers for spans that begin at ``low`` to ``high - 1``."""

    number: int
    start: int
    end: int
    low: int
    high: int


def windows(number: int, size: int) -> Iterator[Window]:
    """The windows of a context of so many tokens; none for none."""
    start = low = 0
    while low < size:
        end = min(start + WINDOW, size)
        high = size if end == size else start + STEP + LEAD
        yield Window(number, start, end, low, high)
        start, low = start + STEP, high


class ChineseReader:
    """Reads Chinese passages, of any length, for questions with the shipped weights.

    The model holds no state between calls: the same inputs give the same readings, in any order and batch.
    """

    def __init__(self, model: ZhModel, characters: Characters, calibration: Calibration) -> None:
        """Use a model as it is; `load` makes one from the shipped weights."""
        self._model = model.eval()
        self._characters = characters
        self._calibration = calibration
        self._device = model.bias.weight.device

    @classmethod
    def load(
        cls, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, weights: Path = WEIGHTS
    ) -> ChineseReader:
        """The shipped weights.

        Args:
            device: Where to run.
            dtype: Of the body; fp32 unless given. The head always runs in fp32.
            weights: Folder with ``reader_zh.safetensors`` and ``reader_zh.json``.

        Raises:
            ModelError: The files are missing, damaged, or do not belong together.
        """
        facts, tensors = read_model(NAME, weights)
        try:
            entries = bytes(tensors.pop("vocabulary").to(torch.uint8).tolist()).decode().split("\n")
            characters = Characters(entries, tensors.pop("rarity").numpy())
            model, calibration = ZhModel(Shape(**facts["shape"])), Calibration(**facts["calibration"])
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(f"the facts and the weights of {NAME} do not fit: {error}") from error
        fill(model, tensors, NAME)
        nn.Module.to(model.body, dtype or torch.float32)
        return cls(model.to(device), characters, calibration)

    def read(
        self, questions: Sequence[str], contexts: Sequence[str], *, batch_size: int = 16, always: bool = False
    ) -> list[Reading]:
        """Find the best span of each context for its question.

        Args:
            questions: One per context.
            contexts: Plain text of any length; what is longer than a window is read in windows that overlap.
            batch_size: Windows read together; batches are made of windows of like length.
            always: Give the best span also where "no answer" is likelier; its confidence is then low.

        Returns:
            One reading per pair, in the order given.

        Raises:
            ValueError: The counts differ, or a question has more than `MAX_QUESTION` tokens.
        """
        asked, read = self._texts(questions, contexts)
        any_span = [-math.inf] * len(read)
        best = [(-math.inf, 0, 0)] * len(read)
        for window, scores in self._scores(asked, read, batch_size):
            k = window.number
            any_span[k] = float(torch.logaddexp(torch.tensor(any_span[k]), scores.flatten().logsumexp(0).cpu()))
            score, place = scores.flatten().max(0)
            first, last = divmod(int(place), scores.shape[1])
            best[k] = max(best[k], (float(score), window.low + first, window.start + last))
        return [self._reading(*item, always) for item in zip(contexts, read, any_span, best, strict=True)]

    def log_probability(
        self, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[str], *, batch_size: int = 16
    ) -> list[float]:
        """Log of the probability that the answer is this text, summed over its occurrences in the context.

        Occurrences are exact and lie on token borders; -inf where there is none of at most `MAX_SPAN` tokens.
        "" stands for "no answer in this context". Not calibrated.

        Raises:
            ValueError: The counts differ, or a question has more than `MAX_QUESTION` tokens.
        """
        asked, read = self._texts(questions, contexts)
        places = [
            sorted(occurrences(text.offsets, context, answer, MAX_SPAN))
            for text, context, answer in zip(read, contexts, answers, strict=True)
        ]
        whole = [0.0] * len(read)
        mine = [-math.inf] * len(read)
        for window, scores in self._scores(asked, read, batch_size):
            k = window.number
            whole[k] = _log_sum(whole[k], float(scores.flatten().logsumexp(0)))
            for first, last in places[k]:
                if window.low <= first < window.high:
                    mine[k] = _log_sum(mine[k], float(scores[first - window.low, last - window.start]))
        return [
            -all_of if not answer else one - all_of for one, all_of, answer in zip(mine, whole, answers, strict=True)
        ]

    def _texts(self, questions: Sequence[str], contexts: Sequence[str]) -> tuple[list[Text], list[Text]]:
        if len(questions) != len(contexts):
            raise ValueError(f"{len(questions)} questions for {len(contexts)} contexts")
        asked, read = ([self._characters.tokens(text) for text in texts] for texts in (questions, contexts))
        for question in asked:
            if len(question) > MAX_QUESTION:
                raise ValueError(f"a question has {len(question)} tokens, more than the {MAX_QUESTION} that fit")
        return asked, read

    @torch.inference_mode()
    def _scores(self, asked: Sequence[Text], read: Sequence[Text], batch_size: int) -> Iterator[tuple[Window, Tensor]]:
        """Every window with its spans' scores, (starts it answers for, its tokens), shortest window first."""
        every = [window for number, text in enumerate(read) for window in windows(number, len(text))]
        every.sort(key=lambda window: window.end - window.start + len(asked[window.number]))
        for begin in range(0, len(every), batch_size):
            part = every[begin : begin + batch_size]
            pairs = [Pair.of(asked[w.number], read[w.number].part(w.start, w.end)) for w in part]
            for window, pair, scores in zip(part, pairs, self._model(ZhBatch.of(pairs).to(self._device)), strict=True):
                shift = pair.first - window.start
                yield window, scores[window.low + shift : window.high + shift, pair.first : window.end + shift]

    def _reading(
        self, context: str, text: Text, any_span: float, best: tuple[float, int, int], always: bool
    ) -> Reading:
        if not len(text):
            return Reading(0, 0, 0.0, math.inf)
        score, first, last = best
        confidence = self._calibration.confidence(any_span, score)
        if any_span <= self._calibration.threshold and not always:
            return Reading(0, 0, confidence, -any_span)
        start, end = text.offsets[first][0], text.offsets[last][1]
        while _cuts(context, start):
            start -= 1
        while _cuts(context, end):
            end += 1
        return Reading(start, end, confidence, -any_span)


class TwoReaders:
    """The English and the Chinese reader as one: each pair goes where `reads_chinese` says. Each is loaded when needed."""

    def __init__(self, english: Callable[[], SpanReader], chinese: Callable[[], ChineseReader]) -> None:
        """Make it from what loads the readers."""
        self._load_english, self._load_chinese = english, chinese

    @cached_property
    def english(self) -> SpanReader:
        """The reader of what is not Chinese."""
        return self._load_english()

    @cached_property
    def chinese(self) -> ChineseReader:
        """The reader of Chinese."""
        return self._load_chinese()

    def read(
        self, questions: Sequence[str], contexts: Sequence[str], *, batch_size: int = 16, always: bool = False
    ) -> list[Reading]:
        """As `SpanReader.read`."""
        found: dict[int, Reading] = {}
        for reader, numbers in self._parts(questions, contexts):
            asked, read = [questions[k] for k in numbers], [contexts[k] for k in numbers]
            found.update(zip(numbers, reader.read(asked, read, batch_size=batch_size, always=always), strict=True))
        return [found[k] for k in range(len(questions))]

    def log_probability(
        self, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[str], *, batch_size: int = 16
    ) -> list[float]:
        """As `SpanReader.log_probability`."""
        found: dict[int, float] = {}
        for reader, numbers in self._parts(questions, contexts):
            texts = ([side[k] for k in numbers] for side in (questions, contexts, answers))
            found.update(zip(numbers, reader.log_probability(*texts, batch_size=batch_size), strict=True))
        return [found[k] for k in range(len(questions))]

    def _parts(
        self, questions: Sequence[str], contexts: Sequence[str]
    ) -> Iterator[tuple[SpanReader | ChineseReader, list[int]]]:
        """Each reader that is needed with the numbers of its pairs."""
        pairs = list(zip(questions, contexts, strict=True))
        chinese = [k for k, pair in enumerate(pairs) if reads_chinese(*pair)]
        if chinese:
            yield self.chinese, chinese
        if english := sorted(set(range(len(pairs))) - set(chinese)):
            yield self.english, english


def _cuts(text: str, place: int) -> bool:
    """Whether a cut here goes through a user-perceived character or a run of digits."""
    inside = 0 < place < len(text)
    return inside and (text[place - 1 : place + 1].isdigit() or not is_grapheme_border(text, place))


def _log_sum(left: float, right: float) -> float:
    high, low = max(left, right), min(left, right)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))

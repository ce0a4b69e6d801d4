"""The built-in reader: finds the answer to a question as a span of a passage, or says that it is not there.

The model is the trunk of all-MiniLM-L6-v2 (installed with ``ctxproc[cpu]``) plus a shipped difference to its encoder
layers and a small span head (span_model.py). It does not chunk, retrieve or generate: it reads what it is given.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ctxproc.errors import ModelError
from ctxproc.llm.delta import empty_trunk, fill, read_model
from ctxproc.llm.several import asks_for_several, members
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.span_head import occurrences
from ctxproc.llm.span_model import MAX_SPAN, Batch, Encoded, Encoder, SpanModel, choose
from ctxproc.llm.trunk import trunk_folder
from ctxproc.measures import logistic

NAME = "reader"
MAX_LENGTH = 512


@dataclass(frozen=True)
class Reading:
    """What the reader found in one passage.

    Attributes:
        start: First character of the answer in the context given; 0 when there is none.
        end: One past its last character; 0 when there is none.
        confidence: Calibrated probability, 0 to 1, that the passage holds the answer and that this span is it.
        null: Log-odds that the passage holds no answer (uncalibrated; positive: more likely absent than present;
            infinite where there is nothing to read).
        members: Where the question asks for several and the passage names more than one: the spans of them all, in
            order; ``start`` and ``end`` are the likeliest span nevertheless.
    """

    start: int
    end: int
    confidence: float
    null: float
    members: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Calibration:
    """How scores become a confidence, fitted on development questions.

    Attributes:
        offset: Constant of the logistic function.
        present: Weight of the log-odds that the passage holds an answer.
        share: Weight of the log of the best answer's share among all spans.
        threshold: Log-odds up to which the reader says that there is no answer.
    """

    offset: float
    present: float
    share: float
    threshold: float

    def confidence(self, any_span: float, best: float) -> float:
        """Probability that the answer is right, from the log-sum of all spans' scores and of those that say the best."""
        return logistic(self.offset + self.present * any_span + self.share * (best - any_span))


class SpanReader:
    """Reads passages for questions with the shipped weights.

    The model holds no state between calls: the same inputs give the same readings, in any order and batch.
    """

    max_length = MAX_LENGTH

    def __init__(self, model: SpanModel, encoder: Encoder, calibration: Calibration) -> None:
        """Use a model as it is; `load` makes one from the shipped weights."""
        self._model = model.eval()
        self._encoder = encoder
        self._calibration = calibration
        self._device = model.bias.weight.device

    @classmethod
    def load(
        cls, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, weights: Path = WEIGHTS
    ) -> SpanReader:
        """The installed trunk plus the shipped difference.

        Args:
            device: Where to run.
            dtype: Of the encoder; fp32 unless given. The head always runs in fp32.
            weights: Folder with ``reader.safetensors`` and ``reader.json``.

        Raises:
            ModelError: The trunk is not installed, is not the one trained on, or the weights are missing or damaged.
        """
        facts, tensors = read_model(NAME, weights)
        try:
            calibration = Calibration(**facts["calibration"])
        except (KeyError, TypeError) as error:
            raise ModelError(f"the facts of the built-in model {NAME} lack its calibration: {error}") from error
        model = SpanModel(empty_trunk())
        fill(model, tensors, NAME)
        nn.Module.to(model.trunk, dtype or torch.float32)
        return cls(model.to(device), Encoder(trunk_folder()), calibration)

    def weights(self) -> dict[str, Tensor]:
        """All weights in use, for training on from them."""
        return self._model.state_dict()

    def read(
        self, questions: Sequence[str], contexts: Sequence[str], *, batch_size: int = 16, always: bool = False
    ) -> list[Reading]:
        """Find the best span of each context for its question.

        Args:
            questions: One per context.
            contexts: Plain text; any language, though the vocabulary is English.
            batch_size: Pairs read together; batches are made of pairs of like length.
            always: Give the best span also where "no answer" is likelier; its confidence is then low.

        Returns:
            One reading per pair, in the order given.

        Raises:
            ValueError: The counts differ, or a pair has more than ``max_length`` tokens.
        """
        items = self._encode(questions, contexts)
        readings: list[Reading | None] = [None] * len(items)
        for k, scores in self._scores(items, batch_size):
            readings[k] = self._reading(items[k], questions[k], contexts[k], scores, always)
        return [reading for reading in readings if reading is not None]

    def log_probability(
        self, questions: Sequence[str], contexts: Sequence[str], answers: Sequence[str], *, batch_size: int = 16
    ) -> list[float]:
        """Log of the probability that the answer is this text, summed over its occurrences in the context.

        Occurrences are exact and lie on token borders; -inf where there is none of at most ``MAX_SPAN`` tokens.
        "" stands for "no answer in this context". Not calibrated.

        Raises:
            ValueError: The counts differ, or a pair has more than ``max_length`` tokens.
        """
        items = self._encode(questions, contexts)
        totals = [-math.inf] * len(items)
        for k, scores in self._scores(items, batch_size):
            whole = torch.logaddexp(scores.flatten().logsumexp(0), torch.zeros((), device=scores.device))
            places = list(occurrences(items[k].offsets, contexts[k], answers[k], MAX_SPAN))
            if not answers[k]:
                totals[k] = float(-whole)
            elif places:
                shift = items[k].first
                chosen = torch.stack([scores[shift + i, shift + j] for i, j in places])
                totals[k] = float(chosen.logsumexp(0) - whole)
        return totals

    def _encode(self, questions: Sequence[str], contexts: Sequence[str]) -> list[Encoded]:
        if len(questions) != len(contexts):
            raise ValueError(f"{len(questions)} questions for {len(contexts)} contexts")
        items = self._encoder.encode(questions, contexts)
        for item in items:
            if len(item) > MAX_LENGTH:
                excess = len(item) - MAX_LENGTH
                raise ValueError(f"question and context have {excess} tokens more than the {MAX_LENGTH} that fit")
        return items

    @torch.inference_mode()
    def _scores(self, items: Sequence[Encoded], batch_size: int) -> Iterator[tuple[int, Tensor]]:
        """Index and scores (T, T) of every item, shortest first."""
        order = sorted(range(len(items)), key=lambda k: len(items[k]))
        for begin in range(0, len(order), batch_size):
            part = order[begin : begin + batch_size]
            yield from zip(part, self._model(Batch.of([items[k] for k in part]).to(self._device)), strict=True)

    def _reading(self, item: Encoded, question: str, context: str, scores: Tensor, always: bool) -> Reading:
        if not item.context:
            return Reading(0, 0, 0.0, math.inf)
        choice = choose(scores, item, question, context)
        confidence = self._calibration.confidence(choice.any_span, choice.best)
        if choice.any_span <= self._calibration.threshold and not always:
            return Reading(0, 0, confidence, -choice.any_span)
        several = members(choice.likely, question, context) if asks_for_several(question) else []
        named = tuple(several) if len(several) > 1 else ()
        return Reading(choice.start, choice.end, confidence, -choice.any_span, named)

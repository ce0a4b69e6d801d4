"""The built-in judge: how likely a block is needed for a query, given the blocks already kept.

A small cross-encoder on the trunk of all-MiniLM-L6-v2 (judge_model.py) with a shipped difference to its layers. It is the
default model of the criterion and of MemRecall's judge ``cross_encoder``. It ranks and does not answer.

Source: Ding, Zhou, Yang and Tang 2020, "CogLTX: Applying BERT to Long Texts", section 2.3 (the judge), here with one score
for a block and not for each of its tokens; Nogueira and Cho 2019, "Passage Re-ranking with BERT".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch

from ctxproc.llm.delta import empty_trunk, fill, read_model
from ctxproc.llm.judge_model import JudgeModel, Row, Rows, Words
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.llm.trunk import trunk_folder
from ctxproc.measures import logistic

if TYPE_CHECKING:
    from pathlib import Path

QUERY, KEPT, BLOCK = 96, 144, 256
"""Tokens that are read of a query, of all kept blocks together, and of a block at once."""

OVERLAP = 32
"""Tokens that two parts of a long block have in common."""


@dataclass(frozen=True)
class Calibration:
    """How scores become probabilities, fitted on development queries.

    Attributes:
        offset: constant of the logistic function.
        slope: weight of the score.
    """

    offset: float = 0.0
    slope: float = 1.0

    def probability(self, score: float) -> float:
        """The logistic function of offset and score."""
        return logistic(self.offset + self.slope * score)


class Judge:
    """Judges blocks with the shipped weights; no state between calls: batches and order do not matter but for rounding."""

    def __init__(self, model: JudgeModel, words: Words, calibration: Calibration) -> None:
        """Use a model as it is; `load` makes one from the shipped weights."""
        self._model = model.eval()
        self._words = words
        self._calibration = calibration
        self._device = model.near.device

    @classmethod
    def load(
        cls, *, device: str | torch.device = "cpu", dtype: torch.dtype | None = None, weights: Path = WEIGHTS
    ) -> Judge:
        """The installed trunk plus the shipped difference.

        Args:
            device: where to run.
            dtype: of the encoder; fp32 unless given. The head always runs in fp32.
            weights: folder with ``judge.safetensors`` and ``judge.json``.

        Raises:
            ModelError: the trunk is not installed, is not the one trained on, or the weights do not fit it.
        """
        facts, tensors = read_model("judge", weights)
        model = JudgeModel(empty_trunk())
        fill(model, tensors, "judge")
        if dtype is not None:
            torch.nn.Module.to(model.trunk, dtype)
        return cls(model.to(device), Words(trunk_folder()), Calibration(**facts["calibration"]))

    def score(self, query: str, kept: Sequence[str], blocks: Sequence[str], *, batch_size: int = 16) -> list[float]:
        """The probability that each block is needed for the query when the kept ones are there, from 0 to 1.

        A block of more than ``BLOCK`` tokens is read in parts that overlap, and its best part counts. Of the query the
        first ``QUERY`` tokens are read; of the kept blocks the first ones, as many of each as fit ``KEPT`` tokens.
        Probabilities are calibrated for near misses: a needed block among six that look alike.

        Args:
            query: in words; with "" or a block without words the score says little.
            kept: blocks kept so far, the earliest first; the block that is asked about should not be among them.
            blocks: texts of any length; special tokens in them are plain text.
            batch_size: parts that are read together; those of like length are.

        Returns:
            One number per block, in the order given.
        """
        asked, *read = self._words.ids([query, *kept, *blocks])
        asked, before = asked[:QUERY], self._kept(read[: len(kept)])
        rows, owners = [], []
        for owner, block in enumerate(read[len(kept) :]):
            for part in parts(block):
                rows.append(Row(asked, before, part))
                owners.append(owner)
        best = [-math.inf] * len(blocks)
        for owner, score in zip(owners, self._scores(rows, batch_size), strict=True):
            best[owner] = max(best[owner], score)
        return [self._calibration.probability(score) for score in best]

    def _kept(self, read: Sequence[list[int]]) -> list[int]:
        share = KEPT // max(1, len(read))
        return [token for block in read for token in block[:share]]

    @torch.inference_mode()
    def _scores(self, rows: Sequence[Row], batch_size: int) -> list[float]:
        """The log-odds of every row."""
        order = sorted(range(len(rows)), key=lambda k: len(rows[k]))
        found = [0.0] * len(rows)
        for begin in range(0, len(order), batch_size):
            some = order[begin : begin + batch_size]
            for k, score in zip(
                some, self._model(Rows.of([rows[k] for k in some]).to(self._device)).tolist(), strict=True
            ):
                found[k] = score
        return found


def parts(block: Sequence[int]) -> list[Sequence[int]]:
    """A block as parts of at most ``BLOCK`` tokens, each with the last ``OVERLAP`` of the one before; one if it is short."""
    step = BLOCK - OVERLAP
    return [block[k : k + BLOCK] for k in range(0, max(1, len(block) - OVERLAP), step)]


@cache
def built_in_judge(device: str = "auto", dtype: str = "auto") -> Judge:
    """The judge, loaded once for each device and number format.

    Raises:
        ModelError: it cannot be loaded.
    """
    from ctxproc.llm.hardware import choose_device, choose_dtype

    place = choose_device(device)
    return Judge.load(device=place, dtype=choose_dtype(dtype, place))

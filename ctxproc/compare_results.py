"""What a comparison gives: the answers of every way to every question. compare_scores.py makes measures of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ctxproc.strategies.base import Plan

if TYPE_CHECKING:
    from ctxproc.compare_ledger import Row
    from ctxproc.compare_questions import Place, Question
    from ctxproc.compare_ways import Way
    from ctxproc.config import Settings
    from ctxproc.document import Document


@dataclass
class Ran:
    """What came of one way.

    Attributes:
        way: it.
        places: of the questions that it is asked, ascending; not all where these would be too dear.
        plan: an upper bound of what these cost.
        rows: its answers, by the question's place.
        errors: why there is no answer, by the question's place.
        reason: why it was not run, or not to its end; "" where it was.
    """

    way: Way
    places: list[int] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    rows: dict[int, Row] = field(default_factory=dict)
    errors: dict[int, str] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class Comparison:
    """Questions, ways, and the answer of each way to each question; `compare_scores.scored` makes measures of it.

    Attributes:
        questions: in order.
        gold: where the gold passages of each question stand, each at one place or at any of several.
        documents: the sources.
        ran: the ways in order; the first is what the others are measured against.
        settings: those that all ways have in common.
    """

    questions: Sequence[Question]
    gold: Sequence[Sequence[tuple[Place, ...]]]
    documents: Sequence[Document]
    ran: Sequence[Ran]
    settings: Settings

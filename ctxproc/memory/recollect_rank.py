"""Which turns are relevant to a message: words and meaning, who spoke, when, and what else was said there.

The score of a turn is the weighted mean of

- words: BM25 of the message's stems, the best turn at 1. An answer is given a share of the words of its question, which it
  seldom repeats.
- cosine: of the turn's vector and the message, without the names and question words in it: turns name neither.
- speaker: 1 where the message names one speaker, or speaks of "I" (the user's turns) or "you" (the assistant's).
- date: 1 for a turn of the days that the message names, and half for one of the week after them, in which people tell.

A turn that only asks gets `ASKED` of that: it tells nothing, and what answered it is wanted. To this is added what the
three best turns of its session score, as a chat about the matter holds more of it.

BM25 and cosine are used as far as the settings' criteria search by words and by vectors; other searchers of theirs add a
share of their own, and their scorers are not asked.
All weights were chosen on half of the questions of a benchmark (`benchmarks/locomo.py`) and are flat around their values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ctxproc.memory import dates
from ctxproc.memory.base import Ids
from ctxproc.memory.fuse import calibrated
from ctxproc.memory.lexical import Parameters
from ctxproc.memory.recollect_turns import Flags, Turns, seconds
from ctxproc.memory.recollect_words import bare, first_person, second_person, spoken_of, stemmed
from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.memory.criteria import Searcher
    from ctxproc.memory.stored import Stored

Scores = NDArray[np.float64]

WEIGHTS = {"words": 1.0, "cosine": 1.5, "speaker": 0.4, "date": 0.8}
OTHERS = 0.5
"""The weight of each other searcher."""
SESSION = 0.3
"""The weight of what a session scores, as a share of all others together."""
BEST = 3
"""Turns that speak for a session."""
QUESTION = 0.7
"""The share of its question's words that an answer is given."""
AFTER = 7 * 86_400.0
"""Seconds after a stretch of time in which it is told of."""
PARAMETERS = Parameters(k1=1.2, b=0.3)
"""Turns are short: their length says less of them than that of a page."""
DEPTH = 200
"""Candidates by words and by vectors, each."""
LEAST = 0.25
"""Cosine below which a turn that shares no word with the message has nothing to do with it."""
ASKED = 0.4
"""The share of its score that a turn keeps which only asks."""
CUED, CUED_BY_COSINE = 0.4, 0.5
"""Words of a turn, the best one having 1, from which on the message calls it back though it has faded; its cosine, where
words are not searched."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """A turn that is relevant.

    Attributes:
        id: of the passage.
        score: from 0 to 1.
        shares: what each criterion gave to the score.
        cued: whether the message calls it back though it has faded, by its words or its date.
    """

    id: int
    score: float
    shares: Mapping[str, float]
    cued: bool = True


@dataclass(frozen=True)
class Asked:
    """What a message asks for.

    Attributes:
        text: the message.
        rest: it without names and question words.
        spans: the stretches of time that it names, in seconds since 1970, and how they stand there.
        by: rows of the speakers of whom it speaks; None where it does not say.
    """

    text: str
    rest: str
    spans: tuple[tuple[float, float, str], ...]
    by: Flags | None

    @classmethod
    def of(cls, message: str, now: datetime, turns: Turns) -> Asked:
        """Read a message that is said ``now``."""
        names = spoken_of(message, turns.speakers)
        rows = turns.rows
        by = None
        if len(names) == 1:
            by = rows.speakers == turns.speakers[next(iter(names))]
        elif not names and first_person(message):
            by = rows.users
        elif not names and second_person(message):
            by = rows.assistants
        spans = tuple(
            (seconds(one.since), seconds(one.until), message[one.start : one.end])
            for one in dates.resolve(message, now)
        )
        return cls(message, bare(message, set(names.values())), spans, by)


def rank(stored: Stored, turns: Turns, asked: Asked, among: Flags) -> list[Ranked]:
    """The turns that have to do with a message, the most relevant first, equals by id; none where it says nothing.

    Args:
        stored: where they are.
        turns: brought up to date.
        asked: the message.
        among: which of the rows may be found; shape (rows,).
    """
    from ctxproc.memory.corpus import searching

    if not among.any() or not (asked.spans or words(stemmed(asked.rest), query=True)):
        return []
    searchers = searching(stored.settings.retrieval.search or ["bm25"])
    parts = {"speaker": _speaker(asked, among), "date": _date(asked, turns)}
    if any(one.name == "bm25" for one in searchers):
        parts["words"] = _words(asked, turns, among)
    for one in searchers:
        if one.name != "bm25" and not one.embeds:
            parts[one.name] = _searched(stored, turns, asked, one, among)
    marks = np.zeros(len(among), np.bool_)
    for name in parts.keys() - {"speaker"}:
        marks |= parts[name] > 0
    total = sum((_weight(name) * part for name, part in parts.items()), np.zeros(len(among)))
    total[turns.rows.only_ask] *= ASKED
    places = _highest(np.where(among & marks, total, 0), DEPTH)
    if stored.embeds:
        places, cosines = _nearest(stored, turns, asked, among, places)
        related = marks[places] | (cosines >= LEAST)
        places, cosines = places[related], cosines[related]
    shares = {name: _weight(name) * part[places] for name, part in parts.items()}
    if stored.embeds:
        shares["cosine"] = _weight("cosine") * cosines
    cued = parts["words"][places] >= CUED if "words" in parts else shares.get("cosine", 0) >= CUED_BY_COSINE
    return _ranked(turns, places, shares, cued | (parts["date"][places] > 0))


def _weight(name: str) -> float:
    return WEIGHTS.get(name, OTHERS)


def _speaker(asked: Asked, among: Flags) -> Scores:
    """1 for the rows of the one of whom the message speaks."""
    return np.zeros(len(among)) if asked.by is None else asked.by.astype(np.float64)


def _date(asked: Asked, turns: Turns) -> Scores:
    """1 for rows of the days that the message names, half for those of the week after."""
    times = turns.rows.times
    found = np.zeros(len(times))
    for since, until, _ in asked.spans:
        found[(times >= until) & (times < until + AFTER) & (found < 1)] = 0.5
        found[(times >= since) & (times < until)] = 1
    return found


def _words(asked: Asked, turns: Turns, among: Flags) -> Scores:
    """BM25, that of a question added to its answer; the best row that may be found has 1."""
    scores = turns.words.scores(stemmed(asked.rest), PARAMETERS)
    answers = np.flatnonzero(turns.answers >= 0)
    found = scores.copy()
    found[answers] += QUESTION * scores[turns.answers[answers]]
    highest = float(found[among].max(initial=0))
    return found / highest if highest > 0 else found


def _searched(stored: Stored, turns: Turns, asked: Asked, searcher: Searcher, among: Flags) -> Scores:
    """What another searcher finds, its scores from 0, for what it does not find, to 1."""
    corpus = stored.corpus("memory")
    hits = searcher.search(corpus, asked.text, DEPTH)
    found = np.zeros(len(among))
    ids = corpus.ids[[hit.index for hit in hits]]
    places, there = _places(turns, ids)
    found[places] = np.array(calibrated([hit.score for hit in hits]))[there]
    return np.where(among, found, 0)


def _nearest(stored: Stored, turns: Turns, asked: Asked, among: Flags, places: Ids) -> tuple[Ids, Scores]:
    """The nearest rows besides those at ``places``, and the cosine of all of them, at least 0."""
    index = stored.vectors("memory")
    [vector] = stored.embedder.embed([asked.rest], query=True)
    out = int(np.count_nonzero(~among))
    few = out <= DEPTH  # to search all and leave them out is quicker than to search among the others
    found, _ = index.search(vector, DEPTH + out * few, "cosine", among=None if few else turns.rows.ids[among])
    near = _places(turns, found)[0]
    places = np.union1d(places, near[among[near]])
    ids, scores = index.search(vector, len(places), "cosine", among=turns.rows.ids[places])
    cosines = np.zeros(len(places))
    cosines[np.searchsorted(turns.rows.ids[places], ids)] = np.maximum(scores, 0)
    return places, cosines


def _places(turns: Turns, ids: Ids) -> tuple[Ids, Flags]:
    """The places of those of these passages that are rows, and which of them are."""
    rows = turns.rows.ids
    at = np.searchsorted(rows, ids)
    there = at < len(rows)
    there[there] = rows[at[there]] == ids[there]
    return at[there], there


def _highest(scores: Scores, k: int) -> Ids:
    """The places of the ``k`` highest scores above 0, equals by place; ascending."""
    found = np.flatnonzero(scores > 0)
    if k < len(found):
        found = np.sort(found[np.argsort(-scores[found], kind="stable")[:k]])
    return found


def _ranked(turns: Turns, places: Ids, shares: Mapping[str, Scores], cued: Flags) -> list[Ranked]:
    """The rows at these places, best first, their shares made to sum to scores from 0 to 1."""
    whole = sum(map(_weight, shares))
    kept = np.where(turns.rows.only_ask[places], ASKED, 1.0)
    scaled = {name: kept * share / whole / (1 + SESSION) for name, share in shares.items()}
    own = sum(scaled.values(), np.zeros(len(places)))
    scaled["session"] = SESSION * _of_sessions(turns.rows.sessions[places], own)
    scores = own + scaled["session"]
    found = []
    for i in np.argsort(-scores, kind="stable"):
        parts = {name: float(part[i]) for name, part in scaled.items()}
        found.append(Ranked(int(turns.rows.ids[places[i]]), float(scores[i]), parts, bool(cued[i])))
    return found


def _of_sessions(sessions: Ids, scores: Scores) -> Scores:
    """For each row, the mean score of the best rows of its session; of rows that it lacks 0."""
    best: dict[int, list[float]] = {}
    for place in np.argsort(-scores, kind="stable").tolist():
        some = best.setdefault(int(sessions[place]), [])
        if len(some) < BEST:
            some.append(float(scores[place]))
    return np.array([sum(best[number]) / BEST for number in sessions.tolist()])

"""Whether a memory file is sound and its caches agree with it; repair by building anew, or by saving what can be read."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctxproc.errors import StoreError, UsageError
from ctxproc.memory.base import Ids, Matrix, Owner, Shelf, Store
from ctxproc.memory.erase import UNFINISHED, finish
from ctxproc.memory.salvage import salvage
from ctxproc.memory.stored import SHELVES, cache_beside
from ctxproc.text import words

if TYPE_CHECKING:
    from ctxproc.memory.lexical import LexicalIndex
    from ctxproc.memory.store import SqliteStore
    from ctxproc.memory.vector import VectorIndex

SAMPLE = 16
"""Queries by which an index is compared with the truth."""

NEAREST = 10
"""Passages that each of them asks for."""

BY_RANK_BM25 = 20_000
"""Passages of the largest shelf whose words are compared with rank-bm25; larger ones are compared with a fresh index."""

Tell = Callable[[int, int], None]


@dataclass
class Report:
    """What a doctor found.

    Attributes:
        facts: what there is, a line each.
        wrong: what is wrong, a line each; empty where all is sound.
        repaired: what was done about it, a line each.
        sound: nothing is wrong, or no longer.
    """

    facts: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repaired: list[str] = field(default_factory=list)
    sound: bool = True


def examine(path: Path, *, repair: bool = False, owners: Sequence[Owner] = ()) -> Report:
    """Check a memory file, everyone's, and compare every cache with what it was made of.

    Args:
        path: of the file.
        repair: build caches anew that disagree; where the file itself is damaged, save what can be read of it, see
            `ctxproc.memory.salvage`.
        owners: whose passages are saved where the file cannot tell who has some.

    Raises:
        UsageError: there is no such file.
        StoreError: nothing can be saved.
    """
    from ctxproc.memory.store import SqliteStore

    if not os.path.isfile(path):
        raise UsageError(f"there is no memory file {path}: name one that `ctxproc memory add` or a chat has made")
    report = Report()
    damaged = True
    try:
        store = SqliteStore(path)
    except StoreError as error:
        report.wrong.append(str(error))
    else:
        with contextlib.closing(store):
            report.wrong += store.check()
            damaged = bool(report.wrong)
            for owner in () if damaged else store.owners():
                _examine_owner(store, owner, repair, report)
    if damaged:
        report.sound = False
    if damaged and repair:
        saved, lost = salvage(path, owners)
        gone = f"; at least {lost:,} passages are lost" if lost else ""
        report.repaired.append(f"what can be read was saved in {saved}{gone}")
    return report


def _examine_owner(store: SqliteStore, owner: Owner, repair: bool, report: Report) -> None:
    """Look at an owner's shelves, and at whether everything that was to be forgotten is gone."""
    from ctxproc.memory.cache import Caches

    for shelf in SHELVES:
        _examine_shelf(store, owner, shelf, repair, report)
    if store.setting(owner, UNFINISHED):
        report.wrong.append(f"what {owner.user} has forgotten may still stand in the files: it was interrupted")
        if repair:
            finish(store, Caches(store, cache_beside(store.path)), owner)
            report.repaired.append("the files were rewritten without it")
        report.sound = report.sound and repair


def _examine_shelf(store: SqliteStore, owner: Owner, shelf: Shelf, repair: bool, report: Report) -> None:
    """Look at one shelf and its caches."""
    from ctxproc.memory.cache import Caches

    count = store.state(owner, shelf).count
    if not count:
        return
    name = f"{shelf} of {'/'.join(filter(None, (owner.user, owner.agent, owner.session)))}"
    model = store.model(owner)
    by = f", vectors by {model.name} ({model.dimensions} numbers)" if model else ", no vectors"
    report.facts.append(f"{name}: {count:,} passages{by}")
    caches = Caches(store, cache_beside(store.path), listener=report.facts.append)
    for kind, opened, compare in (
        ("vectors", caches.vectors, compare_vectors),
        ("texts", caches.texts, compare_texts),
    ):
        if store.manifest(owner, f"{shelf}.{kind}") is None:
            continue
        faults = _faults(store, owner, shelf, opened, compare, report)  # type: ignore[arg-type]
        report.wrong += [f"{name}, index of {kind}: {fault}" for fault in faults]
        if faults and not repair:
            report.sound = False
        elif faults:
            caches.drop(owner)
            again = _faults(store, owner, shelf, opened, compare, report)  # type: ignore[arg-type]
            state = f"still wrong: {again[0]}" if again else "agrees now"
            report.sound = report.sound and not again
            report.repaired.append(f"{name}, index of {kind}: built anew, {state}")


def _faults(
    store: Store,
    owner: Owner,
    shelf: Shelf,
    opened: Callable[[Owner, Shelf], VectorIndex | LexicalIndex],
    compare: Callable[[VectorIndex | LexicalIndex, Store, Owner, Shelf], list[str]],
    report: Report,
) -> list[str]:
    """What is wrong with an index."""
    from ctxproc.memory.lexical import LexicalIndex

    index = opened(owner, shelf)
    about = "exact" if isinstance(index, LexicalIndex) else f"{index.kind}, recall {index.recall:.3f}"
    report.facts.append(f"  index of {len(index.ids):,}: {about}")
    return compare(index, store, owner, shelf)


def compare_vectors(index: VectorIndex, store: Store, owner: Owner, shelf: Shelf) -> list[str]:
    """How an index of vectors differs from the vectors in the store; empty where it does not.

    A sample of the vectors is searched for, in the index and one by one. Of an index that is not exact, the share of the
    nearest that it finds may be a twentieth below what it states. Vectors are read batch by batch: what is kept is
    `SAMPLE` numbers for each.
    """
    held = np.asarray(index.ids)
    sample = held[np.unique(np.linspace(0, len(held) - 1, SAMPLE).astype(np.int64))] if len(held) else held
    queries = np.asarray(index.vectors(sample))
    same = True
    ids, cosines = [np.zeros(0, dtype=np.int64)], [np.zeros((0, len(sample)), dtype=np.float32)]
    for some, values in store.changed_vectors(owner, shelf).added:
        vectors = np.asarray(values)
        if vectors.shape[1] != index.dimensions:
            return ["holds vectors of another length than the store"]
        lengths = np.linalg.norm(vectors, axis=1)[:, None] * np.linalg.norm(queries, axis=1)
        cosines.append(vectors @ queries.T / np.maximum(lengths, 1e-12))
        asked = np.isin(sample, some)
        same = same and np.array_equal(queries[asked], vectors[np.isin(some, sample)])
        ids.append(some)
    there = np.concatenate(ids)
    if not np.array_equal(held, there):
        return [f"holds other passages than the store ({len(held):,} and {len(there):,})"]
    if not same:
        return ["holds other vectors than the store"]
    recall = _recall(index, queries, there, np.concatenate(cosines)) if len(held) else 1.0
    if recall < index.recall - (0.0 if index.kind == "flat" else 0.05) - 1e-9:
        return [f"finds {recall:.3f} of the nearest {NEAREST}, and states {index.recall:.3f}"]
    return []


def _recall(index: VectorIndex, queries: Matrix, ids: Ids, cosines: Matrix) -> float:
    """The share of the nearest that an index finds; ``cosines``, shape (ids, queries), are the truth."""
    found = 0.0
    for query, truth in zip(queries, cosines.T, strict=True):
        best = np.sort(truth)[::-1][:NEAREST]
        got = np.asarray(index.search(query, NEAREST)[0])
        found += float(np.mean(truth[np.searchsorted(ids, got)] >= best[-1] - 1e-5)) * len(got) / len(best)
    return found / len(queries)


def compare_texts(index: LexicalIndex, store: Store, owner: Owner, shelf: Shelf) -> list[str]:
    """How an index of words differs from the texts in the store; empty where it does not."""
    from ctxproc.memory.lexical import LexicalIndex, agrees

    fresh = LexicalIndex()
    ids: list[int] = []
    texts: list[str] = []
    queries: list[str] = []
    for some, batch in store.changed_texts(owner, shelf).added:
        ids += [int(one) for one in some]
        queries += [" ".join(words(str(text))[:8]) for text in batch[:: max(1, len(batch) // SAMPLE)]]
        if len(ids) <= BY_RANK_BM25:
            texts += [str(text) for text in batch]
        fresh.add(some, [str(text) for text in batch])
    if np.asarray(index.ids).tolist() != ids:
        return [f"holds other passages than the store ({len(index.ids):,} and {len(ids):,})"]
    queries = queries[:: max(1, len(queries) // SAMPLE)][:SAMPLE]
    if len(ids) <= BY_RANK_BM25:
        return [] if agrees(index, texts, queries) else ["gives other scores than rank-bm25"]
    same = all(np.allclose(index.scores(query), fresh.scores(query), rtol=0, atol=1e-9) for query in queries)
    return [] if same else ["gives other scores than an index built anew"]

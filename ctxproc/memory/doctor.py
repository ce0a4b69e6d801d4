"""Whether a memory file is sound and its caches agree with it; repair by building anew, or by saving what can be read."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ctxproc.chunk import Chunk
from ctxproc.errors import CtxprocError, StoreError, UsageError
from ctxproc.memory.base import Matrix, Owner, Passage, Shelf, Store
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

EMPTY = 1_000_000
"""So many numbers in a row without a passage end a salvage."""

AT_ONCE = 4096
"""Passages that are read together."""

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


def examine(path: Path, *, repair: bool = False) -> Report:
    """Check a memory file, everyone's, and compare every cache with what it was made of.

    Args:
        path: of the file.
        repair: build caches anew that disagree; where the file itself is damaged, save what can be read of it in a new
            file beside it, which is never written over another one. The damaged file stays as it is.

    Raises:
        UsageError: there is no such file.
        StoreError: the file cannot be opened at all.
    """
    from ctxproc.memory.store import SqliteStore

    if not path.is_file():
        raise UsageError(f"there is no memory file {path}: name one that `ctxproc memory add` or a chat has made")
    report = Report()
    store = SqliteStore(path)
    with contextlib.closing(store):
        report.wrong += store.check()
        report.sound = not report.wrong
        if report.wrong and repair:
            saved, lost = salvage(store, path.with_name(path.name + ".salvaged"))
            report.repaired.append(f"what can be read was saved in {saved}; lost: {lost or 'nothing'}")
        elif not report.wrong:
            for owner in store.owners():
                for shelf in SHELVES:
                    _examine_shelf(store, owner, shelf, repair, report)
    return report


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

    A sample of the stored vectors is searched for, in the index and one by one. Of an index that is not exact, the share
    of the nearest that it finds may be a twentieth below what it states.
    """
    batches = [(np.asarray(ids), np.asarray(rows)) for ids, rows in store.changed_vectors(owner, shelf).added]
    ids = np.concatenate([some for some, _ in batches]) if batches else np.zeros(0, dtype=np.int64)
    if not np.array_equal(np.asarray(index.ids), ids):
        return [f"holds other passages than the store ({len(index.ids):,} and {len(ids):,})"]
    if not len(ids):
        return []
    vectors: Matrix = np.concatenate([rows for _, rows in batches])
    faults = []
    sample = np.unique(np.linspace(0, len(ids) - 1, SAMPLE).astype(np.int64))
    if not np.array_equal(np.asarray(index.vectors(ids[sample])), vectors[sample]):
        faults.append("holds other vectors than the store")
    norms = np.linalg.norm(vectors, axis=1)
    found = 0.0
    for query in vectors[sample]:
        truth = vectors @ query / np.maximum(norms * np.linalg.norm(query), 1e-12)
        best = np.sort(truth)[::-1][:NEAREST]
        got = np.asarray(index.search(query, NEAREST)[0])
        found += float(np.mean(truth[np.searchsorted(ids, got)] >= best[-1] - 1e-5)) * len(got) / len(best)
    recall = found / len(sample)
    if recall < index.recall - (0.0 if index.kind == "flat" else 0.05) - 1e-9:
        faults.append(f"finds {recall:.3f} of the nearest {NEAREST}, and states {index.recall:.3f}")
    return faults


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


def salvage(store: SqliteStore, path: Path) -> tuple[Path, str]:
    """Save what can be read of a damaged store in a new file; its path, and what was lost, in words.

    Notes and documents get new numbers. The log, vectors and how often a note was recalled are not saved.

    Args:
        store: the damaged one; it is only read.
        path: of the new file; where there is one, a number is put behind it.
    """
    from ctxproc.memory.store import SqliteStore

    number, free = 1, path
    while free.exists():
        number, free = number + 1, path.with_name(f"{path.name}.{number}")
    lost = 0
    with contextlib.closing(SqliteStore(free)) as new:
        for owner in store.owners():
            notes, gone = _readable(store, owner, "memory")
            new.add(owner, [passage.note for passage in notes])
            chunks, missing = _readable(store, owner, "library")
            lost += gone + missing + _save_documents(store, new, owner, chunks)
    return free, f"{lost:,} passages" if lost else ""


def _save_documents(store: SqliteStore, new: SqliteStore, owner: Owner, chunks: Sequence[Passage]) -> int:
    """Save the documents of these chunks; how many chunks were lost with theirs."""
    of: dict[int, list[Passage]] = {}
    for passage in chunks:
        of.setdefault(passage.document, []).append(passage)
    lost = 0
    for number, passages in of.items():
        try:
            document = store.document(owner, number)
        except CtxprocError:
            lost += len(passages)
            continue
        new.file(owner, document, [Chunk(document, one.start, one.end, one.tokens, one.index) for one in passages])
    new.set(owner, "chunking", "salvaged")
    return lost


def _readable(store: SqliteStore, owner: Owner, shelf: Shelf) -> tuple[list[Passage], int]:
    """The passages of a shelf that can be read, and how many are told of and cannot."""
    found: list[Passage] = []
    start = seen = 1
    while start - seen < EMPTY:
        some = _read(store, owner, shelf, range(start, start + AT_ONCE))
        start += AT_ONCE
        seen = start if some else seen
        found += some
    with contextlib.suppress(StoreError):
        return found, max(0, store.state(owner, shelf).count - len(found))
    return found, 0


def _read(store: SqliteStore, owner: Owner, shelf: Shelf, ids: Sequence[int]) -> list[Passage]:
    """The passages of these numbers but for those that cannot be read."""
    try:
        return store.passages(owner, shelf, ids)
    except StoreError:
        middle = len(ids) // 2
        if not middle:
            return []
        return _read(store, owner, shelf, ids[:middle]) + _read(store, owner, shelf, ids[middle:])

"""Forgetting that leaves no trace, and the receipt that proves it.

Removed are the notes and what was made of them (`ctxproc.memory.bank_cascade`), their earlier texts in the log, the
owner's index caches, the traces of runs that hold what was forgotten, and every entry of the key-value store that was
used since the first of the notes was there (entries are numbers that a model computed of a text; which text cannot be
told). Then the store's files are rewritten, and every file of the store, of its caches and of the traces is read byte by
byte.

Not reached are copies that others made: exports, backups, files of documents, answers that were printed, and the disk
blocks that a deleted file leaves behind. Indexes that another process holds in memory lose what was forgotten when that
process searches next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.config import cache_folder
from ctxproc.errors import StoreError
from ctxproc.llm.kv_disk import ENTRY
from ctxproc.memory.bank_cascade import dependents, everything, read_again, unsaid
from ctxproc.memory.base import Filed, Owner, Passage, Shelf, Store
from ctxproc.memory.item import Item
from ctxproc.memory.scan import Scan, pieces, places, scan
from ctxproc.memory.stored import SHELVES, Stored, cache_beside

if TYPE_CHECKING:
    from ctxproc.config import Settings
    from ctxproc.memory.cache import Caches

WHOLE_LOG = 1 << 62

UNFINISHED = "forgetting"
"""The owner's setting that says that something was forgotten and the files are still to be rewritten."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten, and what was seen afterwards.

    Attributes:
        notes: what was, or with ``dry_run`` would be, forgotten: those that were meant, then what was made of them.
        documents: sources of documents that were dropped.
        dry_run: nothing was done.
        renewed: of notes that said it only before they were edited: their new numbers; what they say now was kept.
        removed: files of caches and traces that were deleted.
        scan: the bytes that were read in the end, and where something stood in them.
        holders: passages of all owners that still say some of it and were not to be forgotten, such as chunks of
            documents; counted where the scan found something.
    """

    notes: tuple[Item, ...] = ()
    documents: tuple[str, ...] = ()
    dry_run: bool = False
    renewed: tuple[int, ...] = ()
    removed: int = 0
    scan: Scan = field(default_factory=Scan)
    holders: int = 0

    @property
    def clean(self) -> bool:
        """Nothing stands in any byte that was read, and all could be read."""
        return not self.dry_run and not self.scan.found and not self.scan.unread

    def to_json(self) -> dict[str, object]:
        """As ``ctxproc memory forget --json`` prints it."""
        return {
            "notes": [item.to_json() for item in self.notes],
            "documents": list(self.documents),
            "dry_run": self.dry_run,
            "renewed": list(self.renewed),
            "removed": self.removed,
            "scan": asdict(self.scan),
            "holders": self.holders,
            "clean": self.clean,
        }


def matching(store: Store, owner: Owner, word: str) -> list[Passage]:
    """The notes that contain a text in any case: in what they say, what they said before, or what was told of them."""
    past = {
        change.passage
        for change in store.changes(owner, None, WHOLE_LOG)
        for text in (change.before, change.after)
        if text and says(text, word)
    }
    found = []
    for passage in everything(store, owner):
        if passage.id in past or any(says(text, word) for text in told(passage)):
            found.append(passage)
    return found


def says(text: str, word: str) -> bool:
    """Whether a text contains a word, in any case."""
    return next(places(word, text), None) is not None


def told(passage: Passage) -> list[str]:
    """All text of a passage: what it says, and what is known of it."""
    note = passage.note
    values = [str(part) for pair in note.metadata.items() for part in pair]
    return [text for text in (note.text, note.speaker, note.source, *values) if text]


def erase(stored: Stored, items: Sequence[Item], word: str, settings: Settings) -> Receipt:
    """Forget notes, and what was made of them.

    Args:
        stored: where they are.
        items: the notes; of none, what an interrupted call left undone is done.
        word: what they have in common, "" if they were named by number.
        settings: where caches and traces are.

    Raises:
        StoreError: a file cannot be deleted or rewritten; calling it again goes on.
    """
    store, owner = stored.store, stored.owner
    passages = store.passages(owner, "memory", [item.id for item in items])
    if not passages:
        finish(store, stored.caches, owner)
        return Receipt()
    made = dependents(store, owner, passages)
    doomed = [*passages, *made]
    changes = [change for passage in doomed for change in store.changes(owner, passage.id, WHOLE_LOG)]
    renew = [passage.note for passage in passages if word and not any(says(text, word) for text in told(passage))]
    wanted = pieces(_texts(store, owner, passages, word), word)
    of_made = [piece for piece in pieces(_texts(store, owner, made, word)) if piece not in wanted]
    wanted += unsaid(store, owner, of_made, [passage.id for passage in doomed])
    wanted = [piece for piece in wanted if not any(says(note.text, piece) for note in renew)]
    since = min((change.time for change in changes), default=datetime.fromtimestamp(0, UTC))
    removed = _clear(stored, "memory", [word, *wanted] if word else wanted, since, settings)
    store.set(owner, UNFINISHED, "yes")
    read_again(store, owner, doomed)
    renewed = tuple(store.add(owner, renew)) if renew else ()
    store.forget(owner, [passage.id for passage in doomed])
    receipt = Receipt((*items, *map(Item.of, made)), renewed=renewed, removed=removed)
    return _proven(stored, receipt, wanted, settings)


def _texts(store: Store, owner: Owner, passages: Sequence[Passage], word: str) -> list[str]:
    """What passages say and said before, and what is told of them that holds a word."""
    changes = [change for passage in passages for change in store.changes(owner, passage.id, WHOLE_LOG)]
    texts = [text for change in changes for text in (change.before, change.after) if text]
    texts += [passage.text for passage in passages]
    return texts + [text for passage in passages for text in told(passage)[1:] if word and says(text, word)]


def erase_documents(stored: Stored, filed: Sequence[Filed], settings: Settings) -> Receipt:
    """Drop documents and prove that no trace of their text is left; their files are not touched.

    Args:
        stored: where they are.
        filed: the documents.
        settings: where caches and traces are.

    Raises:
        StoreError: as `erase`.
    """
    if not filed:
        return Receipt()
    wanted = pieces(stored.store.document(stored.owner, one.id).text for one in filed)
    removed = _clear(stored, "library", wanted, min(one.added for one in filed), settings)
    stored.store.set(stored.owner, UNFINISHED, "yes")
    stored.store.drop(stored.owner, [one.source for one in filed])
    receipt = Receipt(documents=tuple(one.source for one in filed), removed=removed)
    return _proven(stored, receipt, wanted, settings)


def finish(store: Store, caches: Caches, owner: Owner) -> None:
    """Do what is left to do of a forgetting, if anything: delete the caches and rewrite the files."""
    if store.setting(owner, UNFINISHED):
        with _deleting():
            caches.drop(owner)
        store.purge()
        store.set(owner, UNFINISHED, "")


@contextlib.contextmanager
def _deleting() -> Iterator[None]:
    """What an error of deleting a file means."""
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{error.filename} cannot be deleted ({error.strerror}): make it so, then forget again"
        ) from error


def _clear(stored: Stored, shelf: Shelf, sought: Sequence[str], since: datetime, settings: Settings) -> int:
    """Delete caches and traces that may hold it; how many files."""
    removed = len(stored.caches.files(stored.owner, shelf))
    doomed = [Path(name) for name, _ in scan(traces(settings), sought).found]
    for kind in ("kv", "embeddings") if shelf == "library" else ("kv",):
        folder = cache_folder(settings) / kind
        entries = folder.iterdir() if folder.is_dir() and not folder.is_symlink() else ()
        doomed += [path for path in entries if ENTRY.fullmatch(path.name) and _used(path) >= since.timestamp()]
    with _deleting():
        stored.caches.drop(stored.owner, shelf)
        for path in doomed:
            path.unlink(missing_ok=True)
    return removed + len(doomed)


def _used(path: Path) -> float:
    """When a file was last written or marked as used."""
    with contextlib.suppress(OSError):
        return path.lstat().st_mtime
    return 0.0


def _proven(stored: Stored, receipt: Receipt, wanted: Sequence[str], settings: Settings) -> Receipt:
    """The receipt, after the store was rewritten and everything was read."""
    finish(stored.store, stored.caches, stored.owner)
    seen = scan([*files(stored.store.path), *traces(settings)], wanted)
    others = _everything(stored.store) if seen.found else iter(())
    holders = sum(1 for text in others if any(says(text, one) for one in wanted))
    return replace(receipt, scan=seen, holders=holders)


def _everything(store: Store) -> Iterator[str]:
    """The text of every passage of every owner."""
    for owner in store.owners():
        for shelf in SHELVES:
            for _, texts in store.changed_texts(owner, shelf).added:
                yield from map(str, texts)


def files(store: Path) -> list[Path]:
    """The files of a store: itself, what is beside it under its name, and its caches."""
    beside = [path for path in sorted(store.parent.iterdir()) if path.name.startswith(store.name) and path.is_file()]
    folder = cache_beside(store)
    return [*beside, *(path for path in sorted(folder.rglob("*")) if path.is_file())]


def traces(settings: Settings) -> list[Path]:
    """The traces of runs that are kept."""
    folder = cache_folder(settings) / "runs"
    return sorted(folder.glob("*.jsonl")) if folder.is_dir() else []

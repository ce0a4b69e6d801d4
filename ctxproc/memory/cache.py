"""Indexes of a store, kept in files beside it and in the process: caches, which may be deleted at any time.

The store says of each file which bytes it must hold and which generation of a shelf it has seen. The hash is compared
before anything in the file is read as an index. A file that is missing, damaged, or not the one that was written is as
none: the index is built anew from the store. An index that is behind is given what has changed.

Files are written under another name, synced and renamed, all under one lock of the folder, and only while the index is
what the store holds: after an owner's files were dropped, no other process writes back what has gone.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, Literal, TypeVar, cast, overload

import numpy as np

from ctxproc.errors import StoreError
from ctxproc.memory.base import Changed, Ids, Owner, Shelf, Store
from ctxproc.memory.cache_file import alone, digest, file_prefix, remove_parts, write_file
from ctxproc.memory.lexical import USUAL, LexicalIndex, Parameters, Scores
from ctxproc.memory.vector import VectorIndex

Index = TypeVar("Index", VectorIndex, LexicalIndex)

MANY = 1000
"""More than these, and a fifth of all, are not added one after another: the index is made anew, which is quicker."""

FEW = 256
"""So many changes are not worth another file."""

SHARE = 20
"""A file is written again when one in so many has changed."""


class Caches:
    """The indexes of one store. Safe in several threads; several processes may use the same folder.

    Args:
        store: what they are made of.
        folder: of their files, made with mode 0700 when the first is written. For this store alone.
        listener: told, in a line, what was made anew and why, and what could not be written.
        kind: of vector indexes, see `VectorIndex`.
        device: of vector indexes.
    """

    def __init__(
        self,
        store: Store,
        folder: Path,
        listener: Callable[[str], None] | None = None,
        *,
        kind: str = "auto",
        device: str = "auto",
    ) -> None:
        self._store = store
        self._folder = folder
        self._tell = listener or (lambda line: None)
        self._kind, self._device = kind, device
        self._lock = threading.Lock()
        self._vectors: dict[tuple[Owner, Shelf], _Vectors] = {}
        self._texts: dict[tuple[Owner, Shelf], _Texts] = {}

    def vectors(self, owner: Owner, shelf: Shelf) -> VectorIndex:
        """The index of a shelf's vectors, as the store is now.

        It is the same object at every call, and later calls alter it; threads that search it see whole changes.

        Raises:
            StoreError: the store is damaged, or busy for too long.
        """
        with self._lock:
            if (owner, shelf) not in self._vectors:
                made = _Vectors(self._store, self._folder, owner, shelf, self._tell)
                made.kind, made.device = self._kind, self._device
                self._vectors[owner, shelf] = made
            found = self._vectors[owner, shelf]
        return found.index()

    def texts(self, owner: Owner, shelf: Shelf) -> LexicalIndex:
        """The index of a shelf's words, as the store is now. Otherwise as `vectors`."""
        with self._lock:
            if (owner, shelf) not in self._texts:
                self._texts[owner, shelf] = _Texts(self._store, self._folder, owner, shelf, self._tell)
            found = self._texts[owner, shelf]
        return found.index()

    def files(self, owner: Owner, shelf: Shelf | None = None) -> list[Path]:
        """The owner's files, of one shelf or both, those of killed writers (whoever's) included."""
        return sorted([*self._folder.glob(_pattern(owner, shelf)), *self._folder.glob(".*.part")])

    def drop(self, owner: Owner, shelf: Shelf | None = None) -> None:
        """Delete the owner's files, and let go of the indexes in this process, of one shelf or both.

        The next call builds them anew.

        Raises:
            OSError: a file cannot be deleted.
        """
        with self._lock:
            for kept in (self._vectors, self._texts):
                for key in [key for key in kept if key[0] == owner and shelf in (None, key[1])]:
                    del kept[key]
        if self._folder.is_dir():
            with alone(self._folder):
                remove_parts(self._folder)
                for file in self._folder.glob(_pattern(owner, shelf)):
                    file.unlink(missing_ok=True)


def _pattern(owner: Owner, shelf: Shelf | None) -> str:
    """What the names of an owner's files are like."""
    return f"{file_prefix(owner)}{shelf}.*" if shelf else f"{file_prefix(owner)}*"


@overload
def opened(kind: Literal["vectors"], store: Store, owner: Owner, shelf: Shelf, folder: Path) -> VectorIndex: ...
@overload
def opened(kind: Literal["texts"], store: Store, owner: Owner, shelf: Shelf, folder: Path) -> LexicalIndex: ...
def opened(
    kind: Literal["vectors", "texts"], store: Store, owner: Owner, shelf: Shelf, folder: Path
) -> VectorIndex | LexicalIndex:
    """One index, once: see `Caches`, which is for more than one question."""
    caches = Caches(store, folder)
    return caches.vectors(owner, shelf) if kind == "vectors" else caches.texts(owner, shelf)


class _Cached(ABC, Generic[Index]):
    """One index of one shelf, and its file."""

    what: str

    def __init__(self, store: Store, folder: Path, owner: Owner, shelf: Shelf, tell: Callable[[str], None]) -> None:
        self.store, self.owner, self.shelf = store, owner, shelf
        self.name = f"{shelf}.{self.what}"
        self.file = folder / f"{file_prefix(owner)}{self.name}"
        self._tell = tell
        self._lock = threading.Lock()
        self._index: Index | None = None
        self._generation = 0
        self._unwritten = 0

    @abstractmethod
    def read(self, file: Path) -> Index:
        """The index in a file whose hash was found right."""

    @abstractmethod
    def build(self, changed: Changed) -> Index:
        """An index of all that the shelf holds."""

    @abstractmethod
    def changed(self, since: int) -> Changed:
        """What an index that has seen this generation lacks."""

    def fits(self, index: Index) -> bool:
        """Whether what has changed can be put into this index."""
        return True

    def index(self) -> Index:
        """The index, as the store is now."""
        with self._lock:
            index, self._index = self._index, None  # an error on the way leaves none behind
            index = self._renewed(index if index is not None else self._from_file())
            self._index = index
            if self._unwritten > max(FEW, len(index) // SHARE):
                self._write(index)
            return index

    def _from_file(self) -> Index | None:
        """The index in the file, if the file is what the store says."""
        manifest = self.store.manifest(self.owner, self.name)
        if manifest is None or not self.file.exists():
            return None
        self._generation, wanted = manifest
        self._unwritten = 0
        try:
            with alone(self.file.parent):
                if digest(self.file) == wanted:
                    return self.read(self.file)
        except (OSError, ValueError) as error:
            self._tell(f"the index {self.name} is made anew, since its file cannot be read: {error}")
            return None
        self._tell(f"the index {self.name} is made anew: its file is damaged or not the one that was written")
        return None

    def _renewed(self, index: Index | None) -> Index:
        """The index with what it lacks, or another one where that does not make it whole."""
        if index is not None and self.store.state(self.owner, self.shelf).generation == self._generation:
            return index
        if index is not None and self.fits(index):
            changed = self.changed(self._generation)
            added = changed.count + len(changed.removed) - len(index)
            if added > max(MANY, changed.count // 5):
                return self._anew()
            if changed.generation >= self._generation:
                index.remove(changed.removed)
                self._unwritten += len(changed.removed)
                for ids, values in changed.added:
                    index.add(ids, values)  # type: ignore[arg-type]
                    self._unwritten += len(ids)
                self._generation = changed.generation
                if len(index) == changed.count:
                    return index
            self._tell(f"the index {self.name} is made anew: it is not of this store")
        return self._anew()

    def _anew(self) -> Index:
        """The index, built of all that the store holds."""
        changed = self.changed(0)
        index = self.build(changed)
        if len(index) != changed.count:
            raise StoreError(
                f"the memory says it holds {changed.count} {self.what} and gave {len(index)}; "
                "check it: ctxproc memory doctor"
            )
        self._generation = changed.generation
        self._unwritten = FEW + len(index)
        return index

    def _write(self, index: Index) -> None:
        """Write the file, unless the store has changed meanwhile; a folder that cannot be written is as none."""
        try:
            with alone(self.file.parent):
                if self.store.state(self.owner, self.shelf).generation != self._generation:
                    return
                made = write_file(self.file, index.write)
                self.store.record(self.owner, self.name, self._generation, made)
        except (OSError, StoreError) as error:
            self._tell(f"the index {self.name} is not kept in a file: {error}")
        self._unwritten = 0


class _Vectors(_Cached[VectorIndex]):
    """The index of vectors."""

    what = "vectors"
    kind = "auto"
    device = "auto"

    def read(self, file: Path) -> VectorIndex:
        """See `VectorIndex.read`."""
        index = VectorIndex.read(file, self.device)
        if index.asked != self.kind:
            raise ValueError("it is of another kind")
        return index

    def build(self, changed: Changed) -> VectorIndex:
        """See `VectorIndex.build`."""
        model = self.store.model(self.owner)
        if model is None:
            return VectorIndex(0, self.kind, self.device)
        batches = ((ids, np.asarray(values)) for ids, values in changed.added)
        return VectorIndex.build(batches, changed.count, model.dimensions, self.kind, self.device)

    def changed(self, since: int) -> Changed:
        """Of the vectors."""
        return self.store.changed_vectors(self.owner, self.shelf, since)

    def fits(self, index: VectorIndex) -> bool:
        """Whether the vectors still have as many dimensions."""
        model = self.store.model(self.owner)
        return model is None or index.dimensions in (0, model.dimensions)


class _Texts(_Cached[LexicalIndex]):
    """The index of words."""

    what = "texts"

    def read(self, file: Path) -> LexicalIndex:
        """See `LexicalIndex.read`."""
        return _Shared.read(file)

    def build(self, changed: Changed) -> LexicalIndex:
        """Built batch by batch."""
        index = _Shared()
        for ids, texts in changed.added:
            index.add(ids, cast("Sequence[str]", texts))
        return index

    def changed(self, since: int) -> Changed:
        """Of the texts."""
        return self.store.changed_texts(self.owner, self.shelf, since)


class _Shared(LexicalIndex):
    """A lexical index that threads may search while another one alters it: one call at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.RLock()

    @property
    def ids(self) -> Ids:
        """As `LexicalIndex.ids`."""
        with self._lock:
            return super().ids

    def add(self, ids: Sequence[int] | Ids, texts: Sequence[str]) -> None:
        """As `LexicalIndex.add`."""
        with self._lock:
            super().add(ids, texts)

    def remove(self, ids: Sequence[int] | Ids) -> None:
        """As `LexicalIndex.remove`."""
        with self._lock:
            super().remove(ids)

    def search(
        self, query: str, k: int, parameters: Parameters = USUAL, among: Ids | None = None
    ) -> tuple[Ids, Scores]:
        """As `LexicalIndex.search`."""
        with self._lock:
            return super().search(query, k, parameters, among)

    def scores(self, query: str, parameters: Parameters = USUAL) -> Scores:
        """As `LexicalIndex.scores`."""
        with self._lock:
            return super().scores(query, parameters)

    def write(self, path: Path) -> None:
        """As `LexicalIndex.write`."""
        with self._lock:
            super().write(path)

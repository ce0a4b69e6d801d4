"""What a memory is made of, and what a store of it promises. `ctxproc.memory.store` keeps it in one SQLite file.

A store holds, for each owner, two shelves of passages: the ``library``, chunks of documents, and the ``memory``, what was
remembered one by one. Everything is keyed by its owner; there is no way to ask across owners. A passage may have a
vector by the owner's one embedding model. Indexes (FAISS, BM25) are caches: they ask `Store.changed_texts` and
`Store.changed_vectors` for what they have not seen yet, and can be deleted at any time.

Every writing call is one transaction: when it returns, what it wrote survives a killed process and, but for
`Store.recall`, a lost power supply; when it raises, nothing of it was written. A store may be used by several threads
and processes at once.

No type here is SQLite's, so that another store (PostgreSQL with pgvector) fits below the same users.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ctxproc.chunk import Chunk
from ctxproc.document import Document
from ctxproc.errors import UsageError

Shelf = Literal["library", "memory"]
Kind = Literal["chunk", "note", "turn", "fact", "summary", "portrait"]
Action = Literal["add", "edit", "forget", "revert"]
Value = str | int | float | bool
Ids = NDArray[np.int64]
Matrix = NDArray[np.float32]

LONGEST_NAME = 512
"""Characters of a user, agent or session."""


def now() -> datetime:
    """The time, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose it is: part of every key. Two owners differ where any of the three differs.

    Raises:
        UsageError: the user is empty, or a name is too long or cannot be stored as text.
    """

    user: str
    agent: str = ""
    session: str = ""

    def __post_init__(self) -> None:
        if not self.user.strip():
            raise UsageError("a memory belongs to someone: name the user")
        for name in (self.user, self.agent, self.session):
            if len(name) > LONGEST_NAME or "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
                raise UsageError(f"the name {name[:40]!r} is too long or holds characters that cannot be stored")


@dataclass(frozen=True, slots=True)
class Note:
    """Something to remember.

    Attributes:
        text: not empty.
        kind: "note", "turn" (said in a chat), "fact", or "summary" and "portrait", which are made of turns.
        time: of what it tells, aware of its zone.
        speaker: who said it.
        source: where it comes from, such as a chat's name; for a reader, never opened.
        metadata: for filters; names to single values.
    """

    text: str
    kind: Kind = "note"
    time: datetime = field(default_factory=now)
    speaker: str = ""
    source: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Passage:
    """A stored text: a note, or a chunk of a document.

    Attributes:
        id: its number in the store; never given twice.
        text: of a chunk, the exact slice of its document.
        note: all that was told of it; of a chunk: kind "chunk", the document's source, and when it was added.
        recalls: how often it was recalled.
        recalled: when last.
        document: number of a chunk's document; 0 for others.
        start, end, tokens, index: as in `ctxproc.chunk.Chunk`; 0 for others.
    """

    id: int
    note: Note
    recalls: int = 0
    recalled: datetime | None = None
    document: int = 0
    start: int = 0
    end: int = 0
    tokens: int = 0
    index: int = 0

    @property
    def text(self) -> str:
        """What it says."""
        return self.note.text


@dataclass(frozen=True, slots=True)
class Model:
    """An embedding model: vectors of two models are never mixed.

    Attributes:
        name: for a reader.
        fingerprint: of all that decides its vectors.
        dimensions: of a vector.
    """

    name: str
    fingerprint: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class Filed:
    """A document in a library, without its text.

    Attributes:
        id: its number in the store.
        source: as in `Document`; one document of each source in a library.
        sha256: of the source's bytes.
        size, modified: bytes and time of the file (nanoseconds since 1970) when it was read; 0 for what is no file.
        chunks: how many.
        added: when.
    """

    id: int
    source: str
    sha256: str
    size: int
    modified: int
    chunks: int
    added: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A line of the log: what was done to one passage of the memory shelf.

    Attributes:
        id: ascending in time.
        passage: which.
        before, after: its text; None where there was, or is, none. Of what was forgotten, no text is kept.
    """

    id: int
    time: datetime
    action: Action
    passage: int
    before: str | None = None
    after: str | None = None


@dataclass(frozen=True, slots=True)
class State:
    """Of a shelf: ``generation`` grows with every change of it, ``count`` passages are on it."""

    generation: int
    count: int


@dataclass(frozen=True)
class Changed:
    """What changed on a shelf between a generation and this one; a consistent view.

    Attributes:
        generation: of the shelf now.
        count: of what the shelf holds now: passages, or vectors.
        removed: ids that are to be taken out, ascending; those of altered passages too.
        added: new or altered ones, ascending by id, in batches of (ids, what was asked for): read it to its end.
    """

    generation: int
    count: int
    removed: Ids
    added: Iterator[tuple[Ids, Sequence[str] | Matrix]]


@dataclass(frozen=True)
class ChangedPassages:
    """As `Changed`, of whole passages: ``added`` are new or altered ones, ascending by id, in batches."""

    generation: int
    count: int
    removed: Ids
    added: Iterator[list[Passage]]


@dataclass(frozen=True, slots=True)
class Filing:
    """A document that is to be put into a library.

    Attributes:
        document: what `Store.document` gives back.
        chunks: of it, in order.
        vectors: of the chunks, shape (chunks, dimensions), by the owner's model; None where there are none yet.
        size, modified: as in `Filed`.
    """

    document: Document
    chunks: Sequence[Chunk]
    vectors: Matrix | None = None
    size: int = 0
    modified: int = 0


class Store(ABC):
    """Where memories are kept. See the module for what all calls promise.

    Errors of every call: `StoreError` where the store is damaged, full, read-only or busy for too long; it names the file
    and what repairs it. What is read was checked against its checksum: damage is an error, never another text and
    never an empty result.
    """

    @abstractmethod
    def close(self) -> None:
        """Let go of the file. Any number of times."""

    @abstractmethod
    def owners(self) -> list[Owner]:
        """Everyone who has a passage or a document here. For a doctor and a backup, not for answers."""

    @abstractmethod
    def state(self, owner: Owner, shelf: Shelf) -> State:
        """Generation and size of a shelf; (0, 0) of an owner who has nothing. Quick."""

    @abstractmethod
    def passages(self, owner: Owner, shelf: Shelf, ids: Sequence[int] | None = None) -> list[Passage]:
        """These passages in the order asked for; default: all, ascending by id. What is not the owner's is left out."""

    @abstractmethod
    def add(
        self, owner: Owner, notes: Sequence[Note], vectors: Matrix | None = None, model: Model | None = None
    ) -> list[int]:
        """Put notes on the memory shelf; their ids. ``vectors``, shape (notes, dimensions), are by ``model``.

        Raises:
            LimitError: the owner would have more passages than the store allows.
        """

    @abstractmethod
    def edit(
        self,
        owner: Owner,
        passage: int,
        text: str,
        vector: Matrix | None = None,
        action: Action = "edit",
        model: Model | None = None,
    ) -> None:
        """Give a note another text, and the vector of it, shape (1, dimensions), by ``model``; without, it has none.

        ``action`` is what the log says: "edit", or "revert".

        Raises:
            UsageError: the owner has no such note.
        """

    @abstractmethod
    def recall(self, owner: Owner, passages: Sequence[int], time: datetime) -> None:
        """Note that these were recalled. Changes no generation and no log. A lost power supply may undo it, and only it."""

    @abstractmethod
    def forget(self, owner: Owner, passages: Sequence[int]) -> None:
        """Remove notes, and their texts from the log: no table holds them afterwards. See also `purge`."""

    @abstractmethod
    def purge(self) -> None:
        """Rewrite the store's files so that what was removed stands in no byte of them."""

    @abstractmethod
    def changes(self, owner: Owner, passage: int | None = None, limit: int = 1000) -> list[Change]:
        """The latest lines of the log, the last one first; of one passage, or of all."""

    @abstractmethod
    def file(
        self,
        owner: Owner,
        document: Document,
        chunks: Sequence[Chunk],
        vectors: Matrix | None = None,
        size: int = 0,
        modified: int = 0,
    ) -> int:
        """Put a document and its chunks into the library in place of that of the same source; the document's id.

        Raises:
            LimitError: the owner would have more passages than the store allows.
        """

    @abstractmethod
    def file_all(self, owner: Owner, filings: Sequence[Filing]) -> list[int]:
        """Put documents into the library as `file` does, all of them or none; their ids.

        One write is synced however many they are: of small documents this is much quicker than one after the other.

        Raises:
            LimitError: the owner would have more passages than the store allows.
        """

    @abstractmethod
    def drop(self, owner: Owner, sources: Sequence[str]) -> None:
        """Remove documents and their chunks from the library. Sources that are not there are left out."""

    @abstractmethod
    def filed(self, owner: Owner) -> list[Filed]:
        """The documents of the library, by source."""

    @abstractmethod
    def document(self, owner: Owner, document: int) -> Document:
        """A document as it was filed, byte map and pages included.

        Raises:
            UsageError: the owner has no such document.
        """

    @abstractmethod
    def setting(self, owner: Owner, name: str) -> str:
        """What was kept under this name by `set`; empty if nothing was. Such as how the library is split."""

    @abstractmethod
    def set(self, owner: Owner, name: str, value: str) -> None:
        """Keep a value."""

    @abstractmethod
    def model(self, owner: Owner) -> Model | None:
        """The model of the owner's vectors; None before there are any."""

    @abstractmethod
    def embed(
        self, owner: Owner, model: Model, ids: Sequence[int], vectors: Matrix, texts: Sequence[str] | None = None
    ) -> None:
        """Give passages their vectors, shape (ids, dimensions), in place of those they have.

        ``texts`` are what the vectors were made of: a passage that says something else by now is left out.

        Raises:
            StoreError: the owner's vectors are of another model; names the command that embeds anew.
        """

    @abstractmethod
    def unembedded(self, owner: Owner, limit: int = 256) -> list[tuple[int, str]]:
        """Passages of both shelves that have no vector: id and text, ascending."""

    @abstractmethod
    def strip(self, owner: Owner) -> None:
        """Remove all vectors and the model, so that another one may embed."""

    @abstractmethod
    def changed_texts(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        """What an index of the texts lacks that has seen generation ``since``."""

    @abstractmethod
    def changed_passages(
        self, owner: Owner, shelf: Shelf, since: int = 0, kinds: Collection[Kind] | None = None
    ) -> ChangedPassages:
        """What one lacks who has seen generation ``since``, in one reading; of ``added``, only these kinds, by default all.

        ``count`` and ``removed`` are of all kinds. How often a passage was recalled is as of now, and no change.
        """

    @abstractmethod
    def changed_vectors(self, owner: Owner, shelf: Shelf, since: int = 0) -> Changed:
        """What an index of the vectors lacks that has seen generation ``since``."""

    @abstractmethod
    def manifest(self, owner: Owner, cache: str) -> tuple[int, str] | None:
        """Generation and sha256 of a cache file, as `record` kept them; None if there is none."""

    @abstractmethod
    def record(self, owner: Owner, cache: str, generation: int, sha256: str) -> None:
        """Keep what a cache file must be. ``cache`` names it, such as "memory.vectors"."""

    @abstractmethod
    def check(self) -> list[str]:
        """Everything that is wrong with the store, one line each; empty where it is sound. Reads all of it."""

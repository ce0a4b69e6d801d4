"""`Memory`: what one owner was told, kept in a file, and found again."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from ctxproc.errors import UsageError
from ctxproc.memory import exchange, exchange_documents
from ctxproc.memory.bank_cascade import dependents
from ctxproc.memory.base import Action, Change, Kind, Matrix, Model, Note, Owner, Passage, Value, now
from ctxproc.memory.erase import Receipt, erase, matching
from ctxproc.memory.exchange_links import bring_in
from ctxproc.memory.item import Item
from ctxproc.memory.library import Shelves
from ctxproc.memory.stored import Stored
from ctxproc.trace import Listener

if TYPE_CHECKING:
    from ctxproc.config import Settings
    from ctxproc.memory.embed import Embedder

AT_ONCE = 256
"""Notes that are embedded while they are remembered."""

MOST_CHANGES = 1 << 62
"""More lines than any log has."""


class Memory:
    """The notes of one owner in a memory file, which many owners, threads and processes may share.

    What a call has remembered when it returns survives a killed process. Every recall sees what others wrote before.

    Args:
        path: the file; made if it is not there.
        user: whose notes; no other user's are ever seen.
        agent, session: narrow down whose; two owners differ where any of the three differs.
        settings: ``retrieval``, ``limits``, ``cache`` and ``device`` are used; default: all defaults.
        embedder: makes the vectors, instead of the one that the settings name.
        listeners: told of progress.

    Raises:
        UsageError: no user is named.
        StoreError: the file cannot be used.
        ConfigError, UnknownNameError: the settings name a criterion that does not exist.
    """

    def __init__(
        self,
        path: str | Path,
        user: str = "",
        *,
        agent: str = "",
        session: str = "",
        settings: Settings | None = None,
        embedder: Embedder | None = None,
        listeners: Sequence[Listener] = (),
    ) -> None:
        from ctxproc.config import Settings

        self.owner = Owner(user, agent, session)
        self.settings = settings or Settings()
        self.stored = Stored(path, self.owner, self.settings, embedder, listeners)
        self.store = self.stored.store

    def close(self) -> None:
        """Let go of the file."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @cached_property
    def library(self) -> Shelves:
        """The owner's documents in the same file."""
        return Shelves(self.stored)

    @property
    def count(self) -> int:
        """How many notes there are."""
        return self.store.state(self.owner, "memory").count

    def remember(
        self,
        text: str,
        *,
        kind: Kind = "note",
        time: datetime | None = None,
        speaker: str = "",
        source: str = "",
        metadata: Mapping[str, Value] | None = None,
    ) -> int:
        """Remember a note; its number. Arguments as in `Note`.

        Raises:
            UsageError: the text is empty or cannot be stored, or the metadata are not names with single values.
            LimitError: the owner has as many notes as ``limits.memories`` allows.
        """
        return self.remember_all([Note(text, kind, time or now(), speaker, source, metadata or {})])[0]

    def remember_all(self, notes: Iterable[Note]) -> list[int]:
        """Remember several notes, all of them or none; their numbers.

        Raises:
            UsageError, LimitError: as `remember`.
        """
        checked = [exchange.checked(note) for note in notes]
        if not checked:
            return []
        return self.store.add(self.owner, checked, *self._vectors([note.text for note in checked]))

    def _vectors(self, texts: Sequence[str]) -> tuple[Matrix | None, Model | None]:
        """The vectors of a few notes and their model; those of many are made when they are searched.

        Raises:
            StoreError: the owner's vectors are of another model.
        """
        model = self.stored.model() if self.stored.embeds else None
        few = model is not None and len(texts) <= AT_ONCE
        return (self.stored.embedder.embed(texts), model) if few else (None, None)

    def recall(
        self,
        query: str,
        k: int | None = None,
        *,
        where: Mapping[str, object] | None = None,
        since: str | date | None = None,
        until: str | date | None = None,
    ) -> list[Item]:
        """The notes that are most relevant to a query, the most relevant first. Criteria are those of the settings.

        Args:
            query: in words.
            k: how many at most; default: ``retrieval.top_k``.
            where: which notes may be found, as in `ctxproc.memory.filters.filtered`.
            since: the same.
            until: the same.

        Raises:
            UsageError: the query is empty.
            ConfigError: a filter is malformed.
            StoreError: the notes are embedded by another model than the settings name.
        """
        found = self.stored.search("memory", query, k, self.stored.filter(where, since, until))
        if found:
            self.store.recall(self.owner, [item.id for item in found], now())
        return found

    def get(self, note: int) -> Item:
        """A note by its number.

        Raises:
            UsageError: the owner has none of it.
        """
        return Item.of(self._passage(note))

    def _passage(self, note: int) -> Passage:
        found = self.store.passages(self.owner, "memory", [number(note)])
        if not found:
            raise UsageError(f"{self.owner.user} has no note {note}; `{self.stored.command('list')}` shows them")
        return found[0]

    def items(self) -> list[Item]:
        """All notes, in the order in which they were remembered."""
        return [Item.of(passage) for passage in self.store.passages(self.owner, "memory")]

    def edit(self, note: int, text: str) -> None:
        """Give a note another text. The old one stays in the log until the note is forgotten.

        Raises:
            UsageError: there is no such note, or the text cannot be stored.
        """
        self._edit(note, text, "edit")

    def _edit(self, note: int, text: str, action: Action) -> None:
        held = self._passage(note).note
        exchange.checked(Note(text, held.kind, held.time, held.speaker, held.source, held.metadata))
        vector, model = self._vectors([text])
        self.store.edit(self.owner, number(note), text, vector, action, model)

    def forget(self, what: str | int | Sequence[int], *, dry_run: bool = False) -> Receipt:
        """Forget every note that contains a text in any case, or notes by their numbers, and prove that they are gone.

        What was made of them goes with them: of a turn its facts, the summary of its day, the portrait. The text, speaker,
        source and metadata of a note are looked into, and what it said before it was edited. See `ctxproc.memory.erase` for
        what is removed besides the notes and what the receipt says.

        Args:
            what: a text, a number, or numbers.
            dry_run: only tell what would be forgotten.

        Raises:
            UsageError: the text is empty, or there is no such note.
        """
        if isinstance(what, str):
            if not what.strip():
                raise UsageError("say what to forget: the text is empty")
            found = matching(self.store, self.owner, what)
        else:
            ids = [what] if isinstance(what, int) else list(what)
            found = [self._passage(note) for note in ids]
        word = what if isinstance(what, str) else ""
        items = tuple(Item.of(passage) for passage in found)
        if dry_run:
            made = dependents(self.store, self.owner, found)
            return Receipt((*items, *map(Item.of, made)), dry_run=True)
        return erase(self.stored, items, word, self.settings)

    def log(self, note: int | None = None, limit: int = 100) -> list[Change]:
        """What was done, the last first; to one note, or to all. Of what was forgotten no text is there."""
        return self.store.changes(self.owner, None if note is None else number(note), limit)

    def diff(self, note: int) -> str:
        """What each change made of a note, the first change first, as lines of a unified diff.

        Raises:
            UsageError: nothing was ever done to such a note.
        """
        changes = self.store.changes(self.owner, number(note), MOST_CHANGES)
        if not changes:
            raise UsageError(f"{self.owner.user} has no note {note}, and had none")
        lines: list[str] = []
        for change in reversed(changes):
            lines.append(f"@@ change {change.id}, {change.action}, {change.time.isoformat(timespec='seconds')} @@")
            before, after = ((text or "").splitlines() for text in (change.before, change.after))
            lines += [line for line in difflib.ndiff(before, after) if not line.startswith("?")]
        return "\n".join(lines)

    def revert(self, change: int) -> int:
        """Give a note the text back that it had before a change; the note's number. The log keeps both.

        Raises:
            UsageError: there is no such change, it made the note, or the note has been forgotten since.
        """
        number(change)
        for found in self.store.changes(self.owner, None, MOST_CHANGES):
            if found.id == change:
                break
        else:
            raise UsageError(f"there is no change {change}; `{self.stored.command('log')}` shows them")
        if found.action == "forget" or (found.before is None and found.after is None):
            raise UsageError(f"what change {change} was about has been forgotten: no text of it is kept")
        if found.before is None:
            raise UsageError(f"change {change} made note {found.passage}: forget {found.passage} to undo it")
        self._edit(found.passage, found.before, "revert")
        return found.passage

    def export(self, path: str | Path) -> int:
        """Write everything about the owner into a new file of JSON lines (see `ctxproc.memory.exchange`); how many notes.

        That is notes, turns of chats, facts, summaries, the portrait, and the texts of the documents.

        Raises:
            UsageError: the file is there already, or cannot be written.
        """
        documents = exchange_documents.lines(self.store, self.owner)
        return exchange.write(Path(path), self.store.passages(self.owner, "memory"), documents)

    def import_(self, path: str | Path) -> list[int]:
        """Remember the notes of a file that `export` wrote; their numbers. See `exchange_links.bring_in`.

        A note that is there already, the same in everything, is left out, and so is a document. Of documents, see
        `exchange_documents.take_in`.

        Raises:
            UsageError: the file cannot be read, or a line of it is malformed; names the line. No note was remembered.
        """
        numbered = exchange.numbered(Path(path))
        exchange_documents.take_in(self, Path(path))
        return bring_in(self, numbered)

    def reembed(self) -> None:
        """Move to the embedding model of the settings; see `Stored.reembed`."""
        self.stored.reembed()


def number(value: object) -> int:
    """A number of a note or a change.

    Raises:
        UsageError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or not 0 < value < 1 << 63:
        raise UsageError(f"a note is named by its number, such as 12, not {str(value)[:40]!r}")
    return int(value)

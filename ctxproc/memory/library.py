"""The documents of one owner in a memory file, opened for questions. `ctxproc.memory.intake` puts them there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from ctxproc.document import Document
from ctxproc.errors import UsageError
from ctxproc.memory.base import Filed
from ctxproc.memory.erase import Receipt, erase_documents
from ctxproc.memory.item import Item
from ctxproc.memory.stored import Stored

if TYPE_CHECKING:
    from ctxproc.llm.base import Tokenizer
    from ctxproc.memory.corpus import Corpus

CHUNKING = "chunking"
"""The owner's setting that says how the library is split."""

PROBE = (
    "The keeper's lamp, lit at 18:45 — naïve Øresund, 3.14159 §7.\n\tfor i in range(10): x += i // 2\n"
    "燈台守の灯り Ελλάς маяк 등대 🏮 antidisestablishmentarianism"
)
"""Tokenizers whose tokens of this begin at the same characters count as the same."""


class Shelves:
    """The documents of one owner.

    Args:
        stored: the owner's shelves; ``chunk``, ``retrieval``, ``limits`` and ``cache`` of its settings are used.
    """

    def __init__(self, stored: Stored) -> None:
        self.stored = stored
        self.store, self.owner = stored.store, stored.owner
        self.settings, self.trace = stored.settings, stored.trace

    @cached_property
    def filed(self) -> list[Filed]:
        """The documents without their texts, in the order in which they were filed, as they are when first asked for.

        Raises:
            UsageError: there are none.
        """
        found = sorted(self.store.filed(self.owner), key=lambda one: one.id)
        if not found:
            raise UsageError(
                f"{self.owner.user} has no documents in {self.store.path}: add some with "
                f"`{self.stored.command('add')} SOURCE...`"
            )
        return found

    @cached_property
    def documents(self) -> list[Document]:
        """The documents with their texts, in the order of `filed`."""
        return [self.store.document(self.owner, one.id) for one in self.filed]

    def is_split_by(self, tokenizer: Tokenizer, budget: int, overlap: int) -> bool:
        """Whether the chunks are of this budget and overlap, as this tokenizer counts."""
        return self.store.setting(self.owner, CHUNKING) == chunking(tokenizer, budget, overlap)

    def corpus(self) -> Corpus:
        """The chunks as they were filed, ready to be searched."""
        return self.stored.corpus("library")

    def search(self, query: str, k: int | None = None) -> list[Item]:
        """The chunks that are most relevant to a query, the most relevant first.

        Raises:
            UsageError: the query is empty.
            StoreError: the chunks are embedded by another model than the settings name.
        """
        return self.stored.search("library", query, k)

    def forget(self, sources: Sequence[str], *, dry_run: bool = False) -> Receipt:
        """Drop documents by their sources, and prove that no trace of their text is left; no file of theirs is touched.

        Raises:
            UsageError: there is no document of a source.
        """
        filed = {one.source: one for one in self.store.filed(self.owner)}
        for source in sources:
            if source not in filed:
                raise UsageError(
                    f"{self.owner.user} has no document {source!r}; `{self.stored.command('list')} --documents` shows them"
                )
        if dry_run:
            return Receipt(documents=tuple(sources), dry_run=True)
        return erase_documents(self.stored, [filed[source] for source in dict.fromkeys(sources)], self.settings)


def chunking(tokenizer: Tokenizer, budget: int, overlap: int) -> str:
    """Names how documents are split: equal for the same chunks."""
    starts = hashlib.sha256(json.dumps(tokenizer.starts(PROBE)).encode()).hexdigest()
    return json.dumps({"tokens": budget, "overlap": min(overlap, budget // 2), "tokenizer": starts}, sort_keys=True)

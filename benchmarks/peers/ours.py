"""ctxproc's engine.

Options: ``mode`` is "parallel" (windows side by side, the default) or "chained" (one after another, exact as a whole prompt
is; then only a common beginning is reused); ``disk`` false keeps nothing on disk.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers.protocol import First, Peer, Setup, memory, serve
from peers.workload import MODEL

if TYPE_CHECKING:
    from ctxproc.llm.batch import Batch, Row

ROOM = 256  # tokens that may follow a question
BYTES = 1 << 36


class Ours(Peer):
    """Segments are prefix and windows; the tail is the question."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import torch
        from transformers import AutoModelForCausalLM

        from ctxproc.llm.engine import Engine
        from ctxproc.llm.gate import admit
        from ctxproc.llm.kv import KVStore
        from ctxproc.llm.packed import pack

        torch.set_num_threads(setup.threads)
        self.bare = memory()["rss"]
        dtype = getattr(torch, setup.dtype)
        model = AutoModelForCausalLM.from_pretrained(Path(setup.folder) / MODEL, dtype=dtype)
        admission = admit(model)
        pack(model)
        self.kept = Path(setup.scratch) / "kv"
        disk = BYTES if setup.options.get("disk", True) else 0
        store = KVStore(self.kept, ram_bytes=BYTES, disk_bytes=disk, report=self._fail)
        root = hashlib.sha256(f"{setup.folder} {setup.dtype}".encode()).hexdigest()
        self.engine = Engine(model, admission.layout, admission.kernel, store, root, admission.ragged)
        self.batch: Batch | None = None
        self.last = 0

    def facts(self) -> dict[str, Any]:
        """Kernel, options, and the memory of the process before the weights were read."""
        import torch

        return {"torch": torch.__version__, "kernel": self.engine.kernel.name, "bare": self.bare, **self.setup.options}

    def prepare(self) -> None:
        """Reads every window."""
        self._open([self._row(list(range(len(self.document.windows))), [])])

    def fill(self) -> None:
        """Puts random keys and values of every window into the store: to attend to they cost what real ones do."""
        import torch

        row = self._row(list(range(len(self.document.windows))), [])
        layout = self.engine.layout
        for node in {node.key: node for chain in row.chains for node in self.engine.path(chain)}.values():
            entry = torch.empty(layout.entry(len(node.ids)), dtype=layout.dtype)
            self.engine.store.put(node.key, entry.normal_())

    def ready(self) -> None:
        """Forgets the last answer."""
        self.batch = None

    def ask(self, order: list[int], question: list[int]) -> First:
        """One row over all the windows."""
        self.batch = self._open([self._row(order, question)])
        first = First.of(self.batch.extend([question])[0])
        self.last = first.token
        return first

    def map(self, question: list[int]) -> list[First]:
        """One row per window, all packed."""
        batch = self._open([self._row([i], question) for i in range(len(self.document.windows))])
        return [First.of(logits) for logits in batch.extend([question] * len(self.document.windows))]

    def decode(self, count: int) -> list[int]:
        """One token at a time."""
        assert self.batch is not None
        out = []
        for _ in range(count):
            self.last = int(self.batch.extend([[self.last]])[0].argmax())
            out.append(self.last)
        return out

    def save(self) -> list[str]:
        """The files of the store's disk tier: they are there already."""
        return sorted(str(file) for file in self.kept.glob("*.safetensors"))

    def _open(self, rows: list[Row]) -> Batch:
        from ctxproc.llm.batch import open_batch

        return open_batch(self.engine, rows, new_tokens=ROOM)

    def _row(self, order: list[int], question: list[int]) -> Row:
        from ctxproc.llm.batch import Row

        prefix, windows = tuple(self.document.prefix), [tuple(self.document.windows[i]) for i in order]
        if self.setup.options.get("mode") == "chained":
            return Row(((prefix, *windows),), tuple(question))
        return Row(tuple((prefix, window) for window in windows), tuple(question))

    def _fail(self, what: str) -> None:
        raise RuntimeError(what)


if __name__ == "__main__":
    serve(Ours)

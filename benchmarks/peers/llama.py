"""llama.cpp through llama-cpp-python: its prompt cache (the common beginning stays in the context), states in RAM and files.

Options: ``weights`` f16, bf16 or f32 of the GGUF file; ``flash`` attention; ``batch`` and ``ubatch``; ``kv`` the ggml type
of the keys and values (1 is f16, 0 is f32); ``threads``. Needs ``pip install llama-cpp-python gguf``.

The prompt cache is the one of ``Llama.generate``, called through ``eval`` so that no sampler is timed. Before a question
`Llama.ready` restores the document's state untimed if the last question overwrote it. `Llama.map` loads one state per
window, as ``LlamaRAMCache`` does, but without copying the score table.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np

from peers.gguf_file import make_gguf
from peers.protocol import First, Peer, Setup, serve


class Llama(Peer):
    """One sequence in one context."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        import llama_cpp

        self.api = llama_cpp
        options, threads = setup.options, setup.options.get("threads", setup.threads)
        self.llm: Any = llama_cpp.Llama(
            str(make_gguf(Path(setup.folder), options.get("weights", "f16"))),
            n_ctx=setup.longest,
            n_batch=options.get("batch", 512),
            n_ubatch=options.get("ubatch", 512),
            n_threads=threads,
            n_threads_batch=threads,
            flash_attn=options.get("flash", False),
            type_k=options.get("kv", 1),
            type_v=options.get("kv", 1),
            verbose=False,
        )
        self.ids: list[int] = []
        self.state = b""
        self.states: list[tuple[list[int], bytes]] = []

    def facts(self) -> dict[str, Any]:
        """Version, options, and what llama.cpp says of the machine."""
        system = self.api.llama_print_system_info().decode().strip()
        return {"llama-cpp-python": self.api.__version__, "system": system, **self.setup.options}

    def prepare(self) -> None:
        """Reads the document."""
        self.ids = self.document.prompt(list(range(len(self.document.windows))), [])
        self._read(self.ids)
        self.state = self._take()

    def prepare_map(self) -> None:
        """One state per window."""
        self.states = []
        for i in range(len(self.document.windows)):
            ids = self.document.prompt([i], [])
            self._read(ids)
            self.states.append((ids, self._take()))

    def ready(self) -> None:
        """The document's state again, unless it still is the beginning of the context."""
        if self.ids and self._held()[: len(self.ids)] != self.ids:
            self._put(self.ids, self.state)

    def ask(self, order: list[int], question: list[int]) -> First:
        """What the context does not begin with is read."""
        return self._read(self.document.prompt(order, question))

    def map(self, question: list[int]) -> list[First]:
        """One state after the other."""
        firsts = []
        for ids, state in self.states:
            self._put(ids, state)
            firsts.append(self._read(ids + question))
        return firsts

    def decode(self, count: int) -> list[int]:
        """One token at a time."""
        out, last = [], self._first().token
        for _ in range(count):
            self.llm.eval([last])
            last = self._first().token
            out.append(last)
        return out

    def save(self) -> list[str]:
        """The document's state as a file."""
        name, ids = self._file(), (ctypes.c_int32 * len(self.ids))(*self.ids)
        self.ready()
        self.llm.n_tokens = len(self.ids)
        self.llm._ctx.kv_cache_seq_rm(-1, len(self.ids), -1)
        if not self.api.llama_state_seq_save_file(self.llm._ctx.ctx, name.encode(), 0, ids, len(self.ids)):
            raise RuntimeError("llama.cpp did not write its state")
        return [name]

    def restore(self) -> None:
        """The document's state from the file."""
        ids, count = (ctypes.c_int32 * self.llm.n_ctx())(), ctypes.c_size_t()
        name = self._file().encode()
        size = self.api.llama_state_seq_load_file(self.llm._ctx.ctx, name, 0, ids, len(ids), ctypes.byref(count))
        if not size:
            raise RuntimeError("llama.cpp did not read its state")
        self._hold(ids[: count.value])

    def _file(self) -> str:
        return str(Path(self.setup.scratch) / "llama.state")

    def _held(self) -> list[int]:
        return [int(token) for token in self.llm.input_ids[: self.llm.n_tokens]]

    def _hold(self, ids: list[int]) -> None:
        """Tells the Python side which tokens the context has."""
        self.llm.input_ids[: len(ids)] = ids
        self.llm.n_tokens = len(ids)

    def _read(self, ids: list[int]) -> First:
        held = self.llm.input_ids[: self.llm.n_tokens]
        size = min(len(held), len(ids) - 1)
        different = np.flatnonzero(held[:size] != np.asarray(ids[:size]))
        self.llm.n_tokens = int(different[0]) if len(different) else size
        self.llm.eval(ids[self.llm.n_tokens :])
        return self._first()

    def _first(self) -> First:
        logits = np.ctypeslib.as_array(self.llm._ctx.get_logits_ith(-1), shape=(self.llm.n_vocab(),))
        return First.of(logits.copy())

    def _take(self) -> bytes:
        context = self.llm._ctx.ctx
        data = (ctypes.c_uint8 * self.api.llama_state_seq_get_size(context, 0))()
        self.api.llama_state_seq_get_data(context, data, len(data), 0)
        return bytes(data)

    def _put(self, ids: list[int], state: bytes) -> None:
        self.llm._ctx.kv_cache_clear()
        data = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
        if not self.api.llama_state_seq_set_data(self.llm._ctx.ctx, data, len(state), 0):
            raise RuntimeError("llama.cpp did not take its state back")
        self._hold(ids)


if __name__ == "__main__":
    serve(Llama)

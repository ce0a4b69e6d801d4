"""The engine against the model's own attention over whole sequences, on every architecture it claims."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
import torch
import transformers
from transformers import DynamicCache

from ctxproc.errors import ModelError
from ctxproc.llm import gate
from ctxproc.llm.base import Indent
from ctxproc.llm.batch import Batch, Row, open_batch
from ctxproc.llm.engine import Engine, Tokens, packs
from ctxproc.llm.kernels import Kernel, MathKernel
from ctxproc.llm.kv import KVStore
from ctxproc.llm.link import Rotation
from ctxproc.llm.packing import Pass
from ctxproc.llm.plain import own_attention
from ctxproc.llm.pretrained import quiet

torch.set_num_threads(1)
VOCABULARY = 300
BARE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 256,
}
GROUPED: dict[str, Any] = {**BARE, "num_key_value_heads": 2}
SIZED: dict[str, Any] = {**GROUPED, "head_dim": 8}
EXPERTS: dict[str, Any] = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24}
EXACT: dict[str, dict[str, Any]] = {
    "llama": SIZED,
    "qwen2": GROUPED,
    "qwen3": SIZED,
    "qwen3_moe": {**SIZED, **EXPERTS},
    "mistral": {**SIZED, "sliding_window": 200},
    "mixtral": {**SIZED, "num_local_experts": 4},
    "phi3": GROUPED,
    "gemma": SIZED,
    "gemma2": {**SIZED, "sliding_window": 200, "query_pre_attn_scalar": 8},
    "gemma3_text": {**SIZED, "sliding_window": 200, "query_pre_attn_scalar": 8},
    "gpt_neox": BARE,
    "glm4": SIZED,
    "granite": GROUPED,
    "olmo2": GROUPED,
    "smollm3": {**SIZED, "num_hidden_layers": 4},
    "starcoder2": GROUPED,
    "cohere2": {**SIZED, "num_hidden_layers": 4, "sliding_window": 200},
    "gpt2": {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 256},
    "stablelm": GROUPED,
    "phi": BARE,
}
every = pytest.mark.parametrize("architecture", EXACT)


def build(architecture: str, options: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:  # noqa: ANN401
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
    config = transformers.AutoConfig.for_model(architecture, **{**options, "initializer_range": 0.15, **ends})
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).to(dtype).eval()


class Subject:
    """A model with its engine and, beside it, its own attention."""

    def __init__(self, architecture: str, dtype: torch.dtype = torch.float32, kernel: Kernel | None = None) -> None:
        self.model = build(architecture, EXACT[architecture], dtype)
        self.own = self.model.config._attn_implementation
        self.admission = gate.admit(self.model, kernel)
        self.engine = self.fresh_engine()

    def fresh_engine(self) -> Engine:
        store = KVStore(None, ram_bytes=1 << 30, disk_bytes=0, report=pytest.fail)
        return Engine(self.model, self.admission.layout, self.admission.kernel, store, "00")

    @torch.inference_mode()
    def plain(self, ids: Sequence[int], **options: torch.Tensor) -> torch.Tensor:
        """All logits of one sequence."""
        with own_attention(self.model, self.own):
            return self.model(input_ids=torch.tensor([list(ids)]), use_cache=False, **options).logits[0]


@functools.cache
def subject(architecture: str, dtype: torch.dtype = torch.float32) -> Subject:
    return Subject(architecture, dtype)


def some(count: int, seed: int) -> Tokens:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(2, VOCABULARY, (count,), generator=generator).tolist())


PREFIX = some(4, 0)
CHUNKS = [some(count, 10 + count) for count in (9, 14, 1, 30, 14)]
TAILS = [some(count, 50 + i) for i, count in enumerate((5, 5, 7, 1, 5))]


def rows_of(chunks: Sequence[Tokens] = CHUNKS, tails: Sequence[Tokens] = TAILS) -> list[Row]:
    return [Row(((PREFIX, chunk),), tail) for chunk, tail in zip(chunks, tails, strict=True)]


def close(found: torch.Tensor, wanted: torch.Tensor, limit: float = 1e-5) -> None:
    assert float(wanted.std()) > 0.01  # logits that say something
    assert float((found - wanted).abs().max()) <= limit


def steps(one: Subject, batch: Batch, rows: Sequence[Row], limit: float, count: int = 3) -> None:
    """Read the tails and some more tokens, each time against the whole sequence."""
    texts = [[token for segment in row.chains[0] for token in segment] + list(row.tail) for row in rows]
    logits = batch.extend([row.tail for row in rows])
    for step in range(count):
        for text, found in zip(texts, logits, strict=True):
            close(found, one.plain(text)[-1], limit)
        new = [[(7 * step + 11 * row + 3) % VOCABULARY] for row in range(len(rows))]
        texts = [text + token for text, token in zip(texts, new, strict=True)]
        logits = batch.extend(new)


@every
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_ragged_packs_and_decoding_are_exact(architecture: str, dtype: torch.dtype, limit: float) -> None:
    if dtype == torch.float64 and architecture in ("qwen3_moe", "mixtral"):
        pytest.skip("experts are not computed in float64")
    if dtype == torch.float64 and architecture == "gemma2":
        limit = 1e-6  # its own attention takes the softmax in float32
    one = subject(architecture, dtype)
    rows = rows_of()
    steps(one, open_batch(one.engine, rows, 3), rows, limit)
    again = open_batch(one.engine, rows, 3)
    assert again.reused == [len(PREFIX) + len(chunk) for chunk in CHUNKS]
    steps(one, again, rows, limit)


@every
def test_small_passes_give_what_large_ones_give(architecture: str) -> None:
    one = subject(architecture)
    for pack in (1, 7, 16):
        engine = one.fresh_engine()
        engine.pack = pack
        rows = rows_of()
        steps(one, open_batch(engine, rows, 2), rows, 1e-5, count=2)


@every
def test_plain_math_gives_the_same(architecture: str) -> None:
    one = subject(architecture)
    engine = one.fresh_engine()
    engine.kernel = MathKernel()
    rows = rows_of()
    steps(one, open_batch(engine, rows, 1), rows, 1e-5, count=1)


@every
def test_chunks_after_one_another_are_one_sequence(architecture: str) -> None:
    one = subject(architecture)
    engine = one.fresh_engine()
    joint = some(2, 99)
    chain = (PREFIX, CHUNKS[0], joint + CHUNKS[1], joint + CHUNKS[3])
    row = Row((chain,), TAILS[0])
    steps(one, open_batch(engine, [row], 3), [row], 1e-5)
    longer = Row(((*chain, joint + CHUNKS[4]),), TAILS[1])
    batch = open_batch(engine, [longer], 3)
    assert batch.reused == [sum(map(len, chain))]
    steps(one, batch, [longer], 1e-5)
    other = Row(((PREFIX, CHUNKS[0], joint + CHUNKS[3]),), TAILS[0])  # another order: only the beginning is the same
    batch = open_batch(engine, [other], 3)
    assert batch.reused == [len(PREFIX + CHUNKS[0])]
    steps(one, batch, [other], 1e-5)


@every
def test_rows_that_are_done_are_left_out_and_rows_fork(architecture: str) -> None:
    one = subject(architecture)
    rows = rows_of()
    batch = open_batch(one.engine, rows, 4)
    batch.extend([row.tail for row in rows])
    logits = batch.extend([[5], [6], [7]], rows=[0, 2, 3])
    for found, place, token in zip(logits, (0, 2, 3), (5, 6, 7), strict=True):
        close(found, one.plain([*PREFIX, *CHUNKS[place], *TAILS[place], token])[-1])
    more = [some(count, count) for count in (3, 1, 4)]
    forked = batch.fork([2, 1, 2], 4).extend_all(more)
    for found, place, new in zip(forked, (2, 1, 2), more, strict=True):
        text = [*PREFIX, *CHUNKS[place], *TAILS[place], *([6] if place == 2 else [])]
        close(found, one.plain([*text, *new])[-len(new) :])
    close(batch.extend([[9]], rows=[2])[0], one.plain([*PREFIX, *CHUNKS[2], *TAILS[2], 6, 9])[-1])


@every
def test_wrong_positions_or_sights_are_noticed(architecture: str) -> None:
    """The negative control: the comparison above is sharp enough to see them."""
    one = subject(architecture)
    rows = rows_of()[:1]
    wanted = one.plain([*PREFIX, *CHUNKS[0], *TAILS[0]])[-1]
    blind = open_batch(one.engine, rows, 0)
    blind._sights[0].blocks.pop()  # type: ignore[attr-defined]
    assert float((blind.extend([TAILS[0]])[0] - wanted).abs().max()) > 1e-3
    if architecture not in ("cohere2", "smollm3"):  # some of their layers know no positions
        moved = open_batch(one.engine, rows, 0)
        object.__setattr__(moved._sights[0], "start", moved._sights[0].start + 3)
        assert float((moved.extend([TAILS[0]])[0] - wanted).abs().max()) > 1e-4


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_order_of_questions_does_not_matter(order: tuple[int, ...]) -> None:
    one = subject("llama")
    engine = one.fresh_engine()
    works = [
        lambda: open_batch(engine, rows_of()[:3], 1).extend(TAILS[:3]),
        lambda: open_batch(engine, [Row(tuple((PREFIX, c) for c in CHUNKS[:3]), TAILS[0])], 1).extend(TAILS[:1]),
        lambda: open_batch(engine, [Row(((PREFIX, CHUNKS[1], CHUNKS[0]),), TAILS[1])], 1).extend(TAILS[1:2]),
    ]
    found = {i: works[i]() for i in order}
    for i, rows in enumerate(
        (
            rows_of()[:3],
            [Row(tuple((PREFIX, c) for c in CHUNKS[:3]), TAILS[0])],
            [Row(((PREFIX, CHUNKS[1], CHUNKS[0]),), TAILS[1])],
        )
    ):
        alone = open_batch(one.fresh_engine(), rows, 1).extend([row.tail for row in rows])
        assert float((found[i] - alone).abs().max()) <= 1e-5


def test_questions_over_the_same_windows_read_each_block_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = subject("qwen2")
    windows = tuple((PREFIX, chunk) for chunk in CHUNKS[:3])
    rows = [Row(windows, some(4, 70 + i)) for i in range(5)]
    alone = [open_batch(one.engine, [row], 1).extend([row.tail])[0] for row in rows]
    plans: list[Pass] = []
    forward = one.engine.forward
    monkeypatch.setattr(
        one.engine, "forward", lambda ids, at, plan, keep: plans.append(plan) or forward(ids, at, plan, keep)
    )
    together = open_batch(one.engine, rows, 1).extend([row.tail for row in rows])
    assert [len(plan.reads) for plan in plans] == [4]  # the prefix and three chunks, for all five questions
    for found, wanted in zip(together, alone, strict=True):
        close(found, wanted)


def test_packs_hold_neighbours_within_the_limit() -> None:
    assert packs([3, 9, 1, 4], 9) == [[0], [1], [2, 3]]
    assert packs([20, 1, 1, 1], 2) == [[0], [1, 2], [3]]
    assert packs([], 5) == []


# Chunks put one after another (link-k).


def linked_row() -> tuple[Row, list[int]]:
    joints = ((), some(2, 90), some(1, 91))
    chunks = (CHUNKS[1], CHUNKS[3], CHUNKS[0])
    text = [*PREFIX, *chunks[0], *joints[1], *chunks[1], *joints[2], *chunks[2], *TAILS[0]]
    return Row(tuple((PREFIX, chunk) for chunk in chunks), TAILS[0], joints), text


ROTARY = sorted(set(EXACT) - {"gpt2", "gemma3_text", "cohere2", "smollm3"})


@pytest.mark.parametrize("architecture", ROTARY)
def test_linking_whole_chunks_is_exact_and_fewer_tokens_are_not(architecture: str) -> None:
    one = subject(architecture)
    row, text = linked_row()
    distances = []
    for tokens in (30, 8, 1):
        rotation = Rotation(one.model, tokens)
        rotation.check(one.engine)
        batch = open_batch(one.engine, [row], 2, rotation=rotation)
        first, second = batch.extend([row.tail])[0], batch.extend([[5]])[0]
        distances.append(float((first - one.plain(text)[-1]).abs().max()))
        if tokens == 30:
            close(second, one.plain([*text, 5])[-1])
        assert batch.reused[0] <= len(PREFIX) + sum(len(chain[1]) for chain in row.chains)
    assert distances[0] <= 1e-5 < distances[1] and distances[0] < distances[2]


@pytest.mark.parametrize("architecture", ROTARY)
def test_moved_keys_are_those_made_there(architecture: str) -> None:
    one = subject(architecture)
    here, there = one.engine.fresh(CHUNKS[0], 2), one.engine.fresh(CHUNKS[0], 40)
    torch.testing.assert_close(Rotation(one.model, 1)(here[:, 0], 38), there[:, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(here[:, 1], there[:, 1], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["gpt2", "gemma3_text", "cohere2", "smollm3"])
def test_keys_that_cannot_be_moved_are_refused(architecture: str) -> None:
    one = subject(architecture)
    with pytest.raises(ModelError):
        Rotation(one.model, 4).check(one.engine)


# Windows that end together (PCW with right indentation).


@torch.inference_mode()
def slow_right(one: Subject, contexts: Sequence[Tokens], tail: Tokens) -> torch.Tensor:
    """Logits of the tail: every window is read by the model's own attention at its positions, and the caches are joined."""
    windows = [[*PREFIX, *context] for context in contexts]
    longest = max(map(len, windows))
    first = next(i for i, window in enumerate(windows) if len(window) == longest)
    whole = DynamicCache(config=one.model.config)
    parts: list[list[tuple[torch.Tensor, torch.Tensor]]] = []
    with own_attention(one.model, one.own):
        for window in windows:
            cache = DynamicCache(config=one.model.config)
            positions = torch.arange(longest - len(window), longest)[None]
            one.model(torch.tensor([window]), position_ids=positions, past_key_values=cache, use_cache=True)
            parts.append([(layer.keys, layer.values) for layer in cache.layers])
        for layer in range(len(parts[0])):
            kept = [[x[:, :, 0 if i == first else len(PREFIX) :] for x in part[layer]] for i, part in enumerate(parts)]
            whole.update(torch.cat([k for k, _ in kept], 2), torch.cat([v for _, v in kept], 2), layer)
        seen = sum(map(len, contexts)) + len(PREFIX)
        out = one.model(
            torch.tensor([list(tail)]),
            position_ids=torch.arange(longest, longest + len(tail))[None],
            attention_mask=torch.ones(1, seen + len(tail), dtype=torch.long),
            past_key_values=whole,
            use_cache=True,
        )
    logits: torch.Tensor = out.logits[0]
    return logits


def right(contexts: Sequence[Tokens], indent: Indent = "right") -> Row:
    return Row(tuple((PREFIX, context) for context in contexts), TAILS[2], indent=indent)


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "phi"])
@pytest.mark.parametrize("order", [CHUNKS[:4], CHUNKS[3::-1], [CHUNKS[3], CHUNKS[0], CHUNKS[3]]])
def test_windows_that_end_together_are_those_read_there(architecture: str, order: list[Tokens]) -> None:
    one = subject(architecture, torch.float64)
    wanted = slow_right(one, order, TAILS[2])
    for _ in range(2):  # computed, then from the store
        close(open_batch(one.engine, [right(order)], 1).extend_all([TAILS[2]])[0], wanted, 1e-10)
    if architecture != "gpt2":
        rotation = Rotation(one.model, 1)
        rotation.check(one.engine)
        # rotary tables are float32
        close(open_batch(one.engine, [right(order)], 1, rotation=rotation).extend_all([TAILS[2]])[0], wanted, 1e-5)
    left = open_batch(one.engine, [right(order, "left")], 1).extend_all([TAILS[2]])[0]
    assert float((left - wanted).abs().max()) > 1e-3


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_windows_of_one_length_and_a_single_one_know_no_indent(architecture: str) -> None:
    one = subject(architecture, torch.float64)
    for contexts in ([CHUNKS[1], CHUNKS[4]], [CHUNKS[3]]):
        rows = [right(contexts), right(contexts, "left")]
        ends, begins = (open_batch(one.engine, [row], 1).extend_all([TAILS[2]])[0] for row in rows)
        assert torch.equal(ends, begins)
        close(ends, slow_right(one, contexts, TAILS[2]), 1e-10)
    close(ends, one.plain([*PREFIX, *CHUNKS[3], *TAILS[2]])[-len(TAILS[2]) :], 1e-10)


def test_moved_windows_are_reused_and_those_read_anew_are_kept_apart() -> None:
    one = subject("llama")
    rotation, contexts = Rotation(one.model, 1), [CHUNKS[0], CHUNKS[3]]
    tokens = len(PREFIX) + sum(map(len, contexts))
    engine = one.fresh_engine()
    assert open_batch(engine, [right(contexts, "left")], 1).reused == [0]
    assert open_batch(engine, [right(contexts)], 1, rotation=rotation).reused == [tokens]
    assert open_batch(engine, [right(contexts)], 1).reused == [tokens - len(CHUNKS[0])]
    assert open_batch(engine, [right(contexts)], 1).reused == [tokens]
    assert open_batch(engine, [Row(((PREFIX, CHUNKS[0]),), TAILS[0])], 1).reused == [len(PREFIX) + len(CHUNKS[0])]


# What the engine refuses.

REFUSED: dict[str, tuple[str, dict[str, Any], str | None]] = {
    "alibi": (
        "bloom",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "n_layer": 3, "n_head": 4},
        "transformers' interface",
    ),
    "alibi flag": ("falcon", {**{k: v for k, v in BARE.items()}, "alibi": True}, "ALiBi"),
    "sinks": ("gpt_oss", {**SIZED, "num_local_experts": 4, "sliding_window": 200}, "s_aux"),
    "latent": ("deepseek_v3", BARE, "MLA"),
    "linear": ("qwen3_next", SIZED, "layers of another kind"),
    "state space": (
        "mamba",
        {"vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4},
        None,
    ),
    "dynamic": (
        "llama",
        {**SIZED, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}},
        "NTK",
    ),
    "short window": ("mistral", {**SIZED, "sliding_window": 8}, "sliding window of 8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_reused_is_refused_with_a_reason(name: str) -> None:
    architecture, options, reason = REFUSED[name]
    model = build(architecture, options)
    own = model.config._attn_implementation
    ids = torch.tensor([some(20, 3)])
    with torch.inference_mode():
        before = model(input_ids=ids, use_cache=False).logits
        with pytest.raises(gate.Refused, match=reason):
            gate.admit(model)
        assert model.config._attn_implementation == own
        torch.testing.assert_close(model(input_ids=ids, use_cache=False).logits, before)


def test_a_model_whose_attention_differs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(MathKernel):
        def attend(
            self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, scale: float
        ) -> tuple[torch.Tensor, torch.Tensor]:
            return super().attend(q, k, v, causal=causal, scale=scale * 1.5)

    with pytest.raises(gate.Refused, match="logits differ"):
        gate.admit(build("llama", SIZED), Wrong())


def test_longrope_is_read_up_to_its_switch() -> None:
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4}
    rope["original_max_position_embeddings"] = 64
    options = {
        **GROUPED,
        "rope_parameters": rope,
        "max_position_embeddings": 256,
        "original_max_position_embeddings": 64,
    }
    assert gate.admit(build("phi3", options)).reach == 64
    assert gate.admit(build("mistral", EXACT["mistral"])).reach == 200
    assert gate.admit(build("llama", SIZED)).reach is None

"""Details of the engine that a small mistake would change: weights laid out anew, gates, shares, draws."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import models
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import DynamicCache

from ctxproc.config import ReuseSettings
from ctxproc.llm import gate, loaded, packed
from ctxproc.llm.attention import attention, using, windows_of
from ctxproc.llm.base import Sampling
from ctxproc.llm.batch import Block, Row, in_sight, open_batch, runs
from ctxproc.llm.decoding import MergedRows, Sampler
from ctxproc.llm.engine import Engine, Tokens
from ctxproc.llm.framing import Framing, TokenPrompt
from ctxproc.llm.kernels import Kernel, MathKernel
from ctxproc.llm.kv import KVStore
from ctxproc.llm.link import Rotation
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.packing import joined
from ctxproc.llm.plain import own_attention
from ctxproc.llm.pretrained import quiet
from ctxproc.llm.tokenizer import HfTokenizer
from ctxproc.prompt import Prompt, Segment

torch.set_num_threads(1)
WIDE: dict[str, Any] = {"hidden_size": 128, "intermediate_size": 192, "head_dim": 32, "initializer_range": 0.1}
PROMPT = Prompt(
    (
        Segment("Read.\n", "prefix"),
        Segment("The lamp stands in the tower.", "context", "context"),
        Segment("\n\n", "context"),
        Segment("A bell rings on the shore.", "context", "context"),
        Segment("\nWho keeps the lamp?", "task"),
    )
)


def some(count: int, seed: int) -> tuple[int, ...]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(2, 200, (count,), generator=generator).tolist())


def bare(architecture: str = "llama", dtype: torch.dtype = torch.float32, **changes: object) -> Any:  # noqa: ANN401
    options = {**models.ARCHITECTURES[architecture], "vocab_size": 256, "initializer_range": 0.15, **changes}
    config = transformers.AutoConfig.for_model(architecture, **options)
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).to(dtype).eval()


def engine_of(model: Any, kernel: Kernel | None = None) -> Engine:  # noqa: ANN401
    admission = gate.admit(model, kernel)
    store = KVStore(None, ram_bytes=1 << 28, disk_bytes=0, report=pytest.fail)
    return Engine(model, admission.layout, admission.kernel, store, "00")


def read(folder: Path, grade: str = "exact", dtype: str = "float32", cache: Path | None = None) -> TransformersLLM:
    reuse = ReuseSettings(grade=grade)  # type: ignore[arg-type]
    return TransformersLLM(str(folder), device="cpu", dtype=dtype, reuse=reuse, cache=cache)


# Weights in the layout of the CPU's matrix product.


def packable() -> bool:
    return packed.laid_out(torch.nn.Linear(128, 128, dtype=torch.bfloat16)) is not None


needs_packing = pytest.mark.skipif(not packable(), reason="this torch or processor has no such product")


def logits_of(model: Any, ids: tuple[int, ...]) -> torch.Tensor:  # noqa: ANN401
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=torch.tensor([ids]), use_cache=False).logits
    return found


@needs_packing
@pytest.mark.parametrize("bias", [False, True])
def test_a_packed_layer_gives_the_same_bits(bias: bool) -> None:
    generator = torch.Generator().manual_seed(1)
    layer = torch.nn.Linear(160, 224, bias=bias, dtype=torch.bfloat16)
    with torch.no_grad():
        for numbers in layer.parameters():
            numbers.copy_(torch.randn(numbers.shape, generator=generator))
    new = packed.PackedLinear(layer)
    assert (new.weight.shape, new.weight.dtype) == (layer.weight.shape, torch.bfloat16)
    for rows in (1, 2, 3, 7, 33, 130, 513):
        x = torch.randn(1, rows, 160, generator=generator).bfloat16()
        with torch.inference_mode():
            assert torch.equal(new(x), layer(x)) and torch.equal(new(x[0]), layer(x[0]))


@needs_packing
def test_a_packed_model_gives_the_same_bits() -> None:
    model = bare(dtype=torch.bfloat16, tie_word_embeddings=False, **WIDE)
    ids = some(40, 3)
    wanted = logits_of(model, ids)
    small = ("k_proj", "v_proj")
    assert packed.pack(model) == 11
    for name, module in model.named_modules():
        kind = torch.nn.Linear if name.endswith(small) else packed.PackedLinear
        assert type(module) is kind or not hasattr(module, "in_features")
    assert float(wanted.float().std()) > 0.01 and torch.equal(logits_of(model, ids), wanted)


@needs_packing
def test_tied_weights_small_ones_and_other_formats_stay_as_they_are() -> None:
    tied = bare(dtype=torch.bfloat16, tie_word_embeddings=True, **WIDE)
    weight = tied.lm_head.weight
    assert packed.pack(tied) == 10
    assert type(tied.lm_head) is torch.nn.Linear and tied.lm_head.weight is weight
    assert tied.get_input_embeddings().weight is weight
    assert packed.pack(bare(dtype=torch.bfloat16)) == 0  # too small to gain
    wide = bare(dtype=torch.float32, tie_word_embeddings=False, **WIDE)
    assert packed.pack(wide) == 0
    assert type(wide.lm_head) is torch.nn.Linear


@needs_packing
@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux to see what is mapped")
def test_a_packed_model_keeps_no_weight_file_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = models.build(tmp_path, "llama", **WIDE)

    def mapped() -> bool:
        return str(folder / "model.safetensors") in Path("/proc/self/maps").read_text()

    save_file(
        {k: v.bfloat16() for k, v in load_file(folder / "model.safetensors").items()}, folder / "model.safetensors"
    )
    before: list[bool] = []
    pack = packed.pack
    monkeypatch.setattr(packed, "pack", lambda model: before.append(mapped()) or pack(model))
    llm = read(folder, dtype="bfloat16")
    model = llm._loaded.forward._model
    assert any(isinstance(module, packed.PackedLinear) for module in model.modules())
    assert before == [True] and not mapped()


@needs_packing
def test_a_layer_whose_trial_differs_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = packed.PackedLinear.forward
    monkeypatch.setattr(packed.PackedLinear, "forward", lambda self, rows: forward(self, rows) * 2)
    model = bare(dtype=torch.bfloat16, **WIDE)
    ids = some(9, 4)
    wanted = logits_of(model, ids)
    assert packed.pack(model) == 0 and torch.equal(logits_of(model, ids), wanted)


@needs_packing
def test_entries_of_a_process_that_does_not_pack_are_found_by_one_that_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = models.build(tmp_path / "model", "llama", **WIDE)
    greedy = Sampling(max_new_tokens=6)
    with monkeypatch.context() as patch:
        patch.setattr(packed, "pack", lambda _: 0)
        plain = read(folder, dtype="bfloat16", cache=tmp_path / "cache")
        first = plain.generate([PROMPT], greedy)[0]
        assert type(plain._loaded.forward._model.model.layers[0].mlp.up_proj) is torch.nn.Linear
    llm = read(folder, dtype="bfloat16", cache=tmp_path / "cache")
    again = llm.generate([PROMPT], greedy)[0]
    assert type(llm._loaded.forward._model.model.layers[0].mlp.up_proj) is packed.PackedLinear
    assert first.reused_tokens == 0
    assert again.reused_tokens == sum(map(len, llm._framing.tokens(PROMPT).chain))
    assert again.text == first.text


# What is read, and in how many passes.


def counted(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The tokens of every pass from now on."""
    passes: list[list[int]] = []
    forward = engine.forward
    monkeypatch.setattr(
        engine, "forward", lambda ids, at, plan, keep: passes.append(list(ids)) or forward(ids, at, plan, keep)
    )
    return passes


def test_a_chain_that_is_new_is_read_in_one_pass_and_what_is_behind_it_in_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = engine_of(bare())
    passes = counted(engine, monkeypatch)
    chain = (some(3, 0), some(5, 1), some(4, 2))
    other = (some(3, 0), some(6, 3))
    nodes = [node for one in (other, chain) for node in engine.path(one)]
    _, computed = engine.read(nodes)
    assert passes == [[*chain[0], *chain[1], *chain[2]], [*other[1]]]
    assert computed == {node.key for node in nodes}
    _, computed = engine.read(engine.path((*chain, some(2, 4))))
    assert passes[2:] == [[*some(2, 4)]] and len(computed) == 1


def test_a_missing_segment_between_cached_ones_is_computed_alone() -> None:
    engine = engine_of(bare())
    nodes = engine.path((some(3, 0), some(5, 1), some(4, 2), some(2, 3)))
    wanted, _ = engine.read(nodes)
    for gone in ([1], [0], [0, 2], [1, 2], [3]):
        store = KVStore(None, ram_bytes=1 << 28, disk_bytes=0, report=pytest.fail)
        for i, node in enumerate(nodes):
            if i not in gone:
                store.put(node.key, wanted[node.key])
        engine.store = store
        found, computed = engine.read(nodes)
        assert computed == {nodes[i].key for i in gone}
        for node in nodes:
            torch.testing.assert_close(found[node.key], wanted[node.key], atol=1e-5, rtol=0)


def test_a_failed_pass_leaves_no_entry_and_no_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    model = bare()
    engine = engine_of(model)

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    handle = model.model.layers[1].register_forward_pre_hook(fail)
    rows = [Row(((some(3, 0), some(5, 1)),), some(2, 2))]
    with pytest.raises(KeyboardInterrupt):
        open_batch(engine, rows, 1)
    handle.remove()
    q = torch.zeros(1, 4, 1, 8)
    with pytest.raises(gate.ModelError, match="outside the engine"):
        attention(model, q, q, q, None)
    batch = open_batch(engine, rows, 1)
    assert batch.reused == [0]
    other = engine_of(bare())
    assert torch.equal(batch.extend([rows[0].tail]), open_batch(other, rows, 1).extend([rows[0].tail]))


def test_plans_and_windows_end_with_their_block() -> None:
    model = bare()
    q = torch.zeros(1, 4, 1, 8)
    module = model.model.layers[0].self_attn
    probe = gate.Probe()
    with using(probe):
        with windows_of() as found:
            attention(module, q, q, q, None, sliding_window=9)
            attention(module, q, q, q, None)
        attention(module, q, q, q, None, sliding_window=5)
        with pytest.raises(gate.ModelError, match="with a mask"):
            attention(module, q, q, q, q)
        with pytest.raises(gate.ModelError, match="looks ahead"):
            attention(module, q, q, q, None, is_causal=False)
    assert found == {9}
    with pytest.raises(gate.ModelError, match="outside the engine"):
        attention(module, q, q, q, None)


def test_rows_of_one_kind_that_follow_each_other_are_one_span() -> None:
    assert runs([0, 1, 3, 4], [(1, 5)] * 4) == [((0, 2), (1, 5)), ((2, 4), (1, 5))]
    assert runs([0, 1, 2], [(1, 5), (2, 5), (2, 5)]) == [((0, 1), (1, 5)), ((1, 3), (2, 5))]
    entry = torch.zeros(1, 2, 1, 3, 4)
    reads = joined([(0, 2, Block("a", entry)), (2, 5, Block("a", entry)), (5, 6, Block("a", entry, context=True))])
    assert [(read.start, read.stop, read.context) for read in reads] == [(0, 5, False), (5, 6, True)]


def test_what_a_row_sees_is_named_apart_and_what_is_common_is_seen_once() -> None:
    engine = engine_of(bare())
    prefix, one, other = some(3, 0), some(5, 1), some(4, 2)
    chains = [(prefix, one), (prefix, other), (prefix, one)]
    paths = [engine.path(chain) for chain in chains]
    entries, _ = engine.read([node for path in paths for node in path])

    def seen(count: int) -> list[tuple[int, bool]]:
        blocks = in_sight(paths[:count], entries, [0] * count, None)
        assert len({block.name for block in blocks}) == len(blocks)
        return [(block.entry.shape[3], block.context) for block in blocks]

    assert seen(1) == [(3, False), (5, False)]
    assert seen(2) == [(3, False), (5, True), (4, True)]
    assert seen(3) == [(3, False), (5, True), (4, True), (5, True)]
    same = in_sight([paths[0], paths[2]], entries, [0, 0], None)
    assert [(block.entry.shape[3], block.context) for block in same] == [(3, False), (5, True), (5, True)]
    assert Row(tuple(chains), (1,)).start == 8 and Row((), (1,)).start == 0


def test_what_rows_share_is_computed_for_the_first_of_them() -> None:
    engine = engine_of(bare())
    chain, other = (some(3, 0), some(5, 1)), (some(3, 0), some(4, 2))
    rows = [Row((its,), some(2, 3)) for its in (chain, chain, other, chain)]
    assert open_batch(engine, rows, 1).reused == [0, 8, 3, 8]
    assert open_batch(engine, rows, 1).reused == [8, 8, 7, 8]


# Trials.


class Askew(MathKernel):
    """Plain math with a scale that is a little off."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def attend(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *, causal: bool, scale: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return super().attend(q, k, v, causal=causal, scale=scale * self.factor)


@pytest.mark.parametrize(("dtype", "factor"), [(torch.float32, 1.02), (torch.bfloat16, 3.0)])
def test_attention_that_is_a_little_off_is_refused(dtype: torch.dtype, factor: float) -> None:
    engine_of(bare(dtype=dtype), Askew(1.0))
    with pytest.raises(gate.Refused, match="logits differ"):
        gate.admit(bare(dtype=dtype), Askew(factor))


def test_keys_are_moved_with_the_size_that_yarn_gives_them() -> None:
    rope = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4, "original_max_position_embeddings": 64}
    model = bare(rope_parameters=rope)
    engine = engine_of(model)
    rotation = Rotation(model, 2)
    assert rotation._rotary.attention_scaling > 1.1
    rotation.check(engine)
    here, there = engine.fresh(some(9, 1), 2), engine.fresh(some(9, 1), 30)
    torch.testing.assert_close(rotation(here[:, 0], 28), there[:, 0], atol=1e-5, rtol=1e-5)
    assert torch.equal(rotation(here[:, 0], 0), here[:, 0])


@pytest.mark.parametrize("part", [0, 1])
def test_keys_or_values_a_little_off_are_refused(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model = bare()
    engine = engine_of(model)
    rotation = Rotation(model, 2)
    fresh = engine.fresh

    def spoiled(ids: tuple[int, ...], start: int) -> torch.Tensor:
        entry = fresh(ids, start).clone()
        entry[:, part] *= 1.01 if start else 1.0
        return entry

    monkeypatch.setattr(engine, "fresh", spoiled)
    with pytest.raises(gate.ModelError, match="cannot be moved"):
        rotation.check(engine)


def test_the_reach_is_the_shortest_of_windows_and_switches() -> None:
    rope = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4, "rope_theta": 1e4}
    rope["original_max_position_embeddings"] = 64
    for window in (40, 90):
        model = bare("llama", rope_parameters=rope, original_max_position_embeddings=64)
        assert gate.switches(model.config) == [64]
        mistral = bare("mistral", sliding_window=window, rope_parameters=rope, original_max_position_embeddings=64)
        assert gate.admit(mistral).reach == min(window, 64)


def turned(keys: torch.Tensor, shift: int, base: float = 1e4) -> torch.Tensor:
    """Keys (..., dimension) of a Llama ``shift`` positions further on, by the formula."""
    half = keys.shape[-1] // 2
    angles = shift * base ** (-torch.arange(half) / half)
    cos, sin = angles.cos().repeat(2), angles.sin().repeat(2)
    return keys * cos + torch.cat((-keys[..., half:], keys[..., :half]), -1) * sin


@torch.inference_mode()
def linked_plainly(model: Any, prefix: Tokens, chunks: list[Tokens], joint: Tokens, tail: Tokens, k: int) -> Any:  # noqa: ANN401
    """Logits of the tail: transformers' cache, filled by what link-k computes again and by moved keys in turn."""

    def alone(ids: Tokens) -> list[tuple[torch.Tensor, torch.Tensor]]:
        cache = DynamicCache(config=model.config)
        model(input_ids=torch.tensor([ids]), past_key_values=cache)
        return [(layer.keys, layer.values) for layer in cache.layers]

    whole = DynamicCache(config=model.config)
    with own_attention(model, "eager"):
        model(input_ids=torch.tensor([prefix + chunks[0]]), past_key_values=whole)
        at = len(prefix + chunks[0])
        for chunk in chunks[1:]:
            first = joint + chunk[:k]
            places = torch.arange(at, at + len(first))[None]
            model(input_ids=torch.tensor([first]), past_key_values=whole, position_ids=places)
            start, begin = len(prefix), at + len(joint)
            for i, (keys, values) in enumerate(alone(prefix + chunk)):
                whole.update(turned(keys[:, :, start + k :], begin - start), values[:, :, start + k :], i)
            at = begin + len(chunk)
        places = torch.arange(at, at + len(tail))[None]
        return model(input_ids=torch.tensor([tail]), past_key_values=whole, position_ids=places).logits[0]


@pytest.mark.parametrize("k", [1, 3, 4])
def test_linked_chunks_are_what_the_method_says_in_between_too(k: int) -> None:
    model = bare(rope_parameters={"rope_type": "default", "rope_theta": 1e4})
    engine = engine_of(model)
    prefix, chunks, joint, tail = some(3, 0), [some(5, 1), some(7, 2), some(6, 3)], some(2, 4), some(4, 5)
    row = Row(tuple((prefix, chunk) for chunk in chunks), tail, ((), joint, joint))
    found = open_batch(engine, [row], 0, rotation=Rotation(model, k)).extend_all([tail])[0]
    wanted = linked_plainly(model, prefix, chunks, joint, tail, k)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    whole = linked_plainly(model, prefix, chunks, joint, tail, k + 1)
    assert float((found - whole).abs().max()) > 1e-3


# Prompts, batches, shares.


def token_prompt(chain: tuple[tuple[int, ...], ...], tail: tuple[int, ...]) -> TokenPrompt:
    return TokenPrompt(chain[0], chain[1:], ((),) * (len(chain) - 1), tail)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("llama"), "llama")


def test_a_prompt_is_cut_at_its_contexts() -> None:
    tokenizer = HfTokenizer(models.byte_tokenizer())
    framing, encode = Framing(tokenizer, 1), lambda text: tuple(tokenizer.encode(text))
    two = framing.tokens(PROMPT)
    assert two.prefix == encode("Read.\n") and two.joints == ((), encode("\n\n"))
    assert two.contexts == (encode("The lamp stands in the tower."), encode("A bell rings on the shore."))
    assert two.tail == encode("\nWho keeps the lamp?")
    assert two.chain == (two.prefix, two.contexts[0], two.joints[1] + two.contexts[1])
    assert two.side_by_side == ((two.prefix, two.contexts[0]), (two.prefix, two.contexts[1]))
    bare_task = framing.tokens(Prompt(PROMPT.segments[:-1]))
    assert bare_task.tail == encode("\n\n") + two.contexts[1]
    assert bare_task.chain == (two.prefix, two.contexts[0]) and bare_task.joints == ((),)
    assert framing.tokens(Prompt(PROMPT.segments[:1])) == TokenPrompt((), (), (), two.prefix)
    assert framing.tokens(Prompt(())) == TokenPrompt((), (), (), (1,))
    only = framing.tokens(Prompt((Segment("x", "context", "context"), Segment("y", "task"))))
    assert only.chain == (encode("x"),) and only.side_by_side == ((encode("x"),),)


def test_only_the_first_word_of_a_prompt_gets_the_leading_space() -> None:
    tokenizer = HfTokenizer(models.spaced_tokenizer("normalizer"))
    framing = Framing(tokenizer, 2)
    pieces = (Segment("On", "prefix"), Segment("On", "context", "context"), Segment("On", "task"))
    tokens = framing.tokens(Prompt(pieces))
    assert tokens.prefix == (*tokenizer.bos, *tokenizer.encode_first("On"))
    assert tokens.contexts == (tuple(tokenizer.encode("On")),) and tokens.tail == tuple(tokenizer.encode("On"))
    assert tokenizer.encode_first("On") != tokenizer.encode("On")
    chat = HfTokenizer(models.spaced_tokenizer("normalizer", models.MISTRAL_LIKE))
    assert not set(chat.encode_first("On")) <= set(Framing(chat, 2).tokens(Prompt(pieces)).ids)


def test_batches_hold_neighbours_within_the_rows_and_the_memory(folder: Path) -> None:
    llm = read(folder)._loaded
    chains = [(some(4, 0), some(6, 1 + i % 3)) for i in range(150)]
    prompts = [token_prompt(chain, some(5, 9)) for chain in chains]
    found = llm.batches(prompts, [2] * 150)
    assert [len(batch) for batch in found] == [64, 64, 22]
    assert sorted(i for batch in found for i in batch) == list(range(150))
    kinds = [chains[i] for batch in found for i in batch]
    assert sum(one != other for one, other in itertools.pairwise(kinds)) == 2
    assert llm.engine is not None
    small = ReuseSettings(ram_bytes=60 * llm.engine.layout.token_bytes, device_bytes=0)
    llm._reuse = small
    assert all(len(batch) <= 3 for batch in llm.batches(prompts, [2] * 150))
    assert all(len(batch) == 1 for batch in llm.batches(prompts, [60] * 150))
    llm.reach = 17
    assert llm.reads(17) and not llm.reads(18)


def test_a_prompt_met_again_in_one_call_of_score_costs_nothing(folder: Path) -> None:
    llm = read(folder)
    whole = llm.count_tokens(PROMPT)
    chain = sum(map(len, llm._framing.tokens(PROMPT).chain))
    assert [one.reused_tokens for one in llm.score([PROMPT] * 3, ["a", "the lamp", "b"])] == [0, whole, whole]
    assert [one.reused_tokens for one in llm.score([PROMPT] * 2, ["a", "b"])] == [chain, whole]


def test_logits_of_long_continuations_are_made_a_few_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = read(folder)
    texts = ["a bell rings", "the tower", "on the shore it is cold"]
    wanted = [one.total for one in llm.score([PROMPT] * 3, texts)]
    plain = [one.total for one in read(folder, "full").score([PROMPT] * 3, texts)]
    assert wanted == pytest.approx(plain, abs=1e-3)
    width = llm._loaded.forward.vocabulary
    monkeypatch.setattr("ctxproc.llm.likelihood.LOGITS", 12 * width)
    engine = llm._loaded.engine
    assert engine is not None
    kept: list[int] = []
    forward = engine.forward
    monkeypatch.setattr(
        engine, "forward", lambda ids, at, plan, keep: kept.append(len(keep)) or forward(ids, at, plan, keep)
    )
    assert [one.total for one in llm.score([PROMPT] * 3, texts)] == pytest.approx(wanted, abs=1e-3)
    lengths = [len(llm.tokenizer.encode(text)) - 1 for text in texts]
    assert kept == [1, *lengths] and lengths[0] + lengths[1] > 12


def test_warming_counts_what_is_new(folder: Path) -> None:
    llm = read(folder)
    one = Prompt((*PROMPT.segments[:2], PROMPT.segments[-1]))
    tokens = llm._framing.tokens(PROMPT)
    first = llm.warm([one])
    assert (first.entries, first.reused, first.tokens) == (2, 0, len(tokens.prefix + tokens.contexts[0]))
    second = llm.warm([PROMPT, one])
    assert (second.entries, second.reused, second.tokens) == (1, 2, len(tokens.joints[1] + tokens.contexts[1]))


def test_adaptive_encoding_gets_both_of_its_settings(folder: Path) -> None:
    reuse = ReuseSettings(grade="parallel+ape", temperature=0.7, scale=0.8)
    llm = TransformersLLM(str(folder), device="cpu", dtype="float32", reuse=reuse)
    tokens = llm._framing.tokens(PROMPT)
    blend = llm._loaded.open_batch([tokens], 1)[0]._blend
    assert blend is not None and (blend.temperature, blend.scale) == (0.7, 0.8)
    assert llm._loaded._open([tokens], 1, "parallel")[0]._blend is None


def test_linked_chunks_share_what_was_not_computed_again(folder: Path) -> None:
    reuse = ReuseSettings(grade="link-k", link_tokens=3)
    llm = TransformersLLM(str(folder), device="cpu", dtype="float32", reuse=reuse)
    llm.generate([PROMPT], Sampling(2))
    tokens = llm._framing.tokens(PROMPT)
    again = llm.generate([PROMPT], Sampling(2))[0]
    assert again.reused_tokens == len(tokens.prefix) + sum(map(len, tokens.contexts)) - 3
    row = llm._loaded.open_batch([tokens], 1)[0]
    row.extend([tokens.tail])
    assert row.filled == [len(tokens.joints[1]) + 3 + len(tokens.tail)]


# Draws.


def test_a_prompts_draws_depend_on_the_seed_and_its_place() -> None:
    logits = torch.zeros(4, 500)

    def draws(stream: int, places: range, seed: int = 0) -> list[int]:
        sampler = Sampler(Sampling(temperature=1.0, seed=seed, stream=stream), places)
        return [token for _ in range(3) for token in sampler(logits[: len(places)])]

    assert draws(3, range(1)) == draws(0, range(3, 4)) != draws(0, range(1))
    assert draws(0, range(1), seed=1) != draws(1, range(1), seed=0)
    sampler = Sampler(Sampling(temperature=1.0), range(4))
    assert sampler(logits[:2], [1, 3]) == [draws(0, range(4))[1], draws(0, range(4))[3]]


def test_prompts_in_batches_of_another_order_keep_their_draws(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    llm = read(folder)
    prompts = [Prompt((Segment(f"{9 - i} " * (i + 1), "context", "context"), Segment("?", "task"))) for i in range(5)]
    hot = Sampling(5, temperature=1.0, seed=2)
    wanted = [one.text for one in llm.generate(prompts, hot)]
    monkeypatch.setattr(loaded, "ROWS", 2)
    assert [one.text for one in llm.generate(prompts, hot)] == wanted
    assert llm.generate(prompts[3:4], Sampling(5, temperature=1.0, seed=2, stream=3))[0].text == wanted[3]


def test_a_nucleus_ends_with_the_token_that_fills_it() -> None:
    logits = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    sampler = Sampler(Sampling(temperature=1.0, top_p=0.75), [0])
    assert {sampler(logits)[0] for _ in range(60)} == {0, 1}
    assert {Sampler(Sampling(temperature=1.0, top_p=0.5), [i])(logits)[0] for i in range(30)} == {0}


def test_merged_rows_append_to_every_window() -> None:
    class Two:
        def __init__(self) -> None:
            self.seen: list[list[list[int]]] = []

        def extend(self, tokens: Any, rows: Any = None) -> torch.Tensor:  # noqa: ANN401
            self.seen.append([list(its) for its in tokens])
            return torch.tensor([[0.0, 1.0], [2.0, 0.0]])

    from ctxproc.llm.merging import Mixture

    two = Two()
    rows = MergedRows(two, [(1, 2), (3,)], Mixture((3.0, 1.0)).start(), None)
    scores = [rows.extend([()]), rows.extend([[7]])]
    assert two.seen == [[[1, 2], [3]], [[7], [7]]] and rows.weights == [(0.75, 0.25)] * 2
    high, low = 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(-2))
    wanted = 0.75 * high + 0.25 * (1 - low)
    for one in scores:
        assert float(one[0].exp()[1]) == pytest.approx(wanted, abs=1e-6)

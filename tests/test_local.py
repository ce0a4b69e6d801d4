"""TransformersLLM: every fast path against one sequence at a time with full logits, on every architecture."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import pytest
import torch
from safetensors.torch import load_file, save_file

from ctxproc.config import ReuseSettings
from ctxproc.errors import ConfigError, ModelError, PromptTooLongError
from ctxproc.llm.base import Generation, Sampling, Token, finished
from ctxproc.llm.constraint import Constraint
from ctxproc.llm.decoding import Sampler
from ctxproc.llm.hardware import bfloat16_speedup, choose_device, choose_dtype, describe
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.plain import PLAIN_TOKENS, Rows, batches, own_attention, pad_left
from ctxproc.llm.pretrained import Source, find, quiet
from ctxproc.llm.tokenizer import Spelling
from ctxproc.prompt import Prompt, Segment

torch.set_num_threads(1)
GREEDY = Sampling(max_new_tokens=9)
HOT = Sampling(max_new_tokens=9, temperature=1.0, top_p=0.9, top_k=50, seed=7)


def prompt(*texts: str) -> Prompt:
    return Prompt(tuple(Segment(text, "task") for text in texts))


PROMPTS = [
    prompt("Read this.\n\n", "The keeper of the lamp lives in the tower </s><|im_end|>", "\n\nWho keeps it?"),
    prompt("Who?"),
    prompt("", "a 😀 b", "the end. " * 6),
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def folder(architecture: str) -> Path:
        if architecture not in made:
            made[architecture] = models.build(tmp_path_factory.mktemp(architecture), architecture)
        return made[architecture]

    return folder


@pytest.fixture(scope="module")
def load(folders: Callable[[str], Path]) -> Callable[[str], TransformersLLM]:
    """Models by "architecture" (keys and values are reused) or "architecture/full" (they are not)."""
    made: dict[str, TransformersLLM] = {}

    def llm(name: str) -> TransformersLLM:
        if name not in made:
            architecture, _, grade = name.partition("/")
            reuse = ReuseSettings(grade="full") if grade else None
            made[name] = TransformersLLM(str(folders(architecture)), device="cpu", dtype="float32", reuse=reuse)
        return made[name]

    return llm


@pytest.fixture
def copied(folders: Callable[[str], Path], tmp_path: Path) -> Path:
    """A Llama folder to spoil."""
    return models.copy(folders("llama"), tmp_path / "model")


def model_of(llm: TransformersLLM) -> torch.nn.Module:
    return llm._loaded.forward._model


def ids_of(llm: TransformersLLM, one: Prompt) -> list[int]:
    return llm._framing.tokens(one).ids


def without_reuse(made: Generation) -> Generation:
    return replace(made, reused_tokens=0)


@torch.inference_mode()
def slow_logits(llm: TransformersLLM, ids: list[int]) -> torch.Tensor:
    """The oracle: one sequence, the model's own attention, no cache, no padding, no positions given, all logits."""
    with own_attention(model_of(llm), llm._loaded.forward._attention):
        return model_of(llm)(input_ids=torch.tensor([ids]), use_cache=False).logits[0].float()


def slow_greedy(llm: TransformersLLM, ids: list[int], count: int) -> list[int]:
    new: list[int] = []
    for _ in range(count):
        new.append(int(slow_logits(llm, ids + new)[-1].argmax()))
        if new[-1] in llm._ends:
            break
    return new


def slow_text(llm: TransformersLLM, new: list[int]) -> str:
    spelling = Spelling(llm.tokenizer)
    return "".join([*(spelling.push(token) for token in new if token not in llm._ends), spelling.close()])


def fed_tokens(llm: TransformersLLM, work: Callable[[], object]) -> int:
    """How many tokens the model is fed."""
    seen: list[int] = []

    def hook(module: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((args[0] if args else kwargs["input_ids"]).numel())

    handle = model_of(llm).base_model.register_forward_pre_hook(hook, with_kwargs=True)
    work()
    handle.remove()
    return sum(seen)


every = pytest.mark.parametrize("architecture", [*models.ARCHITECTURES, "llama/full", "qwen2/full", "gpt2/full"])


@every
def test_generate_equals_the_slow_loop_alone_batched_and_streamed(
    architecture: str, load: Callable[[str], TransformersLLM]
) -> None:
    llm = load(architecture)
    together = llm.generate(PROMPTS, GREEDY)
    for one, made in zip(PROMPTS, together, strict=True):
        new = slow_greedy(llm, ids_of(llm, one), GREEDY.max_new_tokens)
        assert made.text == slow_text(llm, new)
        assert (made.new_tokens, made.prompt_tokens) == (len(new), llm.count_tokens(one))
        assert made.finish == ("stop" if new[-1] in llm._ends else "length")
        assert without_reuse(llm.generate([one], GREEDY)[0]) == without_reuse(made)
        assert "".join(llm.stream(one, GREEDY)) == made.text


@every
def test_padded_logits_are_those_of_a_row_alone(architecture: str, load: Callable[[str], TransformersLLM]) -> None:
    llm = load(architecture)
    rows = [ids_of(llm, one) for one in PROMPTS]
    with torch.inference_mode():
        padded = pad_left(rows, llm._loaded.device)
        logits, cache = llm._loaded.forward(padded, 1)
        more = torch.cat([padded.mask, torch.ones(len(rows), 1, dtype=torch.long)], dim=-1)
        step = Rows(torch.tensor([[5]] * len(rows)), more, padded.positions[:, -1:] + 1)
        second, _ = llm._loaded.forward(step, 1, cache)
    for i, row in enumerate(rows):
        torch.testing.assert_close(logits[i, -1], slow_logits(llm, row)[-1], atol=2e-4, rtol=1e-4)
        torch.testing.assert_close(second[i, -1], slow_logits(llm, [*row, 5])[-1], atol=2e-4, rtol=1e-4)


@every
def test_score_equals_full_logits(architecture: str, load: Callable[[str], TransformersLLM]) -> None:
    llm = load(architecture)
    continuations = ["the answer", "", "漢😀 </s>"]
    scores = llm.score(PROMPTS, continuations)
    for one, text, score in zip(PROMPTS, continuations, scores, strict=True):
        ids, tail = ids_of(llm, one), llm.tokenizer.encode(text)
        logs = slow_logits(llm, ids + tail).log_softmax(-1)
        expected = sum(float(logs[len(ids) + i - 1, token]) for i, token in enumerate(tail))
        assert score.total == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert score.tokens == len(tail)
        assert llm.score([one], [text])[0].total == pytest.approx(score.total, rel=1e-4, abs=1e-4)
    assert scores[1].mean == 0.0


@every
def test_counted_tokens_are_the_tokens_fed(architecture: str, load: Callable[[str], TransformersLLM]) -> None:
    llm = load(architecture)
    for one in PROMPTS:
        made: list[Generation] = []
        fed = fed_tokens(llm, lambda one=one, made=made: made.extend(llm.generate([one], GREEDY)))
        assert made[0].prompt_tokens == llm.count_tokens(one)
        assert fed == made[0].prompt_tokens - made[0].reused_tokens + made[0].new_tokens - 1
        bound = llm.wrapping_tokens + sum(map(llm.tokenizer.count, one.pieces))
        assert bound - 1 <= llm.count_tokens(one) <= bound
        if llm._framing.chats or not llm.tokenizer.adds_prefix:
            assert llm.count_tokens(one) == bound


@every
def test_markers_in_documents_are_never_special(architecture: str, load: Callable[[str], TransformersLLM]) -> None:
    llm = load(architecture)
    special = set(llm.tokenizer.inner.all_special_ids) | {llm.tokenizer.inner.convert_tokens_to_ids("<tool_call>")}
    plain = [token for token in ids_of(llm, prompt("x")) if token in special]
    hostile = prompt("".join(llm.tokenizer.inner.all_special_tokens) + "<tool_call>", "</s>")
    assert [token for token in ids_of(llm, hostile) if token in special] == plain


def slow_tokens(llm: TransformersLLM, ids: list[int], count: int) -> list[Token]:
    """Greedy tokens one by one: by how much each lengthens the text, and its share of a plain pass."""
    tokens: list[Token] = []
    new = slow_greedy(llm, ids, count)
    for n, token in enumerate(new):
        said = sum(len(before.text) for before in tokens)
        text = slow_text(llm, new[: n + 1])
        unfinished = text.endswith("\ufffd") and n + 1 < len(new) and new[n + 1] not in llm._ends
        logs = slow_logits(llm, ids + new[:n])[-1].log_softmax(-1)
        tokens.append(Token("" if unfinished else text[said:], float(logs[token])))
    return tokens


@every
def test_every_token_comes_with_its_text_and_log_probability(
    architecture: str, load: Callable[[str], TransformersLLM]
) -> None:
    llm = load(architecture)
    asked = replace(GREEDY, logprobs=True)
    for one, made, plain in zip(PROMPTS, llm.generate(PROMPTS, asked), llm.generate(PROMPTS, GREEDY), strict=True):
        wanted = slow_tokens(llm, ids_of(llm, one), GREEDY.max_new_tokens)
        assert [token.text for token in made.tokens] == [token.text for token in wanted]
        assert [token.logprob for token in made.tokens] == pytest.approx([t.logprob for t in wanted], abs=1e-3)
        assert without_reuse(replace(made, tokens=())) == without_reuse(plain)


@pytest.mark.parametrize("architecture", ["llama", "gpt2/full"])
def test_a_stream_returns_what_generate_gives(architecture: str, load: Callable[[str], TransformersLLM]) -> None:
    llm = load(architecture)
    whole = llm.generate(PROMPTS[:1], HOT)[0].text
    for sampling in (
        HOT,
        replace(HOT, logprobs=True),
        replace(HOT, stop=(whole[2:4],)),
        replace(HOT, max_new_tokens=0),
    ):
        wanted, told = llm.generate(PROMPTS[:1], sampling)[0], list[str]()
        assert finished(llm.stream(PROMPTS[0], sampling), told.append) == wanted
        assert "".join(told) == wanted.text and "" not in told


def test_log_probabilities_are_the_models_whatever_is_sampled(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("qwen3")
    greedy = llm.generate(PROMPTS[:1], replace(GREEDY, logprobs=True))[0]
    cold = Sampling(9, temperature=0.01, top_k=2, top_p=0.5, logprobs=True)
    assert without_reuse(llm.generate(PROMPTS[:1], cold)[0]) == without_reuse(greedy)
    choices = ("a", "b")
    made = llm.generate(PROMPTS[:1], Sampling(5, constraint=Constraint(choices=choices), logprobs=True))[0]
    logits = slow_logits(llm, ids_of(llm, PROMPTS[0]))[-1]
    possible = torch.tensor([llm.tokenizer.encode(choice)[0] for choice in choices])
    assert made.text in choices and "".join(token.text for token in made.tokens) == made.text
    assert made.tokens[0].logprob == pytest.approx(float(logits[possible].log_softmax(-1).max()), abs=1e-3)
    bounded = Sampling(5, constraint=Constraint(choices=choices), stop=("ax", "bx"), logprobs=True)
    assert llm.generate(PROMPTS[:1], bounded)[0].tokens[0].text == made.text  # held back until the choice was whole
    held = llm.generate(PROMPTS[:1], replace(GREEDY, logprobs=True, stop=(greedy.text[1:] + "never",)))[0]
    assert held.text == greedy.text == "".join(token.text for token in held.tokens)  # held back until the end


def test_sampling_is_seeded_per_prompt_and_leaves_the_global_state(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("llama")
    state = torch.random.get_rng_state()
    first = llm.generate(PROMPTS, HOT)
    assert torch.equal(state, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert llm.generate(PROMPTS, HOT) == first
    assert llm.generate([prompt("x"), PROMPTS[1], prompt("y " * 40)], HOT)[1] == first[1]
    assert "".join(llm.stream(PROMPTS[0], HOT)) == first[0].text
    assert llm.generate(PROMPTS, Sampling(9, temperature=1.0, seed=8)) != first
    same = [one.text for one in llm.generate([PROMPTS[1]] * 3, HOT)]
    assert len(set(same)) == 3
    greedy = llm.generate(PROMPTS, GREEDY)
    assert llm.generate(PROMPTS, Sampling(9, temperature=1.0, top_k=1)) == greedy
    assert llm.generate(PROMPTS, Sampling(9, temperature=1.0, top_p=1e-6)) == greedy


def test_draws_follow_the_distribution() -> None:
    logits = torch.tensor([0.0, 2.0, 1.0, -1.0, 1.5])
    count = 4000

    def shares(**options: float) -> torch.Tensor:
        sampler = Sampler(Sampling(temperature=0.7, **options), range(count))
        return torch.bincount(torch.tensor(sampler(logits.expand(count, -1))), minlength=5) / count

    full = (logits / 0.7).softmax(-1)
    torch.testing.assert_close(shares(), full, atol=0.03, rtol=0)
    top = full * torch.tensor([0, 1, 0, 0, 1])
    torch.testing.assert_close(shares(top_k=2), top / top.sum(), atol=0.03, rtol=0)
    assert full[1] < 0.6 < full[1] + full[4]
    torch.testing.assert_close(shares(top_p=0.6), top / top.sum(), atol=0.03, rtol=0)
    assert shares(top_p=float(full[1]) - 0.01)[1] == 1


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}, {"top_k": -1}])
def test_wrong_sampling_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="sampling needs"):
        Sampler(Sampling(**wrong), [0])  # type: ignore[arg-type]


def test_stop_strings_cut_before_the_first_occurrence(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("qwen2")
    whole = llm.generate([PROMPTS[0]], GREEDY)[0]
    for begin in range(0, len(whole.text) - 3, 5):
        stop = whole.text[begin : begin + 3]
        made = llm.generate([PROMPTS[0], PROMPTS[1]], Sampling(9, stop=(stop,)))[0]
        assert made.text == whole.text[: whole.text.find(stop)]
        assert made.finish == "stop" and made.new_tokens <= whole.new_tokens
        assert "".join(llm.stream(PROMPTS[0], Sampling(9, stop=(stop,)))) == made.text


def test_only_sampling_decides_and_every_end_token_counts(copied: Path) -> None:
    plain = TransformersLLM(str(copied), dtype="float32")
    new = slow_greedy(plain, ids_of(plain, PROMPTS[0]), 9)
    odd = {"do_sample": True, "temperature": 9.0, "repetition_penalty": 5.0, "max_new_tokens": 1, "min_length": 50}
    (copied / "generation_config.json").write_text(json.dumps({**odd, "eos_token_id": [2, new[3]]}))
    made = TransformersLLM(str(copied), dtype="float32").generate([PROMPTS[0]], GREEDY)[0]
    stop = new.index(new[3])
    assert (made.text, made.new_tokens, made.finish) == (slow_text(plain, new[:stop]), stop + 1, "stop")


def test_no_new_tokens_is_an_empty_text(load: Callable[[str], TransformersLLM]) -> None:
    made = load("llama").generate(PROMPTS[:1], Sampling(0))[0]
    assert (made.text, made.new_tokens, made.finish) == ("", 0, "length")
    assert load("llama").generate([], GREEDY) == [] and load("llama").score([], []) == []


def test_an_empty_prompt_still_gives_an_answer(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("gpt2")
    assert llm.count_tokens(prompt("")) == 1
    assert llm.generate([prompt("")], GREEDY)[0].text == slow_text(llm, slow_greedy(llm, ids_of(llm, prompt("")), 9))


def test_a_long_prompt_is_refused_before_anything_is_generated(
    folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Source, "weights", lambda *_: pytest.fail("weights were loaded"))
    llm = TransformersLLM(str(folders("llama")), context_window=60)
    fits = 60 - llm.wrapping_tokens - 9
    assert llm.count_tokens(prompt("x" * fits)) == 51
    for work in (
        lambda long: llm.generate([prompt("a"), long], GREEDY),
        lambda long: llm.stream(long, GREEDY),
        lambda long: llm.score([prompt("a"), long], ["b", "x" * 9]),
    ):
        with pytest.raises(PromptTooLongError, match="1 more than the model's window of 60") as caught:
            work(prompt("x" * (fits + 1)))
        assert caught.value.excess == 1


def test_a_full_window_is_read_to_its_last_position(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("gpt2")
    full = prompt(" the" * (256 - 9))
    new = slow_greedy(llm, ids_of(llm, full), 9)
    assert llm.generate([full], GREEDY)[0].text == slow_text(llm, new)


def test_closing_a_stream_ends_the_work(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("gpt2")
    calls: list[int] = []
    handle = model_of(llm).register_forward_pre_hook(lambda *_: calls.append(1))
    pieces = llm.stream(PROMPTS[0], Sampling(100))
    next(pieces)
    done = len(calls)
    pieces.close()
    assert list(pieces) == [] and len(calls) == done < 10
    handle.remove()


def test_an_interrupt_passes_through(load: Callable[[str], TransformersLLM]) -> None:
    llm = load("gpt2")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    handle = model_of(llm).register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        llm.generate(PROMPTS, GREEDY)
    handle.remove()


def test_batches_hold_the_longest_first_within_the_limit() -> None:
    assert list(batches([3, 9, 1, 4], 9)) == [[1], [3, 0], [2]]
    assert list(batches([20, 1, 1, 1], 2)) == [[0], [1, 2], [3]]
    assert list(batches([], 5)) == []


@pytest.mark.parametrize("name", ["gemma", "gemma/full"])
def test_many_prompts_in_many_batches_keep_their_order(
    name: str, load: Callable[[str], TransformersLLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    llm = load(name)
    many = [prompt("word " * (1 + 7 * i % 11)) for i in range(7)]
    expected = [llm.generate([one], GREEDY)[0] for one in many]
    scores = [llm.score([one], ["the " * (i + 1)])[0] for i, one in enumerate(many)]
    monkeypatch.setattr("ctxproc.llm.loaded.ROWS", 3)
    monkeypatch.setitem(PLAIN_TOKENS, "cpu", 70)
    monkeypatch.setattr("ctxproc.llm.likelihood.LOGITS", 4000)
    assert [one.text for one in llm.generate(many, GREEDY)] == [one.text for one in expected]
    again = llm.score(many, ["the " * (i + 1) for i in range(7)])
    assert [one.tokens for one in again] == [one.tokens for one in scores]
    assert [one.total for one in again] == pytest.approx([one.total for one in scores], rel=1e-4)


# Architectures without positions or without a key-value cache.


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
        ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
    ],
)
def test_other_kinds_of_models_run_too(
    architecture: str, options: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(models.ARCHITECTURES, architecture, options)
    folder = models.build(tmp_path, architecture, models.byte_tokenizer())
    llm = TransformersLLM(str(folder), device="cpu", dtype="float32")
    assert llm.context_window == 2048
    for one, made in zip(PROMPTS, llm.generate(PROMPTS, GREEDY), strict=True):
        assert made.text == slow_text(llm, slow_greedy(llm, ids_of(llm, one), 9))
    test_score_equals_full_logits("", lambda _: llm)


@pytest.mark.parametrize(("tokens", "passes"), [(1, 3), (10_000, 1)])
def test_one_limit_holds_for_plain_batches_and_plain_scores(
    tokens: int, passes: int, load: Callable[[str], TransformersLLM], monkeypatch: pytest.MonkeyPatch
) -> None:
    llm, calls = load("llama/full"), list[int]()
    monkeypatch.setitem(PLAIN_TOKENS, "cpu", tokens)
    handle = model_of(llm).register_forward_pre_hook(lambda *_: calls.append(1))
    llm.generate(PROMPTS, Sampling(1))
    assert len(calls) == passes
    llm.score(PROMPTS, ["a", "b", "c"])
    assert len(calls) == 2 * passes
    handle.remove()


# What is loaded when, and what is refused.


def test_weights_are_read_at_the_first_use(copied: Path) -> None:
    (copied / "model.safetensors").rename(copied / "gone")
    llm = TransformersLLM(str(copied), dtype="float32")
    assert llm.count_tokens(PROMPTS[0]) > 0 and llm.check_fits(PROMPTS[1], 5) > 0
    with pytest.raises(ModelError, match="cannot read its weights"):
        llm.generate(PROMPTS, GREEDY)
    (copied / "gone").rename(copied / "model.safetensors")
    assert len(llm.generate(PROMPTS, GREEDY)) == 3


def test_nothing_is_printed_and_no_socket_opened(
    copied: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    llm = TransformersLLM(str(copied))
    llm.generate(PROMPTS, GREEDY)
    list(llm.stream(PROMPTS[0], HOT))
    llm.score(PROMPTS, ["a", "b", "c"])
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_quiet_leaves_logging_as_it_was() -> None:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    with pytest.raises(KeyboardInterrupt), quiet():
        raise KeyboardInterrupt
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == (level, bars)


def drop_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def reshape_tensor(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def spoil_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {name: tensor * torch.nan for name, tensor in tensors.items()}, folder / "model.safetensors", {"format": "pt"}
    )


def cut_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def pickle_weights(folder: Path) -> None:
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def edit_config(**changes: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **changes}))

    return edit


def without_tokenizer(folder: Path) -> None:
    for file in folder.glob("*token*"):
        file.unlink()


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing tensor": (drop_tensor, r"not all there \(1 tensors .* such as model.layers.1.mlp.up_proj.weight"),
    "tensor of another shape": (reshape_tensor, "not all there .*up_proj"),
    "not numbers": (spoil_numbers, "not a number"),
    "cut weights": (cut_weights, "cannot read its weights"),
    "weights are text": (write("model.safetensors", "hello"), "cannot read its weights"),
    "pickles only": (pickle_weights, "pickles .*never opened"),
    "not causal": (edit_config(model_type="t5"), "t5 is not a causal language model"),
    "reads both ways": (edit_config(model_type="bert", architectures=["BertModel"]), "bert is not a causal"),
    "unknown kind": (edit_config(model_type="nonesuch"), "cannot read its configuration"),
    "broken config": (write("config.json", "{"), "cannot read its configuration"),
    "config is a list": (write("config.json", "[]"), "cannot read its configuration"),
    "no config": (lambda folder: (folder / "config.json").unlink(), "holds neither config.json nor a .gguf file"),
    "no tokenizer": (without_tokenizer, "cannot read its tokenizer"),
    "broken tokenizer": (write("tokenizer.json", '{"version": "1.0"'), "cannot read its tokenizer"),
    "empty tokenizer": (write("tokenizer.json", '{"added_tokens": [], "model": {}}'), "cannot read its tokenizer"),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_spoiled_folder_gives_one_clear_line(kind: str, copied: Path, capfd: pytest.CaptureFixture[str]) -> None:
    spoil, message = SPOILED[kind]
    spoil(copied)
    with pytest.raises(ModelError, match=message) as caught:
        TransformersLLM(str(copied), dtype="float32").generate(PROMPTS, GREEDY)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400 + len(str(copied))
    assert capfd.readouterr() == ("", "")


def test_code_in_a_model_folder_never_runs(copied: Path, tmp_path: Path) -> None:
    mark = tmp_path / "canary"
    code = f"open({str(mark)!r}, 'w').close()\nclass Own: pass\n"
    (copied / "own.py").write_text(code)
    maps = {"AutoConfig": "own.Own", "AutoModelForCausalLM": "own.Own", "AutoTokenizer": ["own.Own", "own.Own"]}
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    for kind in ("llama", "nonesuch"):
        edit_config(model_type=kind, auto_map=maps)(copied)
        (copied / "tokenizer_config.json").write_text(json.dumps({**settings, "auto_map": maps}))
        try:
            made = TransformersLLM(str(copied), dtype="float32").generate(PROMPTS, GREEDY)
            assert kind == "llama" and len(made) == 3
        except ModelError as error:
            assert "\n" not in str(error)
    assert not mark.exists()


def test_what_looks_like_a_path_is_never_a_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "file").write_text("x")
    for name in (
        "models/gone",
        "./gone",
        "../gone",
        "/gone",
        "~/gone",
        "a/b/c",
        "a/",
        "a\\b",
        "file",
        "",
        ".",
        "models",
    ):
        with pytest.raises(ModelError) as caught:
            TransformersLLM(name)
        assert "\n" not in str(caught.value)
    for name in ("gpt2", "someone/something-1B"):
        assert find(name) == Source(name, name, local=False)
    (tmp_path / "models" / "config.json").write_text("{}")
    assert find("models").local


def test_a_hub_name_without_a_hub_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"model nobody/nothing-at-all: no folder here") as caught:
        TransformersLLM("nobody/nothing-at-all")
    assert "\n" not in str(caught.value)


def test_the_window_is_the_least_of_what_is_named(copied: Path) -> None:
    assert TransformersLLM(str(copied)).context_window == 256
    assert TransformersLLM(str(copied), context_window=100).context_window == 100
    with pytest.raises(ConfigError, match="257 is more than the 256"):
        TransformersLLM(str(copied), context_window=257)
    settings = json.loads((copied / "tokenizer_config.json").read_text())
    (copied / "tokenizer_config.json").write_text(json.dumps({**settings, "model_max_length": 77}))
    assert TransformersLLM(str(copied)).context_window == 77


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "abacus"},
        {"device": "cuda:99"},
        {"device": "cpu:x"},
        {"dtype": "int8"},
        {"threads": 0},
        {"context_window": 0},
    ],
)
def test_settings_that_cannot_be_had(wrong: dict[str, Any], folders: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError) as caught:
        TransformersLLM(str(folders("llama")), **wrong)
    assert "\n" not in str(caught.value)


def test_hardware_is_measured_or_as_set() -> None:
    cpu = choose_device("cpu")
    assert cpu == torch.device("cpu") and choose_device().type in ("cpu", "cuda", "mps")
    for name in ("float32", "bfloat16", "float16"):
        assert choose_dtype(name, cpu) == getattr(torch, name)
    expected = torch.bfloat16 if bfloat16_speedup() >= 1.2 else torch.float32
    assert choose_dtype("auto", cpu) == expected
    assert choose_device().type in describe() or "GPU" in describe() or "NVIDIA" in describe()
    assert "\n" not in describe()
    with pytest.raises(ConfigError, match="float33"):
        choose_dtype("float33", cpu)
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="'cuda' cannot be had on this machine: use auto or one of cpu"):
            choose_device("cuda")


def test_dtype_is_honoured(folders: Callable[[str], Path]) -> None:
    llm = TransformersLLM(str(folders("qwen3")), device="cpu", dtype="bfloat16")
    assert len(llm.generate(PROMPTS, GREEDY)) == 3
    assert model_of(llm).dtype == torch.bfloat16
    assert llm.score(PROMPTS[:1], ["the"])[0].total < 0


# A real model.


@pytest.fixture(scope="module")
def stories() -> TransformersLLM:
    if not models.STORIES.is_dir():
        pytest.skip("needs ../shared/data/models/stories260K")
    return TransformersLLM(str(models.STORIES), device="cpu", dtype="float32")


def test_a_real_model_tells_a_story(stories: TransformersLLM) -> None:
    made = stories.generate([prompt("Once upon a time")], Sampling(40))[0]
    assert made.text.startswith(", there was a little girl named Lily.")
    assert stories.context_window == 512 and made.prompt_tokens == 5
    assert "".join(stories.stream(prompt("Once upon a time"), Sampling(40))) == made.text
    stop = stories.generate([prompt("Once upon a time")], Sampling(40, stop=("named Lily",)))[0]
    assert stop.text == ", there was a little girl " and stop.finish == "stop"
    likely, unlikely = stories.score([prompt("Once upon a time")] * 2, [", there was a little girl", "x9 upon Once"])
    assert likely.mean > -1.5 > unlikely.mean


def test_a_real_models_text_is_that_of_transformers(stories: TransformersLLM) -> None:
    texts = ["Once upon a time", "Tom and Lily went to the park. They", 'The dog said: "I']
    made = stories.generate([prompt(text) for text in texts], Sampling(60))
    inner = stories.tokenizer.inner
    for text, one in zip(texts, made, strict=True):
        ids = inner(text, return_tensors="pt")
        with own_attention(model_of(stories), "sdpa"):
            out = model_of(stories).generate(**ids, max_new_tokens=60, do_sample=False, pad_token_id=0)
        assert inner.decode(out[0], skip_special_tokens=True) == text + one.text

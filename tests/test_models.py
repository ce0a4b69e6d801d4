"""The built-in models as a whole: how they are kept, listed and verified, and what they make of bad input."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ctxproc.cli.main import cli
from ctxproc.errors import ModelError, PromptTooLongError
from ctxproc.llm import delta
from ctxproc.llm.base import LLM, Sampling
from ctxproc.llm.delta import empty_trunk, fill, load_delta, read_model, save_delta, trunk_weights, write_model
from ctxproc.llm.shelf import SHELF, WEIGHTS, built_in, shelf, trunk_digest
from ctxproc.prompt import Prompt, Segment

NAMES = [model.name for model in shelf()]
MILLION = 1_000_000
BAD = {
    "nothing": "",
    "one character": "x",
    "one mark": "\u0301",
    "white space": " \n\t\u3000\u200b",
    "punctuation": "?!…—“”;:,.()[]{}<>/\\|@#$%^&*~`'\"_=+-" * 20,
    "scripts": "ꦲꦏ᮫ ᬅᬓ᭄ᬱᬭ ⵜⵉⴼⵉⵏⴰⵖ ᚠᚢᚦ 𐎠𐎡𐎢 𓀀𓀁 ሰላም 漢字 العربية עברית ไทย ქართული",
    "emoji and controls": "😀👩‍👩‍👧🏆️ \x00\x07\x1b[31m \ufffe \U000e0041",
    "a surrogate's neighbours": "\ud7ff\ue000\uffff",
    "one long word": "a" * 3000,
    "a million characters": "Ada Holt was born in Milford. " + " " * (MILLION - 60) + " The lamp was lit in 1931. 灯",
}


# --- differences to the trunk


BASE = {"layer.weight": torch.arange(12.0).view(3, 4), "layer.bias": torch.ones(3), "same.weight": torch.ones(2, 2)}


def states(seed: int = 0) -> dict[str, Tensor]:
    """A model's state over `BASE`: a changed matrix, a changed vector, an equal one, a head of its own."""
    rng = torch.Generator().manual_seed(seed)
    return {
        "trunk.layer.weight": BASE["layer.weight"] + 0.01 * torch.randn(3, 4, generator=rng),
        "trunk.layer.bias": BASE["layer.bias"] + 0.01 * torch.randn(3, generator=rng),
        "trunk.same.weight": BASE["same.weight"].clone(),
        "head.weight": torch.randn(2, 3, generator=rng),
    }


def test_a_difference_comes_back_to_within_half_a_step_of_its_row(tmp_path: Path) -> None:
    state = states()
    save_delta(tmp_path / "some.safetensors", BASE, state)
    kept, found = load_file(tmp_path / "some.safetensors"), load_delta(tmp_path / "some.safetensors", BASE)
    assert {name: value.dtype for name, value in kept.items()} == {
        "trunk.layer.weight": torch.int8,
        "trunk.layer.weight.scale": torch.float32,
        "trunk.layer.bias": torch.float16,
        "head.weight": torch.float16,
    }
    assert found.keys() == state.keys()
    for row in range(3):
        change = state["trunk.layer.weight"][row] - BASE["layer.weight"][row]
        step = float(change.abs().max()) / 127
        off = (found["trunk.layer.weight"][row] - state["trunk.layer.weight"][row]).abs().max()
        assert 0 < float(off) <= step / 2 + 2e-6
    assert float((found["trunk.layer.bias"] - state["trunk.layer.bias"]).abs().max()) < 1e-4
    assert torch.equal(found["head.weight"], state["head.weight"].half().float())
    assert found["trunk.same.weight"].data_ptr() == BASE["same.weight"].data_ptr()
    assert torch.equal(BASE["layer.weight"], torch.arange(12.0).view(3, 4))


def test_a_row_without_a_change_and_a_model_without_a_trunk_are_kept_exactly(tmp_path: Path) -> None:
    state = states()
    state["trunk.layer.weight"][1] = BASE["layer.weight"][1]
    save_delta(tmp_path / "a.safetensors", BASE, state)
    assert torch.equal(load_delta(tmp_path / "a.safetensors", BASE)["trunk.layer.weight"][1], BASE["layer.weight"][1])
    save_delta(tmp_path / "b.safetensors", {}, {"own.weight": torch.eye(3)})
    assert torch.equal(load_delta(tmp_path / "b.safetensors", {})["own.weight"], torch.eye(3))


def damage_scale(kept: dict[str, Tensor]) -> None:
    del kept["trunk.layer.weight.scale"]


def damage_shape(kept: dict[str, Tensor]) -> None:
    kept["trunk.layer.weight"] = torch.zeros(4, 4, dtype=torch.int8)


def damage_scale_shape(kept: dict[str, Tensor]) -> None:
    kept["trunk.layer.weight.scale"] = torch.ones(7)


@pytest.mark.parametrize("harm", [damage_scale, damage_shape, damage_scale_shape])
def test_a_file_that_does_not_fit_is_refused(harm: Callable[[dict[str, Tensor]], None], tmp_path: Path) -> None:
    file = tmp_path / "some.safetensors"
    save_delta(file, BASE, states())
    kept = load_file(file)
    harm(kept)
    save_file(kept, file)
    with pytest.raises(ModelError, match=r"some\.safetensors"):
        load_delta(file, BASE)


@pytest.mark.parametrize("text", [b"", b"\x00" * 40, b"not tensors at all"])
def test_a_file_that_is_none_is_refused(text: bytes, tmp_path: Path) -> None:
    (tmp_path / "some.safetensors").write_bytes(text)
    with pytest.raises(ModelError, match="cannot be read"):
        load_delta(tmp_path / "some.safetensors", {})
    with pytest.raises(ModelError, match="cannot be read"):
        load_delta(tmp_path / "missing.safetensors", {})


def test_the_plain_tokenizer_takes_special_tokens_for_text_and_neither_pads_nor_cuts() -> None:
    from ctxproc.llm.trunk import plain_tokenizer, trunk_folder

    forged, long = plain_tokenizer(trunk_folder()).encode_batch(
        ["a [SEP] b [CLS]", "a " * 700], add_special_tokens=False
    )
    assert forged.tokens == ["a", "[", "sep", "]", "b", "[", "cl", "##s", "]"]
    assert long.tokens == ["a"] * 700


def test_an_empty_trunk_that_is_filled_is_the_installed_one() -> None:
    from transformers import BertModel

    from ctxproc.llm.trunk import trunk_folder

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = empty_trunk()

    whole = Whole()
    fill(whole, {f"trunk.{name}": value for name, value in trunk_weights().items()}, "whole")
    ids = torch.tensor([[101, 2040, 2881, 1996, 2958, 102], [101, 7929, 102, 0, 0, 0]])
    mask = (ids > 0).long()
    plain = BertModel.from_pretrained(trunk_folder(), add_pooling_layer=False).eval()
    with torch.no_grad():
        ours, theirs = (model(ids, attention_mask=mask).last_hidden_state for model in (whole.trunk.eval(), plain))
    assert torch.allclose(ours[0], theirs[0], atol=1e-5) and torch.allclose(ours[1, :3], theirs[1, :3], atol=1e-5)
    shared = trunk_weights()["embeddings.word_embeddings.weight"]
    assert whole.trunk.embeddings.word_embeddings.weight.data_ptr() == shared.data_ptr()


def test_weights_that_are_missing_or_unknown_or_of_another_shape_are_named() -> None:
    model = nn.Linear(2, 2)
    good = {"weight": torch.ones(2, 2), "bias": torch.ones(2)}
    fill(model, {**good, "trunk.pooler.weight": torch.ones(1)}, "some")
    assert model.weight.data_ptr() == good["weight"].data_ptr() and not model.weight.requires_grad
    for weights, said in (
        ({"weight": good["weight"]}, "lacks the weight bias"),
        ({**good, "bias": torch.ones(3)}, "another shape at bias"),
        ({**good, "extra": torch.ones(1)}, "unknown weight: extra"),
    ):
        with pytest.raises(ModelError, match=said):
            fill(model, weights, "some")


# --- the shelf


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a judge of a few weights over `BASE`."""
    monkeypatch.setattr(delta, "trunk_weights", lambda: BASE)
    write_model("judge", states(), {"licence": "Apache-2.0", "test": {"ndcg10": 0.5}}, tmp_path)
    return tmp_path


def test_a_model_that_was_written_is_read_and_is_whole(small: Path) -> None:
    facts, weights = read_model("judge", small)
    assert facts["licence"] == "Apache-2.0" and facts["trunk_sha256"] == trunk_digest()
    assert weights.keys() == states().keys()
    assert list(built_in("judge").problems(small)) == []
    assert built_in("judge").figures(small) == {"nDCG@10": 0.5}
    assert built_in("judge").size(small) == (small / "judge.safetensors").stat().st_size


def test_every_flipped_byte_of_the_weights_is_found(small: Path) -> None:
    file = small / "judge.safetensors"
    whole = file.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 50)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert list(built_in("judge").problems(small)) == [
            "judge.safetensors is not as it was made: its sha256 has changed"
        ]
        with pytest.raises(ModelError, match="sha256 has changed"):
            read_model("judge", small)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read"),
        ("[]", "not of format"),
        ('{"format": 99}', "not of format"),
        ('{"format": 2, "trunk_sha256": "0"}', "another one than it was trained on"),
    ],
)
def test_facts_that_do_not_hold_are_told(text: str, said: str, small: Path) -> None:
    (small / "judge.json").write_text(text)
    with pytest.raises(ModelError, match=said):
        read_model("judge", small)
    assert said in "; ".join(built_in("judge").problems(small))


def test_missing_files_and_unknown_names_are_told(small: Path) -> None:
    (small / "judge.safetensors").unlink()
    assert list(built_in("judge").problems(small)) == ["judge.safetensors is missing"]
    (small / "judge.json").unlink()
    assert "judge.json cannot be read" in next(iter(built_in("judge").problems(small)))
    assert shelf(small) == []
    with pytest.raises(ModelError, match="there are: reader, reader_zh, judge, tagger, causal"):
        built_in("oracle")


def test_a_model_in_a_folder_is_checked_file_by_file(tmp_path: Path) -> None:
    (tmp_path / "causal").mkdir()
    sums = {}
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "causal" / name).write_text(name)
        sums[name] = built_in_digest(tmp_path / "causal" / name)
    (tmp_path / "causal.json").write_text(json.dumps({"format": 2, "files": sums}))
    assert list(built_in("causal").problems(tmp_path)) == []
    assert built_in("causal").size(tmp_path) == len("config.json") + len("model.safetensors")
    (tmp_path / "causal" / "config.json").write_text("config_json")
    assert list(built_in("causal").problems(tmp_path)) == ["config.json is not as it was made: its sha256 has changed"]


def built_in_digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_shipped_files_are_whole_and_small() -> None:
    assert "reader" in NAMES
    for model in shelf():
        assert list(model.problems()) == []
        assert model.size() <= (40e6 if model.name == "causal" else 22e6)
        assert (WEIGHTS / f"{model.name}.md").is_file()
        assert model.facts().get("licence") and model.figures()
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 120e6


def test_models_are_listed_without_torch_and_fast_to_verify() -> None:
    code = "import sys\nfrom ctxproc.cli.main import main\nmain(sys.argv[1:])\nprint('torch' in sys.modules)"
    for arguments in ([], ["--json"], ["verify"]):
        done = subprocess.run(
            [sys.executable, "-c", code, "models", *arguments],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
            capture_output=True,
            text=True,
            check=True,
        )
        *shown, torch_there = done.stdout.splitlines()
        assert torch_there == "False"
        if arguments == ["--json"]:
            listed = json.loads("\n".join(shown))
            assert [entry["name"] for entry in listed] == NAMES
            assert all(entry["bytes"] > 0 and entry["licence"] for entry in listed)
        else:
            assert all(any(name in line.split() for line in shown) for name in NAMES)


def test_verify_says_so_and_fails_where_a_hash_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = CliRunner().invoke(cli, ["models", "verify"])
    assert whole.exit_code == 0
    assert [line.split() for line in whole.output.splitlines()] == [[name, "ok"] for name in NAMES]
    monkeypatch.setattr("ctxproc.llm.shelf.digest", lambda path: "0" * 64)
    changed = CliRunner().invoke(cli, ["models", "verify"])
    assert changed.exit_code == 1
    assert all("sha256 has changed" in line for line in changed.output.splitlines())


def test_the_settings_of_the_shelf_are_those_that_the_configuration_takes() -> None:
    assert len({model.name for model in SHELF}) == len(SHELF)
    assert all(model.headlines and model.purpose for model in SHELF)


# --- bad input


def reader(text: str) -> None:
    from ctxproc.llm.reader import SpanReader

    made = loaded("reader", SpanReader.load)
    for question in ("who was born in Milford", text[:200]):
        try:
            [reading] = made.read([question], [text], always=True)
        except ValueError as error:
            assert "tokens more than the 512 that fit" in str(error) and len(text) > 500
            continue
        assert 0 <= reading.start <= reading.end <= len(text)
        assert 0 <= reading.confidence <= 1


def reader_zh(text: str) -> None:
    from ctxproc.llm.reader_zh import ChineseReader

    [reading] = loaded("reader_zh", ChineseReader.load).read(["谁生于一九三一年？"], [text], always=True)
    assert 0 <= reading.start <= reading.end <= len(text)
    assert 0 <= reading.confidence <= 1


def judge(text: str) -> None:
    from ctxproc.llm.judge import Judge

    scores = loaded("judge", Judge.load).score(text[:3000], [text[:3000]], [text, "The lamp was lit in 1931."])
    assert len(scores) == 2 and all(0 <= score <= 1 for score in scores)


def tagger(text: str) -> None:
    from ctxproc.llm.tagger import Tagger

    [tagged] = loaded("tagger", Tagger.load).tag([text])
    assert all(0 <= one.start < one.end <= len(text) and 0 <= one.score <= 1 for one in tagged.mentions)
    assert all(one.head < len(tagged.mentions) and one.tail < len(tagged.mentions) for one in tagged.relations)
    assert all(0 <= start < end <= len(text) for start, end in tagged.concepts)


def causal(text: str) -> None:
    from ctxproc import TransformersLLM

    llm: LLM = loaded("causal", lambda: TransformersLLM("builtin:causal", dtype="float32"))
    prompt = Prompt((Segment(text, "context", "context"), Segment("\n\nQuestion: who?\nAnswer:", "task", "question")))
    try:
        [made] = llm.generate([prompt], Sampling(max_new_tokens=4))
    except PromptTooLongError as error:
        assert error.excess > 0 and len(text) > 500
        return
    [score] = llm.score([prompt], [" Ada"])
    assert isinstance(made.text, str) and score.total < 0 and math.isfinite(score.total)


_LOADED: dict[str, Any] = {}


def loaded(name: str, load: Callable[[], Any]) -> Any:  # noqa: ANN401 (models have nothing in common)
    """A model, loaded once."""
    if name not in _LOADED:
        _LOADED[name] = load()
    return _LOADED[name]


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("read", [reader, reader_zh, judge, tagger, causal], ids=lambda read: str(read.__name__))
def test_bad_input_gives_a_result_or_a_clear_error(read: Callable[[str], None], kind: str) -> None:
    if read.__name__ not in NAMES:
        pytest.skip(f"the model {read.__name__} is not in the package")
    read(BAD[kind])


@pytest.mark.skipif("judge" not in NAMES, reason="the model judge is not in the package")
def test_reader_and_judge_share_the_trunk_s_embeddings() -> None:
    from ctxproc.llm.judge import Judge
    from ctxproc.llm.reader import SpanReader

    shared = trunk_weights()["embeddings.word_embeddings.weight"].data_ptr()
    for name, load in (("reader", SpanReader.load), ("judge", Judge.load)):
        model = loaded(name, load)._model
        assert model.trunk.embeddings.word_embeddings.weight.data_ptr() == shared


def test_a_copy_of_the_shelf_is_verified_like_the_shelf(tmp_path: Path) -> None:
    copy = tmp_path / "weights"
    shutil.copytree(WEIGHTS, copy)
    for model in shelf(copy):
        assert list(model.problems(copy)) == []
        file = next(path for path in model.files(copy) if path.suffix == ".safetensors")
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        file.write_bytes(raw)
        assert [file.name in problem for problem in model.problems(copy)] == [True]

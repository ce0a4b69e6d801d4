"""Quantised weights: the fast product against plain float products with the weights dequantised by hand."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import models
import pytest
import torch

from ctxproc.config import ReuseSettings, Settings
from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Sampling
from ctxproc.llm.load import load_llm
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.pretrained import find, quiet
from ctxproc.llm.quantise import check_quantise, describe, no_hub_kernels, quantised_layers, quantising
from ctxproc.prompt import Prompt, Segment

torch.set_num_threads(1)
CPU = torch.device("cpu")
WIDE: dict[str, object] = {"hidden_size": 128, "intermediate_size": 256}
IDS = torch.arange(5, 45)[None]


def prompt(text: str) -> Prompt:
    return Prompt((Segment(text, "task"),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def build(architecture: str) -> Path:
        if architecture not in made:
            size = {"gpt2": {}, "llama": {**WIDE, "head_dim": 32}}.get(architecture, WIDE)
            tokenizer = models.byte_tokenizer(models.CHATML)
            made[architecture] = models.build(tmp_path_factory.mktemp("m"), architecture, tokenizer, **size)
        return made[architecture]

    return build


@pytest.fixture
def torchao() -> None:
    with quiet():
        pytest.importorskip("torchao")


@torch.inference_mode()
def logits(model: torch.nn.Module) -> torch.Tensor:
    return model(input_ids=IDS, use_cache=False).logits[0].float()


def by_hand(weight: torch.Tensor, setting: str) -> torch.Tensor:
    """A weight after quantising and dequantising, written out: one scale per row, or one and an offset per 32."""
    if setting == "int8":
        scale = weight.abs().amax(-1, keepdim=True) / 127.5
        return (weight * (1 / scale)).round().clamp(-128, 127) * scale  # the greatest of a row is a tie of rounding
    groups = weight.reshape(weight.shape[0], -1, 32)
    low, high = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step = (high - low) / 15
    return (((groups - low) / step).round().clamp(0, 15) * step + low).reshape(weight.shape)


@torch.inference_mode()
def slow(path: Path, setting: str) -> torch.nn.Module:
    """The oracle: the float32 model in which the linear layers of the blocks hold weights that lost precision."""
    model = find(str(path)).weights(torch.float32, CPU)
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name != "lm_head":
            module.weight.copy_(by_hand(module.weight, setting))
    return model


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_logits_are_those_of_dequantised_weights(architecture: str, folder: Callable[[str], Path]) -> None:
    path = folder(architecture)
    plain = logits(find(str(path)).weights(torch.float32, CPU))
    distance = {}
    for setting in ("int8", "int4"):
        model = find(str(path)).weights(torch.float32, CPU, setting)
        assert quantised_layers(model) == 14  # seven in each of two blocks
        made, wanted = logits(model), logits(slow(path, setting))
        torch.testing.assert_close(made, wanted, atol=2e-3 * float(plain.std()), rtol=0)
        distance[setting] = float((made - plain).norm() / plain.norm())
    assert 1e-3 < distance["int8"] < distance["int4"] / 3


@pytest.mark.usefixtures("torchao")
@pytest.mark.parametrize("setting", ["int8", "int4"])
def test_the_engine_reads_a_quantised_model(setting: str, folder: Callable[[str], Path]) -> None:
    options = {"device": "cpu", "dtype": "float32", "quantise": setting}
    name = str(folder("llama"))
    fast, plain = (TransformersLLM(name, **options, reuse=ReuseSettings(grade=grade)) for grade in ("exact", "full"))
    prompts = [prompt("Who keeps the lamp?"), prompt("The tower stands by the sea. Who lives there?")]
    made = fast.generate(prompts, Sampling(max_new_tokens=9))
    assert [one.text for one in made] == [one.text for one in plain.generate(prompts, Sampling(max_new_tokens=9))]
    assert fast.notices() == []
    assert fast.score(prompts[:1], [" the keeper"])[0].total == pytest.approx(
        plain.score(prompts[:1], [" the keeper"])[0].total, abs=1e-3
    )


@pytest.mark.usefixtures("torchao")
def test_int4_computes_in_bfloat16_if_nothing_is_said(folder: Callable[[str], Path]) -> None:
    llm = TransformersLLM(str(folder("qwen2")), device="cpu", quantise="int4")
    assert llm._loaded.forward._model.dtype == torch.bfloat16
    assert len(llm.generate([prompt("Who?")], Sampling(max_new_tokens=3))) == 1


@pytest.mark.usefixtures("torchao")
def test_a_trained_model_writes_the_same_in_int8() -> None:
    if not models.STORIES.is_dir():
        pytest.skip("needs ../shared/data/models/stories260K")
    texts = [
        TransformersLLM(str(models.STORIES), device="cpu", dtype="float32", quantise=setting)
        .generate([prompt("Once upon a time")], Sampling(max_new_tokens=20))[0]
        .text
        for setting in ("none", "int8")
    ]
    assert texts[0] == texts[1] and "there was" in texts[0]


@pytest.mark.usefixtures("torchao")
def test_a_stored_quantised_model_loads(folder: Callable[[str], Path], tmp_path: Path) -> None:
    model = find(str(folder("llama"))).weights(torch.float32, CPU, "int8")
    stored = models.copy(folder("llama"), tmp_path / "stored")
    (stored / "model.safetensors").unlink()
    with quiet():
        model.save_pretrained(stored)
    again = find(str(stored)).weights(torch.float32, CPU)
    assert quantised_layers(again) == 14
    torch.testing.assert_close(logits(again), logits(model), atol=1e-5, rtol=1e-5)
    with pytest.raises(ConfigError, match="quantised as it is stored: leave out quantise int4"):
        find(str(stored)).weights(torch.float32, CPU, "int4")


def test_a_stored_model_of_a_missing_library_is_one_line(folder: Callable[[str], Path], tmp_path: Path) -> None:
    stored = models.copy(folder("llama"), tmp_path / "stored")
    config = json.loads((stored / "config.json").read_text())
    for method in ({"quant_method": "aqlm"}, {"quant_method": "torchao"}, {"quant_method": "gptq", "bits": "x"}, 7):
        (stored / "config.json").write_text(json.dumps({**config, "quantization_config": method}))
        with pytest.raises(ModelError) as caught:
            TransformersLLM(str(stored), device="cpu").generate([prompt("Who?")], Sampling(max_new_tokens=1))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kind", "package"), [("cpu", "torchao"), ("cuda", "bitsandbytes")])
def test_a_missing_library_is_named(kind: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModelError, match=rf"needs {package}.*: pip install 'ctxproc\[quant\]'"):
        quantising("int8", torch.device(kind))
    assert f"{kind} by {package} (missing: {package}" in describe() and "pip install" in describe()
    assert quantising("none", torch.device(kind)) == {}


def test_cuda_takes_bitsandbytes() -> None:
    pytest.importorskip("accelerate")
    if not any((Path(place) / "bitsandbytes").is_dir() for place in sys.path):
        pytest.skip("needs bitsandbytes")
    options = quantising("int4", torch.device("cuda", 1))
    config = options["quantization_config"]
    assert config.load_in_4bit and not config.load_in_8bit and config.bnb_4bit_quant_type == "nf4"
    assert options["device_map"] == {"": torch.device("cuda", 1)}
    assert quantising("int8", torch.device("cuda"))["quantization_config"].load_in_8bit


def test_what_cannot_be_quantised(folder: Callable[[str], Path]) -> None:
    with pytest.raises(ConfigError, match="'int5' is unknown: use one of none, int8, int4"):
        check_quantise("int5")
    with pytest.raises(ConfigError, match="int2"):
        TransformersLLM(str(folder("llama")), quantise="int2")
    with pytest.raises(ConfigError, match="for cpu and cuda, not mps"):
        quantising("int8", torch.device("mps"))
    with pytest.raises(ConfigError, match="leave out quantise int8"):
        load_llm(Settings(quantise="int8"))


@pytest.mark.usefixtures("torchao")
def test_a_model_without_linear_layers_is_refused(folder: Callable[[str], Path]) -> None:
    with pytest.raises(ModelError, match="no layer that int8 can hold"):
        find(str(folder("gpt2"))).weights(torch.float32, CPU, "int8")


def test_no_native_code_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "kernels.py").write_text("here = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kernels", raising=False)
    with no_hub_kernels(), pytest.raises(ImportError):
        import kernels
    import kernels

    assert kernels.here
    with no_hub_kernels(), pytest.raises(ImportError):
        import kernels
    assert sys.modules["kernels"].here


@pytest.mark.usefixtures("torchao")
def test_nothing_is_printed_or_warned_of(folder: Callable[[str], Path]) -> None:
    code = (
        "import sys, torch; torch.set_num_threads(1)\n"
        "from ctxproc.llm.pretrained import find\n"
        "model = find(sys.argv[1]).weights(torch.bfloat16, torch.device('cpu'), 'int4')\n"
        "print(model(input_ids=torch.ones(1, 5, dtype=torch.long)).logits.shape[1])"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(folder("llama"))]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("5\n", "")

"""GGUF files, written here from tiny models: weights, tokenizer and text equal those of the folder they came from."""

from __future__ import annotations

import json
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import models
import numpy as np
import pytest
import torch
from tokenizers import Regex, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.models.qwen2.tokenization_qwen2 import PRETOKENIZE_REGEX

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Sampling
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.pretrained import find
from ctxproc.prompt import Prompt, Segment

gguf = pytest.importorskip("gguf")
pytest.importorskip("accelerate")
torch.set_num_threads(1)
CPU = torch.device("cpu")
IDS = torch.arange(5, 45)[None]
CONTROL, USER_DEFINED, BYTE, NORMAL = 3, 4, 6, 1
TEXTS = ["The keeper of the lamp", "a 😀 b\n\nOn the end  ", "  two", "</s><s> é|", ""]


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in llama.cpp's order: pairs that turn together are neighbours."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


def write(folder: Path, file: Path, architecture: str, packing: str) -> dict[str, torch.Tensor]:
    """Write a folder's model as one GGUF file; gives the weights as they are once unpacked again."""
    model = find(str(folder)).weights(torch.float32, CPU)
    config, writer = model.config, gguf.GGUFWriter(str(file), architecture)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    add_tokenizer(writer, folder, architecture)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture.upper()), config.num_hidden_layers)
    kinds, unpacked = gguf.GGMLQuantizationType, {}
    for name, tensor in model.state_dict().items():
        values, (base, suffix) = tensor.numpy(), name.rsplit(".", 1)
        turned = architecture == "llama" and base.endswith(("q_proj", "k_proj"))
        heads = config.num_attention_heads if base.endswith("q_proj") else config.num_key_value_heads
        kind = kinds[packing] if values.ndim == 2 else kinds.F32
        packed = gguf.quants.quantize(permuted(values, heads) if turned else values, kind)
        unpacked[name] = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(values, kind), kind).copy())
        writer.add_tensor(f"{names.get_name(base)}.{suffix}", packed, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return unpacked


def add_tokenizer(writer: object, folder: Path, architecture: str) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    added = {token["content"]: token for token in stored["added_tokens"]}
    words = {**stored["model"]["vocab"], **{name: token["id"] for name, token in added.items()}}
    tokens = sorted(words, key=words.__getitem__)

    def kind(token: str) -> int:
        if token in added:
            return CONTROL if added[token]["special"] else USER_DEFINED
        return BYTE if architecture == "llama" and token.startswith("<0x") else NORMAL

    writer.add_tokenizer_model("llama" if architecture == "llama" else "gpt2")
    if architecture == "qwen2":
        writer.add_tokenizer_pre("qwen2")
    else:
        writer.add_token_scores([-float(i) for i in range(len(tokens))])
        writer.add_bos_token_id(words["<s>"])
        writer.add_unk_token_id(words["<unk>"])
    writer.add_token_list(tokens)
    writer.add_token_types([kind(token) for token in tokens])
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in stored["model"]["merges"]]
    )
    writer.add_eos_token_id(words[json.loads((folder / "tokenizer_config.json").read_text())["eos_token"]])
    template = folder / "chat_template.jinja"
    if template.exists():
        writer.add_chat_template(template.read_text())


def byte_level() -> PreTrainedTokenizerFast:
    """A tiny tokenizer that splits words as Qwen2's does."""
    made = models.byte_tokenizer(models.CHATML)
    made.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PRETOKENIZE_REGEX), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made


Made = tuple[Path, Path, dict[str, torch.Tensor]]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Made]:
    """Folder, GGUF file and unpacked weights of an architecture."""
    done: dict[tuple[str, str], Made] = {}

    def make(architecture: str, packing: str) -> Made:
        if (architecture, packing) not in done:
            place = tmp_path_factory.mktemp("gguf")
            spaced = models.spaced_tokenizer("metaspace", models.LLAMA_LIKE)
            tokenizer = byte_level() if architecture == "qwen2" else spaced
            size = {"hidden_size": 64, "intermediate_size": 96, **({} if architecture == "qwen2" else {"head_dim": 16})}
            folder = models.build(place / "folder", architecture, tokenizer, **size)
            file = place / "tiny.gguf"
            done[architecture, packing] = (folder, file, write(folder, file, architecture, packing))
        return done[architecture, packing]

    return make


both = pytest.mark.parametrize("architecture", ["llama", "qwen2"])


@both
@pytest.mark.parametrize("packing", ["F32", "F16", "Q8_0"])
@torch.inference_mode()
def test_logits_are_those_of_the_folder(architecture: str, packing: str, made: Callable[..., Made]) -> None:
    folder, file, unpacked = made(architecture, packing)
    wanted = find(str(folder)).weights(torch.float32, CPU)
    wanted.load_state_dict(unpacked)
    model = find(str(file)).weights(torch.float32, CPU)
    torch.testing.assert_close(model(input_ids=IDS).logits, wanted(input_ids=IDS).logits, atol=1e-5, rtol=1e-5)


@both
def test_tokenizer_and_text_are_those_of_the_folder(architecture: str, made: Callable[..., Made]) -> None:
    folder, file, _ = made(architecture, "F16")
    one, other = (TransformersLLM(str(path), device="cpu", dtype="float32") for path in (folder, file))
    for text in TEXTS:
        assert other.tokenizer.encode(text) == one.tokenizer.encode(text), text
        assert other.tokenizer.encode_first(text) == one.tokenizer.encode_first(text), text
        assert other.tokenizer.starts(text) == one.tokenizer.starts(text)
    assert (other.context_window, other._ends) == (one.context_window, one._ends) == (256, one._ends)
    prompt = Prompt((Segment("The keeper of the lamp. ", "context"), Segment("Who?", "task")))
    assert other.count_tokens(prompt) == one.count_tokens(prompt)
    if architecture == "llama":  # its weights, all but rounded to 16 bits
        text, wanted = (llm.generate([prompt], Sampling(max_new_tokens=4))[0].text for llm in (other, one))
        assert text == wanted


def test_the_file_alone_counts(made: Callable[..., Made], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    _, file, _ = made("llama", "F32")
    shutil.copy(file, tmp_path / "a.gguf")
    stranger = models.byte_tokenizer()
    stranger.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2", "auto_map": {"AutoConfig": "evil.Config"}}')
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    for name in (str(tmp_path), str(tmp_path / "a.gguf")):
        llm = TransformersLLM(name, device="cpu", dtype="float32")
        assert llm.tokenizer.encode("the lamp") == TransformersLLM(str(file)).tokenizer.encode("the lamp")
        assert len(llm.generate([Prompt((Segment("Who?", "task"),))], Sampling(max_new_tokens=2))) == 1
    assert capfd.readouterr() == ("", "")
    shutil.copy(file, tmp_path / "b.GGUF")
    with pytest.raises(ModelError, match=r"holds 2 GGUF files; name one, such as a\.gguf"):
        find(str(tmp_path))
    (tmp_path / "model.safetensors").touch()
    assert not find(str(tmp_path)).gguf


def test_damaged_files_are_one_line(made: Callable[..., Made], tmp_path: Path) -> None:
    whole = made("llama", "Q8_0")[1].read_bytes()
    draw = random.Random(0)
    header = whole.index(b"token_embd.weight")
    spoilt = [b"", b"GGUF", whole[:20], whole[:header], whole[: header + 40], whole[:-2000], b"PK" + whole[2:]]
    for _ in range(20):
        at = draw.randrange(header)
        spoilt.append(whole[:at] + bytes([whole[at] ^ (1 << draw.randrange(8))]) + whole[at + 1 :])
    refused = 0
    for content in spoilt:
        (tmp_path / "x.gguf").write_bytes(content)
        try:
            TransformersLLM(str(tmp_path / "x.gguf"), device="cpu", dtype="float32")._loaded  # noqa: B018
        except ModelError as error:
            refused += 1
            assert "\n" not in str(error) and "x.gguf" in str(error)
    assert refused >= 7


def test_what_is_refused(made: Callable[..., Made], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = made("llama", "F32")[1]
    with pytest.raises(ConfigError, match="leave out quantise int8"):
        find(str(file)).weights(torch.float32, CPU, "int8")
    with pytest.raises(ModelError, match="no such folder"):
        find("gone.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ModelError, match=r"GGUF files need gguf: pip install 'ctxproc\[gguf\]'"):
        TransformersLLM(str(file))

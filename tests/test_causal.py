"""The built-in causal model: it is read as any model of transformers, looks up what stands before it, and shows logits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from ctxproc import Library, Settings
from ctxproc.errors import ModelError
from ctxproc.llm import pretrained, shelf
from ctxproc.llm.base import Sampling
from ctxproc.llm.load import load_llm
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.merging import NBCE, Mixture, ProductOfExperts
from ctxproc.llm.plain import own_attention
from ctxproc.prompt import Prompt, Segment

torch.set_num_threads(1)
FACTS = {"Tandorlis": "84219", "Quinmar": "KX-4419", "Brydale": "55023", "Elmford": "ZR-7100"}


@pytest.fixture(scope="module")
def llm() -> TransformersLLM:
    return TransformersLLM("builtin:causal", device="cpu", dtype="float32")


def prompt(context: str, task: str) -> Prompt:
    return Prompt((Segment(context, "context", "context"), Segment(task, "task", "question")), "test")


def facts() -> list[Prompt]:
    text = "\n".join(f'"{key}": "{value}"' for key, value in FACTS.items())
    return [prompt(text, f'\n\nKey: "{key}"\nCorresponding value:') for key in FACTS]


def test_it_is_on_the_shelf_and_small_and_its_files_are_as_they_were_made() -> None:
    model = shelf.built_in("causal")
    model.check()
    assert model.size() < 40_000_000
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in model.files()}
    assert set(model.facts()["files"]) == {path.name for path in model.files()}


def test_a_changed_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "causal").mkdir()
    for path in shelf.built_in("causal").files():
        (tmp_path / "causal" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "causal.json").write_bytes((shelf.WEIGHTS / "causal.json").read_bytes())
    monkeypatch.setattr(pretrained, "built_in", lambda name: Elsewhere(tmp_path))
    TransformersLLM("builtin:causal", device="cpu")
    with (tmp_path / "causal" / "config.json").open("a") as file:
        file.write(" ")
    with pytest.raises(ModelError, match=r"the built-in model causal: config\.json is not as it was made"):
        TransformersLLM("builtin:causal", device="cpu")


class Elsewhere:
    """The built-in model with its files in another folder."""

    name = "causal"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def check(self) -> None:
        shelf.built_in("causal").check(self._folder)


def test_the_settings_name_it(llm: TransformersLLM) -> None:
    named = load_llm(Settings(model="builtin:causal", device="cpu", dtype="float32"))
    assert named.name == "builtin:causal" and named.context_window == llm.context_window == 512
    assert named.generate(facts()[:1], Sampling(12))[0].text == llm.generate(facts()[:1], Sampling(12))[0].text


def test_it_finds_the_value_of_each_key(llm: TransformersLLM) -> None:
    said = [made.text for made in llm.generate(facts(), Sampling(12))]
    assert [value in text for text, value in zip(said, FACTS.values(), strict=True)] == [True] * 4


def test_a_turn_of_a_conversation_stands_between_its_markers(llm: TransformersLLM) -> None:
    inner = llm.tokenizer.inner
    frame = inner.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert frame == "<s><|user|>Hello</s><|assistant|>"
    ids = llm._framing.tokens(prompt("A lamp.", "\nWho?")).ids
    markers = [inner.convert_tokens_to_ids(text) for text in ("<s>", "<|user|>", "</s>", "<|assistant|>")]
    assert (ids[:2], ids[-2:]) == (markers[:2], markers[2:])
    assert inner.decode(ids[2:-2]) == "A lamp.\nWho?"
    assert "<|user|>" not in inner.convert_ids_to_tokens(llm.tokenizer.encode("<|user|>"))


def test_any_text_comes_back_from_its_tokens(llm: TransformersLLM) -> None:
    for text in ("Zoë's 84,219 pounds —\n\n\tnaïve?", "读这段文字", "\x00\x07 \u200b", " <s> "):
        assert llm.tokenizer.inner.decode(llm.tokenizer.encode(text)) == text


@torch.inference_mode()
def test_the_engine_gives_the_log_probabilities_of_the_plain_model(llm: TransformersLLM) -> None:
    asked, said = facts()[1], f' "{FACTS["Quinmar"]}"'
    found = llm.score([asked], [said])[0]
    forward = llm._loaded.forward
    ids, new = llm._framing.tokens(asked).ids, llm.tokenizer.encode(said)
    model: Any = forward._model
    with own_attention(model, forward._attention):
        spread = model(input_ids=torch.tensor([ids + new])).logits[0].log_softmax(-1)
    wanted = sum(float(spread[len(ids) - 1 + k, token]) for k, token in enumerate(new))
    assert found.total == pytest.approx(wanted, abs=2e-3)
    assert math.exp(found.total / len(new)) > 0.5


@pytest.mark.parametrize("merge", [NBCE(), Mixture(), ProductOfExperts()])
def test_of_several_windows_the_one_with_the_key_speaks(llm: TransformersLLM, merge: NBCE | Mixture) -> None:
    keys = list(FACTS)
    windows = [prompt(f'"{key}": "{FACTS[key]}"', f'\n\nKey: "{keys[1]}"\nCorresponding value:') for key in keys[:3]]
    prior = [prompt("", f'\n\nKey: "{keys[1]}"\nCorresponding value:')] if merge.prior else []
    made = llm.decode_windows([*prior, *windows], merge, Sampling(12))
    assert all(sum(step) == pytest.approx(1) for step in made.weights)
    if isinstance(merge, NBCE):
        assert FACTS[keys[1]] in made.text
        assert max(range(4), key=lambda k: made.weights[0][k]) == 2


@pytest.mark.parametrize("strategy", ["pcw", "nbce", "ensemble", "replug", "flare"])
def test_every_strategy_that_needs_logits_gives_an_answer(strategy: str, tmp_path: Path) -> None:
    memo = tmp_path / "memo.txt"
    memo.write_text("The lamp of Merrowby is kept by Albert Grey. The bell was cast in Tandorlis in 1316.\n")
    settings = Settings(model="builtin:causal", device="cpu", dtype="float32", strategy=strategy)
    answer = Library([memo], settings).ask("Who keeps the lamp of Merrowby?")
    assert answer.usage.calls >= 1 and answer.usage.new_tokens >= 1

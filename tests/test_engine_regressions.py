"""Cases that once went wrong: contexts without tokens, rotary bases that change, weights that models read themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import models
import pytest
import torch
from tokenizers import normalizers

from ctxproc.config import ReuseSettings
from ctxproc.errors import ConfigError
from ctxproc.llm import packed
from ctxproc.llm.base import Sampling
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.merging import NBCE, Mixture
from ctxproc.prompt import Prompt, parse

torch.set_num_threads(1)
GREEDY = Sampling(max_new_tokens=6)


def window(*contexts: str, task: str = "Who?") -> Prompt:
    return parse("test", "Read.\n{context}{question}").fill(contexts, {"question": task})


def read(folder: Path, grade: str = "exact", dtype: str = "float32", **reuse: Any) -> TransformersLLM:  # noqa: ANN401
    settings = ReuseSettings(grade=grade, **reuse)  # type: ignore[arg-type]
    return TransformersLLM(str(folder), device="cpu", dtype=dtype, reuse=settings)


def first_logits(llm: TransformersLLM, prompt: Prompt) -> torch.Tensor:
    opened = llm._loaded.open([llm._framing.tokens(prompt)], 1)
    return opened.rows.extend(opened.tails)[0]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def longrope(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rope: dict[str, Any] = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope |= {"rope_theta": 1e4, "original_max_position_embeddings": 64}
    options = {"rope_parameters": rope, "original_max_position_embeddings": 64}
    return models.build(tmp_path_factory.mktemp("longrope"), "llama", models.byte_tokenizer(), **options)


SHORT, LONG = window("A bell rings."), window("The lamp stands in the tower. " * 5)


def test_warming_what_is_too_long_for_the_engine_spoils_no_entry(longrope: Path) -> None:
    llm = read(longrope)
    llm.warm([LONG, SHORT])
    found, wanted = first_logits(llm, SHORT), first_logits(read(longrope, "full"), SHORT)
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=1e-4)


def test_rows_of_a_rotary_base_that_changes_with_the_length_run_alone(longrope: Path) -> None:
    llm = read(longrope, "full")
    assert [m.text for m in llm.generate([SHORT, LONG], GREEDY)] == [
        llm.generate([one], GREEDY)[0].text for one in (SHORT, LONG)
    ]
    together = [one.total for one in llm.score([SHORT, LONG], ["yes", "no"])]
    alone = [llm.score([one], [text])[0].total for one, text in ((SHORT, "yes"), (LONG, "no"))]
    assert together == pytest.approx(alone, abs=1e-3)


def test_parallel_contexts_are_measured_by_the_longest_also_at_the_reach(tmp_path: Path) -> None:
    prompt = window("The lamp stands in the tower", "On the shore the keeper", "A bell rings at noon")
    made = read(models.build(tmp_path / "a", "mistral", sliding_window=80), "exact").decode_parallel(prompt, GREEDY)
    wide = read(models.build(tmp_path / "b", "mistral", sliding_window=250)).decode_parallel(prompt, GREEDY)
    assert made.prompt_tokens + 6 > 80
    assert (made.grade, made.text) == ("parallel", wide.text)


def test_windows_tell_the_grade_that_is_not_exact(llama: Path) -> None:
    llm = read(llama, "link-k", link_tokens=2)
    assert llm.decode_windows([window(), window("The lamp", "a keeper")], NBCE(), GREEDY).grade == "link-k"
    for grade in ("exact", "full"):
        with pytest.raises(ConfigError):
            read(llama, grade).decode_windows([], Mixture(), GREEDY)


def test_linking_chunks_for_the_first_time_reuses_nothing(llama: Path) -> None:
    llm = read(llama, "link-k", link_tokens=4)
    assert llm.generate([window("The lamp stands", "On the shore")], GREEDY)[0].reused_tokens == 0
    twice = read(llama, "link-k", link_tokens=50).generate([window("A bell", "A bell", "A bell")], GREEDY)[0]
    assert twice.reused_tokens == 0


def test_linked_chunks_after_an_empty_one_keep_every_token(llama: Path) -> None:
    prompt = window("", "The lamp", "A bell")
    linked, exact = read(llama, "link-k", link_tokens=100), read(llama)
    torch.testing.assert_close(first_logits(linked, prompt), first_logits(exact, prompt), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("grade", ["exact", "parallel", "link-k"])
def test_a_context_without_tokens_is_none(grade: str, tmp_path: Path) -> None:
    """It ended the process: a fused kernel without keys divides by zero."""
    tokenizer = models.byte_tokenizer()
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("\u200b", "")
    folder = models.build(tmp_path, "llama", tokenizer)
    for contexts in (["\u200b"], ["\u200b", "A bell"], ["A bell", "\u200b"]):
        prompt = window(*contexts)
        wanted = read(folder, "full").generate([prompt], GREEDY)[0].text
        assert read(folder, grade).generate([prompt], GREEDY)[0].text == wanted


def test_models_that_read_a_layers_weight_themselves_are_not_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = {"hidden_size": 256, "num_hidden_layers": 2, "state_size": 4, "time_step_rank": 64}
    monkeypatch.setitem(models.ARCHITECTURES, "mamba", size)
    folder = models.build(tmp_path, "mamba", models.byte_tokenizer(), initializer_range=0.1)
    found = first_logits(read(folder, dtype="bfloat16"), SHORT)
    monkeypatch.setattr(packed, "pack", lambda _: 0)
    assert torch.equal(found, first_logits(read(folder, dtype="bfloat16"), SHORT))


def test_a_stand_in_for_a_weight_is_no_number() -> None:
    layer = torch.nn.Linear(128, 128, dtype=torch.bfloat16)
    if packed.laid_out(layer) is None:
        pytest.skip("this torch or processor has no such product")
    assert bool(packed.PackedLinear(layer).weight.isnan().all())

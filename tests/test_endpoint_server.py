"""`EndpointLLM` against a real server, `transformers serve`: the same model gives the same text here and there."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.utils.import_utils import is_serve_available

import ctxproc
from ctxproc.errors import ModelError
from ctxproc.llm.base import Sampling
from ctxproc.llm.endpoint import EndpointLLM
from ctxproc.llm.local import TransformersLLM
from ctxproc.prompt import Prompt, Segment
from ctxproc.trace import Called, Event
from tests import models
from tests.endpoint_server import no_network as no_network

pytestmark = pytest.mark.skipif(
    not (is_serve_available() and find_spec("accelerate")),
    reason="transformers serve needs accelerate, fastapi, uvicorn and openai: pip install ctxproc[dev]",
)

SERVE = "from transformers.cli.transformers import main; main()"
START_SECONDS = 120
PROMPTS = [
    Prompt((Segment("The lamp is lit.\n", "context"), Segment("Who keeps it?", "task"))),
    Prompt((Segment("été 🌍", "task"),)),
    Prompt((Segment("The keeper of the lamp. " * 12, "task"),)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template."""
    where = tmp_path_factory.mktemp("served") / "model"
    return models.build(where, "llama", single_bytes(), max_position_embeddings=2048)


def single_bytes() -> PreTrainedTokenizerFast:
    """A token per byte, so that a text has the tokens of its pieces, however it is cut."""
    alphabet = ["<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(BPE({word: i for i, word in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>")
    fast.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    fast.chat_template = models.CHATML
    return fast


@pytest.fixture(scope="module")
def address(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The server's address with the model's name; it ends with the tests of this file."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    scratch = tmp_path_factory.mktemp("server")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(scratch), "OMP_NUM_THREADS": "1"}
    with (scratch / "log").open("wb") as log:
        command = [sys.executable, "-c", SERVE, "serve", str(folder), *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, scratch / "log")
        yield f"http://127.0.0.1:{port}/v1#{folder}"
    finally:
        process.terminate()
        process.wait(60)


def finished(text: str) -> str:
    """``text`` without a character that is not complete at its end, which this server leaves out of streams."""
    return text.rstrip("\ufffd")


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return once the server answers."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(url, trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    pytest.fail(f"the server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="module")
def local(folder: Path) -> TransformersLLM:
    return TransformersLLM(str(folder), device="cpu", dtype="float32")


@pytest.fixture
def remote(address: str, folder: Path) -> EndpointLLM:
    return EndpointLLM(address, context_window=2048, tokenizer=str(folder))


@pytest.mark.parametrize(
    "sampling", [Sampling(max_new_tokens=16), Sampling(max_new_tokens=40, stop=("\x14", "e", "$"))]
)
def test_a_batch_a_single_prompt_and_a_stream_are_those_of_the_model_here(
    remote: EndpointLLM, local: TransformersLLM, sampling: Sampling
) -> None:
    expected = local.generate(PROMPTS, sampling)
    made = remote.generate(PROMPTS, sampling)
    assert [item.text for item in made] == [item.text for item in expected]
    assert [item.prompt_tokens for item in made] == [item.prompt_tokens for item in expected]
    assert [item.finish for item in made] == [item.finish for item in expected]
    assert len({item.text for item in made}) == len(PROMPTS)
    assert ("stop" in [item.finish for item in made]) == bool(sampling.stop)
    for prompt, item in zip(PROMPTS, expected, strict=True):
        assert remote.generate([prompt], sampling)[0].text == item.text
        assert finished("".join(remote.stream(prompt, sampling))) == finished(item.text)


def test_completions_are_those_of_the_model_without_its_template(address: str, folder: Path, tmp_path: Path) -> None:
    models.copy(folder, tmp_path / "plain")
    (tmp_path / "plain" / "chat_template.jinja").unlink()
    plain = TransformersLLM(str(tmp_path / "plain"), device="cpu", dtype="float32")
    remote = EndpointLLM(address, context_window=2048, api="completions", tokenizer=str(folder))
    sampling = Sampling(max_new_tokens=16)
    expected = [item.text for item in plain.generate(PROMPTS, sampling)]
    assert [item.text for item in remote.generate(PROMPTS, sampling)] == expected
    streamed = ["".join(remote.stream(prompt, sampling)) for prompt in PROMPTS]
    assert [*map(finished, streamed)] == [*map(finished, expected)]


def test_more_prompts_than_slots_come_back_in_order(address: str, local: TransformersLLM) -> None:
    remote = EndpointLLM(address, context_window=2048, concurrency=3)
    prompts = [Prompt((Segment(f"Number {i}", "task"),)) for i in range(10)]
    sampling = Sampling(max_new_tokens=4)
    assert [item.text for item in remote.generate(prompts, sampling)] == [
        item.text for item in local.generate(prompts, sampling)
    ]


def test_the_template_is_measured(remote: EndpointLLM, local: TransformersLLM) -> None:
    assert (
        remote.wrapping_tokens == local.wrapping_tokens + 1 + 8 + 2048 // 64
    )  # the "a" of the question, and some to spare


def test_what_it_cannot_do_is_told(remote: EndpointLLM, address: str) -> None:
    with pytest.raises(ModelError, match="does not give the log-probabilities of a prompt"):
        remote.score(PROMPTS[:1], [" yes"])
    with pytest.raises(ModelError, match=r"answered 422 .*top_k"):
        remote.generate(PROMPTS[:1], Sampling(temperature=1.0, top_k=3))
    nameless = address.partition("#")[0]
    with pytest.raises(ModelError, match=r"lists no model|answered 500"):
        EndpointLLM(nameless, context_window=2048, retries=0)


@pytest.mark.parametrize("strategy", ["stuff", "map_reduce"])
def test_a_question_reads_and_says_the_same_as_here(
    remote: EndpointLLM, local: TransformersLLM, strategy: str, tmp_path: Path
) -> None:
    (tmp_path / "log.txt").write_text("The keeper is Ada. The lamp is lit at dusk.\n\n" + "Nothing happens here. " * 30)

    def calls(llm: EndpointLLM | TransformersLLM) -> list[Called]:
        told: list[Event] = []
        ctxproc.ask(
            "Who is the keeper?",
            tmp_path / "log.txt",
            llm=llm,
            listeners=[told.append],
            strategy=strategy,
            chunk={"tokens": 200},
            retrieval={"search": []},
            generation={"max_new_tokens": 12},
        )
        return [event for event in told if isinstance(event, Called)]

    there, here = calls(remote), calls(local)
    assert [(call.step, call.prompt_tokens, call.text) for call in there] == [
        (call.step, call.prompt_tokens, call.text) for call in here
    ]
    assert there and all(call.text for call in there)

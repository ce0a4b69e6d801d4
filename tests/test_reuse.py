"""Keys and values between calls, strategies and processes: never another token than without them."""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import models
import pytest
import torch
from safetensors.torch import load_file, save_file

from ctxproc.ask import Library
from ctxproc.chunk import Chunk
from ctxproc.config import ReuseSettings, resolve
from ctxproc.document import Document
from ctxproc.document import load as read
from ctxproc.errors import ModelError
from ctxproc.llm.base import Sampling
from ctxproc.llm.framing import TokenPrompt
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.merging import NBCE
from ctxproc.llm.meter import Limits, metered
from ctxproc.llm.scripted import ScriptedLLM
from ctxproc.prompt import Prompt, Segment, template
from ctxproc.strategies import catalogue
from ctxproc.strategies.base import Job
from ctxproc.trace import Called, Decoded, Event, Noted, Scored, Trace

torch.set_num_threads(1)
QUESTION = "Who keeps the lamp?"
TEXTS = ["The keeper of the lamp is Maren. ", "On the shore the bell rings at noon. ", "The tower is old. " * 2]
SAMPLING = Sampling(max_new_tokens=12)
FULL = ReuseSettings(grade="full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.build(tmp_path_factory.mktemp("llama"), "llama", max_position_embeddings=2048)


def load(folder: Path, reuse: ReuseSettings | None = None, cache: Path | None = None, **more: str) -> TransformersLLM:
    return TransformersLLM(str(folder), **{"device": "cpu", "dtype": "float32", **more}, reuse=reuse, cache=cache)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    path = tmp_path_factory.mktemp("text") / "lamp.txt"
    path.write_text("".join(TEXTS))
    return read([path])[0]


def chunks_of(document: Document, llm: TransformersLLM) -> list[Chunk]:
    found: list[Chunk] = []
    start = 0
    for text in TEXTS:
        found.append(Chunk(document, len(found), start, start + len(text), llm.tokenizer.count(text)))
        start += len(text)
    return found


Seen = list[tuple[str, object]]


def by_strategy(name: str) -> Callable[[TransformersLLM, Document], Seen]:
    """Every text and likelihood of a run of a strategy."""

    def work(llm: TransformersLLM, document: Document) -> Seen:
        events: list[Event] = []
        chunks = chunks_of(document, llm)
        job = Job(QUESTION, chunks, llm, sampling=SAMPLING, trace=Trace(listeners=[events.append]))
        answer = catalogue.make(name)(job)
        seen: Seen = [("text", event.text) for event in events if isinstance(event, (Called, Decoded))]
        seen += [("total", pytest.approx(e.total, abs=1e-3)) for e in events if isinstance(e, Scored)]
        return [*seen, ("answer", answer.text)]

    return work


def by_windows(llm: TransformersLLM, document: Document) -> Seen:
    prompts = [template("answer").fill([text], {"question": QUESTION}) for text in ("", *TEXTS)]
    return [("text", llm.decode_windows(prompts, NBCE(), SAMPLING).text)]


def by_stream(llm: TransformersLLM, document: Document) -> Seen:
    prompt = template("answer").fill([TEXTS[1]], {"question": QUESTION})
    return [("text", "".join(llm.stream(prompt, SAMPLING)))]


WORKS = {name: by_strategy(name) for name in ("stuff", "map_reduce", "map_rerank", "refine", "nbce")}
WORKS |= {"windows": by_windows, "stream": by_stream}


def test_five_ways_in_any_order_give_what_no_cache_gives(folder: Path, document: Document) -> None:
    without = {name: work(load(folder, FULL), document) for name, work in WORKS.items()}
    assert all(len(seen) > 0 for seen in without.values())
    draw = random.Random(0)
    for _ in range(4):
        order = draw.sample(list(WORKS), len(WORKS))
        llm = load(folder)
        for name in order:
            assert WORKS[name](llm, document) == without[name], (name, order)


def test_all_steps_that_read_a_chunk_read_one_entry(folder: Path) -> None:
    llm = load(folder)
    steps = [step for name in catalogue.names() for step in catalogue.get(name).steps]
    readers = [step for step in steps if template(step).source.startswith("Read this text")]
    assert len(readers) >= 4
    prompts = [template(step).fill([TEXTS[0]], dict.fromkeys(template(step).places, "Maren")) for step in readers]
    chains = {llm._framing.tokens(prompt).chain for prompt in prompts}
    assert len(chains) == 1
    for prompt in prompts:
        made = llm.generate([prompt], SAMPLING)[0]
    assert made.reused_tokens == sum(map(len, chains.pop()))


# Trained weights.


@pytest.fixture(scope="module")
def stories() -> list[Prompt]:
    """Stories that the model wrote itself, cut into a prefix, a chunk and a beginning to go on from."""
    if not models.STORIES.is_dir():
        pytest.skip("needs ../shared/data/models/stories260K")
    begin = "Once upon a time"
    once = Prompt((Segment(begin, "task"),))
    written = load(models.STORIES, FULL).generate([once] * 12, Sampling(120, temperature=0.8, seed=5))
    prompts = []
    for story in (begin + made.text for made in written):
        first, second = story.find(" ", len(story) // 4), story.find(" ", len(story) * 3 // 4)
        pieces = (Segment(story[:first], "prefix"), Segment(story[first:second], "context", "context"))
        prompts.append(Prompt((*pieces, Segment(story[second:], "task"))))
    return prompts


def greedy(llm: TransformersLLM, prompt: Prompt, count: int) -> list[int]:
    tokens = llm._framing.tokens(prompt)
    opened = llm._loaded.open([tokens], count)
    new: list[int] = []
    logits = opened.rows.extend(opened.tails)
    for _ in range(count):
        new.append(int(logits[0].argmax()))
        logits = opened.rows.extend([new[-1:]])
    return new


def test_trained_weights_in_float32_write_the_same_text(stories: list[Prompt], tmp_path: Path) -> None:
    wanted = [made.text for made in load(models.STORIES, FULL).generate(stories, Sampling(40))]
    for _ in range(2):  # computed, then from disk
        made = load(models.STORIES, cache=tmp_path).generate(stories, Sampling(40))
        assert [one.text for one in made] == wanted
    assert all(one.reused_tokens > 20 for one in made)


def test_trained_weights_in_bfloat16_differ_only_where_two_tokens_are_a_rounding_apart(
    stories: list[Prompt], tmp_path: Path
) -> None:
    """Two unit-in-the-last-place steps of the larger logit; transformers with and without its cache differs as much."""
    exact, full = load(models.STORIES, cache=tmp_path, dtype="bfloat16"), load(models.STORIES, FULL, dtype="bfloat16")
    sharp = load(models.STORIES, FULL)
    same = 0
    for prompt in stories:
        found, wanted = greedy(exact, prompt, 30), greedy(full, prompt, 30)
        assert greedy(load(models.STORIES, cache=tmp_path, dtype="bfloat16"), prompt, 30) == found
        place = next((i for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b), None)
        if place is None:
            same += 1
            continue
        ids = [*sharp._framing.tokens(prompt).ids, *wanted[:place]]
        logits = sharp._loaded.open([TokenPrompt((), (), (), tuple(ids))], 1).rows.extend([ids])[0]
        step = 2.0 ** (math.floor(math.log2(float(logits.abs().max()))) - 7)
        assert abs(float(logits[found[place]] - logits[wanted[place]])) <= 2 * step
    assert same >= len(stories) // 2


# The disk tier.


def asked(llm: TransformersLLM) -> list[tuple[str, int]]:
    prompts = [template("answer").fill([text], {"question": QUESTION}) for text in TEXTS]
    return [(made.text, made.reused_tokens) for made in llm.generate(prompts, SAMPLING)]


def fresh(found: list[tuple[str, int]]) -> bool:
    """Whether the prefix was computed, by whichever prompt came first."""
    return min(reused for _, reused in found) == 0


def texts(found: list[tuple[str, int]]) -> list[str]:
    return [text for text, _ in found]


def test_what_was_read_survives_a_restart(folder: Path, tmp_path: Path) -> None:
    first = asked(load(folder, cache=tmp_path))
    again = asked(load(folder, cache=tmp_path))
    assert texts(first) == texts(again) == texts(asked(load(folder, FULL)))
    assert all(after > before for (_, before), (_, after) in zip(first, again, strict=True))


def test_changed_weights_are_another_model(folder: Path, tmp_path: Path) -> None:
    asked(load(folder, cache=tmp_path))
    other = models.copy(folder, tmp_path / "other")
    weights = load_file(other / "model.safetensors")
    weights["model.layers.0.self_attn.k_proj.weight"][0, 0] += 1.0
    save_file(weights, other / "model.safetensors", metadata={"format": "pt"})
    found = asked(load(other, cache=tmp_path))
    assert fresh(found) and texts(found) == texts(asked(load(other, FULL)))


@pytest.mark.parametrize("spoil", ["flip", "cut", "empty", "swap"])
def test_damaged_entries_are_computed_again_and_reported(spoil: str, folder: Path, tmp_path: Path) -> None:
    wanted = asked(load(folder, cache=tmp_path))
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 4  # the prefix and three chunks
    contents = [file.read_bytes() for file in files]
    for i, file in enumerate(files):
        raw = bytearray(contents[i])
        if spoil == "flip":
            raw[len(raw) // 2] ^= 1
        file.write_bytes({"cut": raw[:-7], "empty": b"", "swap": contents[i - 1]}.get(spoil, bytes(raw)))
    llm = load(folder, cache=tmp_path)
    found = asked(llm)
    assert texts(found) == texts(wanted) and fresh(found)
    assert len(llm.notices()) == 4 and llm.notices() == []
    assert not fresh(asked(load(folder, cache=tmp_path)))


PROCESS = """
import sys, torch
torch.set_num_threads(1)
from tests import test_reuse as t
from pathlib import Path
llm = t.load(Path(sys.argv[1]), cache=Path(sys.argv[2]))
print("ready", flush=True)
for i in range(int(sys.argv[3])):
    prompts = [t.template("answer").fill([f"{i} {text}"], {"question": t.QUESTION}) for text in t.TEXTS]
    print(repr([made.text for made in llm.generate(prompts, t.Sampling(4))]), flush=True)
"""


def started(folder: Path, cache: Path, rounds: int) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    path = os.pathsep.join([str(root), str(root / "tests"), os.environ["PYTHONPATH"]])
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), str(cache), str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_two_processes_at_once_and_one_that_is_killed(folder: Path, tmp_path: Path) -> None:
    rounds = 6
    full = load(folder, FULL)
    wanted = []
    for i in range(rounds):
        prompts = [template("answer").fill([f"{i} {text}"], {"question": QUESTION}) for text in TEXTS]
        wanted.append(repr([made.text for made in full.generate(prompts, Sampling(4))]))
    victim, *others = (started(folder, tmp_path, rounds) for _ in range(3))
    assert victim.stdout and victim.stdout.readline() == "ready\n"
    time.sleep(random.Random(1).random() / 10)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    victim.stdout.close()
    for process in others:
        out, _ = process.communicate(timeout=300)
        assert out.splitlines() == ["ready", *wanted]
    found = load(folder, cache=tmp_path)
    prompts = [template("answer").fill([f"0 {text}"], {"question": QUESTION}) for text in TEXTS]
    made = found.generate(prompts, Sampling(4))
    assert repr([one.text for one in made]) == wanted[0] and all(one.reused_tokens for one in made)


def test_a_store_of_no_bytes_and_a_tiny_one_still_answer_rightly(folder: Path, tmp_path: Path) -> None:
    wanted = texts(asked(load(folder, FULL)))
    for reuse in (ReuseSettings(ram_bytes=0, disk_bytes=0), ReuseSettings(ram_bytes=40_000, disk_bytes=40_000)):
        llm = load(folder, reuse, cache=tmp_path)
        assert texts(asked(llm)) == wanted and texts(asked(llm)) == wanted


# What users see.


def test_usage_and_trace_tell_the_grade_and_why_it_is_full(folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    trace = Trace(listeners=[events.append])
    prompt = template("answer").fill(TEXTS[:1], {"question": QUESTION})
    meter = metered(load(folder), Limits(), trace)
    meter.generate([prompt], SAMPLING)
    meter.score([prompt, prompt], [" yes", " no"])
    usage = meter.usage(1.0)
    chain = sum(map(len, load(folder)._framing.tokens(prompt).chain))
    assert usage.grade == "exact" and usage.reused_tokens == chain + meter.count_tokens(prompt)
    assert [event.grade for event in events if isinstance(event, Called)] == ["exact"]
    short = models.build(tmp_path, "mistral", max_position_embeddings=2048)
    plain = metered(load(short), Limits(), trace)
    plain.generate([prompt], SAMPLING)
    assert plain.usage(1.0).grade == "full"
    [note] = [event.text for event in events if isinstance(event, Noted)]
    assert note.endswith("nothing is reused between calls, since its sliding window of 8 tokens is too short")


def test_prompts_beyond_a_sliding_window_are_read_plainly(tmp_path: Path) -> None:
    folder = models.build(tmp_path, "mistral", max_position_embeddings=2048, sliding_window=600)
    long = template("answer").fill([TEXTS[0] * 20], {"question": QUESTION})
    short = template("answer").fill(TEXTS[:1], {"question": QUESTION})
    llm, full = load(folder), load(folder, FULL)
    assert llm.count_tokens(short) + 12 <= 600 < llm.count_tokens(long)
    made = llm.generate([long, short, long], SAMPLING)
    assert [one.grade for one in made] == ["full", "exact", "full"]
    assert [one.text for one in made] == [one.text for one in full.generate([long, short, long], SAMPLING)]
    scores = llm.score([long, short], [" yes", " no way"])
    wanted = full.score([long, short], [" yes", " no way"])
    assert [one.total for one in scores] == pytest.approx([one.total for one in wanted], abs=1e-3)


def test_prompts_that_share_a_stream_of_draws_are_told_apart_by_their_place(folder: Path) -> None:
    hot = Sampling(max_new_tokens=6, temperature=1.0, seed=4)
    prompt = template("answer").fill(TEXTS[:1], {"question": QUESTION})
    meter = metered(load(folder), Limits(), Trace())
    made = [one.text for one in meter.generate([prompt] * 66, hot)]
    assert made == [one.text for one in load(folder).generate([prompt] * 66, hot)]
    assert made[0] != made[64]


def test_warming_reads_every_chunk_before_the_first_question(folder: Path, document: Document, tmp_path: Path) -> None:
    settings, _ = resolve(
        flags={
            "model": str(folder),
            "strategy": "stuff",
            "chunk.tokens": 60,
            "dtype": "float32",
            "cache.folder": str(tmp_path),
        }
    )
    first = Library([document], settings)
    warmed = first.warm()
    chunks = first.corpus(60).chunks
    assert (warmed.entries, warmed.reused) == (len(chunks) + 1, 0)
    assert warmed.tokens > sum(chunk.tokens for chunk in chunks)
    again = Library([document], settings).warm()
    assert (again.entries, again.reused, again.tokens) == (0, len(chunks) + 1, 0)
    with pytest.raises(ModelError, match="keeps nothing between calls"):
        Library([document], settings, llm=ScriptedLLM([])).warm()

"""Windows decoded together (NBCE and its kin) and side by side (PCW) on real models; proofs are in strategies/ too."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import models
import pytest
import torch

from ctxproc.config import ReuseSettings
from ctxproc.errors import ConfigError, ModelError, PromptTooLongError
from ctxproc.llm.base import Generation, Sampling, windowed
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.constraint import Constraint
from ctxproc.llm.local import TransformersLLM
from ctxproc.llm.merging import NBCE, Mixture
from ctxproc.llm.plain import own_attention
from ctxproc.llm.tokenizer import Spelling
from ctxproc.prompt import Prompt, Segment

torch.set_num_threads(1)
GREEDY = Sampling(max_new_tokens=8)
CONTEXTS = [
    "The lamp stands in the tower.",
    "On the shore the keeper lives, and on the rock.",
    "A bell",
    "The end. " * 5,
]
TASK = "\n\nWho keeps the lamp?\n"

Load = Callable[..., TransformersLLM]


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    folders: dict[str, Path] = {}
    made: dict[tuple[Any, ...], TransformersLLM] = {}

    def llm(architecture: str, grade: str = "exact", **reuse: Any) -> TransformersLLM:  # noqa: ANN401
        if architecture not in folders:
            folders[architecture] = models.build(tmp_path_factory.mktemp(architecture), architecture)
        key = (architecture, grade, *reuse.items())
        if key not in made:
            settings = ReuseSettings(grade=grade, **reuse)  # type: ignore[arg-type]
            made[key] = TransformersLLM(str(folders[architecture]), device="cpu", dtype="float32", reuse=settings)
        return made[key]

    return llm


def window(*contexts: str, task: str = TASK, prefix: str = "Read.\n") -> Prompt:
    segments = [Segment(prefix, "prefix")]
    for i, context in enumerate(contexts):
        if i:
            segments.append(Segment("\n\n", "context"))
        segments.append(Segment(context, "context", "context"))
    return Prompt((*segments, Segment(task, "task")), "test")


def ids_of(llm: TransformersLLM, prompt: Prompt) -> list[int]:
    return llm._framing.tokens(prompt).ids


def text_of(llm: TransformersLLM, tokens: Sequence[int]) -> str:
    spelling = Spelling(llm.tokenizer)
    return "".join([*(spelling.push(t) for t in tokens if t not in llm._ends), spelling.close()])


class Plain:
    """The model itself, by its own attention."""

    def __init__(self, llm: TransformersLLM) -> None:
        self.model: Any = llm._loaded.forward._model
        self.own = llm._loaded.forward._attention

    @torch.inference_mode()
    def __call__(self, ids: Sequence[int], **options: object) -> torch.Tensor:
        """All logits of one sequence."""
        with own_attention(self.model, self.own):
            out: torch.Tensor = self.model(input_ids=torch.tensor([list(ids)]), **options).logits[0]
        return out


ARCHITECTURES = ["llama", "qwen2", "qwen3", "gemma", "gpt2"]
every = pytest.mark.parametrize("architecture", ARCHITECTURES)


# Section 1: n windows decode one text.


def slow_windows(
    llm: TransformersLLM, prompts: Sequence[Prompt], merge: NBCE | Mixture, count: int
) -> tuple[list[int], list[float], list[tuple[float, ...]]]:
    """Each window alone and whole at every step (proof 6: packed rows are rows run singly).

    Tokens, their log-probabilities by the merged scores, and the entropies of the rows' nuclei.
    """
    plain, merger = Plain(llm), merge.start()
    new: list[int] = []
    logprobs, entropies = [], []
    for _ in range(count):
        logits = torch.stack([plain(ids_of(llm, prompt) + new)[-1].float() for prompt in prompts])
        last = merger.weights
        scores = merger(logits)
        new.append(int(scores.argmax()))
        logprobs.append(math.log(float(scores.softmax(-1)[new[-1]])))
        if isinstance(merge, NBCE):
            its = [nucleus_entropy(row, merge.top_p) for row in logits.softmax(-1).tolist()]
            if last:
                its[last.index(max(last[1:]), 1)] -= merge.eta
            entropies.append(tuple(its))
        if new[-1] in llm._ends:
            break
    return new, logprobs, entropies


def nucleus_entropy(probabilities: list[float], top_p: float) -> float:
    """That of the likeliest tokens as long as those before sum to less than ``top_p``; they are not scaled to sum 1."""
    before, total = 0.0, 0.0
    for p in sorted(probabilities, reverse=True):
        if before >= top_p:
            break
        before, total = before + p, total - p * math.log(p)
    return total


@every
@pytest.mark.parametrize("merge", [NBCE(), NBCE(pool="mean", beta=3.0), NBCE(pool="soft"), Mixture()])
@pytest.mark.parametrize("grade", ["exact", "full"])
def test_packed_windows_are_windows_alone(architecture: str, merge: NBCE | Mixture, grade: str, load: Load) -> None:
    llm = load(architecture, grade)
    prompts = [window(context) for context in CONTEXTS]
    if merge.prior:
        prompts.insert(0, window())
    told: list[str] = []
    made = llm.decode_windows(prompts, merge, replace(GREEDY, logprobs=True), told.append)
    new, logprobs, entropies = slow_windows(llm, prompts, merge, GREEDY.max_new_tokens)
    assert "".join(told) == "".join(token.text for token in made.tokens) == made.text and "" not in told
    assert [token.logprob for token in made.tokens] == pytest.approx(logprobs, abs=2e-3)
    assert len(made.entropies) == len(entropies)
    for found, wanted in zip(made.entropies, entropies, strict=True):
        assert found == pytest.approx(wanted, abs=2e-3)
    assert (made.text, made.new_tokens, made.grade) == (text_of(llm, new), len(new), grade)
    assert made.prompt_tokens == sum(map(llm.count_tokens, prompts))
    assert len(made.weights) == len(new) and all(sum(step) == pytest.approx(1) for step in made.weights)


@every
def test_one_window_is_that_prompt_and_equal_windows_are_one(architecture: str, load: Load) -> None:
    llm = load(architecture)
    one = window(CONTEXTS[0])
    plain = llm.generate([one], GREEDY)[0].text
    assert llm.decode_windows([one], Mixture(), GREEDY).text == plain
    assert llm.decode_windows([one] * 3, Mixture(), GREEDY).text == plain
    assert llm.decode_windows([window(), one], NBCE(beta=0.0, top_p=1.0, eta=0.0), GREEDY).text == plain
    assert llm.decode_windows([window(), *[one] * 3], NBCE(), GREEDY).text == (
        llm.decode_windows([window(), one], NBCE(), GREEDY).text
    )


@every
def test_the_order_of_windows_does_not_matter(architecture: str, load: Load) -> None:
    llm = load(architecture)
    prompts = [window(context) for context in CONTEXTS]
    for merge in (NBCE(), Mixture()):
        prior = [window()] if merge.prior else []
        made = {llm.decode_windows([*prior, *order], merge, GREEDY).text for order in (prompts, prompts[::-1])}
        assert len(made) == 1


def test_windows_are_reused_and_constrained_and_checked(load: Load) -> None:
    llm = load("qwen3")
    prompts = [window(), *(window(context) for context in CONTEXTS[:2])]
    first, again = (llm.decode_windows(prompts, NBCE(), GREEDY) for _ in range(2))
    assert first.text == again.text
    assert again.reused_tokens == sum(len(s) for p in prompts for s in llm._framing.tokens(p).chain)
    choices = ("the keeper", "the bell")
    chosen = llm.decode_windows(prompts, NBCE(), Sampling(20, constraint=Constraint(choices=choices)))
    assert chosen.text in choices
    with pytest.raises(PromptTooLongError):
        llm.decode_windows([window("x" * 300)], Mixture(), GREEDY)
    hot = Sampling(8, temperature=1.0, seed=3)
    assert llm.decode_windows(prompts, NBCE(), hot) == llm.decode_windows(prompts, NBCE(), hot)


def test_a_model_that_shows_no_logits_is_refused_before_any_call() -> None:
    with pytest.raises(ModelError, match="NBCE needs a model that shows its logits, and builtin does not"):
        windowed(BuiltinReader(), "NBCE")


# Section 2: contexts side by side.


def parallel_logits(llm: TransformersLLM, contexts: Sequence[str], task: str, new: Sequence[int] = ()) -> torch.Tensor:
    """PCW in one pass (proof 3): windows see themselves and what they share, the task sees all; positions restart."""
    shared = llm._framing.tokens(window("x")).prefix
    windows = [llm.tokenizer.encode(context) for context in contexts]
    tail = [*llm._framing.tokens(window("x", task=task)).tail, *new]
    ids = [*shared, *(token for one in windows for token in one), *tail]
    longest = max(map(len, windows))
    at = range(len(shared), len(shared) + longest + len(tail))
    positions = [*range(len(shared)), *(p for one in windows for p in at[: len(one)]), *at[longest:]]
    seen = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    start = len(shared)
    for one in windows:
        seen[start : start + len(one), len(shared) : start] = False
        start += len(one)
    mask = torch.zeros(1, 1, len(ids), len(ids)).masked_fill(~seen, torch.finfo(torch.float32).min)
    options = {"attention_mask": mask, "position_ids": torch.tensor([positions]), "use_cache": False}
    return Plain(llm)(ids, **options)[-len(tail) :]


def slow_parallel(llm: TransformersLLM, contexts: Sequence[str], count: int) -> list[int]:
    new: list[int] = []
    for _ in range(count):
        new.append(int(parallel_logits(llm, contexts, TASK, new)[-1].argmax()))
        if new[-1] in llm._ends:
            break
    return new


def engine_logits(llm: TransformersLLM, contexts: Sequence[str], new: Sequence[int] = ()) -> torch.Tensor:
    """Logits of the task's tokens and those of ``new``, which are fed one by one (proof 4)."""
    tokens = llm._framing.tokens(window(*contexts))
    batch, _ = llm._loaded._open([tokens], len(new), "parallel")
    return torch.cat([batch.extend_all([tokens.tail])[0], *(batch.extend_all([[token]])[0] for token in new)])


@every
@pytest.mark.parametrize("count", [1, 2, 4])
def test_parallel_contexts_are_one_masked_pass(architecture: str, count: int, load: Load) -> None:
    llm = load(architecture)
    contexts, new = CONTEXTS[:count], [5, 9, 3]
    found, wanted = engine_logits(llm, contexts, new), parallel_logits(llm, contexts, TASK, new)
    torch.testing.assert_close(found, wanted, atol=2e-4, rtol=1e-4)
    made = llm.decode_parallel(window(*contexts), GREEDY)
    assert made.text == text_of(llm, slow_parallel(llm, contexts, GREEDY.max_new_tokens))
    assert made.grade == ("exact" if count == 1 else "parallel")


@every
def test_one_parallel_context_is_the_plain_prompt(architecture: str, load: Load) -> None:
    llm = load(architecture)
    prompt = window(CONTEXTS[1])
    tail = len(llm._framing.tokens(prompt).tail)
    torch.testing.assert_close(
        engine_logits(llm, CONTEXTS[1:2]), Plain(llm)(ids_of(llm, prompt))[-tail:], atol=2e-4, rtol=1e-4
    )


@every
def test_the_order_of_parallel_contexts_does_not_matter_but_doubling_one_does(architecture: str, load: Load) -> None:
    llm = load(architecture)
    one, other = engine_logits(llm, CONTEXTS), engine_logits(llm, [CONTEXTS[3], CONTEXTS[1], CONTEXTS[0], CONTEXTS[2]])
    torch.testing.assert_close(one, other, atol=2e-4, rtol=1e-4)
    doubled = engine_logits(llm, [CONTEXTS[0], CONTEXTS[1], CONTEXTS[0]])
    assert float((doubled - engine_logits(llm, CONTEXTS[:2])).abs().max()) > 1e-3
    torch.testing.assert_close(
        doubled, parallel_logits(llm, [CONTEXTS[0], CONTEXTS[1], CONTEXTS[0]], TASK), atol=2e-4, rtol=1e-4
    )


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gpt2"])
def test_parallel_contexts_may_end_together(architecture: str, load: Load) -> None:
    """Proof 5; the values are tested in test_engine.py, in float64."""
    llm, logprobs = load(architecture), replace(GREEDY, logprobs=True)

    def decoded(*contexts: str) -> tuple[Generation, Generation]:
        left, right = (llm.decode_parallel(window(*contexts), logprobs, indent=way) for way in ("left", "right"))
        return replace(left, reused_tokens=0), replace(right, reused_tokens=0)

    left, right = decoded(CONTEXTS[0], CONTEXTS[0])
    assert left == right
    left, right = decoded(CONTEXTS[0])
    assert left == right == replace(llm.generate([window(CONTEXTS[0])], logprobs)[0], reused_tokens=0)
    left, right = decoded(*CONTEXTS)
    assert left.grade == right.grade == "parallel"
    assert abs(left.tokens[0].logprob - right.tokens[0].logprob) > 1e-3
    again = llm.decode_parallel(window(*CONTEXTS), GREEDY, indent="right")
    tokens = llm._framing.tokens(window(*CONTEXTS))
    assert again.reused_tokens == len(tokens.prefix) + sum(map(len, tokens.contexts))
    with pytest.raises(PromptTooLongError):
        llm.decode_parallel(window("the keeper " * 300, "y"), GREEDY, indent="right")
    with pytest.raises(ConfigError, match="indent must be left or right, not middle"):
        llm.decode_parallel(window("y"), GREEDY, indent="middle")  # type: ignore[arg-type]


@every
def test_parallel_text_is_told_with_its_log_probabilities(architecture: str, load: Load) -> None:
    llm, contexts, told = load(architecture), CONTEXTS[:2], list[str]()
    made = llm.decode_parallel(window(*contexts), replace(GREEDY, logprobs=True), told.append)
    assert "".join(told) == "".join(token.text for token in made.tokens) == made.text
    new: list[int] = []
    for token in made.tokens:
        logs = parallel_logits(llm, contexts, TASK, new)[-1].log_softmax(-1)
        new.append(int(logs.argmax()))
        assert token.logprob == pytest.approx(float(logs.max()), abs=1e-3)
    assert text_of(llm, new) == made.text


def test_a_window_larger_than_the_sum_is_checked_by_its_longest_context(load: Load) -> None:
    llm = load("llama")
    many = window(*["the lamp and the tower of the shore " * 3] * 6)
    assert llm.count_tokens(many) + 8 > llm.context_window
    assert llm.decode_parallel(many, GREEDY).new_tokens > 0
    with pytest.raises(PromptTooLongError):
        llm.generate([many], GREEDY)
    with pytest.raises(PromptTooLongError):
        llm.decode_parallel(window("x" * 300, "y"), GREEDY)


def test_a_model_that_is_read_plainly_cannot_do_it_and_says_why(load: Load) -> None:
    with pytest.raises(ModelError, match=r"cannot do parallel contexts: its sliding window of 8 tokens is too short"):
        load("mistral").decode_parallel(window(*CONTEXTS), GREEDY)
    with pytest.raises(ModelError, match=r"cannot do reuse.grade parallel: its sliding window"):
        load("mistral", "parallel").generate([window(*CONTEXTS)], GREEDY)


# The grades of `generate`.


def generated(llm: TransformersLLM, prompt: Prompt) -> Generation:
    return llm.generate([prompt], GREEDY)[0]


def test_grades_are_what_they_say(load: Load) -> None:
    many, one = window(*CONTEXTS[:3]), window(CONTEXTS[0])
    exact = generated(load("qwen3"), many)
    assert exact.grade == "exact" and exact.text == generated(load("qwen3", "full"), many).text
    parallel = generated(load("qwen3", "parallel"), many)
    assert parallel.grade == "parallel" and parallel.text == load("qwen3").decode_parallel(many, GREEDY).text
    for grade in ("parallel", "parallel+ape", "link-k"):
        assert generated(load("qwen3", grade), one).grade == "exact"
        assert generated(load("qwen3", grade), one).text == generated(load("qwen3"), one).text
    neutral = generated(load("qwen3", "parallel+ape", temperature=1.0, scale=1.0), many)
    assert (neutral.grade, neutral.text) == ("parallel+ape", parallel.text)
    whole = generated(load("qwen3", "link-k", link_tokens=500), many)
    assert (whole.grade, whole.text) == ("link-k", exact.text)
    shared = load("qwen3", "parallel")
    generated(shared, window(CONTEXTS[2], CONTEXTS[0]))
    assert generated(shared, window(CONTEXTS[0], CONTEXTS[2])).reused_tokens > len(CONTEXTS[0])


def test_rows_of_different_grades_run_in_one_batch(load: Load) -> None:
    for grade in ("parallel", "parallel+ape", "link-k"):
        llm = load("qwen3", grade)
        prompts = [window(*CONTEXTS[:3]), window(CONTEXTS[0]), window(*CONTEXTS[1:])]
        together = llm.generate(prompts, GREEDY)
        assert [made.text for made in together] == [generated(llm, prompt).text for prompt in prompts]
        assert [made.grade for made in together] == [grade, "exact", grade]

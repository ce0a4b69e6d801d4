"""Selection by likelihood: what is kept by it, and REALM's proofs of ALGORITHMS.md, section 5."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import job_of

from ctxproc import ScriptedLLM
from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.base import Generation
from ctxproc.llm.meter import Limits, metered
from ctxproc.prompt import Prompt
from ctxproc.strategies import make
from ctxproc.strategies.utility import Utility, credit
from ctxproc.trace import Trace

SEEDS = range(20)


def drawn(seed: int, n: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-likelihoods and prior scores of n documents, float64."""
    generator = torch.Generator().manual_seed(seed)
    log_p = -4 * torch.rand(n, generator=generator, dtype=torch.float64)
    return log_p, 3 * torch.randn(n, generator=generator, dtype=torch.float64)


def difference(one: list[float], other: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("seed", SEEDS)
def test_proof_the_credit_is_the_gradient_of_the_log_likelihood_by_the_prior_score(seed: int) -> None:
    log_p, prior = drawn(seed)
    prior.requires_grad_()
    (log_p + prior.log_softmax(-1)).logsumexp(-1).backward()  # type: ignore[no-untyped-call]
    assert prior.grad is not None
    found = credit(log_p.tolist(), prior.tolist())
    assert difference(found, prior.grad.tolist()) < 1e-14
    assert max(map(abs, found)) > 1e-5


@pytest.mark.parametrize("seed", SEEDS)
def test_proof_credits_sum_to_0(seed: int) -> None:
    log_p, prior = drawn(seed)
    assert abs(sum(credit(log_p.tolist(), prior.tolist()))) < 1e-14


@pytest.mark.parametrize("seed", SEEDS)
def test_proof_a_set_that_predicts_alike_gets_no_credit(seed: int) -> None:
    _, prior = drawn(seed)
    assert difference(credit([-2.5] * 6, prior.tolist()), [0.0] * 6) < 1e-15


@pytest.mark.parametrize("seed", SEEDS)
def test_proof_a_document_gets_credit_exactly_when_it_predicts_better_than_the_mixture(seed: int) -> None:
    log_p, prior = drawn(seed)
    mixture = sum(math.exp(a) * b for a, b in zip(log_p.tolist(), prior.softmax(-1).tolist(), strict=True))
    found = credit(log_p.tolist(), prior.tolist())
    assert [value > 0 for value in found] == [math.exp(value) > mixture for value in log_p.tolist()]


def test_credit_needs_no_finite_and_no_large_probability() -> None:
    assert credit([-math.inf, -math.inf], [0.0, 1.0]) == [0.0, 0.0]
    assert credit([math.nan, -1.0], [0.0, 0.0]) == pytest.approx([-0.5, 0.5])
    assert credit([-2000.0, -2000.0 + math.log(3)], [0.0, 0.0]) == pytest.approx([(1 / 2 - 1) / 2, (3 / 2 - 1) / 2])
    assert credit([-1.0], [5.0]) == [0.0]


LAMP = ["Salt came in. ", "The lamp is kept by Maren. ", "Rain fell. ", "Maren lived there. "]
SURE = {"": -3.0, LAMP[0]: -3.2, LAMP[1]: -0.1, LAMP[2]: -3.1, LAMP[3]: -1.0}
SMALL = 16


def telling(sure: dict[str, float]) -> ScriptedLLM:
    """A model that finds Maren, and whose likelihood per token depends on the context alone."""

    def reply(prompt: Prompt) -> str:
        return "Maren\nQuote: The lamp is kept by Maren." if LAMP[1] in prompt.contexts else "NOT FOUND"

    def likelihood(prompt: Prompt, continuation: str) -> float:
        return sure["".join(prompt.contexts)] * len(continuation.split())

    return ScriptedLLM(reply, likelihood=likelihood)


def kept(strategy: Utility, llm: ScriptedLLM, **values: object) -> list[str]:
    """The texts of what is selected, the best first."""
    near = dict(zip(LAMP, (0.3, 0.5, 0.4, 0.2), strict=True))
    job = job_of(LAMP, llm, similarity=lambda _query, chunks: [near[chunk.text] for chunk in chunks], **values)
    return [found.chunk.text for found in strategy.select(job)]


def test_what_beats_the_mixture_is_kept_the_most_credit_first() -> None:
    chosen = kept(Utility(capacity=SMALL, temperature=1.0), telling(SURE))
    prior = torch.tensor([0.5, 0.4, 0.3, 0.2, 0.35], dtype=torch.float64)
    log_p = torch.tensor([-0.1, -3.1, -3.2, -1.0, -3.0], dtype=torch.float64)
    mixture = (prior.softmax(-1) * log_p.exp()).sum()
    assert (log_p.exp() > mixture).tolist() == [True, False, False, True, False]
    assert chosen == [LAMP[1], LAMP[3]]


def test_a_null_document_that_knows_the_answer_takes_the_credit_of_chunks_that_add_nothing() -> None:
    known = {**SURE, "": -0.5, LAMP[3]: -0.9}
    without = dict(zip(("a", "b", "c"), credit([-0.1, -3.1, -0.9], [0.0] * 3), strict=True))
    assert kept(Utility(capacity=SMALL, temperature=1.0), telling(known))[0] == LAMP[1]
    with_null = credit([-0.1, -3.1, -0.9, -0.5], [0.0] * 4)
    assert with_null[2] < without["c"] and with_null[3] > 0


def test_where_nothing_has_credit_the_search_decides() -> None:
    flat = dict.fromkeys(SURE, -1.0)
    assert kept(Utility(capacity=SMALL), telling(flat)) == [LAMP[1], LAMP[2]]
    nothing = ScriptedLLM(["NOT FOUND"])
    assert kept(Utility(capacity=SMALL), nothing) == [LAMP[1], LAMP[2]]
    assert len(nothing.prompts) == 1


def test_no_more_than_the_candidates_are_scored_and_the_null_document() -> None:
    llm = telling(SURE)
    assert kept(Utility(capacity=SMALL, candidates=2), llm) == [LAMP[1]]
    assert [prompt.contexts for prompt in llm.prompts[1:]] == [(LAMP[1],), (LAMP[2],), ()]


def test_the_question_can_be_what_is_predicted() -> None:
    llm = telling({**SURE, LAMP[2]: 0.0})
    assert kept(Utility(capacity=SMALL, words="question", temperature=1.0), llm)[0] == LAMP[2]
    assert all("Who keeps" not in str(prompt) for prompt in llm.prompts)


def test_chunks_that_limits_keep_from_being_scored_get_no_credit() -> None:
    near = dict(zip(LAMP, (0.3, 0.5, 0.4, 0.2), strict=True))
    limited = metered(telling(SURE), Limits(calls=3), Trace())
    job = job_of(LAMP, limited, similarity=lambda _query, chunks: [near[chunk.text] for chunk in chunks])
    assert [f.chunk.text for f in Utility(capacity=SMALL, words="question").select(job)] == [LAMP[1]]


def test_a_model_that_only_quotes_is_refused_for_the_question_and_not_for_the_answer() -> None:
    reader = ScriptedLLM([Generation("Maren", 0, 0, confidence=0.9, quote="Maren")], gives_confidence=True)  # type: ignore[list-item]
    reader.writes = False
    with pytest.raises(ModelError, match="needs a model that writes"):
        Utility(words="question").check(job_of(LAMP, reader))
    Utility().check(job_of(LAMP, reader))


@pytest.mark.parametrize(
    "values", [{"words": "title"}, {"candidates": 0}, {"temperature": 0}, {"capacity": 0}], ids=str
)
def test_parameters_out_of_range_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="utility"):
        make({"utility": values})

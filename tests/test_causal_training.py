"""The training of the small causal model: tasks that can be solved, rows that keep tasks apart, heads that begin as said."""

from __future__ import annotations

import random
from pathlib import Path

import models
import pytest
import torch

from ctxproc.llm.tokenizer import HfTokenizer
from training.causal import Plan, Trainer, loss_of, right
from training.causal_batches import encode, pack
from training.causal_facts import facts
from training.causal_model import Shape, as_llama, fresh_model
from training.causal_reading import reading
from training.causal_shots import shots
from training.causal_tasks import Example, Part, Source
from training.causal_text import Pool

TOKENIZER = HfTokenizer(models.byte_tokenizer(bos=True))
SHAPE = Shape(layers=2, heads=5, inner=64, window=512)
WORDS = (
    "amber basin candle dragon ember forest garden hollow island jasper kettle lantern meadow needle orchard".split()
)
TEXT = (
    "The old keeper of Merrowby lit the lamp at nine. In 1316 the island was given to Withen by the king. "
    "Nobody had seen Albert Grey since the great storm. The abbey asked for forty fish and one seal every year."
)


@pytest.fixture(scope="module")
def source() -> Source:
    openings = ["where is the", "how many of", "who keeps the", "why did the"]
    said = [f"{opening} {a} near {b}" for opening in openings for a in WORDS for b in WORDS[:3]]
    groups = torch.arange(len(said)).view(-1, 20).int()
    return Source(Pool([TEXT], said, ["Albert Grey", "Merrowby", "Withen", "Clara"], WORDS * 2), groups, 500)


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return fresh_model(len(TOKENIZER.inner), None, SHAPE, 0, 1).eval()


def text_of(example: Example) -> str:
    return "".join(part.text for part in example.context)


def wanted(task: list[Part]) -> str:
    return "".join(part.text for part in task if part.weight == 1.0).strip()


def test_every_fact_that_is_asked_for_stands_in_the_context_and_every_missing_one_does_not(source: Source) -> None:
    rng, seen = random.Random(0), set()
    for _ in range(60):
        example = facts(source, rng)
        for task in example.tasks:
            answer = wanted(task)
            quote = [part.text.strip() for part in task if 0 < part.weight < 1][1:]
            seen.add("missing" if answer == "NOT FOUND" else "quoted" if quote else "plain")
            if answer != "NOT FOUND":
                assert answer in text_of(example)
                assert all(q in text_of(example) and answer in q for q in quote)
    assert seen == {"missing", "quoted", "plain"}


def test_a_query_has_the_label_of_a_shot_and_no_shot_its_text(source: Source) -> None:
    rng = random.Random(0)
    for _ in range(30):
        example = shots(source, rng)
        labels = {part.text for part in example.context if part.text.startswith(" ")}
        for task in example.tasks:
            assert task[-1].text in labels
            assert task[0].text.strip().split("\n")[0] not in text_of(example).split("\n")


def test_a_read_answer_stands_in_its_quotation_and_that_in_the_passage(source: Source) -> None:
    rng, quoted = random.Random(0), 0
    for _ in range(40):
        example = reading(source, rng)
        for task in example.tasks:
            quotes = [part.text.strip() for part in task if 0 < part.weight < 1][1:]
            quoted += len(quotes)
            assert all(quote in TEXT and wanted(task) in quote for quote in quotes)
    assert quoted > 20


def test_the_loss_of_packed_tasks_is_that_of_every_task_read_alone(model: torch.nn.Module) -> None:
    examples = [
        Example([Part("abcab")], [[Part("x:"), Part("ab", 1.0)], [Part("yy:"), Part("c", 1.0), Part("q", 0.5)]]),
        Example([Part("hello "), Part("he", 0.25)], [[Part("?"), Part("l", 1.0)]]),
    ]
    total = weight = 0.0
    for example in examples:
        alone = [Example(example.context)] + [
            Example([Part(p.text) for p in example.context], [task]) for task in example.tasks
        ]
        for one in alone:
            tokens = encode(one, TOKENIZER)
            ids = torch.tensor([tokens.ids])
            with torch.no_grad():
                spread = model(input_ids=ids).logits.log_softmax(-1)[0]
            for k in range(1, len(tokens)):
                total -= tokens.weights[k] * float(spread[k - 1, tokens.ids[k]])
                weight += tokens.weights[k]
    stream = iter([*(encode(example, TOKENIZER) for example in examples), *[encode(Example([]), TOKENIZER)] * 9])
    batch = pack(stream, 1, 64)
    assert float(loss_of(model, batch).detach()) == pytest.approx(total / weight, rel=1e-4)
    assert right(model, batch)[1] == 3


def test_the_first_heads_of_a_fresh_model_look_one_two_and_three_tokens_back(model: torch.nn.Module) -> None:
    ids = torch.tensor([[0, *range(60, 100)]])
    model.set_attn_implementation("eager")
    seen = model(input_ids=ids, output_attentions=True).attentions[0][0]
    model.set_attn_implementation("sdpa")
    for head in range(3):
        places = seen[head].argmax(-1)[5:]
        assert places.tolist() == [k - head - 1 for k in range(5, 41)]


def test_a_fresh_model_repeats_what_it_has_seen(model: torch.nn.Module) -> None:
    once = random.Random(2).sample(range(40, 240), 60)
    ids = torch.tensor([[0, *once, *once]])
    with torch.no_grad():
        likeliest = model(input_ids=ids).logits.argmax(-1)[0]
    repeated = [int(likeliest[k]) == int(ids[0, k + 1]) for k in range(63, 120)]
    assert sum(repeated) > 0.9 * len(repeated)


def test_a_trained_model_is_exported_as_the_same_function(model: torch.nn.Module) -> None:
    ids = torch.randint(2, 240, (2, 50), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(as_llama(model)(input_ids=ids).logits, model(input_ids=ids).logits)


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    def trainer(seed: int) -> Trainer:
        torch.manual_seed(seed)
        return Trainer(fresh_model(len(TOKENIZER.inner), None, SHAPE, 0, 1), Plan(steps=3, warmup=1))

    examples = [Example([Part("abcab")], [[Part("x:"), Part("ab", 1.0)]]), Example([], [])]
    batch = pack(iter([encode(examples[0], TOKENIZER), *[encode(examples[1], TOKENIZER)] * 9]), 1, 32)
    whole, stopped, resumed = trainer(0), trainer(0), trainer(1)
    whole.update(loss_of(whole.work, batch))
    stopped.update(loss_of(stopped.work, batch))
    stopped.save(tmp_path / "last.safetensors")
    resumed.restore(tmp_path / "last.safetensors")
    for one in (whole, resumed):
        one.update(loss_of(one.work, batch))
    assert resumed.step == 2
    for (name, mine), theirs in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name

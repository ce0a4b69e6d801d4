"""The training of the small causal model: tasks that can be solved, rows that keep tasks apart, heads that begin as said."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ctxproc.llm.tokenizer import HfTokenizer
from training.causal import Plan, Trainer, batch_of, logits_of, loss_of, right, train
from training.causal_batches import LATER, encode, pack
from training.causal_facts import facts, pairs
from training.causal_model import Shape, as_llama, fresh_model
from training.causal_pointing import Pointing
from training.causal_questions import Asked
from training.causal_reading import reading, real
from training.causal_shots import shots
from training.causal_tasks import Example, Part, Source, Task
from training.causal_text import Pool, train_tokenizer

SHAPE = Shape(layers=3, heads=6, inner=64, window=512)
WORDS = (
    "amber basin candle dragon ember forest garden hollow island jasper kettle lantern meadow needle orchard".split()
)
TEXT = (
    "The old keeper of Merrowby lit the lamp at nine. In 1316 the island was given to Withen by the king. "
    "Nobody had seen Albert Grey since the great storm. The abbey asked for forty fish and one seal every year."
)


QUESTIONS = [("who lit the lamp at nine", "The old keeper"), ("when was the island given away", "1316")]
TOKENIZER = HfTokenizer(train_tokenizer(iter([TEXT])))


@pytest.fixture(scope="module")
def source() -> Source:
    openings = ["where is the", "how many of", "who keeps the", "why did the"]
    said = [f"{opening} {a} near {b}" for opening in openings for a in WORDS for b in WORDS[:3]]
    groups = torch.arange(len(said)).view(-1, 20).int()
    pool = Pool([TEXT], said, ["Albert Grey", "Merrowby", "Withen", "Clara"], WORDS * 2)
    return Source(pool, groups, [Asked(TEXT, "nq", QUESTIONS)], [TEXT])


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    torch.manual_seed(0)
    return fresh_model(len(TOKENIZER.inner), None, SHAPE, 0, 1).eval()


def text_of(example: Example) -> str:
    return "".join(part.text for part in example.context)


def answer(task: Task) -> str:
    return task.reply[0].text.strip()


def quote(task: Task) -> str:
    return task.reply[2].text.strip() if len(task.reply) == 3 else ""


def test_every_fact_that_is_asked_for_stands_in_the_context_and_every_missing_one_does_not(source: Source) -> None:
    rng, seen = random.Random(0), set()
    for _ in range(100):
        example = facts(replace(source, progress=0.9), rng)
        for task in example.tasks:
            seen.add("missing" if answer(task) == "NOT FOUND" else "quoted" if quote(task) else "plain")
            if answer(task) != "NOT FOUND":
                assert answer(task) in text_of(example)
                assert quote(task) in text_of(example) and (not quote(task) or answer(task) in quote(task))
    assert seen == {"missing", "quoted", "plain"}


def test_the_value_of_a_pair_is_the_one_that_stands_behind_its_key(source: Source) -> None:
    rng, forms = random.Random(0), set()
    for _ in range(60):
        example = pairs(source, rng)
        context = text_of(example)
        for task in example.tasks:
            value = answer(task)
            if value.startswith('"'):
                key = re.search(r'"(.*?)"', task.asked[0].text)[1]  # type: ignore[index]
                assert json.loads(context[context.index("{") :])[key] == value[1:-1]
                forms.add("json")
            elif "?" not in "".join(part.text for part in task.asked):
                assert f"{task.asked[0].text.strip()} {value}" in context.split("\n")
                forms.add("lines")
            else:
                assert value in context
    assert forms == {"json", "lines"}


def test_a_query_has_the_label_of_a_shot_and_no_shot_its_text(source: Source) -> None:
    rng = random.Random(0)
    for _ in range(30):
        example = shots(source, rng)
        labels = {part.text for part in example.context if part.text.startswith(" ")}
        for task in example.tasks:
            assert task.reply[0].text in labels
            assert task.asked[0].text.strip().split("\n")[0] not in text_of(example).split("\n")


def test_a_read_answer_stands_in_its_quotation_and_that_in_the_passage(source: Source) -> None:
    rng, quoted = random.Random(0), 0
    for number in range(80):
        for task in (real if number % 2 else reading)(source, rng).tasks:
            quoted += bool(quote(task))
            assert quote(task) in TEXT and (not quote(task) or answer(task) in quote(task))
            assert answer(task) in ("yes", "no", "NOT FOUND") or answer(task) in TEXT
    assert quoted > 5


def test_a_reply_of_an_example_is_pointed_at_where_the_context_has_it() -> None:
    example = Example([Part("one two six. two six?")], [Task([Part(" say")], [Part(" two six", 1.0)])], chat=True)
    tokens = encode(example, TOKENIZER)
    assert tokens.ids[:2] == [0, 3] and tokens.ids[-1] == 1
    begin = tokens.tasks.index(1)
    assert tokens.ids[begin:].count(1) == 2 and tokens.ids[begin:].count(4) == 1
    assert tokens.sources
    for place, spots in tokens.sources.items():
        assert place > begin and len(spots) == 2
        assert all(tokens.ids[spot] == tokens.ids[place] and spot < begin for spot in spots)
    reply = [weight for weight in tokens.weights if weight]
    assert reply[0] == 1.0 and set(reply[1:]) == {LATER}


def test_tasks_that_have_no_room_are_left_out() -> None:
    tasks = [Task([Part(" ask")], [Part(" two six", 1.0)]), Task([Part(" ask " * 9)], [Part(" two", 1.0)])]
    example = Example([Part("one two six.")], [tasks[1], tasks[0]])
    alone = encode(Example(example.context, [tasks[0]]), TOKENIZER)
    assert len(encode(example, TOKENIZER)) > len(alone)
    cut = encode(example, TOKENIZER, len(alone))
    assert (cut.ids, cut.weights, cut.positions, cut.sources) == (
        alone.ids,
        alone.weights,
        alone.positions,
        alone.sources,
    )


def test_the_loss_of_packed_tasks_is_that_of_every_task_read_alone(model: torch.nn.Module) -> None:
    examples = [
        Example(
            [Part("abcab")],
            [Task([Part("x:")], [Part("ab", 1.0)]), Task([Part("yy:")], [Part("c", 1.0), Part("q", 0.5)], ends=False)],
        ),
        Example([Part("hello "), Part("he", 0.05)], [Task([Part("?")], [Part("l", 1.0)])], chat=True),
    ]
    total = weight = 0.0
    for example in examples:
        alone = [Example(example.context, chat=example.chat)] + [
            Example([Part(p.text) for p in example.context], [task], example.chat) for task in example.tasks
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
    trainer = Trainer(model, Plan())
    trainer.work = model
    trainer.pointing = Pointing(model)
    assert float(loss_of(trainer, batch)[0].detach()) == pytest.approx(total / weight, rel=1e-4)
    assert right(model, batch)[1] == 3


def test_the_pointing_loss_is_what_the_heads_attend_to_the_sources(model: torch.nn.Module) -> None:
    example = Example([Part("one two six. two six?")], [Task([Part(" say")], [Part(" two six", 1.0)])])
    tokens = encode(example, TOKENIZER)
    batch = pack(iter([tokens, *[encode(Example([]), TOKENIZER)] * 12]), 1, 64)
    pointing = Pointing(model)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        seen = model(input_ids=torch.tensor([tokens.ids]), output_attentions=True).attentions[-1][0]
        model.set_attn_implementation("sdpa")
        logits_of(model, batch)
        found = float(pointing.loss(batch))
    total = weight = 0.0
    for place, spots in tokens.sources.items():
        total -= tokens.weights[place] * float(seen[:3, place - 1, spots].sum(-1).log().mean())
        weight += tokens.weights[place]
    assert found == pytest.approx(total / weight, rel=1e-4)


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


def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(source: Source, tmp_path: Path) -> None:
    plan = Plan(steps=3, more=1, warmup=1, budget=1024, every=2)

    def trainer(seed: int) -> Trainer:
        torch.manual_seed(seed)
        return Trainer(fresh_model(len(TOKENIZER.inner), None, SHAPE, 0, 1), plan)

    whole, stopped, resumed = trainer(0), trainer(0), trainer(1)
    for one, last in ((whole, 3), (stopped, 2)):
        while one.step < last:
            loss, pointing = loss_of(one, batch_of(one.step, plan, source, TOKENIZER))
            one.update(loss + plan.pointing * pointing)
    stopped.save(tmp_path / "last.safetensors")
    resumed.restore(tmp_path / "last.safetensors")
    train(whole, source, source, TOKENIZER, tmp_path)
    train(resumed, source, source, TOKENIZER, tmp_path)
    assert resumed.step == 4
    for (name, mine), theirs in zip(whole.model.named_parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(mine, theirs), name
    one, other = (json.loads(line) for line in (tmp_path / "curve.jsonl").read_text().splitlines())
    assert one["step"] == other["step"] == 4 and one["facts"] == other["facts"]

"""How the reader's training questions are made, and what the reader makes of its scores."""

from __future__ import annotations

import itertools
import math
import random
import re
from collections import Counter

import pytest
import torch
from torch import nn

from ctxproc.llm.span_head import IMPOSSIBLE
from ctxproc.llm.span_model import Encoded, choose
from training.reader_aligned import best_stretch
from training.reader_cloze import Example
from training.reader_mean import Mean
from training.reader_questions import base_form, parse, questions, written_questions
from training.reader_sift import Opinion, agreed, worth
from training.reader_steps import Step, crowded
from training.reader_third import emptied

BRIDGE = (
    "The bridge was designed by Karen Holt because the ferry had become too slow for the growing town. "
    "It was opened to traffic in 1931. In 1978, the council painted the railings, which had rusted. "
    "The town is a centre of trade."
)


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def as_encoded(context: str) -> Encoded:
    spots = list(re.finditer(r"\w+|[^\w\s]", context))
    return Encoded([7], list(range(len(spots))), [spot.span() for spot in spots])


def said(text: str) -> str:
    return " ".join(words(text)) or text


@pytest.mark.parametrize("seed", range(20))
def test_the_answer_is_the_text_with_most_probability_over_all_its_occurrences(seed: int) -> None:
    torch.manual_seed(seed)
    context = random.Random(seed).choice(["the gate, the gate", "Ana saw ana. Ana", "one two one two", "red"])
    item = as_encoded(context)
    size = len(item)
    scores = torch.full((size, size), IMPOSSIBLE)
    masses: Counter[str] = Counter()
    for i, j in itertools.combinations_with_replacement(range(len(item.offsets)), 2):
        value = float(torch.randn(()))
        scores[item.first + i, item.first + j] = value
        masses[said(context[item.offsets[i][0] : item.offsets[j][1]])] += math.exp(value)
    found = choose(scores, item, "who", context)
    text, mass = masses.most_common(1)[0]
    assert said(context[found.start : found.end]) == text
    assert found.best == pytest.approx(math.log(mass), abs=1e-4)
    assert found.any_span == pytest.approx(math.log(masses.total()), abs=1e-4)


def test_of_the_occurrences_the_likeliest_is_given() -> None:
    context = "gate or gate"
    item = as_encoded(context)
    scores = torch.full((len(item), len(item)), IMPOSSIBLE)
    for place, value in ((0, 1.0), (1, 1.5), (2, 1.2)):
        scores[item.first + place, item.first + place] = value
    found = choose(scores, item, "who", context)
    assert (found.start, found.end) == (8, 12)  # "or" alone scores most, both gates together more


@pytest.mark.parametrize(
    ("question", "answer"),
    [("what is the red gate made of", "iron"), ("is it gate or iron", "gate"), ("is it iron", "gate")],
)
def test_what_the_question_says_itself_is_no_answer_but_for_a_choice(question: str, answer: str) -> None:
    context = "gate iron"
    item = as_encoded(context)
    scores = torch.full((len(item), len(item)), IMPOSSIBLE)
    scores[item.first, item.first], scores[item.first + 1, item.first + 1] = 3.0, 1.0
    found = choose(scores, item, question, context)
    assert context[found.start : found.end] == answer


def test_punctuation_alone_is_an_answer_by_itself() -> None:
    item = as_encoded("?!")
    scores = torch.full((len(item), len(item)), IMPOSSIBLE)
    scores[item.first + 1, item.first + 1] = 0.5
    found = choose(scores, item, "who", "?!")
    assert (found.start, found.end, found.best) == (1, 2, pytest.approx(0.5))


@pytest.mark.parametrize("seed", range(30))
def test_the_best_stretch_is_the_best_of_all(seed: int) -> None:
    rng = random.Random(seed)
    text = " ".join(rng.choice(["old", "king", "sat", "by", "sea", "the"]) for _ in range(14))
    answer = " ".join(rng.choice(["old", "king", "sat", "sea", "fire"]) for _ in range(rng.randint(1, 4)))
    score, start, end = best_stretch(text, answer)

    def f1(stretch: str) -> float:
        mine, theirs = ([w for w in words(t) if w != "the"] for t in (stretch, answer))
        common = sum((Counter(mine) & Counter(theirs)).values())
        return 2 * common / (len(mine) + len(theirs)) if common else 0.0

    spots = [spot.span() for spot in re.finditer(r"\w+", text)]
    best = max(f1(text[a:b]) for (a, _), (_, b) in itertools.combinations_with_replacement(spots, 2))
    assert score == pytest.approx(best)
    assert f1(text[start:end]) == pytest.approx(best)


def test_a_statement_is_cut_into_its_parts() -> None:
    text = "In 1978, the council painted the railings of the bridge."
    found = parse(text, 0, len(text))
    assert found is not None
    assert (found.lead, found.subject, found.verb, found.rest) == (
        "In 1978",
        "the council",
        "painted",
        "the railings of the bridge",
    )
    assert text[found.subject_at :].startswith(found.subject)
    assert text[found.rest_at :].startswith(found.rest)


@pytest.mark.parametrize("text", ["Who came there in the end?", "He came.", '"Go," he said to them all again.'])
def test_what_is_no_plain_statement_is_left_alone(text: str) -> None:
    assert parse(text, 0, len(text)) is None


@pytest.mark.parametrize(
    ("verb", "base"),
    [
        ("created", "create"),
        ("visited", "visit"),
        ("planned", "plan"),
        ("carried", "carry"),
        ("wrote", "write"),
        ("contains", "contain"),
        ("passed", "pass"),
    ],
)
def test_verbs_find_their_base_form(verb: str, base: str) -> None:
    assert base_form(verb) == base


def test_questions_ask_for_the_reason_the_time_and_the_doer() -> None:
    made = []
    for sentence in re.finditer(r"[^.]+\.", BRIDGE):
        start = sentence.start() + (sentence[0][0] == " ")
        statement = parse(BRIDGE, start, sentence.end())
        assert statement is not None
        made += list(questions(BRIDGE, statement, "Halvern Bridge", random.Random(1)))
    answers = {(q.kind, BRIDGE[q.start : q.end]): q.question for q in made}
    assert answers["agent", "Karen Holt"].startswith(("who was the bridge designed", "by whom was the bridge designed"))
    assert ("why", "the ferry had become too slow for the growing town") in answers
    assert "was Halvern Bridge opened to traffic" in answers["when", "1931"]
    assert "did the council paint the railings" in answers["when", "1978"]
    assert answers["definition", "a centre of trade"] == "what is the town"


def test_written_questions_do_not_give_their_answer_away() -> None:
    for example in written_questions(BRIDGE, "Halvern Bridge", 50, random.Random(2)):
        [(start, end)] = example.answers
        assert example.context == BRIDGE
        assert BRIDGE[start:end].lower() not in example.question.lower()


def test_the_sentences_with_the_answer_are_taken_out() -> None:
    text = (
        " ".join(f"Sentence number {k} says nothing of note here at all." for k in range(5)) + " Anna won. It rained."
    )
    start = text.index("Anna")
    left = emptied(Example("who won", text, [(start, start + 4)], group="w1"))
    assert left is not None
    assert (left.context, left.answers, left.group) == (text.replace("Anna won. ", ""), [], "w1")
    assert emptied(Example("who won", "Anna won. It rained.", [(0, 4)])) is None


def test_a_made_question_is_kept_where_the_reader_is_unsure() -> None:
    example = Example("who won", "Anna won against Bert.", [(0, 4)])
    assert not worth(example, Opinion(-0.01, 0, 4, -0.01))  # known already
    assert worth(example, Opinion(-1.0, 17, 21, -0.8))
    assert not worth(example, Opinion(-6.0, 17, 21, -0.1))  # absurd, or wrongly marked
    assert worth(example, Opinion(-6.0, 0, 8, -0.1))  # about the same answer, only longer


def test_two_readings_have_to_agree_and_one_to_be_sure() -> None:
    texts = ("Anna won. It rained.", "It rained. Anna won.")
    same = Opinion(-math.inf, 0, 4, -0.2), Opinion(-math.inf, 11, 15, -2.0)
    assert agreed(texts, same, "who won") == "Anna"
    assert agreed(texts, same, "did anna win") is None
    assert agreed(texts, (same[0], Opinion(-math.inf, 0, 2, -0.1)), "who won") is None
    assert agreed(texts, (Opinion(-math.inf, 0, 4, -1.2), same[1]), "who won") is None


def test_a_crowded_step_keeps_its_answer() -> None:
    step = Step("How many brains do squid have?", ("Squids have three brains.",), 0)
    made = crowded(step, "three", ["It rained.", "There are thirty-three."], "s1", random.Random(4))
    assert made is not None
    assert sorted(made.context.split(". ")) != [made.context]
    assert {made.context[a:b] for a, b in made.answers} == {"three"}
    assert crowded(step, "seven", [], "s1", random.Random(4)) is None


def test_the_mean_of_the_weights_is_the_exponential_one() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    mean, expected = Mean(model, model, decay=0.9), model.weight.detach().clone()
    for k in range(5):
        with torch.no_grad():
            model.weight.fill_(float(k))
        mean.add()
        expected = 0.9 * expected + 0.1 * k
    assert torch.allclose(mean.weights["weight"], expected)
    assert torch.allclose(mean.model().weight, expected)
    assert float(model.weight.detach()[0, 0]) == 4.0

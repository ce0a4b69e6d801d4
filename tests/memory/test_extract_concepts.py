"""Concepts of sentences, stems of words, relations of documents."""

from __future__ import annotations

import pytest

from ctxproc.memory.extract.concepts import Concept, concepts, sentences
from ctxproc.memory.extract.relations import relations
from ctxproc.memory.extract.stems import stem

PAPER = (  # examples that Porter (1980) gives for the steps of the algorithm, carried through to its end
    "caresses caress ponies poni ties ti cats cat feed feed agreed agre plastered plaster bled bled"
    " motoring motor sing sing"
    " conflated conflat troubled troubl sized size hopping hop tanned tan falling fall hissing hiss fizzed fizz failing fail"
    " filing file happy happi sky sky relational relat conditional condit rational ration digitizer digit operator oper"
    " feudalism feudal decisiveness decis hopefulness hope callousness callous sensibiliti sensibl triplicate triplic"
    " formative form formalize formal electrical electr hopeful hope goodness good revival reviv allowance allow inference"
    " infer airliner airlin adjustable adjust defensible defens irritant irrit replacement replac"
    " adjustment adjust dependent"
    " depend adoption adopt communism commun activate activ effective effect bowdlerize bowdler probate probat rate rate"
    " cease ceas controlling control rolling roll generalizations gener oscillators oscil"
).split()


@pytest.mark.parametrize(("word", "expected"), list(zip(PAPER[::2], PAPER[1::2], strict=True)))
def test_stems_are_those_of_the_paper(word: str, expected: str) -> None:
    assert stem(word) == stem(word.upper()) == expected


def test_irregular_plurals_and_other_scripts() -> None:
    assert [stem(word) for word in ("Children", "women", "a", "Zoë", "上海", "3rd")] == [
        "child", "woman", "a", "zoë", "上海", "3rd",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("sentence", "surfaces"),
    [
        ("Anna's sister moved to Paris in May 2019 to work at the Louvre.", "Anna sister Paris May 2019 Louvre"),
        ("Brandon has a lot of coffee.", "Brandon coffee"),
        ("I love walking the dog, but coffee is bad for my health.", "dog coffee health"),
        ("The quick brown fox jumps quietly over two lazy dogs.", "fox two dogs"),
        ("I don't like Mondays; they're long.", "Mondays"),
        ("He paid $3,000 on the 10th.", "3,000 10th"),
        ("I need a rest after my work.", "rest work"),
        ("I rest and work.", ""),
        ("O'Brien lives in Aix-en-Provence.", "O'Brien Aix-en-Provence"),
        ("我妹妹小红住在上海，在一家银行工作，喜欢红烧牛肉面。", "妹妹 小红 上海 银行 红烧牛肉面"),
        ("我在Google工作。", "Google"),
        ("", ""),
    ],
)
def test_concepts_are_nouns_names_and_numbers_in_order(sentence: str, surfaces: str) -> None:
    assert [concept.surface for concept in concepts(sentence)] == surfaces.split()


def test_a_concept_knows_its_stem_and_whether_it_is_a_name() -> None:
    assert concepts("Dogs love Anna and her ponies.") == [
        Concept("Dogs", "dog", False),
        Concept("Anna", "anna", True),
        Concept("ponies", "poni", False),
    ]
    assert [c.proper for c in concepts("Anna lives in Lyon.")] == [True, True]
    assert [c.proper for c in concepts("ANNA MOVED TO LYON.")] == [False, False]


def test_repeats_are_kept_and_equal_stems_are_equal() -> None:
    assert [c.stem for c in concepts("A dog and two dogs.")] == ["dog", "two", "dog"]


def test_sentences_are_those_of_the_chunker() -> None:
    assert sentences("Dr. Moe left. 她来了。Why?") == ["Dr. Moe left.", "她来了。", "Why?"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "Ramey Idriss (11 September 1911 – 5 February 1971) was an American songwriter.",
            {
                ("Ramey Idriss", "was born on", "11 September 1911"),
                ("Ramey Idriss", "died on", "5 February 1971"),
                ("Ramey Idriss", "has nationality", "American"),
            },
        ),
        (
            "Eve Moe (born January 16, 1992) is a writer. She was born in Lyon, France.",
            {
                ("Eve Moe", "was born on", "January 16, 1992"),
                ("Eve Moe", "was born in", "Lyon"),
                ("Lyon", "is located in", "France"),
            },
        ),
        (
            "Song of Freedom is a 1936 film directed by Elder Wills and starring Paul Robeson.",
            {
                ("Song of Freedom", "was released in", "1936"),
                ("Song of Freedom", "was made by", "Elder Wills"),
                ("Song of Freedom", "has the actor", "Paul Robeson"),
            },
        ),
        ("Lima is the capital of Peru.", {("Lima", "is the capital of", "Peru")}),
        ("He was born in Lyon.", set()),
        ("nothing of the kind.", set()),
        ("", set()),
    ],
)
def test_relations_of_encyclopedic_sentences(text: str, expected: set[tuple[str, str, str]]) -> None:
    found = relations(text)
    assert {(t.subject, t.relation, t.object) for t in found} == expected
    assert all(triple.object in text[triple.start : triple.end] for triple in found)

"""Answers of several spans: what asks for a list, and what of the likely spans becomes its members."""

from __future__ import annotations

from pathlib import Path

import pytest
from reader_lists import Listing, listings, scores

from ctxproc import Sampling
from ctxproc.llm.builtin import BuiltinReader
from ctxproc.llm.several import LOOKED, REACH, Likely, asks_for_several, joined, members
from ctxproc.prompt import template

DATA = Path(__file__).parents[2] / "shared" / "data"
CITIES = "In 1902 she visited Paris, Vienna and Rome before returning home to Oslo."
BAND = "The band was founded in Leeds. Its members were Tom Hale, Edda Frost and Bram Vale. They played until 1978."
VALLEY = "German is spoken in the north of the valley. In the south people speak Italian. Nobody works on Sundays."


def likely(text: str, **shares: float) -> list[Likely]:
    """Spans by their words, underscores for spaces and ``C`` for a comma."""
    spans = [(name.replace("C_", ", ").replace("_", " "), share) for name, share in shares.items()]
    return [Likely(text.index(said), text.index(said) + len(said), share) for said, share in spans]


def named(spans: list[Likely], question: str, text: str) -> list[str]:
    return [text[a:b] for a, b in members(spans, question, text)]


@pytest.mark.parametrize(
    "question",
    [
        "Which cities did she visit?",
        "which countries border france",
        "Who were the members of the band?",
        "what are the 5 boroughs of new york city",
        "In which countries do they live?",
        "what two teams played",
        "Name the three ships.",
        "List all kings of Norway",
        "whose sons were they",
    ],
)
def test_a_question_in_the_plural_asks_for_several(question: str) -> None:
    assert asks_for_several(question)


@pytest.mark.parametrize(
    "question",
    [
        "who is the king",
        "which bus does he take",
        "when was the us open",
        "how many ships were there",
        "What happens when gas is heated",
        "what is the meaning of this is us",
        "who destroyed the two tribes",
        "what are such roads called",
        "name the cell which is attached to the tube",
        "where are the ships",
        "",
    ],
)
def test_a_question_in_the_singular_does_not(question: str) -> None:
    assert not asks_for_several(question)


def test_of_a_long_question_its_beginning_and_its_end_are_looked_at() -> None:
    pause = " and so on" * LOOKED
    assert asks_for_several(f"Who were the members{pause}?")
    assert not asks_for_several(f"Who were the members{pause} called?")
    assert not asks_for_several(f"Who were the{pause} members?")
    assert asks_for_several(f"Who were the members called so{pause}?")


def test_the_pieces_of_likely_spans_gather_their_probability() -> None:
    spans = likely(CITIES, Paris=0.6, ParisC_Vienna=0.1, ParisC_Vienna_and_Rome=0.08, Oslo=0.03)
    assert named(spans, "Which cities did she visit?", CITIES) == ["Paris", "Vienna", "Rome"]


def test_a_member_that_is_much_less_likely_than_the_first_is_left_out() -> None:
    spans = likely(CITIES, Paris=0.6, Vienna=0.06, Rome=0.059)
    assert named(spans, "Which cities did she visit?", CITIES) == ["Paris", "Vienna"]


def test_of_two_pieces_that_begin_together_the_shorter_counts_if_it_is_about_as_likely() -> None:
    spans = likely(CITIES, Paris=0.5, Rome=0.2, Rome_before_returning_home=0.3)
    assert named(spans, "Which cities did she visit?", CITIES) == ["Paris", "Rome"]
    spans = likely(CITIES, Paris=0.5, Rome=0.1, Rome_before_returning_home=0.3)
    assert named(spans, "Which cities did she visit?", CITIES) == ["Paris", "Rome before returning home"]


def test_what_is_said_already_or_asked_or_runs_over_a_sentence_is_no_member() -> None:
    text = "You need two eggs and butter for a cake. Beat the eggs. Then add salt."
    spans = likely(text, two_eggs=0.5, the_eggs=0.3, butter=0.4, cake=0.3, salt=0.2)
    spans.append(Likely(text.index("cake"), text.index(" Then"), 0.3))
    assert named(spans, "What are the ingredients of a cake?", text) == ["two eggs", "butter", "salt"]


def test_members_do_not_overlap_and_are_near_the_likeliest() -> None:
    far = CITIES + " x" * REACH + " Bergen"
    spans = likely(far, ParisC_Vienna=0.5, Vienna_and_Rome=0.2, Bergen=0.3)
    spans.append(Likely(far.index("Rome"), far.index("home to"), 0.15))
    assert named(spans, "Which cities did she visit?", far) == ["Paris", "Vienna", "Rome"]


def test_a_list_in_a_row_is_given_as_it_stands_and_another_one_by_commas() -> None:
    assert joined([(20, 25), (27, 33), (38, 42)], CITIES) == "Paris, Vienna and Rome"
    assert joined([(20, 25), (38, 42)], CITIES) == "Paris, Rome"
    assert joined([(20, 25)], CITIES) == "Paris"


def test_no_spans_have_no_members() -> None:
    assert members([], "Which cities?", CITIES) == []


@pytest.mark.parametrize(
    ("question", "text", "answer", "quote"),
    [
        ("Which cities did she visit?", CITIES, "Paris, Vienna and Rome", CITIES),
        (
            "Who were the members of the band?",
            BAND,
            "Tom Hale, Edda Frost and Bram Vale",
            "Its members were Tom Hale, Edda Frost and Bram Vale.",
        ),
        ("Where was the band founded?", BAND, "Leeds", "The band was founded in Leeds."),
    ],
)
def test_the_reader_answers_with_the_whole_list(question: str, text: str, answer: str, quote: str) -> None:
    prompt = template("answer").fill([text], {"question": question})
    [made] = BuiltinReader(device="cpu", dtype="float32").generate([prompt], Sampling())
    assert (made.text, made.quote) == (answer, quote)


def test_the_benchmark_counts_members_by_their_words() -> None:
    wanted = (frozenset({"Paris", "City of Light"}), frozenset({"Vienna"}))
    assert scores(["the city of light", "Rome"], wanted) == (0.5, 0.5, 0.5)
    assert scores(["Paris", "Vienna"], wanted) == (1.0, 1.0, 1.0)
    assert scores([], wanted) == (0.0, 0.0, 0.0)


@pytest.mark.skipif(not (DATA / "eval/redocred").is_dir(), reason="there is no Re-DocRED in ../shared/data")
def test_every_question_of_the_benchmark_asks_for_several_that_its_document_names() -> None:
    items = listings(DATA)
    assert len(items) > 100 and all(isinstance(item, Listing) and len(item.members) > 1 for item in items)
    asking = sum(asks_for_several(item.question) for item in items)
    assert asking > 0.95 * len(items)

"""Long documents load, split and answer: two whole Chinese novels, and ten million bytes."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import pytest
from helpers import DATA

from ctxproc import BuiltinReader, Library, ScriptedLLM
from ctxproc.config import resolve
from ctxproc.llm.base import Generation
from ctxproc.prompt import Prompt

NOVELS = sorted((DATA / "eval" / "classics_zh").glob("[!S]*.txt"))  # not SOURCE.txt
WORDS = "harbour winter ledger copper garden letter bridge silver orchard captain market window river stone".split()


def finds(phrase: str) -> ScriptedLLM:
    """A model with the built-in reader's tokens that answers with the phrase where it stands."""

    def reply(prompt: Prompt) -> Generation:
        found = phrase in prompt.part("context")
        return Generation(phrase if found else "", 0, 0, confidence=float(found), quote=phrase if found else "")

    llm = ScriptedLLM(reply, context_window=512, gives_confidence=True)
    llm.tokenizer = BuiltinReader().tokenizer  # type: ignore[assignment]
    return llm


@pytest.mark.skipif(not NOVELS, reason="needs the Chinese novels of shared/data")
def test_two_whole_chinese_novels_are_searched_by_characters() -> None:
    settings, _ = resolve(sets=["retrieval.search=[bm25]", "retrieval.top_k=16"])
    library = Library(NOVELS, settings, llm=finds("景阳冈"))
    answer = library.ask("武松打虎在什么冈上？")
    [document] = [one for one in library.documents if "水浒" in one.source]
    lead = answer.evidence[0]
    assert (answer.text, lead.source, lead.status) == ("景阳冈", document.source, "verified")
    assert document.text[lead.start : lead.end] == "景阳冈"
    assert Path(lead.source).read_bytes()[lead.byte_start : lead.byte_end].decode() == "景阳冈"


def test_ten_million_bytes_are_split_and_answered(tmp_path: Path) -> None:
    rng = random.Random(0)
    sentences = [" ".join(rng.choices(WORDS, k=rng.randint(5, 14))).capitalize() + ". " for _ in range(1000)]
    text = "".join(rng.choices(sentences, k=150_000))
    at = text.index(". ", len(text) // 2) + 2
    fact = "The lamp is kept by Maren Oduya."
    path = tmp_path / "large.txt"
    path.write_text(text[:at] + fact + " " + text[at:], encoding="ascii")
    assert path.stat().st_size > 10_000_000
    settings, _ = resolve(sets=["retrieval.search=[bm25]"])
    library = Library([path], settings, llm=finds("Maren Oduya"))
    answer = library.ask("Who keeps the lamp?")
    lead = answer.evidence[0]
    assert (lead.start, lead.quote) == (at + fact.index("Maren"), "Maren Oduya")
    chunks = library.corpus(settings.chunk.tokens).chunks
    assert chunks[0].start == 0 and chunks[-1].end == len(library.documents[0].text)
    assert all(a.end == b.start for a, b in pairwise(chunks))
    assert max(chunk.tokens for chunk in chunks) <= settings.chunk.tokens


@pytest.mark.skipif(not (DATA / "eval" / "drcd").is_dir(), reason="needs the Chinese questions of shared/data")
def test_a_chinese_question_over_chinese_passages_finds_its_passage(tmp_path: Path) -> None:
    paragraphs = [
        paragraph
        for article in json.loads((DATA / "eval" / "drcd" / "DRCD_dev.json").read_text(encoding="utf-8"))["data"][:40]
        for paragraph in article["paragraphs"]
    ][:150]
    path = tmp_path / "passages.txt"
    path.write_text("\n\n".join(paragraph["context"] for paragraph in paragraphs), encoding="utf-8")
    settings, _ = resolve(sets=["retrieval.search=[bm25]", "retrieval.top_k=3"])
    library = Library([path], settings, llm=finds("-"))
    corpus = library.corpus(200)
    hits = 0
    for paragraph in paragraphs[::5]:
        asked = paragraph["qas"][0]
        found = corpus.select(asked["question"], 3, search=["bm25"])
        hits += any(asked["answers"][0]["text"] in corpus.chunks[hit.index].text for hit in found)
    assert hits >= 0.85 * len(paragraphs[::5])

"""The byte scan: what stands in a file in any case and encoding is found; what does not, is not."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.memory import scan
from ctxproc.memory.scan import pieces, places
from ctxproc.memory.scan import scan as look

CODINGS = {
    "utf-8": lambda text: text.encode(),
    "utf-16-le": lambda text: text.encode("utf-16-le"),
    "utf-16-be": lambda text: text.encode("utf-16-be"),
    "JSON": lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode(),
    "ASCII JSON": lambda text: json.dumps(text)[1:-1].encode(),
}
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0") | st.sampled_from('äßÄıİſKǅ"\\\n日本語'),
    min_size=6,
    max_size=40,
)


def other_case(text: str, seed: int) -> str:
    """The text with each character in one of its cases."""
    choose = random.Random(seed)
    return "".join(choose.choice([c, c.lower(), c.upper()]) for c in text)


@pytest.mark.parametrize("coding", CODINGS)
@settings(max_examples=60, deadline=None)
@given(text=TEXTS, seed=st.integers(0, 9), before=st.binary(max_size=70), block=st.sampled_from([8, 64, 1 << 20]))
def test_a_text_is_found_in_any_case_and_coding_wherever_it_stands(
    tmp_path_factory: pytest.TempPathFactory, coding: str, text: str, seed: int, before: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("scan") / "file"
    path.write_bytes(before + CODINGS[coding](other_case(text, seed)) + b"\xff\xfe rest")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "BLOCK", block)
        seen = look([path], [text])
    assert [name for name, _ in seen.found] == [str(path)]
    assert (seen.files, seen.size, seen.pieces) == (1, path.stat().st_size, 1)


@settings(max_examples=60, deadline=None)
@given(data=st.binary(max_size=300), text=st.text("abAB ", min_size=1, max_size=3))
def test_exactly_the_places_are_counted(tmp_path_factory: pytest.TempPathFactory, data: bytes, text: str) -> None:
    data = data.replace(b"\0", b"a").replace(b"\\", b"b")
    path = tmp_path_factory.mktemp("scan") / "file"
    path.write_bytes(data)
    expected, at = 0, 0
    while (at := data.lower().find(text.lower().encode(), at)) >= 0:
        expected, at = expected + 1, at + len(text)
    assert sum(number for _, number in look([path], [text]).found) == expected


def test_what_is_not_there_is_not_found_and_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("Die Straße nach Lyon".encode())
    seen = look([path, tmp_path / "gone", tmp_path], ["Strasse nach Paris", "LYON "])
    assert seen.found == () and seen.unread == (str(tmp_path),) and seen.files == 1
    assert look([path], ["straße NACH"]).found == ((str(path), 1),)


def test_long_texts_are_looked_for_piece_by_piece() -> None:
    text = "".join(chr(97 + i % 26) for i in range(500))
    assert "".join(pieces([text]))[: len(text)] == text[: 48 * 10] + text[480:]
    assert all(len(piece) <= 48 for piece in pieces([text]))
    assert pieces(["I live in Lyon."], "lyon") == ["I live in Lyon."]
    assert pieces(["I live in Lyon.", "Xylophonia"], "xylophonia")[0] == "xylophonia"
    assert len(pieces([f"note number {i}" for i in range(1000)])) <= 64
    assert pieces(["abc"]) == []


def test_a_word_is_found_in_any_case() -> None:
    assert list(places("lyon", "Lyon, LYON and Lyo")) == [(0, 4), (6, 10)]
    assert list(places("straße", "STRASSE, Straße")) == [(0, 7), (9, 15)]
    assert list(places("", "text")) == []

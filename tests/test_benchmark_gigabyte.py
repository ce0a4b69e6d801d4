"""The text of `benchmarks/gigabyte.py` is as long as it says and all different, and its last sentence is found."""

from __future__ import annotations

from pathlib import Path

import gigabyte
import pytest


@pytest.mark.parametrize("one", [False, True])
def test_a_megabyte_is_written_added_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one: bool) -> None:
    books = ["The ferry left late again. " * 700, "Salt had come into the granary. " * 400]
    monkeypatch.setattr(gigabyte, "novels", lambda data: iter(books))
    monkeypatch.setattr(gigabyte, "MB", 40_000)
    folder = tmp_path / "books"
    gigabyte.write_files(tmp_path, 3, one, folder)
    files = [file.read_text() for file in sorted(folder.iterdir())]
    whole = "".join(files)
    assert len(files) == (1 if one else 3) and whole.endswith(gigabyte.FACT)
    assert 120_000 <= len(whole) - len(gigabyte.FACT) < 120_000 + 2 * gigabyte.PIECE
    pieces = whole.removesuffix(gigabyte.FACT).split("\n\n")[:-1]
    assert len(set(pieces)) == len(pieces) and {piece.split(" ", 1)[1][:3] for piece in pieces} >= {"The", "Sal"}
    found = gigabyte.measure(folder, tmp_path / "store.ctxproc")
    assert found["found"] and found["documents"]["added"] == len(files)
    assert found["progress"]["told"] == len(files) + 1 and found["chunks"] > 100

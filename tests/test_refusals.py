"""Where a program is started that has no home, no cache folder, no standard input; sources that are addresses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ctxproc import Document, Library, ScriptedLLM, resolve
from ctxproc.config import Settings, cache_folder
from ctxproc.document import load
from ctxproc.errors import ConfigError, SourceError
from ctxproc.trace import Event, Noted


def test_a_cache_folder_that_cannot_be_made_costs_the_trace_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    chosen, _ = resolve(sets=["retrieval.search=[]", f"cache.folder={tmp_path / 'cache'}", "strategy=stuff"])
    llm = ScriptedLLM(["Maren\nQuote: The lamp is kept by Maren."])
    told: list[Event] = []
    book = Document.from_text("The lamp is kept by Maren.")
    answer = Library([book], chosen, llm=llm, listeners=[told.append]).ask("Who keeps the lamp?")
    assert answer.text == "Maren"
    assert next(event.text for event in told if isinstance(event, Noted)).startswith("no trace is kept")


def test_who_has_no_home_is_asked_for_a_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(ConfigError, match=r"set XDG_CACHE_HOME or cache\.folder"):
        cache_folder(Settings())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(Settings()) == tmp_path / "ctxproc"


@pytest.mark.parametrize("source", ["https://example.com/lease.html", "file:///etc/hostname", "s3://bucket/key"])
def test_an_address_is_no_source_and_is_not_fetched(source: str) -> None:
    with pytest.raises(SourceError, match=f"^{source} is an address, and nothing is fetched"):
        load([source])


def test_a_closed_standard_input_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(SourceError, match="standard input is closed"):
        load(["-"])

"""Benchmarks in one form: they are listed, their commands exist, their figures become lines."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from common import percent, publish
from crash import measure
from locomo_chats import Chat, Question, Turn
from locomo_ways import ways
from numpy.typing import NDArray
from results import FILE, Figure, figures, unit_of

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
COMMAND = re.compile(r"python -m benchmarks (?:--results \S+ )?(?!NAME\b)(\w+)([^`#\n|&]*)")
PAGES = [BENCHMARKS / "README.md", ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


def scripts() -> dict[str, str]:
    """The text of each benchmark."""
    found = {path.stem: path.read_text(encoding="utf-8") for path in BENCHMARKS.glob("*.py")}
    return {name: text for name, text in found.items() if 'if __name__ == "__main__":' in text and name != "__main__"}


def test_all_are_listed_with_a_line_each() -> None:
    done = subprocess.run([sys.executable, "-m", "benchmarks"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert listed == {
        name: (ast.get_docstring(ast.parse(text)) or "").splitlines()[0] for name, text in scripts().items()
    }
    assert all(line.endswith(".") for line in listed.values())


def test_one_runs_by_its_name_with_its_own_arguments() -> None:
    command = [sys.executable, "-m", "benchmarks", "resume", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "--embedder" in done.stdout
    wrong = subprocess.run([*command[:3], "nonesuch"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "there is no benchmark nonesuch; there are: " in wrong.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_names_a_benchmark_and_options_that_it_has(page: Path) -> None:
    known = scripts()
    for name, rest in COMMAND.findall(page.read_text(encoding="utf-8")):
        assert name in known, name
        options = {option for word in re.findall(r'"(--[\w/-]+)"', known[name]) for option in word.split("/")}
        assert set(re.findall(r"--[\w-]+", rest)) - {"--help"} <= options, (name, rest)


def test_every_benchmark_has_a_command_on_the_page() -> None:
    assert {name for name, _ in COMMAND.findall(PAGES[0].read_text(encoding="utf-8"))} >= scripts().keys()


def test_every_adapter_of_a_peer_says_how_it_is_installed() -> None:
    table = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    for file in re.findall(r"`peers/(\w+\.py)`", table):
        text = (BENCHMARKS / "peers" / file).read_text(encoding="utf-8")
        assert "pip install" in text or file in ("plain.py", "vector_faiss.py"), file
    adapters = {path.name for path in (BENCHMARKS / "peers").glob("*.py")}
    foreign = {name for name in adapters if re.search(r"mem0|chroma|lancedb|qdrant|langchain|llama|vllm|faiss", name)}
    assert foreign <= set(re.findall(r"`peers/(\w+\.py)`", table))


@pytest.mark.skipif(find_spec("mem0") is not None, reason="mem0 is installed here")
def test_a_peer_that_is_not_installed_is_reported_with_its_install_line(tmp_path: Path) -> None:
    class Fake:
        def learn(self, texts: Sequence[str]) -> None:
            pass

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            return np.eye(len(texts), dtype=np.float32)

    said = [Turn("I live in Lyon.", "", "Ana", 1, datetime(2026, 5, 1, tzinfo=UTC))]
    chat = Chat("talk", said, [Question(1, "Where does Ana live?", "Lyon", 4, frozenset({0}))])
    made, absent = ways(chat, Fake(), sys.executable, ["mem0", "last turns"])  # type: ignore[arg-type]
    assert list(made) == ["last turns"] and "mem0" in absent["mem0"]["absent"]
    assert absent["mem0"]["install"] == "pip install mem0ai==2.2.1"
    found = measure("mem0", sys.executable, {}, tmp_path)
    assert "ended with 1" in found["absent"] and found["install"] == "pip install mem0ai==2.2.1 faiss-cpu"


def test_numbers_become_figures_and_intervals_one_each() -> None:
    result = {
        "f1": percent([1.0, 0.0, 1.0, 0.0]),
        "later_seconds": {"median": 0.5},
        "junk": {"all": 1.5, "low": 1.0, "high": 2.0},
        "peak_memory_mb": 950,
        "half": "odd",
        "verified": True,
        "sets": ["a"],
        "cores": 2,
        "torch": "2.13.0",
    }
    made = {figure.name: figure for figure in figures(result)}
    assert list(made) == ["f1", "later_seconds.median", "junk", "peak_memory_mb"]
    assert made["f1"].value == 50.0 and made["f1"].low is not None and made["f1"].unit == "%"
    assert made["later_seconds.median"] == Figure("later_seconds.median", 0.5, unit="s")
    assert made["junk"] == Figure("junk", 1.5, 1.0, 2.0, None, "%")
    assert made["peak_memory_mb"].unit == "MB"


@pytest.mark.parametrize(
    ("name", "unit"),
    [("first_answer_seconds", "s"), ("milliseconds.recall.p50", "ms"), ("memory in MB.peak", "MB"), ("facts", "")],
)
def test_the_unit_is_told_by_the_name(name: str, unit: str) -> None:
    assert unit_of(name) == unit


def test_a_line_says_where_a_figure_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["x.py", "--half", "odd"])
    monkeypatch.delenv(FILE, raising=False)
    publish("x", {"f1": 3.0})
    assert not list(tmp_path.iterdir())
    monkeypatch.setenv(FILE, str(tmp_path / "lines.jsonl"))
    whole = publish("x", {"f1": percent([0.0, 1.0])}, n=2, seed=7)
    publish("x", {"calls": 4})
    assert json.loads(capsys.readouterr().out.split("}\n{")[-1].join(["{", ""]))["calls"] == 4
    first, second = map(json.loads, (tmp_path / "lines.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["benchmark"], first["figure"], first["value"], first["n"], first["seed"]) == ("x", "f1", 50.0, 2, 7)
    assert first["command"] == "python -m benchmarks x --half odd" and first["date"] == whole["date"]
    assert str(whole["cores"]) in first["hardware"] and first["versions"]["python"] == whole["python"]
    assert (second["value"], second["low"], second["n"], second["unit"]) == (4, None, None, "")
    keys = "benchmark figure value low high n unit commit hardware versions seed date command".split()
    assert set(first) == set(second) == set(keys)


def test_figures_that_are_committed_have_the_same_form() -> None:
    files = [file for file in (BENCHMARKS / "figures").glob("*.jsonl") if not file.name.startswith("curve_")]
    assert files
    for file in files:
        for line in file.read_text(encoding="utf-8").splitlines():
            assert {
                "benchmark",
                "figure",
                "value",
                "low",
                "high",
                "n",
                "unit",
                "commit",
                "hardware",
                "command",
            } <= json.loads(line).keys()


def test_the_picture_of_the_readme_is_what_the_figures_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import picture

    found = picture.seconds()
    assert found["ours", "same"] == 0.31 and found["llama.cpp", "reordered"] == 78.7
    assert (ROOT / "docs" / "second_question.svg").read_text(encoding="utf-8") == picture.picture(found)
    assert picture.across(0.1) == picture.LEFT and picture.across(100) == picture.LEFT + picture.WIDTH
    assert picture.across(1) - picture.across(0.1) == pytest.approx(picture.WIDTH / 3)

"""``ctxproc compare`` from outside: tables for people, one line for an error, and nothing lost by an interrupt."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from comparing import BOOK, QUESTIONS, comparing, reader, reading, written

from ctxproc import ScriptedLLM, Settings
from ctxproc.cli.main import main
from ctxproc.compare_run import WRITTEN
from ctxproc.errors import ModelError
from ctxproc.llm.base import LLM, Generation
from ctxproc.prompt import Prompt

WORDS = ("--set", "retrieval.search=[bm25]", "--set", "retrieval.top_k=2", "--set", "chunk.tokens=60")


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[str, str]]:
    """The program in this process, on the scripted reader; its output and its errors."""
    written(tmp_path / "q.jsonl")
    (tmp_path / "book.txt").write_text(BOOK, encoding="utf-8")
    monkeypatch.chdir(tmp_path)

    def start(*arguments: str, code: int = 0, llm: LLM | None = None) -> tuple[str, str]:
        def load(settings: Settings) -> LLM:
            if settings.model == "gone":
                raise ModelError("there is no model gone")
            return llm or reader()

        monkeypatch.setattr("ctxproc.llm.load.load_llm", load)
        with pytest.raises(SystemExit) as end:
            main(["compare", *arguments])
            raise SystemExit(0)
        said = capsys.readouterr()
        assert end.value.code == code, said.err
        return said.out, said.err

    return start


def test_a_comparison_prints_its_tables_and_writes_its_files(
    run: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    said, _ = run(
        "q.jsonl", "book.txt", "--strategies", "map_rerank,truncate", "--criteria", "bm25,none",
        "--models", "builtin,gone", "--out", "out", *WORDS,
    )  # fmt: skip
    ways = re.findall(r"^(map_rerank|truncate) · (bm25|none) · (builtin|gone)(.*)$", said, re.MULTILINE)
    assert len(ways) == 8 + 4  # in the table of quality all, in that of cost those that were run
    assert sum("not run" in rest for *_, rest in ways) == 4 and "there is no model gone" in said
    told = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert [way["quality"]["exact_match"]["mean"] for way in told["ways"][:4]] == pytest.approx([2 / 3, 1 / 3] * 2)
    assert said.endswith("the page: out/compare.html\n")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "answers.jsonl", "compare.csv", "compare.html", "compare.json",
    ]  # fmt: skip


def test_a_way_measured_on_fewer_questions_is_told(run: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    [dear, _] = comparing(tmp_path, ("recurrent", "truncate"), way_tokens=None).plan()
    limit = str((dear.plan.prompt_tokens + WRITTEN * dear.plan.new_tokens) * 5 // 8)
    said, _ = run(
        "q.jsonl", "book.txt", "--strategies", "recurrent,truncate", "--way-tokens", limit, "--out", "o", *WORDS
    )
    assert "measured on fewer questions than others, so not to be ranked with them: recurrent (2 of 3)\n" in said
    said, _ = run("q.jsonl", "book.txt", "--strategies", "recurrent,truncate", "--out", "o", *WORDS)
    assert "fewer" not in said


def test_figures_of_several_kinds_have_a_table_and_a_file_of_their_own(
    run: Callable[..., tuple[str, str]], tmp_path: Path
) -> None:
    words = ("who", "number", "number", "")
    written(tmp_path / "q.jsonl", [{**line, "kind": kind} for line, kind in zip(QUESTIONS, words, strict=True)])
    said, _ = run("q.jsonl", "book.txt", "--strategies", "map_rerank,truncate", "--out", "out", *WORDS)
    table = [line.split() for line in said[said.index("F1 by kind") :].splitlines()[:3]]
    assert table == [
        ["F1", "by", "kind", "who", "number", "other"],
        ["map_rerank", "100", "(–)", "50", "(0–100)", "–"],
        ["truncate", "0", "(–)", "50", "(0–100)", "–"],
    ]
    assert (tmp_path / "out" / "compare_kinds.csv").is_file()
    written(tmp_path / "q.jsonl", [{**QUESTIONS[0], "id": n, "kind": f"kind {n}"} for n in range(8)])
    said, _ = run("q.jsonl", "book.txt", "--strategies", "truncate", "--out", "out", *WORDS)
    assert "kind 5" in said and "kind 6" not in said and "2 more kinds: see the page" in said


def test_a_dry_run_tells_the_cost_and_asks_nothing(run: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    model = reader()
    said, _ = run("q.jsonl", "book.txt", "--strategies", "map_rerank,truncate", "--dry-run", *WORDS, llm=model)
    assert re.search(r"map_rerank +bm25 +builtin +4 +0 +8 ", said) and "at most 12 model calls" in said
    assert not model.prompts and sorted(path.name for path in tmp_path.iterdir()) == ["book.txt", "q.jsonl"]


def test_an_interrupted_run_goes_on_by_the_same_command(run: Callable[..., tuple[str, str]]) -> None:
    def interrupted(prompt: Prompt) -> Generation:
        if "tin" in prompt.field("question"):
            raise KeyboardInterrupt
        return reading(prompt)

    command = ("q.jsonl", "book.txt", "--strategies", "truncate", "--out", "out", *WORDS)
    _, error = run(*command, code=130, llm=ScriptedLLM(interrupted, gives_confidence=True))
    assert error.endswith("interrupted; what was answered is kept: run the same command to go on\n")
    model = reader()
    run(*command, llm=model)
    assert [prompt.field("question") for prompt in model.prompts[1:]] == [line["question"] for line in QUESTIONS[2:]]


def test_cloze_questions_are_written_and_asked(run: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    said, error = run("new.jsonl", "book.txt", "--generate", "3", "--strategies", "truncate", "--out", "out", *WORDS)
    assert re.search(r"[12] questions written to new.jsonl", error) and "truncate" in said
    assert "cloze" in (tmp_path / "new.jsonl").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("q.jsonl", "book.txt"), "--out DIR is missing"),
        (("none.jsonl", "book.txt", "--out", "o"), "cannot read the questions none.jsonl"),
        (("q.jsonl", "none.txt", "--out", "o"), "none.txt"),
        (("q.jsonl", "book.txt", "--out", "o", "--strategies", "nonesuch"), "no strategy is called 'nonesuch'"),
        (("q.jsonl", "book.txt", "--out", "o", "--strategies", "["), "--strategies: not a plain YAML value"),
        (("q.jsonl", "book.txt", "--out", "o", "--criteria", "mmr"), "re-ranks and cannot search"),
        (("q.jsonl", "book.txt", "--out", "o", "--generate", "2"), "is there already"),
        (("q.jsonl", "book.txt", "--out", "o", "--models", ""), "model: a text that is not empty is wanted"),
        (("q.jsonl",), "SOURCE"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_exit_2(
    arguments: tuple[str, ...], said: str, run: Callable[..., tuple[str, str]]
) -> None:
    out, error = run(*arguments, code=2)
    assert said in error and out == "" and "Traceback" not in error


def test_terminal_escapes_of_sources_and_models_are_not_printed(run: Callable[..., tuple[str, str]]) -> None:
    evil = ScriptedLLM(reading, gives_confidence=True, name="[red]\x1b]0;x\x07m")
    said, error = run(
        "q.jsonl", "book.txt", "--strategies", "truncate", "--models", "[b]\x1b[2J,x", "--out", "o", *WORDS, llm=evil
    )
    assert "\x1b" not in said + error and "[b]" in said

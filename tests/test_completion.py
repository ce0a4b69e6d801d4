"""Shell completion: the scripts, and what is offered where a name is wanted."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from ctxproc.cli.main import cli
from ctxproc.memory.criteria import catalogue as criteria
from ctxproc.strategies import catalogue as strategies


def offered(*words: str) -> list[tuple[str, str]]:
    """What is offered for the last of these words: (kind, value)."""
    found = ShellComplete(cli, {}, "ctxproc", "_CTXPROC_COMPLETE").get_completions(list(words[:-1]), words[-1])
    return [(item.type, item.value) for item in found]


def values(*words: str) -> list[str]:
    return [value for kind, value in offered(*words) if kind == "plain"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_each_shell_calls_the_program_back(shell: str) -> None:
    done = CliRunner().invoke(cli, ["completion", shell])
    assert done.exit_code == 0 and f"_CTXPROC_COMPLETE={shell}_complete" in done.stdout and "ctxproc" in done.stdout


def test_another_shell_is_wrong_usage() -> None:
    done = CliRunner().invoke(cli, ["completion", "tcsh"])
    assert done.exit_code == 2 and "'bash', 'zsh', 'fish'" in done.output


def test_commands_and_their_groups_are_offered() -> None:
    assert values("do") == ["doctor"] and values("co")[:1] != [] and set(values("memory", "a")) == {"add", "audit"}


def test_strategies_presets_and_settings_are_offered_by_name() -> None:
    assert values("ask", "Who?", "--strategy", "") == strategies.names()
    assert values("ask", "Who?", "--strategy", "map_") == ["map_reduce", "map_rerank"]
    assert values("ask", "Who?", "--preset", "") == ["fast", "balanced", "thorough"]
    assert "retrieval.top_k=" in values("ask", "Who?", "--set", "retrieval.t")
    assert values("config", "show", "--preset", "b") == ["balanced"]


def test_criteria_are_offered_behind_the_setting_that_takes_them() -> None:
    found = values("ask", "Who?", "--set", "retrieval.search=[")
    assert set(found) == {f"retrieval.search=[{name}" for name in criteria.names()} & set(found) and found
    assert values("ask", "Who?", "--set", "retrieval.rescore=[mm") == ["retrieval.rescore=[mmr"]


def test_models_are_the_built_in_ones_or_files() -> None:
    assert "builtin" in values("ask", "Who?", "--model", "b")
    assert ("file", "./my") in offered("ask", "Who?", "--model", "./my")


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "Who?", "le"),
        ("ask", "Who?", "--config", "le"),
        ("ask", "Who?", "--schema", "le"),
        ("chat", "le"),
        ("memory", "add", "le"),
        ("cache", "warm", "le"),
        ("memory", "search", "x", "--memory", "le"),
    ],
)
def test_files_are_left_to_the_shell(words: tuple[str, ...]) -> None:
    assert ("file", "le") in offered(*words)


def test_explain_takes_strategies_and_runs_that_are_kept(own_cache: Path) -> None:
    runs = own_cache / "ctxproc" / "runs"
    runs.mkdir(parents=True)
    (runs / "20260501-101112-0123abcd.jsonl").write_text("")
    assert "20260501-101112-0123abcd" in values("explain", "2026") and values("explain", "la") == ["last"]
    assert values("explain", "nb") == ["nbce"]


def test_every_command_completes_its_options() -> None:
    def walk(command: click.Command, *path: str) -> None:
        if isinstance(command, click.Group):
            for name, below in command.commands.items():
                walk(below, *path, name)
        else:
            assert "--help" in values(*path, "--h"), path

    walk(cli)

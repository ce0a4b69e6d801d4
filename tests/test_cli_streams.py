"""Where the command line writes to: a full disk, a closed output, a pipe that nobody reads any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ctxproc import Answer, Evidence, Usage
from ctxproc.cli.ask import show
from ctxproc.cli.compare import _print as draw
from ctxproc.cli.compare import _table as table
from ctxproc.cli.main import UNREAD, main


def gone() -> int:
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["config", "presets"], ["doctor", "--json"]])
def test_a_full_disk_is_one_line_and_exit_1(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ctxproc", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ctxproc: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("arguments", ["config presets", "strategies", "memory --help", "--version"])
def test_a_reader_that_has_gone_ends_the_program_in_silence(arguments: str) -> None:
    command = [sys.executable, "-m", "ctxproc", *arguments.split()]
    done = subprocess.run(command, stdout=gone(), stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (UNREAD, "")


@pytest.mark.parametrize("arguments", [["strategies"], ["criteria"], ["models"], ["config", "show"], ["doctor"]])
def test_a_list_is_printed_at_once_so_that_its_reader_may_stop_after_a_line(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[str] = []
    monkeypatch.setattr(click, "echo", printed.append)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # which the program sets
    main(arguments)
    [text] = printed
    assert text.count("\n") > 3 and not text.endswith("\n")


def test_nobody_who_reads_an_error_ends_the_program_as_well() -> None:
    command = [sys.executable, "-m", "ctxproc", "nonesuch"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=gone(), text=True, check=False)
    assert (done.returncode, done.stdout) == (UNREAD, "")


def test_a_table_that_nobody_reads_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    with os.fdopen(gone(), "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        with pytest.raises(BrokenPipeError):
            draw(table("way"))
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence("a.txt", "0" * 64, 0, 4, 0, 4, None, "Ben.", 0.9, "verified")
    answer = Answer("Ben", False, "stuff", "builtin", "r1", (evidence,), Usage(1, 2, 0, 3, 0.1))
    monkeypatch.setattr(sys, "stdout", None)
    show(answer)

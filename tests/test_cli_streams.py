"""Where the command line writes to: a full disk, a closed output, a pipe that nobody reads any more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ctxproc import Answer, Evidence, Usage
from ctxproc.cli.ask import show

PRESETS = [sys.executable, "-m", "ctxproc", "config", "presets"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("arguments", [["config", "presets"], ["doctor", "--json"]])
def test_a_full_disk_is_one_line_and_exit_1(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ctxproc", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "ctxproc: the output cannot be written: No space left on device\n"


def test_a_reader_that_has_gone_ends_the_program_in_silence() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(PRESETS, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")  # as click ends it


def test_a_closed_output_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    evidence = Evidence("a.txt", "0" * 64, 0, 4, 0, 4, None, "Ben.", 0.9, "verified")
    answer = Answer("Ben", False, "stuff", "builtin", "r1", (evidence,), Usage(1, 2, 0, 3, 0.1))
    monkeypatch.setattr(sys, "stdout", None)
    show(answer)

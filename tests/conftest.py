"""No test reaches a network or a model hub, and none leaves anything in the user's cache."""

from __future__ import annotations

import os
import runpy
import shutil
import socket
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
OFFLINE = ROOT / "tests" / "offline"
TRIED = Path(tempfile.mkdtemp(prefix="ctxproc-tests-")) / "connections"
sys.path += [str(ROOT), str(ROOT / "benchmarks")]  # last: the installed ctxproc comes first

os.environ["CTXPROC_TEST_CONNECTIONS"] = str(TRIED)
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(OFFLINE), os.environ.get("PYTHONPATH"))))  # for children
runpy.run_path(str(OFFLINE / "sitecustomize.py"))  # for this process

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A connection that some process tried to make, and perhaps kept silent about, fails the whole run."""
    tried = TRIED.read_text(encoding="utf-8") if TRIED.exists() else ""
    shutil.rmtree(TRIED.parent)
    if tried:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        sys.stderr.write(f"\nconnections beyond this machine were tried:\n{tried}")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connecting anywhere fails the test; a socket in the file system, by which processes of one program talk, may be."""
    connect = socket.socket.connect

    def refuse(self: socket.socket, address: object) -> None:
        if self.family == socket.AF_UNIX:
            return connect(self, address)  # type: ignore[arg-type]
        pytest.fail(f"a connection to {address} was tried")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Each test has a cache folder of its own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder

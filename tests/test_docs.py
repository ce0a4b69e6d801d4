"""The documentation is true to the code: every block runs, every link leads somewhere, made pages are up to date."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from models import build
from pages import RUN, Block, blocks, commands, like, parsed, run, typed
from test_formats import docx, paragraph, pdf

import ctxproc
from ctxproc.errors import CtxprocError

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "README.md", *DOCS.glob("*.md")])
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
ANNA = "Anna lives in Graz since 2019. She rests after the long winter.\n\nThe tone of the valley is warm this year.\n"
BEN = "Ben signed the lease on 3 May 1921. The rent is forty crowns a year.\n\nThe tower was built in 1787.\n"
CONTRACT = "The lease of the mill. Ben Arkwright signed the lease on 3 May 1921. Maren Oduya keeps the lamp."
SCHEMA = '{"type": "object", "properties": {"rent": {"type": "string", "maxLength": 8}}, "required": ["rent"]}'


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder for all pages, and a tiny model with random weights in it."""
    folder = tmp_path_factory.mktemp("pages")
    build(folder / "my-llama", "llama", max_position_embeddings=8192)
    return folder


@pytest.fixture
def desk(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder with the files that the pages name, which is the current one."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set(sys.modules)
    for name, text in {"letters/anna.txt": ANNA, "letters/ben.txt": BEN, "archive/ben.txt": BEN}.items():
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
    for name, text in {"letter.txt": ANNA, "notes.txt": "The meeting is on Friday.\n", "lease.json": SCHEMA}.items():
        Path(name).write_text(text, encoding="utf-8")
    for name in ("contract.pdf", "book.pdf"):
        Path(name).write_bytes(pdf([CONTRACT, "The tower was built in 1787."]))
    Path("report.docx").write_bytes(docx(paragraph(CONTRACT)))
    Path("examples").symlink_to(ROOT / "examples")
    Path("my-llama").symlink_to(kept / "my-llama")
    yield
    for name in set(sys.modules) - modules:
        if (file := getattr(sys.modules[name], "__file__", None)) and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_block_of_a_page_runs(
    page: Path, desk: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)  # where classes of a block look for their names
    for block in blocks(page):
        try:
            run(block, vars(module), page.name)
        except CtxprocError as error:
            pytest.fail(f"{page.name}:{block.line}: {error}")


def test_pages_have_blocks_that_run() -> None:
    kinds = [block.kind for page in PAGES for block in blocks(page) if not block.only_parsed]
    assert {kind: kinds.count(kind) for kind in RUN}["python"] >= 10 and kinds.count("sh") + kinds.count(
        "console"
    ) >= 15


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [match[1] for match in LINK.finditer(text) if not match[1].startswith("http")]
    missing = [target for target in targets if not (page.parent / target).exists()]
    assert missing == []


def test_the_pages_that_are_made_from_the_code_are_what_it_says() -> None:
    there = os.pathsep.join([str(Path(ctxproc.__file__).parents[1]), os.environ["PYTHONPATH"]])
    done = subprocess.run(  # by a process of its own: a command that was run without its group forgets about -h
        [sys.executable, str(DOCS / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": there},
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_settings_page_names_every_setting_and_its_default() -> None:
    from ctxproc.config import Settings, flatten

    text = (DOCS / "config.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| `([^`]*)` \|", text, re.MULTILINE))
    values = flatten(Settings().model_dump())
    assert rows.keys() - {"fast", "balanced", "thorough"} == values.keys()
    assert rows["retrieval.top_k"] == "8" and rows["retrieval.search"] == '["cosine", "bm25"]'


def test_a_wrong_block_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for kind, text, raised in (
        ("python", "assert 1 == 2", AssertionError),
        ("sh", "ctxproc ask 'Who?' nowhere.txt", AssertionError),
        ("sh", "ctxproc config show --presset fast", AssertionError),
        ("console", "$ ctxproc config presets\nslow\n", AssertionError),
        ("sh", "rm -r /", AssertionError),
    ):
        with pytest.raises(raised):
            run(Block(kind, text, "", 1), {}, "page")
    with pytest.raises(Exception, match="No such option"):
        parsed(["ask", "Who?", "--modell", "x"], "page")


def test_commands_are_taken_from_a_block_as_a_shell_would() -> None:
    assert list(commands("a --b \\\n  c && d\n# no\n\ne")) == ["a --b    c", "d", "e"]
    assert list(typed("$ a\nb\nc\n$ d\n")) == [("a", "b\nc\n"), ("d", "")]
    assert like("12 s, done", "… s, done") and not like("12 s", "13 s")


def test_the_recipes_of_contributing_give_a_strategy_and_a_criterion_that_keep_every_promise(tmp_path: Path) -> None:
    package, caches = Path(ctxproc.__file__).parent, shutil.ignore_patterns("__pycache__", "weights")
    shutil.copytree(package, tmp_path / "ctxproc", ignore=caches)
    (tmp_path / "ctxproc" / "llm" / "weights").symlink_to(package / "llm" / "weights")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=caches)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "benchmarks").symlink_to(ROOT / "benchmarks")
    recipes = {block.file: block.text for block in blocks(ROOT / "CONTRIBUTING.md") if block.file}
    (tmp_path / "ctxproc" / "strategies" / "middle.py").write_text(recipes["middle.py"], encoding="utf-8")
    (tmp_path / "ctxproc" / "memory" / "criteria" / "brief.py").write_text(recipes["brief.py"], encoding="utf-8")
    every = tmp_path / "tests" / "strategies" / "every.py"
    every.write_text(
        every.read_text("utf-8").replace('    "tail",\n', '    "tail",\n    "middle",\n'), encoding="utf-8"
    )
    wanted = ["tests/strategies/test_shared.py", "tests/memory/test_scorers.py"]
    chosen = ["-k", "middle or every_strategy_of or every_criterion", "-q", "-p", "no:cacheprovider", "-o", "addopts="]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *wanted, *chosen], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert int(re.search(r"(\d+) passed", done.stdout)[1]) >= 20  # type: ignore[index]

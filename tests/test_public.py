"""What a user sees of the package: its names, its weight on import, its error tree."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ctxproc
from ctxproc import errors


def test_all_is_what_is_visible_and_every_name_resolves() -> None:
    assert dir(ctxproc) == sorted(ctxproc.__all__)
    for name in ctxproc.__all__:
        assert getattr(ctxproc, name) is not None
    with pytest.raises(AttributeError, match="nonesuch"):
        _ = ctxproc.nonesuch  # type: ignore[attr-defined]


def test_ask_is_the_function_also_after_its_module_is_imported() -> None:
    code = "import ctxproc.ask, ctxproc; assert callable(ctxproc.ask); from ctxproc.ask import Library"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("code", ["import ctxproc", "import ctxproc.cli.main"])
def test_importing_loads_nothing_heavy(code: str) -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "numpy", "pydantic", "rich", "pypdf", "faiss", "yaml")
    check = f"{code}; import sys; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_error_tree_in_the_docstring_is_the_error_tree() -> None:
    drawn = {}
    parents = []
    for line in (errors.__doc__ or "").splitlines():
        if "Error" not in line.split("  ")[0] + line:
            continue
        name = next((word for word in line.replace("│", " ").split() if word.endswith("Error")), None)
        if name is None or name not in vars(errors):
            continue
        depth = (line.index(name) - 4) // 4
        parents = [*parents[:depth], name]
        drawn[name] = parents[-2] if depth else "Exception"
    real = {
        n: v.__mro__[1].__name__ for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, Exception)
    }
    assert drawn == real


def test_usage_errors_exit_2_and_failed_runs_exit_1() -> None:
    assert errors.SourceError("x").exit_code == errors.UnknownNameError("a", "b", []).exit_code == 2
    assert errors.ModelError("x").exit_code == errors.PromptTooLongError(5, 2, 6).exit_code == 1
    assert str(errors.PromptTooLongError(5, 2, 6)).startswith(
        "the prompt has 5 tokens and 2 are reserved for the answer: 1 more than the model's window of 6; ask in fewer words"
    )

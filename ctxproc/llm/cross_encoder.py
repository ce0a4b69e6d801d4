"""Cross-encoders of sentence-transformers: models that read a query and a text together and give one number."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ctxproc.errors import ModelError
from ctxproc.llm.pretrained import quiet

if TYPE_CHECKING:
    from sentence_transformers import CrossEncoder


@cache
def cross_encoder(model: str) -> CrossEncoder:
    """The cross-encoder of a folder or hub name, from safetensors; its own code is never run.

    A folder is read as it is, without the network; a hub is asked only for a name that is no folder.

    Raises:
        ModelError: it cannot be loaded, or gives more than one number.
    """
    options = {"use_safetensors": True}
    try:
        with quiet():
            from sentence_transformers import CrossEncoder

            made: CrossEncoder = CrossEncoder(model, model_kwargs=options, local_files_only=Path(model).is_dir())
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, AttributeError, ImportError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ModelError(f"cross-encoder {model}: cannot be loaded: {reason}") from error
    if made.num_labels != 1:
        raise ModelError(f"cross-encoder {model}: gives {made.num_labels} numbers for a pair, and one is needed")
    return made

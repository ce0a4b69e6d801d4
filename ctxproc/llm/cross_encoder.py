"""Cross-encoders: models that read a query and a text together and give one number.

The built-in judge (judge.py), or a cross-encoder of sentence-transformers.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def relevances(model: str, query: str, kept: Sequence[str], texts: Sequence[str]) -> list[float]:
    """How relevant each text is to a query and to texts kept before, from 0 to 1.

    Args:
        model: "" for the built-in judge, which reads texts of any length, or a folder or hub name, whose window cuts at
            the end; that model reads the kept texts as if they were part of the query.
        query: in words.
        kept: in the order in which they were kept.
        texts: one number is given for each.

    Raises:
        ModelError: the model cannot be loaded, or gives more than one number.
    """
    if not texts:
        return []
    if not model:
        from ctxproc.llm.judge import built_in_judge

        return built_in_judge().score(query, kept, texts)
    from torch.nn import Sigmoid

    pairs = [(" ".join([query, *kept]), text) for text in texts]
    found = cross_encoder(model).predict(pairs, activation_fn=Sigmoid(), show_progress_bar=False)
    return [float(value) for value in found]

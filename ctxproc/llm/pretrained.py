"""Reading a transformers folder or hub model: configuration, tokenizer, weights.

No code of a model is ever run (``trust_remote_code`` is False), no pickle is opened (safetensors only), and weights
that do not fit the model are refused rather than filled up with random numbers. Nothing is printed or logged.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
WINDOW_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
DEFAULT_WINDOW = 2048  # of a model that names none, such as one with relative positions
SANE = 10**8  # tokenizers without a limit give one above this


@dataclass(frozen=True)
class Source:
    """Where a model is read from: ``path`` is a folder, or a hub name if not ``local``."""

    name: str
    path: str
    local: bool

    @property
    def options(self) -> dict[str, Any]:
        """What every reading call gets."""
        return {"trust_remote_code": False, "local_files_only": self.local}

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The configuration of a causal language model.

        Raises:
            ModelError: there is none, or it is another kind of model.
        """
        from transformers import AutoConfig
        from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

        with self._reading("configuration"):
            config: PreTrainedConfig = AutoConfig.from_pretrained(self.path, **self.options)
        named: Any = CAUSAL.get(config.model_type, ())
        classes = (named,) if isinstance(named, str) else tuple(named)
        reads_both_ways = getattr(config, "is_decoder", True) is False
        if not classes or (reads_both_ways and not set(config.architectures or ()) & set(classes)):
            raise ModelError(
                f"model {self.name}: {config.model_type} is not a causal language model; choose one that is"
            )
        return config

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer.

        Raises:
            ModelError: missing or damaged.
        """
        from transformers import AutoTokenizer

        with self._reading("tokenizer"):
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(self.path, **self.options)
        return tokenizer

    def window(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Tokens the model can read: the least of what configuration and tokenizer name."""
        config = self.config.get_text_config(decoder=True)
        limits = [tokenizer.model_max_length, *(getattr(config, name, None) or 0 for name in WINDOW_NAMES)]
        return int(min((limit for limit in limits if 0 < limit < SANE), default=DEFAULT_WINDOW))

    def weights(self, dtype: torch.dtype, device: torch.device) -> Any:  # noqa: ANN401  (models share only Module)
        """The model with its weights, ready to run.

        Raises:
            ModelError: no safetensors, damaged ones, or weights that are not all of this model's.
        """
        from transformers import AutoModelForCausalLM

        self._refuse_pickles()
        with self._reading("weights"):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                self.path,
                config=self.config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **self.options,
            )
        model, report = loaded
        mismatched = {key if isinstance(key, str) else str(key[0]) for key in report["mismatched_keys"]}
        lacking = sorted({*report["missing_keys"], *mismatched})
        if lacking:
            raise ModelError(
                f"model {self.name}: its weights are not all there ({len(lacking)} tensors missing or misshapen, "
                f"such as {lacking[0]}); fetch the model again"
            )
        return model.to(device).eval()

    def _refuse_pickles(self) -> None:
        names = [entry.name for entry in Path(self.path).iterdir()] if self.local else []
        if any(name.endswith(PICKLES) for name in names) and not any(name.endswith(".safetensors") for name in names):
            raise ModelError(
                f"model {self.name}: its weights are pickles ({', '.join(PICKLES)}), which can run code and are never "
                "opened; convert them to safetensors"
            )

    @contextmanager
    def _reading(self, part: str) -> Iterator[None]:
        """Turns what reading a damaged or missing model raises into one line, in silence."""
        from safetensors import SafetensorError

        try:
            with quiet():
                yield
        except (OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, ImportError) as error:
            raise self._failure(part, error) from error
        except SafetensorError as error:
            raise self._failure(part, error) from error
        except Exception as error:
            if type(error) is not Exception:  # what the tokenizers library raises for a damaged file
                raise
            raise self._failure(part, error) from error

    def _failure(self, part: str, error: Exception) -> ModelError:
        if not self.local and isinstance(error, OSError):
            return ModelError(f"model {self.name}: no folder here, and the hub gives no model of that name; check it")
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        return ModelError(f"model {self.name}: cannot read its {part} ({reason})")


def find(name: str) -> Source:
    """The folder called ``name``, else the hub model of that name.

    What looks like a path is never sent to a hub: an existing one, one with more than one separator or a leading
    ``.`` or ``~``, and one whose first part is a folder here.

    Raises:
        ModelError: it looks like a path and no folder is there.
    """
    path = Path(name).expanduser()
    if path.is_dir():
        return Source(name, str(path.resolve()), local=True)
    first, *rest = name.split("/")
    looks_local = len(rest) > 1 or "\\" in name or name[:1] in ("", ".", "~", "/") or (rest and Path(first).exists())
    if looks_local or path.exists() or not all((first, *rest)):
        raise ModelError(f"model {name}: there is no such folder; give a folder with config.json or a hub name")
    return Source(name, name, local=False)


@contextmanager
def quiet() -> Iterator[None]:
    """No logging, progress bar or warning from transformers and the hub's client inside; as before afterwards."""
    from huggingface_hub.utils import logging as hub
    from transformers.utils import logging

    silent = 100  # above every level
    level, hub_level, bars = logging.get_verbosity(), hub.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.set_verbosity(silent)
        hub.set_verbosity(silent)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        try:
            yield
        finally:
            logging.set_verbosity(level)
            hub.set_verbosity(hub_level)
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]

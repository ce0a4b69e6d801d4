"""Reading a transformers folder, a GGUF file or a hub model: configuration, tokenizer, weights.

No code of a model is ever run (``trust_remote_code`` is False), no pickle is opened (safetensors only), and weights
that do not fit the model are refused rather than filled up with random numbers. Nothing is printed or logged, save the
progress of a download on a terminal. A GGUF file is unpacked into plain weights, whatever it is packed in.
"""

from __future__ import annotations

import io
import struct
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.quantise import GGUF_PACKAGES, hushed, missing, no_hub_kernels, quantised_layers, quantising
from ctxproc.llm.shelf import WEIGHTS, built_in

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

BUILTIN = "builtin:causal"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
WINDOW_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length", "seq_length", "n_ctx")
DEFAULT_WINDOW = 2048  # of a model that names none, such as one with relative positions
SANE = 10**8  # tokenizers without a limit give one above this
DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    RuntimeError,
    TypeError,
    AttributeError,
    ImportError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    struct.error,
)
"""What the readers of transformers, gguf and torch raise for files that are not as they should be."""


@dataclass(frozen=True)
class Source:
    """Where a model is read from: ``path`` is a folder, a GGUF file if ``gguf``, or a hub name if not ``local``."""

    name: str
    path: str
    local: bool
    gguf: bool = False

    @contextmanager
    def _place(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The folder or hub name, and the options, that every reading call gets.

        A GGUF file is shown in a folder of its own: what lies beside it belongs to other models.
        """
        options: dict[str, Any] = {"trust_remote_code": False, "local_files_only": self.local}
        if not self.gguf:
            yield self.path, options
            return
        with TemporaryDirectory(prefix="ctxproc-") as alone:
            Path(alone, "model.gguf").symlink_to(self.path)
            yield alone, {**options, "gguf_file": "model.gguf"}

    @cached_property
    def config(self) -> PreTrainedConfig:
        """The configuration of a causal language model.

        Raises:
            ModelError: there is none, or it is another kind of model.
        """
        with self._reading("configuration") as (path, options):
            from transformers import AutoConfig
            from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL

            config: PreTrainedConfig = AutoConfig.from_pretrained(path, **options)
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
        with self._reading("tokenizer") as (path, options):
            from transformers import AutoTokenizer

            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, **options)
        return tokenizer

    def window(self, tokenizer: PreTrainedTokenizerBase) -> int:
        """Tokens the model can read: the least of what configuration and tokenizer name."""
        config = self.config.get_text_config(decoder=True)
        limits = [tokenizer.model_max_length, *(getattr(config, name, None) or 0 for name in WINDOW_NAMES)]
        return int(min((limit for limit in limits if 0 < limit < SANE), default=DEFAULT_WINDOW))

    def weights(self, dtype: torch.dtype, device: torch.device, quantise: str = "none") -> Any:  # noqa: ANN401
        """The model with its weights, ready to run (models share only Module).

        Args:
            dtype: of the weights, or where they are quantised, of all others and of what is computed.
            device: where they are put.
            quantise: "none", "int8" or "int4"; a model that is quantised as it is stored takes only "none".

        Raises:
            ModelError: no safetensors, damaged ones, or weights that are not all of this model's; nothing in it can be
                quantised; a library is missing.
            ConfigError: no library quantises on this device, or the model is quantised already.
        """
        self._refuse_pickles()
        stored = getattr(self.config, "quantization_config", None) is not None
        if quantise != "none" and (stored or self.gguf):
            raise ConfigError(f"model {self.name} is quantised as it is stored: leave out quantise {quantise}")
        with self._reading("weights") as (path, options):
            from transformers import AutoModelForCausalLM

            options.update(self._unpacking() if self.gguf else quantising(quantise, device))
            if stored and device.type != "cpu":
                options["device_map"] = {"": device}
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                path,
                config=self.config,
                dtype=dtype,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **options,
            )
        model, report = loaded
        self._check_complete(report)
        if quantise != "none" and not quantised_layers(model):
            raise ModelError(f"model {self.name}: it has no layer that {quantise} can hold; leave out quantise")
        return (model if "device_map" in options else model.to(device)).eval()

    def _unpacking(self) -> dict[str, Any]:
        """The option that unpacks all of a GGUF file, where this transformers could do otherwise."""
        import transformers

        made: Any = getattr(transformers, "GgufConfig", None)
        return {"quantization_config": made(dequantize=True)} if made else {}

    def _check_complete(self, report: dict[str, Any]) -> None:
        mismatched = {key if isinstance(key, str) else str(key[0]) for key in report["mismatched_keys"]}
        lacking = sorted({*report["missing_keys"], *mismatched})
        if lacking:
            raise ModelError(
                f"model {self.name}: its weights are not all there ({len(lacking)} tensors missing or misshapen, "
                f"such as {lacking[0]}); fetch the model again"
            )

    def _refuse_pickles(self) -> None:
        if self.gguf or not self.local:
            return
        names = [entry.name for entry in Path(self.path).iterdir()]
        if any(name.endswith(PICKLES) for name in names) and not any(name.endswith(".safetensors") for name in names):
            raise ModelError(
                f"model {self.name}: its weights are pickles ({', '.join(PICKLES)}), which can run code and are never "
                "opened; convert them to safetensors"
            )

    @contextmanager
    def _reading(self, part: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Turns what reading a damaged or missing model raises into one line, in silence; gives `_place`."""
        from safetensors import SafetensorError

        if self.gguf and (lacking := missing(GGUF_PACKAGES)):
            raise ModelError(f"model {self.name}: GGUF files need {' and '.join(lacking)}: pip install 'ctxproc[gguf]'")
        try:
            with ExitStack() as stack:
                stack.enter_context(quiet(downloads=not self.local))
                stack.enter_context(no_hub_kernels())
                if self.gguf:
                    stack.enter_context(redirect_stderr(io.StringIO()))  # its loader draws a bar of its own
                yield stack.enter_context(self._place())
        except DAMAGE as error:
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
    """The folder or GGUF file called ``name``, the model that is built in, or else the hub model of that name.

    A folder without safetensors that holds exactly one GGUF file stands for that file. What looks like a path is never
    sent to a hub: an existing one, one with more than one separator or a leading ``.`` or ``~``, one that ends in
    ``.gguf``, and one whose first part is a folder here.

    Raises:
        ModelError: it looks like a path and no model is there; the built-in model's files are not as they were made.
    """
    if name == BUILTIN:
        model = built_in("causal")
        model.check()
        return Source(name, str(WEIGHTS / model.name), local=True)
    if not name.strip():
        raise ModelError(f"no model is named: give builtin, {BUILTIN}, a folder, a .gguf file or a hub name")
    path = Path(name).expanduser()
    if path.is_dir():
        return _in_folder(name, path.resolve())
    if path.is_file() and path.suffix.lower() == ".gguf":
        return Source(name, str(path.resolve()), local=True, gguf=True)
    if name.lower().partition(":")[0] == "builtin":
        raise ModelError(f"model {name}: there is none of that name; built in are builtin and {BUILTIN}")
    first, *rest = name.split("/")
    looks_local = len(rest) > 1 or "\\" in name or name[:1] in ("", ".", "~", "/") or (rest and Path(first).exists())
    looks_local = looks_local or path.suffix.lower() == ".gguf"
    if looks_local or path.exists() or not all((first, *rest)):
        raise ModelError(
            f"model {name}: there is no such folder; give a folder with config.json, a .gguf file or a hub name"
        )
    return Source(name, name, local=False)


def _in_folder(name: str, folder: Path) -> Source:
    files = list(folder.iterdir())
    packed = sorted(file for file in files if file.suffix.lower() == ".gguf")
    if not packed and not (folder / "config.json").exists():
        raise ModelError(f"model {name}: the folder holds neither config.json nor a .gguf file; name one that does")
    if not packed or any(file.suffix == ".safetensors" for file in files):
        return Source(name, str(folder), local=True)
    if len(packed) > 1:
        raise ModelError(f"model {name}: the folder holds {len(packed)} GGUF files; name one, such as {packed[0].name}")
    return Source(name, str(packed[0]), local=True, gguf=True)


def rope_parameters(config: Any) -> list[dict[str, Any]]:  # noqa: ANN401  (configurations share no class)
    """The rotary parameters of a configuration, one mapping for each kind of layer."""
    found = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in found.values() if isinstance(value, dict)]
    return nested or [found]


@contextmanager
def quiet(downloads: bool = False) -> Iterator[None]:
    """No logging, progress bar or warning from transformers and what it loads inside; as before afterwards.

    Args:
        downloads: show the progress of downloads all the same, where standard error is a terminal.
    """
    from huggingface_hub.utils import logging as hub
    from huggingface_hub.utils.tqdm import enable_progress_bars
    from transformers.utils import logging

    silent = 100  # above every level
    level, hub_level, bars = logging.get_verbosity(), hub.get_verbosity(), logging.is_progress_bar_enabled()
    with warnings.catch_warnings(), hushed():
        warnings.simplefilter("ignore")
        logging.set_verbosity(silent)
        hub.set_verbosity(silent)
        logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        if downloads and sys.stderr.isatty():
            enable_progress_bars()
        try:
            yield
        finally:
            logging.set_verbosity(level)
            hub.set_verbosity(hub_level)
            if bars:
                logging.enable_progress_bar()  # type: ignore[no-untyped-call]

"""Tiny causal models with random weights, in folders as transformers saves them; nothing is downloaded."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ctxproc.llm.pretrained import quiet
from ctxproc.text import words

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "models"
STORIES = DATA / "stories260K"

SIZE: dict[str, object] = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED: dict[str, object] = {**SIZE, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 256}
ARCHITECTURES: dict[str, dict[str, object]] = {
    "llama": GROUPED,
    "qwen2": {**SIZE, "num_key_value_heads": 2, "max_position_embeddings": 256},
    "qwen3": GROUPED,
    "mistral": {**GROUPED, "sliding_window": 8},
    "gemma": GROUPED,
    "gemma2": {**GROUPED, "sliding_window": 8, "query_pre_attn_scalar": 8},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
}
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_LIKE = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m['role'] }}<|end|>\n\n{{ m['content'] | trim }}<|eot|>"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant<|end|>\n\n{% endif %}"
)
MISTRAL_LIKE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% elif m['role'] == 'assistant' %} {{ m['content'] }}{{ eos_token }}"
    "{% else %}{{ raise_exception('only user and assistant') }}{% endif %}{% endfor %}"
)
MARKERS = ["<|im_start|>", "<|im_end|>", "<|start|>", "<|end|>", "<|eot|>", "[INST]", "[/INST]"]


def byte_tokenizer(template: str | None = None, bos: bool = False) -> PreTrainedTokenizerFast:
    """Byte-level BPE with a few merges; ids 0 ``<s>``, 1 ``</s>``; ``<tool_call>`` is added but not special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the"), ("i", "n"), ("e", "r"), ("Ġ", "a"), ("o", "n"), ("Ċ", "Ċ")]
    words = ["<s>", "</s>", *alphabet, *("".join(pair) for pair in merges)]
    backend = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    if bos:
        backend.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", additional_special_tokens=MARKERS
    )
    fast.add_tokens(["<tool_call>", "   "])
    fast.chat_template = template
    return fast


def spaced_tokenizer(scheme: str, template: str | None = None) -> PreTrainedTokenizerFast:
    """As sentencepiece makes them: spaces as U+2581, one put in front, bytes as a fallback, begin-of-text.

    ``scheme`` is "normalizer" (Prepend, as old Llama files have it) or "metaspace" (as new ones).
    """
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "O"), ("▁O", "n"), ("c", "e"), ("▁", "a")]
    letters = sorted({*"▁abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,!?'<>/|"})
    words = ["<unk>", "<s>", "</s>", *bytes_, *letters, *("".join(pair) for pair in merges)]
    vocabulary = {word: i for i, word in enumerate(words)}
    backend = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    if scheme == "normalizer":
        backend.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        backend.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing("<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", chat_template=template
    )
    fast.add_special_tokens({"additional_special_tokens": MARKERS})
    return fast


def qwen_tokenizer() -> PreTrainedTokenizerBase | None:
    """The real one of Qwen2.5 with its chat template, where it is at hand."""
    folder = DATA / "tokenizers" / "qwen2.5"
    return transformers.AutoTokenizer.from_pretrained(folder) if folder.is_dir() else None


def gpt2_tokenizer() -> PreTrainedTokenizerBase | None:
    """The real one of GPT-2, where it is at hand."""
    folder = DATA / "tokenizers" / "gpt2"
    if not folder.is_dir():
        return None
    return transformers.GPT2Tokenizer(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))


def tokenizer_for(architecture: str) -> PreTrainedTokenizerBase:
    """The tokenizer that fits an architecture: a real one or a built one, of every kind there is."""
    if architecture == "gpt2":
        return gpt2_tokenizer() or byte_tokenizer()
    if architecture == "qwen2":
        return qwen_tokenizer() or byte_tokenizer(CHATML)
    if architecture == "llama":
        return spaced_tokenizer("normalizer", LLAMA_LIKE)
    if architecture == "mistral":
        return spaced_tokenizer("metaspace", MISTRAL_LIKE)
    if architecture == "gemma":
        return spaced_tokenizer("metaspace")
    return byte_tokenizer(CHATML if architecture == "qwen3" else None, bos=architecture == "gemma2")


def build(folder: Path, architecture: str, tokenizer: PreTrainedTokenizerBase | None = None, **changes: object) -> Path:
    """A model folder: configuration, random weights (wide enough that logits differ), tokenizer."""
    tokenizer = tokenizer if tokenizer is not None else tokenizer_for(architecture)
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    options = {**ARCHITECTURES[architecture], "vocab_size": len(tokenizer), "initializer_range": 0.4, **ends, **changes}
    config = transformers.AutoConfig.for_model(architecture, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.AutoModelForCausalLM.from_config(config)
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def copy(source: Path, target: Path) -> Path:
    """A writable copy of a model folder."""
    shutil.copytree(source, target)
    return target


def cross_encoder(folder: Path, texts: Sequence[str]) -> None:
    """A tiny random cross-encoder that knows the words of these texts, as sentence-transformers reads it."""
    known = sorted({word for text in texts for word in words(text)})
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", *known, "."])}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=64, **names).save_pretrained(folder)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), max_position_embeddings=64, num_labels=1, initializer_range=0.8, **size
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertForSequenceClassification(config).save_pretrained(folder)

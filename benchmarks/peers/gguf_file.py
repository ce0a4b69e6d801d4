"""The model as a GGUF file, read from its safetensors file with numpy alone. Needs ``pip install gguf``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from peers.workload import MODEL

PARTS = {
    "input_layernorm.weight": "attn_norm.weight",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm.weight": "ffn_norm.weight",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def make_gguf(folder: Path, dtype: str) -> Path:
    """Writes ``folder``/model as one GGUF file, matrices in ``dtype`` (f32, f16, bf16), unless it is there."""
    target = folder / f"model-{dtype}.gguf"
    if target.exists():
        return target
    import gguf

    config = json.loads((folder / MODEL / "config.json").read_text(encoding="utf-8"))
    kind = gguf.GGMLQuantizationType[dtype.upper()]
    part = target.with_suffix(".part")
    writer = gguf.GGUFWriter(part, "qwen2")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("none")
    for name, values in matrices(folder / MODEL / "model.safetensors"):
        if values.ndim == 1:
            writer.add_tensor(gguf_name(name), values)
        else:
            writer.add_tensor(gguf_name(name), gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.rename(target)
    return target


def gguf_name(name: str) -> str:
    """The GGUF name of a tensor of a Qwen2 model.

    >>> gguf_name("model.layers.3.self_attn.q_proj.bias")
    'blk.3.attn_q.bias'
    """
    whole = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    for ours, theirs in PARTS.items():
        if rest.startswith(ours):
            return f"blk.{layer}.{theirs}{rest.removeprefix(ours)}"
    raise ValueError(f"a Qwen2 model has no {name}")


def matrices(file: Path) -> Iterator[tuple[str, np.ndarray[Any, Any]]]:
    """Every tensor of a safetensors file in float32 or bfloat16, as float32."""
    raw = np.memmap(file, np.uint8, "r")
    size = int(raw[:8].view("<u8")[0])
    for name, entry in json.loads(raw[8 : 8 + size].tobytes()).items():
        if name == "__metadata__":
            continue
        begin, end = (8 + size + offset for offset in entry["data_offsets"])
        data = np.array(raw[begin:end])
        if entry["dtype"] == "BF16":
            values = (data.view("<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = data.view("<f4")
        yield name, values.reshape(entry["shape"])

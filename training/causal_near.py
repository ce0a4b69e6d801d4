"""What MiniLM knows of words and sentences, taken over: starting embeddings of tokens, and groups of like sentences.

    python -m training.causal_near --out build/causal

reads what `causal_text` wrote and adds ``near.safetensors``: for some sentences of each pool their nearest others, and
for each token of the tokenizer the first principal components of MiniLM's embedding of its text (as in Model2Vec).
"""

from __future__ import annotations

import logging
from pathlib import Path

import click
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer
from torch import Tensor

from ctxproc.llm.tokenizer import HfTokenizer
from ctxproc.llm.trunk import trunk_folder
from training.causal_text import load_pools

log = logging.getLogger(__name__)
COMPONENTS = 128
GROUP = 20  # sentences of a group, the anchor included
MOST = 16_000  # sentences that are compared
LIKE = (0.5, 0.95)  # cosine of a group's eighth member to the anchor, and of what counts as the same sentence


def embed(model: SentenceTransformer, texts: list[str]) -> Tensor:
    """Unit vectors, (texts, 384)."""
    vectors = model.encode(
        texts, batch_size=128, normalize_embeddings=True, convert_to_numpy=False, show_progress_bar=False
    )
    return torch.stack(list(vectors)).float()


def groups(vectors: Tensor) -> Tensor:
    """Groups of like sentences, (groups, GROUP) indices, the anchor first; vague ones are left out.

    Every second sentence is tried as an anchor; near copies of it are not members.
    """
    found = []
    for begin in range(0, len(vectors), 1000):
        anchors = torch.arange(begin, min(begin + 1000, len(vectors)), 2)
        likeness = vectors[anchors] @ vectors.T
        likeness[likeness > LIKE[1]] = -1.0
        cosines, members = likeness.topk(GROUP - 1)
        kept = cosines[:, 7] > LIKE[0]
        found.append(torch.cat([anchors[kept, None], members[kept]], 1))
    return torch.cat(found).int()


def token_vectors(model: SentenceTransformer, tokenizer: HfTokenizer) -> Tensor:
    """(entries, COMPONENTS), each row of length one."""
    texts = [tokenizer.decode([token]).strip() or "." for token in range(len(tokenizer.inner))]
    vectors = embed(model, texts)
    vectors = vectors - vectors.mean(0)
    _, _, axes = torch.linalg.svd(vectors, full_matrices=False)
    return torch.nn.functional.normalize(vectors @ axes[:COMPONENTS].T, dim=-1)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/causal"))
def main(out: Path) -> None:
    """Write near.safetensors."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    model = SentenceTransformer(str(trunk_folder()), device="cpu").bfloat16()
    tensors = {"tokens": token_vectors(model, HfTokenizer.load(out)).contiguous()}
    for name, pool in zip(("train", "dev"), load_pools(out / "pool.json"), strict=True):
        tensors[name] = groups(embed(model, pool.sentences[:MOST])).contiguous()
        log.info("%s: %d groups of %d sentences", name, len(tensors[name]), len(pool.sentences))
    save_file(tensors, out / "near.safetensors")


if __name__ == "__main__":
    main()

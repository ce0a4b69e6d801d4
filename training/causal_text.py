"""The text that the small causal model is trained on: passages, sentences, names and words of the books, and its tokenizer.

    python -m training.causal_text --data ../shared/data --out build/causal

writes ``pool.json`` and the tokenizer's files. Books and speeches come from the folder ``train``; what of them stands in
an evaluation set is dropped (`overlap`), and one book in twenty is kept apart as development text. The tokenizer sees
the passages of ``questions.json`` too, which `causal_questions` wrote.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import click
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from ctxproc.prompt import source, template_names
from training.overlap import Overlap, evaluation_texts
from training.reader_cloze import NAME, OPENERS, STOP, sentences
from training.reader_text import books, windows

log = logging.getLogger(__name__)
ENTRIES = 12_288  # of the vocabulary
APART = 20  # one book in so many is development text
READ = 240_000  # characters of a book that are used
UNSAID = re.compile(r"nigg|darke?y|darkies|coon|chink|kike|squaw|wench|whore|bitch|faggot")  # no labels and no values
BEGIN, END = "<s>", "</s>"
ROLES = {role: f"<|{role}|>" for role in ("system", "user", "assistant")}
CHAT = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass
class Pool:
    """Text to make tasks from.

    Attributes:
        passages: runs of whole sentences of 40 to 150 words, white space made single spaces.
        sentences: of 3 to 18 words, half of them questions.
        names: of one or two capital words, as often as they occur in different passages.
        words: lower-case content words, the most frequent first.
    """

    passages: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    @cached_property
    def openings(self) -> list[list[str]]:
        """Sentences with the same first two words, at least eight together."""
        found: dict[str, list[str]] = {}
        for sentence in self.sentences:
            found.setdefault(" ".join(sentence.lower().split()[:2]), []).append(sentence)
        return [members for members in found.values() if len(members) >= 8]

    @cached_property
    def holders(self) -> list[list[str]]:
        """Sentences that hold the same content word, for words that 8 to 300 sentences hold."""
        found: dict[str, list[str]] = {}
        for sentence in self.sentences:
            for word in sorted(set(re.findall(r"[a-z]{4,}", sentence)) - STOP):
                found.setdefault(word, []).append(sentence)
        return [members for members in found.values() if 8 <= len(members) <= 300]


def load_pools(path: Path) -> tuple[Pool, Pool]:
    """The training pool and the development pool of a file."""
    both = json.loads(path.read_text(encoding="utf-8"))
    return Pool(**both["train"]), Pool(**both["dev"])


def fill(pool: Pool, text: str, rng: random.Random) -> None:
    """Add a book's passages and sentences to a pool."""
    begin = rng.randrange(max(1, len(text) - READ))
    text = " ".join(text[begin : begin + READ].split()).replace("_", "")
    cuts = sentences(text)
    pool.passages += windows(text, cuts, 40, 150, rng)
    short = [text[a:b].strip() for a, b in cuts if 3 <= len(text[a:b].split()) <= 18]
    asked = [sentence for sentence in short if sentence.endswith(("?", '?"', "?”"))]
    asked = [asked[k] for k in range(len(asked)) if rng.random() < 160 / len(asked)]
    told = [sentence for sentence in short if rng.random() < 160 / len(short)]
    pool.sentences += [sentence.strip("\"“”' ") for sentence in (*asked, *told)]


def count_words(pool: Pool) -> None:
    """Fill in the names and words of a pool from its passages."""
    words: Counter[str] = Counter()
    names: Counter[str] = Counter()
    for passage in pool.passages:
        words.update(re.findall(r"(?<![\w'’-])[a-z]{3,12}(?![\w'’-])", passage))
        found = {spot.strip(".'’-") for spot in re.findall(NAME, passage)}
        names.update(name for name in found if 1 <= len(name.split()) <= 2 and name.split()[0] not in OPENERS)
    pool.words = [
        word for word, count in words.most_common() if count > 3 and word not in STOP and not UNSAID.match(word)
    ]
    said = [name for name, count in names.items() if count > 1 and not UNSAID.match(name.lower())]
    pool.names = [name for name in said if len(name) > 3 and not name.isupper()]


def make_pools(data: Path, rng: random.Random) -> tuple[Pool, Pool]:
    """Read all books and speeches."""
    train, dev = Pool(), Pool()
    for number, (_, text) in enumerate(books(data)):
        if len(text) > 2000:
            fill(dev if number % APART == 0 else train, text, rng)
    keep = Overlap.of(evaluation_texts(data))
    for pool in (train, dev):
        pool.passages = [text for _, text in keep.filter([("passage", text) for text in pool.passages])]
        pool.sentences = [
            text for _, text in keep.filter([("sentence", text) for text in dict.fromkeys(pool.sentences)])
        ]
        rng.shuffle(pool.sentences)
        count_words(pool)
    keep.write("causal_text")
    return train, dev


def train_tokenizer(texts: Iterator[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with one begin-of-text; a line break is always a token of its own."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex("\n"), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES,
        special_tokens=[BEGIN, END, *ROLES.values()],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner.post_processor = processors.TemplateProcessing(single=f"{BEGIN} $A", special_tokens=[(BEGIN, 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        bos_token=BEGIN,
        eos_token=END,
        pad_token=END,
        additional_special_tokens=list(ROLES.values()),
        chat_template=CHAT,
        model_max_length=1024,
        clean_up_tokenization_spaces=False,
    )


def tokenizer_texts(pool: Pool, asked: list[str]) -> Iterator[str]:
    """What the tokenizer sees: passages, the prompts, and numbers, codes and labels as tasks have them."""
    rng = random.Random(3)
    yield from pool.passages[::3]
    yield from asked * 2
    prompts = [source(name) for name in template_names()]
    yield from prompts * 50
    for _ in range(20_000):
        words = rng.sample(pool.words[:8000], 3)
        numbers = f"{words[2].upper()}-{rng.randrange(10**6)} {rng.randrange(1000, 2030)}"
        yield f"{words[0]}_{words[1]}: {numbers}\nLabel: {words[0]}"


@click.command()
@click.option("--data", type=click.Path(path_type=Path), default=Path("../shared/data"))
@click.option("--out", type=click.Path(path_type=Path), default=Path("build/causal"))
def main(data: Path, out: Path) -> None:
    """Write the pools and the tokenizer."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    out.mkdir(parents=True, exist_ok=True)
    train, dev = make_pools(data, random.Random(1))
    for name, pool in (("train", train), ("dev", dev)):
        log.info("%s: %s", name, {key: len(value) for key, value in asdict(pool).items()})
    (out / "pool.json").write_text(json.dumps({"train": asdict(train), "dev": asdict(dev)}), encoding="utf-8")
    questions = json.loads((out / "questions.json").read_text(encoding="utf-8"))
    asked = [text for entry in questions["train"] for text in (entry["context"], *(q for q, _ in entry["pairs"]))]
    train_tokenizer(tokenizer_texts(train, asked)).save_pretrained(out)


if __name__ == "__main__":
    main()

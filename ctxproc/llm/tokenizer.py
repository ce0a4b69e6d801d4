"""The tokenizer of a transformers model, fed with text as data.

Three things differ from calling the tokenizer directly. The names of special tokens inside a text (``</s>``,
``<|im_end|>``, ``<tool_call>``) are plain text, also those that the tokenizer does not flag as special. No space is put
before a text, as sentencepiece does by default, so that the tokens of joined pieces spell the joined text. And offsets
are those of the text as given: a token that begins with a space begins at that space.

Slow tokenizers (without the ``tokenizers`` library behind them) are used as they are: a space that one adds stays.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ctxproc.errors import ModelError
from ctxproc.llm.base import Tokenizer
from ctxproc.llm.pretrained import Source

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend
    from tokenizers.normalizers import Normalizer
    from tokenizers.pre_tokenizers import PreTokenizer
    from transformers import PreTrainedTokenizerBase

SURROGATE = re.compile("[\ud800-\udfff]")
UNFINISHED = "\ufffd"
AT_ONCE = 256  # texts that are counted together: what the library makes of them is a hundred times their count
PLACE = "ctxproc0content0place"
ANSWER = "ctxproc0answer0place"


class HfTokenizer(Tokenizer):
    """`Tokenizer` over one of transformers; changes nothing in it.

    Args:
        inner: a loaded tokenizer, fast or slow.

    Raises:
        ModelError: its added tokens cannot be told from its vocabulary.
    """

    @classmethod
    def load(cls, folder: str | Path) -> HfTokenizer:
        """The tokenizer in a folder; no hub is asked, no code of the folder is run.

        Raises:
            ModelError: there is none, or it is damaged.
        """
        return cls(Source(str(folder), str(folder), local=True).tokenizer())

    def __init__(self, inner: PreTrainedTokenizerBase) -> None:
        self.inner = inner
        self._plain = _backend(inner, prefix=False) if inner.is_fast else None
        self._first = _backend(inner, prefix=True) if inner.is_fast and _adds_prefix(inner) else None
        self.bos = self._begin()
        self.anchor = self.encode("a")

    @property
    def adds_prefix(self) -> bool:
        """Whether the tokenizer by itself puts a space before a text."""
        return self._first is not None

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` as plain text, nothing put before or after it."""
        text = SURROGATE.sub(UNFINISHED, text)
        if self._plain is None:
            ids: list[int] = self.inner.encode(text, add_special_tokens=False, split_special_tokens=True)
            return ids
        return list(self._plain.encode(text).ids)

    def encode_first(self, text: str) -> list[int]:
        """`encode` for text that begins a sequence: with the tokenizer's own leading space, where it has one.

        At most one token longer than `encode`.
        """
        plain = self.encode(text)
        if self._first is None or not text:
            return plain
        first = list(self._first.encode(SURROGATE.sub(UNFINISHED, text)).ids)
        return first if len(first) <= len(plain) + 1 else plain

    def encode_trusted(self, text: str) -> list[int]:
        """Token ids of a model's own markers: names of special tokens are those tokens. Never for text of others."""
        if self._plain is None:
            ids: list[int] = self.inner.encode(text, add_special_tokens=False)
            return ids
        self._plain.encode_special_tokens = False
        ids = list(self._plain.encode(text).ids)
        self._plain.encode_special_tokens = True
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens; bytes that are no UTF-8 become U+FFFD."""
        text = self.inner.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)  # a flat list of ids gives one text
        return text

    def count(self, text: str) -> int:
        """The number of tokens of ``text`` on its own, without special tokens."""
        return self.count_batch([text])[0]

    def count_batch(self, texts: Sequence[str]) -> list[int]:
        """`count` of each text, by calls that use all cores for some of them at a time."""
        if self._plain is None:
            return [len(self.encode(text)) for text in texts]
        counts: list[int] = []
        for start in range(0, len(texts), AT_ONCE):
            clean = [SURROGATE.sub(UNFINISHED, text) for text in texts[start : start + AT_ONCE]]
            counts += [len(encoding.ids) for encoding in self._plain.encode_batch_fast(clean)]
        return counts

    def starts(self, text: str) -> list[int]:
        """The character at which each token of ``text`` begins, as `Tokenizer.starts` says."""
        if self._plain is None:
            return self._slow_starts(text)
        offsets = self._plain.encode(SURROGATE.sub(UNFINISHED, text)).offsets
        return list(accumulate((start for start, _ in offsets), max))

    def _slow_starts(self, text: str) -> list[int]:
        """Starts by decoding token after token; a tokenizer that alters the text is followed as well as it goes."""
        starts, at = [], 0
        spelled = Spelling(self)
        for token in self.encode(text):
            starts.append(min(at, max(len(text) - 1, 0)))
            piece = spelled.push(token)
            found = text.find(piece.strip() or piece, at) if piece else at
            at = (found if found >= 0 else at) + len(piece.strip() or piece)
        return starts

    def _begin(self) -> list[int]:
        """What the tokenizer puts before every text: begin-of-text, or nothing."""
        bare: list[int] = self.inner.encode("a", add_special_tokens=False)
        full: list[int] = self.inner.encode("a", add_special_tokens=True)
        for i in range(len(full) - len(bare) + 1):
            if full[i : i + len(bare)] == bare:
                return full[:i]
        return []


class Spelling:
    """Tokens in, text out, as they come: never half a character, and the same text however it is asked for.

    The text continues another one: a leading space is kept.
    """

    def __init__(self, tokenizer: HfTokenizer) -> None:
        self._tokenizer = tokenizer
        self._ids = list(tokenizer.anchor)
        self._begin = 0  # of the window that is decoded again
        self._said = len(self._ids)  # tokens whose text is out

    def push(self, token: int) -> str:
        """The text that ``token`` completes; "" while bytes of a character are missing."""
        self._ids.append(token)
        text = self._new()
        if not text or text.endswith(UNFINISHED):
            return ""
        self._begin, self._said = self._said, len(self._ids)
        return text

    def close(self) -> str:
        """The text of what is left, unfinished bytes as U+FFFD."""
        return self._new() if self._said < len(self._ids) else ""

    def _new(self) -> str:
        said = self._tokenizer.decode(self._ids[self._begin : self._said])
        return self._tokenizer.decode(self._ids[self._begin :])[len(said) :]


def chat_frame(inner: PreTrainedTokenizerBase) -> tuple[str, str] | None:
    """What a chat template writes before a user's message and after it, up to where the answer begins.

    None where there is no template, or it cannot carry one plain message from a user. The template is rendered once,
    for every prompt of the model. A model that can think first is asked not to (``enable_thinking``, as Qwen3 has it).
    """
    if not inner.chat_template:
        return None
    for content in (PLACE, [{"type": "text", "text": PLACE}]):
        user = {"role": "user", "content": content}
        text = _render(inner, [user], add_generation_prompt=True)
        if text is None or text.count(PLACE) != 1:
            continue
        head, tail = text.split(PLACE)
        if text == _render(inner, [user], add_generation_prompt=False):
            tail = _answer_marker(inner, user) or tail
        return head, tail
    return None


def _answer_marker(inner: PreTrainedTokenizerBase, user: dict[str, Any]) -> str | None:
    """What stands between message and answer, from a rendered exchange: for templates without a generation prompt."""
    text = _render(inner, [user, {"role": "assistant", "content": ANSWER}], add_generation_prompt=False)
    if text is None or text.count(PLACE) != 1 or text.count(ANSWER) != 1:
        return None
    between = text[text.index(PLACE) + len(PLACE) :].partition(ANSWER)
    return between[0].rstrip(" ") if between[1] else None


def _render(inner: PreTrainedTokenizerBase, messages: list[dict[str, Any]], add_generation_prompt: bool) -> str | None:
    """The template's text for messages; None where it refuses them."""
    from jinja2 import TemplateError

    try:
        text = inner.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=add_generation_prompt, enable_thinking=False
        )
    except (TemplateError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return text if isinstance(text, str) else None


def _is_text(token: AddedToken) -> bool:
    """Whether an added token is a word or white space; anything else, such as ``<tool_call>``, is a marker."""
    bare = token.content.replace("\u2581", " ").strip()
    return not token.special and (not bare or bare.isalnum())


def _backend(inner: PreTrainedTokenizerBase, prefix: bool) -> Backend:
    """A backend over the same vocabulary in which no marker is found in a text; ``prefix`` keeps the leading space."""
    from tokenizers import AddedToken
    from tokenizers import Tokenizer as Backend

    own: Any = inner.backend_tokenizer
    new = Backend(own.model)
    new.normalizer = own.normalizer if prefix else _bare_normalizer(own.normalizer)
    new.pre_tokenizer = own.pre_tokenizer if prefix else _bare_pre_tokenizer(own.pre_tokenizer)
    added = sorted(own.get_added_tokens_decoder().items())
    names = ("single_word", "lstrip", "rstrip", "normalized")
    new.add_tokens(
        [
            AddedToken(token.content, special=not _is_text(token), **{name: getattr(token, name) for name in names})
            for _, token in added
        ]
    )
    new.encode_special_tokens = True
    if any(new.token_to_id(token.content) != i for i, token in added):
        raise ModelError("the tokenizer's added tokens do not follow its vocabulary: use a repaired tokenizer.json")
    return new


def _adds_prefix(inner: PreTrainedTokenizerBase) -> bool:
    """Whether a fast tokenizer has a part that puts a space before a text."""
    from tokenizers import normalizers, pre_tokenizers

    own: Any = inner.backend_tokenizer
    return any(
        isinstance(part, normalizers.Prepend)
        or (isinstance(part, pre_tokenizers.Metaspace) and part.prepend_scheme != "never")
        or (isinstance(part, pre_tokenizers.ByteLevel) and part.add_prefix_space)
        for part in (*_parts(own.normalizer), *_parts(own.pre_tokenizer))
    )


def _parts(component: Any) -> Iterator[Any]:  # noqa: ANN401  (normalizers and pre-tokenizers share no class)
    """A component's parts, sequences unfolded."""
    from tokenizers import normalizers, pre_tokenizers

    if isinstance(component, normalizers.Sequence | pre_tokenizers.Sequence):
        parts: Any = component
        for part in parts:
            yield from _parts(part)
    elif component is not None:
        yield component


def _bare_normalizer(own: Normalizer | None) -> Normalizer | None:
    """The normalizer without the part that prepends a space."""
    from tokenizers import normalizers

    parts = [part for part in _parts(own) if not isinstance(part, normalizers.Prepend)]
    return normalizers.Sequence(parts) if parts else None


def _bare_pre_tokenizer(own: PreTokenizer | None) -> PreTokenizer | None:
    """The pre-tokenizer with no part that prepends a space."""
    from tokenizers import pre_tokenizers

    parts: list[PreTokenizer] = []
    for part in _parts(own):
        if isinstance(part, pre_tokenizers.Metaspace):
            part = pre_tokenizers.Metaspace(part.replacement, prepend_scheme="never", split=part.split)
        elif isinstance(part, pre_tokenizers.ByteLevel):
            part = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=part.use_regex)
        parts.append(part)
    return pre_tokenizers.Sequence(parts) if parts else None

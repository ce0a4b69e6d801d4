"""HfTokenizer: text is data, joined pieces spell the joined text, offsets are those of the text."""

from __future__ import annotations

import models
import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import models as kinds
from tokenizers import normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ctxproc.errors import ModelError
from ctxproc.llm.decoding import Reply
from ctxproc.llm.tokenizer import HfTokenizer, Spelling, chat_frame

torch.set_num_threads(1)

BYTES = HfTokenizer(models.byte_tokenizer(bos=True))
SPACED = {scheme: HfTokenizer(models.spaced_tokenizer(scheme)) for scheme in ("normalizer", "metaspace")}
SLOW = HfTokenizer(transformers.ByT5Tokenizer())
ALL = {"bytes": BYTES, **SPACED, "slow": SLOW}
NAMES = [*models.MARKERS, "<s>", "</s>", "<tool_call>", "   ", "<pad>", "<unk>"]
TEXT = st.lists(
    st.one_of(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=6),
        st.sampled_from(
            [*NAMES, "😀", "👩\u200d👩\u200d👧", "e\u0301", "漢字", "שלום", "\r\n", "\0", "the ", " the", "\n\n"]
        ),
    ),
    max_size=8,
).map("".join)
quick = settings(max_examples=60, deadline=None)


def spell(tokenizer: HfTokenizer, ids: list[int]) -> str:
    spelling = Spelling(tokenizer)
    return "".join([*map(spelling.push, ids), spelling.close()])


def starts_by_bytes(tokenizer: HfTokenizer, text: str) -> list[int]:
    """The oracle: every token's bytes counted; a token begins in the character that holds its first byte."""
    owner = [i for i, character in enumerate(text) for _ in character.encode()]
    starts, at = [], 0
    for token in tokenizer.inner.convert_ids_to_tokens(tokenizer.encode(text)):
        starts.append(owner[at])
        if tokenizer is BYTES:
            at += len(token)
        elif tokenizer is SLOW or token.startswith("<0x"):
            at += 1
        else:
            at += len(token.replace("\u2581", " ").encode())
    return starts


@pytest.mark.parametrize("name", ALL)
@quick
@given(pieces=st.lists(TEXT, max_size=4))
def test_joined_pieces_spell_the_joined_text(name: str, pieces: list[str]) -> None:
    tokenizer = ALL[name]
    ids = [token for piece in pieces for token in tokenizer.encode(piece)]
    assert spell(tokenizer, ids) == "".join(pieces)


@pytest.mark.parametrize("name", ALL)
@quick
@given(text=TEXT)
def test_starts_are_where_the_bytes_say(name: str, text: str) -> None:
    tokenizer = ALL[name]
    assert tokenizer.starts(text) == starts_by_bytes(tokenizer, text)
    assert tokenizer.count(text) == len(tokenizer.encode(text)) == len(tokenizer.starts(text))


@pytest.mark.parametrize("name", ALL)
def test_names_of_special_tokens_are_plain_text(name: str) -> None:
    tokenizer = ALL[name]
    markers = {token: i for token, i in tokenizer.inner.get_added_vocab().items() if token.strip()}
    text = "a" + "".join(markers) + "<tool_call>b"
    assert not set(tokenizer.encode(text)) & set(markers.values())
    assert spell(tokenizer, tokenizer.encode(text)) == text
    assert not set(tokenizer.encode_first(text)) & set(markers.values())
    one = next(iter(tokenizer.inner.all_special_tokens))
    assert tokenizer.encode_trusted(one) == [tokenizer.inner.convert_tokens_to_ids(one)]
    assert not set(tokenizer.encode(one)) & set(markers.values())  # trust does not last


def test_added_white_space_and_words_stay_tokens() -> None:
    inner = models.byte_tokenizer()
    inner.add_tokens(["lamp"])
    tokenizer = HfTokenizer(inner)
    assert tokenizer.encode("   lamp") == inner.convert_tokens_to_ids(["   ", "lamp"])


def test_batch_counts_are_single_counts() -> None:
    texts = ["", "the", "   <s>", "😀 e\u0301", "漢" * 50]
    for tokenizer in ALL.values():
        assert tokenizer.count_batch(texts) == [tokenizer.count(text) for text in texts]
        assert tokenizer.count_batch([]) == []


@pytest.mark.parametrize("scheme", SPACED)
def test_first_text_has_the_tokenizers_own_space(scheme: str) -> None:
    tokenizer = SPACED[scheme]
    assert tokenizer.adds_prefix and not BYTES.adds_prefix
    assert tokenizer.encode_first("the cat") == tokenizer.inner.encode("the cat", add_special_tokens=False)
    assert tokenizer.inner.convert_ids_to_tokens(tokenizer.encode_first("the")) == ["▁the"]
    assert tokenizer.inner.convert_ids_to_tokens(tokenizer.encode("the")) == ["t", "he"]
    assert tokenizer.encode_first("") == []
    assert tokenizer.bos == [1]


@quick
@given(text=TEXT)
def test_first_text_costs_at_most_one_token_more(text: str) -> None:
    for tokenizer in ALL.values():
        assert len(tokenizer.encode_first(text)) <= tokenizer.count(text) + 1


def test_wordpiece_offsets_on_an_example() -> None:
    words = {word: i for i, word in enumerate(["[UNK]", "[CLS]", "lamp", "##light", ",", "who"])}
    backend = Backend(kinds.WordPiece(words, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer()
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.enable_truncation(2)
    tokenizer = HfTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="[UNK]", cls_token="[CLS]"))
    assert tokenizer.starts("  Who, LAMPLIGHT\n 漢x") == [2, 5, 7, 11, 18, 19]


def test_lone_surrogates_are_counted_as_one_character_each() -> None:
    assert BYTES.starts("a\ud800b") == [0, 1, 1, 1, 2]


def test_real_tokenizers_agree_with_transformers_on_plain_text() -> None:
    inner = models.gpt2_tokenizer()
    if inner is None:
        pytest.skip("needs ../shared/data/models/tokenizers")
    text = "The keeper's lamp, 1881:\n\n  it's naïve 😀."
    tokenizer = HfTokenizer(inner)
    assert tokenizer.encode(text) == inner.encode(text, add_special_tokens=False)
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert tokenizer.starts(" the lamp") == [0, 4]
    assert 50256 not in tokenizer.encode("<|endoftext|>")


def test_gaps_in_the_added_tokens_are_refused_not_guessed() -> None:
    inner = models.byte_tokenizer()
    added = inner.backend_tokenizer.get_added_tokens_decoder()

    class Gap:
        model, normalizer, pre_tokenizer = inner.backend_tokenizer.model, None, inner.backend_tokenizer.pre_tokenizer

        @staticmethod
        def get_added_tokens_decoder() -> dict[int, object]:
            return {i + 5 * (i > 270): token for i, token in added.items()}

    class Fast:
        is_fast, backend_tokenizer = True, Gap

    with pytest.raises(ModelError, match="added tokens"):
        HfTokenizer(Fast())  # type: ignore[arg-type]


def pieces_of(text: str, stop: tuple[str, ...], tokenizer: HfTokenizer) -> list[str]:
    reply = Reply(tokenizer, frozenset(), stop)
    out = []
    for token in tokenizer.encode(text):
        out.append(reply.push(token))
    return [*out, reply.close()]


@quick
@given(text=TEXT.filter(bool), data=st.data())
def test_one_stop_string_cuts_at_its_first_occurrence(text: str, data: st.DataObject) -> None:
    begin = data.draw(st.integers(0, len(text) - 1))
    stop = data.draw(st.one_of(st.just(text[begin : begin + data.draw(st.integers(1, 5))]), TEXT.filter(bool)))
    expected = text.partition(stop)[0]
    for tokenizer in (BYTES, SPACED["metaspace"]):
        assert "".join(pieces_of(text, (stop, ""), tokenizer)) == expected


@quick
@given(text=TEXT, stop=st.lists(st.text("abthe \n", min_size=1, max_size=4), min_size=2, max_size=3).map(tuple))
def test_no_piece_shows_what_several_stop_strings_take_back(text: str, stop: tuple[str, ...]) -> None:
    said = "".join(pieces_of(text, stop, BYTES))
    assert text.startswith(said)
    assert not any(string in said for string in stop)
    if not any(string in text for string in stop):
        assert said == text


def test_half_characters_are_held_and_shown_as_replacement_only_at_the_end() -> None:
    pieces = pieces_of("é😀", (), BYTES)
    assert [piece for piece in pieces if piece] == ["é", "😀"]
    reply = Reply(BYTES, frozenset(), ())
    assert [reply.push(token) for token in BYTES.encode("😀")[:3]] == ["", "", ""]
    assert reply.close() == "\ufffd" and reply.finish == "length"


# Chat templates.


def test_chat_frames_of_every_shape() -> None:
    def frame(template: str) -> tuple[str, str] | None:
        return chat_frame(models.byte_tokenizer(template))

    assert chat_frame(models.byte_tokenizer()) is None
    assert frame(models.CHATML) == ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n")
    assert frame(models.LLAMA_LIKE) == (
        "<s><|start|>user<|end|>\n\n",
        "<|eot|><|start|>assistant<|end|>\n\n",
    )
    assert frame(models.MISTRAL_LIKE) == ("<s>[INST] ", " [/INST]")
    no_prompt = models.CHATML.partition("{% if add")[0]
    assert frame(no_prompt) == frame(models.CHATML)
    assert frame("{{ raise_exception('a system message, please') }}") is None
    assert frame("{{ messages[0]['content'] }}{{ messages[0]['content'] }}") is None
    assert frame("{{ messages[0]['content'] | upper }}") is None
    assert frame("{% for part in messages[0]['content'] %}>{{ part['text'] }}<{% endfor %}") == (">", "<")
    assert frame("{% if enable_thinking is false %}/no {% endif %}{{ messages[0]['content'] }}!") == ("/no ", "!")
    assert frame("{{ broken") is None


def test_qwens_own_template() -> None:
    inner = models.qwen_tokenizer()
    if inner is None:
        pytest.skip("needs ../shared/data/models/tokenizers")
    assert chat_frame(inner) == (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n",
        "<|im_end|>\n<|im_start|>assistant\n",
    )

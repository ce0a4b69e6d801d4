"""Constrained decoding against brute force over the vocabulary, for every kind of vocabulary there is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import lru_cache
from itertools import product

import models
import pytest
import regex as partial_regex
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, pre_tokenizers
from tokenizers import models as kinds
from transformers import PreTrainedTokenizerFast

from ctxproc.errors import ConfigError, ModelError
from ctxproc.llm.constraint import Constraint
from ctxproc.llm.decoding import Reply
from ctxproc.llm.grammar import Grammar, Guide
from ctxproc.llm.tokenizer import HfTokenizer

torch.set_num_threads(1)

SMALL = ["bytes", "normalizer", "metaspace", "stories"]
ALL = [*SMALL, "gpt2", "qwen"]
EXTRA = 7  # logits beyond the tokenizer's ids
CHOICES = (
    "yes",
    "yes, please",
    "no",
    "the cat",
    " the",
    "naïve",
    "漢字",
    "👩\u200d👩\u200d👧",
    "👩",
    "</s>",
    "<tool_call>",
)
HARD = (
    *r"""a.b* ( [x]{2} \ \n a\ " ' "} / a/b # {x} ^a$ | ~a&b é שלום 😀 [0-9] start: %json{}""".split(),
    *"</s> <s> <unk> <0x41> <|im_end|> <|endoftext|> <tool_call> [INST]".split(),
    *("\n", "a\nb", "\r\n", "\t", " ", "  ", "   ", "\0", "\x7f", "\u2028", "\u2581", "\ufffd", "e\u0301", "%json {}"),
)
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 6},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
        "kind": {"enum": ["a", 'quo"te', "é\n"]},
        "tags": {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
        "note": {"type": ["null", "string"], "maxLength": 3},
    },
    "required": ["name", "age", "kind", "tags"],
    "additionalProperties": False,
}


@lru_cache
def tokenizer(name: str) -> HfTokenizer | None:
    make: dict[str, Callable[[], transformers.PreTrainedTokenizerBase | None]] = {
        "bytes": models.byte_tokenizer,
        "normalizer": lambda: models.spaced_tokenizer("normalizer"),
        "metaspace": lambda: models.spaced_tokenizer("metaspace"),
        "stories": lambda: (
            transformers.AutoTokenizer.from_pretrained(models.STORIES) if models.STORIES.is_dir() else None
        ),
        "gpt2": models.gpt2_tokenizer,
        "qwen": models.qwen_tokenizer,
    }
    inner = make[name]()
    return HfTokenizer(inner) if inner is not None else None


def loaded(name: str) -> HfTokenizer:
    found = tokenizer(name)
    if found is None:
        pytest.skip(f"{name} is not at hand")
    return found


def ends_of(tok: HfTokenizer) -> frozenset[int]:
    return frozenset([tok.inner.eos_token_id])


def grammar(name: str, constraint: Constraint) -> Grammar:
    tok = loaded(name)
    return Grammar(constraint, tok, len(tok.inner) + EXTRA, ends_of(tok))


@lru_cache
def letters() -> dict[str, bytes]:
    """Byte-level letters as the tokenizers library writes them."""
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found = {}
    for point in [*range(0xD800), *range(0xE000, 0x110000, 0x1000)]:
        (written, _), *_ = level.pre_tokenize_str(chr(point))
        found.update(zip(written, (bytes([byte]) for byte in chr(point).encode()), strict=True))
    return found


@lru_cache
def spellings(name: str) -> list[bytes]:
    """The oracle's bytes of each token, from its name; b"" for markers."""
    tok = loaded(name)
    added = tok.inner.added_tokens_decoder
    spelled = []
    for token, word in enumerate(tok.inner.convert_ids_to_tokens(list(range(len(tok.inner))))):
        if token in added:
            spelled.append(b"" if word.strip() else word.encode())
        elif name in ("bytes", "gpt2", "qwen"):
            spelled.append(b"".join(letters().get(letter, b"\xff") for letter in word))
        elif re.fullmatch("<0x[0-9A-F]{2}>", word):
            spelled.append(bytes([int(word[3:5], 16)]))
        else:
            spelled.append(word.replace("\u2581", " ").encode())
    return spelled


def allowed(guide: Guide, name: str) -> set[int]:
    size = len(loaded(name).inner) + EXTRA
    return set(torch.nonzero(guide.mask(torch.zeros(size)).isfinite())[:, 0].tolist())


def walk(guide: Guide, name: str, seed: int, steps: int = 400, hurry: float = 0.0) -> tuple[str, list[int], bool]:
    """Greedy decoding of random logits: the text as a user reads it, its tokens, and whether it ended."""
    tok = loaded(name)
    generator = torch.Generator().manual_seed(seed)
    reply = Reply(tok, ends_of(tok), ())
    text, tokens = "", []
    while not guide.done and len(tokens) < steps:
        logits = torch.randn(len(tok.inner) + EXTRA, generator=generator)
        logits[list(ends_of(tok))] += hurry
        token = int(guide.mask(logits).argmax())
        guide.accept(token)
        text += reply.push(token)
        tokens.append(token)
    return text + reply.close(), tokens, guide.done


@pytest.mark.parametrize("name", ALL)
def test_mask_is_every_token_that_can_still_become_a_choice(name: str) -> None:
    spelled, tok = spellings(name), loaded(name)
    targets = [choice.encode() for choice in CHOICES]
    made = grammar(name, Constraint(choices=CHOICES))
    for seed in range(2 if name in ("gpt2", "qwen") else 20):
        guide, generator, so_far = made.start(), torch.Generator().manual_seed(seed), b""
        while True:
            expected = {i for i, new in enumerate(spelled) if new and any(t.startswith(so_far + new) for t in targets)}
            final = so_far in targets
            assert guide.done == (final and not expected)
            expected |= ends_of(tok) if final else set()
            assert allowed(guide, name) == expected
            logits = torch.randn(len(tok.inner) + EXTRA, generator=generator)
            token = int(guide.mask(logits).argmax())
            assert token == max(expected, key=lambda i, logits=logits: float(logits[i]))
            if guide.done:
                break
            guide.accept(token)
            if token in ends_of(tok):
                assert guide.done and allowed(guide, name) == set(ends_of(tok))
                break
            so_far += spelled[token]
        assert so_far in targets


@pytest.mark.parametrize("name", ALL)
def test_every_choice_can_be_produced_as_the_tokenizer_spells_it(name: str) -> None:
    tok = loaded(name)
    made, produced = grammar(name, Constraint(choices=(*CHOICES, *HARD))), 0
    for choice in (*CHOICES, *HARD):
        ids = tok.encode(choice)
        if tok.decode([*tok.anchor, *ids]) != "a" + choice:
            continue  # the tokenizer alters this text, by its normal form or an unknown token
        guide, reply, text = made.start(), Reply(tok, ends_of(tok), ()), ""
        for wanted in ids:
            logits = torch.zeros(len(tok.inner) + EXTRA)
            logits[wanted] = 1
            assert int(guide.mask(logits).argmax()) == wanted, choice
            guide.accept(wanted)
            text += reply.push(wanted)
        assert text + reply.close() == choice
        assert guide.done or ends_of(tok) <= allowed(guide, name)
        produced += 1
    assert produced >= 40


@pytest.mark.parametrize("name", ALL)
def test_finished_texts_are_choices_literally(name: str) -> None:
    seen = set()
    for choice in HARD:
        text, tokens, done = walk(grammar(name, Constraint(choices=(choice,))).start(), name, seed=len(seen))
        assert (text, done) == (choice, True), tokens
        seen.add(text)
    made = grammar(name, Constraint(choices=HARD))
    for seed in range(10 if name == "qwen" else 40):
        text, _, done = walk(made.start(), name, seed, hurry=1.0)
        assert done and text in HARD
        seen.add(text)
    assert seen == set(HARD)


PATTERNS = [
    r"[a-f]{1,4}(-[0-9]{2})?",
    r"(the|then|there) (cat|cart)s?",
    r"(é|😀|漢|e\u0301){0,3}x",
    r"a+?b*?",
    r"(?i)yes|no",
    r"\"[a-z ,\\é]{0,5}\"",
    r"a/b|a\\c|\[d\]",
    r"[ \t]*\n?",
    r"-?(0|[1-9][0-9]{0,3})(\.[0-9]+)?",
    "",
]
POOL = ["é", "😀", "漢", "\u0301", "ſ"]  # the last is an s without case


def can_become(pattern: str, text: bytes) -> bool:
    """Whether some text that begins with these bytes matches in full; POOL stands for all characters beyond ASCII."""
    for cut in range(4):
        whole, rest = text[: len(text) - cut], text[len(text) - cut :]
        try:
            head = whole.decode()
        except UnicodeDecodeError:
            continue
        tails = [""] if not rest else [c for c in POOL if c.encode().startswith(rest)]
        return any(partial_regex.fullmatch(pattern, head + tail, partial=True) for tail in tails)
    return False


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("pattern", PATTERNS)
def test_regex_masks_are_those_of_partial_matching(name: str, pattern: str) -> None:
    spelled, tok = spellings(name), loaded(name)
    made = grammar(name, Constraint(regex=pattern))
    for seed in range(6):
        guide, generator, so_far = made.start(), torch.Generator().manual_seed(seed), b""
        for _ in range(12):
            expected = {i for i, new in enumerate(spelled) if new and can_become(pattern, so_far + new)}
            try:
                final = re.fullmatch(pattern, so_far.decode()) is not None
            except UnicodeDecodeError:
                final = False
            assert allowed(guide, name) == expected | (ends_of(tok) if final else set())
            if guide.done:
                break
            token = int(guide.mask(torch.randn(len(tok.inner) + EXTRA, generator=generator)).argmax())
            guide.accept(token)
            so_far += spelled[token]
            if token in ends_of(tok):
                break


WIDE = [r".{1,12}", r"(?s).{1,12}", r"[^a-z]{3}", r"[ -\x{ffff}]{4}"]


@pytest.mark.parametrize(
    ("name", "pattern"), [*product(SMALL, [*PATTERNS, *WIDE]), *product(["gpt2", "qwen"], [PATTERNS[2], *WIDE])]
)
def test_finished_texts_match_the_regex_in_full(name: str, pattern: str) -> None:
    made = grammar(name, Constraint(regex=pattern))
    pattern = pattern.replace(r"\x{ffff}", r"\uffff")
    finished = 0
    for seed in range(4 if name == "qwen" else 25):
        text, tokens, done = walk(made.start(), name, seed, hurry=2.0)
        assert not done or re.fullmatch(pattern, text), (text, tokens)
        finished += done
    assert finished


@pytest.mark.parametrize("name", ALL)
def test_finished_json_satisfies_the_schema(name: str) -> None:
    made = grammar(name, Constraint(json_schema=SCHEMA))
    finished = 0
    for seed in range(4 if name == "qwen" else 25):
        text, _, done = walk(made.start(), name, seed, hurry=1.0)
        if not done:
            continue
        finished += 1
        value = json.loads(text)
        assert set(value) - {"note"} == {"name", "age", "kind", "tags"}
        assert isinstance(value["name"], str) and len(value["name"]) <= 6
        assert type(value["age"]) is int and 0 <= value["age"] <= 130
        assert value["kind"] in ("a", 'quo"te', "é\n")
        assert 1 <= len(value["tags"]) <= 3 and all(type(tag) is bool for tag in value["tags"])
        assert value.get("note") is None or len(value["note"]) <= 3
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        assert "\n" not in text and len(compact) <= len(text)
    assert finished


@pytest.mark.parametrize("name", SMALL)
def test_json_as_python_writes_it_is_allowed_and_endless_blanks_are_not(name: str) -> None:
    tok = loaded(name)
    value = {"name": "Al", "age": 7, "kind": 'quo"te', "tags": [True, False]}
    for separators in [(",", ":"), (", ", ": ")]:
        guide = grammar(name, Constraint(json_schema=json.dumps(SCHEMA))).start()
        for token in tok.encode(json.dumps(value, separators=separators)):
            guide.accept(token)
        assert guide.done
    guide = grammar(name, Constraint(json_schema=SCHEMA)).start()
    spelled = spellings(name)
    assert {spelled[token][:1] for token in allowed(guide, name)} == {b"{"}
    for token in tok.encode('{"name":'):
        guide.accept(token)
    guide.accept(tok.encode(" ")[0])
    assert {spelled[token][:1] for token in allowed(guide, name)} == {b'"'}


@pytest.mark.parametrize("name", SMALL)
@settings(max_examples=40, deadline=None)
@given(choices=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), min_size=1, max_size=4))
def test_any_texts_are_choices(name: str, choices: list[str]) -> None:
    text, _, done = walk(grammar(name, Constraint(choices=tuple(choices))).start(), name, seed=len(choices))
    assert done and text in choices


def test_classes_are_those_of_unicode() -> None:
    guide = grammar("bytes", Constraint(regex=r"\w\d\s")).start()
    for token in loaded("bytes").encode("é٣\u3000"):
        guide.accept(token)
    assert guide.done


def test_guides_of_one_grammar_are_independent() -> None:
    made = grammar("bytes", Constraint(choices=CHOICES))
    alone = [walk(made.start(), "bytes", seed)[1] for seed in range(8)]
    guides = [made.start() for _ in range(8)]
    tok = loaded("bytes")
    generators = [torch.Generator().manual_seed(seed) for seed in range(8)]
    together: list[list[int]] = [[] for _ in guides]
    while not all(guide.done for guide in guides):
        for row, guide in enumerate(guides):
            token = int(guide.mask(torch.randn(len(tok.inner) + EXTRA, generator=generators[row])).argmax())
            if not guide.done:
                together[row].append(token)
            guide.accept(token)
    assert together == alone and len(set(map(tuple, alone))) > 1


def test_mask_keeps_dtype_values_and_leading_shape() -> None:
    guide = grammar("bytes", Constraint(regex="[ab]c")).start()
    size = len(loaded("bytes").inner) + EXTRA
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        logits = torch.randn(3, size).to(dtype)
        masked = guide.mask(logits)
        kept = sorted(allowed(guide, "bytes"))
        assert masked.dtype == dtype and masked.shape == logits.shape
        assert torch.equal(masked[:, kept], logits[:, kept])
        assert int(masked.isinf().sum()) == 3 * (size - len(kept))
        assert {spellings("bytes")[token] for token in kept} == {b"a", b"b"}


def test_ends_are_never_text_and_may_be_absent_several_or_beyond_the_vocabulary() -> None:
    tok = loaded("bytes")
    size, newline = len(tok.inner), tok.encode("\n")[0]
    constraint = Constraint(regex="a\n?")
    guide = Grammar(constraint, tok, size, frozenset([1, newline, size + 5])).start()
    guide.accept(tok.encode("a")[0])
    assert set(torch.nonzero(guide.mask(torch.zeros(size)).isfinite())[:, 0].tolist()) == {1, newline}
    guide.accept(newline)
    assert guide.done
    guide = Grammar(Constraint(regex="\n?a"), tok, size, frozenset([newline])).start()
    assert torch.nonzero(guide.mask(torch.zeros(size)).isfinite())[:, 0].tolist() == tok.encode("a")
    guide = Grammar(constraint, tok, size, frozenset()).start()
    for text in ("a", "\n"):
        assert not guide.done
        guide.accept(tok.encode(text)[0])
    assert guide.done
    logits = torch.randn(size)
    assert torch.equal(guide.mask(logits), logits)
    guide.accept(5)
    assert Grammar(Constraint(choices=("",)), tok, size, frozenset([1])).start().done


def test_a_vocabulary_smaller_than_the_tokenizer() -> None:
    tok = loaded("bytes")
    guide = Grammar(Constraint(choices=("the",)), tok, 259, frozenset([1])).start()
    assert torch.nonzero(guide.mask(torch.zeros(259)).isfinite())[:, 0].tolist() == [*tok.encode("t"), 258]
    assert [tok.decode([token]) for token in (258, 259)] == ["th", "the"]


def test_refused_tokens_change_nothing() -> None:
    guide = grammar("bytes", Constraint(choices=("no",))).start()
    tok = loaded("bytes")
    for token in (tok.encode("x")[0], 1, -1, 10**6, len(tok.inner) + 2):
        with pytest.raises(ValueError, match="not allowed"):
            guide.accept(token)
    assert walk(guide, "bytes", 0)[0] == "no"


def wordy(words: list[str]) -> HfTokenizer:
    """A vocabulary of whole words, without bytes to fall back on, and with a hole in its ids."""
    vocabulary = {word: i + (i > 1) for i, word in enumerate(["<unk>", "</s>", "a", *words])}
    backend = Backend(kinds.BPE(vocabulary, [], unk_token="<unk>"))
    backend.decoder = decoders.Fuse()
    return HfTokenizer(PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>"))


def test_a_vocabulary_that_cannot_spell_is_said_when_it_is_seen() -> None:
    tok = wordy(["b", "é"])
    size = 8
    assert tok.decode([5]) == "é"
    guide = Grammar(Constraint(choices=("abé",)), tok, size, frozenset([1])).start()
    for token in (3, 4, 5):
        guide.accept(token)
    assert guide.done
    with pytest.raises(ConfigError, match="cannot begin"):
        Grammar(Constraint(choices=("漢",)), tok, size, frozenset([1]))
    guide = Grammar(Constraint(choices=("a漢",)), tok, size, frozenset([1])).start()
    with pytest.raises(ModelError, match="vocabulary"):
        guide.accept(3)


def test_a_regex_over_the_limits_is_said() -> None:
    with pytest.raises(ModelError, match="too many") as raised:
        for seed in range(20):
            walk(grammar("bytes", Constraint(regex=r"(\w{1,100}){1,100}")).start(), "bytes", seed)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "constraint",
    [
        *(Constraint(regex=bad) for bad in ("(", "[a", "a{2", "(?=x)y", r"(a)\1", r"\bfoo", r"[^\s\S]")),
        Constraint(json_schema={"type": "nonsense"}),
        Constraint(json_schema={"type": "string", "format": "nonsense"}),
        Constraint(json_schema={"$ref": "https://example.org/schema"}),
        Constraint(json_schema={"not": {"type": "string"}}),
        Constraint(json_schema={"type": "string", "pattern": "("}),
        Constraint(json_schema={"type": "integer", "minimum": 3, "maximum": 2}),
        Constraint(json_schema={"x-guidance": {"lenient": True}, "nonsense": 1, "not": {}}),
    ],
    ids=str,
)
def test_what_cannot_be_enforced_is_one_line(constraint: Constraint, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError) as raised:
        grammar("bytes", constraint)
    assert "\n" not in str(raised.value) and "start:" not in str(raised.value) and len(str(raised.value)) < 400
    assert capfd.readouterr() == ("", "")

"""The Chinese reader: its bookkeeping value by value, what it answers, where questions go, and its training."""

from __future__ import annotations

import json
import math
import random
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from ctxproc.errors import ModelError
from ctxproc.llm.reader import Calibration, Reading
from ctxproc.llm.reader_zh import ChineseReader, TwoReaders, is_chinese, reads_chinese, windows
from ctxproc.llm.reader_zh_model import MAX_SPAN, Shape, ZhBatch, ZhModel
from ctxproc.llm.reader_zh_text import (
    FEATURES,
    REACH,
    SPECIALS,
    UNKNOWN,
    WORD,
    Characters,
    Pair,
    common_runs,
    match_features,
)
from ctxproc.llm.shelf import WEIGHTS
from ctxproc.text import sentence_around

LETTERS = "的是一在于年月日人中国大学东西南北张王李书城市公司了，。《》"
ALL = Calibration(0.0, 1.0, 1.0, -math.inf)


@pytest.fixture(scope="module")
def characters() -> Characters:
    entries = [*SPECIALS, *LETTERS, *"0123456789", "new", "york"]
    return Characters(entries, np.linspace(0, 1, len(entries), dtype=np.float32))


@pytest.fixture(scope="module")
def small(characters: Characters) -> ChineseReader:
    """A reader of random weights, large enough that its choices differ."""
    torch.manual_seed(3)
    model = ZhModel(Shape(len(characters.entries), vectors=16, width=32, layers=2, heads=4, inner=32))
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(2.0)
    return ChineseReader(model, characters, ALL)


def written(size: int, seed: int) -> str:
    rng = random.Random(seed)
    return "".join(rng.choice(LETTERS + "0123456789") for _ in range(size))


# --- input


def test_tokens_are_characters_and_latin_words_with_their_places(characters: Characters) -> None:
    text = characters.tokens("张在 New York：２０年\n😀é\u0301 Zürich鑫")
    assert text.forms == ["张", "在", "new", "york", ":", "2", "0", "年", "😀", "é", "\u0301", "zürich", "鑫"]
    assert [("张在 New York：２０年\n😀é\u0301 Zürich鑫")[a:b] for a, b in text.offsets][2:7] == [
        "New",
        "York",
        "：",
        "２",
        "０",
    ]
    assert text.ids[2] == len(characters.entries) - 2
    assert text.ids[-2:].tolist() == [WORD, UNKNOWN]
    assert text.rarity[-1] == 1
    assert text.rarity[1] == pytest.approx(characters.rarity[characters.entries.index("在")])


@pytest.mark.parametrize("text", ["", " \n\u3000\t", "\u200b\ufeff"])
def test_white_space_has_no_tokens(characters: Characters, text: str) -> None:
    assert len(characters.tokens(text)) == 0


def test_a_word_is_cut_after_twenty_letters(characters: Characters) -> None:
    assert [len(form) for form in characters.tokens("a" * 50).forms] == [20, 20, 10]


def slow_run(left: str, right: str, i: int, j: int) -> int:
    """The longest common run through (i, j), by trying all."""
    return max(
        (
            length
            for length in range(1, len(left) + 1)
            for back in range(length)
            if i - back >= 0
            and j - back >= 0
            and i - back + length <= len(left)
            and j - back + length <= len(right)
            and left[i - back : i - back + length] == right[j - back : j - back + length]
        ),
        default=0,
    )


@pytest.mark.parametrize("seed", range(5))
def test_common_runs_equal_the_slow_way(seed: int) -> None:
    rng = random.Random(seed)
    left, right = ("".join(rng.choice("甲乙丙") for _ in range(size)) for size in (7, 15))
    runs = common_runs(left, right)
    assert runs.tolist() == [[slow_run(left, right, i, j) for j in range(15)] for i in range(7)]


@pytest.mark.parametrize("seed", range(3))
def test_the_share_of_the_question_nearby_equals_the_slow_way(characters: Characters, seed: int) -> None:
    question, context = characters.tokens(written(9, seed)), characters.tokens(written(70, seed + 50))
    _, read = match_features(question, context)
    runs = common_runs(question.forms, context.forms)
    weight = question.rarity / question.rarity.sum()
    for k, (length, reach) in enumerate((length, reach) for length in (1, 2) for reach in REACH):
        for j in range(len(context)):
            near = range(max(0, j - reach), min(len(context), j + reach + 1))
            share = sum(weight[i] for i in range(len(question)) if any(runs[i, n] >= length for n in near))
            assert read[j, 8 + k] == pytest.approx(share, abs=1e-5)


def test_features_of_a_match_by_hand(characters: Characters) -> None:
    question, context = characters.tokens("张大在"), characters.tokens("一张大年年年年在")
    asked, read = match_features(question, context)
    assert asked.shape == (3, FEATURES)
    assert read[:, :3].tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0], *[[0, 0, 0]] * 4, [1, 0, 0]]
    assert asked[:, :3].tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0]]
    assert read[4, 16:18] == pytest.approx([math.exp(-2 / 6), math.exp(-2 / 24)])
    assert read[0, 18:20] == pytest.approx([math.exp(-1 / 6), math.exp(-1 / 24)])
    assert read[3, 18] == 0


def test_nothing_in_common_and_nothing_at_all_have_features(characters: Characters) -> None:
    none, some = characters.tokens(""), characters.tokens("张大")
    for question, context in ((none, some), (some, none), (none, none), (some, characters.tokens("年月"))):
        asked, read = match_features(question, context)
        assert asked.shape == (len(question), FEATURES)
        assert read.shape == (len(context), FEATURES)
        assert np.isfinite(read).all()
        assert not read[:, :6].any()


@pytest.mark.parametrize("size", [0, 1, 100, 255, 256, 257, 300, 384, 385, 1000])
def test_every_span_has_one_window_that_holds_it(size: int) -> None:
    every = list(windows(7, size))
    for first in range(size):
        [window] = [w for w in every if w.low <= first < w.high]
        assert window.number == 7
        assert window.start <= first
        assert min(first + MAX_SPAN, size) <= window.end
        assert first - window.start >= min(first, 28)
    assert all(w.end - w.start <= 256 for w in every)


# --- reading


def slow_scores(reader: ChineseReader, question: str, context: str) -> dict[tuple[int, int], float]:
    """Score of every span (characters) by its window, window by window and alone."""
    asked, read = reader._characters.tokens(question), reader._characters.tokens(context)
    scores = {}
    for window in windows(0, len(read)):
        pair = Pair.of(asked, read.part(window.start, window.end))
        with torch.inference_mode():
            table = reader._model(ZhBatch.of([pair]))[0].tolist()
        for first in range(window.low, window.high):
            for last in range(first, min(first + MAX_SPAN, len(read))):
                shift = pair.first - window.start
                scores[read.offsets[first][0], read.offsets[last][1]] = table[first + shift][last + shift]
    return scores


@pytest.mark.parametrize("size", [1, 20, 300])
def test_log_probability_equals_the_slow_way(small: ChineseReader, size: int) -> None:
    question, context = "张大年在东城", written(size, size)
    scores = slow_scores(small, question, context)
    mass = {"": 1.0}
    for (start, end), value in scores.items():
        mass[context[start:end]] = mass.get(context[start:end], 0.0) + math.exp(value)
    total = sum(mass.values())
    texts = ["", *random.Random(1).sample(sorted(mass), min(30, len(mass)))]
    got = small.log_probability([question] * len(texts), [context] * len(texts), texts)
    for text, value in zip(texts, got, strict=True):
        assert value == pytest.approx(math.log(mass[text] / total), abs=1e-3)


def test_log_probability_of_what_is_not_there(small: ChineseReader) -> None:
    context = "张大年在New York"
    absent = ["王", "New Yor", "ew", "年 在"]
    assert small.log_probability(["年"] * 4, [context] * 4, absent) == [-math.inf] * 4


@pytest.mark.parametrize("size", [20, 300, 700])
def test_the_log_odds_of_an_answer_equal_the_slow_way(small: ChineseReader, size: int) -> None:
    question, context = "李公司在大学", written(size, size + 1)
    scores = slow_scores(small, question, context)
    [reading] = small.read([question], [context], always=True)
    assert -reading.null == pytest.approx(math.log(sum(map(math.exp, scores.values()))), abs=1e-3)


def test_batch_equals_single_and_order_does_not_matter(small: ChineseReader) -> None:
    pairs = [("张大" * (k % 3), written(size, size)) for k, size in enumerate((0, 1, 17, 255, 256, 300, 513))]
    alone = [small.read([q], [c], batch_size=1)[0] for q, c in pairs]
    for order in (range(len(pairs)), range(len(pairs) - 1, -1, -1)):
        together = small.read([pairs[k][0] for k in order], [pairs[k][1] for k in order], batch_size=4)
        for k, reading in zip(order, together, strict=True):
            assert (reading.start, reading.end) == (alone[k].start, alone[k].end)
            assert reading.confidence == pytest.approx(alone[k].confidence, abs=1e-4)
            assert reading.null == pytest.approx(alone[k].null, abs=1e-3)


@pytest.mark.parametrize("context", ["", " \n\u3000", "\u200b"])
def test_nothing_to_read(small: ChineseReader, context: str) -> None:
    assert small.read(["谁"], [context], always=True) == [Reading(0, 0, 0.0, math.inf)]
    assert small.log_probability(["谁"], [context], [""]) == [0.0]
    assert small.read([], []) == []


@pytest.mark.parametrize(
    "context",
    [
        "。",
        "，。！？《》……——",
        "😀👩‍👩‍👧 奖给了山田太郎 🏆️，还有“Zoë”和e\u0301。",
        "தமிழ் மொழி हिन्दी עִבְרִית العَرَبِيَّة",
        "1984年12月31日，1,308人在New York。",
    ],
)
def test_spans_are_slices_that_cut_no_character_and_no_number(small: ChineseReader, context: str) -> None:
    for question in ("谁？", "", "多少人在New York"):
        [reading] = small.read([question], [context], always=True)
        said = context[reading.start : reading.end]
        assert said
        assert said == said.strip()
        for place in (reading.start, reading.end):
            assert place in (0, len(context)) or not context[place - 1 : place + 1].isdigit()
            assert place == len(context) or context[place] not in "\u0301\u200d\ufe0f"


def test_a_million_characters_are_read(characters: Characters) -> None:
    torch.manual_seed(1)
    model = ZhModel(Shape(len(characters.entries), vectors=8, width=16, layers=1, heads=2, inner=16))
    reader = ChineseReader(model, characters, ALL)
    context = "年" * 9_990 + "张大在东城1984。" + "a" * 990_000
    [reading] = reader.read(["张大"], [context], batch_size=64)
    assert 0 <= reading.start < reading.end <= len(context)
    assert math.isfinite(reading.null)


def test_a_question_that_does_not_fit_is_refused(small: ChineseReader) -> None:
    assert len(small.read(["年" * 512], ["张"])) == 1
    with pytest.raises(ValueError, match="a question has 513 tokens"):
        small.read(["年" * 513], ["张"])
    with pytest.raises(ValueError, match="1 questions for 2 contexts"):
        small.read(["年"], ["张", "王"])


def test_below_the_threshold_there_is_no_answer(small: ChineseReader, characters: Characters) -> None:
    [found] = small.read(["张"], ["张大在东城"])
    never = ChineseReader(small._model, characters, Calibration(0.0, 1.0, 1.0, -found.null + 0.01))
    assert never.read(["张"], ["张大在东城"])[0] == Reading(0, 0, found.confidence, found.null)
    assert never.read(["张"], ["张大在东城"], always=True)[0] == found


# --- where questions go


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("谁发明了电话？", True),
        ("谁发明了telephone和radio？", True),
        ("who is 李白", False),
        ("who wrote 紅樓夢紅樓夢", True),
        ("", False),
        ("1984 ？！😀", False),
        ("これは日本語の文章です", False),
        ("서울은 한국의 수도이다", False),
    ],
)
def test_a_text_is_chinese_by_its_characters(text: str, expected: bool) -> None:
    assert is_chinese(text) == expected


def test_a_pair_is_chinese_if_one_of_its_halves_is() -> None:
    english, chinese = "The bridge was built in 1931.", "这座桥建于1931年。"
    assert [reads_chinese(q, c) for q in (english, chinese) for c in (english, chinese)] == [False, True, True, True]


class Named:
    """A reader that says which it is."""

    def __init__(self, name: float) -> None:
        self.name = name

    def read(self, questions: list[str], contexts: list[str], *, batch_size: int, always: bool) -> list[Reading]:
        return [Reading(len(q), len(c), self.name, float(always)) for q, c in zip(questions, contexts, strict=True)]

    def log_probability(self, *texts: list[str], batch_size: int) -> list[float]:
        return [self.name + len(answer) for answer in texts[2]]


def test_each_pair_goes_to_the_reader_of_its_language_and_comes_back_in_order() -> None:
    readers = TwoReaders(partial(Named, 1.0), partial(Named, 2.0))  # type: ignore[arg-type]
    questions, contexts = ["who", "谁", "when", "何时"], ["a b c", "张三", "李四在", ""]
    assert [r.confidence for r in readers.read(questions, contexts, always=True)] == [1, 2, 2, 2]
    assert [(r.start, r.end) for r in readers.read(questions, contexts)] == [(3, 5), (1, 2), (4, 3), (2, 0)]
    assert readers.log_probability(questions, contexts, ["", "a", "ab", "abc"]) == [1, 3, 4, 5]
    assert readers.read([], []) == []


def test_a_reader_that_is_not_needed_is_not_loaded() -> None:
    def fail() -> ChineseReader:
        raise AssertionError

    assert len(TwoReaders(partial(Named, 1.0), fail).read(["who"], ["a b"])) == 1  # type: ignore[arg-type]


def test_the_sentence_around_a_chinese_span() -> None:
    text = "他生于北京。1936年，鲁迅在上海逝世，享年五十五岁！后来呢？"
    start = text.index("上海")
    begin, end = sentence_around(text, start, start + 2)
    assert text[begin:end] == "1936年，鲁迅在上海逝世，享年五十五岁！"


# --- the shipped weights

BRIDGE = (
    "海明桥于1931年6月4日通车，由丹麦工程师卡伦·霍尔特设计，横跨米尔福德镇的阿斯克河。"
    "大桥全长412米，1978年以前一直漆成绿色。"
)
WRITER = (
    "林文清，1902年3月生於福建廈門，是一位作家。他畢業於燕京大學，1937年出版小說《北風》，"
    "晚年住在台北，1981年因病去世。"
)
BREAD = (
    "做面包时，先把面粉和温水混合，盖上布放置一小时，然后再揉一遍，做成面包的形状，烤到表皮变成棕色。"
    "切开以前要让面包凉下来。"
)


@pytest.fixture(scope="module")
def shipped() -> ChineseReader:
    return ChineseReader.load()


@pytest.mark.parametrize(
    ("question", "context", "answer"),
    [
        ("海明桥是由谁设计的？", BRIDGE, "卡伦·霍尔特"),
        ("海明桥全长多少米？", BRIDGE, "412米"),
        ("海明桥横跨哪条河？", BRIDGE, "阿斯克河"),
        ("林文清是哪裡人？", WRITER, "福建廈門"),
        ("林文清於何時出生？", WRITER, "1902年3月"),
        ("林文清畢業於哪所大學？", WRITER, "燕京大學"),
        ("林文清在1937年出版了什麼小說？", WRITER, "北風"),
        ("林文清晚年住在哪裡？", WRITER, "台北"),
    ],
)
def test_answers_are_found(shipped: ChineseReader, question: str, context: str, answer: str) -> None:
    [reading] = shipped.read([question], [context], always=True)
    said = context[reading.start : reading.end]
    assert answer in said
    assert len(said) <= len(answer) + 8
    far = "。".join([BREAD] * 8) + context + BREAD * 8  # the same among much else: several windows
    [reading] = shipped.read([question], [far], always=True)
    assert answer in far[reading.start : reading.end]


@pytest.mark.parametrize(
    ("question", "context"),
    [
        ("海明桥是由谁设计的？", BREAD),
        ("海明桥全长多少米？", WRITER),
        ("林文清畢業於哪所大學？", BREAD),
        ("林文清畢業於哪所大學？", BRIDGE),
        ("who designed the bridge", BREAD),
        ("林文清畢業於哪所大學？", "The blue whale feeds almost exclusively on krill."),
    ],
)
def test_an_unrelated_passage_is_no_answer(shipped: ChineseReader, question: str, context: str) -> None:
    [reading] = shipped.read([question], [context])
    assert (reading.start, reading.end) == (0, 0)
    assert reading.confidence < 0.15
    assert reading.null > 1


def test_confidence_is_comparable_across_passages(shipped: ChineseReader) -> None:
    readings = shipped.read(["林文清畢業於哪所大學？"] * 3, [BREAD, WRITER, BRIDGE])
    assert max(range(3), key=lambda k: readings[k].confidence) == 1
    assert readings[1].confidence > 0.4


def test_bf16_reads_the_same(shipped: ChineseReader) -> None:
    small = ChineseReader.load(dtype=torch.bfloat16)
    for question, context in (("海明桥全长多少米？", BRIDGE), ("林文清畢業於哪所大學？", WRITER)):
        one, two = (reader.read([question], [context], always=True)[0] for reader in (shipped, small))
        assert (one.start, one.end) == (two.start, two.end)
        assert one.confidence == pytest.approx(two.confidence, abs=0.05)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("reader_zh.safetensors", lambda data: data[: len(data) // 2]),
        ("reader_zh.safetensors", lambda data: data[:-1] + bytes([data[-1] ^ 1])),
        ("reader_zh.json", lambda data: data[:20]),
        ("reader_zh.json", lambda data: data.replace(b'"width": 256', b'"width": 128')),
        ("reader_zh.json", lambda data: data.replace(b'"width"', b'"breadth"')),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, file: str, change: Callable[[bytes], bytes]) -> None:
    for name in ("reader_zh.safetensors", "reader_zh.json"):
        shutil.copy(WEIGHTS / name, tmp_path / name)
    (tmp_path / file).write_bytes(change((WEIGHTS / file).read_bytes()))
    with pytest.raises(ModelError):
        ChineseReader.load(weights=tmp_path)


# --- training


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `training.reader_zh_data` writes it, of forty passages about who was born where."""
    from training.reader_zh_data import Question, occurrences, write

    rng = random.Random(5)
    passages, questions = [], []
    for number in range(40):
        name, place = ("".join(rng.sample(LETTERS[:24], 2)) for _ in range(2))
        passages.append(f"{written(60, number)}。{name}生于{place}。{written(60, number + 99)}。")
        questions.append(Question(f"{name}生于哪里？", number, occurrences(passages[-1], place, 0), []))
    folder = tmp_path_factory.mktemp("made")
    write(folder, passages, {"train": questions[:30], "dev": questions[30:], "held": []}, [written(3000, 7)])
    return folder


def test_rows_hold_their_answer_or_none(made: Path) -> None:
    from training.reader_zh_rows import Collection, real_rows

    source = Collection(made)
    questions = source.questions("train")
    rows = list(real_rows(source, questions, 1, absent=1.0))
    assert len(rows) == 2 * len(questions)
    for question, right, wrong in zip(questions, rows[::2], rows[1::2], strict=True):
        answer = source.plain[question.passage][slice(*question.answers[0])]
        assert {"".join(right.context.forms[a : b + 1]) for a, b in right.gold} == {answer}
        assert wrong.gold == []
        assert answer not in "".join(wrong.context.forms)
    assert [len(row) for row in rows] != [len(row) for row in real_rows(source, questions, 2, absent=1.0)]


def test_batches_keep_every_row_and_the_budget(made: Path) -> None:
    from training.reader_zh_rows import Collection, batches, real_rows

    source = Collection(made)
    rows = list(real_rows(source, source.questions("train"), 1))
    cut = list(batches(iter(rows), 600, 1))
    assert sorted(row.seed for batch in cut for row in batch) == sorted(row.seed for row in rows)
    assert all(len(batch) * max(map(len, batch)) <= 600 for batch in cut if len(batch) > 1)


def test_the_loss_equals_the_slow_way(made: Path, characters: Characters, small: ChineseReader) -> None:
    from training.reader_zh_rows import Row, _hidden, loss_of

    question, context = characters.tokens("张大在"), characters.tokens(written(30, 2))
    rows = [Row(question, context, [(3, 5), (9, 9)], 11), Row(question, context.part(0, 12), [], 12)]
    expected = []
    for row in rows:
        pair = _hidden(Pair.of(row.question, row.context), row.seed)
        with torch.no_grad():
            table = small._model(ZhBatch.of([pair]))[0].double().exp()
        gold = sum(float(table[a + pair.first, b + pair.first]) for a, b in row.gold) if row.gold else 1.0
        expected.append(math.log((1 + float(table.sum())) / gold))
    assert float(loss_of(small._model, rows).detach()) == pytest.approx(sum(expected) / 2, abs=1e-3)


def test_a_stopped_training_goes_on_as_if_it_had_not_stopped(made: Path, tmp_path: Path) -> None:
    from training.loop import Plan, Trainer
    from training.reader_zh import fresh_model, run
    from training.reader_zh_rows import Collection

    source = Collection(made)
    shape = Shape(len(source.characters.entries), width=32, layers=1, heads=2, inner=32)

    def trained(save: Path, steps: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(1)
        model = fresh_model(source, shape)
        plan = Plan(4, {"": 1e-3}, ("body",), every=2)
        if steps < 4:  # as if it had been stopped
            plan = Plan(4, {"": 1e-3}, ("body",), every=2)
            original, Trainer.update = Trainer.update, stop_after(steps)  # type: ignore[method-assign]
            try:
                with pytest.raises(KeyboardInterrupt):
                    run(source, model, plan, save, count=4)
            finally:
                Trainer.update = original  # type: ignore[method-assign]
            return {}
        run(source, model, plan, save, count=4)
        return {name: value.clone() for name, value in model.state_dict().items()}

    def stop_after(steps: int) -> object:
        whole = Trainer.update

        def update(trainer: Trainer[ZhModel], loss: torch.Tensor) -> float:
            if trainer.step == steps:
                raise KeyboardInterrupt
            return whole(trainer, loss)

        return update

    straight = trained(tmp_path / "straight", 4)
    trained(tmp_path / "stopped", 3)
    resumed = trained(tmp_path / "stopped", 4)
    assert all(torch.equal(value, resumed[name]) for name, value in straight.items())
    lines = [(tmp_path / name / "curve.jsonl").read_text().splitlines() for name in ("straight", "stopped")]
    losses = [[json.loads(line)["loss"] for line in part] for part in lines]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 2


@pytest.mark.parametrize(
    ("said", "answer", "expected"),
    [
        ("1963年", "1963年", 1.0),
        ("1963年，", "“1963年”", 1.0),
        ("于1963年", "1963年", 2 * 2 / (3 + 2)),  # a number is one piece
        ("北京大学", "北京的大学", 2 * 2 / (4 + 5)),  # the longest run counts, not all that is common
        ("New York", "new york市", 2 * 2 / (2 + 3)),
        ("上海", "北京", 0.0),
        ("", "北京", 0.0),
        ("，", "。", 0.0),
    ],
)
def test_f1_is_that_of_cmrc(said: str, answer: str, expected: float) -> None:
    from training.reader_zh_measure import f1

    assert f1(said, answer) == pytest.approx(expected)


def test_held_articles_are_in_one_part_only() -> None:
    from training.reader_zh_data import part

    parts = [part(f"条目{k}") for k in range(2000)]
    assert parts == [part(f"条目{k}") for k in range(2000)]
    assert 0.03 < parts.count("dev") / 2000 < 0.07
    assert 0.16 < parts.count("held") / 2000 < 0.24

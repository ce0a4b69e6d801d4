"""The store of keys and values: its tiers against a slow model, its files under every kind of damage, its keys."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import torch
import transformers
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as some
from safetensors import safe_open
from torch.testing._internal.two_tensor import TwoTensor

from ctxproc.cli.main import cli
from ctxproc.config import Settings
from ctxproc.llm import kv_disk, kv_key
from ctxproc.llm.kv import KVStats, KVStore
from ctxproc.llm.kv_disk import MAPPED_FROM, DiskTier
from ctxproc.llm.kv_key import fingerprint, key
from tests.models import byte_tokenizer

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
SHAPE = (2, 2, 1, 3, 4)
BIG = 1 << 30
ROOT = "ab" * 32
KEYS = [key(ROOT, [i]) for i in range(8)]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def entry(seed: int, shape: Sequence[int] = SHAPE, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Numbers of a seed, with the ones that compare badly among them."""
    values = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    values.view(-1)[:4] = torch.tensor([float("nan"), float("inf"), -0.0, 1e-40])
    return values.to(dtype)


def same(found: torch.Tensor | None, expected: torch.Tensor) -> bool:
    """Whether two tensors are equal bit by bit."""
    if found is None or found.dtype != expected.dtype or found.shape != expected.shape:
        return False
    return found.is_contiguous() and torch.equal(
        found.reshape(-1).view(torch.uint8), expected.view(-1).view(torch.uint8)
    )


class Reports(list[str]):
    """What a store said; every report is one line."""

    def __call__(self, text: str) -> None:
        assert "\n" not in text
        self.append(text)


def store(
    folder: Path | None, *, ram: int = BIG, disk: int = BIG, report: Callable[[str], None] | None = None
) -> KVStore:
    return KVStore(folder, ram_bytes=ram, disk_bytes=disk, report=pytest.fail if report is None else report)


def file_of(folder: Path, name: str = KEYS[0]) -> Path:
    return folder / f"{name}.safetensors"


def written(folder: Path, seed: int = 0, shape: Sequence[int] = SHAPE, dtype: torch.dtype = torch.float32) -> Path:
    """The file of a new entry under the first key."""
    store(folder).put(KEYS[0], entry(seed, shape, dtype))
    return file_of(folder)


# The round trip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tokens", [0, 1, 3, MAPPED_FROM // 16])
def test_an_entry_comes_back_as_it_was(tmp_path: Path, dtype: torch.dtype, tokens: int) -> None:
    shape = (1, 2, 1, tokens, 4)
    value = torch.arange(8 * tokens).view(shape).to(dtype) if tokens < 2 else entry(1, shape, dtype)
    first = store(tmp_path / "deep" / "kv")
    first.put(KEYS[0], value)
    assert same(first.get(KEYS[0], shape, dtype), value)
    second = store(tmp_path / "deep" / "kv")
    for _ in range(2):
        assert same(second.get(KEYS[0], shape, dtype), value)
    assert first.stats == KVStats(memory=1) and second.stats == KVStats(disk=1, memory=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_file_is_safetensors_for_its_owner_only(tmp_path: Path, dtype: torch.dtype) -> None:
    file = written(tmp_path / "kv", 5, dtype=dtype)
    with safe_open(file, "pt") as opened:
        assert list(opened.keys()) == [KEYS[0]]
        assert same(opened.get_tensor(KEYS[0]), entry(5, dtype=dtype))
    assert file.stat().st_mode & 0o777 == 0o600 and file.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_many_are_as_one_by_one(tmp_path: Path) -> None:
    shapes = [(1, 2, 1, tokens, 4) for tokens in range(1, 8)]
    values = [entry(i, shape) for i, shape in enumerate(shapes)]
    for name, value in zip(KEYS, values, strict=False):
        store(tmp_path).put(name, value)
    raw = bytearray(file_of(tmp_path, KEYS[3]).read_bytes())
    raw[-1] ^= 1
    file_of(tmp_path, KEYS[3]).write_bytes(raw)
    reports = Reports()
    reader = store(tmp_path, report=reports)
    order = [6, 0, 3, 0, 2, 5]
    found = reader.get_many([KEYS[i] for i in order] + [KEYS[7]], [*(shapes[i] for i in order), SHAPE], torch.float32)
    assert all(same(got, values[i]) for got, i in zip(found, order, strict=False) if i != 3)
    assert found[2] is None and found[-1] is None and len(reports) == 1 and KEYS[3] in reports[0]
    assert reader.stats == KVStats(disk=4, misses=2, damaged=1)


def test_what_is_handed_out_outlives_its_eviction(tmp_path: Path) -> None:
    shape = (1, 2, 1, MAPPED_FROM // 16, 4)
    value = entry(2, shape)
    store(tmp_path).put(KEYS[0], value)
    reader = store(tmp_path, ram=value.nbytes)
    held = reader.get(KEYS[0], shape, torch.float32)
    reader.put(KEYS[1], entry(3, shape))
    file_of(tmp_path).unlink()
    assert same(held, value) and reader.get(KEYS[0], shape, torch.float32) is None


def test_a_view_is_copied_and_a_mapped_entry_is_private(tmp_path: Path) -> None:
    arena = torch.randn(2, 1, 2, 1, 40, 4)
    whole, strided = arena[0].clone(), arena[1, :, :, :, 8:16].clone()
    keeper = store(tmp_path)
    keeper.put(KEYS[0], arena[0])
    keeper.put(KEYS[1], arena[1, :, :, :, 8:16])
    arena.zero_()
    for holder in (keeper, store(tmp_path)):
        assert same(holder.get(KEYS[0], whole.shape, torch.float32), whole)
        assert same(holder.get(KEYS[1], strided.shape, torch.float32), strided)
    shape = (1, 2, 1, MAPPED_FROM // 16, 4)
    keeper.put(KEYS[2], entry(2, shape))
    mapped = store(tmp_path).get(KEYS[2], shape, torch.float32)
    assert mapped is not None
    mapped.zero_()
    assert same(store(tmp_path).get(KEYS[2], shape, torch.float32), entry(2, shape))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("dtype", DTYPES)
def test_on_a_gpu(tmp_path: Path, dtype: torch.dtype) -> None:
    value = entry(1, dtype=dtype)
    for ram, upper in ((0, 0), (BIG, 0), (0, BIG), (BIG, BIG)):
        options = {"ram_bytes": ram, "disk_bytes": BIG, "device": "cuda", "device_bytes": upper, "report": pytest.fail}
        folder = tmp_path / f"{ram}-{upper}"
        for keeper in (KVStore(folder, **options), KVStore(folder, **options)):  # type: ignore[arg-type]
            if not file_of(folder).exists():
                keeper.put(KEYS[0], value.cuda())
            for _ in range(2):
                found = keeper.get(KEYS[0], SHAPE, dtype)
                assert found is not None and found.is_cuda and same(found.cpu(), value)


# The tiers


class SlowTier:
    """Least recently used, as one would write it on paper: a list of names, oldest first."""

    def __init__(self, budget: int, sizes: dict[str, int]) -> None:
        self.budget, self.sizes = budget, sizes
        self.names: list[str] = []

    def use(self, name: str) -> bool:
        if name in self.names:
            self.names.append(self.names.pop(self.names.index(name)))
        return name in self.names

    def put(self, name: str) -> None:
        self.names = [other for other in self.names if other != name]
        if self.sizes[name] <= self.budget:
            self.names.append(name)
        while sum(self.sizes[other] for other in self.names) > self.budget:
            self.names.pop(0)


class SlowStore:
    """Three slow tiers, of which the first may be missing; says where each entry would be found."""

    def __init__(self, upper: SlowTier | None, memory: SlowTier, disk: SlowTier) -> None:
        self.tiers = {"device": upper, "memory": memory, "disk": disk}

    def get(self, name: str) -> str:
        hits = [place for place, tier in self.tiers.items() if tier and tier.use(name)]
        if not hits:
            return "misses"
        for place, tier in self.tiers.items():
            if place == hits[0]:
                break
            if tier:
                tier.put(name)
        return hits[0]

    def put(self, name: str) -> None:
        for tier in self.tiers.values():
            if tier:
                tier.put(name)


steps = some.lists(some.tuples(some.booleans(), some.integers(0, 7)), max_size=40)


@settings(max_examples=60, deadline=None)
@given(steps=steps, budgets=some.tuples(*[some.integers(0, 1500)] * 2, some.integers(0, 6000)), upper=some.booleans())
def test_tiers_are_those_of_the_slow_store(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[bool, int]],
    budgets: tuple[int, int, int],
    upper: bool,
) -> None:
    folder = tmp_path_factory.mktemp("kv")
    shapes = {name: (1, 2, 1, 1 + 3 * i, 4) for i, name in enumerate(KEYS)}
    sizes = {name: entry(0, shape).nbytes for name, shape in shapes.items()}
    files = {name: len(kv_disk.header(name, shapes[name], torch.float32, "")) + sizes[name] for name in KEYS}
    slow = SlowStore(
        SlowTier(budgets[0], sizes) if upper else None,
        SlowTier(budgets[1], sizes),
        SlowTier(budgets[2] - budgets[2] // 8, files),
    )
    fast = KVStore(
        folder,
        ram_bytes=budgets[1],
        disk_bytes=budgets[2],
        device="meta" if upper else "cpu",
        device_bytes=budgets[0],
        report=pytest.fail,
    )
    counts = dict.fromkeys(("device", "memory", "disk", "misses"), 0)
    for is_put, i in steps:
        name = KEYS[i]
        if is_put:
            slow.put(name)
            fast.put(name, entry(i, shapes[name]))
        else:
            place = slow.get(name)
            counts[place] += 1
            found = fast.get(name, shapes[name], torch.float32)
            assert (found is None) == (place == "misses")
            assert found is None or upper or same(found, entry(i, shapes[name]))
        assert fast.stats == KVStats(**counts)
        disk = slow.tiers["disk"]
        assert disk and {path.stem for path in folder.glob("*")} == set(disk.names)
        assert sum(path.stat().st_size for path in folder.glob("*")) <= budgets[2]


def test_the_folder_is_looked_at_before_others_can_overfill_it(tmp_path: Path) -> None:
    size = 4096 - len(kv_disk.header(KEYS[0], (1, 2, 1, 1, 4), torch.float32, ""))
    budget = 256 * 4096
    writers = [DiskTier(tmp_path, budget, pytest.fail) for _ in range(8)]
    for i in range(500):
        writers[i * i % 8].write(key(ROOT, [9, i]), torch.zeros(1, 2, 1, size // 8, 1))
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= budget
    assert len(list(tmp_path.iterdir())) >= 256 * 7 // 8 - 5


def test_a_hit_in_memory_keeps_the_file(tmp_path: Path) -> None:
    keeper = store(tmp_path, disk=8 * 1024)
    for i in range(100):
        keeper.put(key(ROOT, [i, i]), entry(i))
        assert i == 0 or keeper.get(key(ROOT, [0, 0]), SHAPE, torch.float32) is not None
    assert same(store(tmp_path).get(key(ROOT, [0, 0]), SHAPE, torch.float32), entry(0))
    assert store(tmp_path).get(key(ROOT, [1, 1]), SHAPE, torch.float32) is None


def test_without_a_disk(tmp_path: Path) -> None:
    for keeper in (store(None), store(tmp_path, disk=0)):
        keeper.put(KEYS[0], entry(0))
        assert same(keeper.get(KEYS[0], SHAPE, torch.float32), entry(0))
        assert keeper.get(KEYS[1], SHAPE, torch.float32) is None
    assert not list(tmp_path.iterdir())


# Damage


def refused(folder: Path, shape: Sequence[int] = SHAPE, dtype: torch.dtype = torch.float32) -> bool:
    """Whether the first key's file is not used, but reported and removed."""
    reports = Reports()
    reader = store(folder, report=reports)
    found = reader.get(KEYS[0], shape, dtype)
    gone = not os.path.lexists(file_of(folder))
    return found is None and gone and len(reports) == 1 and reader.stats == KVStats(misses=1, damaged=1)


def test_every_bit_of_every_byte_matters(tmp_path: Path) -> None:
    file = written(tmp_path)
    raw = file.read_bytes()
    for i in range(len(raw)):
        file.write_bytes(raw[:i] + bytes([raw[i] ^ (1 << i % 8)]) + raw[i + 1 :])
        assert refused(tmp_path), f"byte {i} of {len(raw)}"
    file.write_bytes(raw)
    assert same(store(tmp_path).get(KEYS[0], SHAPE, torch.float32), entry(0))


def test_every_length_but_the_right_one_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    raw = file.read_bytes()
    for length in range(len(raw)):
        file.write_bytes(raw[:length])
        assert refused(tmp_path), f"{length} of {len(raw)} bytes"
    file.write_bytes(raw + b"\0")
    assert refused(tmp_path)


@settings(max_examples=60, deadline=None)
@given(data=some.data())
def test_damage_in_a_large_entry(tmp_path_factory: pytest.TempPathFactory, data: some.DataObject) -> None:
    folder = tmp_path_factory.mktemp("kv")
    shape = (2, 2, 1, MAPPED_FROM // 16, 4)
    file = written(folder, 1, shape, torch.bfloat16)
    raw = bytearray(file.read_bytes())
    start = data.draw(some.integers(0, len(raw) - 1))
    length = data.draw(some.integers(1, len(raw) - start))
    if data.draw(some.booleans()):
        zeros = raw[:start] + bytes(length) + raw[start + length :]
        raw = zeros if zeros != raw else raw[:start]
    else:
        raw[start] ^= data.draw(some.integers(1, 255))
    file.write_bytes(raw)
    assert refused(folder, shape, torch.bfloat16)


def test_swapped_blocks_are_refused(tmp_path: Path) -> None:
    shape = (1, 2, 1, MAPPED_FROM // 16, 4)
    file = written(tmp_path, 1, shape)
    raw = file.read_bytes()
    file.write_bytes(raw[:-8192] + raw[-4096:] + raw[-8192:-4096])
    assert refused(tmp_path, shape)


@pytest.mark.parametrize("kind", ["other key", "text", "folder", "link", "pipe", "pickle", "another tensor"])
def test_a_foreign_file_is_refused(tmp_path: Path, kind: str) -> None:
    folder, other = tmp_path / "kv", file_of(tmp_path / "kv", KEYS[1])
    file = written(folder)
    store(folder).put(KEYS[1], entry(0))
    kept = other.read_bytes()
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind == "link":
        file.symlink_to(other)
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "another tensor":
        from safetensors.torch import save_file

        save_file({"weights": entry(0)}, file)
    else:
        contents = {"other key": kept, "text": b"not this " * 60, "pickle": b"cos\nsystem\n(S'true'\ntR." + bytes(500)}
        file.write_bytes(contents[kind][: len(kept)])
    if kind == "folder":
        reports = Reports()
        assert store(folder, report=reports).get(KEYS[0], SHAPE, torch.float32) is None and len(reports) == 1
    else:
        assert refused(folder)
    assert other.read_bytes() == kept


def test_another_shape_or_number_format_is_refused(tmp_path: Path) -> None:
    for shape, dtype in [((2, 2, 3, 1, 4), torch.float32), ((2, 2, 1, 6, 4), torch.bfloat16), ((96,), torch.float16)]:
        written(tmp_path)
        assert refused(tmp_path, shape, dtype)
    written(tmp_path, dtype=torch.bfloat16)
    assert refused(tmp_path, dtype=torch.float16)
    keeper = store(None)
    keeper.put(KEYS[0], entry(0))
    assert keeper.get(KEYS[0], (2, 2, 3, 1, 4), torch.float32) is None
    assert keeper.get(KEYS[0], SHAPE, torch.float16) is None


def test_a_file_that_cannot_be_mapped_is_a_miss_and_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path)

    def fails(*_: object) -> None:
        raise RuntimeError("unable to open file: Too many open files (24)\n")

    monkeypatch.setattr(torch.UntypedStorage, "from_file", fails)
    reports = Reports()
    reader = store(tmp_path, report=reports)
    assert reader.get(KEYS[0], SHAPE, torch.float32) is None and file.exists()
    assert len(reports) == 1 and "Too many open files" in reports[0] and reader.stats == KVStats(misses=1)


# A disk that cannot be written


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("call", ["open", "replace", "utime"])
def test_a_failing_disk_is_reported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, call: str) -> None:
    store(tmp_path).put(KEYS[1], entry(1))

    def fails(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(kv_disk.os, call, fails)
    reports = Reports()
    keeper = store(tmp_path, report=reports)
    for i in (0, 2, 3):
        keeper.put(KEYS[i], entry(i))
        assert same(keeper.get(KEYS[i], SHAPE, torch.float32), entry(i))
    assert same(keeper.get(KEYS[1], SHAPE, torch.float32), entry(1))
    assert len(reports) == 1 and os.strerror(code) in reports[0] and str(tmp_path) in reports[0]
    assert [path.stem for path in tmp_path.iterdir()] == [KEYS[1]]


def test_a_full_disk_leaves_no_part(tmp_path: Path) -> None:
    """A real short write: the system lets this process write no more than half an entry to a file."""
    script = """
import resource, sys, torch
from pathlib import Path
from ctxproc.llm.kv import KVStore
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
said = []
store = KVStore(Path(sys.argv[1]), ram_bytes=1 << 30, disk_bytes=1 << 30, report=said.append)
for i in range(3):
    store.put(f"{i:064x}", torch.full((1, 2, 1, 1000, 128), float(i)))
    assert store.get(f"{i:064x}", (1, 2, 1, 1000, 128), torch.float32).unique().tolist() == [i]
assert len(said) == 1, said
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "kv")], check=True, timeout=100)
    assert list((tmp_path / "kv").iterdir()) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_read(tmp_path: Path) -> None:
    written(tmp_path)
    tmp_path.chmod(0o500)
    try:
        reports = Reports()
        keeper = store(tmp_path, report=reports)
        keeper.put(KEYS[1], entry(1))
        assert same(keeper.get(KEYS[0], SHAPE, torch.float32), entry(0)) and len(reports) == 1
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_folders_place(tmp_path: Path) -> None:
    (tmp_path / "kv").write_text("mine")
    reports = Reports()
    keeper = store(tmp_path / "kv", report=reports)
    assert keeper.get(KEYS[0], SHAPE, torch.float32) is None
    keeper.put(KEYS[0], entry(0))
    assert same(keeper.get(KEYS[0], SHAPE, torch.float32), entry(0))
    assert len(reports) == 1 and (tmp_path / "kv").read_text() == "mine"


def test_a_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    keeper = store(tmp_path / "kv")
    keeper.put(KEYS[0], entry(0))
    shutil.rmtree(tmp_path / "kv")
    keeper.put(KEYS[1], entry(1))
    assert same(store(tmp_path / "kv").get(KEYS[1], SHAPE, torch.float32), entry(1))


# Keys


def test_a_key_is_the_hash_that_is_written_down() -> None:
    ids = [0, 1, 151_643, 2**40]
    assert key(ROOT, ids) == hashlib.sha256(bytes.fromhex(ROOT) + struct.pack("=4q", *ids)).hexdigest()
    assert len({key(ROOT, ids) for ids in ([], [0], [0, 0], [1, 23], [12, 3], [123])}) == 6
    assert len({key(ROOT, [1, 2]), key(key(ROOT, [1]), [2]), key(key(ROOT, [1, 2]), [])}) == 3


def tiny(**changes: object) -> transformers.PreTrainedModel:
    options = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    options |= {"vocab_size": 300, "max_position_embeddings": 64, "attention_bias": True, **changes}
    config = transformers.AutoConfig.for_model("llama", **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


TOKENIZER = byte_tokenizer()


def print_of(model: torch.nn.Module, dtype: torch.dtype = torch.float32) -> str:
    return fingerprint(model, TOKENIZER, dtype)


def test_any_changed_weight_or_buffer_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kv_key, "PIECE", 4000)
    model = tiny()
    before = print_of(model)
    assert before == print_of(tiny()) and len(bytes.fromhex(before)) == 32
    seen = {before}
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert any("inv_freq" in name for name in values) and any("bias" in name for name in values)
    for value in values.values():
        for place in (0, value.numel() // 2, -1):
            word = value.detach().view(-1).view(torch.int32)
            word[place] ^= 1
            seen.add(print_of(model))
            word[place] ^= 1
    assert len(seen) == 1 + 3 * len(values) and print_of(model) == before


def test_the_fingerprint_follows_the_model_not_the_place(tmp_path: Path) -> None:
    model = tiny()
    model.save_pretrained(tmp_path / "here")
    before = print_of(model)
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "here", dtype=torch.float32)
    again = transformers.AutoModelForCausalLM.from_pretrained(
        shutil.copytree(tmp_path / "here", tmp_path / "there"), dtype=torch.float32
    )
    assert print_of(loaded) == print_of(again)
    loaded.set_attn_implementation("eager")
    assert print_of(loaded) == print_of(again)
    others = [tiny(rope_theta=5000.0), tiny(rms_norm_eps=1e-5), tiny(tie_word_embeddings=True), tiny().bfloat16()]
    scaled = tiny()
    scaled.model.rotary_emb.attention_scaling = 1.5
    prints = {before, *map(print_of, [tiny(), *others, scaled]), print_of(model, torch.bfloat16)}
    prints.add(fingerprint(model, byte_tokenizer(bos=True), torch.float32))
    changed = byte_tokenizer()
    changed.add_tokens(["<more>"])
    prints.add(fingerprint(model, changed, torch.float32))
    assert len(prints) == 2 + len(others) + 4
    cut = byte_tokenizer()
    cut.backend_tokenizer.enable_truncation(8)
    assert fingerprint(model, cut, torch.float32) == before


def test_quantised_weights_count() -> None:
    def model(first: float, second: float) -> torch.nn.Module:
        built = torch.nn.Linear(2, 2)
        pair = TwoTensor(torch.full((2, 2), first), torch.full((2, 2), second))
        built.weight, built.bias = torch.nn.Parameter(pair), torch.nn.Parameter(torch.zeros(2))
        return built

    values = [(1.0, 2.0), (1.0, 3.0), (4.0, 2.0), (2.0, 1.0)]
    prints = [print_of(model(*value)) for value in values]
    assert len(set(prints)) == 4 and prints[0] == print_of(model(*values[0]))


def test_the_layout_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = print_of(tiny())
    monkeypatch.setattr(kv_key, "LAYOUT_VERSION", kv_key.LAYOUT_VERSION + 1)
    assert print_of(tiny()) != before


# Settings and the command


def test_settings_name_the_budgets() -> None:
    reuse = Settings().reuse
    assert (reuse.grade, reuse.ram_bytes, reuse.disk_bytes, reuse.device_bytes) == ("exact", 2 << 30, 8 << 30, 4 << 30)
    shown = CliRunner().invoke(cli, ["config", "show", "--json", "--set", "reuse.grade=link-k"])
    assert json.loads(shown.output)["reuse.grade"]["value"] == "link-k"


def filled(cache: Path) -> dict[str, list[Path]]:
    """A cache folder with two files of each kind, and files that are not ours."""
    keeper = store(cache / "kv")
    keeper.put(KEYS[0], entry(0))
    keeper.put(KEYS[1], entry(1))
    for kind, names in {
        "embeddings": [f"{'1' * 64}.safetensors", f"{'2' * 64}.safetensors"],
        "runs": ["20260101-120000-0123abcd.jsonl", "20260102-120000-0012340123abcd.jsonl"],
    }.items():
        (cache / kind).mkdir()
        for name in names:
            (cache / kind / name).write_bytes(b"x" * 10)
    ours = {kind: sorted((cache / kind).iterdir()) for kind in ("kv", "embeddings", "runs")}
    for kind in ours:
        (cache / kind / "notes.txt").write_text("mine")
        (cache / kind / f"{'3' * 64}.safetensors").mkdir()
        (cache / kind / f"{'4' * 64}.safetensors").symlink_to(cache / kind / "notes.txt")
        (cache / kind / "20260103-120000-0123abcd.jsonl").symlink_to(cache / kind / "notes.txt")
    (cache / "kv" / f".{'5' * 16}.part").write_bytes(b"left by a killed process")
    return ours


def run(*arguments: str) -> str:
    result = CliRunner().invoke(cli, ["cache", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_cache_info(own_cache: Path) -> None:
    cache = own_cache / "ctxproc"
    assert json.loads(run("info", "--json"))["kv"] == {"entries": 0, "bytes": 0, "budget": 8 << 30}
    ours = filled(cache)
    size = sum(path.stat().st_size for path in ours["kv"])
    assert json.loads(run("info", "--json", "--set", "reuse.disk_bytes=5000")) == {
        "folder": str(cache),
        "kv": {"entries": 2, "bytes": size, "budget": 5000},
        "embeddings": {"entries": 2, "bytes": 20},
        "runs": {"entries": 2, "bytes": 20},
    }
    assert "keys and values  2 entries, 0.0 MB of 8,589.9 MB" in run("info")


@pytest.mark.parametrize("kinds", [(), ("kv",), ("runs", "runs"), ("embeddings", "runs", "kv")])
def test_cache_clear_removes_ours_only(own_cache: Path, kinds: tuple[str, ...]) -> None:
    ours = filled(own_cache / "ctxproc")
    chosen = set(kinds or ("kv",))
    output = run("clear", *kinds)
    assert output.count("removed 2 entries") == len(chosen) == len(output.splitlines())
    for kind, files in ours.items():
        assert [path.exists() for path in files] == [kind not in chosen] * 2
        left = {path.name for path in files[0].parent.iterdir()} - {path.name for path in files}
        assert len(left) == 4 + (kind == "kv" and "kv" not in chosen)
        assert (files[0].parent / "notes.txt").read_text() == "mine"


def test_cache_clear_follows_no_link(own_cache: Path) -> None:
    ours = filled(own_cache / "elsewhere")
    (own_cache / "ctxproc").mkdir()
    (own_cache / "ctxproc" / "kv").symlink_to(own_cache / "elsewhere" / "kv")
    result = CliRunner().invoke(cli, ["cache", "clear"])
    assert result.exit_code != 0 and "link" in str(result.exception)
    assert all(path.exists() for path in ours["kv"])

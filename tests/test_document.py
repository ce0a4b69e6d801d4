"""Text sources: encodings, the byte map against a slow oracle, folders, standard input, limits, errors."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.document import Document, Limits, Skipped, load
from ctxproc.errors import SourceError
from ctxproc.formats import bytemap
from ctxproc.formats.bytemap import build
from ctxproc.formats.encoding import decode, looks_binary

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "eval"
SIMPLIFIED = "话说宋朝有个看灯的人，他住在海边的石屋里。每天晚上，他点上灯，等船回来。"
TRADITIONAL = "話說宋朝有個看燈的人，他住在海邊的石屋裡。每天晚上，他點上燈，等船回來。"
WESTERN = "Der Fluß über die Straße, größer als alle Maße; «l'été» à la façon d'où; señor niño, São João."
ENCODINGS = ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "gb18030", "cp950", "big5hkscs", "cp1252", "latin-1"]
PIECES = st.sampled_from(
    ["a", "é", "e\u0301", "中", "國", "😀", "👩‍👩‍👧", "שלום", "\r\n", "\n", "\0", "\ufeff", "\ufffd", "  ", "。"]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=40).map("".join), st.text(max_size=60))


def slow_range(text: str, encoding: str, first: int, start: int, end: int) -> tuple[int, int]:
    """Encode everything before, each time."""
    return first + len(text[:start].encode(encoding)), first + len(text[:end].encode(encoding))


def load_bytes(folder: Path, raw: bytes, name: str = "a.txt") -> Document:
    path = folder / name
    path.write_bytes(raw)
    [document] = load([path])
    return document


@settings(max_examples=150, deadline=None)
@given(TEXTS, st.sampled_from(ENCODINGS), st.integers(0, 4), st.data())
def test_byte_range_equals_the_slow_oracle_in_every_encoding(
    text: str, encoding: str, mark: int, data: st.DataObject
) -> None:
    text = text.encode(encoding, "ignore").decode(encoding)
    raw = b"m" * mark + text.encode(encoding)
    text = raw[mark:].decode(encoding)
    found = build(text, raw, encoding, mark)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, past = found.byte_range(text, start, end)
    assert raw[first:past].decode(encoding) == text[start:end]
    if text:
        assert (first, past) == slow_range(text, encoding, mark, start, end)


@settings(max_examples=60, deadline=None)
@given(TEXTS.filter(bool), st.sampled_from(ENCODINGS[:4]), st.data())
def test_byte_range_across_runs(text: str, encoding: str, data: st.DataObject) -> None:
    text *= 2 * bytemap.RUN // len(text) + 2
    raw = text.encode(encoding)
    found = build(text, raw, encoding)
    assert len(found.chars) == -(-len(text) // bytemap.RUN)
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert found.byte_range(text, start, end) == slow_range(text, encoding, 0, start, end)


@pytest.mark.parametrize("encoding", ["gb18030", "cp950", "big5hkscs", "cp932", "euc_jp", "cp949"])
def test_the_map_is_right_where_the_codec_does_not_give_its_bytes_back(encoding: str) -> None:
    """Every two-byte sequence that decodes, those with a second spelling included, lies where it was."""
    units = []
    for code in range(0x8100, 0xFF00):
        raw = code.to_bytes(2, "big")
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        units.append((raw, text))
    raw, text = b"".join(u[0] for u in units), "".join(u[1] for u in units)
    assert raw.decode(encoding) == text
    found = build(text, raw, encoding)
    char = byte = 0
    for number, (piece, decoded) in enumerate(units):
        if number % 9 == 0 or (len(decoded) > 1) or decoded.encode(encoding) != piece:
            assert found.byte_range(text, char, char + len(decoded)) == (byte, byte + len(piece)), piece
        char, byte = char + len(decoded), byte + len(piece)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["中文字", "漢😀", "naïve"]),
            st.sampled_from([b"\xff", b"\xe4\xbd", b"\xf0\x9f\x98", b"\xc0\x80"]),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_broken_utf8_keeps_its_place(parts: list[tuple[str, bytes]]) -> None:
    raw = b"".join((text * 12).encode() + bad for text, bad in parts) + "完".encode()
    text, found, losses = decode(raw)
    assert text == raw.decode("utf-8", "replace") and found.encoding == "utf-8" and len(losses) == 1
    byte = 0
    for i, c in enumerate(text):
        first, past = found.byte_range(text, i, i + 1)
        assert first == byte
        assert raw[first:past].decode("utf-8", "replace") == c
        byte = past
    assert byte == len(raw)


CHINESE = [
    ("utf-8", SIMPLIFIED),
    ("gb18030", SIMPLIFIED),
    ("gb18030", TRADITIONAL),
    ("big5", TRADITIONAL),
    ("utf-16-le", SIMPLIFIED),
    ("utf-16-be", TRADITIONAL),
]


@pytest.mark.parametrize("length", [4, 6, 11, 40, 4000])
@pytest.mark.parametrize(("encoding", "text"), [*CHINESE, ("cp1252", WESTERN), ("utf-8", WESTERN)])
def test_encodings_are_told_apart(encoding: str, text: str, length: int, tmp_path: Path) -> None:
    text = (text * 200)[:length]
    raw = text.encode(encoding)
    document = load_bytes(tmp_path, raw)
    assert document.text == text
    assert document.sha256 == hashlib.sha256(raw).hexdigest()
    assert document.byte_range(1, 4) == slow_range(text, encoding, 0, 1, 4)


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (b"\x84\x31\x95\x33", "gb18030"),
    ],
)
def test_a_byte_order_mark_counts_as_bytes_and_not_as_text(mark: bytes, encoding: str, tmp_path: Path) -> None:
    text = "灯 lamp\r\n\0😀"
    document = load_bytes(tmp_path, mark + text.encode(encoding))
    assert document.text == text
    assert document.byte_range(0, 1) == slow_range(text, encoding, len(mark), 0, 1)


def test_utf16_of_plain_english_without_a_mark(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        assert load_bytes(tmp_path, "The lamp.".encode(encoding)).text == "The lamp."


def test_bytes_that_no_windows_codepage_has_are_latin_1(tmp_path: Path) -> None:
    raw = "Größe und Maß, über Öl ".encode("latin-1") * 5 + b"\x81"
    assert load_bytes(tmp_path, raw).text == raw.decode("latin-1")


def test_foreign_bytes_far_into_a_file_are_found(tmp_path: Path) -> None:
    text = "x = 1  # plain\n" * 40_000 + SIMPLIFIED
    assert load_bytes(tmp_path, text.encode("gb18030")).text == text


def test_broken_utf8_is_reported_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(SIMPLIFIED.encode() + b"\xff" + TRADITIONAL.encode())
    told: list[Skipped] = []
    [document] = load([tmp_path / "a.txt"], on_skip=told.append)
    assert document.text == SIMPLIFIED + "\ufffd" + TRADITIONAL
    assert [(s.kind, s.reason) for s in told] == [("damaged", "1 byte sequence(s) that are not utf-8 became U+FFFD")]


@settings(max_examples=80, deadline=None)
@given(TEXTS, st.data())
def test_from_text_maps_to_utf8(text: str, data: st.DataObject) -> None:
    document = Document.from_text(text, "note")
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    assert document.byte_range(start, end) == slow_range(text, "utf-8", 0, start, end)
    assert (document.text, document.source, document.page(0)) == (text, "note", None)
    assert document.sha256 == hashlib.sha256(text.encode()).hexdigest()
    with pytest.raises(IndexError):
        document.byte_range(0, len(text) + 1)


def test_from_text_refuses_lone_surrogates() -> None:
    with pytest.raises(SourceError, match="character 1 is a lone surrogate"):
        Document.from_text("a\ud800")


def test_documents_compare_and_hash_without_their_text() -> None:
    one, same, other = Document.from_text("lamp"), Document.from_text("lamp"), Document.from_text("lamps")
    assert one == same and hash(one) == hash(same) and one != other
    assert "lamp" not in repr(one)
    with pytest.raises(AttributeError):
        one.text = "x"  # type: ignore[misc]


def test_the_map_of_ten_million_characters_is_small_and_exact() -> None:
    text = "灯a😀\r\n" * 2_000_000
    document = Document.from_text(text)
    assert document.byte_map is not None and len(document.byte_map.chars) < 3000
    assert document.byte_range(5_000_000, 9_999_999) == (10_000_000, 19_999_999)


def test_folders_are_read_in_order_and_counted(tmp_path: Path) -> None:
    for name, raw in {
        "b.md": b"bee", "a/z.py": b"zed", "a/y.txt": "灯".encode("utf-16"), ".hidden": b"no", ".git/config": b"no",
        "pic.png": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "empty.txt": b"", "blank.txt": b" \n", "same.txt": b"bee",
        "broken.pdf": b"%PDF-1.4 nothing", "c.html": b"<p>see",
    }.items():  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(raw)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    told: list[Skipped] = []
    documents = load([tmp_path], on_skip=told.append)
    assert [(d.text, d.format) for d in documents] == [
        ("bee", "text"),
        ("see", "html"),
        ("灯", "text"),
        ("zed", "text"),
    ]
    assert [Path(d.source).relative_to(tmp_path).as_posix() for d in documents] == [
        "b.md",
        "c.html",
        "a/y.txt",
        "a/z.py",
    ]
    kinds = {Path(s.source).name: s.kind for s in told}
    assert kinds == {
        ".hidden": "hidden", ".git": "hidden", "pic.png": "binary", "empty.txt": "empty", "blank.txt": "empty",
        "same.txt": "duplicate", "broken.pdf": "broken", "pipe": "special", "loop": "special", "passwd": "special",
    }  # fmt: skip
    assert all("\n" not in s.reason for s in told)


def test_a_folder_without_text_is_an_error_that_counts(tmp_path: Path) -> None:
    (tmp_path / ".x").write_bytes(b"x")
    (tmp_path / "y").write_bytes(bytes(range(256)))
    with pytest.raises(SourceError, match=r"holds nothing to read \(1 binary, 1 hidden\)"):
        load([tmp_path])


def test_a_source_named_twice_is_loaded_once(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"lamp")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    (tmp_path / "c.txt").write_bytes(b"lamp")
    told: list[Skipped] = []
    documents = load([tmp_path / "a.txt", tmp_path / "b.txt", tmp_path / "c.txt", tmp_path], on_skip=told.append)
    assert [d.source for d in documents] == [str(tmp_path / "a.txt")]
    assert [s.kind for s in told] == ["duplicate"] * 5


@pytest.mark.parametrize(
    ("raw", "format", "text"),
    [
        (b"plain <html>", "text", "plain <html>"),
        (b"\n<!DOCTYPE html><p>hi &amp; ho", "html", "hi & ho"),
        ("灯塔里的人在看书".encode("gb18030"), "text", "灯塔里的人在看书"),
    ],
)
def test_standard_input_is_sniffed(raw: bytes, format: str, text: str) -> None:
    [document] = load(["-", "-"], stdin=io.BytesIO(raw))
    assert (document.source, document.format, document.text) == ("-", format, text)


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("empty.txt", b"", "empty.txt is empty; name a source with text"),
        ("blank.txt", b" \r\n\t", "blank.txt is empty: it holds no text"),
        ("blank.html", b"<p> <script>x</script>", "blank.html is empty: it holds no text"),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "picture is binary"),
        ("zeros", bytes(1000), "zeros is binary"),
        ("archive.zip", b"PK\x03\x04" + bytes(range(256)), "archive.zip is binary"),
        ("book.docx", b"PK\x03\x04 not a zip", "book.docx is a broken archive"),
        ("book.epub", b"nothing", "book.epub is a broken archive"),
        ("missing", None, "missing does not exist; check the path"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(name: str, raw: bytes | None, message: str, tmp_path: Path) -> None:
    if raw is not None:
        (tmp_path / name).write_bytes(raw)
    with pytest.raises(SourceError) as caught:
        load([tmp_path / name])
    assert message in str(caught.value) and str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_pipes_devices_and_odd_names_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(SourceError, match="is neither a file nor a folder"):
            load([path])
    with pytest.raises(SourceError, match="is no path"):
        load(["a\0b"])
    with pytest.raises(SourceError, match="cannot be opened"):
        load([tmp_path / ("n" * 300)])


def test_limits_of_bytes_and_files(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"text {name}")
    assert len(load([tmp_path], limits=Limits(source_bytes=6, files=3))) == 3
    with pytest.raises(SourceError, match=r"a is larger than the limit source_bytes \(5 bytes\)"):
        load([tmp_path / "a"], limits=Limits(source_bytes=5))
    with pytest.raises(SourceError, match="standard input is larger than the limit source_bytes"):
        load(["-"], limits=Limits(source_bytes=5), stdin=io.BytesIO(b"text a"))
    with pytest.raises(SourceError, match=r"limit files \(2\)"):
        load([tmp_path], limits=Limits(files=2))


def test_binary_is_told_from_text() -> None:
    assert not looks_binary("a\0b, and more text\x1b[0m\r\n\f" * 3)
    assert looks_binary("\0\1\2abc")


@pytest.mark.skipif(not (DATA / "classics_zh").is_dir(), reason="../shared/data is absent")
def test_two_whole_novels() -> None:
    for path in sorted((DATA / "classics_zh").glob("*义.txt")) + sorted((DATA / "classics_zh").glob("水*.txt")):
        raw = path.read_bytes()
        [document] = load([path])
        assert document.text == raw.decode()
        for start in range(0, len(document.text) - 50, 40_009):
            first, past = document.byte_range(start, start + 50) or (0, 0)
            assert raw[first:past].decode() == document.text[start : start + 50]

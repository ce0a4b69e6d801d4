"""HTML with its map, PDF by page, DOCX and EPUB, and the hostile files of each."""

from __future__ import annotations

import io
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ctxproc.document import Document, Limits, Skipped, load
from ctxproc.errors import SourceError
from ctxproc.formats import html
from ctxproc.formats.base import UnreadableError
from ctxproc.formats.docx import extract as docx_extract
from ctxproc.formats.epub import extract as epub_extract

DEFAULT = Limits()
BOMB = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]><x>&b;</x>'
EXTERNAL = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>'
WORD = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'


def write(folder: Path, name: str, raw: bytes) -> Path:
    (folder / name).write_bytes(raw)
    return folder / name


def one(path: Path, limits: Limits = DEFAULT) -> Document:
    [document] = load([path], limits=limits)
    return document


def error_of(path: Path, limits: Limits = DEFAULT) -> str:
    with pytest.raises(SourceError) as caught:
        load([path], limits=limits)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# HTML


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("<p>one<p>two", "one\n\ntwo"),
        ("<ul><li>a<li> b </ul>c", "a\nb\n\nc"),
        ("a<br>b<br/><br>c", "a\nb\n\nc"),
        ("  a \n  <b> b</b>c  <i>d</i> ", "a bc d"),
        ("line\r\nbreak\nhere", "line break here"),
        ("<table><tr><td>1<td>2</tr><tr><td></td></tr><tr><td>3</table>", "1\t2\n3"),
        ("<pre>\n  x\r\n\ty &lt;</pre>z", "  x\r\n\ty <\n\nz"),
        ("<head><title>no</title><style>p{}</style></head><script>if (a<b) '<p>'</script>yes", "yes"),
        ("a<!-- x > y -- <p> -->b<!---->c<?php x ?>d", "abcd"),
        ("<a title=\"1 > 0\" alt='>'>in</a>", "in"),
        ("1 < 2 & 3 <4> <é> x<y", "1 < 2 & 3 <4> <é> x<y"),
        ("&amp;lt; &copy &copyx; &#65;&#x4e2d;&#0; &nosuch; &NotEqualTilde;", "&lt; © ©x; A中\ufffd &nosuch; ≂̸"),
        ("a&nbsp;&nbsp;b", "a\xa0\xa0b"),
        ("<svg><text>no</text></svg>a<template>b</template>c<noscript>d", "acd"),
        ("<SCRIPT>x</sCript >y<script>never closed", "y"),
        ("אבג <b>👩‍👩‍👧</b> e\u0301", "אבג 👩‍👩‍👧 e\u0301"),
        ('<a href="never closed>text</a>', "text"),
    ],
)
def test_what_a_reader_of_html_sees(source: str, text: str) -> None:
    assert html.visible_text(source) == text


def test_html_maps_each_character_to_its_source() -> None:
    raw = "<h1>Lamp &amp; keeper</h1>\n<p>The  <b>l</b>ight\nof é 灯&nbsp;x".encode()
    found = html.extract(raw, DEFAULT)
    assert found.text == "Lamp & keeper\n\nThe light\u0020of é 灯\xa0x"
    assert found.byte_map is not None
    pieces = []
    for i in range(len(found.text)):
        first, past = found.byte_map.byte_range(found.text, i, i + 1)
        pieces.append(raw[first:past].decode())
    expected = [
        "L",
        "a",
        "m",
        "p",
        " ",
        "&amp;",
        " ",
        *"keeper",
        "",
        "",
        *"The",
        "  ",
        *"light",
        "\n",
        *"of é 灯",
        "&nbsp;",
        "x",
    ]
    assert pieces == expected
    start = found.text.index("light")
    first, past = found.byte_map.byte_range(found.text, start, start + 5)
    assert raw[first:past] == b"l</b>ight"


PARTS = st.sampled_from(
    ["a", "b é", "灯塔", "😀", "e\u0301", " ", "\n", "\r\n", "  \t", "&amp;", "&copy", "&acE;", "&#x1F600;", "&", "<", ">",
     '"', "'", "=", "<p>", "</p>", "<br>", "<b>", "</b>", "<pre>", "</pre>", "<td>", "<!--", "-->", "<script>", "</script>",
     "<svg>", '<a href="', "</", "<a ", "שלום", "\0", "\x0c"]
)  # fmt: skip


@settings(max_examples=250, deadline=None)
@given(st.lists(PARTS, max_size=40).map("".join), st.sampled_from(["utf-8", "utf-16-le", "gb18030"]))
def test_html_map_is_ordered_and_every_character_is_in_its_source(source: str, encoding: str) -> None:
    runs = html.read(source)
    text = "".join(runs.pieces)
    source_map = html.ByteMap(encoding)
    width = [0]
    for i, c in enumerate(source):  # the oracle: one run for each character of the source
        width.append(width[-1] + len(c.encode(encoding)))
        source_map.add(i, width[i], width[i + 1])
    found = html.to_bytes(runs, source, source_map)
    built = html.to_bytes(runs, source, html_map(source, encoding))
    raw = source.encode(encoding)
    last = 0
    for i, c in enumerate(text):
        first, past = found.byte_range(text, i, i + 1)
        assert built.byte_range(text, i, i + 1) == (first, past)
        assert last <= first <= past
        last = first
        piece = raw[first:past].decode(encoding)
        if c not in " \t\n":
            assert piece == c or piece.startswith("&")
        elif piece:
            assert piece.isspace() or piece.startswith("&")


def html_map(source: str, encoding: str) -> html.ByteMap:
    from ctxproc.formats.bytemap import build

    return build(source, source.encode(encoding), encoding)


def test_html_in_a_declared_or_detected_encoding(tmp_path: Path) -> None:
    cyrillic = '<meta charset="windows-1251"><p>Смотритель маяка'.encode("cp1251")
    assert one(write(tmp_path, "a.html", cyrillic)).text == "Смотритель маяка"
    japanese = '<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>灯台の守り人'.encode("cp932")
    document = one(write(tmp_path, "b.htm", japanese))
    assert document.text == "灯台の守り人"
    first, past = document.byte_range(2, 4) or (0, 0)
    assert japanese[first:past].decode("cp932") == document.text[2:4] == "の守"
    lying = '<meta charset="ascii"><p>灯塔里的守灯人在看书'.encode("gb18030")
    assert one(write(tmp_path, "c.html", lying)).text == "灯塔里的守灯人在看书"


def test_broken_bytes_in_html_keep_the_map_right() -> None:
    raw = "<p>灯塔里的人&amp;".encode() + b"\xff" + "在看书".encode()
    found = html.extract(raw, DEFAULT)
    assert found.text == "灯塔里的人&\ufffd在看书" and found.byte_map is not None and found.losses
    start = found.text.index("在")
    first, past = found.byte_map.byte_range(found.text, start, start + 3)
    assert raw[first:past].decode() == "在看书"
    assert found.byte_map.byte_range(found.text, start - 1, start) == (first - 1, first)


@pytest.mark.parametrize(
    "piece", ['<a ="', "<!--", "<a ", "&", "&#", "</", "<svg>", "<pre>", "<br>", '<a x=">', "<script", "<p> "]
)
def test_html_is_read_in_linear_time(piece: str) -> None:
    """Quadratic, these would take hours."""
    html.read(piece * 100_000)


# PDF


def pdf(pages: list[str], stream: bytes | None = None, dictionary: bytes = b"") -> bytes:
    """A minimal PDF, written by hand; ``stream`` replaces the content of the first page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        content = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % text.encode() if stream is None or i else stream
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] "
            b"/Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>" % (5 + 2 * i)
        )
        head = b"<< /Length %d %s >>" % (len(content), b"" if i else dictionary)
        objects.append(head + b"\nstream\n" + content + b"\nendstream")
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)
    return bytes(out)


def encrypted(raw: bytes, password: str) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer = PdfWriter(clone_from=PdfReader(io.BytesIO(raw)))
    writer.encrypt(password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def test_pdf_pages(tmp_path: Path) -> None:
    document = one(write(tmp_path, "book.pdf", pdf(["The lamp.", "", "The oil.", "The end."])))
    assert (document.text, document.format) == ("The lamp.\n\nThe oil.\nThe end.", "pdf")
    assert document.byte_range(0, 3) is None
    for word, page in (("The lamp", 1), ("The oil", 3), ("The end", 4)):
        assert document.page(document.text.index(word)) == page
    assert [document.page(n) for n in (8, 9, 10, 11)] == [1, 1, 2, 3]


def test_pdf_is_known_by_its_bytes(tmp_path: Path) -> None:
    assert one(write(tmp_path, "no_suffix", pdf(["lamp"]))).format == "pdf"
    [document] = load(["-"], stdin=io.BytesIO(pdf(["lamp"])))
    assert (document.text, document.page(0)) == ("lamp", 1)


def test_encrypted_pdf(tmp_path: Path) -> None:
    assert "is encrypted; save a copy without the password" in error_of(
        write(tmp_path, "a.pdf", encrypted(pdf(["x"]), "secret"))
    )
    assert one(write(tmp_path, "b.pdf", encrypted(pdf(["open to all"]), ""))).text == "open to all"


def test_pdf_without_text_or_broken(tmp_path: Path) -> None:
    assert "PDF without text" in error_of(write(tmp_path, "a.pdf", pdf([""])))
    assert "is a broken PDF" in error_of(write(tmp_path, "b.pdf", b"%PDF-1.4\nnothing more"))
    assert "is a broken PDF" in error_of(write(tmp_path, "c.pdf", b"no pdf at all"))


def test_pdf_bombs_are_reported_and_the_batch_goes_on(tmp_path: Path) -> None:
    packed = zlib.compress(zlib.compress(b" " * 200_000_000, 9), 9)
    write(tmp_path, "bomb.pdf", pdf(["x"], packed, b"/Filter [/FlateDecode /FlateDecode]"))
    write(tmp_path, "good.txt", b"good")
    told: list[Skipped] = []
    [document] = load([tmp_path], on_skip=told.append)
    assert document.text == "good"
    assert [(Path(s.source).name, s.kind) for s in told] == [("bomb.pdf", "broken")]


def test_pdf_limits(tmp_path: Path) -> None:
    path = write(tmp_path, "a.pdf", pdf(["The lamp.", "The oil."]))
    assert one(path, Limits(text_bytes=17)).text == "The lamp.\nThe oil."
    assert "limit text_bytes" in error_of(path, Limits(text_bytes=16))
    heavy = pdf(["x"], b"BT /F1 12 Tf " + b"(y) Tj " * 1_500_000 + b"ET")
    path = write(tmp_path, "heavy.pdf", heavy)
    assert "limit pdf_seconds" in error_of(path, Limits(pdf_seconds=1))
    assert "limit pdf_bytes" in error_of(path, Limits(pdf_bytes=128 << 20))


def test_the_pdf_child_imports_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.pdf", pdf(["lamp"]))
    for name in ("pypdf.py", "json.py", "resource.py"):
        write(tmp_path, name, b"raise SystemExit('hijacked')")
    monkeypatch.chdir(tmp_path)
    assert one(path).text == "lamp"
    assert "pypdf" not in sys.modules or "hijacked" not in str(sys.modules["pypdf"])


# DOCX and EPUB


def archive(parts: dict[str, bytes | str], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return out.getvalue()


def docx(body: str, **more: bytes | str) -> bytes:
    return archive({"word/document.xml": f"<w:document {WORD}><w:body>{body}</w:body></w:document>", **more})


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def test_docx(tmp_path: Path) -> None:
    cell = "<w:tc>{}</w:tc>".format
    body = (
        '<w:p><w:pPr><w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>Head &amp; line</w:t></w:r></w:p>'
        '<w:p><w:r><w:t xml:space="preserve">The </w:t></w:r>'
        "<w:r><w:t>灯</w:t><w:tab/><w:t>x</w:t><w:br/><w:t>y</w:t></w:r></w:p><w:p/>"
        f"<w:tbl><w:tr>{cell(paragraph('a') + paragraph('b'))}{cell(paragraph('c'))}</w:tr>"
        f"<w:tr>{cell('<w:p/>')}{cell(paragraph('d'))}</w:tr></w:tbl>"
        "<w:p><w:ins><w:r><w:t>new</w:t></w:r></w:ins><w:del><w:r><w:delText>old</w:delText></w:r></w:del></w:p>"
        f"<w:sdt><w:sdtContent>{paragraph('in control')}</w:sdtContent></w:sdt>"
    )
    notes = f"<w:footnotes {WORD}><w:footnote>{paragraph('A note.')}</w:footnote></w:footnotes>"
    document = one(write(tmp_path, "a.docx", docx(body, **{"word/footnotes.xml": notes})))
    assert document.text == "Head & line\n\nThe 灯\tx\ny\n\na b\tc\n\td\n\nnew\n\nin control\n\nA note."
    assert (document.format, document.byte_range(0, 3), document.page(0)) == ("docx", None, None)
    assert one(write(tmp_path, "unnamed", docx(paragraph("known by its parts")))).format == "docx"


def epub(chapters: dict[str, str], **more: bytes | str) -> bytes:
    items = "".join(
        f'<item id="i{n}" href="{name}" media-type="application/xhtml+xml"/>' for n, name in enumerate(chapters)
    )
    order = "".join(f'<itemref idref="i{n}"/>' for n in reversed(range(len(chapters))))
    package = (
        f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{order}</spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="O/p.opf"/></rootfiles></container>'
    )
    parts: dict[str, bytes | str] = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": container,
        "O/p.opf": package,
    }
    return archive({**parts, **{f"O/{name}": text for name, text in chapters.items()}, **more})


def test_epub_chapters_come_in_the_order_of_the_spine(tmp_path: Path) -> None:
    raw = epub(
        {
            "last.xhtml": "<html><head><title/><script src='x'/></head><body><p>Last.",
            "first.xhtml": "<p>第一章</p><p>灯 &amp; oil",
        }
    )
    document = one(write(tmp_path, "a.epub", raw))
    assert (document.text, document.format) == ("第一章\n\n灯 & oil\n\nLast.", "epub")
    assert (document.byte_range(0, 3), document.page(0)) == (None, None)


@pytest.mark.parametrize("hostile", [BOMB, EXTERNAL])
def test_entities_are_refused_and_open_no_file(hostile: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = archive({"word/document.xml": hostile})
    path = write(tmp_path, "a.docx", raw)
    assert "declares entities" in error_of(path)
    path = write(tmp_path, "a.epub", archive({"mimetype": "application/epub+zip", "META-INF/container.xml": hostile}))
    assert "declares entities" in error_of(path)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../evil", "..\\evil", "C:\\evil"])
def test_hostile_names_are_refused(name: str, tmp_path: Path) -> None:
    assert "hostile name" in error_of(write(tmp_path, "a.docx", docx(paragraph("x"), **{name: "x"})))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.docx"]


def test_links_in_archives_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    out = io.BytesIO(docx(paragraph("x")))
    with zipfile.ZipFile(out, "a") as file:
        file.writestr(link, "/etc/passwd")
    assert "symbolic link" in error_of(write(tmp_path, "a.docx", out.getvalue()))


def test_zip_bombs_and_lies_are_refused(tmp_path: Path) -> None:
    bomb = docx(paragraph("x" * 3_000_000))
    path = write(tmp_path, "a.docx", bomb)
    assert "limit archive_ratio" in error_of(path)
    assert len(one(path, Limits(archive_ratio=2000)).text) == 3_000_000
    assert "limit text_bytes" in error_of(path, Limits(text_bytes=1000))
    lie = bytearray(bomb)  # the directory says that the part is small
    central = lie.rindex(b"PK\x01\x02")
    lie[central + 24 : central + 28] = (100).to_bytes(4, "little")
    assert "a.docx" in error_of(write(tmp_path, "a.docx", bytes(lie)))
    many = docx("", **{f"p{i}": b"" for i in range(30)})
    assert "limit archive_entries" in error_of(write(tmp_path, "a.docx", many), Limits(archive_entries=30))


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_damaged_archives_give_text_or_one_clear_error(place: int, value: int, cut: bool) -> None:
    for extract, raw in (
        (docx_extract, docx(paragraph("The lamp."))),
        (epub_extract, epub({"a.xhtml": "<p>The lamp."})),
    ):
        damaged = bytearray(raw)
        damaged[place % len(raw)] = value
        if cut:
            del damaged[place % len(raw) :]
        try:
            extract(bytes(damaged), DEFAULT)
        except UnreadableError as error:
            assert str(error)


def test_a_deeply_nested_docx_is_refused(tmp_path: Path) -> None:
    deep = "<w:sdt>" * 50_000 + paragraph("x") + "</w:sdt>" * 50_000
    assert "nested too deep" in error_of(write(tmp_path, "a.docx", docx(deep)), Limits(archive_ratio=10_000))


def test_a_protected_epub_is_refused(tmp_path: Path) -> None:
    assert "digital rights" in error_of(
        write(tmp_path, "a.epub", epub({"a.xhtml": "x"}, **{"META-INF/rights.xml": "<x/>"}))
    )

"""Bytes -> text: which encoding it is, and the map back. The same bytes always give the same text.

In this order: a byte order mark; UTF-16 whose zero bytes lie on one side; strict UTF-8; UTF-8 with a few broken
sequences, which become U+FFFD; an encoding that the source declares; Chinese encodings by how many of the characters
are frequent ones; and what charset-normalizer makes of the rest. Detection looks at a sample of `SAMPLE` bytes around
the first byte that is not UTF-8; the text is then decoded whole and strictly.

Chinese is weighed here because a general detector needs some thirty characters: of pieces of four to ten, in GB18030,
Big5 or UTF-16, charset-normalizer 3.5 named a wrong one for a third.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice

from ctxproc.formats.bytemap import ByteMap, build

SAMPLE = 1 << 18
MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    b"\x84\x31\x95\x33": "gb18030",
}
CHINESE = ("gb18030", "cp950", "big5hkscs", "utf-16-le", "utf-16-be")
WESTERN = ("cp1252", "latin-1")
DECLARED = frozenset(
    "cp1250 cp1251 cp1253 cp1254 cp1255 cp1256 cp1257 cp1258 koi8-r koi8-u cp932 euc_jp cp949 gb18030 cp950 "
    "iso8859-2 iso8859-5 iso8859-7 iso8859-9 iso8859-15".split()
)
"""Encodings that are believed where a source names them; not Latin-1, which many name without thought."""
ALIASES = {
    "gbk": "gb18030", "gb2312": "gb18030", "big5": "cp950", "iso8859-1": "cp1252", "shift_jis": "cp932",
    "euc_kr": "cp949",
}  # fmt: skip
"""The codec that is used for what a source or the detector calls by a narrower name."""
FREQUENT = frozenset(
    # The 250 most frequent characters each of modern simplified, of traditional and of older vernacular Chinese.
    "一万三上下不与且世业东两並个中为主乃么义之乐也书了事二于云五亚些亞交产人什今从他代令以们任众会但位住体何"
    "余作你使來便保個做傳儿元兄先克入內全兩公兰共关兵其内再军冲出刀分列刘利到制前力加务动動包化北区區十华南即"
    "却原去县又及发取受口古只叫可台史号司各合同名后听吴吾员命和品員哥哪喜四回因国國在地场坐城基場士声处备外多"
    "夜大天太头女好如始子孔孙学學守安宋官定家寨对将將對小少尔就尼尽展属山岛島州工左已巴市布师帝常平年并广应府"
    "度建开式引弟张当形影往待後得從德心必急性总成我或战戰所手打把报拉拜提操改放政救教敢数數文斯新方於族无日早"
    "时明星是時曰曹最會月有望朝期未本机杀李来杨東松林格業機權次欲正此武死比民水汉汝江河治法洲海深港湾演灣火為"
    "然爾物特玄王现現球理甚生產用由电界當發白百的皆目直相省看着知石种科称種稱立站第等米类系紀約組統經縣總约线"
    "组经统罗羅美義老者而联聯胜能自至臺與船色若英華著蘭行表被西要见视解言設認語議计设语说请诸賽贼赛走赶起路身"
    "車軍车边达过运这进這通進逵遂運過道達選那部都酒里重量金長长開間關门问间闻队阵阿院隊随電青面領领飞食首香馬"
    "马體高魏鱼麼黄黨"
    "，。、；：？！“”‘’「」『』（）《》〈〉【】—…·‧\u3000"
)
USUAL = "\t\n\v\f\r\b\x1b"
"""Control characters that text does hold."""
BEYOND_ASCII = re.compile(r"[^\t\n\r -~]")
LIKELY_WESTERN = re.compile(r"(?<![^\s!-/:;?A-Za-z])[À-ÖØ-öø-ÿŒœŠšŽž](?![^\s!-/:;?A-Za-z])|[«»“”„‘’‚–—…€¿¡]")
LIKELY_SHARE = {"cp1252": 0.8}
"""Wanted of the characters beyond ASCII; 0.3 for the Chinese encodings.

Right decodings of four Chinese characters and more have about 0.65, wrong ones below 0.1; Western ones have 0.97.
"""


def decode(raw: bytes, declared: str | None = None) -> tuple[str, ByteMap, tuple[str, ...]]:
    """The text of ``raw``, the map to its bytes, and one line per loss (broken sequences shown as U+FFFD).

    A byte order mark is not part of the text; the map counts its bytes. ``declared`` is an encoding that the source
    names itself; it is believed where nothing stronger speaks and the bytes agree. Binary data gives a text too: see
    `looks_binary`.
    """
    encoding, start, broken = _encoding(raw, declared)
    body = memoryview(raw)[start:]
    text = str(body, encoding, "replace" if broken else "strict")
    losses: tuple[str, ...] = ()
    if broken:
        count = text.count("\ufffd") - raw.count("\ufffd".encode(encoding))
        losses = (f"{count} byte sequence(s) that are not {encoding} became U+FFFD",) if count > 0 else ()
    return text, build(text, raw, encoding, start), losses


def looks_binary(text: str) -> bool:
    """Whether more than a tenth of the first 64 Ki characters are no text: control characters, U+FFFD, unassigned."""
    seen = text[: 1 << 16]
    if seen.isascii() and seen.isprintable():
        return False
    odd = (count for c, count in Counter(seen).items() if c not in USUAL and unicodedata.category(c) in {"Cc", "Cn"})
    wrong = sum(odd)
    return (wrong + seen.count("\ufffd")) * 10 > len(seen)


def _encoding(raw: bytes, declared: str | None) -> tuple[str, int, bool]:
    """(codec, bytes of the byte order mark, whether some sequences are broken)."""
    for mark, encoding in MARKS.items():
        if raw.startswith(mark):
            return encoding, len(mark), not _decodes(raw, encoding, len(mark))
    if (wide := _wide(raw)) and _decodes(raw, wide):
        return wide, 0, False
    try:
        str(raw, "utf-8")
    except UnicodeDecodeError as error:
        return _legacy(raw, error.start, declared)
    return "utf-8", 0, False


def _legacy(raw: bytes, first: int, declared: str | None) -> tuple[str, int, bool]:
    """The same for bytes of which the one at ``first`` is not UTF-8."""
    near = raw[max(0, first - SAMPLE // 4) : first + SAMPLE]
    if _damaged_utf8(near):
        return "utf-8", 0, True
    named = _codec(declared)
    if named and _decodes(raw, named):
        return named, 0, False
    line = max((raw.rfind(byte, max(0, first - SAMPLE // 4), first) for byte in (b"\n", b" ")), default=-1)
    sample = raw[line + 1 if line >= 0 else max(0, first - SAMPLE // 4) :][:SAMPLE]
    candidates = chain(_plausible(sample, (line + 1) % 2), _detected(near), WESTERN)  # lazy: the second takes longest
    return next(encoding for encoding in candidates if _decodes(raw, encoding)), 0, False  # latin-1 decodes all


def _decodes(raw: bytes, encoding: str, start: int = 0) -> bool:
    """Whether all of it is valid; never holds more than a piece of the text."""
    decoder = codecs.getincrementaldecoder(encoding)()
    view = memoryview(raw)
    try:
        for position in range(start, len(raw), SAMPLE):
            decoder.decode(view[position : position + SAMPLE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _wide(raw: bytes) -> str | None:
    """UTF-16 without a mark, told by zero bytes that lie (nearly) all on one side, as those of ASCII do."""
    head = raw[: SAMPLE // 4]
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(raw) % 2 or max(even, odd) * 5 < len(head) // 2 or min(even, odd) * 20 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _damaged_utf8(sample: bytes) -> bool:
    """Whether at least four whole characters beyond ASCII stand against each broken sequence."""
    text = sample.decode("utf-8", "replace")
    broken = text.count("\ufffd") - sample.count(b"\xef\xbf\xbd")
    beyond = len(text) - broken - sum(map(text.count, map(chr, range(128))))
    return beyond >= 4 * broken


def _codec(declared: str | None) -> str | None:
    """Python's name of a declared encoding, if it is one of those that are believed."""
    if declared is None:
        return None
    try:
        name = codecs.lookup(declared).name
    except LookupError:
        return None
    name = ALIASES.get(name, name)
    return name if name in DECLARED else None


def _plausible(sample: bytes, odd: int) -> list[str]:
    """Chinese encodings and cp1252, those in which enough characters are likely ones, likeliest first."""
    shares = {e: _shares(sample[odd:] if "16" in e else sample, e) for e in (*CHINESE, "cp1252")}
    return sorted((e for e in shares if shares[e][0] >= LIKELY_SHARE.get(e, 0.3)), key=lambda e: -shares[e][1])


def _shares(sample: bytes, encoding: str) -> tuple[float, float]:
    """The share of likely characters among those beyond ASCII, and among all; 0 where the sample is not valid."""
    try:
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return 0.0, 0.0
    beyond = len(BEYOND_ASCII.findall(text))
    likely = len(LIKELY_WESTERN.findall(text)) if encoding == "cp1252" else sum(map(FREQUENT.__contains__, text))
    return (likely / beyond, (likely + len(text) - beyond) / len(text)) if beyond else (0.0, 0.0)


def _detected(sample: bytes) -> Iterator[str]:
    """What charset-normalizer makes of the sample, best first; UTF-16 only where a zero byte speaks for it."""
    from charset_normalizer import from_bytes

    wide = ["utf_16_le", "utf_16_be"] if 0 in sample else []
    matches = from_bytes(sample, cp_isolation=[*wide, "gb18030", "big5", "cp1252", "latin_1"])
    for match in islice(matches, 2):
        name = codecs.lookup(match.encoding).name
        yield ALIASES.get(name, name)

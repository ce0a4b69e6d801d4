"""Which parts of a message are not its writer's own: code, quotations, mails, transcripts, pasted documents.

Rules of form alone. In doubt a part is foreign: a fact that is not stored can be told again, a false one misleads.
"""

from __future__ import annotations

import re

from ctxproc.memory.extract.words_en import CLOSED, NUMBERS
from ctxproc.text import words

FEW = 3
"""Words of a quotation that may be a name or a title and so the writer's own; more report what another said."""
LINES = 2
"""Lines that may follow a line ending in a colon; more are taken to be pasted."""
LONGEST_PARAGRAPH = 1200
"""Characters: a longer paragraph is taken to be pasted."""

_BLOCK = re.compile(
    r"^[ \t]*(?P<fence>```|~~~)[\s\S]*?(?:^[ \t]*(?P=fence)`*~*[ \t]*$|\Z)"
    r"|`[^`\n]+`"
    r"|^[ \t]*[>|].*$"
    r"|<(?P<tag>[A-Za-z][\w-]*)[^<>]*>[\s\S]*?(?:</(?P=tag)>|\Z)"
    r"|^[ \t]*[-=*_#~+]{3,}[ \t]*$[\s\S]*?(?:^[ \t]*[-=*_#~+]{3,}[ \t]*$|\Z)",
    re.MULTILINE,
)
_PAPER = (
    "e-?mails?|mails?|messages?|letter|document|docs?|article|texts?|post|tweet|page|website|file|logs?|output"
    "|results?|transcript"
    "|conversation|chat|passage|paragraph|sentences?|excerpt|abstract|review|report|summary|quotes?|quotation"
    "|story|poem|lyrics"
    "|wrote|writes?|says?|said|reads|repl(?:y|ied)|told|translate|rewrite|proofread|summari[sz]e|paraphrase"
    "|correct|improve|edit"
    "|grammar|below|following|attached|pasted|forwarded|memor(?:y|ies)|recalled|context|tool|search|instructions?"
    "|prompt|bio"
)
_PAPER_ZH = (
    "邮件|信|消息|短信|文章|文件|文档|原文|文字|文本|内容|段落|对话|记录|日志|输出|结果|以下|下面|如下|写道|说|翻译"
    "|总结|润色|改写|新闻|网页"
)
_HEADERS = "from|to|subject|sent|date|cc|bcc|reply-to|发件人|收件人|主题|发送时间"
_ROLES = (
    "system|assistant|user|human|ai|bot|tool|function|chatgpt|claude|model|memory|context|instructions?|note to"
    " (?:the )?\\w+"
)
_REST = re.compile(
    rf"^[ \t]*(?:{_HEADERS})[ \t]*[:：]"
    rf"|^\W*(?:{_ROLES})\b[^\n:：]{{0,20}}[:：]"
    rf"|^\W*\[(?:{_ROLES})\b[^\]\n]*\]"
    r"|^\W*(?:(?:original|forwarded) message\b|(?:begin|start)\b[^\n]*$|dear \w+|#{1,6} )"
    rf"|^[^\n]*\b(?:here(?:'s| is| are)|below|following|attached|pasted)\b[^\n]*\b(?:{_PAPER})\b[^\n]*\n"
    rf"|\b(?:{_PAPER})\b[^\n.:：]{{0,60}}[:：](?=\s)"
    rf"|(?:{_PAPER_ZH})[^\n。:：]{{0,20}}[:：]",
    re.IGNORECASE | re.MULTILINE,
)
_OPENING_LINE = re.compile(r"[:：][ \t]*\n")
_OF_MYSELF = re.compile(
    r"\babout (?:me|myself)\b|\bmy (?:details|facts|profile|situation|news|life)\b|关于我", re.IGNORECASE
)
_SPOKEN_LINE = re.compile(r"^[ \t]*[\w. ]{1,30}[:：][ \t]*\S", re.MULTILINE)
_LABEL = re.compile(r"^[ \t]*(?P<label>[A-Z][\w.'-]*(?: [\w.'-]+)?)[:：][ \t]+", re.MULTILINE)
_OWN_LABELS = frozenset(
    "ps p.s p.s. nb fyi btw edit update updates news note notes fact facts thing things reminder correction"
    " question status"
    " hi hello hey so well also tl dr plan plans".split()
)
_PARAGRAPH = re.compile(rf"[^\n]{{{LONGEST_PARAGRAPH + 1},}}")

_OPENER = re.compile(r"(?<![\w.])[\"'](?=\S)|[“„«「『‘]")
_CLOSERS = {
    '"': re.compile('"'),
    "'": re.compile(r"'(?!\w)"),
    "‘": re.compile(r"’(?!\w)"),
    "“": re.compile("”"),
    "„": re.compile("[“”]"),
    "«": re.compile("»"),
    "「": re.compile("」"),
    "『": re.compile("』"),
}
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|mine|we|our|user)\b|我|用户", re.IGNORECASE)


def foreign(text: str) -> list[tuple[int, int]]:
    """The spans that are not the writer's own words, ascending, not overlapping.

    Code, lines that begin with ">" or "|"
        "|", text within tags or between lines of dashes, quotations of more than a few words
    or in the first person, paragraphs and lists that a colon announces, and all that follows a mail's header, a
    speaker's label such as "Assistant:", or words such as "here is the email:".
    """
    spans = [match.span() for match in _BLOCK.finditer(text)]
    spans += [match.span() for match in _PARAGRAPH.finditer(text)]
    spans += quotations(text)
    rest = _rest(text)
    if rest < len(text):
        spans.append((rest, len(text)))
    return merged(spans)


def quotations(text: str) -> list[tuple[int, int]]:
    """Quotations of more than `FEW` words, or in the first person; one that is never closed goes to the end of the text."""
    found: list[tuple[int, int]] = []
    place, never = 0, set[str]()
    while opener := _OPENER.search(text, place):
        mark, place = opener[0], opener.end()
        if mark in never:
            continue
        close = _CLOSERS[mark].search(text, place)
        if close is None and mark in "'‘":  # an apostrophe
            never.add(mark)
            continue
        end = close.end() if close else len(text)
        said = text[place : close.start() if close else end]
        if close is None or len(words(said, query=True)) > FEW or _FIRST_PERSON.search(said):
            found.append((opener.start(), end))
        place = end
    return found


def _rest(text: str) -> int:
    """From where on nothing is the writer's own; the length of the text where all of it may be."""
    starts = [len(text)]
    if announced := _REST.search(text):
        starts.append(announced.start())
    for opening in _OPENING_LINE.finditer(text):
        line = text[text.rfind("\n", 0, opening.start()) + 1 : opening.start()]
        lines = sum(map(bool, map(str.strip, text[opening.end() :].split("\n"))))
        if lines > LINES and not _OF_MYSELF.search(line):
            starts.append(opening.start())
        break
    starts += [match.start() for match in _LABEL.finditer(text) if not _is_own(match["label"])]
    spoken = [match.start() for match in _SPOKEN_LINE.finditer(text)]
    if len(spoken) > 1:
        starts.append(spoken[0])
    return min(starts)


def _is_own(label: str) -> bool:
    """Whether a word or two before a colon head the writer's own sentence: "Good news: ...", not "Bob: ..."."""
    said = label.lower().split()
    return bool(set(said) & _OWN_LABELS) or said[0] in CLOSED or said[0] in NUMBERS


def merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The union of spans, ascending."""
    found: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found

"""The questions of a comparison on its page: each with all its answers side by side, and the passages that these rest on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ctxproc.job import same
from ctxproc.report_page import shown

if TYPE_CHECKING:
    from ctxproc.compare_ledger import Row
    from ctxproc.compare_questions import Place
    from ctxproc.compare_results import Comparison
    from ctxproc.compare_scores import Scored
    from ctxproc.document import Document

AROUND = 180
"""Characters of the source that are shown before and behind a cited passage."""

LONGEST = 1500
"""Characters of a cited passage that are shown."""

PASSAGES = 4
"""Passages that are shown of one answer."""

FILTERS = (("all", "all"), ("some", "ways differ in being right"), ("none", "no way is right"))


@dataclass
class Group:
    """Ways that gave the same answer, by their places, with the rows of each."""

    text: str
    abstained: bool
    rows: dict[int, Row] = field(default_factory=dict)


def questions(comparison: Comparison, scores: Sequence[Scored], names: Sequence[str]) -> Iterator[str]:
    """All questions; where there are gold answers, with a choice of which are shown."""
    yield '<h2 id="questions">Questions</h2>'
    yield (
        '<p class="soft">What an answer cites is <mark>marked</mark>; what people named as the passage is '
        '<span class="gold">underlined</span>. Enter or space opens a question.</p>'
    )
    if any(question.answers is not None for question in comparison.questions):
        yield "<fieldset><legend>Show</legend>"
        for name, told in FILTERS:
            checked = " checked" if name == "all" else ""
            yield f'<label><input type="radio" name="show" id="show-{name}"{checked}>{told}</label>'
        yield "</fieldset>"
    texts = {document.source: document for document in comparison.documents}
    for place in range(len(comparison.questions)):
        yield from _question(comparison, scores, names, place, texts)


def _question(
    comparison: Comparison,
    scores: Sequence[Scored],
    names: Sequence[str],
    place: int,
    texts: Mapping[str, Document],
) -> Iterator[str]:
    """One question, closed until it is opened."""
    question = comparison.questions[place]
    groups = grouped(scores, place)
    right = (
        [scores[i].values["exact_match"].get(place) == 1.0 for group in groups for i in group.rows]
        if question.answers is not None
        else []
    )
    kind = "open" if not right else "every" if all(right) else "some" if any(right) else "none"
    count = f"{sum(right)} of {len(right)} right" if right else f"{len(groups)} different answers"
    yield f'<details class="{kind}" id="q{place + 1}"><summary><span class="ask">'
    yield f'<bdi>{shown(question.text)}</bdi></span><small>{count}</small></summary><div class="body">'
    yield f'<p class="facts">{_facts(comparison, place)}</p>'
    gold = [spot for places in comparison.gold[place] for spot in places]
    if gold and not any(group.rows and _cites(group, gold) for group in groups):
        yield from _missed(gold, texts)
    yield '<div class="cards">'
    for group in groups:
        yield from _card(group, scores, names, place, gold, texts)
    yield "</div>"
    failed = [
        f"<li><bdi>{shown(names[i])}: {shown(one.ran.errors[place])}</bdi></li>"
        for i, one in enumerate(scores)
        if place in one.ran.errors
    ]
    if failed:
        yield f"<h3>Failed</h3><ul class='notes'>{''.join(failed)}</ul>"
    yield "</div></details>"


def _facts(comparison: Comparison, place: int) -> str:
    """The question's id, its kind, and the gold answers."""
    question = comparison.questions[place]
    told = [f"<bdi>{shown(question.id)}</bdi>"] + ([f"<bdi>{shown(question.kind)}</bdi>"] if question.kind else [])
    if question.answers is None:
        told.append("no gold answer")
    elif not question.answers:
        told.append("the sources hold no answer: right is to abstain")
    else:
        told.append("gold: " + " / ".join(f"<b><bdi>{shown(one)}</bdi></b>" for one in question.answers))
    return " · ".join(told)


def grouped(scores: Sequence[Scored], place: int) -> list[Group]:
    """The answers to a question, each with the ways that gave it; the one of most ways first, abstentions last."""
    groups: list[Group] = []
    for i, one in enumerate(scores):
        row = one.ran.rows.get(place)
        if row is None:
            continue
        text, abstained = str(row.answer["answer"]), bool(row.answer["abstained"])
        fitting = (group for group in groups if group.abstained == abstained and same(group.text, text))
        group = next(fitting, None)
        if group is None:
            group = Group(text, abstained)
            groups.append(group)
        group.rows[i] = row
    return sorted(groups, key=lambda group: (group.abstained, -len(group.rows)))


def _card(
    group: Group,
    scores: Sequence[Scored],
    names: Sequence[str],
    place: int,
    gold: Sequence[Place],
    texts: Mapping[str, Document],
) -> Iterator[str]:
    """An answer, the ways that gave it, and the passages that they cite."""
    marks = [scores[i].values["exact_match"].get(place) for i in group.rows]
    kind = "" if marks[0] is None else " right" if max(mark or 0.0 for mark in marks) == 1.0 else " wrong"
    yield f'<div class="card{kind}">'
    if group.abstained:
        yield '<p class="answer not">no answer given</p>'
    else:
        yield f'<p class="answer"><bdi>{shown(group.text)}</bdi></p>'
    yield '<ul class="ways">'
    for i, row in group.rows.items():
        told = f'<span class="number">{i + 1}</span><bdi>{shown(names[i])}</bdi>'
        yield f"<li><span>{told}</span><span>{_figures(scores[i], row, place)}</span></li>"
    yield "</ul>"
    cited = {
        (item["source"], item["start"], item["end"]): item
        for row in group.rows.values()
        for item in row.answer["evidence"]
    }
    for item in list(cited.values())[:PASSAGES]:
        yield passage(item, gold, texts)
    if len(cited) > PASSAGES:
        yield f'<p class="facts">and {len(cited) - PASSAGES} more passages</p>'
    yield "</div>"


def _figures(one: Scored, row: Row, place: int) -> str:
    """What is known of one answer, in a few figures."""
    told = []
    f1 = one.values["f1"].get(place)
    if f1 is not None:
        told.append(f"F1 {100 * f1:.0f}")
    confidence = row.answer["confidence"]
    if confidence is not None and not row.answer["abstained"]:
        told.append(f"sure {100 * confidence:.0f} %")
    told.append(f"{row.measured['seconds'] or 0.0:.2f} s")
    return " · ".join(told)


def passage(item: Mapping[str, Any], gold: Sequence[Place], texts: Mapping[str, Document]) -> str:
    """A cited passage within its source, marked; what a model said that stands nowhere is told as that."""
    document = texts.get(item["source"])
    page = f", page {item['page']}" if item["page"] else ""
    if document is None or item["status"] == "unverified":
        quote = f"<q><bdi>{shown(str(item['quote'])[:LONGEST])}</bdi></q>"
        return f'<blockquote>{quote}<br><small class="down">not found in the source</small></blockquote>'
    start, end = int(item["start"]), min(int(item["end"]), int(item["start"]) + LONGEST)
    name = f"<small><bdi>{shown(document.source)}</bdi>{page}, {item['status']}</small>"
    return f"<blockquote><bdi>{excerpt(document, start, end, gold, cited=True)}</bdi><br>{name}</blockquote>"


def excerpt(document: Document, start: int, end: int, gold: Sequence[Place], cited: bool) -> str:
    """The text around characters ``start`` to ``end``; these are marked if ``cited``, gold passages underlined."""
    low, high = _words(document.text, max(0, start - AROUND), min(len(document.text), end + AROUND), start, end)
    own = [spot for spot in gold if spot.source == document.source]
    ends = (x for spot in own for x in (spot.start, spot.end))
    cuts = sorted({low, high, start, end, *(x for x in ends if low < x < high)})
    pieces = []
    for a, b in pairwise(cuts):
        piece = shown(document.text[a:b])
        if any(spot.start <= a and b <= spot.end for spot in own):
            piece = f'<span class="gold">{piece}</span>'
        pieces.append(f"<mark>{piece}</mark>" if cited and start <= a and b <= end else piece)
    before, after = "… " if low else "", " …" if high < len(document.text) else ""
    return f"{before}{''.join(pieces)}{after}"


def _words(text: str, low: int, high: int, start: int, end: int) -> tuple[int, int]:
    """The slice, made shorter so that it begins and ends between words, if there is white space outside of the passage."""
    space = next((i + 1 for i in range(low, start) if text[i].isspace()), low) if low else 0
    back = next((i for i in range(high - 1, end - 1, -1) if text[i].isspace()), high) if high < len(text) else high
    return space, back


def _cites(group: Group, gold: Sequence[Place]) -> bool:
    """Whether a passage that the group cites overlaps a gold one."""
    from ctxproc.compare_scores import overlap

    return any(overlap(item, spot) for row in group.rows.values() for item in row.answer["evidence"] for spot in gold)


def _missed(gold: Sequence[Place], texts: Mapping[str, Document]) -> Iterator[str]:
    """The gold passages, where no way cites one."""
    yield "<h3>No way cites the gold passage</h3>"
    for spot in gold[:PASSAGES]:
        document = texts[spot.source]
        text = excerpt(document, spot.start, min(spot.end, spot.start + LONGEST), gold, cited=False)
        yield f"<blockquote><bdi>{text}</bdi><br><small><bdi>{shown(document.source)}</bdi></small></blockquote>"

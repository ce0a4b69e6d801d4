"""A comparison as one HTML page that needs nothing else: no script, no network, everything escaped.

Texts of documents, questions, answers and names are data: they are escaped, their control characters are shown as U+FFFD and
their direction stays their own. Besides, the page's own policy forbids every script and every request.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING

from ctxproc.compare_scores import GOLD, QUALITY, Estimate, Scored
from ctxproc.compare_tables import machine
from ctxproc.compare_ways import named, own_version
from ctxproc.report_plot import Point, plot, short
from ctxproc.report_style import STYLE

if TYPE_CHECKING:
    from ctxproc.compare_results import Comparison

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
NAMES = {
    "exact_match": "Exact match",
    "f1": "F1",
    "rouge_l": "ROUGE-L",
    "evidence_precision": "Evidence precision",
    "evidence_recall": "Evidence recall",
    "verified": "Citations verified",
    "abstained": "Abstained",
    "agreement": "Agreement",
}
UNNAMED = "other"
"""What the questions without a kind are called, where others have one."""

UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def shown(text: str) -> str:
    """A text of somebody else, fit to stand in the page."""
    return escape(UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n")))


def page(comparison: Comparison, scores: Sequence[Scored]) -> str:
    """The page: a sentence, two plots, two tables, what to keep in mind, and every question with all its answers.

    Args:
        comparison: run.
        scores: its measures, as `compare_scores.scored` gives them.
    """
    from ctxproc.report_questions import questions

    names = way_names(scores)
    title = f"{len(scores)} ways, {len(comparison.questions)} questions"
    sources = ", ".join(shown(document.source) for document in comparison.documents[:5])
    more = len(comparison.documents) - 5
    parts = [
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Comparison: {title}</title><style>{STYLE}</style></head><body>",
        '<a class="skip" href="#questions">Skip to the questions</a>',
        f"<header><h1>{title}</h1>",
        f'<p class="soft">Over <bdi>{sources}</bdi>{f" and {more} more" if more > 0 else ""}</p></header><main>',
        f"<p>{verdict(scores, names)}</p>",
        *_plots(scores, names),
        "<h2>Quality</h2>",
        *_table("Quality of each way", scores, names, _quality_cells(scores)),
        *_by_kind(scores, names),
        "<h2>Cost of a question</h2>",
        *_table("Cost of each way", scores, names, _cost_cells(scores)),
        *_notes(comparison, scores),
        *questions(comparison, scores, names),
        "</main></body></html>\n",
    ]
    return "\n".join(parts)


def way_names(scores: Sequence[Scored]) -> list[str]:
    """What each way is called: its strategy, and what differs besides."""
    ways = [one.ran.way for one in scores]
    several = len({way.criteria for way in ways}) > 1, len({way.model for way in ways}) > 1
    made = []
    for way in ways:
        besides = [text for text, tell in zip((way.criteria, way.model), several, strict=True) if tell]
        made.append(" · ".join([named(way.strategy), *besides]))
    return made


def leading(scores: Sequence[Scored]) -> str:
    """The measure that the page leads with: F1, or agreement where no question has a gold answer."""
    return "f1" if any("f1" in one.quality for one in scores) else "agreement"


def verdict(scores: Sequence[Scored], names: Sequence[str]) -> str:
    """What the figures allow to say, in two or three sentences."""
    measure = leading(scores)
    ran = [i for i, one in enumerate(scores) if measure in one.quality]
    if not ran:
        return "No way gave an answer that can be measured."
    less = shorter(scores)
    top = max((i for i in ran if i not in less), key=lambda i: scores[i].quality[measure].mean)
    said = f"<b>{shown(names[top])}</b> has the highest {_lower(measure)}: {spread(scores[top].quality[measure])}."
    if less:
        told = ", ".join(f"<b>{shown(names[i])}</b> ({less[i]})" for i in less)
        said += f" This leaves out what was measured on fewer questions than others: {told}."
    if measure == "agreement":
        return f"No question has a gold answer, so nothing here says which answers are right. {said}"
    apart = [i for i in ran if measure in scores[i].differences and scores[i].differences[measure].apart]
    better = [names[i] for i in apart if scores[i].differences[measure].mean > 0]
    worse = [names[i] for i in apart if scores[i].differences[measure].mean < 0]
    told = f" Of {len(ran) - 1} others, {len(better)} are better than <b>{shown(names[0])}</b>, {len(worse)} are worse"
    rest = len(ran) - 1 - len(apart)
    return f"{said}{told}, and {rest} cannot be told from it by these questions." if len(ran) > 1 and 0 in ran else said


def shorter(scores: Sequence[Scored]) -> dict[int, str]:
    """The places of the ways whose leading measure is of fewer questions than that of others, and of how many it is.

    Such a way may have had the easier questions, so it is not named as the highest.
    """
    measure = leading(scores)
    known = {i: one.quality[measure].n for i, one in enumerate(scores) if measure in one.quality}
    most = max(known.values(), default=0)
    return {i: f"{n} of {most}" for i, n in known.items() if n < most}


def spread(one: Estimate) -> str:
    """A mean and its interval in percent."""
    if one.low is None or one.high is None:
        return f"{100 * one.mean:.0f}"
    return f"{100 * one.mean:.0f} (95 % interval {100 * one.low:.0f} to {100 * one.high:.0f})"


def _lower(measure: str) -> str:
    name = NAMES[measure]
    return name if measure in GOLD else name.lower()


def _plots(scores: Sequence[Scored], names: Sequence[str]) -> Iterator[str]:
    """Quality against tokens, and against seconds; nothing where no way has both."""
    measure = leading(scores)
    label = "F1, percent" if measure == "f1" else "Agreement with other ways, percent"
    drawn = []
    costs = (("prompt_tokens", "Tokens read for a question"), ("seconds", "Seconds for a question"))
    for cost, name in costs:
        points = []
        for number, one in enumerate(scores, 1):
            spent, known = one.cost[cost], one.quality.get(measure)
            if spent and known:
                low, high = (known.mean if end is None else end for end in (known.low, known.high))
                points.append(Point(number, names[number - 1], spent, known.mean, low, high))
        if points:
            drawn.append(f"<figure>{plot(points, label, name)}</figure>")
    if drawn:
        yield f"<h2>{'Quality' if measure == 'f1' else 'Agreement'} against cost</h2>"
        yield f'<div class="plots">{"".join(drawn)}</div>'
        told = "Up and to the left is better. Lines are 95 % intervals. The numbers are those of the table."
        yield f"<p><small>{told}</small></p>"


Cells = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The heads of the columns, and the cells of each way's row."""


def _table(label: str, scores: Sequence[Scored], names: Sequence[str], cells: Cells) -> Iterator[str]:
    """A table with a row a way; one that was not run says why."""
    heads, rows = cells
    yield f'<div class="scroll" tabindex="0" role="region" aria-label="{label}"><table><thead><tr><th scope="col">Way</th>'
    yield "".join(f'<th scope="col">{head}</th>' for head in heads) + "</tr></thead><tbody>"
    for number, (one, name, row) in enumerate(zip(scores, names, rows, strict=True), 1):
        told = f'<span class="number">{number}</span><bdi>{shown(name)}</bdi>'
        yield f'<tr{" class=first" if number == 1 else ""}><th scope="row">{told}</th>'
        if one.ran.rows:
            yield "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
        else:
            why = shown(one.ran.reason or "no question could be asked")
            yield f'<td class="why" colspan="{len(heads)}">not run: <bdi>{why}</bdi></td></tr>'
    yield "</tbody></table></div>"


def _quality_cells(scores: Sequence[Scored]) -> Cells:
    measures = [name for name in QUALITY if any(name in one.quality for one in scores)]
    lead = leading(scores)
    heads = ["Answers", *(NAMES[name] for name in measures)]
    heads.insert(2 + measures.index(lead) if lead in measures else 1, "against the first")
    if any(one.calibration for one in scores):
        heads.append("Calibration error")
    rows = []
    for one in scores:
        row = [f"{len(one.ran.rows)}" + (f"<small>{len(one.ran.errors)} failed</small>" if one.ran.errors else "")]
        for name in measures:
            row.append(estimated(one.quality.get(name)))
            if name == lead:
                row.append(difference(one.differences.get(name)))
        if "Calibration error" in heads:
            row.append(estimated(one.calibration))
        rows.append(row)
    return heads, rows


def _by_kind(scores: Sequence[Scored], names: Sequence[str]) -> Iterator[str]:
    """The leading measure of each kind of question; nothing where all are of one kind."""
    if not scores[0].kinds:
        return
    measure = leading(scores)
    rows = []
    for one in scores:
        known = [measures.get(measure) for measures in one.kinds.values()]
        rows.append([estimated(each) + (f"<small>n = {each.n}</small>" if each else "") for each in known])
    label = f"{NAMES[measure]} by kind of question"
    yield f"<h2>{label}</h2>"
    heads = [f"<bdi>{shown(kind or UNNAMED)}</bdi>" for kind in scores[0].kinds]
    yield from _table(label, scores, names, (heads, rows))


def estimated(one: Estimate | None) -> str:
    """A cell: the mean in percent, and its interval below."""
    if one is None:
        return "–"
    if one.low is None or one.high is None:
        return f"{100 * one.mean:.0f}"
    return f'{100 * one.mean:.0f}<small class="soft">{100 * one.low:.0f} to {100 * one.high:.0f}</small>'


def difference(one: Estimate | None) -> str:
    """A cell: a difference in percentage points, coloured where its interval lies on one side of 0."""
    if one is None:
        return "–"
    kind = ("up" if one.mean > 0 else "down") if one.apart else "soft"
    told = _signed(one.mean)
    if one.low is not None and one.high is not None:
        told += f"<small>{_signed(one.low)} to {_signed(one.high)}, n = {one.n}</small>"
    return f'<span class="{kind}">{told}</span>'


def _signed(value: float) -> str:
    """Percentage points with their sign; 0 has none."""
    points = round(100 * value)
    return f"{'+' if points > 0 else '−'}{abs(points)}" if points else "0"


def _cost_cells(scores: Sequence[Scored]) -> Cells:
    """Means of a question; memory is the most of all."""
    heads = {"calls": "Calls", "prompt_tokens": "Tokens read", "new_tokens": "Tokens written"}
    heads |= {"reused_share": "Reused", "first": "Seconds to the first word", "seconds": "to the last"}
    heads |= {"memory": "Memory, MB", "gpu_memory": "GPU memory, MB"}
    known = [name for name in heads if any(one.cost[name] is not None for one in scores)]
    return [heads[name] for name in known], [[_cost(name, one.cost[name]) for name in known] for one in scores]


def _cost(name: str, value: float | None) -> str:
    if value is None:
        return "–"
    if name == "reused_share":
        return f"{100 * value:.0f} %"
    if name in ("memory", "gpu_memory"):
        return f"{value / 1e6:,.0f}"
    return f"{value:.2f}" if name in ("seconds", "first") else short(value) if value >= 1000 else f"{value:.3g}"


def _notes(comparison: Comparison, scores: Sequence[Scored]) -> Iterator[str]:
    """What to keep in mind, and what the measures are."""
    from ctxproc.compare_cloze import KIND

    total, several = len(comparison.questions), len(scores) > 2
    gold = sum(question.answers is not None for question in comparison.questions)
    yield '<h2>What to keep in mind</h2><ul class="notes">'
    if gold < total:
        told = (
            f"{total - gold} of {total} questions have no gold answer: of these only agreement and evidence are told."
        )
        yield f"<li>{told}</li>"
    if gold < 30:
        yield f"<li>{gold} questions with a gold answer are few: only large differences show.</li>"
    if several:
        yield "<li>Of twenty differences between equal ways, one lies outside of its interval by chance.</li>"
    if any(len(one.ran.places) < total and not one.ran.reason for one in scores):
        yield "<li>A way that would have taken too long was asked fewer questions, spread evenly over all.</li>"
    if any(row.answer["stopped"] for one in scores for row in one.ran.rows.values()):
        yield "<li>Some answers were stopped by a limit and rest on what was read until then; the JSON file says which.</li>"
    if any(question.kind == KIND for question in comparison.questions):
        yield "<li>Cloze questions use the words of their passages, which favours a search by words.</li>"
    yield "<li>Seconds are of this machine and of that hour; reuse makes later ways quicker than earlier ones.</li>"
    yield '</ul><details><summary><span class="ask">What the measures are</span></summary><div class="body">'
    yield '<ul class="notes">'
    known = [name for name in QUALITY if any(name in one.quality for one in scores)]
    for name in known:
        yield f"<li>{NAMES[name]}: {QUALITY[name]}.</li>"
    if any(one.calibration for one in scores):
        yield "<li>Calibration error: how far confidence and the share of exact answers lie apart (ECE).</li>"
    where = machine()
    told = f"ctxproc {shown(own_version())}, {shown(str(where['system']))}, {where['cores']} cores."
    yield f'</ul></div></details><p class="soft">{told}</p>'

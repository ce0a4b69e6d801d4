"""Questions over a PDF, with the page that each answer stands on: `python examples/ask_pdf.py [FILE.pdf QUESTION...]`.

Without a file it writes a small one of its own, two pages of a ship's papers, and asks about that.
"""
# ruff: noqa: T201

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import ctxproc

PAGES = (
    (
        "The brig Constant Anne was built at Dunmarrow in 1829.",
        "Her first master was Josias Penhale, who kept two cats.",
    ),
    ("In 1847 she carried ninety barrels of lamp oil to Merrowby.", "Her bell was later sold to a clockmaker."),
)
QUESTIONS = (
    "Where was the Constant Anne built?",
    "How many barrels of lamp oil did she carry?",
    "What did the tea cost?",
)


def pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """A PDF with these lines of plain ASCII on its pages, in Helvetica."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, lines in enumerate(pages):
        shown = "".join(f"({line.translate(ESCAPES)}) Tj 0 -18 Td " for line in lines)
        text = f"BT /F 12 Tf 72 720 Td {shown}ET"
        page = "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792]"
        objects.append(f"{page} /Resources << /Font << /F 3 0 R >> >> /Contents {5 + 2 * i} 0 R >>")
        objects.append(f"<< /Length {len(text)} >>\nstream\n{text}\nendstream")
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    size = len(objects) + 1
    out += f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n"
    return f"{out}{out.index('xref')}\n%%EOF\n".encode("ascii")


ESCAPES = str.maketrans({"(": "\\(", ")": "\\)", "\\": "\\\\"})


def main(file: str = "", *questions: str) -> None:
    """Ask about the file, or about a small one."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(file) if file else Path(folder, "constant_anne.pdf")
        if not file:
            path.write_bytes(pdf(PAGES))
        settings, _ = ctxproc.resolve(preset="fast")  # words alone: no embedding model is loaded
        library = ctxproc.Library([path], settings)
        for question in questions or QUESTIONS:
            answer = library.ask(question)
            print(f"{question}\n    {answer}")
            for passage in answer.evidence:
                print(f"    page {passage.page}, {passage.status}: {passage.quote}")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The examples run, offline, and say what they promise to say."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import httpx
import pytest

import ctxproc
from ctxproc import ScriptedLLM

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.append(str(EXAMPLES))


def run(name: str, *arguments: str, stdin: str = "") -> str:
    """What an example prints."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        input=stdin,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path(ctxproc.__file__).parents[1]), os.environ["PYTHONPATH"]]),
        },
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_two_users_in_one_file_have_each_their_own_answers(tmp_path: Path) -> None:
    lines = [line.strip() for line in run("two_users.py", str(tmp_path / "both.ctxproc")).splitlines()]
    replies = dict(zip(lines[::2], lines[1::2], strict=False))
    assert replies["alice: Where do I live?"].startswith("Lyon. On ")
    assert replies["alice: Where do I work?"].endswith("you said: “I work at the town library.”")
    assert replies["alice: Where does Mia live?"].startswith("Oslo. On ")
    for question in ("Where do I work?", "Where does Mia live?"):
        assert replies[f"bob: {question}"] == "I do not know: nothing that I remember answers that."
    assert replies["alice, who has put it right: Where does Mia live?"].startswith("Bergen. You put that right")
    said = run_of_bob(lines)
    assert said[0].startswith("Graz. On ") and said[1] == "I do not know: nothing that I remember answers that."
    assert any(line.startswith("bob forgets Graz: ") and line.endswith("no trace left: True") for line in lines)
    assert lines[-1] == "alice still lives in Lyon"


def run_of_bob(lines: list[str]) -> list[str]:
    """The two replies to bob's question where he lives."""
    return [lines[i + 1] for i, line in enumerate(lines) if line == "bob: Where do I live?"]


def test_the_chat_app_remembers_from_one_run_to_the_next(tmp_path: Path) -> None:
    file = str(tmp_path / "me.ctxproc")
    first = run("chat_app.py", file, "alice", stdin="I moved to Lyon in May 2025.\n\nnot read\n")
    assert first.splitlines() == ["Hello alice. I remember 0 passages.", "Noted: alice lives in Lyon."]
    second = run("chat_app.py", file, "alice", stdin="Where do I live?\n")
    assert second.splitlines()[1].startswith("Lyon. On ") and "I moved to Lyon" in second
    lengths = {name: len((EXAMPLES / name).read_text().splitlines()) for name in ("chat_app.py", "service.py")}
    assert lengths["chat_app.py"] <= 30 and lengths["service.py"] <= 60


def test_the_service_keeps_its_users_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = pytest.importorskip("service", reason="fastapi is not installed")
    monkeypatch.setenv("CTXPROC_TOKENS", '{"secret-a": "alice", "secret-b": "bob"}')
    words, _ = ctxproc.resolve(preset="fast")  # no embedding model is loaded
    monkeypatch.setattr(ctxproc, "Memory", partial(ctxproc.Memory, settings=words))
    llm = ScriptedLLM(lambda prompt: f"I was told: {prompt.field('recalled') or 'nothing'}")
    app = service.create(str(tmp_path / "service.ctxproc"), llm=llm)
    alice, bob = {"X-Token": "secret-a"}, {"X-Token": "secret-b"}

    async def talk() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return [
                await client.post("/chat", json={"text": "I live in Lyon."}, headers=alice),
                await client.post("/chat", json={"text": "Where do I live?"}, headers=alice),
                await client.post("/chat/stream", json={"text": "Where do I live?"}, headers=bob),
                await client.get("/facts", headers=alice),
                await client.get("/facts", headers=bob),
                await client.post("/chat", json={"text": " "}, headers=alice),
                await client.delete("/memory", params={"text": "Lyon"}, headers=alice),
                await client.get("/facts", headers=alice),
                await client.post("/chat", json={"text": "Hello"}),
                await client.get("/facts", headers={"X-Token": "secret"}),
            ]

    first, asked, streamed, facts, none, empty, forgotten, after, *strangers = asyncio.run(talk())
    assert "lives in Lyon" in asked.json()["text"] and any("Lyon" in one["text"] for one in asked.json()["recalled"])
    assert streamed.text == "I was told: nothing" and "Lyon" not in str(llm.prompts[2])
    assert [fact["text"] for fact in facts.json()] == ["alice lives in Lyon."] and none.json() == []
    assert (first.status_code, empty.status_code) == (200, 400) and "nothing to remember" in empty.json()["detail"]
    assert forgotten.json()["forgotten"] >= 2 and after.json() == []
    assert [one.status_code for one in strangers] == [401, 401]


def test_a_pdf_is_answered_from_by_page() -> None:
    lines = run("ask_pdf.py").splitlines()
    assert lines[:3] == [
        "Where was the Constant Anne built?",
        "    Dunmarrow",
        "    page 1, verified: The brig Constant Anne was built at Dunmarrow in 1829.",
    ]
    assert lines[3:6] == [
        "How many barrels of lamp oil did she carry?",
        "    ninety",
        "    page 2, verified: In 1847 she carried ninety barrels of lamp oil to Merrowby.",
    ]
    assert [line.strip() for line in lines[6:]] == ["What did the tea cost?", ""]


def test_configurations_are_swapped_and_nothing_else() -> None:
    rows = [re.split(r"\s{2,}", line.replace(" calls", "")) for line in run("config_swap.py").splitlines()]
    assert [(title, strategy, calls) for title, strategy, calls, *_ in rows] == [
        ("words alone", "map_rerank", "4"),
        ("wider", "map_rerank", "12"),
        ("rare words count for less", "map_rerank", "4"),
        ("several passages at once", "stuff", "1"),
        ("the first window", "truncate", "1"),
        ("sure or silent", "map_rerank", "4"),
    ]
    assert rows[0][-1] == rows[3][-1] == "two thousand dried fish and one live seal"
    assert rows[4][-1] == rows[5][-1] == "no answer"


def test_a_criterion_of_ones_own_changes_what_is_read() -> None:
    assert run("own_criterion.py").splitlines() == [
        "without Numbers: 2 of 4 passages hold a number; answer: 274",
        "with Numbers: 4 of 4 passages hold a number; answer: 274",
    ]


def test_a_server_on_this_machine_is_asked() -> None:
    assert run("endpoint.py").splitlines() == [
        "Who is the captain of the ferry?",
        "    Its captain is Aurelio Ibarrola, who was born on the mainland.",
        "    verified in harbour.txt",
        "What are the prisms dusted with?",
        "    They are dusted with a badger brush on the first of each month.",
        "    verified in harbour.txt",
    ]


def test_ways_are_compared_on_the_shipped_book(tmp_path: Path) -> None:
    rows = run("compare.py", "4", str(tmp_path / "results")).splitlines()
    assert [row.split()[0] for row in rows[:3]] == ["map_rerank", "stuff", "truncate"]
    assert all("n=4" in row for row in rows[:3]) and rows[0].endswith("; the first")
    assert rows[3] == f"{tmp_path / 'results'}/compare.html" and (tmp_path / "results" / "compare.html").is_file()


def test_every_example_has_a_test_and_a_line_on_its_page() -> None:
    page = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    for file in EXAMPLES.glob("*.py"):
        assert f"`{file.name}`" in page and file.stem in Path(__file__).read_text(encoding="utf-8"), file.name

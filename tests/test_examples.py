"""The examples run, offline, and say what they promise to say."""

from __future__ import annotations

import asyncio
import os
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
    assert replies["alice: Where do I work?"].endswith("you said: “I work at the harbour office.”")
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

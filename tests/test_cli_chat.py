"""``ctxproc chat`` from outside: in a pipe, at a terminal, with several users in one file."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from talks import BEGAN, Quoter, chat_in, kept, memory_in
from test_cli_memory import run

import ctxproc
from ctxproc import Generation, Prompt, Sampling, ScriptedLLM
from ctxproc.cli.chat import say_streaming
from ctxproc.cli.chat_commands import Talk
from ctxproc.errors import ModelError
from ctxproc.llm import load
from ctxproc.llm.base import LLM
from ctxproc.memory.base import Note

CANARIES = {"alice": "Xylophonia", "bob": "Quetzalburg"}


def talk(
    folder: Path, *lines: str, llm: LLM | None = None, user: str = "alice", code: int = 0, more: tuple[str, ...] = ()
) -> str:
    """What a chat in a pipe prints; on standard error if it fails."""
    words = ("chat", *more, "--memory", str(folder / "me.ctxproc"), "--user", user, "--set", "retrieval.search=[bm25]")
    with patch.object(load, "load_llm", lambda _settings: llm or Quoter("Xylophonia", "Quetzalburg")):
        done = run(*words, stdin="".join(f"{line}\n" for line in lines), code=code)
    assert done.stderr.count("\n") == (1 if code else 0), done.stderr
    return done.stderr if code else done.stdout


def test_in_a_pipe_each_line_is_a_message_and_each_reply_a_line(tmp_path: Path) -> None:
    assert talk(tmp_path, "I live in Lyon.", "", "Where do I live?").splitlines() == [
        "Noted: alice lives in Lyon.",
        f"Lyon. On {kept_day(tmp_path)} you said: “I live in Lyon.”",
    ]
    llm = ScriptedLLM(["Two\nlines \x1b[31mred\x1b[0m\x1b]0;title\x07."])
    assert talk(tmp_path, "Go on", llm=llm) == "Two lines red.\n"
    assert talk(tmp_path) == ""


def kept_day(folder: Path) -> str:
    """The day of the first turn."""
    return f"{memory_in(folder).items()[0].time:%Y-%m-%d}"


def test_memory_why_correct_and_sessions_show_what_is_there(tmp_path: Path) -> None:
    said = talk(tmp_path, "I live in Lyon.", "/memory", "Where do I live?", "/why", "/sessions").splitlines()
    day = kept_day(tmp_path)
    assert said[1] == f"   2  alice lives in Lyon.  (since {day}, said {day})"
    recalled = [line for line in said if line.startswith(("fact", "recent", "relevant"))]
    assert (
        recalled[0].startswith(f"fact        2  {day}  alice: alice lives in Lyon.  (")
        and f"since {day}" in recalled[0]
    )
    assert recalled[1].startswith(f"recent      1  {day}  alice: I live in Lyon.  (of this session")
    assert f"{len(recalled)} passages recalled" in "\n".join(said)
    assert said[-1].startswith("* ") and said[-1].endswith("4 turns: I live in Lyon.")
    again = talk(tmp_path, "/correct 2 Nice", "Where do I live?", "/memory", "/memory nice").splitlines()
    assert again[0].endswith("alice lives in Nice.") and again[1].startswith("Nice. You put that right on ")
    assert "alice lives in Nice." in again[2] and "Lyon" not in again[2]
    assert any("alice lives in Nice." in line for line in again[3:])


def test_a_day_in_the_past_can_be_looked_back_to(tmp_path: Path) -> None:
    talk(tmp_path, "I live in Lyon.")
    said = talk(
        tmp_path, "/as-of 2020-01-01", "Where do I live?", "/memory", "/as-of now", "Where do I live?"
    ).splitlines()
    assert said[0] == "replies are by what was known on 2020-01-01"
    assert said[1].startswith("I do not know") and said[2].startswith("no facts yet")
    assert said[3] == "replies are by what was known until now" and said[4].startswith("Lyon.")


def test_words_are_looked_for_as_of_a_day_too(tmp_path: Path) -> None:
    said = talk(tmp_path, "I moved to Lyon in 2020.", "/as-of 2021-01-01", "/memory Lyon", "/as-of now", "/memory Lyon")
    before, after = said.split("replies are by what was known until now")
    assert "Lyon" not in before.partition("known on 2021-01-01")[2] and "alice lives in Lyon." in after


def test_at_a_terminal_what_was_imported_is_learned_behind_the_first_reply(tmp_path: Path) -> None:
    chat = chat_in(tmp_path, Quoter())
    told = {"role": "user", "session": "old"}
    chat.memory.remember_all([Note("I live in Lyon.", "turn", BEGAN, "alice", "chat/old", told)])
    assert chat.facts() == []
    say_streaming(Talk(chat), "Hello.")
    end = time.monotonic() + 60
    while not chat.facts():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert [fact.text for fact in chat.facts()] == ["alice lives in Lyon."]
    chat.close()


def test_a_session_is_taken_up_again(tmp_path: Path) -> None:
    llm = ScriptedLLM(["Aha."])
    talk(tmp_path, "The kettle is broken.", llm=llm)
    talk(tmp_path, "What is broken?", llm=llm, more=("--resume", "last"))
    assert llm.prompts[-1].field("recent") == "alice: The kettle is broken.\nassistant: Aha.\n"
    talk(tmp_path, "What is broken?", llm=llm)
    assert llm.prompts[-1].field("recent") == ""
    assert "no session 'nonesuch'" in talk(tmp_path, more=("--resume", "nonesuch"), code=2)
    assert "no session to go on with yet" in talk(tmp_path, more=("--resume", "last"), user="carol", code=2)


def test_documents_are_talked_about(tmp_path: Path) -> None:
    book = tmp_path / "island.md"
    book.write_text("The lamp at Skerry Point is kept by Xylophonia Brandt.\n")
    said = talk(tmp_path, "Who keeps the lamp at Skerry Point?", "/why", more=(str(book),)).splitlines()
    assert said[0] == f"Xylophonia. In {book}: “The lamp at Skerry Point is kept by Xylophonia Brandt.”"
    assert said[1].startswith(f"document {book}: The lamp at Skerry Point")
    assert "nowhere.md" in talk(tmp_path, "Hello", more=(str(tmp_path / "nowhere.md"),), code=2)


def fails(_: Prompt) -> str:
    raise ModelError("the server has gone")


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("/nonesuch", 2, "there is no command /nonesuch; there are: /memory, /why"),
        ("/why", 2, "there is no reply yet"),
        ("/forget Lyon", 2, "use `ctxproc memory forget`"),
        ("/forget", 2, "/forget takes a text"),
        ("/correct Lyon Paris", 2, "/correct takes the number of a fact"),
        ("/correct 99 Paris", 2, "alice has no note 99"),
        ("/as-of", 2, "/as-of takes a day"),
        ("/as-of yesterday", 2, "not 'yesterday'"),
        ("Hello", 1, "the server has gone"),
    ],
)
def test_in_a_pipe_an_error_is_one_line_and_ends_it(tmp_path: Path, line: str, code: int, says: str) -> None:
    assert says in talk(tmp_path, line, "Not reached.", llm=ScriptedLLM(fails), code=code)
    assert [text for _, text in kept(memory_in(tmp_path))] == (["Hello"] if code == 1 else [])


def test_help_and_quit(tmp_path: Path) -> None:
    said = talk(tmp_path, "/help", "/quit", "Not reached.")
    assert all(
        f"/{name}" in said
        for name in ("memory", "why", "forget", "correct", "as-of", "consolidate", "sessions", "help", "quit")
    )
    assert kept(memory_in(tmp_path)) == []


def test_nobody_sees_anything_of_another_user_on_any_path(tmp_path: Path) -> None:
    for user, canary in CANARIES.items():
        talk(
            tmp_path,
            f"I live in {canary}.",
            f"My dentist is called {canary} Brandt.",
            f"{canary} is lovely.",
            user=user,
        )
        chat = chat_in(tmp_path, Quoter(), user=user)
        chat.remember(f"The key of {canary} hangs behind the barometer.")
        chat.memory.remember(f"{user} lives in {canary}.", kind="portrait", source="memory")
        chat.memory.remember(f"They spoke of {canary}.", kind="summary", source="memory", metadata={"of": "overall"})
    for user, canary in CANARIES.items():
        [other] = set(CANARIES.values()) - {canary}
        echo = ScriptedLLM(lambda prompt: str(prompt))
        questions = (
            "Where do I live?",
            "Who is my dentist?",
            f"What do you know of {other}?",
            "Where is the key?",
            "Summarise.",
        )
        commands = (
            "/why",
            "/memory",
            f"/memory {other}",
            "/memory key dentist portrait",
            "/sessions",
            "/as-of 2999-01-01",
            "/memory",
        )
        for llm in (echo, Quoter(other, canary)):
            lines = [line for question in questions for line in (question, "/why")]
            said = talk(tmp_path, *lines, *commands, user=user, llm=llm)
            assert canary in said and other not in said.replace(f"know of {other}?", "")
        chat = chat_in(tmp_path, echo, user=user)
        streamed = "".join(chat.stream("Where do I live, who is my dentist, and where is the key?"))
        chat.consolidate()
        chat.memory.export(tmp_path / f"{user}.jsonl")
        facts = str([chat.facts(), chat.sessions(), chat.recall(other, 50), chat.forget("barometer", dry_run=True)])
        mine = streamed + facts + (tmp_path / f"{user}.jsonl").read_text()
        assert canary in mine and other not in mine.replace(f"know of {other}?", "").replace("Brandt-Quill", "")


def test_help_and_opening_a_chat_load_nothing_heavy(tmp_path: Path) -> None:
    heavy = ("torch", "transformers", "sentence_transformers", "faiss")
    for words in (["chat", "--help"], ["chat", "--memory", str(tmp_path / "me.ctxproc"), "--user", "alice"]):
        code = (
            f"import sys; from ctxproc.cli.main import main\ntry: main({words!r})\nexcept SystemExit: pass\n"
            f"print([name for name in {heavy} if name in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], input="", capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]", done.stdout


class Ticking(ScriptedLLM):
    """Ticks until it is stopped, at most a minute; but says "Fine." to thanks."""

    def stream(self, prompt: Prompt, sampling: Sampling) -> Generator[str, None, Generation]:
        if "thanks" in prompt.field("question"):
            yield "Fine."
            return Generation("Fine.", 1, 1)
        for _ in range(600):
            yield "tick "
            time.sleep(0.1)
        return Generation("tick " * 600, 1, 600)


class Terminal:
    """A chat at a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        import pty

        self.fd, theirs = pty.openpty()
        there = os.pathsep.join([str(Path(ctxproc.__file__).parents[1]), str(Path(__file__).parent)])
        environment = {**os.environ, "PYTHONPATH": there, "TERM": "dumb"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, str(folder / "me.ctxproc")],
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, env=environment,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored where a shell began this
        )  # fmt: skip
        os.close(theirs)
        self.heard = self.typed = ""

    def until(self, text: str) -> str:
        """What is printed up to a text.

        Where nothing comes for ten seconds after Ctrl-C, it is typed again: Python's input() misses a signal that comes
        just before it begins to wait.
        """
        end, silent = time.monotonic() + 120, 0
        while text not in self.heard:
            assert time.monotonic() < end, self.heard
            if select.select([self.fd], [], [], 1)[0]:
                self.heard, silent = self.heard + os.read(self.fd, 4096).decode(), 0
                continue
            silent += 1
            if silent % 10 == 0 and self.typed == "\x03":
                self.type("\x03")
        before, _, self.heard = self.heard.partition(text)
        if text.endswith(("> ", "]: ")):
            self._ready()
        return before

    def _ready(self) -> None:
        """Wait until keys are read one by one: what is typed between a prompt and that may be lost."""
        import termios

        end = time.monotonic() + 5
        while termios.tcgetattr(self.fd)[3] & termios.ICANON and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(0.05)  # what waits for them does so a little later

    def type(self, text: str) -> None:
        self.typed = text
        os.write(self.fd, text.encode())


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    pytest.importorskip("termios", reason="there are no such terminals here")
    made = Terminal(tmp_path)
    yield made
    made.process.kill()
    made.process.wait()
    os.close(made.fd)


def test_at_a_terminal_ctrl_c_stops_a_reply_and_ctrl_d_ends_the_chat(tmp_path: Path, terminal: Terminal) -> None:
    terminal.until("alice> ")
    terminal.type("Count the waves\n")
    terminal.until("tick tick")
    terminal.type("\x03")
    terminal.until("(stopped: nothing of the reply is kept)")
    terminal.until("alice> ")
    terminal.type("/nonesuch\n")
    terminal.until("there is no command /nonesuch")
    terminal.until("alice> ")
    terminal.type("/forget waves\n")
    terminal.until("would forget")
    terminal.until("[y/N]: ")
    terminal.type("n\n")
    for no in "\x03\x04":
        terminal.until("alice> ")
        terminal.type("  /forget\twaves\n")
        terminal.until("[y/N]: ")
        terminal.type(no)
    terminal.until("alice> ")
    terminal.type("\x03")
    terminal.until("alice> ")
    terminal.type("Many thanks\n")
    terminal.until("Fine.")
    terminal.until("alice> ")
    terminal.type("\x04")
    assert terminal.process.wait(60) == 0
    assert kept(memory_in(tmp_path)) == [("user", "Count the waves"), ("user", "Many thanks"), ("assistant", "Fine.")]


def test_an_export_of_another_program_is_imported_and_talked_about(tmp_path: Path) -> None:
    said = {"uuid": "1", "sender": "human", "text": "I live in Quetzalburg.", "created_at": "2026-03-01T10:00:00Z"}
    export = tmp_path / "conversations.json"
    export.write_text(json.dumps([{"uuid": "c", "name": "Home", "chat_messages": [said]}]))
    words = ("memory", "import", str(export), "--memory", str(tmp_path / "me.ctxproc"), "--user", "alice")
    assert run(*words).stdout == "1 turns of 1 conversations remembered\n"
    assert run(*words).stdout == "0 turns of 1 conversations remembered\n"
    made, said = talk(tmp_path, "/consolidate", "Where do I live?").splitlines()
    assert made == "1 facts learned, 0 passages merged, 1 days summed up; the portrait is new"
    assert said == "Quetzalburg. On 2026-03-01 you said: “I live in Quetzalburg.”"
    assert talk(tmp_path, "/consolidate").startswith("0 facts learned, 0 passages merged, 0 days summed up; ")


if __name__ == "__main__":
    import fcntl
    import termios

    from ctxproc.cli.main import main

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    load.load_llm = lambda _settings: Ticking()
    main(["chat", "--memory", sys.argv[1], "--user", "alice", "--set", "retrieval.search=[bm25]"])

"""Nothing that a memory writes can be read, foreseen or redirected by another user of the machine."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

LIFE = """
import json, os, sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from memories import NOTES, WordEmbedder
from ctxproc import Memory
from ctxproc.llm.scripted import WordTokenizer
from ctxproc.memory.doctor import examine
from ctxproc.memory.intake import add

made = []

def watch(event, arguments):
    if event == "open" and isinstance(arguments[0], (str, bytes)) and isinstance(arguments[2], int):
        path, flags = os.fsdecode(arguments[0]), arguments[2]
        if flags & os.O_CREAT and not flags & os.O_EXCL and not os.path.lexists(path):
            made.append((os.path.basename(path), bool(flags & os.O_NOFOLLOW)))
    elif event == "tempfile.mkstemp":
        made.append(("mkstemp in " + os.path.basename(os.path.dirname(arguments[0])), True))

sys.addaudithook(watch)
path = Path(sys.argv[1], "new", "me.ctxproc")
book = Path(sys.argv[1], "book.md")
with Memory(path, "alice", embedder=WordEmbedder()) as memory:
    for note in NOTES:
        memory.remember(note)
    add(memory.library, [book], WordTokenizer())
    memory.recall("Lyon"); memory.library.search("lamp"); memory.export(path.with_name("notes.jsonl"))
    held = memory.store.changed_texts(memory.owner, "memory")
    memory.edit(1, "I moved to Paris in June.")
    del held
    memory.recall("Paris"); memory.forget("dentist")
raw = path.read_bytes()
at = raw.rindex(b"The ferry")
path.write_bytes(raw[:at] + b"X" + raw[at + 1:])
assert examine(path, repair=True).repaired
print(json.dumps(sorted(set(made))))
"""


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs POSIX")
def test_files_are_for_their_user_alone_and_none_is_made_under_a_name_that_can_be_foreseen(tmp_path: Path) -> None:
    (tmp_path / "book.md").write_text(
        "\n\n".join(f"Paragraph {i} tells of the lamp of house {i * 7}." for i in range(80))
    )
    apart, before = tmp_path / "temporary", os.umask(0)
    apart.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, "-c", LIFE, str(tmp_path), str(Path(__file__).parent)],
            env={**os.environ, "TMPDIR": str(apart)},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        os.umask(before)
    assert done.returncode == 0, done.stderr
    assert list(apart.iterdir()) == [], "nothing is left, nor made, in the folder that all users share"
    folder = tmp_path / "new"
    modes = {path.relative_to(folder).name: stat.S_IMODE(path.lstat().st_mode) for path in [folder, *folder.rglob("*")]}
    assert {name for name, mode in modes.items() if mode not in (0o600, 0o700)} == set()
    assert {"me.ctxproc", "me.ctxproc.cache", "me.ctxproc.salvaged", "notes.jsonl"} <= modes.keys()
    plain = [name for name, follows_no_link in json.loads(done.stdout) if not follows_no_link]
    assert plain == [".lock"], "in a folder of mode 0700"

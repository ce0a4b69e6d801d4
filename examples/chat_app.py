"""A chat app in thirty lines: `python examples/chat_app.py me.ctxproc alice`. What you say is remembered from day to day."""
# ruff: noqa: T201

from __future__ import annotations

import sys

import ctxproc


def main(file: str, user: str) -> None:
    """Talk until an empty line or the end of the input; then make summaries of what was said."""
    with ctxproc.Memory(file, user=user) as memory, ctxproc.Chat(memory) as chat:
        print(f"Hello {user}. I remember {memory.count} passages.")
        for line in sys.stdin:
            if not line.strip():
                break
            stream = chat.stream(line.strip())
            for piece in stream:
                print(piece, end="", flush=True)
            print()
            for one in stream.reply.recalled:
                print(f"    {one.part}: {one.item} ({one.item.time:%Y-%m-%d})", file=sys.stderr)
        chat.consolidate()


if __name__ == "__main__":
    main(*sys.argv[1:])

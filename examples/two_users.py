"""Two users in one file: the same questions, each answered from what that one said. `python examples/two_users.py FILE`."""
# ruff: noqa: T201

from __future__ import annotations

import sys

import ctxproc

SAID = {
    "alice": ["I moved to Lyon in May 2025.", "I work at the town library.", "My sister Mia lives in Oslo."],
    "bob": ["I live in Graz.", "My dentist is called Xylophonia Brandt."],
}
QUESTIONS = ["Where do I live?", "Where do I work?", "Where does Mia live?"]


def main(file: str) -> None:
    """Say everything, ask everything, correct and forget something, and ask again."""
    settings, _ = ctxproc.resolve(preset="fast")  # words alone: no embedding model is loaded
    model = ctxproc.BuiltinReader()
    chats = {
        name: ctxproc.Chat(ctxproc.Memory(file, user=name, settings=settings), model, session="demonstration")
        for name in SAID
    }
    for name, chat in chats.items():
        for sentence in SAID[name]:
            print(f"{name}: {sentence}\n    {chat.reply(sentence)}")
    for question in QUESTIONS:
        for name, chat in chats.items():
            print(f"{name}: {question}\n    {chat.reply(question)}")
    chats["alice"].correct("Oslo", "Bergen")
    print(f"alice, who has put it right: Where does Mia live?\n    {chats['alice'].reply('Where does Mia live?')}")
    receipt = chats["bob"].forget("Graz")
    print(f"bob forgets Graz: {len(receipt.notes)} passages; no trace left: {receipt.clean}")
    print(f"bob: Where do I live?\n    {chats['bob'].reply('Where do I live?')}")
    print(f"alice still lives in {next(fact.object for fact in chats['alice'].facts() if fact.relation == 'lives in')}")


if __name__ == "__main__":
    main(*sys.argv[1:])

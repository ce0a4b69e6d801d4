"""A chat service: one memory file, one model, a secret token for each of its users.

CTXPROC_TOKENS='{"a-long-secret": "alice"}' uvicorn --app-dir examples --factory service:create
curl -H 'X-Token: a-long-secret' --json '{"text": "I moved to Lyon in May."}' http://127.0.0.1:8000/chat
"""

from __future__ import annotations

import hmac
import json
import os
from functools import cache
from typing import Annotated

from fastapi import Body, Depends, FastAPI, Header, HTTPException
from fastapi.responses import JSONResponse, StreamingResponse

import ctxproc

Text = Annotated[str, Body(embed=True)]


def create(file: str = "service.ctxproc", llm: ctxproc.LLM | None = None) -> FastAPI:
    """The service; the environment holds the users by their tokens."""
    users = json.loads(os.environ["CTXPROC_TOKENS"])
    model = llm or ctxproc.BuiltinReader()
    app = FastAPI(title="ctxproc")

    @cache
    def chat_of(user: str) -> ctxproc.Chat:
        return ctxproc.Chat(ctxproc.Memory(file, user=user), model)

    def chat(x_token: Annotated[str, Header()] = "") -> ctxproc.Chat:
        for token, user in users.items():
            if hmac.compare_digest(token.encode(), x_token.encode()):
                return chat_of(user)
        raise HTTPException(401, "who are you? send your token as X-Token")

    @app.exception_handler(ctxproc.CtxprocError)
    async def refuse(_: object, error: ctxproc.CtxprocError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 400 if error.exit_code == 2 else 500)

    @app.post("/chat")
    async def reply(text: Text, mine: ctxproc.Chat = Depends(chat)) -> dict[str, object]:  # noqa: B008
        made = await mine.areply(text)
        return {"text": made.text, "recalled": [{"why": one.why, **one.item.to_json()} for one in made.recalled]}

    @app.post("/chat/stream")
    async def stream(text: Text, mine: ctxproc.Chat = Depends(chat)) -> StreamingResponse:  # noqa: B008
        return StreamingResponse(mine.astream(text), media_type="text/plain; charset=utf-8")

    @app.get("/facts")
    def facts(mine: ctxproc.Chat = Depends(chat)) -> list[dict[str, object]]:  # noqa: B008
        return [{"id": fact.id, "text": fact.text, "since": fact.since.isoformat()} for fact in mine.facts()]

    @app.delete("/memory")
    def forget(text: str, mine: ctxproc.Chat = Depends(chat)) -> dict[str, object]:  # noqa: B008
        return {"forgotten": len(mine.forget(text).notes)}

    return app

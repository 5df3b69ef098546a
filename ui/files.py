"""Files over HTTP: documents that come in, and conversations that go out as Markdown.

They have routes of their own, not Gradio's, whose files anybody who is signed in can reach.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Annotated
from urllib.parse import quote

from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from app.desk import Desk
from app.uploads import TooLarge, telling_full
from comet_core.errors import CometError
from ui.service import Service


def routes(service: Service, user: Callable[[Request], str | None]) -> APIRouter:
    """POST /upload and GET /conversations/ID.md; `user` is the name a request is signed in with."""
    router = APIRouter()

    @router.post("/upload")
    async def upload(request: Request, name: Annotated[str, Query(max_length=1000)]) -> Response:
        """The request's body is a file; it is in line for reading when this returns."""
        owner = service.owner(user(request))
        with tempfile.NamedTemporaryFile(dir=service.desk.folder) as file:
            try:
                await _receive(request, name, file, service.desk)
                job = await run_sync(service.desk.submit, owner, Path(file.name), name)
            except CometError as error:
                return JSONResponse({"detail": str(error)}, 400, {"Connection": "close"})
        return JSONResponse({"job": job.id}, 201)

    @router.get("/conversations/{conversation}.md")
    def export(request: Request, conversation: str) -> Response:
        library = service.library.as_owner(service.owner(user(request)))
        try:
            title = library.conversation(conversation).title or conversation
            markdown = library.export_markdown(library.conversation(conversation))
        except CometError as error:
            return JSONResponse({"detail": str(error)}, 404)
        name = "".join(c if c.isalnum() or c in " -_" else "_" for c in title)[:80].strip()
        disposition = f"attachment; filename*=UTF-8''{quote(name or 'conversation')}.md"
        return PlainTextResponse(
            markdown, headers={"Content-Disposition": disposition}, media_type="text/markdown"
        )

    return router


async def _receive(request: Request, name: str, file: IO[bytes], desk: Desk) -> None:
    """The request's body into a file, no further than the limits. Raises TooLarge or DiskFull."""
    limit = desk.limits.upload_bytes
    length = request.headers.get("content-length", "")
    expected = int(length) if length.isdecimal() else 0
    if expected > limit:
        raise TooLarge(name, limit)
    desk.check_space(name, expected)
    received = 0
    async for part in request.stream():
        received += len(part)
        if received > limit:
            raise TooLarge(name, limit)
        desk.check_space(name, len(part))  # others are sent at the same time
        await run_sync(_write, file, name, part)


def _write(file: IO[bytes], name: str, part: bytes) -> None:
    """Raises DiskFull."""
    with telling_full(name):
        file.write(part)
        file.flush()

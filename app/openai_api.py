"""The documents of a library behind OpenAI's chat API, each as a model named `comet/<document>`.

Made for one person's machine: without an API key only requests to a loopback address are answered;
request size, answer length and answers at a time have limits.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import anyio
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.concurrency import iterate_in_threadpool
from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from app.answering import Reply
from app.dialogue import NoQuestion, as_dialogue
from app.errors import AmbiguousDocument, EmptyQuestion, NotReadYet, UnknownDocument
from app.library import Library
from app.naming import names_of
from app.openai_schema import ChatRequest, error_object, model_object, usage_object
from comet_core.errors import CometError
from comet_core.generation import Sampling

log = logging.getLogger(__name__)

PREFIX = "comet/"


@dataclass(frozen=True)
class Limits:
    """request_bytes: of a request's body. answer_tokens: of the longest answer, whatever is asked
    for. answers: written at the same time. waiting: requests that wait for their turn; who comes
    beyond is told to come again.
    """

    request_bytes: int = 1 << 18
    answer_tokens: int = 1024
    answers: int = 4
    waiting: int = 32


class ApiError(Exception):
    """A failure with its HTTP status and OpenAI's code."""

    def __init__(
        self, status: int, message: str, code: str | None = None, param: str | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.code, self.param = status, code, param


class Turns:
    """Lets so many answers be written at a time; the others wait in line."""

    def __init__(self, limits: Limits) -> None:
        self._waiting = limits.waiting
        self._limiter = anyio.CapacityLimiter(limits.answers)

    async def take(self) -> Callable[[], None]:
        """Wait for a turn; returns what gives it back. Raises ApiError if too many wait."""
        statistics = self._limiter.statistics()
        if statistics.tasks_waiting >= self._waiting and not self._limiter.available_tokens:
            raise ApiError(
                429, "Too many questions are waiting; ask again in a moment.", "rate_limit_exceeded"
            )
        turn = object()
        await self._limiter.acquire_on_behalf_of(turn)
        return partial(self._limiter.release_on_behalf_of, turn)


def create_app(
    library: Library, *, api_key: str | None = None, limits: Limits = Limits()
) -> FastAPI:
    """The application; whatever else is served goes beside its `/v1`.

    api_key: demanded of every request to `/v1` as a bearer token, if there is one.
    """
    app = FastAPI(title="Comet Reader", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(_router(library, limits, Turns(limits), api_key), prefix="/v1")
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(CometError, _comet_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _defect)
    return app


def _router(library: Library, limits: Limits, turns: Turns, api_key: str | None) -> APIRouter:
    def authorize(request: Request) -> None:
        _authorize(api_key, request)

    router = APIRouter(dependencies=[Depends(authorize)])

    @router.get("/models")
    def models() -> dict[str, Any]:
        return {"object": "list", "data": _models(library)}

    @router.get("/models/{name:path}")
    def model(name: str) -> dict[str, Any]:
        document = library.find(_document_name(name))
        return model_object(name, int(document.created_at.timestamp()))

    @router.post("/chat/completions")
    async def chat(request: Request) -> Response:
        asked = _parsed(await _body(request, limits.request_bytes))
        completion = Completion(library, limits, asked)
        with ExitStack() as turn:
            turn.callback(await turns.take())
            answer = await run_sync(completion.begin)
            turn.callback(answer.close)
            if asked.stream:  # what fails from here on cannot have a status of its own
                return AnswerStream(completion.events(answer), turn.pop_all().close)
            return JSONResponse(await completion.whole(answer, request))

    return router


def _models(library: Library) -> list[dict[str, Any]]:
    documents = library.documents()
    names = names_of(documents)
    return [
        model_object(PREFIX + names[document.id], int(document.created_at.timestamp()))
        for document in documents
        if document.finished is not None
    ]


class Completion:
    """One request being answered."""

    def __init__(self, library: Library, limits: Limits, asked: ChatRequest) -> None:
        self._library = library
        self._asked = asked
        longest = asked.max_completion_tokens or asked.max_tokens or limits.answer_tokens
        self._sampling = Sampling(
            max_tokens=min(longest, limits.answer_tokens),
            temperature=asked.temperature or 0.0,
            top_p=1.0 if asked.top_p is None else asked.top_p,
            seed=asked.seed,
            stop=tuple(asked.stop),
        )
        self._head = {
            "id": f"chatcmpl-{uuid4().hex}",
            "created": int(time.time()),
            "model": asked.model,
        }

    def begin(self) -> Reply:
        """Find the memory and open it. Raises the `CometError`s of `Library.answer`."""
        self._source = self._library.source(_document_name(self._asked.model))
        dialogue = as_dialogue((m.role, m.text) for m in self._asked.messages)
        return self._library.answer(self._source, dialogue, self._sampling)

    async def whole(self, answer: Reply, request: Request) -> dict[str, Any]:
        """The answer in one piece; written no further once nobody waits for it."""
        text = ""
        async for piece in iterate_in_threadpool(answer):
            text += piece
            if await request.is_disconnected():
                break
        message = {"role": "assistant", "content": text}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [
                {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
            ],
            "usage": self._usage(answer),
        }

    async def events(self, answer: Reply) -> AsyncIterator[str]:
        """The answer as server-sent events."""
        yield self._chunk({"role": "assistant", "content": ""})
        async for piece in iterate_in_threadpool(answer):
            yield self._chunk({"content": piece})
        yield self._chunk({}, answer.finish)
        if self._asked.stream_options and self._asked.stream_options.include_usage:
            yield self._event({"choices": [], "usage": self._usage(answer)})
        yield "data: [DONE]\n\n"

    def _chunk(self, delta: dict[str, str], finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return self._event({"choices": [choice]})

    def _event(self, fields: dict[str, Any]) -> str:
        event = {**self._head, "object": "chat.completion.chunk", **fields}
        return f"data: {json.dumps(event)}\n\n"

    def _usage(self, answer: Reply) -> dict[str, Any]:
        return usage_object(self._source.tokens, answer.input_tokens, answer.output_tokens)


class AnswerStream(StreamingResponse):
    """Server-sent events of an answer; however they end, it is written no further and its turn is
    given back.
    """

    def __init__(self, events: AsyncIterator[str], end: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream")
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._end()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_foreign(request: Request) -> bool:
    """Whether a browser sent it for a page of another site."""
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != request.headers.get("host")


def _authorize(api_key: str | None, request: Request) -> None:
    """Raises ApiError. Without a key, a page that a browser was lured to under another host name
    must not reach the documents either, and no other site that it has open may ask for answers."""
    if api_key is None:
        if is_foreign(request) or not is_loopback(request.url.hostname or ""):
            raise ApiError(403, "Without an API key only this machine is answered.")
        return
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), api_key.encode())
    if scheme.lower() != "bearer" or not right:
        raise ApiError(401, "The API key is missing or wrong.", "invalid_api_key")


async def _body(request: Request, limit: int) -> bytes:
    """The body, read no further than the limit. Raises ApiError."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise ApiError(413, f"The request is larger than {limit:,} bytes.", "request_too_large")
    return bytes(body)


def _parsed(body: bytes) -> ChatRequest:
    try:
        return ChatRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or None
        message = first["msg"].removeprefix("Value error, ")
        raise ApiError(400, f"{where}: {message}" if where else message, None, where) from error


def _document_name(model: str) -> str:
    if not model.startswith(PREFIX):
        raise UnknownDocument(f'There is no model "{model}"; GET /v1/models lists those there are.')
    return model.removeprefix(PREFIX)


def _failure(
    status: int, message: str, code: str | None = None, param: str | None = None
) -> JSONResponse:
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    # Who sends what is too large is cut off, and not listened to any further.
    headers = {"Connection": "close"} if status == 413 else None
    return JSONResponse(error_object(message, kind, param, code), status, headers)


async def _api_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _failure(error.status, str(error), error.code, error.param)


async def _comet_error(_request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, UnknownDocument):
        return _failure(404, str(error), "model_not_found", "model")
    if isinstance(error, AmbiguousDocument | NotReadYet):
        return _failure(400, str(error), None, "model")
    if isinstance(error, EmptyQuestion | NoQuestion):
        return _failure(400, str(error), None, "messages")
    log.error("%s", error)
    return _failure(500, str(error))


async def _http_error(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return _failure(error.status_code, str(error.detail))


async def _defect(_request: Request, _error: Exception) -> JSONResponse:
    return _failure(500, "The server failed; its log says where.")

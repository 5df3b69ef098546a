"""Who may reach what over HTTP, decided before Gradio or any route sees a request.

Only the few routes the pages need are open. With accounts each of them but the sign-in page wants
a signed-in user, and a Gradio session (a name the browser makes up) belongs to who used it first.
Without accounts only this machine is answered. Knows nothing of documents; the pages check those.
"""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.openai_api import is_foreign, is_loopback
from ui import text
from ui.sessions import Sessions

API = "/v1/"  # has keys of its own
UPLOAD = "/upload"  # has limits of its own
GRADIO = "/gradio_api/"
PUBLIC = {"/login", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
PUBLIC_FOLDERS = ("/static/", "/assets/", "/svelte/")
PAGES = {"/", "/config", "/logout", UPLOAD}
PAGE_FOLDERS = ("/conversations/",)
EVENTS = {"queue/join", "queue/data", "cancel"}
OTHERS = {"info", "app_id", "login_check", "startup-events", "theme.css"}
HEARTBEAT = "heartbeat/"

BODY_BYTES = 1 << 20
SESSIONS = 50_000  # Gradio sessions whose users are known; the least recently used is forgotten

HEADERS = {
    # The pages need nothing from elsewhere, and what a document says cannot make them ask for it.
    b"content-security-policy": b"default-src 'self'; script-src 'self' 'unsafe-inline' "
    b"'unsafe-eval'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    b"font-src 'self' data:; worker-src 'self' blob:; base-uri 'self'; form-action 'self'; "
    b"frame-ancestors 'none'; object-src 'none'",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}


class Refused(Exception):
    """A request that is not let through, with its HTTP status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Guard:
    """ASGI middleware around the whole application; `sessions` is None where nobody signs in."""

    def __init__(self, app: ASGIApp, sessions: Sessions | None) -> None:
        self._app = app
        self._sessions = sessions
        self._users: OrderedDict[str, str] = OrderedDict()  # of Gradio sessions
        self._lock = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope.get("path", "").startswith(API):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":  # there are no web sockets
            await self._http(scope, receive, _with_headers(send))

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            refusal, receive = await self._checked(request)
        except Refused as refused:
            refusal = JSONResponse({"detail": str(refused)}, refused.status)
        await (refusal or self._app)(scope, receive, send)

    async def _checked(self, request: Request) -> tuple[Response | None, Receive]:
        """What is answered instead, if anything, and the request's body to read again."""
        path = request.url.path
        self._check_origin(request)
        if path in PUBLIC or path.startswith(PUBLIC_FOLDERS):
            return None, await _body(request)
        if not _is_served(path):
            raise Refused(404, text.NOT_SERVED)
        user = self._sessions.of(request) if self._sessions else ""
        if user is None:
            if path == "/" and request.method in ("GET", "HEAD"):
                return RedirectResponse("login", 303), request.receive
            raise Refused(401, text.SIGN_IN_FIRST)
        if path == UPLOAD:
            return None, request.receive
        receive = await _body(request)
        if self._sessions and (session := await _gradio_session(request, path)):
            self._claim(session, user)
        return None, receive

    def _check_origin(self, request: Request) -> None:
        """Other sites that a browser has open can do nothing here, whatever name they give us."""
        if self._sessions is None and not is_loopback(request.url.hostname or ""):
            raise Refused(403, text.ONLY_THIS_MACHINE)
        if request.method not in ("GET", "HEAD") and is_foreign(request):
            raise Refused(403, text.OTHER_SITE)

    def _claim(self, session: str, user: str) -> None:
        with self._lock:
            owner = self._users.setdefault(session, user)
            self._users.move_to_end(session)
            if len(self._users) > SESSIONS:
                self._users.popitem(last=False)
        if owner != user:
            raise Refused(403, text.NOT_YOURS)


def _is_served(path: str) -> bool:
    if path in PAGES or path.startswith(PAGE_FOLDERS):
        return True
    name = path.removeprefix(GRADIO)
    return name != path and (name in EVENTS | OTHERS or name.startswith(HEARTBEAT))


async def _body(request: Request) -> Receive:
    """Read the body, up to the limit; returns what gives it again. Raises Refused."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_BYTES:
            raise Refused(413, f"The request is larger than {BODY_BYTES:,} bytes.")
    request._body = bytes(body)
    given = False

    async def receive() -> Message:
        nonlocal given
        if given:
            return await request.receive()  # the disconnect, when it comes
        given = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return receive


async def _gradio_session(request: Request, path: str) -> str | None:
    """The session a Gradio request is about. Raises Refused for one that names none."""
    name = path.removeprefix(GRADIO)
    if name == path or name in OTHERS:
        return None
    if name.startswith(HEARTBEAT):
        return name.removeprefix(HEARTBEAT).strip("/")
    if request.method == "GET":
        session = request.query_params.get("session_hash")
    else:
        try:
            session = (await request.json()).get("session_hash")
        except (ValueError, AttributeError):
            session = None
    if not isinstance(session, str) or not session:
        raise Refused(400, text.NOT_SERVED)
    return session


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *HEADERS.items()]}
        await send(message)

    return sending

"""The sign-in page and its two routes; there are none where nobody signs in."""

from __future__ import annotations

from typing import Annotated

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ui.render import render, static
from ui.sessions import COOKIE, Sessions, TooManyLogins, WrongLogin

HASHES = 2  # passwords that are checked at the same time; each takes its memory


def routes(sessions: Sessions) -> APIRouter:
    """GET and POST /login, POST /logout."""
    router = APIRouter()
    limiter: list[CapacityLimiter] = []  # made where there is an event loop

    @router.get("/login")
    def page() -> HTMLResponse:
        return _page()

    @router.post("/login")
    async def sign_in(
        request: Request, name: Annotated[str, Form()] = "", password: Annotated[str, Form()] = ""
    ) -> Response:
        address = request.client.host if request.client else ""
        if not limiter:
            limiter.append(CapacityLimiter(HASHES))
        try:
            token = await run_sync(
                sessions.sign_in, name.strip(), password, address, limiter=limiter[0]
            )
        except (WrongLogin, TooManyLogins) as error:
            return _page(str(error), 429 if isinstance(error, TooManyLogins) else 401)
        response = RedirectResponse("./", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, token, httponly=True, samesite="lax", secure=secure)
        return response

    @router.post("/logout")
    def sign_out(request: Request) -> Response:
        sessions.sign_out(request.cookies.get(COOKIE, ""))
        response = RedirectResponse("login", 303)
        response.delete_cookie(COOKIE)
        return response

    return router


def _page(problem: str = "", status: int = 200) -> HTMLResponse:
    return HTMLResponse(render("login.html", problem=problem, css=static("comet.css")), status)

"""The web server's application: the pages, files and signing in at /, the chat API at /v1.

The chat API knows the documents of the command line only, those of nobody in particular: never
those of a user who signs in.
"""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from gradio import mount_gradio_app
from gradio.routes import App
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount

from app import openai_api
from app.desk import Desk
from app.library import Library
from app.users import Users
from ui import files, login, pages, text
from ui.guard import Guard
from ui.render import static
from ui.service import Service
from ui.sessions import Sessions
from ui.theme import theme


def create_app(
    library: Library,
    desk: Desk,
    *,
    users: Users | None = None,
    api_key: str | None = None,
    limits: openai_api.Limits = openai_api.Limits(),
) -> FastAPI:
    """The application. With `users` people sign in, and each sees their own documents only; the
    chat API then wants a key, or is closed.
    """
    sessions = Sessions(users) if users else None
    service = Service(library, desk, accounts=sessions is not None)

    def user(request: Request) -> str | None:
        return sessions.of(request) if sessions else ""

    if sessions and not api_key:
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        app.add_api_route("/v1/{path:path}", _closed, methods=["GET", "POST"])
    else:
        app = openai_api.create_app(library.as_owner(""), api_key=api_key, limits=limits)
    if sessions:
        app.include_router(login.routes(sessions))
    app.include_router(files.routes(service, user))
    mount_gradio_app(
        app,
        pages.build(service),
        path="/",
        auth_dependency=user if sessions else None,
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme(),
        # Not as css=, which Gradio rewrites, and takes selectors with commas in brackets apart.
        head=f"<style>{static('comet.css')}</style>",
    )
    for route in app.routes:
        if isinstance(route, Mount) and isinstance(route.app, App):
            route.app.state_holder = _NoSessions(route.app.state_holder)
    app.add_middleware(Guard, sessions=sessions)
    return app


class _NoSessions(StateHolder):
    """Gradio's sessions, of which none is kept: the pages hold nothing from one event to the next,
    and a session that is kept has a component more with almost every event.
    """

    def __init__(self, instead_of: StateHolder) -> None:
        super().__init__()
        self.set_blocks(instead_of.blocks)

    def __getitem__(self, session_id: str) -> SessionState:
        return SessionState(self.blocks)


def _closed() -> JSONResponse:
    return JSONResponse({"error": {"message": text.API_CLOSED}}, 403)

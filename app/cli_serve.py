"""The commands `serve` (OpenAI's chat API) and `mcp` (tools for agents)."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from app import console
from app.cli_context import Context
from comet_core.errors import CometError


class NeedsApiKey(CometError):
    """An address that other machines reach was chosen, without an API key."""


class AddressInUse(CometError):
    """The address or port cannot be listened on."""


def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine needs --api-key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="COMET_API_KEY", show_envvar=True, help="Demand this key of who connects."
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 1024,
    answers: Annotated[int, typer.Option(min=1, help="Answers written at the same time.")] = 4,
) -> None:
    """Serve the documents over OpenAI's chat API, each as a model named comet/DOCUMENT."""
    import uvicorn

    from app.library import Library
    from app.openai_api import Limits, create_app, is_loopback

    if not is_loopback(host) and not api_key:
        raise NeedsApiKey(f"Other machines reach {host}: choose a key for them with --api-key.")
    given: Context = context.obj
    with Library.open(settings=given.settings) as library, _listen(host, port) as listener:
        with console.waiting("Loading the model"):
            library.model  # noqa: B018  # now, and not at the first question
        limits = Limits(answer_tokens=max_tokens, answers=answers)
        app = create_app(library, api_key=api_key or None, limits=limits)
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
        shown = f"[{host}]" if ":" in host else host
        console.note(f"Listening on http://{shown}:{listener.getsockname()[1]}/v1 (Ctrl-C ends).")
        uvicorn.Server(config).run(sockets=[listener])


def mcp(
    context: typer.Context,
    folder: Annotated[
        list[Path] | None,
        typer.Option(help="Read new files below this folder; may be repeated; . if absent."),
    ] = None,
) -> None:
    """Serve the tools list_documents, ask_document and read_document to agents, over stdin and
    stdout (Model Context Protocol)."""
    from app.library import Library
    from app.mcp_server import create_server

    given: Context = context.obj
    with Library.open(settings=given.settings) as library:
        create_server(library, folder).run()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise AddressInUse(
            f"Cannot listen on {host} port {port} ({error}); choose another with --port."
        ) from error

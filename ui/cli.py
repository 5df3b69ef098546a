"""The whole command line: that of `app.cli`, and `serve`, which only the pages' package can offer.

This is what `comet-reader` runs: the pages know the application, never the other way.
"""

from __future__ import annotations

import os
import signal
import socket
from contextlib import closing
from typing import Annotated

import typer

from app import cli, console
from app.cli_context import Context
from comet_core.errors import CometError
from ui import text


class NeedsUsers(CometError):
    """An address that other machines reach was chosen without accounts, or there are none."""


class AddressInUse(CometError):
    """The address or port cannot be listened on."""


@cli.app.command()
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(help="Address to listen on; another than this machine needs --auth.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    auth: Annotated[
        bool, typer.Option("--auth", help="People sign in, each with documents of their own.")
    ] = False,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="COMET_API_KEY", show_envvar=True, help="Demand this key of who uses /v1."
        ),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(min=1, help="Longest answer of the API, in tokens.")
    ] = 1024,
    answers: Annotated[
        int, typer.Option(min=1, help="Answers the API writes at the same time.")
    ] = 4,
) -> None:
    """Serve the web chat, and the documents over OpenAI's chat API at /v1."""
    import uvicorn

    from app.desk import Desk
    from app.library import Library
    from app.openai_api import Limits, is_loopback

    if not is_loopback(host) and not auth:
        raise NeedsUsers(text.NEEDS_USERS.format(host=host))
    given: Context = context.obj
    with Library.open(settings=given.settings) as library, _listen(host, port) as listener:
        if auth and not library.users.names():
            raise NeedsUsers(text.NEEDS_A_USER)
        with console.waiting(text.LOADING):
            library.model  # noqa: B018  # now, and not at the first question
            create_app = _imported(given)
        with closing(Desk(library, given.settings.home.expanduser() / "uploads")) as desk:
            app = create_app(
                library,
                desk,
                users=library.users if auth else None,
                api_key=api_key or None,
                limits=Limits(answer_tokens=max_tokens, answers=answers),
            )
            config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=5)
            shown = f"[{host}]" if ":" in host else host
            url = f"http://{shown}:{listener.getsockname()[1]}"
            console.note((text.LISTENING_AUTH if auth else text.LISTENING).format(url=url))
            signal.signal(signal.SIGTERM, _end)  # uvicorn raises the signal again, to this
            uvicorn.Server(config).run(sockets=[listener])


def _end(number: int, _: object) -> None:
    """End as after an exception, so that everything is closed, with the exit code of a signal."""
    raise SystemExit(128 + number)


def main() -> None:
    """The entry point."""
    cli.main()


def _imported(given: Context):  # type: ignore[no-untyped-def]
    """`ui.server.create_app`; Gradio is told where to keep its files, and to keep no statistics."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_MAX_EVENTS"] = "1"  # of which it makes a summary after each
    os.environ["GRADIO_TEMP_DIR"] = str(given.settings.home.expanduser() / "web")
    from ui.server import create_app

    return create_app


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        raise AddressInUse(
            f"Cannot listen on {host} port {port} ({error}); choose another with --port."
        ) from error

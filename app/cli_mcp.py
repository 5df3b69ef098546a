"""The command `mcp`: tools for agents."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from app.cli_context import Context


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

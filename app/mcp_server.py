"""The tools of `app.tools` over the Model Context Protocol.

Only the protocol, by the official `mcp` package; a reading reports its progress, so that a client
that waits for a book knows that it is being read.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

from app.library import Library
from app.tools import DocumentInfo, DocumentTools, failing_with
from ingest.pipeline import Progress

INSTRUCTIONS = (
    "Comet Reader has read documents and answers questions from memory of them. "
    "list_documents names them, ask_document asks one, read_document reads a new file."
)


def create_server(library: Library, folders: Sequence[str | Path] | None = None) -> MCPServer:
    """A server of a library's tools; `run()` serves stdin and stdout.

    folders: where files may be read, as in `DocumentTools`.
    """
    server: MCPServer = MCPServer("comet-reader", instructions=INSTRUCTIONS, log_level="WARNING")
    tools = DocumentTools(library, folders)

    def read_document(path: str, context: Context) -> DocumentInfo:
        return tools.read(path, partial(_report, context))

    server.add_tool(failing_with(ToolError, tools.list_documents))
    server.add_tool(failing_with(ToolError, tools.ask_document))
    server.add_tool(failing_with(ToolError, read_document), description=tools.read_document.__doc__)
    return server


def _report(context: Context, progress: Progress) -> None:
    """Tell the client how many pages are read; called in a worker thread of the server."""
    anyio.from_thread.run(
        context.report_progress, progress.pages, progress.page_count, f"{progress.tokens:,} tokens"
    )

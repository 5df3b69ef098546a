"""The tools over the Model Context Protocol, tried with the official client."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from app.library import Library
from app.mcp_server import create_server
from app.settings import Settings
from app.tools import ANSWER_TOKENS
from comet_core.generation import Sampling

QUESTION = "How many ships were there?"


def text(result: Any) -> str:
    return "".join(part.text for part in result.content)


def test_an_mcp_client_lists_reads_and_asks(library: Library, book: Path) -> None:
    progress: list[tuple[float, float | None]] = []

    async def on_progress(done: float, total: float | None, _message: str | None) -> None:
        progress.append((done, total))

    async def talk() -> tuple[Any, ...]:
        async with Client(create_server(library, [book.parent])) as client:
            tools = (await client.list_tools()).tools
            read = await client.call_tool(
                "read_document", {"path": str(book)}, progress_callback=on_progress
            )
            listed = await client.call_tool("list_documents", {})
            asked = {"name": "harbour", "question": QUESTION}
            return tools, read, listed, await client.call_tool("ask_document", asked)

    tools, read, listed, answer = anyio.run(talk)
    assert [tool.name for tool in tools] == ["list_documents", "ask_document", "read_document"]
    assert all(tool.description for tool in tools)
    arguments = {tool.name: list(tool.input_schema["properties"]) for tool in tools}
    assert arguments["ask_document"] == ["name", "question"]
    assert arguments["read_document"] == ["path"]
    assert read.structured_content["name"] == "harbour"
    assert listed.structured_content["result"] == [read.structured_content]
    expected = library.ask("harbour", QUESTION, sampling=Sampling(ANSWER_TOKENS))
    assert text(answer) == "".join(expected).strip()
    assert len(progress) > 10
    assert all(total and done <= total for done, total in progress)


def test_an_mcp_client_is_told_what_went_wrong(books: Library, tmp_path: Path) -> None:
    calls: list[tuple[str, dict[str, str], str]] = [
        ("ask_document", {"name": "Persuasion", "question": QUESTION}, "no document"),
        ("read_document", {"path": "/etc/passwd"}, "may not be read"),
        ("ask_document", {"name": "harbour"}, "question"),
    ]

    async def talk() -> list[Any]:
        async with Client(create_server(books, [tmp_path])) as client:
            return [await client.call_tool(name, arguments) for name, arguments, _ in calls]

    for result, (_, _, part) in zip(anyio.run(talk), calls, strict=True):
        assert result.is_error
        assert part in text(result)


def test_the_command_talks_mcp_on_stdin_and_stdout(books: Library, settings: Settings) -> None:
    named = settings.model_dump(exclude_none=True).items()
    server = StdioServerParameters(
        command=sys.executable,
        args=["-c", "from app.cli import main; main()", "mcp"],
        env={f"COMET_{name.upper()}": str(value) for name, value in named},
        cwd=Path(__file__).parents[2],
    )

    async def talk() -> list[Any]:
        async with Client(server) as client:
            asked = {"name": "island", "question": QUESTION}
            return [
                await client.call_tool("list_documents", {}),
                await client.call_tool("ask_document", asked),
            ]

    listed, answer = anyio.run(talk)
    assert [d["name"] for d in listed.structured_content["result"]] == ["harbour", "island"]
    expected = books.ask("island", QUESTION, sampling=Sampling(ANSWER_TOKENS))
    assert text(answer) == "".join(expected).strip()

"""The agent's tools: what they say, what they may not do, and an agent that uses them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool

from app.library import Library
from app.tools import ANSWER_TOKENS, DocumentTools, OutsideFolders, make_tools
from comet_core.generation import Sampling

QUESTION = "How many ships were there?"


class Scripted(GenericFakeChatModel):
    """A model that calls tools as a script says, instead of thinking."""

    def bind_tools(self, tools: Sequence[Any], **_options: Any) -> Scripted:  # type: ignore[override]
        return self


def call(tool: str, **arguments: Any) -> AIMessage:
    request = {"name": tool, "args": arguments, "id": f"call-{tool}", "type": "tool_call"}
    return AIMessage("", tool_calls=[request])


def by_name(tools: list[BaseTool]) -> dict[str, BaseTool]:
    return {tool.name: tool for tool in tools}


def test_the_tools_say_what_they_take(books: Library) -> None:
    tools = by_name(make_tools(books))
    assert {name: list(tool.args) for name, tool in tools.items()} == {
        "list_documents": [],
        "ask_document": ["name", "question"],
        "read_document": ["path"],
    }
    assert all(tool.description for tool in tools.values())
    assert "list_documents" in tools["ask_document"].args["name"]["description"]


def test_listed_names_can_be_asked(books: Library) -> None:
    tools = by_name(make_tools(books))
    listed = tools["list_documents"].invoke({})
    assert [document["name"] for document in listed] == ["harbour", "island"]
    assert all(document["ready"] and document["tokens"] > 100 for document in listed)
    for document in listed:
        expected = books.ask(document["name"], QUESTION, sampling=Sampling(ANSWER_TOKENS))
        asked = {"name": document["name"], "question": QUESTION}
        assert tools["ask_document"].invoke(asked) == "".join(expected).strip()


def test_documents_of_one_title_are_named_apart(books: Library, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "harbour.txt").write_text("Another harbour, another coast. " * 20)
    books.ingest(tmp_path / "other" / "harbour.txt")
    tools = DocumentTools(books)
    names = [document["name"] for document in tools.list_documents()]
    assert len(set(names)) == 3
    assert {books.find(name).id for name in names} == {d.id for d in books.documents()}


def test_a_document_is_read_from_the_folders_that_are_allowed(
    library: Library, book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "inside.txt").write_text("Read me, I am allowed. " * 10)
    (allowed / "link.txt").symlink_to(book)
    tools = DocumentTools(library, [allowed])
    assert tools.read_document(str(allowed / "inside.txt"))["name"] == "inside"
    for path in (
        book,
        allowed / "link.txt",
        f"{allowed}/../{book.name}",
        "/etc/hostname",
        "~",
        "~nobody-here/a.txt",
        "a\0.txt",
    ):
        with pytest.raises(OutsideFolders, match="may not be read"):
            tools.read_document(str(path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert DocumentTools(library, ["~/allowed"]).read_document("~/allowed/inside.txt")["ready"]
    monkeypatch.chdir(allowed)
    assert DocumentTools(library).read_document("inside.txt")["ready"]
    with pytest.raises(OutsideFolders):
        DocumentTools(library).read_document("../harbour.txt")
    assert [document.title for document in library.documents()] == ["inside"]


def test_an_agent_reads_lists_and_asks(library: Library, book: Path) -> None:
    script = [
        call("read_document", path=str(book)),
        call("list_documents"),
        call("ask_document", name="harbour", question=QUESTION),
        AIMessage("There were many."),
    ]
    agent = create_agent(Scripted(messages=iter(script)), make_tools(library, [book.parent]))
    result = agent.invoke({"messages": [("user", "Read harbour.txt and count the ships.")]})
    read, listed, answer = (m for m in result["messages"] if isinstance(m, ToolMessage))
    info = json.loads(read.content)
    assert (info["name"], info["ready"]) == ("harbour", True)
    assert json.loads(listed.content) == [info]
    expected = library.ask("harbour", QUESTION, sampling=Sampling(ANSWER_TOKENS))
    assert answer.content == "".join(expected).strip()
    assert result["messages"][-1].content == "There were many."


def test_an_agent_is_told_what_went_wrong(books: Library, tmp_path: Path) -> None:
    (tmp_path / "picture.jpg").write_bytes(b"\xff\xd8\xff")
    script = [
        call("ask_document", name="Persuasion", question=QUESTION),
        call("ask_document", name="harbour", question=" "),
        call("read_document", path="/etc/passwd"),
        call("read_document", path=str(tmp_path / "picture.jpg")),
        AIMessage("I am sorry."),
    ]
    agent = create_agent(Scripted(messages=iter(script)), make_tools(books, [tmp_path]))
    result = agent.invoke({"messages": [("user", "Do what cannot be done.")]})
    told = [m for m in result["messages"] if isinstance(m, ToolMessage)]
    assert [message.status for message in told] == ["error"] * 4
    for message, part in zip(told, ("no document", "question", "may not", "jpg"), strict=True):
        assert part in str(message.content)

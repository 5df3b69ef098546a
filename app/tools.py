"""What an agent can do with a library: list the documents, ask one, read a new one.

Plain methods with their descriptions, and the LangChain tools made of them; `app.mcp_server` serves
the same. A failure is told to the agent in the sentence that a user would see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from app.library import Library
from app.naming import names_of
from app.tables import Document
from comet_core.errors import CometError

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from ingest.pipeline import Progress

ANSWER_TOKENS = 256


class OutsideFolders(CometError):
    """A file is in none of the folders that an agent may read from."""


class DocumentInfo(TypedDict):
    """A document, as an agent sees it; `name` is what the other tools take."""

    name: str
    title: str
    pages: int
    tokens: int
    ready: bool


class DocumentTools:
    """The tools on one library.

    folders: where `read_document` may read files, their subfolders included; the current directory
    if None. An agent follows what it is told, also by a document: it is given no way to files that
    the user did not mean.
    """

    def __init__(self, library: Library, folders: Sequence[str | Path] | None = None) -> None:
        self._library = library
        self._folders = [Path(folder).expanduser().resolve() for folder in folders or ["."]]

    def all(self) -> list[Callable[..., Any]]:
        """The methods that are tools."""
        return [self.list_documents, self.ask_document, self.read_document]

    def list_documents(self) -> list[DocumentInfo]:
        """List the documents that have been read, with the names to ask them by."""
        documents = self._library.documents()
        names = names_of(documents)
        return [_info(document, names) for document in documents]

    def ask_document(self, name: str, question: str) -> str:
        """Ask a question about one document that has been read; answered from memory of it.

        Args:
            name: The document's name, as list_documents gives it.
            question: One question in a whole sentence that stands by itself.
        """
        from comet_core.generation import Sampling

        sampling = Sampling(max_tokens=ANSWER_TOKENS)
        return "".join(self._library.ask(name, question, sampling=sampling)).strip()

    def read_document(self, path: str) -> DocumentInfo:
        """Read a file (PDF, EPUB, DOCX, HTML, Markdown or text) so that it can be asked; this can
        take minutes for a book, and does nothing for a file that has been read already.

        Args:
            path: The file, by its path.
        """
        return self.read(path)

    def read(
        self, path: str, on_progress: Callable[[Progress], None] | None = None
    ) -> DocumentInfo:
        """`read_document`, watched as `Library.ingest` tells. Raises OutsideFolders."""
        try:
            file = Path(path).expanduser().resolve()
        except (RuntimeError, ValueError):  # of a user that there is not; a NUL; a link to itself
            file = None
        if file is None or not any(file.is_relative_to(folder) for folder in self._folders):
            folders = ", ".join(map(str, self._folders))
            raise OutsideFolders(f"{path} may not be read; allowed are files below: {folders}.")
        document = self._library.ingest(file, on_progress=on_progress)
        return _info(document, names_of(self._library.documents()))


def make_tools(library: Library, folders: Sequence[str | Path] | None = None) -> list[BaseTool]:
    """The LangChain tools `list_documents`, `ask_document` and `read_document`.

    folders: as in `DocumentTools`.
    """
    from langchain_core.tools import StructuredTool, ToolException

    return [
        StructuredTool.from_function(
            failing_with(ToolException, tool), parse_docstring=True, handle_tool_error=True
        )
        for tool in DocumentTools(library, folders).all()
    ]


def failing_with(failure: type[Exception], tool: Callable[..., Any]) -> Callable[..., Any]:
    """The tool, its failures raised as what a framework shows to the agent."""

    @wraps(tool)
    def call(*arguments: Any, **named: Any) -> Any:
        try:
            return tool(*arguments, **named)
        except CometError as error:
            raise failure(str(error)) from error

    return call


def _info(document: Document, names: Mapping[str, str]) -> DocumentInfo:
    return DocumentInfo(
        name=names[document.id],
        title=document.title,
        pages=document.pages,
        tokens=document.tokens,
        ready=document.finished is not None,
    )

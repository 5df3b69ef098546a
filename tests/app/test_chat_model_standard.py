"""The standard suites of `langchain-tests`, on the real default model and a document it read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from app.chat_model import ChatComet
from app.library import Library

TEXT = "The harbour master of Port Ellery is Ada Finch. She keeps nine goats and a lighthouse. "


class OnTheDefaultModel:
    """What both suites are told. Tools, structured output and pictures are not supported, which
    they see for themselves; nor is another model for one call, since a memory belongs to one."""

    library: Library

    @pytest.fixture(scope="class", autouse=True)
    @staticmethod
    def _read(
        request: pytest.FixtureRequest, default_library: Library, tmp_path_factory: Any
    ) -> None:
        path: Path = tmp_path_factory.getbasetemp() / "ellery.txt"
        path.write_text(TEXT * 12)
        default_library.ingest(path)
        request.cls.library = default_library

    @property
    def chat_model_class(self) -> type[ChatComet]:
        return ChatComet

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"document": "ellery", "library": self.library}

    @property
    def supports_model_override(self) -> bool:
        return False

    @property
    def supported_usage_metadata_details(self) -> dict[Literal["invoke", "stream"], list[Any]]:
        return {"invoke": ["cache_read_input"], "stream": ["cache_read_input"]}

    def invoke_with_cache_read_input(self, *, stream: bool = False) -> AIMessage:
        model = ChatComet(**self.chat_model_params, max_tokens=12)
        if not stream:
            return model.invoke("Who is the harbour master?")
        first, *rest = model.stream("Who is the harbour master?")
        return sum(rest, first)


class TestUnit(OnTheDefaultModel, ChatModelUnitTests):
    pass


class TestIntegration(OnTheDefaultModel, ChatModelIntegrationTests):
    @property
    def standard_chat_model_params(self) -> dict[str, Any]:
        return {"max_tokens": 12}

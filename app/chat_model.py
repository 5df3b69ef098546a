"""LangChain models whose context is a document that was read: `ChatComet`, and `CometLLM`.

Only the form of LangChain: messages and options in, chunks with their metadata out. Answers come
from `app.library`; torch and the model are loaded at the first question.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel, generate_from_stream
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import InputTokenDetails, UsageMetadata
from langchain_core.outputs import ChatGenerationChunk, ChatResult, GenerationChunk, LLMResult
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app import sources
from app.answering import Reply
from app.dialogue import ASSISTANT, Dialogue, NotText, as_dialogue
from app.library import Library
from app.settings import Settings
from app.sources import Source
from comet_core.default_model import NAME
from comet_core.errors import CometError

if TYPE_CHECKING:
    from comet_core.generation import Sampling

PER_CALL = {"document", "temperature", "max_tokens", "top_p", "seed", "stop"}
"""Options that one call may have of its own, by an argument or by `bind`."""
_OF_SERVICES = {"api_key", "timeout", "max_retries", "streaming"}
"""Options of models behind a network: taken, as LangChain expects, and of no effect."""
_READABLE = {"text", "reasoning", "tool_call", "invalid_tool_call", "non_standard"}

CONFIG = ConfigDict(arbitrary_types_allowed=True, extra="forbid", protected_namespaces=())
"""For each class below: LangChain's bases would pass over an option with a misspelt name."""


class UnknownOption(CometError):
    """A call had an option that there is not."""


class _Comet(BaseModel):
    """The options that both models have, and how they ask."""

    model_config = CONFIG

    document: str | None = None
    """Title, file name or beginning of the id of a document that was read; None: the model
    has read nothing, and mostly says so."""
    snapshot: Path | None = None
    """A snapshot file to answer from instead (see `from_snapshot`)."""
    database: str | None = None
    """SQLAlchemy URL of the library; COMET_DATABASE_URL, or the default one, if absent."""
    model: str | None = None
    """Folder or hub id of the model; COMET_MODEL, or the built-in one, if absent."""
    device: str | None = None
    dtype: str | None = None
    temperature: float = Field(default=0.0, ge=0)
    max_tokens: int = Field(default=128, ge=1)
    top_p: float = Field(default=1.0, gt=0, le=1)
    seed: int | None = None
    stop: list[str] | None = None
    library: Library | None = Field(default=None, exclude=True, repr=False)
    """A library that is open already; without it, models of the same settings share one."""

    @model_validator(mode="before")
    @classmethod
    def _leave_out_options_of_services(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name not in _OF_SERVICES}

    @classmethod
    def from_snapshot(cls, path: str | Path, **options: Any) -> Self:
        """A model that answers from a file that `save_snapshot` wrote, without a library.

        Raises UnknownDocument or DamagedSnapshot if the file cannot be used.
        """
        from app.snapshot_files import open_snapshot

        open_snapshot(path)
        return cls(snapshot=Path(path), **options)

    def save_snapshot(self, path: str | Path) -> None:
        """Write the document's memory to a file that `from_snapshot` takes, on any machine that has
        the same model."""
        from app.snapshot_files import save_snapshot

        library = self._library()
        if self.document is None:
            raise UnknownOption("Name a document: without one there is no memory to save.")
        document = library.find(self.document)
        state = library.memory(document)
        save_snapshot(Path(path), state, library.model.spec, document.title)

    @property
    def model_name(self) -> str:
        """The name of the model that answers, as people know it."""
        return self.model or self._library().settings.model or NAME

    def get_token_ids(self, text: str) -> list[int]:
        """The tokens of a text, by the model's own tokenizer."""
        return self._library().model.prompt.text(text)

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        """All that an answer depends on but the messages: the key of LangChain's caches."""
        source = self._source()
        return {
            "model": self.model_name,
            "document": source.document_id,
            "snapshot": source.fingerprint,
            "memory": source.key,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": self.stop,
        }

    def _for_call(self, stop: list[str] | None, options: Mapping[str, Any]) -> Self:
        """This model with the options of one call. Raises UnknownOption."""
        given = dict(options)
        given.pop("stream", None)  # what LangChain decides by itself
        if unknown := sorted(given.keys() - PER_CALL):
            raise UnknownOption(
                f"{type(self).__name__} has no option '{unknown[0]}' for a call; "
                f"there are: {', '.join(sorted(PER_CALL))}."
            )
        if "document" in given:
            given["snapshot"] = None
        if stop is not None:
            given["stop"] = stop
        return self.model_copy(update=given)

    def _library(self) -> Library:
        if self.library is not None:
            return self.library
        given = {"database_url": self.database, "model": self.model}
        given |= {"device": self.device, "dtype": self.dtype}
        given = {name: value for name, value in given.items() if value is not None}
        with _opening:  # else each of those who come at once would load the model
            return _shared_library(Settings().model_copy(update=given))

    def _source(self) -> Source:
        library = self._library()
        if self.snapshot is not None:
            return sources.of_file(self.snapshot, lambda: library.model)
        return library.source(self.document)

    def _sampling(self) -> Sampling:
        from comet_core.generation import Sampling

        return Sampling(
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
            stop=tuple(stop for stop in self.stop or () if stop),
        )

    def _answer(self, dialogue: Dialogue) -> tuple[Reply, Callable[[], dict[str, Any]]]:
        """The answer, and what is to be told of it once it is written."""
        source = self._source()
        answer = self._library().answer(source, dialogue, self._sampling())

        def told() -> dict[str, Any]:
            return {
                "model_name": self.model_name,
                "fingerprint": source.fingerprint,
                "finish_reason": answer.finish,
                "remembered": answer.details["remembered"],
                "usage": _usage(source.tokens, answer),
            }

        return answer, told


class ChatComet(_Comet, BaseChatModel):
    """A chat model that has read a document, and answers from its memory of it.

        ChatComet(document="Emma", database="sqlite:///books.db")
        ChatComet.from_snapshot("emma.comet")
        ChatComet()  # no document

    Safe to use from many threads and tasks; `bind(document=...)` asks another document with the
    same model. It calls no tools; `app.tools` makes tools of it for models that do.
    """

    model_config = CONFIG

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[ChatGenerationChunk]:
        answer, told = self._for_call(stop, options)._answer(_dialogue(messages))
        with closing(answer):
            for piece in answer:
                yield ChatGenerationChunk(message=AIMessageChunk(content=piece))
        metadata = told()
        usage = metadata.pop("usage")
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=usage,
                response_metadata=metadata,
                chunk_position="last",
            )
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> ChatResult:
        return generate_from_stream(self._stream(messages, stop, **options))

    def _get_invocation_params(
        self, stop: list[str] | None = None, **options: Any
    ) -> dict[str, Any]:
        return self._for_call(stop, options).asdict()

    def _get_llm_string(self, stop: list[str] | None = None, **options: Any) -> str:
        # LangChain's own adds the call's options as they were given: the name of a document, say.
        return str(sorted(self._get_invocation_params(stop, **options).items()))

    @property
    def _llm_type(self) -> str:
        return "chat-comet"


class CometLLM(_Comet, LLM):
    """The same for completion-style chains: a prompt is a question, and text its answer."""

    model_config = CONFIG

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> Iterator[GenerationChunk]:
        answer, told = self._for_call(stop, options)._answer(as_dialogue([("user", prompt)]))
        with closing(answer):
            for piece in answer:
                yield GenerationChunk(text=piece)
        yield GenerationChunk(text="", generation_info=told())

    def _call(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **options: Any,
    ) -> str:
        return "".join(chunk.text for chunk in self._stream(prompt, stop, **options))

    # The cache of LangChain's completion models does not look at a call's own options: so a call
    # that has some is one of a model that has them.

    def generate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any
    ) -> LLMResult:
        one, rest = self._split(options)
        return LLM.generate(one, prompts, stop, *args, **rest)

    async def agenerate(
        self, prompts: list[str], stop: list[str] | None = None, *args: Any, **options: Any
    ) -> LLMResult:
        one, rest = self._split(options)
        return await LLM.agenerate(one, prompts, stop, *args, **rest)

    def _split(self, options: dict[str, Any]) -> tuple[Self, dict[str, Any]]:
        own = {name: options.pop(name) for name in PER_CALL & options.keys()}
        return self._for_call(None, own), options

    @property
    def _llm_type(self) -> str:
        return "comet"


_opening = Lock()


@cache
def _shared_library(settings: Settings) -> Library:
    return Library.open(settings=settings)


def _dialogue(messages: Sequence[BaseMessage]) -> Dialogue:
    """Raises EmptyQuestion, NoQuestion or NotText."""
    return as_dialogue(
        (ASSISTANT if message.type == "ai" else message.type, _text(message))
        for message in messages
    )


def _text(message: BaseMessage) -> str:
    kinds = {block["type"] for block in message.content_blocks} - _READABLE
    if kinds and message.type != "ai":
        raise NotText(f"Only text can be read, and a message has: {', '.join(sorted(kinds))}.")
    return str(message.text)


def _usage(document_tokens: int, answer: Reply) -> UsageMetadata:
    """The document counts as read from a cache: its memory stands for all its tokens."""
    read = document_tokens + answer.input_tokens
    return UsageMetadata(
        input_tokens=read,
        output_tokens=answer.output_tokens,
        total_tokens=read + answer.output_tokens,
        input_token_details=InputTokenDetails(cache_read=document_tokens),
    )

"""The shapes of OpenAI's chat API that the server takes and gives.

What a request may hold and cannot be done here is an error that names it; what has no bearing on
the answer (`user`, `metadata`, ...) is passed over.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator, model_validator

CANNOT: dict[str, tuple[Any, ...]] = {
    "tools": (None, []),
    "functions": (None, []),
    "n": (None, 1),
    "logprobs": (None, False),
    "audio": (None,),
    "response_format": (None, {"type": "text"}),
    "modalities": (None, ["text"]),
    "frequency_penalty": (None, 0),
    "presence_penalty": (None, 0),
    "logit_bias": (None, {}),
}
"""Parameters that are not supported, with the values that ask for nothing."""


class TextPart(BaseModel):
    """One part of a message; only text can be read."""

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[TextPart] | None = None

    @property
    def text(self) -> str:
        if self.content is None or isinstance(self.content, str):
            return self.content or ""
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The body of POST /v1/chat/completions."""

    model: str
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: list[str] = Field(default=[], max_length=4)

    @model_validator(mode="before")
    @classmethod
    def _only_what_can_be_done(cls, body: Any) -> Any:
        for name, harmless in CANNOT.items():
            if isinstance(body, dict) and body.get(name) not in harmless:
                raise ValueError(f"'{name}' is not supported by this server")
        return body

    @field_validator("stop", mode="before")
    @classmethod
    def _stop_as_list(cls, stop: Any) -> Any:
        stops = [stop] if isinstance(stop, str) else stop
        return [s for s in stops if s] if isinstance(stops, list) else stops or []


def model_object(name: str, created: int) -> dict[str, Any]:
    """A document as a model that can be chosen."""
    return {"id": name, "object": "model", "created": created, "owned_by": "comet-reader"}


def usage_object(document_tokens: int, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """Token counts; the document's are counted as cached, since its memory stands for them."""
    prompt = document_tokens + input_tokens
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output_tokens,
        "total_tokens": prompt + output_tokens,
        "prompt_tokens_details": {"cached_tokens": document_tokens},
    }


def error_object(message: str, kind: str, param: str | None, code: str | None) -> dict[str, Any]:
    """A failure, as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}

"""The OpenAI-compatible endpoint, over HTTP, with the official clients."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest
from langchain_openai import ChatOpenAI

from app.library import Library
from app.openai_api import Limits, create_app
from comet_core.generation import Sampling, Turn
from tests.app import patient
from tests.app.serving import serving

QUESTION = "How many ships were there?"
LIMITS = Limits(request_bytes=20_000, answer_tokens=40, answers=2, waiting=1)
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]


def client_of(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def url(books: Library) -> Iterator[str]:
    with serving(create_app(books, limits=LIMITS)) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with client_of(url) as client:
        yield client


def test_documents_are_models(client: openai.OpenAI, books: Library) -> None:
    models = client.models.list().data
    assert [model.id for model in models] == ["comet/harbour", "comet/island"]
    assert client.models.retrieve("comet/island") == models[1]
    with pytest.raises(openai.NotFoundError) as failure:
        client.models.retrieve("comet/Persuasion")
    assert failure.value.code == "model_not_found"


def test_an_answer_is_that_of_the_library(client: openai.OpenAI, books: Library) -> None:
    answer = client.chat.completions.create(model="comet/harbour", messages=ASKED, max_tokens=20)
    expected = books.ask("harbour", QUESTION, sampling=Sampling(max_tokens=20))
    assert answer.choices[0].message.content == "".join(expected)
    assert answer.choices[0].finish_reason == "length"
    assert (answer.model, answer.object) == ("comet/harbour", "chat.completion")
    read, prompt = books.find("harbour").tokens, len(books.model.prompt.question(QUESTION))
    assert answer.usage and answer.usage.prompt_tokens_details
    assert answer.usage.prompt_tokens == read + prompt
    assert answer.usage.prompt_tokens_details.cached_tokens == read
    assert answer.usage.completion_tokens == 20
    assert answer.usage.total_tokens == read + prompt + 20


def test_a_stream_gives_the_same_in_pieces(client: openai.OpenAI, books: Library) -> None:
    chunks = list(
        client.chat.completions.create(
            model="comet/harbour",
            messages=ASKED,
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    *pieces, last = chunks
    text = "".join(chunk.choices[0].delta.content or "" for chunk in pieces)
    assert text == "".join(books.ask("harbour", QUESTION, sampling=Sampling(max_tokens=20)))
    assert len(pieces) > 5
    assert [c.choices[0].finish_reason for c in pieces[-2:]] == [None, "length"]
    assert last.usage and last.usage.completion_tokens == 20
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_conversation_and_options_reach_the_model(client: openai.OpenAI, books: Library) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Who?"},
        {"role": "assistant", "content": "The master."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]
    sampled = client.chat.completions.create(
        model="comet/harbour", messages=messages, temperature=1.5, seed=3, top_p=0.9, max_tokens=9
    )
    sampling = Sampling(max_tokens=9, temperature=1.5, top_p=0.9, seed=3)
    history = [Turn("Be brief.\n\nWho?", "The master.")]
    expected = "".join(books.ask("harbour", QUESTION, history, sampling))
    assert sampled.choices[0].message.content == expected
    piece = expected[-3:]
    stopped = client.chat.completions.create(
        model="comet/harbour", messages=messages, temperature=1.5, seed=3, top_p=0.9, stop=piece,
        user="somebody",
    )  # fmt: skip
    assert stopped.choices[0].message.content == expected[: expected.index(piece)]
    assert stopped.choices[0].finish_reason == "stop"


def test_langchain_openai_talks_to_it(url: str, books: Library) -> None:
    model = ChatOpenAI(
        model="comet/island", base_url=f"{url}/v1", api_key="none", max_tokens=12, max_retries=0
    )
    expected = "".join(books.ask("island", QUESTION, sampling=Sampling(max_tokens=12)))
    answer = model.invoke(QUESTION)
    assert answer.text == expected
    read = books.find("island").tokens
    assert answer.usage_metadata["input_token_details"]["cache_read"] == read
    assert "".join(chunk.text for chunk in model.stream(QUESTION)) == expected


# Limits and failures


def failed(response: httpx.Response, status: int) -> dict[str, Any]:
    """The error of a response, which has OpenAI's form."""
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"]
    return error


def test_failures_have_the_form_of_openai(url: str) -> None:
    chat = f"{url}/v1/chat/completions"
    good = {"model": "comet/harbour", "messages": ASKED}

    def refused(status: int, **body: Any) -> dict[str, Any]:
        return failed(patient.post(chat, json={**good, **body}), status)

    assert refused(404, model="comet/Persuasion")["code"] == "model_not_found"
    assert refused(404, model="gpt-4o")["param"] == "model"
    assert refused(400, messages=[])["param"] == "messages"
    assert refused(400, messages=[*ASKED, {"role": "assistant", "content": "I?"}])
    assert refused(400, temperature=-1)["param"] == "temperature"
    assert refused(400, max_tokens=0)["param"] == "max_tokens"
    assert "'tools' is not supported" in refused(400, tools=[{"type": "function"}])["message"]
    assert "'n' is not supported" in refused(400, n=2)["message"]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert refused(400, messages=[{"role": "user", "content": [picture]}])
    assert refused(404, model="comet/Persuasion", stream=True)
    for body in (b"{", b"[]", b"\xff", b'{"model": 3}'):
        assert failed(patient.post(chat, content=body), 400)["type"] == "invalid_request_error"
    failed(patient.get(chat), 405)
    failed(patient.get(f"{url}/v1/embeddings"), 404)


def test_a_defect_shows_nothing_of_itself(books: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("secret path")

    monkeypatch.setattr(books, "documents", broken)
    with serving(create_app(books)) as url:
        error = failed(patient.get(f"{url}/v1/models"), 500)
    assert error["type"] == "server_error"
    assert "secret" not in error["message"]


def test_a_request_that_is_too_large_is_not_read(url: str) -> None:
    long: list[Any] = [{"role": "user", "content": "why " * 10_000}]
    body = {"model": "comet/harbour", "messages": long}
    chat = f"{url}/v1/chat/completions"
    assert failed(patient.post(chat, json=body), 413)["code"] == "request_too_large"

    def unannounced() -> Iterator[bytes]:
        for _ in range(500):
            yield b" " * 10_000

    try:
        response = patient.post(chat, content=unannounced())
    except httpx.TransportError:  # cut off while still sending
        return
    failed(response, 413)


def test_an_answer_is_never_longer_than_the_limit(client: openai.OpenAI) -> None:
    for asked in ({"max_tokens": 10**6}, {"max_completion_tokens": 10**6}, {}):
        answer = client.chat.completions.create(model="comet/harbour", messages=ASKED, **asked)
        assert answer.usage and answer.usage.completion_tokens <= LIMITS.answer_tokens
        if answer.choices[0].finish_reason == "length":
            assert answer.usage.completion_tokens == LIMITS.answer_tokens


def test_too_many_questions_are_told_to_come_again(books: Library) -> None:
    limits = Limits(answers=1, waiting=0, answer_tokens=10**9)
    steps: list[int] = []
    books.model.model.language_model.lm_head.register_forward_hook(lambda *_: steps.append(1))
    with serving(create_app(books, limits=limits)) as url, client_of(url) as client:

        def ask(**options: Any) -> Any:
            return client.chat.completions.create(
                model="comet/harbour", messages=ASKED, extra_body={"seed": 6}, **options
            )  # a seed whose answer is long

        first = ask(stream=True, temperature=2.0)
        next(iter(first))
        with pytest.raises(openai.RateLimitError) as failure:
            ask(max_tokens=3)
        assert failure.value.code == "rate_limit_exceeded"
        first.close()  # who leaves stops the answer and frees the turn
        answer = _soon(lambda: ask(max_tokens=3))
        assert answer.usage.completion_tokens == 3
        seen = len(steps)
        time.sleep(0.1)
        assert len(steps) == seen

        with pytest.raises(openai.APITimeoutError):  # the same for an answer in one piece
            ask(timeout=0.5, temperature=2.0)
        assert _soon(lambda: ask(max_tokens=3)).usage.completion_tokens == 3


def _soon(ask: Any) -> Any:
    for _ in range(200):
        try:
            return ask()
        except openai.RateLimitError:
            time.sleep(0.05)
    raise AssertionError("the turn was not given back")


# Who may ask


def test_a_key_is_demanded_where_there_is_one(books: Library) -> None:
    with serving(create_app(books, api_key="sésame")) as url:
        for key in ("wrong", "s", "sesame", "sésamee"):
            headers = {"Authorization": f"Bearer {key}".encode()}
            error = failed(patient.get(f"{url}/v1/models", headers=headers), 401)
            assert error["code"] == "invalid_api_key"
        failed(patient.get(f"{url}/v1/models"), 401)
        failed(patient.post(f"{url}/v1/chat/completions", content=b"{"), 401)
        right = {"Authorization": "Bearer sésame".encode()}
        assert patient.get(f"{url}/v1/models", headers=right).status_code == 200
    with serving(create_app(books, api_key="sesame")) as url, client_of(url, "sesame") as client:
        assert len(client.models.list().data) == 2


def test_without_a_key_only_this_machine_is_answered(url: str) -> None:
    for host in ("comet.example", "127.0.0.1.example:80", "192.168.1.7"):
        failed(patient.get(f"{url}/v1/models", headers={"Host": host}), 403)
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert patient.get(f"{url}/v1/models", headers={"Host": host}).status_code == 200

"""Somebody at the pages without a browser: the HTTP requests that Gradio's own would make."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

import httpx
from gradio_client.utils import apply_diff

from tests.app.patient import PATIENCE_S


@dataclass
class Shown:
    """What an event has shown: the last value or change of each component; notes that popped up;
    how many times something was shown on the way; and what was sent last.
    """

    outputs: list[Any]
    notes: list[str] = field(default_factory=list)
    steps: int = 0
    sent: list[Any] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All of it as one text, to look for words in."""
        return json.dumps([self.outputs, self.notes], ensure_ascii=False)


class Visitor:
    """A browser session, signed in if a name is given."""

    def __init__(self, url: str, name: str = "", password: str = "") -> None:
        self.http = httpx.Client(base_url=url, timeout=PATIENCE_S)
        self.session = uuid4().hex
        self._events: dict[str, dict[str, Any]] = {}
        if name:
            assert self.sign_in(name, password).status_code == 303

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.http.close()

    def sign_in(self, name: str, password: str) -> httpx.Response:
        return self.http.post("/login", data={"name": name, "password": password})

    def upload(self, path: Path, name: str | None = None) -> httpx.Response:
        return self.http.post(
            "/upload", params={"name": name or path.name}, content=path.read_bytes()
        )

    def event(self, event: str, *data: Any, about: Any = None, session: str = "") -> Shown:
        """Trigger an event by its API name; `about` is what the component says of it."""
        joined = self.join(event, *data, about=about, session=session)
        assert joined.status_code == 200, joined.text
        return self.follow(joined.json()["event_id"], session=session)[0]

    def join(self, event: str, *data: Any, about: Any = None, session: str = "") -> httpx.Response:
        body = {
            "data": list(data),
            "event_data": about,
            "fn_index": self._index(event),
            "session_hash": session or self.session,
            "trigger_id": None,
        }
        return self.http.post("/gradio_api/queue/join", json=body)

    def follow(self, *events: str, session: str = "") -> list[Shown]:
        """Wait for the end of all events of the session; returns what these have shown."""
        shown = {event: Shown([]) for event in events}
        params = {"session_hash": session or self.session}
        with self.http.stream("GET", "/gradio_api/queue/data", params=params) as stream:
            assert stream.status_code == 200
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data: ")) if line else {}
                if event := shown.get(message.get("event_id")):
                    _take(event, message)
        return list(shown.values())

    def _index(self, event: str) -> int:
        if not self._events:
            config = self.http.get("/config").json()
            self._events = {d["api_name"]: d for d in config["dependencies"]}
        return int(self._events[event]["id"])


def changed(output: Any) -> bool:
    """Whether an output is more than "as it was"."""
    return output not in (
        {"__type__": "update"},
        {"props": {"__type__": "update"}, "__type__": "update"},
    )


def _take(shown: Shown, message: dict[str, Any]) -> None:
    """Add what a message of the server says."""
    if message["msg"] == "log":
        shown.notes.append(message["log"])
    elif message["msg"] == "process_generating":
        shown.steps += 1
        sent = message["output"]["data"]
        if shown.sent:  # from the second on, differences are sent
            sent = [apply_diff(*pair) for pair in zip(shown.sent, sent, strict=True)]
        _show(shown, sent)
    elif message["msg"] == "process_completed":
        assert message["success"], message
        _show(shown, message["output"].get("data", []))


def _show(shown: Shown, sent: list[Any]) -> None:
    shown.sent = sent
    before = shown.outputs or sent
    shown.outputs = [new if changed(new) else old for old, new in zip(before, sent, strict=True)]

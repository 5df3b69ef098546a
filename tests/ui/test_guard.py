"""Who may reach what: every route there is, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Mount, Route

from app.desk import Desk
from tests.app import patient
from tests.app.serving import serving
from tests.ui.conftest import PASSWORDS, Site, site_of
from ui import sessions, text
from ui.guard import BODY_BYTES
from ui.server import create_app
from ui.sessions import PER_USER, TRIES, Sessions, TooManyLogins, WrongLogin

NOT_OURS = [
    "gradio_api/file=/etc/passwd",
    "gradio_api/file/etc/passwd",
    "gradio_api/upload",
    "gradio_api/upload_progress?upload_id=1",
    "gradio_api/proxy=http://127.0.0.1/",
    "gradio_api/deep_link?session_hash=a",
    "gradio_api/component_server",
    "gradio_api/run/library",
    "gradio_api/api/library",
    "gradio_api/call/library",
    "gradio_api/call/v2/library",
    "gradio_api/call/library/1",
    "gradio_api/stream/1",
    "gradio_api/process_recording",
    "gradio_api/runs",
    "gradio_api/openapi.json",
    "gradio_api/token",
    "gradio_api/dev/reload",
    "monitoring",
    "monitoring/summary",
    "docs",
    "openapi.json",
]


def refused(response: httpx.Response, status: int, sentence: str) -> None:
    assert response.status_code == status, response.text
    assert response.json() == {"detail": sentence}


# Without accounts


@pytest.mark.parametrize("host", ["comet.example", "192.168.1.7:80", "127.0.0.1.example"])
def test_only_this_machine_is_answered(site: Site, host: str) -> None:
    for path in ("/", "/config", "/theme.css", "/upload", "/gradio_api/queue/join"):
        refused(
            patient.get(f"{site.url}{path}", headers={"Host": host}), 403, text.ONLY_THIS_MACHINE
        )


def test_this_machine_has_several_names(site: Site) -> None:
    for host in ("localhost:8000", "127.0.0.1", "[::1]:8000"):
        assert patient.get(site.url, headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:1", "null"])
def test_other_sites_cannot_act(site: Site, origin: str) -> None:
    for path in ("/upload?name=a.txt", "/gradio_api/queue/join", "/gradio_api/cancel"):
        response = patient.post(f"{site.url}{path}", content=b"{}", headers={"Origin": origin})
        refused(response, 403, text.OTHER_SITE)
    assert site.desk.jobs("") == []
    asked = b'{"model": "comet/island", "messages": [{"role": "user", "content": "Who?"}]}'
    chat = f"{site.url}/v1/chat/completions"
    response = patient.post(chat, content=asked, headers={"Origin": origin})
    assert response.status_code == 403 and "only this machine" in response.text
    assert patient.post(chat, content=asked, headers={"Origin": site.url}).status_code != 403


@pytest.mark.parametrize("path", NOT_OURS)
def test_what_the_pages_do_not_need_is_closed(site: Site, path: str) -> None:
    for method in ("GET", "POST"):
        refused(patient.request(method, f"{site.url}/{path}"), 404, text.NOT_SERVED)


def test_pages_need_nothing_from_elsewhere(site: Site) -> None:
    response = patient.get(site.url)
    policy = response.headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "http" not in policy
    assert "googleapis" not in response.text
    theme = patient.get(f"{site.url}/theme.css").text
    assert "@import" not in theme
    assert "url(http" not in theme.replace("'", "").replace('"', "")


def test_a_request_has_a_limit(site: Site) -> None:
    url = f"{site.url}/gradio_api/queue/join"
    response = patient.post(url, content=b"x" * (BODY_BYTES + 1))
    assert response.status_code == 413


# With accounts


@pytest.fixture
def guarded(shared_site: Site) -> Site:
    return shared_site


def routes_of(app: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """All methods and paths there are."""
    for route in app.routes:
        if included := getattr(route, "original_router", None):
            yield from routes_of(included, prefix)
        elif isinstance(route, Mount):
            yield from routes_of(route.app, prefix + route.path)
        elif isinstance(route, APIRoute | Route):
            for method in sorted(route.methods or ()):
                yield method, prefix + route.path


def test_nobody_reaches_anything_without_signing_in(books: Any) -> None:
    for name, password in PASSWORDS.items():
        books.users.add(name, password)
    with closing(Desk(books, books.settings.home / "uploads")) as desk:
        app = create_app(books, desk, users=books.users)
        routes = sorted(set(routes_of(app)))
        assert len(routes) > 50
        with serving(app) as url, httpx.Client(base_url=url, timeout=patient.PATIENCE_S) as nobody:
            reached = {
                (method, path)
                for method, path in routes
                if nobody.request(method, path).status_code not in (303, 401, 403, 404)
            }
    assert {path.split("/")[1] for _, path in reached} == {
        "login", "theme.css", "robots.txt", "manifest.json", "favicon.ico",
    }  # fmt: skip


def test_the_front_page_leads_to_signing_in(guarded: Site) -> None:
    response = patient.get(guarded.url)
    assert (response.status_code, response.headers["location"]) == (303, "login")
    page = patient.get(f"{guarded.url}/login").text
    assert 'type="password"' in page
    assert "<script" not in page


def test_signing_in_and_out(guarded: Site) -> None:
    visitor = guarded.visitor()
    visitor.sign_in("anna", PASSWORDS["anna"])
    cookie = next(iter(visitor.http.cookies.jar))
    assert cookie.has_nonstandard_attr("HttpOnly")
    page = visitor.event("open")
    assert "<b>anna</b>" in page.outputs[0]
    token = visitor.http.cookies[sessions.COOKIE]
    assert visitor.http.post("/logout").status_code == 303
    again = {"Cookie": f"{sessions.COOKIE}={token}"}
    refused(patient.get(f"{guarded.url}/config", headers=again), 401, text.SIGN_IN_FIRST)


def test_a_cookie_is_for_https_where_that_is_spoken(guarded: Site) -> None:
    form = {"name": "anna", "password": PASSWORDS["anna"]}
    for scheme, secure in (("http", False), ("https", True)):
        headers = {"X-Forwarded-Proto": scheme}
        cookie = patient.post(f"{guarded.url}/login", data=form, headers=headers).headers
        assert ("Secure" in cookie["set-cookie"]) is secure
        assert "SameSite=lax" in cookie["set-cookie"]


@pytest.mark.parametrize(
    ("name", "password"),
    [("anna", "wrong"), ("anna", PASSWORDS["bert"]), ("", ""), ("carl", "x"), ("ANNA'--", "x")],
)
def test_a_wrong_password_is_told_and_leads_nowhere(
    guarded: Site, name: str, password: str
) -> None:
    response = guarded.visitor().sign_in(name, password)
    assert response.status_code == 401
    assert text.WRONG_LOGIN in response.text
    assert "set-cookie" not in response.headers


def test_a_made_up_cookie_is_nobodys(guarded: Site) -> None:
    for token in ("", "x", "anna", "../", "a" * 5000):
        headers = {"Cookie": f"{sessions.COOKIE}={token}"}
        refused(patient.get(f"{guarded.url}/config", headers=headers), 401, text.SIGN_IN_FIRST)


def test_other_sites_cannot_sign_in_or_act(guarded: Site) -> None:
    visitor = guarded.visitor("anna")
    for path in ("/login", "/logout", "/upload?name=a.txt", "/gradio_api/queue/join"):
        response = visitor.http.post(path, headers={"Origin": "https://evil.example"})
        refused(response, 403, text.OTHER_SITE)


def test_a_session_belongs_to_who_used_it_first(guarded: Site) -> None:
    anna, bert = guarded.visitor("anna"), guarded.visitor("bert")
    anna.event("open")
    assert bert.join("open").status_code == 200
    refused(bert.join("open", session=anna.session), 403, text.NOT_YOURS)
    get = bert.http.get
    query = {"session_hash": anna.session}
    refused(get("/gradio_api/queue/data", params=query), 403, text.NOT_YOURS)
    refused(get(f"/gradio_api/heartbeat/{anna.session}"), 403, text.NOT_YOURS)
    stop = {"session_hash": anna.session, "fn_index": 0, "event_id": "x"}
    refused(bert.http.post("/gradio_api/cancel", json=stop), 403, text.NOT_YOURS)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"nonsense", b'{"session_hash": 7}'])
def test_a_request_that_names_no_session_is_refused(guarded: Site, body: bytes) -> None:
    visitor = guarded.visitor("anna")
    assert visitor.http.post("/gradio_api/queue/join", content=body).status_code == 400
    assert visitor.http.get("/gradio_api/queue/data").status_code == 400


def test_the_chat_api_is_closed_without_a_key(guarded: Site) -> None:
    for request in (patient.get, patient.post):
        response = request(f"{guarded.url}/v1/models")
        assert response.status_code == 403
        assert text.API_CLOSED in response.text
    assert guarded.visitor("anna").http.get("/v1/models").status_code == 403


def test_the_chat_api_has_nobodys_documents_only(books: Any, tmp_path: Any) -> None:
    books.users.add("anna", PASSWORDS["anna"])
    (tmp_path / "secret.txt").write_text("The secret of Anna is kept in a drawer. " * 20)
    books.as_owner("anna").ingest(tmp_path / "secret.txt")
    with site_of(books, users=books.users, api_key="sesame") as site:
        key = {"Authorization": "Bearer sesame"}
        assert patient.get(f"{site.url}/v1/models").status_code == 401
        models = patient.get(f"{site.url}/v1/models", headers=key).json()["data"]
        assert [model["id"] for model in models] == ["comet/harbour", "comet/island"]
        asked = {"model": "comet/secret", "messages": [{"role": "user", "content": "What?"}]}
        answer = patient.post(f"{site.url}/v1/chat/completions", headers=key, json=asked)
        assert answer.status_code == 404


# Sessions by themselves


def test_too_many_tries_have_to_wait(shared_site: Site) -> None:
    for _ in range(TRIES):
        assert shared_site.visitor().sign_in("anna", "wrong").status_code == 401
    response = shared_site.visitor().sign_in("anna", PASSWORDS["anna"])
    assert response.status_code == 429
    assert text.TOO_MANY_LOGINS in response.text
    assert shared_site.visitor().sign_in("bert", PASSWORDS["bert"]).status_code == 303


def test_who_is_removed_is_out(shared_site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "RECHECK_S", -1.0)
    anna = shared_site.visitor("anna")
    assert anna.http.get("/config").status_code == 200
    shared_site.library.remove_user("anna")
    refused(anna.http.get("/config"), 401, text.SIGN_IN_FIRST)


def test_a_name_that_is_given_again_is_somebody_else(
    shared_site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "RECHECK_S", -1.0)
    anna = shared_site.visitor("anna")
    assert anna.http.get("/config").status_code == 200
    shared_site.library.remove_user("anna")
    shared_site.library.users.add("anna", PASSWORDS["bert"])
    refused(anna.http.get("/config"), 401, text.SIGN_IN_FIRST)


def test_sessions_end(books: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    books.users.add("anna", PASSWORDS["anna"])
    signed_in = Sessions(books.users)
    tokens = [signed_in.sign_in("anna", PASSWORDS["anna"]) for _ in range(PER_USER + 1)]
    assert [signed_in.user(token) for token in tokens] == [None, *["anna"] * PER_USER]
    monkeypatch.setattr(sessions, "IDLE_S", -1.0)
    assert signed_in.user(tokens[-1]) is None


def test_failures_are_of_a_name_and_an_address(books: Any) -> None:
    books.users.add("anna", PASSWORDS["anna"])
    signed_in = Sessions(books.users)
    for _ in range(TRIES):
        with pytest.raises(WrongLogin):
            signed_in.sign_in("anna", "wrong", "192.0.2.1")
    with pytest.raises(TooManyLogins):
        signed_in.sign_in("anna", PASSWORDS["anna"], "192.0.2.1")
    assert signed_in.sign_in("anna", PASSWORDS["anna"], "192.0.2.2")

"""Fixtures of the web pages: the real application behind a real server, on a tiny model; and a real
browser, Debian's Chromium.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from app.desk import Desk, Job
from app.library import Library
from app.uploads import Limits
from tests.app.conftest import book, books, books_database, run, settings  # noqa: F401
from tests.app.patient import PATIENCE_S
from tests.app.serving import serving
from tests.ui.pages import PATIENCE_MS, WIDE
from tests.ui.visitor import Visitor
from ui import cli
from ui.server import create_app

assert cli  # adds its command to those of `app.cli`, which `run` runs
PASSWORDS = {"anna": "correct horse battery", "bert": "staple of the library"}
SMALL = Limits(upload_bytes=200_000, uploads_waiting=3, free_bytes=1, question_characters=200)
CHROMIUM = Path("/usr/bin/chromium")
OPTIONS = [
    f"--{option}"
    for option in (
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
    )
]


@dataclass
class Site:
    """A server and what is behind it."""

    url: str
    library: Library
    desk: Desk
    open_visitors: list[Visitor]

    def visitor(self, name: str = "") -> Visitor:
        """Somebody new at the pages, signed in if a name is given."""
        visitor = Visitor(self.url, name, PASSWORDS.get(name, ""))
        self.open_visitors.append(visitor)
        return visitor

    def read(self, owner: str = "") -> list[Job]:
        """Wait until all that was sent is read; returns the jobs."""
        return wait(lambda: all_ended(self.desk.jobs(owner)))


@contextmanager
def site_of(library: Library, limits: Limits = SMALL, **options: Any) -> Iterator[Site]:
    """The pages of a library, until the end of a `with` statement."""
    folder = library.settings.home / "uploads"
    with closing(Desk(library, folder, limits)) as desk:
        app = create_app(library, desk, **options)
        with serving(app) as url:
            site = Site(url, library, desk, [])
            try:
                yield site
            finally:
                for visitor in site.open_visitors:
                    visitor.http.close()


@pytest.fixture
def site(books: Library) -> Iterator[Site]:  # noqa: F811
    """Without accounts, and with two documents, "harbour" and "island"."""
    with site_of(books) as site:
        yield site


@pytest.fixture
def shared_site(books: Library) -> Iterator[Site]:  # noqa: F811
    """With accounts for anna and bert, who have no documents; the two there are are nobody's."""
    for name, password in PASSWORDS.items():
        books.users.add(name, password)
    with site_of(books, users=books.users) as site:
        yield site


def all_ended(jobs: list[Job]) -> list[Job]:
    """The jobs, if all have ended."""
    return jobs if all(job.state.ended for job in jobs) else []


def wait(condition: Callable[[], Any], patience: float = PATIENCE_S) -> Any:
    """What a condition gives once it holds."""
    end = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip(f"no {CHROMIUM}; install Debian's package chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """Somebody's browser, which talks to our server only and has nothing to complain of."""
    context = browser.new_context(viewport=WIDE, locale="en-US", accept_downloads=True)
    context.set_default_timeout(PATIENCE_MS)
    asked: set[str] = set()
    problems: list[str] = []
    context.on("request", lambda request: asked.add(request.url.split("/")[2]))
    context.on("weberror", lambda error: problems.append(str(error.error)))
    yield context
    assert {host.split(":")[0] for host in asked} <= {"127.0.0.1", ""}
    assert problems == []
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()

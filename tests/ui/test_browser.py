"""The pages in a real browser: Debian's Chromium, driven by Playwright.

The first test is a whole visit to a server of its own with the real default model; it also makes
the screenshots of the documentation if COMET_SCREENSHOTS is set. The others look at single things
on a tiny model. Nothing is waited for but what is to be seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from app.library import Library
from app.settings import Settings
from tests.app.patient import PATIENCE_S
from tests.conftest import ROOT
from tests.ui.conftest import PASSWORDS, Site
from tests.ui.test_cli import server
from ui import text

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
PDF, EPUB = (ROOT / "samples" / f"the-light-on-marrow-rock.{kind}" for kind in ("pdf", "epub"))
SETTLED, ACCESSIBLE = (
    (Path(__file__).parent / name).read_text() for name in ("settled.js", "accessible.js")
)
IMAGES = ROOT / "docs" / "images"
PATIENCE_MS = PATIENCE_S * 1000
READING_MS = 30 * 60 * 1000.0  # a whole book, on a machine that is busy with other things
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
QUESTIONS = (
    "What is the inventory number of the door key?",
    "Who was the first curator of the museum?",
)
EVIL = "<img src=x onerror='window.hacked = 1'>"

expect.set_options(timeout=PATIENCE_MS)


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


class Pages:
    """What a person sees and does, in their words."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def open(self, url: str) -> None:
        self.page.goto(url)
        expect(self.page.get_by_role("heading", name=text.DOCUMENTS)).to_be_visible()

    def sign_in(self, url: str, name: str, password: str) -> None:
        self.page.goto(url)
        self.page.get_by_label(text.USER).fill(name)
        self.page.get_by_label(text.PASSWORD).fill(password)
        self.page.get_by_role("button", name=text.SIGN_IN).click()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name).click()

    def send(self, *files: Path | dict[str, Any]) -> None:
        self.page.locator(".comet-drop input").set_input_files(list(files))  # type: ignore[arg-type]

    def job(self, name: str) -> Locator:
        return self.page.locator(".job", has_text=name)

    def row(self, name: str) -> Locator:
        return self.page.locator(".comet-documents tbody tr", has_text=name)

    @property
    def question(self) -> Locator:
        return self.page.get_by_label(text.QUESTION)

    @property
    def answers(self) -> Locator:
        return self.page.locator("[data-testid=bot]")

    @property
    def status(self) -> Locator:
        return self.page.locator(".comet-status")

    @property
    def stop(self) -> Locator:
        return self.page.locator("#chat-stop")

    def settled(self) -> None:
        """Wait until the chat page comes to rest: what is pressed while it draws itself is lost."""
        self.page.evaluate(SETTLED)

    def ask(self, question: str) -> None:
        expect(self.question).to_be_visible()
        self.settled()
        self.question.fill(question)
        self.question.press("Enter")

    def answered(self) -> None:
        """Wait for the end of an answer."""
        expect(self.page.locator("#chat-send")).to_be_visible()
        expect(self.status).to_contain_text("Resumed from a memory of")


def percent(bar: Locator) -> int:
    return int(bar.get_attribute("aria-valuenow") or 0)


def photograph(page: Page, name: str) -> None:
    """A page as it is, in the three ways it can look, if the documentation wants it."""
    if not os.environ.get("COMET_SCREENSHOTS"):
        return
    IMAGES.mkdir(exist_ok=True)
    for kind, scheme, size in (
        ("light", "light", WIDE),
        ("dark", "dark", WIDE),
        ("phone", "light", PHONE),
    ):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.set_viewport_size(size)  # type: ignore[arg-type]
        page.wait_for_timeout(1500)  # plots draw themselves anew
        page.screenshot(path=IMAGES / f"{name}-{kind}.png", full_page=kind != "phone")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_a_visit_with_the_real_model(context: BrowserContext, tmp_path: Path) -> None:
    settings = Settings().model_copy(update={"database_url": f"sqlite:///{tmp_path / 'books.db'}"})
    with Library.open(settings=settings) as library:
        for name, password in PASSWORDS.items():
            library.users.add(name, password)
    with server(settings, "--auth") as (url, _):
        visit(context.new_page(), url)


def visit(page: Page, url: str) -> None:
    anna = Pages(page)
    anna.sign_in(url, "anna", "wrong password")
    expect(page.get_by_role("alert")).to_have_text(text.WRONG_LOGIN)
    photograph(page, "login")
    anna.sign_in(url, "anna", PASSWORDS["anna"])
    expect(page.get_by_text(f"{text.SIGNED_IN} anna")).to_be_visible()

    anna.send(PDF, EPUB)
    bar = anna.job(PDF.name).get_by_role("progressbar")
    expect(anna.job(PDF.name)).to_contain_text("tokens/s", timeout=READING_MS)
    expect(anna.job(EPUB.name)).to_contain_text(text.WAITING)
    before = percent(bar)
    page.reload()
    expect(bar).to_be_visible()
    assert percent(bar) >= before
    expect(anna.job(PDF.name)).to_contain_text(": read ", timeout=READING_MS)
    expect(anna.row(PDF.name)).to_contain_text(text.READY)

    expect(anna.job(EPUB.name)).to_contain_text("tokens/s", timeout=READING_MS)
    photograph(page, "library")
    anna.job(EPUB.name).get_by_role("button", name=text.STOP).click()
    expect(anna.job(EPUB.name)).to_contain_text("was stopped; what was read is kept")
    anna.job(EPUB.name).get_by_role("button", name=text.DISMISS).click()
    expect(anna.job(EPUB.name)).to_have_count(0)

    anna.row(PDF.name).get_by_role("button", name=text.ASK).click()
    examples = page.locator(".comet-examples button:visible")
    expect(examples).to_have_count(3)
    seen = watch_answers(page)
    examples.first.click()
    expect(anna.stop).to_be_visible()
    anna.answered()
    texts = seen()
    assert len(texts) >= 2, "the answer came in one piece"
    assert all(b.startswith(a) for a, b in pairwise(texts))
    expect(examples).to_have_count(0)

    page.get_by_role("button", name=text.NEW_CONVERSATION).click()
    expect(anna.answers).to_have_count(0)
    for count, question in enumerate(QUESTIONS, 1):
        anna.ask(question)
        expect(anna.answers).to_have_count(count)
        anna.answered()
    photograph(page, "chat")

    stopped(anna)
    asked_again(anna)
    kept(anna)

    anna.tab(text.MEMORY)
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    expect(page.get_by_text("in each of the model's 30 layers")).to_be_visible()
    photograph(page, "memory")

    anna.tab(text.LIBRARY)
    row = anna.row(PDF.name)
    row.get_by_role("button", name=text.FORGET).click()
    page.get_by_role("dialog").get_by_role("button", name=text.KEEP).click()
    expect(row).to_be_visible()
    row.get_by_role("button", name=text.FORGET).click()
    page.get_by_role("dialog").get_by_role("button", name=text.FORGET).click()
    expect(row).to_have_count(0)
    anna.job(PDF.name).get_by_role("button", name=text.DISMISS).click()
    anna.send(PDF)
    expect(anna.job(PDF.name)).to_contain_text("tokens/s", timeout=READING_MS)
    expect(row).to_contain_text(text.READING)

    page.get_by_role("button", name=text.SIGN_OUT).click()
    bert = Pages(page)
    bert.sign_in(url, "bert", PASSWORDS["bert"])
    expect(page.get_by_text(f"{text.SIGNED_IN} bert")).to_be_visible()
    expect(page.get_by_text(text.NO_DOCUMENTS)).to_be_visible()
    expect(page.locator(".job")).to_have_count(0)
    bert.tab(text.CHAT)
    expect(page.get_by_text(text.CHAT_WITHOUT_DOCUMENT)).to_be_visible()


def watch_answers(page: Page) -> Any:
    """From now on, note each different text of the last answer; returns what gives them."""
    page.evaluate(
        """() => {
            window.seen = [];
            const look = () => {
                const answers = document.querySelectorAll("[data-testid=bot] .message-content");
                const words = answers.length ? answers[answers.length - 1].textContent : "";
                if (words && window.seen.at(-1) !== words) window.seen.push(words);
            };
            new MutationObserver(look).observe(
                document.body, { subtree: true, childList: true, characterData: true });
        }"""
    )
    return lambda: page.evaluate("window.seen")


def stopped(visitor: Pages) -> None:
    """Stop an answer; it may be too quick for that now and then."""
    visitor.page.evaluate(
        """() => new MutationObserver(() =>
            document.querySelector("#chat-stop")?.click()
        ).observe(document.querySelector(".comet-ask"), { subtree: true, childList: true })"""
    )
    for attempt in range(5):
        visitor.ask(f"Tell the whole story of the lighthouse, please, for the {attempt + 1}. time.")
        expect(visitor.stop).to_be_visible()
        visitor.answered()
        if text.STOPPED in visitor.status.inner_text():
            break
    expect(visitor.status).to_contain_text(text.STOPPED)
    visitor.page.reload()
    visitor.tab(text.CHAT)
    expect(visitor.status).to_contain_text(text.STOPPED)


def asked_again(visitor: Pages) -> None:
    """An answer anew, and a question in other words."""
    page = visitor.page
    questions = page.locator("[data-testid=user]")
    visitor.settled()
    count = questions.count()
    page.get_by_role("button", name="Retry").last.click()
    expect(visitor.stop).to_be_visible()
    visitor.answered()
    expect(questions).to_have_count(count)
    visitor.settled()
    page.get_by_role("button", name="Edit").first.click()
    box = page.locator("#chat-messages textarea")
    box.fill("Who kept the light on Marrow Rock?")
    page.get_by_role("button", name="Submit").click()
    expect(visitor.stop).to_be_visible()
    visitor.answered()
    expect(questions).to_have_count(1)
    expect(questions).to_contain_text("Who kept the light on Marrow Rock?")


def kept(visitor: Pages) -> None:
    """A name, a file, a new conversation, and the old one again; then it is deleted."""
    page = visitor.page
    conversations = page.locator("#chat-conversations")
    page.get_by_role("button", name=text.MANAGE).click()
    page.get_by_label(text.CONVERSATION_NAME).fill("The keepers")
    page.get_by_role("button", name=text.RENAME).click()
    expect(conversations.get_by_label("The keepers")).to_be_checked()
    with page.expect_download() as downloading:
        page.get_by_role("link", name=text.EXPORT).click()
    assert downloading.value.suggested_filename == "The keepers.md"
    assert "Who kept the light" in Path(downloading.value.path()).read_text()
    page.get_by_role("button", name=text.NEW_CONVERSATION).click()
    expect(page.locator("[data-testid=user]")).to_have_count(0)
    conversations.get_by_text("The keepers").click()
    expect(page.locator("[data-testid=user]")).to_have_count(1)
    expect(page.locator(".toast-body")).to_have_count(0)  # notes go by themselves


# Single things, on a tiny model


def test_a_document_is_data(site: Site, page: Page) -> None:
    """In no place of the pages is a title, a name or a question HTML, a script or a template."""
    evil = f"{EVIL} `${{window.hacked = 2}}` {{{{value}}}}"
    html = f"<title>{evil.replace('<', '&lt;')}</title><p>{'Port Ellery is a harbour. ' * 60}"
    visitor = Pages(page)
    visitor.open(site.url)
    visitor.send(
        {"name": f"{EVIL}.html", "mimeType": "text/html", "buffer": html.encode()},
        {"name": f"{EVIL}.zip", "mimeType": "text/html", "buffer": b"PK"},
    )
    expect(visitor.job(f"{EVIL}.html")).to_contain_text(": read ")
    expect(visitor.job(f"{EVIL}.zip")).to_contain_text("is of an unknown format")
    row = visitor.row(f"{EVIL}.html")
    expect(row.locator(".title")).to_have_text(evil)
    row.get_by_role("button", name=text.ASK).click()
    visitor.ask(evil)
    visitor.answered()
    expect(page.locator("[data-testid=user] .message-content")).to_have_text(evil)
    page.get_by_role("button", name=text.MANAGE).click()
    visitor.tab(text.MEMORY)
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    visitor.tab(text.LIBRARY)
    row.get_by_role("button", name=text.FORGET).click()
    expect(page.get_by_role("dialog")).to_contain_text(evil)
    page.get_by_role("dialog").get_by_role("button", name=text.FORGET).click()
    expect(page.get_by_text(f'"{evil}" was removed')).to_be_visible()
    assert page.evaluate("window.hacked") is None
    assert page.locator("img[src=x]").count() == 0


def test_files_are_dropped(site: Site, page: Page) -> None:
    visitor = Pages(page)
    visitor.open(site.url)
    dropped = page.evaluate_handle(
        """() => {
            const files = new DataTransfer();
            files.items.add(new File(["A short text about goats. ".repeat(20)], "goats.txt"));
            files.items.add(new File(["x".repeat(200001)], "large.txt"));
            return files;
        }"""
    )
    page.dispatch_event(".comet-drop label", "drop", {"dataTransfer": dropped})
    expect(visitor.job("goats.txt")).to_contain_text(": read ")
    expect(page.locator(".comet-drop .problem")).to_contain_text("large.txt is larger than")
    expect(visitor.job("large.txt")).to_have_count(0)


def test_the_keyboard_is_enough(site: Site, page: Page) -> None:
    """Every control is reached with Tab, and a question asked without a mouse."""
    Pages(page).open(site.url)
    reached = tab_stops(page)
    assert any(text.DROP in name for name in reached)
    for name in (text.LIBRARY, "Ask about island", "Remove island"):
        assert name in reached
    page.get_by_role("button", name="Ask about island").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".comet-examples button:visible")).to_have_count(3)
    reached = tab_stops(page)
    assert {text.DOCUMENT, text.NEW_CONVERSATION, text.QUESTION, text.SEND} <= set(reached)
    page.get_by_label(text.QUESTION).focus()
    page.keyboard.type("How many goats?")
    page.keyboard.press("Enter")
    Pages(page).answered()
    page.get_by_role("tab", name=text.LIBRARY).focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove island").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(Pages(page).row("island")).to_be_visible()


def tab_stops(page: Page, most: int = 60) -> list[str]:
    """The names of the controls that Tab leads to, from the top of the page."""
    page.evaluate("document.activeElement?.blur(); window.scrollTo(0, 0)")
    names: list[str] = []
    for _ in range(most):
        page.keyboard.press("Tab")
        name = page.evaluate(
            """() => {
                const it = document.activeElement;
                const label = it.labels?.[0]?.innerText;
                return (it.getAttribute("aria-label") || label || it.innerText || "").trim();
            }"""
        )
        names.append(name)
    return names


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_and_controls_have_names(site: Site, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visitor = Pages(page)
    visitor.open(site.url)
    visitor.send({"name": "a.zip", "mimeType": "x", "buffer": b"PK"})
    expect(visitor.job("a.zip")).to_be_visible()
    looked_at(page)
    visitor.row("island").get_by_role("button", name=text.ASK).click()
    expect(page.locator(".comet-examples button:visible")).to_have_count(3)
    looked_at(page)
    visitor.ask("How many goats?")
    visitor.answered()
    page.get_by_role("button", name=text.MANAGE).click()
    looked_at(page)
    visitor.tab(text.MEMORY)
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    looked_at(page)


def test_what_is_faint_or_nameless_is_found(page: Page) -> None:
    """The instrument of the test above, on a page that is as it should not be."""
    page.set_content(
        """<body style="background: #fff"><p style="color: #999">faint</p><p>dark</p>
        <input><button>named</button><button aria-label="named"></button>"""
    )
    found = page.evaluate(ACCESSIBLE)
    assert [len(found["faint"]), len(found["nameless"])] == [1, 1]
    assert '"faint" 2.85' in found["faint"][0]


def looked_at(page: Page) -> None:
    assert page.evaluate(ACCESSIBLE) == {"faint": [], "nameless": []}


def test_a_phone_is_large_enough(site: Site, page: Page) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    visitor = Pages(page)
    visitor.open(site.url)
    fits(page)
    visitor.row("island").get_by_role("button", name=text.ASK).click()
    visitor.ask("How many goats?")
    visitor.answered()
    fits(page)
    visitor.tab(text.MEMORY)
    expect(page.locator(".js-plotly-plot")).to_have_count(4)
    fits(page)


def fits(page: Page) -> None:
    """Whether nothing is wider than the screen."""
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]

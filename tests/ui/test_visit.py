"""A whole visit to a server of its own with the real default model, in a real browser.

Makes the screenshots of the documentation if COMET_SCREENSHOTS is set. Nothing is waited for but
what is to be seen.
"""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Locator, Page, expect

from app.library import Library
from app.settings import Settings
from tests.conftest import ROOT
from tests.ui.conftest import PASSWORDS
from tests.ui.pages import PHONE, WIDE, Pages
from tests.ui.test_cli import server
from ui import text

PDF, TEXT = (ROOT / "samples" / f"the-light-on-marrow-rock.{kind}" for kind in ("pdf", "md"))
IMAGES = ROOT / "docs" / "images"
READING_MS = 30 * 60 * 1000.0  # a whole book, on a machine that is busy with other things
QUESTIONS = (
    "Who was the first curator of the museum?",
    "Which number was stamped on the signal gun?",
)


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
    long = tmp_path / "the-light-four-times.md"  # its reading can be watched, and stopped, in time
    long.write_text(4 * TEXT.read_text(encoding="utf-8"), encoding="utf-8")
    with server(settings, "--auth") as (url, _):
        visit(context.new_page(), url, long)


def visit(page: Page, url: str, long: Path) -> None:
    anna = Pages(page)
    anna.sign_in(url, "anna", "wrong password")
    expect(page.get_by_role("alert")).to_have_text(text.WRONG_LOGIN)
    photograph(page, "login")
    anna.sign_in(url, "anna", PASSWORDS["anna"])
    expect(page.get_by_text(f"{text.SIGNED_IN} anna")).to_be_visible()

    anna.send(PDF, long)
    expect(anna.job(long.name)).to_contain_text(text.WAITING)
    expect(anna.job(PDF.name)).to_contain_text(": read ", timeout=READING_MS)
    expect(anna.row(PDF.name)).to_contain_text(text.READY)

    bar = anna.job(long.name).get_by_role("progressbar")
    expect(anna.job(long.name)).to_contain_text("tokens/s", timeout=READING_MS)
    before = percent(bar)
    page.reload()
    expect(bar).to_be_visible()
    assert percent(bar) >= before
    expect(anna.row(long.name)).to_contain_text(text.READING)
    photograph(page, "library")
    anna.job(long.name).get_by_role("button", name=text.STOP).click()
    expect(anna.job(long.name)).to_contain_text("was stopped; what was read is kept")
    anna.job(long.name).get_by_role("button", name=text.DISMISS).click()
    expect(anna.job(long.name)).to_have_count(0)

    anna.row(PDF.name).get_by_role("button", name=text.ASK).click()
    examples = page.locator(".comet-examples button:visible")
    expect(examples).to_have_count(3)
    seen = watch_answers(page)
    anna.press(examples.first)
    expect(anna.stop).to_be_visible()
    anna.answered()
    texts = seen()
    assert len(texts) >= 2, "the answer came in one piece"
    assert all(b.startswith(a) for a, b in pairwise(texts))
    expect(examples).to_have_count(0)

    anna.press(page.get_by_role("button", name=text.NEW_CONVERSATION))
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
    anna.send(long)
    goes_on = re.compile("tokens/s|: read ")  # or has ended, if little was left
    expect(anna.job(long.name)).to_contain_text(goes_on, timeout=READING_MS)

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
    visitor.press(page.get_by_role("button", name="Retry").last)
    expect(visitor.stop).to_be_visible()
    visitor.answered()
    expect(questions).to_have_count(count)
    visitor.press(page.get_by_role("button", name="Edit").first)
    box = page.locator("#chat-messages textarea")
    box.fill("Who kept the light on Marrow Rock?")
    visitor.press(page.get_by_role("button", name="Submit"))
    expect(visitor.stop).to_be_visible()
    visitor.answered()
    expect(questions).to_have_count(1)
    expect(questions).to_contain_text("Who kept the light on Marrow Rock?")


def kept(visitor: Pages) -> None:
    """A name, a file, a new conversation, and the old one again; then it is deleted."""
    page = visitor.page
    conversations = page.locator("#chat-conversations")
    visitor.press(page.get_by_role("button", name=text.MANAGE))
    visitor.settled()
    page.get_by_label(text.CONVERSATION_NAME).fill("The keepers")
    visitor.press(page.get_by_role("button", name=text.RENAME))
    expect(conversations.get_by_label("The keepers")).to_be_checked()
    with page.expect_download() as downloading:
        page.get_by_role("link", name=text.EXPORT).click()
    assert downloading.value.suggested_filename == "The keepers.md"
    assert "Who kept the light" in Path(downloading.value.path()).read_text()
    visitor.press(page.get_by_role("button", name=text.NEW_CONVERSATION))
    expect(page.locator("[data-testid=user]")).to_have_count(0)
    visitor.press(conversations.get_by_text("The keepers"))
    expect(page.locator("[data-testid=user]")).to_have_count(1)
    expect(page.locator(".toast-body")).to_have_count(0)  # notes go by themselves

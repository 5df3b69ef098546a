"""The pages as a person sees and uses them in a browser, with Playwright."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.app.patient import PATIENCE_S
from ui import text

PATIENCE_MS = PATIENCE_S * 1000
WIDE, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 844}
SETTLED = (Path(__file__).parent / "settled.js").read_text()

expect.set_options(timeout=PATIENCE_MS)


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

    def press(self, control: Locator) -> None:
        """Press a control of the chat page."""
        expect(control).to_be_visible()
        self.settled()
        control.click()

    def ask(self, question: str) -> None:
        expect(self.question).to_be_visible()
        self.settled()
        self.question.fill(question)
        self.question.press("Enter")

    def answered(self) -> None:
        """Wait for the end of an answer."""
        expect(self.page.locator("#chat-send")).to_be_visible()
        expect(self.status).to_contain_text("Resumed from a memory of")

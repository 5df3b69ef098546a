"""The pages in a real browser, on a tiny model. Nothing is waited for but what is to be seen."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.ui.conftest import Site
from tests.ui.pages import PHONE, Pages
from ui import text

ACCESSIBLE = (Path(__file__).parent / "accessible.js").read_text()
EVIL = "<img src=x onerror='window.hacked = 1'>"


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
    visitor.press(page.get_by_role("button", name=text.MANAGE))
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


def test_all_of_an_answer_comes_at_once(site: Site, page: Page) -> None:
    """As for a browser slower than the answer: Gradio applies differences to what still waits."""
    visitor = Pages(page)
    visitor.open(site.url)
    page.route("**/queue/data?*", lambda route: route.fulfill(response=route.fetch()))
    page.get_by_role("button", name="Ask about island").click()
    for count, question in enumerate(("How many goats?", "And sheep?"), 1):
        visitor.ask(question)
        expect(visitor.answers).to_have_count(count)
        visitor.answered()
        expect(visitor.stop).to_be_hidden()
        conversation = page.locator("#chat-conversations").get_by_role("radio")
        expect(conversation).to_be_checked()  # and it is the only one


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
    visitor.press(page.get_by_role("button", name=text.MANAGE))
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

"""Real books and manuals: every one is read, and the same text in two formats agrees."""

import re
from collections import Counter
from pathlib import Path

import pytest

from ingest.clean import clean_pages, clean_text
from ingest.readers import open_document

BOOKS = {
    # name: (title, pages where the format has its own, words to the nearest hundred)
    "alice.pdf": ("Alice's Adventures in Wonderland, by Lewis Carroll", 69, 29_500),
    "alice.html": ("Alice's Adventures in Wonderland, by Lewis Carroll", None, 29_600),
    "alice.txt": (None, None, 29_500),
    "debian-faq.en.pdf": ("The Debian GNU/Linux FAQ", 73, 29_200),
    "debian-faq.en.txt": (None, None, 25_300),
    "debmake-doc.en.pdf": ("Guide for Debian Maintainers", 143, 45_300),
    "debmake-doc.en.epub": ("Guide for Debian Maintainers", 13, 38_500),
    "debmake-doc.en.txt": (None, None, 39_000),
    "emma.txt": (None, None, 157_400),
    "sherlock-holmes.epub": ("The Adventures of Sherlock Holmes", 16, 105_300),
}


def text_of(path: Path) -> str:
    with open_document(path) as document:
        return "".join(page.text for page in clean_pages(document.pages()))


@pytest.mark.parametrize("name", BOOKS)
def test_books(shared: Path, name: str) -> None:
    title, page_count, words = BOOKS[name]
    with open_document(shared / "books" / name) as document:
        pages = list(clean_pages(document.pages()))
        assert document.title == title
        assert document.page_count in (None, len(pages))
    assert page_count in (None, len(pages))
    assert [page.number for page in pages] == list(range(1, len(pages) + 1))
    assert not any(page.problem for page in pages)
    text = "".join(page.text for page in pages)
    assert len(text.split()) == pytest.approx(words, abs=100)
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("alice.pdf", "alice.txt"),
        ("alice.html", "alice.txt"),
        ("debian-faq.en.pdf", "debian-faq.en.txt"),
        ("debmake-doc.en.pdf", "debmake-doc.en.txt"),
        ("debmake-doc.en.epub", "debmake-doc.en.txt"),
    ],
)
def test_the_words_agree_with_the_plain_text(shared: Path, name: str, same: str) -> None:
    words, expected = (
        Counter(re.findall(r"\w+", text_of(shared / "books" / book).lower()))
        for book in (name, same)
    )
    assert (words & expected).total() > 0.98 * expected.total()
    # The PDFs of the manuals have tables of contents, headers and an index besides.
    assert (words & expected).total() > 0.88 * words.total()


def test_paragraphs_of_a_pdf(shared: Path) -> None:
    text = text_of(shared / "books" / "alice.pdf")
    assert (
        "Alice was beginning to get very tired of sitting by her sister on the bank, and of "
        in text
    )
    # A paragraph that goes on over the first page break of the story.
    assert "the trouble of getting up and picking the daisies, when suddenly" in text
    assert "\n\nSo she was considering in her own mind" in text


def test_words_hyphenated_at_line_ends(shared: Path) -> None:
    text = text_of(shared / "books" / "debian-faq.en.pdf")
    assert "other documentation will be given" in text
    assert not re.search(r"[a-z]-\n+[a-z]", text)


def test_verse_keeps_its_lines(shared: Path) -> None:
    text = text_of(shared / "books" / "alice.txt")
    assert re.search(r"How doth the little crocodile\n +Improve his shining tail", text)


def test_the_order_of_the_stories(shared: Path) -> None:
    text = text_of(shared / "books" / "sherlock-holmes.epub")
    first, second = "To Sherlock Holmes she is always the woman.", "The Redheaded League"
    assert 0 < text.index(first) < text.index(second)

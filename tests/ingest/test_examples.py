"""Example questions: from the text's own words, plain, few, and gathered in constant memory."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ingest.examples
from ingest.clean import clean_pages, clean_text
from ingest.examples import QUESTIONS, Examples
from ingest.readers import open_document

ROOT = Path(__file__).parents[2]
GENERAL = [
    "What is this text about?",
    "What are the most important points?",
    "How does the text end?",
]
RAIN = "It rained on the roofs and in the streets, and all was as wet as it had been before. "
PLAIN = re.compile(r"[\w .'’/-]+\?")


def questions(*pages: str) -> list[str]:
    examples = Examples()
    for page in pages:
        examples.add(page)
    return examples.questions()


def of_file(path: Path) -> list[str]:
    with open_document(path) as document:
        return questions(*(page.text for page in clean_pages(document.pages())))


BOOKS = {
    "alice.html": ["Who is Alice?", "What does the Queen do?", "What happens to the King?"],
    "alice.pdf": ["Who is Alice?", "What does the Queen do?", "What happens to the King?"],
    "alice.txt": ["Who is Alice?", "What does the Queen do?", "What happens to the King?"],
    "emma.txt": ["Who is Emma Woodhouse?", "Harriet Smith", "What happens at Hartfield?"],
    "sherlock-holmes.epub": ["Who is Sherlock Holmes?", "Watson", "What happens in London?"],
    "debian-faq.en.txt": ["What is Debian?", "Linux", "FAQ"],
    "debian-faq.en.pdf": ["What is Debian?", "Linux", "FAQ"],
    "debmake-doc.en.epub": ["What is Debian?", "Makefile", "VCS"],
}


@pytest.mark.parametrize("name", BOOKS)
def test_real_books_are_asked_about_who_and_what_is_in_them(shared: Path, name: str) -> None:
    found = of_file(shared / "books" / name)
    assert len(found) == QUESTIONS
    for question, wanted in zip(found, BOOKS[name], strict=True):
        assert wanted in question


@pytest.mark.parametrize("suffix", ["md", "epub", "pdf"])
def test_the_sample_book(suffix: str) -> None:
    assert of_file(ROOT / "samples" / f"the-light-on-marrow-rock.{suffix}") == [
        "What happens in Port Ellery?",
        "What does the text say about Marrow Rock?",
        "Who is Caleb Stroud?",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1854 1855 1856. 42!",
        "it rained, and it rained, and nobody came. " * 50,
        "THE HARBOUR. A LIGHT. " * 50,
        "灯台は海の上にある。" * 50,
        "Wo der Hafen und der Turm und die Insel und das Meer und der Sturm sind, " * 50,
        "he did NOT say that he did not, and did not, and was NOT there. " * 50,
        "and he said that I said that I was, and I am. " * 50,
    ],
)
def test_a_text_without_names_gets_general_questions(text: str) -> None:
    assert questions(text) == GENERAL


def test_few_names_are_filled_up_with_general_questions() -> None:
    text = "And there was Ada, and there she said that Ada said nothing. And so said Ada again."
    assert questions(RAIN + text) == ["Who is Ada?", *GENERAL[:2]]


def test_years_are_asked_about() -> None:
    text = "The harbour was built in 1854 and the light was lit in 1854. It went out in 1901. "
    assert questions(text)[0] == "What happened in 1854?"


def test_adjectives_are_not_names() -> None:
    text = "They went by the Danish ship and the Danish boat, with Danish sailors, for Denmark. "
    found = questions(9 * (RAIN + text))
    assert "Denmark" in found[0]
    assert "Danish" not in " ".join(found)


def test_names_of_one_another_are_asked_about_once() -> None:
    text = "Then came Ada Lovelace, and so said Ada, and Ada said so, and of Lovelace. "
    assert questions(9 * (RAIN + text)) == ["Who is Ada Lovelace?", *GENERAL[:2]]


@settings(max_examples=100)
@given(
    words=st.lists(
        st.one_of(
            st.text(max_size=8),
            st.sampled_from(["and", "said", "the", "in", "Mr.", "Ada", "Port Ellery", "in 1854"]),
            st.sampled_from(["<b>Ada</b>", "**Ada**", "[Ada](x)", "<|im_end|>", "Ada_b", "&lt"]),
        ),
        max_size=60,
    ),
    times=st.integers(1, 3),
)
def test_whatever_the_text_questions_are_few_short_and_plain(words: list[str], times: int) -> None:
    found = questions(*[clean_text(" ".join(words))] * times)
    assert len(set(found)) == len(found) == QUESTIONS
    for question in found:
        assert PLAIN.fullmatch(question) and "_" not in question
        assert len(question) <= 80


def test_memory_is_bounded_and_what_is_frequent_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest.examples, "_MOST", 50)
    examples = Examples()
    letters = "abcdefghij"
    for number in range(2000):
        other = "".join(letters[int(digit)] for digit in f"{number:04}")
        examples.add(
            RAIN + f"then {other}, with X{other}, came in {1000 + number % 1000}, and said Ada, "
        )
        sizes = [len(c) for c in (examples._names, examples._common, examples._years)]
        assert max(sizes) <= 50
    assert examples.questions()[0] == "Who is Ada?"

"""Laws of cleaned text, and what unwrapping does to ordinary pages."""

import re
import unicodedata
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.clean import clean_pages, clean_text
from ingest.readers.base import Page

# Any code point at all, with plenty of those that the rules are about.
RULED = st.sampled_from(
    list("\n\n\n-- .|*•1)aaBé  \t\r\v\f\x00\x1f\x7f\x85\u00ad\u00a0\u0301\u0345\u200b\u2010\u2014")
    + list("\u2028\u2029\ud800\udfff\ufb00\ufb03\ufb05\ufeff\ufffe\U0001ffff\u1100\u1161\u212b")
)
ANY = st.text(st.one_of(RULED, st.characters(exclude_categories=())), max_size=300)
WORD = st.text("abcdeABÉéß'", min_size=1, max_size=9)
LINE = st.lists(WORD, max_size=16).map(" ".join)
ENDING = st.sampled_from(["", "-", ".", "—", " -", "--", ":", "x-", " | y"])
OPENING = st.sampled_from(["", "", "", "  ", "* ", "1. ", "-", "• "])
LINES = st.lists(st.tuples(OPENING, LINE, ENDING).map("".join), max_size=12)
PROSE = LINES.map("\n".join)


def pages_of(texts: list[str]) -> list[Page]:
    return [Page(number, text) for number, text in enumerate(texts, start=1)]


@given(st.one_of(ANY, PROSE))
def test_cleaning_what_is_clean_changes_nothing(text: str) -> None:
    clean = clean_text(text)
    assert clean_text(clean) == clean


@given(st.one_of(ANY, PROSE))
def test_clean_text_has_nothing_that_is_not_allowed(text: str) -> None:
    clean = clean_text(text)
    assert {c for c in clean if unicodedata.category(c) in ("Cc", "Cs")} <= {"\n", "\t"}
    assert not any(ord(c) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(c) < 0xFDF0 for c in clean)
    assert not set(clean) & set("\u00ad\ufeff\u00a0\ufb01")
    assert unicodedata.is_normalized("NFC", clean)
    assert "\n\n\n" not in clean
    assert not re.search(r"\s$|[ \t]\n|\A\n", clean)
    clean.encode("utf-8")


@given(PROSE)
def test_letters_survive_in_their_order(text: str) -> None:
    def letters(text: str) -> str:
        return "".join(c for c in text if not c.isspace() and c != "-")

    assert letters(clean_text(text)) == letters(text)


@given(st.text(st.characters(categories=("L", "N", "P")), max_size=80))
def test_no_character_of_ordinary_text_is_lost(text: str) -> None:
    def characters(text: str) -> Counter[str]:
        return Counter(unicodedata.normalize("NFC", text))

    ligatures = re.compile("[\ufb00-\ufb06]")
    assert characters(clean_text(ligatures.sub("", text))) == characters(ligatures.sub("", text))


@given(st.lists(st.one_of(PROSE, ANY.map(lambda text: text.replace("\r", ""))), min_size=1))
def test_pages_are_their_text_cut_where_the_pages_were(texts: list[str]) -> None:
    cleaned = list(clean_pages(pages_of(texts)))
    assert [page.number for page in cleaned] == list(range(1, len(texts) + 1))
    assert "".join(page.text for page in cleaned) == clean_text("\n".join(texts))


@given(LINES, st.data())
def test_the_text_does_not_depend_on_where_pages_end(lines: list[str], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(lines))))))
    bounds = [0, *cuts, len(lines)]
    texts = ["\n".join(lines[a:b]) for a, b in pairwise(bounds) if a < b]
    cleaned = "".join(page.text for page in clean_pages(pages_of(texts)))
    assert cleaned == clean_text("\n".join(lines))


def test_pages_stream() -> None:
    def endless():
        for number in range(1, 10**9):
            yield Page(number, f"Page {number} was read.")

    cleaned = clean_pages(endless())
    assert [next(cleaned).number for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("exam-\nple", "example"),
        ("exam-  \n  ple", "example"),
        ("exam\u2010\nple", "example"),
        ("exam\u00ad\nple and ex\u00adam\u00adple", "example and example"),
        ("inter-\nna-\ntional", "international"),
        ("Anglo-\nSaxon", "Anglo-\nSaxon"),
        ("a well-known - dash\nb", "a well-known - dash\nb"),
        ("pages 10-\n12", "pages 10-\n12"),
        ("o\ufb03ce, \ufb01sh, \ufb02y, be\ufb06", "office, fish, fly, best"),
        ("e\u0301", "\u00e9"),
        ("a\r\nb\rc\x0bd", "a\nb\nc\nd"),
        ("a\x00b\x1b[31m\ud800c\ufeff", "ab[31mc"),
        ("a \t \n\n\n \n\nb\n\n", "a\n\nb"),
        ("no\u00a0break", "no break"),
        ("", ""),
        (" \n\x00\n", ""),
    ],
)
def test_characters_and_hyphens(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


LONG = "The quick brown fox jumped over the lazy dog and went"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        (f"{LONG}\nhome.", f"{LONG} home."),
        (f"{LONG}\nhome.\n{LONG}\nout.", f"{LONG} home.\n\n{LONG} out."),
        (f"{LONG}\n* item\n* item", f"{LONG}\n* item\n* item"),
        (f"{LONG}\n12. item", f"{LONG}\n12. item"),
        (f"{LONG}\n1984 was a year", f"{LONG} 1984 was a year"),
        (f"{LONG}\n    indented", f"{LONG}\n    indented"),
        (f"{LONG}\n\nhome", f"{LONG}\n\nhome"),
        (f"{LONG} 1990-\n1995", f"{LONG} 1990-1995"),
        (f"{LONG} home—\nslowly", f"{LONG} home—slowly"),
        (f"{LONG} home.\nChapter Two", f"{LONG} home.\n\nChapter Two"),
        (f"a | {LONG}\nb | {LONG}", f"a | {LONG}\nb | {LONG}"),
        (f"{LONG} home.\n{LONG} {LONG}", f"{LONG} home.\n\n{LONG} {LONG}"),
        ("Tyger Tyger, burning bright,\nIn the forests of the night;",) * 2,
    ],
)
def test_wrapped_lines_become_paragraphs(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


def test_words_and_paragraphs_go_on_across_pages() -> None:
    texts = [f"{LONG} by Lon-", "don and", "Paris.", f"{LONG} A-", "Z"]
    cleaned = [page.text for page in clean_pages(pages_of(texts))]
    assert cleaned == [f"{LONG} by Lon", "don and", "\n\nParis.", f"\n{LONG} A-", "Z"]


def test_a_page_with_a_problem_is_passed_on_and_ends_the_paragraph() -> None:
    pages = [Page(1, f"{LONG} exam-"), Page(2, "", "unreadable"), Page(3, "ple")]
    assert list(clean_pages(pages)) == [
        Page(1, f"{LONG} exam-"),
        Page(2, "", "unreadable"),
        Page(3, "\n\nple"),
    ]

"""Which document is meant."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import AmbiguousDocument, UnknownDocument
from app.naming import choose, names_of
from app.tables import Document


def document(id: str, title: str, file_name: str) -> Document:
    return Document(id=id, title=title, file_name=file_name)


EMMA = document("ab12" + "0" * 28, "Emma", "emma.txt")
EMMA_EPUB = document("ab13" + "0" * 28, "Emma", "austen-emma.epub")
CAFE = document("cd14" + "0" * 28, "Café / Bar", "novel.pdf")
HEX = document("ef15" + "0" * 28, "ab1", "hex.txt")
ALL = [EMMA, EMMA_EPUB, CAFE, HEX]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("emma.txt", EMMA),
        ("EMMA.TXT", EMMA),
        ("books/emma.txt", EMMA),
        ("austen-emma", EMMA_EPUB),
        ("ab12", EMMA),
        ("AB13", EMMA_EPUB),
        ("cd", CAFE),
        (" café / bar ", CAFE),
        (unicodedata.normalize("NFD", "CAFÉ / BAR"), CAFE),
        ("ab1", HEX),  # a title goes before the beginning of an id
        (EMMA.id, EMMA),
    ],
)
def test_a_document_is_named_by_title_file_name_or_id(name: str, meant: Document) -> None:
    assert choose(ALL, name) is meant


@pytest.mark.parametrize("name", ["Emma", "ab"])
def test_an_ambiguous_name_lists_the_candidates(name: str) -> None:
    with pytest.raises(AmbiguousDocument) as raised:
        choose([EMMA, EMMA_EPUB, CAFE], name)
    message = str(raised.value)
    assert "ab120000 (Emma, emma.txt), ab130000 (Emma, austen-emma.epub)" in message
    assert "Café" not in message


@pytest.mark.parametrize("name", ["persuasion", "", " ", "/", "%", "0"])
def test_an_unknown_name_says_what_to_do(name: str) -> None:
    with pytest.raises(UnknownDocument, match=r"comet-reader list.*comet-reader ingest"):
        choose(ALL, name)


def test_a_name_that_is_offered_names_its_document() -> None:
    titles = ["TCP/IP", "IP", "Either/Or", "Or", "Café", unicodedata.normalize("NFD", "Café"), "/"]
    documents = [document(f"{n:032x}", title, f"{n}.pdf") for n, title in enumerate(titles)]
    documents += ALL
    for chosen in documents:
        assert choose(documents, names_of(documents)[chosen.id]) is chosen
    assert names_of(ALL)[CAFE.id] == CAFE.title
    assert names_of(ALL)[EMMA.id] == EMMA.id


@given(st.lists(st.uuids(), min_size=1, max_size=20, unique=True), st.data())
def test_an_id_always_names_its_document(ids: list[object], data: st.DataObject) -> None:
    documents = [document(id.hex, f"The {n}th", f"{n}.txt") for n, id in enumerate(ids)]  # type: ignore[attr-defined]
    chosen = data.draw(st.sampled_from(documents))
    assert choose(documents, chosen.id) is chosen

"""PDF: pages, passwords, scans, damage. The files are made here."""

import io
import os
import re
import sys
import threading
from pathlib import Path

import pypdf
import pytest
from pypdf.generic import NullObject
from reportlab.pdfgen.canvas import Canvas

from ingest import errors
from ingest.clean import clean_pages
from ingest.readers import open_document
from ingest.readers.base import Page


def make_pdf(pages: list[list[str]], title: str = "The Title") -> bytes:
    """A PDF with the given lines on its pages."""
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    canvas.setTitle(title)
    for lines in pages:
        for row, line in enumerate(lines):
            canvas.drawString(72, 760 - 16 * row, line)
        canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def encrypt(data: bytes, user: str, owner: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(user, owner, algorithm="AES-256")
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


def without_page(data: bytes, index: int) -> bytes:
    """The PDF with an empty object in the place of one of its pages."""
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(data))
    reference = writer.root_object["/Pages"]["/Kids"][index].indirect_reference
    writer._objects[reference.idnum - 1] = NullObject()
    buffer = io.BytesIO()
    writer.write(buffer)
    return buffer.getvalue()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "book.pdf"


def test_pages_and_title(path: Path) -> None:
    path.write_bytes(make_pdf([["Call me Ishmael."], [], ["Some years ago"]]))
    with open_document(path) as document:
        assert document.title == "The Title"
        assert document.page_count == 3
        assert list(document.pages()) == [
            Page(1, "Call me Ishmael."),
            Page(2, ""),
            Page(3, "Some years ago"),
        ]


def texts_of(path: Path, pages: list[list[str]]) -> list[list[str]]:
    """The lines of a PDF's pages, as they are read."""
    path.write_bytes(make_pdf(pages))
    with open_document(path) as document:
        return [page.text.split("\n") for page in document.pages()]


@pytest.mark.parametrize("first", [1, 12, 313])
def test_page_numbers_are_dropped_and_other_numbers_kept(path: Path, first: int) -> None:
    texts = [["In the year", "1851"], ["1984", "it was"], ["It ends."]]
    numbers = [str(first + place) for place in range(3)]
    feet = [[*lines, number] for lines, number in zip(texts, numbers, strict=True)]
    heads = [[number, *lines] for lines, number in zip(texts, numbers, strict=True)]
    assert texts_of(path, feet) == texts
    assert texts_of(path, heads) == texts


def test_page_numbers_begin_after_a_title_page_and_again_after_a_blank_one(path: Path) -> None:
    body = [["Alpha.", "1"], ["Beta.", "2"], [], ["Gamma.", "4"], ["Delta.", "5"]]
    assert texts_of(path, [["The Title"], *body]) == [
        ["The Title"], ["Alpha."], ["Beta."], [""], ["Gamma."], ["Delta."],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "pages",
    [
        [["Name: Ruth Ansell", "Serial number:", "79636"]],
        [["Serial number:", "00101"], ["Serial number:", "00102"]],  # too long
        [["Call me Ishmael.", "1"]],  # no neighbour
        [["Call me Ishmael.", "1"], ["Some years ago"]],  # none that has a number
        [["Call me Ishmael.", "1"], ["2", "Some years ago"]],  # not at the same end
        [["Score:", "3"], ["Score:", "5"], ["Score:", "4"]],
        [
            ["Score:", "4"],
            ["Score:", "4"],
            ["Score:", "5"],
            ["Score:", "5"],
        ],  # the middle two agree
        [["1983", "A mild year."], ["1984", "A hard year."], ["1985", "Another."]],
        [["7"], ["8"], ["9"]],
    ],
)
def test_a_number_that_may_be_no_page_number_is_kept(path: Path, pages: list[list[str]]) -> None:
    assert texts_of(path, pages) == pages


def test_one_number_a_page_is_dropped(path: Path) -> None:
    pages = [["1", "Shall I compare thee", "14"], ["2", "When forty winters", "15"]]
    assert texts_of(path, pages) == [["1", "Shall I compare thee"], ["2", "When forty winters"]]


def test_a_hyphenated_word_is_joined_across_pages(path: Path) -> None:
    path.write_bytes(make_pdf([["He was a whale-hun-"], ["ter of an imag-", "inary kind."]]))
    with open_document(path) as document:
        text = "".join(page.text for page in clean_pages(document.pages()))
    assert text == "He was a whale-hunter of an imaginary kind."


def test_an_encrypted_file_needs_its_password(path: Path) -> None:
    path.write_bytes(encrypt(make_pdf([["A secret."]]), "sesame", "owner"))
    with pytest.raises(errors.EncryptedFile, match="--password"):
        open_document(path)
    with pytest.raises(errors.WrongPassword):
        open_document(path, password="open")
    for password in ("sesame", "owner"):
        with open_document(path, password=password) as document:
            assert document.title == "The Title"
            assert [page.text for page in document.pages()] == ["A secret."]


def test_a_file_that_only_its_owner_may_change_is_read(path: Path) -> None:
    path.write_bytes(encrypt(make_pdf([["No secret."]]), "", "owner"))
    for password in (None, "needless"):
        with open_document(path, password) as document:
            assert document.title == "The Title"
            assert [page.text for page in document.pages()] == ["No secret."]


def test_a_scan_has_no_text_layer(path: Path) -> None:
    buffer = io.BytesIO()
    canvas = Canvas(buffer)
    for _ in range(3):
        canvas.rect(100, 100, 200, 300, fill=1)
        canvas.showPage()
    canvas.save()
    path.write_bytes(buffer.getvalue())
    with pytest.raises(errors.NoTextLayer, match="OCR"):
        open_document(path)


def test_text_on_a_late_page_is_enough(path: Path) -> None:
    path.write_bytes(make_pdf([[], [], [], ["Finally."]]))
    with open_document(path) as document:
        assert [page.text for page in document.pages()] == ["", "", "", "Finally."]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97])
def test_a_truncated_file(path: Path, share: float) -> None:
    data = make_pdf([[f"Page {number}"] for number in range(40)])
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(errors.TruncatedFile):
        open_document(path)


@pytest.mark.parametrize("padding", [b"\0" * 4096, b"\r\n\r\n", b"\n<!-- served in 12 ms -->\n"])
def test_a_whole_file_with_something_after_its_end(path: Path, padding: bytes) -> None:
    path.write_bytes(make_pdf([["Whole."]]) + padding)
    with open_document(path) as document:
        assert [page.text for page in document.pages()] == ["Whole."]


def test_a_whole_file_with_junk_before_its_header(path: Path) -> None:
    path.write_bytes(b"HTTP/1.1 200 OK\r\n\r\n" + make_pdf([["Whole."]]))
    with open_document(path) as document:
        assert [page.text for page in document.pages()] == ["Whole."]


def test_a_file_with_an_end_but_no_structure(path: Path) -> None:
    path.write_bytes(b"%PDF-1.7\n" + b"nothing of use\n" * 200 + b"startxref\n9\n%%EOF\n")
    with pytest.raises(errors.DamagedFile):
        open_document(path)


def test_a_page_that_cannot_be_read_is_skipped_and_the_rest_kept(path: Path) -> None:
    path.write_bytes(without_page(make_pdf([["One."], ["Two."], ["Three."]]), 1))
    with open_document(path) as document:
        assert document.page_count == 3
        first, second, third = document.pages()
    assert (first, third) == (Page(1, "One."), Page(3, "Three."))
    assert (second.number, second.text) == (2, "")
    assert second.problem is not None
    assert "page 2" in second.problem


def test_no_page_can_be_read(path: Path) -> None:
    path.write_bytes(without_page(make_pdf([["One."]]), 0))
    with pytest.raises(errors.DamagedFile, match="page 1"):
        open_document(path)


def test_a_file_that_pypdf_cannot_parse_is_read_without_a_title(path: Path) -> None:
    path.write_bytes(re.sub(rb"/Info \d+ 0 R", b"/Info 123", make_pdf([["Odd but readable."]])))
    with path.open("rb") as file, pytest.raises(pypdf.errors.PyPdfError):
        pypdf.PdfReader(file).metadata  # noqa: B018
    with open_document(path) as document:
        assert document.title is None
        assert [page.text for page in document.pages()] == ["Odd but readable."]


def test_documents_can_be_read_in_threads(tmp_path: Path) -> None:
    texts: dict[int, list[str]] = {}

    def read(number: int) -> None:
        path = tmp_path / f"{number}.pdf"
        path.write_bytes(make_pdf([[f"Book {number} page {page}"] for page in range(50)]))
        with open_document(path) as document:
            texts[number] = [page.text for page in document.pages()]

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == {n: [f"Book {n} page {page}" for page in range(50)] for n in range(4)}


def test_many_pages_of_an_encrypted_file_are_read_twice_at_once(path: Path) -> None:
    lines = [f"Page {number}" for number in range(1, 151)]
    path.write_bytes(encrypt(make_pdf([[line] for line in lines]), "sesame", "owner"))
    with open_document(path, password="sesame") as document:
        pairs = list(zip(document.pages(), document.pages(), strict=True))
    assert [(one.text, other.text) for one, other in pairs] == [(line, line) for line in lines]


@pytest.mark.skipif(os.name == "nt", reason="Windows deletes no file that is open")
def test_a_file_that_is_deleted_while_it_is_read_is_read_to_its_end(path: Path) -> None:
    lines = [f"Page {number}" for number in range(1, 151)]
    path.write_bytes(make_pdf([[line] for line in lines]))
    with open_document(path) as document:
        path.unlink()
        assert [page.text for page in document.pages()] == lines


def anonymous_memory() -> int:
    """KiB that this process has in memory, files that are mapped left out."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc/self/status")
def test_a_large_file_is_never_in_memory_whole(path: Path) -> None:
    canvas = Canvas(str(path), pageCompression=0)
    for number in range(1, 301):
        canvas.drawString(72, 760, f"Page {number}")
        canvas.addLiteral("%" + 160 * 1024 * "x")  # a comment: content that costs no time
        canvas.showPage()
    canvas.save()
    del canvas
    assert path.stat().st_size > 45 * 1024 * 1024
    with open_document(path) as document:
        before = anonymous_memory()
        grown = [anonymous_memory() - before for _ in document.pages()]
    assert len(grown) == 300
    assert max(grown) < 20 * 1024
